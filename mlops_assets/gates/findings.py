"""Decides how a drift assessment is told: a frozen value for code, and a table whose first row is the batch's."""

from dataclasses import asdict, dataclass

import pandas as pd
import pandera.pandas as pa

from mlops_assets.gates.attribution import Cause
from mlops_assets.gates.columns import SCORE
from mlops_assets.gates.verdict import Verdict

BATCH, JOINT = "*", "(jointly)"
"""Names in `DriftFindings` of the batch as a whole, and of what no column shows by itself."""

NO_MOVE = "no move to speak of"

TOLD = 3
"""Findings that the words for the whole batch repeat."""


@dataclass(frozen=True, slots=True)
class Finding:
    """How one column moved; `kind` says how it was judged: numeric, categorical, score or joint.

    `statistic`: Kolmogorov-Smirnov D in [0, 1], or Pearson's chi-square over levels; of the joint test the largest
    difference in standard errors. `effect`: standardised mean difference (of levels: total variation distance, 0 to 1).
    Both None where there is nothing to compare. `p_value`: in [0, 1], corrected for all tests: FAIL is p <= alpha.
    `missing_*`: shares in [0, 1], None of the joint test. `new_categories`: levels unknown to the reference, most
    frequent first, at most 20. `cause`: none unless the verdict is FAIL. `batches`: how many were pooled to see it.
    """

    column: str
    kind: str
    moved: str
    statistic: float | None
    effect: float | None
    p_value: float
    missing_reference: float | None
    missing_current: float | None
    new_categories: tuple[str, ...]
    verdict: Verdict
    cause: Cause = Cause.NONE
    batches: int = 1


@dataclass(frozen=True, slots=True)
class DriftAssessment:
    """Verdict on a batch, most important finding first; `p_value` in [0, 1] is corrected for all tests.

    `cause`: none unless the verdict is FAIL. `batches`: how many were pooled for the finding that decided.
    """

    verdict: Verdict
    p_value: float
    findings: tuple[Finding, ...]
    reference_rows: int
    current_rows: int
    cause: Cause = Cause.NONE
    batches: int = 1


class DriftFindings(pa.DataFrameModel):
    """How each column of the current batch moved: a row for the batch as a whole, then one per column, worst first."""

    column: str = pa.Field(
        unique=True,
        description="column compared; * is the batch as a whole, score the champion's, (jointly) all together",
    )
    kind: str = pa.Field(isin=["batch", "numeric", "categorical", SCORE, "joint"], description="how it was judged")
    verdict: str = pa.Field(isin=list(Verdict), description="FAIL: it moved, after correction for all tests")
    cause: str = pa.Field(
        isin=list(Cause), description="of a FAIL: pipe (broken data, repair it), population, relation (of columns)"
    )
    statistic: float = pa.Field(
        ge=0, nullable=True, description="Kolmogorov-Smirnov D, or chi-square of levels; jointly: standard errors"
    )
    effect: float = pa.Field(
        nullable=True, description="standardised mean difference; of levels: total variation distance, 0 to 1"
    )
    p_value: float = pa.Field(ge=0, le=1, nullable=True, description="corrected for all tests of the batch")
    missing_reference: float = pa.Field(ge=0, le=1, nullable=True, description="share missing in the reference")
    missing_current: float = pa.Field(ge=0, le=1, nullable=True, description="share missing in the batch")
    new_categories: str = pa.Field(description="levels that the reference does not hold, comma-separated; at most 20")
    moved: str = pa.Field(description="the move in words")

    class Config:
        """Nothing more, nothing converted."""

        strict = True
        coerce = False

    @pa.dataframe_check
    @classmethod
    def batch_comes_first_and_once(cls, table: pd.DataFrame) -> bool:
        """The verdict of the batch is read from the first row."""
        of_batch = (table["column"] == BATCH) & (table["kind"] == "batch")
        return len(table) > 0 and of_batch.tolist() == [True] + [False] * (len(table) - 1)

    @pa.dataframe_check
    @classmethod
    def only_a_fail_has_a_cause(cls, table: pd.DataFrame) -> pd.Series:
        """And every FAIL has one, or nobody could be told what to do."""
        return (table["verdict"] == Verdict.FAIL) == (table["cause"] != Cause.NONE)


def findings_table(assessment: DriftAssessment) -> pd.DataFrame:
    """The assessment as `DriftFindings`: the batch first, then its findings in their order."""
    whole = {
        "column": BATCH,
        "kind": "batch",
        "verdict": assessment.verdict,
        "cause": assessment.cause,
        "p_value": assessment.p_value,
        "new_categories": (),
        "moved": summary(assessment),
    }
    table = pd.DataFrame([whole, *map(asdict, assessment.findings)], columns=list(DriftFindings.to_schema().columns))
    numbers = ["statistic", "effect", "p_value", "missing_reference", "missing_current"]
    return table.astype(dict.fromkeys(numbers, float)).assign(
        verdict=table["verdict"].map(str),
        cause=table["cause"].map(str),
        new_categories=table["new_categories"].map(", ".join),
    )


def summary(assessment: DriftAssessment) -> str:
    """What the batch as a whole did, in words: how many columns moved, and those that moved most."""
    columns = [finding for finding in assessment.findings if finding.column != JOINT]
    if assessment.verdict is Verdict.UNKNOWN:
        return (
            f"cannot tell from {assessment.current_rows} rows against {assessment.reference_rows} in the reference, "
            f"{len(columns)} columns"
        )
    if assessment.verdict is Verdict.PASS:
        return NO_MOVE
    moved = [finding for finding in columns if finding.verdict is Verdict.FAIL]
    told = moved or [finding for finding in assessment.findings if finding.verdict is Verdict.FAIL]
    told.sort(key=lambda finding: finding.cause is not assessment.cause)  # stable: the cause first, then by p
    words = "; ".join(f"{finding.column} {finding.moved}" for finding in told[:TOLD])
    rest = f"; and {', '.join(finding.column for finding in told[TOLD:])}" if len(told) > TOLD else ""
    count = f"{len(moved)} of {len(columns)} moved" if moved else "no column alone"
    return f"{assessment.cause}: {count}: {words}{rest}"


def verdict_of(table: pd.DataFrame) -> Verdict:
    """The verdict on the batch, read back from `DriftFindings`; raises ValueError if its first row is not the batch."""
    return Verdict(_first(table)["verdict"])


def cause_of(table: pd.DataFrame) -> Cause:
    """The cause of a FAIL, read back from `DriftFindings`; raises ValueError if its first row is not the batch."""
    return Cause(_first(table)["cause"])


def _first(table: pd.DataFrame) -> "pd.Series[str]":
    if table.empty or table["column"].iloc[0] != BATCH:
        message = (
            f"a drift report begins with the row '{BATCH}', this one has {list(table['column'][:3])} ... Write it anew."
        )
        raise ValueError(message)
    return table.iloc[0]
