"""Decides whether the current batch still looks like what the champion learned from.

Every column is asked on its own and the smallest p-value is corrected for their number (Bonferroni): a count of moved
columns, as drift presets use, waits until half the table has moved. No outcome is needed, so a FAIL is no proof that
the model is worse: it starts a challenger, and only outcomes promote it. The tests of one column are in `moves`.
"""

from dataclasses import asdict, dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import pandera.pandas as pa

from mlops_assets.gates.moves import (
    Move,
    count_levels,
    distribution_move,
    is_flag,
    is_numeric,
    level_move,
    missing_move,
    missing_share,
    numbers_of,
    unseen_move,
)
from mlops_assets.gates.verdict import Verdict

BATCH, SCORE = "*", "score"
"""Names in `DriftFindings` of the batch as a whole, and of the score."""

NAMED_LEVELS = 20
"""New levels that a finding names: a column of keys has a new one in each row."""

NO_MOVE = "no move to speak of"


@dataclass(frozen=True, slots=True)
class Finding:
    """How one column moved; `kind` says how it was judged: numeric, categorical or score.

    `statistic`: Kolmogorov-Smirnov D in [0, 1], or Pearson's chi-square over levels. `effect`: standardised mean
    difference (of levels: total variation distance in [0, 1]). Both None where there is nothing to compare.
    `p_value`: in [0, 1], corrected for the tests of this column, not for the number of columns; `verdict` is for both.
    `missing_*`: shares in [0, 1]. `new_categories`: levels unknown to the reference, most frequent first, at most 20.
    """

    column: str
    kind: str
    moved: str
    statistic: float | None
    effect: float | None
    p_value: float
    missing_reference: float
    missing_current: float
    new_categories: tuple[str, ...]
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class DriftAssessment:
    """Verdict on a batch, most important finding first; `p_value` in [0, 1] is corrected for all tests."""

    verdict: Verdict
    p_value: float
    findings: tuple[Finding, ...]
    reference_rows: int
    current_rows: int


class DriftFindings(pa.DataFrameModel):
    """How each column of the current batch moved: a row for the batch as a whole, then one per column, worst first."""

    column: str = pa.Field(unique=True, description="column compared; * is the batch as a whole, score the champion's")
    kind: str = pa.Field(isin=["batch", "numeric", "categorical", SCORE], description="how it was judged")
    verdict: str = pa.Field(isin=list(Verdict), description="FAIL: it moved, after correction for all tests")
    statistic: float = pa.Field(ge=0, nullable=True, description="Kolmogorov-Smirnov D, or chi-square of levels")
    effect: float = pa.Field(
        nullable=True, description="standardised mean difference; of levels: total variation distance, 0 to 1"
    )
    p_value: float = pa.Field(
        ge=0, le=1, nullable=True, description="corrected for the column's tests; of the batch: for all columns too"
    )
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


def assess_drift(
    reference: pd.DataFrame,
    current: pd.DataFrame,
    *,
    reference_scores: npt.ArrayLike | None = None,
    current_scores: npt.ArrayLike | None = None,
    alpha: float,
    min_rows: int = 100,
) -> DriftAssessment:
    """Verdict on `current`, shape (n, >= k), against `reference`, shape (m, k): FAIL if p <= `alpha`.

    UNKNOWN if a side has fewer than `min_rows` rows, or there is nothing to compare. Columns that only `current` has
    are not judged. Scores, in [0, 1] and NaN where missing, are judged as one more column; the reference's must be
    out-of-sample. Raises ValueError when `current` lacks a column, or only one side has scores.
    """
    pairs = _pair(reference, current, reference_scores, current_scores)
    findings = [_judge(name, *pair, alpha=alpha, columns=len(pairs)) for name, pair in pairs.items()]
    p_value = min([1.0, *(len(findings) * finding.p_value for finding in findings)])
    if not findings or min(len(reference), len(current)) < min_rows:
        verdict = Verdict.UNKNOWN
        findings = [replace(finding, verdict=verdict) for finding in findings]
    else:
        verdict = Verdict.FAIL if p_value <= alpha else Verdict.PASS
    findings.sort(key=lambda finding: (finding.p_value, -abs(finding.effect or 0), finding.column))
    return DriftAssessment(verdict, p_value, tuple(findings), len(reference), len(current))


