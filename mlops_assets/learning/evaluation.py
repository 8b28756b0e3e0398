"""Decides how good a candidate is, on rows it never saw, and how sure one can be of that.

Seven metrics, overall, by fold or month and by segment, each with a bootstrap interval over customers, whose rows of
several months are drawn together: a month of 391 customers leaves an AUC uncertain by .02 either way, and a figure
without its interval invites decisions on noise. Log-loss leads because the score is used as a probability; the profit
of the offers says what that is worth. Whether a difference between two models is real needs them paired on the same
rows, which is the gates' work.

The interval is the bootstrap's percentiles, moved so that their median is the value, and cut at the metric's bounds;
lower <= value <= upper is then a law. Measured on 300 to 5,000 rows, 93 to 97 of 100 hold the truth at .95, with 60
resamples already (percentiles of few must be taken at k / (resamples + 1), else 90 do). The calibration error needs
more: chance makes it positive, and a resample more so, by the same step again. So its lower end is reflected, twice
the value less the upper percentile, which takes chance off: 94 to 98 of 100 hold the truth of a model that is
miscalibrated, and for a perfect one the interval begins at 0 in two of three cases, instead of never.
"""

from collections.abc import Iterator
from functools import partial
from typing import Protocol

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray

from mlops_assets.learning.inputs import as_levels
from mlops_assets.learning.metrics import (
    Numbers,
    average_precision,
    calibration_error,
    expected_profit,
    f1,
    lift,
    log_loss,
    roc_auc,
)

__all__ = [
    "METRICS",
    "Metrics",
    "OutOfSampleScores",
    "average_precision",
    "calibration_error",
    "evaluate",
    "expected_profit",
    "f1",
    "lift",
    "log_loss",
    "profit_threshold",
    "roc_auc",
]

METRICS = {
    "log_loss": (0, np.inf),
    "roc_auc": (0, 1),
    "average_precision": (0, 1),
    "f1": (0, 1),
    "calibration_error": (0, 1),
    "lift_at_10": (0, 10),
    "expected_profit": (-np.inf, np.inf),
}
"""Each metric with the least and the greatest value it can take."""

ROW = ["batch", "customer_id"]
"""What names a row: a customer may be in many batches."""


class OutOfSampleScores(pa.DataFrameModel):
    """The scores a candidate is judged by: each of a row its model had not learned from."""

    candidate: str = pa.Field(str_length={"min_value": 1}, description="name of the recipe, or of the baseline")
    scheme: str = pa.Field(isin=["out_of_fold", "rolling_origin"], description="how the row was kept from the model")
    fold: str = pa.Field(description="the rows scored by one model: a fold, or in a rolling origin the batch")
    customer_id: str = pa.Field(description="who")
    batch: str = pa.Field(str_matches=r"^\d{4}-(0[1-9]|1[0-2])$", description="month of the snapshot, YYYY-MM")
    label: int = pa.Field(isin=[0, 1], description="1: the customer left")
    weight: float = pa.Field(gt=0, description="customers the row stands for")
    score: float = pa.Field(ge=0, le=1, description="probability of leaving")

    class Config:
        """A closed table, one score for each row of a candidate and scheme."""

        strict = True
        coerce = False
        unique = ["candidate", "scheme", "customer_id", "batch"]  # noqa: RUF012 - pandera reads a plain list


class Metrics(pa.DataFrameModel):
    """How good each candidate is: one metric of one part of the rows per line, with its interval."""

    candidate: str = pa.Field(description="name of the recipe, or of the baseline")
    scheme: str = pa.Field(isin=["out_of_fold", "rolling_origin"], description="how rows were kept from the model")
    cut: str = pa.Field(description="`overall`, `fold`, or the column that the rows are cut by")
    level: str = pa.Field(description="which part of the cut; `all` overall")
    metric: str = pa.Field(isin=list(METRICS), description="what is measured")
    value: float = pa.Field(nullable=True, description="in the metric's unit; null where it has no meaning")
    lower: float = pa.Field(nullable=True, description="of the bootstrap interval")
    upper: float = pa.Field(nullable=True, description="of the bootstrap interval")
    rows: int = pa.Field(ge=1, description="scored customers in the part")
    positives: int = pa.Field(ge=0, description="those of them who left")

    class Config:
        """A closed table, one line for each metric of a part."""

        strict = True
        coerce = False
        unique = ["candidate", "scheme", "cut", "level", "metric"]  # noqa: RUF012 - pandera reads a plain list

    @pa.dataframe_check
    @classmethod
    def the_interval_holds_the_value(cls, table: pd.DataFrame) -> pd.Series:
        """Where there is one."""
        known = table[["value", "lower", "upper"]].notna().all(axis="columns")
        return ~known | ((table.lower <= table.value) & (table.value <= table.upper))

    @pa.dataframe_check
    @classmethod
    def positives_are_rows(cls, table: pd.DataFrame) -> pd.Series:
        """No more of them than rows."""
        return table.positives <= table.rows


class Measure(Protocol):
    """A metric with everything but the rows settled."""

    def __call__(self, y: Numbers, scores: Numbers, weights: Numbers, /) -> Numbers:
        """One value for each leading index of `weights`."""


