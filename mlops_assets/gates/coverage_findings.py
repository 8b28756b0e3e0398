"""Decides how an assessment of coverage is written down, so that its verdict can be read from the table years later."""

from dataclasses import asdict

import pandas as pd
import pandera.pandas as pa

from mlops_assets.gates.coverage import BATCH, CoverageAssessment
from mlops_assets.gates.verdict import Verdict


class CoverageFindings(pa.DataFrameModel):
    """Whether customers with an outcome stand for their batch: a row for the batch, then one per column, worst first.

    The figures of the batch stand in its row only; in the others they are empty.
    """

    subject: str = pa.Field(
        unique=True, description="* is the batch; a column, score, (jointly) all columns, or (labels): how many left"
    )
    verdict: str = pa.Field(isin=[Verdict.PASS, Verdict.UNKNOWN], description="UNKNOWN: no evidence unless accepted")
    p_value: float = pa.Field(ge=0, le=1, description="corrected for all questions about the batch")
    effect: float = pa.Field(
        nullable=True, description="standardised mean difference; of levels: distance, 0 to 1; of labels: log-odds"
    )
    moved: str = pa.Field(description="the finding in words: from customers without an outcome to those with one")
    rows: float = pa.Field(ge=1, nullable=True, description="customers of the batch")
    covered: float = pa.Field(ge=0, nullable=True, description="customers with an outcome")
    usual: float = pa.Field(ge=0, le=1, nullable=True, description="share that had one in earlier batches; median")
    observed: float = pa.Field(ge=0, le=1, nullable=True, description="share of label 1")
    expected: float = pa.Field(ge=0, le=1, nullable=True, description="share of label 1 that was to be expected")
    score_covered: float = pa.Field(ge=0, le=1, nullable=True, description="mean score of customers with an outcome")
    score_others: float = pa.Field(ge=0, le=1, nullable=True, description="mean score of the others")

    class Config:
        """Nothing more, nothing converted."""

        strict = True
        coerce = False

    @pa.dataframe_check
    @classmethod
    def batch_comes_first_and_once(cls, table: pd.DataFrame) -> bool:
        """The verdict of the batch is read from the first row."""
        return len(table) > 0 and table["subject"].eq(BATCH).tolist() == [True] + [False] * (len(table) - 1)

    @pa.dataframe_check
    @classmethod
    def a_finding_that_cannot_tell_decides(cls, table: pd.DataFrame) -> bool:
        """A batch passes only where each finding does."""
        unknown = table["verdict"].eq(Verdict.UNKNOWN)
        return len(table) > 0 and (bool(unknown.iloc[0]) or not unknown.any())

    @pa.dataframe_check
    @classmethod
    def the_batch_has_its_counts(cls, table: pd.DataFrame) -> bool:
        """No more customers have an outcome than there are."""
        return len(table) > 0 and bool(table["covered"].iloc[0] <= table["rows"].iloc[0])


COUNTS = ("rows", "covered", "usual", "observed", "expected", "score_covered", "score_others")


def findings_table(assessment: CoverageAssessment) -> pd.DataFrame:
    """The assessment as `CoverageFindings`: the batch with its figures first, then its findings in their order."""
    whole = {
        "subject": BATCH,
        "verdict": assessment.verdict,
        "p_value": assessment.p_value,
        "moved": assessment.reason,
        **{name: getattr(assessment, name) for name in COUNTS},
    }
    columns = list(CoverageFindings.to_schema().columns)
    table = pd.DataFrame([whole, *map(asdict, assessment.findings)], columns=columns)
    return table.astype(dict.fromkeys(("p_value", "effect", *COUNTS), float)).assign(verdict=table["verdict"].map(str))


def verdict_of(table: pd.DataFrame) -> Verdict:
    """The verdict, read back from `CoverageFindings`; raises ValueError if its first row is not the batch."""
    if table.empty or table["subject"].iloc[0] != BATCH:
        found = list(table["subject"][:3])
        message = f"a coverage report begins with the row '{BATCH}', this one has {found} ... Write it anew."
        raise ValueError(message)
    return Verdict(table["verdict"].iloc[0])
