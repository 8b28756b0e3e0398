"""Decides how the things asked of a model are written down, so that a verdict can be read years later.

One form for floors, metrics and segments: what was measured, how sure that is, the limit, whether it holds, and the
same in words. What is asked, and of which rows, is the work of `floors` and `promotion`.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import pandas as pd
import pandera.pandas as pa

from mlops_assets.gates.estimates import Estimate
from mlops_assets.gates.verdict import Verdict

WHOLE = "*"
"""Subject in `PromotionFindings` of a gate as a whole."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing asked of a model: `value` and its interval, the `limit` it is held to, and both in words.

    Figures are None where there is none; `limit` is None where nothing is asked.
    """

    subject: str
    value: float | None
    lower: float | None
    upper: float | None
    limit: float | None
    holds: bool
    meaning: str


class PromotionFindings(pa.DataFrameModel):
    """Why a candidate may be champion or not: a row per gate as a whole, then one per floor, metric and segment."""

    candidate: str = pa.Field(description="name of the candidate judged")
    gate: str = pa.Field(isin=["floors", "comparison"], description="floors: on its own; comparison: to the champion")
    subject: str = pa.Field(description="floor, metric or segment (cut=level); * is the gate as a whole")
    verdict: str = pa.Field(isin=list(Verdict), description="of the gate, the same in each of its rows")
    value: float = pa.Field(nullable=True, description="measured; log-loss in nats, gains positive if better")
    lower: float = pa.Field(nullable=True, description="lower end of its interval, empty without one")
    upper: float = pa.Field(nullable=True, description="upper end of its interval, empty without one")
    limit: float = pa.Field(nullable=True, description="what it is held to, empty if nothing is asked")
    holds: bool = pa.Field(description="what is asked is shown; of a gate as a whole: the verdict is PASS")
    meaning: str = pa.Field(description="the finding in words")

    class Config:
        """Nothing more, nothing converted, each subject once."""

        strict = True
        coerce = False
        unique = ["candidate", "gate", "subject"]  # noqa: RUF012 - pandera's settings class, never changed

    @pa.dataframe_check
    @classmethod
    def bounds_hold_the_value(cls, table: pd.DataFrame) -> "pd.Series[bool]":
        """An interval has both ends or none, and the value lies within."""
        none = table["lower"].isna() & table["upper"].isna()
        return none | ((table["lower"] <= table["value"]) & (table["value"] <= table["upper"]))

    @pa.dataframe_check
    @classmethod
    def whole_comes_first(cls, table: pd.DataFrame) -> "pd.Series[bool]":
        """The rows of a gate begin with the gate as a whole, and only that holds if the verdict is PASS."""
        is_first = ~table.duplicated(["candidate", "gate"])
        is_whole = table["subject"] == WHOLE
        return (is_first == is_whole) & (~is_whole | (table["holds"] == (table["verdict"] == Verdict.PASS)))


def findings_of(
    candidate: str,
    gate: str,
    verdict: Verdict,
    meaning: str,
    requirements: Iterable[Requirement],
    deciding: Estimate | None = None,
) -> pd.DataFrame:
    """Rows of `PromotionFindings` for one gate of one candidate; `deciding` is the figure of the gate as a whole."""
    figures = asdict(deciding) if deciding else {}
    whole = {"subject": WHOLE, **figures, "holds": verdict is Verdict.PASS, "meaning": meaning}
    table = pd.DataFrame(
        [whole, *map(asdict, requirements)], columns=["subject", "value", "lower", "upper", "limit", "holds", "meaning"]
    ).astype(dict.fromkeys(["value", "lower", "upper", "limit"], float))
    facts = {"candidate": candidate, "gate": gate, "verdict": str(verdict)}
    return table.assign(**facts)[list(PromotionFindings.to_schema().columns)]


def conclude(asked: tuple[Requirement, ...], shortage: str | None, content: str) -> tuple[Verdict, str]:
    """The verdict on all that was asked, and the first reason for it; a shortage of rows comes before any figure."""
    if shortage:
        return Verdict.UNKNOWN, shortage
    failed = [requirement for requirement in asked if not requirement.holds]
    if failed:
        return Verdict.FAIL, "; ".join(f"{requirement.subject}: {requirement.meaning}" for requirement in failed)
    return Verdict.PASS, content


def held_to(subject: str, figure: Estimate, limit: float, holds: bool, what: str) -> Requirement:  # noqa: FBT001
    """A figure with an interval, and its limit, in words."""
    meaning = f"{figure.value:+.4f} [{figure.lower:+.4f}, {figure.upper:+.4f}] {what}; limit {limit:g}"
    return Requirement(subject, figure.value, figure.lower, figure.upper, limit, bool(holds), meaning)