def profit_threshold(*, offer_cost: float, kept_customer_value: float, success_rate: float) -> float:
    """The least score at which an offer pays for itself: cost / (value * success rate), in (0, 1).

    A customer who leaves with probability p is kept with p * success_rate, so that an offer brings
    p * success_rate * value - cost, which is above 0 exactly when p is above the threshold: the Bayes decision for
    calibrated scores, whatever the prevalence. Source: Elkan (2001), The foundations of cost-sensitive learning.
    Raises ValueError when even a certain leaver is not worth an offer.
    """
    threshold = offer_cost / (kept_customer_value * success_rate)
    if threshold >= 1:
        message = (
            f"an offer costs {offer_cost} and brings {kept_customer_value} * {success_rate} at best: it never pays. "
            "Change `economics`, or leave offers off."
        )
        raise ValueError(message)
    return threshold


def evaluate(
    scores: pd.DataFrame,
    segments: pd.DataFrame,
    *,
    threshold: float,
    offer_cost: float,
    kept_customer_value: float,
    success_rate: float,
    interval: float,
    resamples: int,
    calibration_bins: int,
    seed: int,
) -> pd.DataFrame:
    """`Metrics` of all candidates in `scores` (`OutOfSampleScores`), overall, by fold and by each column of `segments`.

    `segments` has `batch` and `customer_id` (as columns or index) and object columns to cut by, under each scheme: of a
    model of recent months only the rolling origin speaks. `threshold` is the least score that gets an offer, `interval`
    the confidence in (0, 1).
    Raises ValueError when a scored row has no segment.
    """
    measures: dict[str, Measure] = {
        "log_loss": log_loss,
        "roc_auc": roc_auc,
        "average_precision": average_precision,
        "f1": partial(f1, threshold=threshold),
        "calibration_error": partial(calibration_error, bins=calibration_bins),
        "lift_at_10": partial(lift, share=0.1),
        "expected_profit": partial(
            expected_profit, threshold=threshold, cost=offer_cost, gain=kept_customer_value * success_rate
        ),
    }
    parts = [
        _measure(part, measures, interval=interval, resamples=resamples, seed=seed).assign(**names)
        for names, part in _parts(_with_segments(scores, segments))
    ]
    if not parts:
        return Metrics.empty()
    return pd.concat(parts, ignore_index=True)[list(Metrics.to_schema().columns)]


def _with_segments(scores: pd.DataFrame, segments: pd.DataFrame) -> pd.DataFrame:
    keyed = segments if set(ROW) <= set(segments) else segments.reset_index()
    table = scores.merge(keyed, how="left", on=ROW, validate="many_to_one", indicator="_found")
    if (lost := table._found == "left_only").any():  # noqa: SLF001 - a column, not a private attribute
        example = table.loc[lost, ROW].iloc[0].tolist()
        message = (
            f"{lost.sum()} scored rows have no segment, the first is {example}. Build segments from the same rows."
        )
        raise ValueError(message)
    # By falling score, as the ranking metrics need them: sorted once, not for each. The row's name settles ties.
    return table.drop(columns="_found").sort_values(["score", *ROW], ascending=[False, True, True], ignore_index=True)


def _parts(table: pd.DataFrame) -> Iterator[tuple[dict[str, str], pd.DataFrame]]:
    segments = [column for column in table if column not in OutOfSampleScores.to_schema().columns]
    for (candidate, scheme), rows in table.groupby(["candidate", "scheme"]):
        names = {"candidate": str(candidate), "scheme": str(scheme)}
        yield {**names, "cut": "overall", "level": "all"}, rows
        for cut in ["fold", *segments]:
            for level, part in rows.groupby(as_levels(rows[cut])):
                yield {**names, "cut": str(cut), "level": str(level)}, part


def _measure(
    rows: pd.DataFrame, measures: dict[str, Measure], *, interval: float, resamples: int, seed: int
) -> pd.DataFrame:
    y, scores, weights = (rows[column].to_numpy(np.float64) for column in ("label", "score", "weight"))
    person, customers = pd.factorize(rows.customer_id)
    drawn = np.random.default_rng(seed).integers(len(customers), size=(resamples, len(customers)), dtype=np.int32)
    counts = np.stack([np.bincount(resample, minlength=len(customers))[person] for resample in drawn])
    # The rows themselves come first, their resamples after: one pass gives the values and the intervals.
    tables = np.vstack([weights, counts * weights])
    bounds = np.array([METRICS[name] for name in measures])
    values = np.array([measure(y, scores, tables) for measure in measures.values()]).clip(*bounds.T[..., None])
    upward = np.array([name == "calibration_error" for name in measures])
    lower, upper = _interval(values[:, 0], values[:, 1:], interval, upward=upward).clip(*bounds.T)
    table = pd.DataFrame({"metric": list(measures), "value": values[:, 0], "lower": lower, "upper": upper})
    return table.assign(rows=len(rows), positives=int(y.sum()))


def _interval(value: Numbers, resampled: Numbers, interval: float, *, upward: NDArray[np.bool_]) -> Numbers:
    """Lower and upper end, shape (2, m), of `value`, shape (m,); NaN where most of `resampled`, (m, B), is.

    `upward`, shape (m,), marks the metrics that chance makes larger; the first paragraphs of this module say why.
    """
    known = np.isfinite(value) & (np.isfinite(resampled).mean(axis=1) > 0.5)  # noqa: PLR2004 - most of them
    levels = [(1 - interval) / 2, 0.5, (1 + interval) / 2]
    low, median, high = np.nanquantile(resampled[known], levels, axis=1, method="weibull")
    middle = value[known]
    ends = np.full((2, len(value)), np.nan)
    ends[0, known] = np.where(upward[known], np.minimum(middle, 2 * middle - high), middle + (low - median))
    ends[1, known] = middle + (high - median)
    return ends
