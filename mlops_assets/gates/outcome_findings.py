"""Decides how an assessment of outcomes is written down, so that its verdict can be read from the table years later."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pandas as pd
import pandera.pandas as pa

from mlops_assets.gates.outcomes import ALL, NEWEST, POOLED, OutcomeAssessment
from mlops_assets.gates.recalibration import Performance
from mlops_assets.gates.verdict import Verdict

FIGURES = ("auc", "gap", "slope")


def share(what: str) -> Any:  # noqa: ANN401 - pandera says Any
    """A column of shares, empty where none can be told."""
    return pa.Field(ge=0, le=1, nullable=True, description=what)


def end(what: str) -> Any:  # noqa: ANN401
    """A column of figures, empty where none can be told."""
    return pa.Field(nullable=True, description=what)


class OutcomeFindings(pa.DataFrameModel):
    """How scores kept their word: a row for the assessment, then one per window and segment, the worst first."""

    window: str = pa.Field(isin=[ALL, NEWEST, POOLED], description="newest batch, or the newest batches pooled")
    subject: str = pa.Field(description="all rows of the window, or a segment (cut=level); * is the assessment")
    verdict: str = pa.Field(isin=list(Verdict), description="FAIL: word was not kept, after correction for all tests")
    p_value: float = pa.Field(ge=0, le=1, nullable=True, description="corrected for all tests of the assessment")
    rows_then: float = pa.Field(ge=0, nullable=True, description="rows in the reference")
    rows_now: float = pa.Field(ge=0, nullable=True, description="rows now")
    promised_then: float = share("mean score in the reference")
    promised_now: float = share("mean score now")
    observed_then: float = share("share of label 1 in the reference")
    observed_now: float = share("share of label 1 now")
    auc_then: float = share("area under the ROC curve in the reference")
    auc_then_lower: float = share("lower end of its interval")
    auc_then_upper: float = share("upper end of its interval")
    auc_now: float = share("area under the ROC curve now")
    auc_now_lower: float = share("lower end of its interval")
    auc_now_upper: float = share("upper end of its interval")
    gap_then: float = end("observed less promised in the reference, as a share of rows")
    gap_then_lower: float = end("lower end of its interval")
    gap_then_upper: float = end("upper end of its interval")
    gap_now: float = end("observed less promised now, as a share of rows")
    gap_now_lower: float = end("lower end of its interval")
    gap_now_upper: float = end("upper end of its interval")
    slope_then: float = end("slope of the recalibration in the reference; 1: log-odds differ as much as they say")
    slope_then_lower: float = end("lower end of its interval")
    slope_then_upper: float = end("upper end of its interval")
    slope_now: float = end("slope of the recalibration now")
    slope_now_lower: float = end("lower end of its interval")
    slope_now_upper: float = end("upper end of its interval")
    moved: str = pa.Field(description="the finding in words")

    class Config:
        """Nothing more, nothing converted, each subject once in a window."""

        strict = True
        coerce = False
        unique = ["window", "subject"]  # noqa: RUF012 - pandera's settings class, never changed

    @pa.dataframe_check
    @classmethod
    def assessment_comes_first_and_once(cls, table: pd.DataFrame) -> bool:
        """The verdict is read from the first row."""
        is_whole = (table["window"] == ALL) & (table["subject"] == ALL)
        return len(table) > 0 and is_whole.tolist() == [True] + [False] * (len(table) - 1)

    @pa.dataframe_check
    @classmethod
    def one_finding_that_fails_decides(cls, table: pd.DataFrame) -> bool:
        """The assessment fails exactly where a finding does."""
        fails = table["verdict"].eq(Verdict.FAIL)
        return len(table) > 0 and bool(fails.iloc[0]) == bool(fails.iloc[1:].any())

    @pa.dataframe_check
    @classmethod
    def bounds_hold_the_value(cls, table: pd.DataFrame) -> "pd.Series[bool]":
        """An interval has both ends or none, and the figure lies within."""
        holds = pd.Series(data=True, index=table.index)
        for name in (f"{figure}_{when}" for figure in FIGURES for when in ("then", "now")):
            value, lower, upper = table[name], table[f"{name}_lower"], table[f"{name}_upper"]
            holds &= (value.isna() & lower.isna() & upper.isna()) | ((lower <= value) & (value <= upper))
        return holds


def findings_table(assessment: OutcomeAssessment) -> pd.DataFrame:
    """The assessment as `OutcomeFindings`: its verdict with the figures of the newest batch, then its findings."""
    whole = {"window": ALL, "subject": ALL, "p_value": assessment.p_value, "moved": assessment.moved}
    rows = [{**whole, "verdict": str(assessment.verdict), **dict(_figures(assessment.then, assessment.now))}]
    for finding in assessment.findings:
        told = {
            "window": finding.window,
            "subject": finding.subject,
            "p_value": finding.p_value,
            "moved": finding.moved,
        }
        rows.append({**told, "verdict": str(finding.verdict), **dict(_figures(finding.then, finding.now))})
    columns = list(OutcomeFindings.to_schema().columns)
    words = ("window", "subject", "verdict", "moved")
    return pd.DataFrame(rows, columns=columns).astype({name: float for name in columns if name not in words})


def _figures(then: Performance | None, now: Performance | None) -> Iterator[tuple[str, float]]:
    """The figures of both sides, by column."""
    for when, side in (("then", then), ("now", now)):
        if side is None:
            continue
        for name, value in asdict(side).items():
            if name in FIGURES:
                yield f"{name}_{when}", value["value"]
                yield f"{name}_{when}_lower", value["lower"]
                yield f"{name}_{when}_upper", value["upper"]
            elif name != "positives":
                yield f"{name}_{when}", value


def verdict_of(table: pd.DataFrame) -> Verdict:
    """The verdict, read back from `OutcomeFindings`; raises ValueError if its first row is not the assessment."""
    if table.empty or (table["window"].iloc[0], table["subject"].iloc[0]) != (ALL, ALL):
        found = list(table["subject"][:3])
        message = f"an outcome report begins with the row '{ALL}', this one has {found} ... Write it anew."
        raise ValueError(message)
    return Verdict(table["verdict"].iloc[0])