def _pair(
    reference: pd.DataFrame, current: pd.DataFrame, then: npt.ArrayLike | None, now: npt.ArrayLike | None
) -> dict[str, tuple[pd.Series, pd.Series]]:
    """Both sides of each column to judge, by name, the scores last; raises ValueError as `assess_drift` says."""
    if missing := sorted(str(name) for name in set(reference) - set(current)):
        message = (
            f"current batch lacks {missing}, which the reference has. "
            "Materialize the features of this batch again, or retrain without these columns."
        )
        raise ValueError(message)
    pairs = {str(name): (reference[name], current[name]) for name in reference}
    if then is None and now is None:
        return pairs
    if then is None or now is None or SCORE in pairs:
        message = (
            f"scores cannot be judged: reference {'without' if then is None else 'with'}, current "
            f"{'without' if now is None else 'with'}, columns {sorted(pairs)}. "
            f"Hand over the scores of both sides, and no column named '{SCORE}' beside them."
        )
        raise ValueError(message)
    return pairs | {SCORE: (pd.Series(np.asarray(then, dtype=float)), pd.Series(np.asarray(now, dtype=float)))}


def _judge(name: str, reference: pd.Series, current: pd.Series, *, alpha: float, columns: int) -> Finding:
    """Finding on one column of `columns`; the words tell each test that alone would be news at `alpha`."""
    kind, tests, unseen = _run_tests(name, reference, current)
    p_value = min(1.0, len(tests) * min(test.p_value for test in tests))
    news = sorted((test for test in tests if len(tests) * test.p_value <= alpha), key=lambda test: test.p_value)
    return Finding(
        column=name,
        kind=kind,
        moved="; ".join(test.words for test in news) or NO_MOVE,
        statistic=tests[0].statistic,
        effect=tests[0].effect,
        p_value=p_value,
        missing_reference=missing_share(reference),
        missing_current=missing_share(current),
        new_categories=unseen[:NAMED_LEVELS],
        verdict=Verdict.FAIL if columns * p_value <= alpha else Verdict.PASS,
    )


def _run_tests(name: str, reference: pd.Series, current: pd.Series) -> tuple[str, list[Move], tuple[str, ...]]:
    """How the column was judged, its tests with that of the values first, and the levels new to the reference."""
    then, now = is_numeric(reference), is_numeric(current)
    if None not in {then, now} and then != now:
        was, has = ("numeric", "text") if then else ("text", "numeric")
        return ("numeric" if then else "categorical"), [Move(0.0, f"was {was}, is {has}")], ()
    # Not counted as a test where nothing is missing: that depends on the pooled rows alone, so the p-value stays valid.
    missing = [missing_move(reference.isna(), current.isna())] if reference.isna().any() or current.isna().any() else []
    if then or now:
        numbers = [numbers_of(side) for side in (reference, current)]
        if name == SCORE or not is_flag(*numbers):
            return (SCORE if name == SCORE else "numeric"), [distribution_move(*numbers), *missing], ()
        # As many digits as tell two numbers apart, so that 1 and 1.0 are one level.
        reference, current = (pd.Series([f"{number:.15g}" for number in side], dtype=object) for side in numbers)
    counts = count_levels(reference.dropna().astype(str), current.dropna().astype(str))
    unseen, levels = unseen_move(counts)
    return "categorical", [level_move(counts), *missing, unseen], levels


def findings_table(assessment: DriftAssessment) -> pd.DataFrame:
    """The assessment as `DriftFindings`: the batch first, then its findings in their order."""
    whole = {
        "column": BATCH,
        "kind": "batch",
        "verdict": assessment.verdict,
        "p_value": assessment.p_value,
        "new_categories": (),
        "moved": _summary(assessment),
    }
    table = pd.DataFrame([whole, *map(asdict, assessment.findings)], columns=list(DriftFindings.to_schema().columns))
    numbers = ["statistic", "effect", "p_value", "missing_reference", "missing_current"]
    return table.astype(dict.fromkeys(numbers, float)).assign(
        verdict=table["verdict"].map(str), new_categories=table["new_categories"].map(", ".join)
    )


def _summary(assessment: DriftAssessment) -> str:
    """What the batch as a whole did, in words."""
    if assessment.verdict is Verdict.UNKNOWN:
        return (
            f"cannot tell from {assessment.current_rows} rows against {assessment.reference_rows} in the reference, "
            f"{len(assessment.findings)} columns"
        )
    moved = [finding.column for finding in assessment.findings if finding.verdict is Verdict.FAIL]
    return f"{len(moved)} of {len(assessment.findings)} moved: {', '.join(moved)}" if moved else NO_MOVE


def verdict_of(table: pd.DataFrame) -> Verdict:
    """The verdict on the batch, read back from `DriftFindings`; raises ValueError if its first row is not the batch."""
    if table.empty or table["column"].iloc[0] != BATCH:
        message = (
            f"a drift report begins with the row '{BATCH}', this one has {list(table['column'][:3])} ... Write it anew."
        )
        raise ValueError(message)
    return Verdict(table["verdict"].iloc[0])
