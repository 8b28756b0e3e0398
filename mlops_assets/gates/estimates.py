"""Decides how good scores are, how much better than others on the same rows, and how sure that is.

Intervals are analytic, not resampled: as tight, quicker by orders, and the same every time without a seed. Differences
are paired by row, because two models are wrong about the same customers: on one month the loss of either has a standard
error many times that of their difference. Persons are taken to be independent, and rows where `persons` is None;
weights are inverse chances, so that only their ratios matter (Hajek's estimator, its variance linearised).
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from mlops_assets.gates.persons import Codes, Floats, effective_rows, summed

PERFECT = 0.8
"""Mean absolute value of a standard normal figure: what a perfect model's bins are off by, in standard errors."""

ROUNDING = float(np.finfo(float).eps)
"""A score is kept this far from 0 and 1, as scikit-learn does, so that a certain error costs 36 and not infinity."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its two-sided interval, in the unit of the figure; lower <= value <= upper."""

    value: float
    lower: float
    upper: float


def row_losses(labels: Floats, scores: Floats) -> Floats:
    """Log-loss of each row in nats, >= 0; labels 0 or 1 and scores in [0, 1], both of shape (n,)."""
    chance = np.clip(np.where(labels == 1, scores, 1 - scores), ROUNDING, 1)
    losses: Floats = -np.log(chance)
    return losses


def mean_with_interval(values: Floats, weights: Floats, *, interval: float, persons: Codes | None = None) -> Estimate:
    """Weighted mean and its normal interval, shapes (n,), n >= 2, weights > 0; `interval` in (0, 1), such as .95."""
    mean = float(np.average(values, weights=weights))
    return _normal(mean, mean_variance(values, weights, persons), interval)


def mean_variance(values: Floats, weights: Floats, persons: Codes | None = None) -> float:
    """Variance of the weighted mean, linearised; shapes (n,), n >= 2. Infinite with a single person.

    Source: Sarndal, Swensson & Wretman (1992), Model Assisted Survey Sampling, result 5.8.1, with n / (n - 1), and for
    clusters of rows their sums in place of the rows.
    """
    shares = weights / weights.sum()
    return sum_variance(shares * (values - np.average(values, weights=weights)), persons)


def sum_variance(influences: Floats, persons: Codes | None) -> float:
    """Variance of a figure whose rows moved it by `influences`, shape (n,), summed by person; with g / (g - 1)."""
    sums = summed(influences, persons)
    count = len(sums) if persons is None else len(np.unique(persons))
    return float(np.square(sums).sum() * count / (count - 1)) if count > 1 else float("inf")


def loss_gain(
    labels: Floats,
    champion: Floats,
    challenger: Floats,
    weights: Floats,
    *,
    interval: float,
    persons: Codes | None = None,
) -> Estimate:
    """Mean log-loss of the champion less that of the challenger, paired by row; nats, positive: challenger better."""
    gains = row_losses(labels, champion) - row_losses(labels, challenger)
    return mean_with_interval(gains, weights, interval=interval, persons=persons)


def auc_gain(
    labels: Floats,
    champion: Floats,
    challenger: Floats,
    weights: Floats,
    *,
    interval: float,
    persons: Codes | None = None,
) -> Estimate:
    """Area under the ROC curve of the challenger less that of the champion, paired by row; both labels occur twice.

    Source: DeLong, DeLong & Clarke-Pearson (1988), Comparing the areas under two or more correlated ROC curves, with
    the structural components as in Sun & Xu (2014), weighted.
    """
    positive = labels == 1
    ours, theirs = (auc_components(positive, scores, weights) for scores in (challenger, champion))
    gained = ours[0] - theirs[0], ours[1] - theirs[1]
    variance = auc_variance(positive, *gained, weights, persons)
    return _normal(float(np.average(gained[0], weights=weights[positive])), variance, interval)


def auc_variance(
    positive: npt.NDArray[np.bool_], ones: Floats, zeros: Floats, weights: Floats, persons: Codes | None = None
) -> float:
    """Variance of an area, or of a difference of two, from its components of the rows of 1 and of 0.

    Source: Obuchowski (1997), Nonparametric analysis of clustered ROC curve data: the components of a person's rows of
    either label are added up before they are squared, with g / (g - 1) for the g persons who have that label. Infinite
    where a single person has one.
    """
    if persons is None:
        return mean_variance(ones, weights[positive]) + mean_variance(zeros, weights[~positive])
    influences = np.zeros(len(weights))
    for member, values in ((positive, ones), (~positive, zeros)):
        count = len(np.unique(persons[member]))
        if count < 2:  # noqa: PLR2004
            return float("inf")
        shares = (count / (count - 1)) ** 0.5 * weights[member] / weights[member].sum()
        influences[member] = shares * (values - np.average(values, weights=weights[member]))
    return float(np.square(summed(influences, persons)).sum())


def auc_components(positive: npt.NDArray[np.bool_], scores: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Weighted share of the other class that each row of 1, and of 0, is ranked right against; ties count half.

    Shapes (rows of 1,) and (rows of 0,), in [0, 1]; the weighted mean of either is the area under the curve.
    """
    ones, zeros = scores[positive], scores[~positive]
    return _share_below(ones, zeros, weights[~positive]), 1 - _share_below(zeros, ones, weights[positive])


def _share_below(values: Floats, others: Floats, weights: Floats) -> Floats:
    """Weighted share of `others` below each value, ties half; shape of `values`."""
    order = np.argsort(others, kind="stable")
    sums = np.concatenate([[0.0], np.cumsum(weights[order])])
    below, upto = (sums[np.searchsorted(others[order], values, side=side)] for side in ("left", "right"))
    shares: Floats = (below + upto) / 2 / sums[-1]
    return shares


def calibration_error(labels: Floats, scores: Floats, weights: Floats, *, bins: int) -> float:
    """Expected calibration error in [0, 1]: mean distance of score and share of 1 over bins of equal weight.

    Ties stay in one bin, so there may be fewer. Never 0 by chance alone: a perfect model shows about
    .8 sqrt(bins p (1 - p) / n). Source: Naeini, Cooper & Hauskrecht (2015), with quantile bins (Nixon et al. 2019).
    """
    order = np.argsort(scores, kind="stable")
    passed = (np.cumsum(weights[order]) - weights[order] / 2) / weights.sum()
    # Each score goes where its first row falls, hence ties together.
    first = np.searchsorted(scores[order], scores, side="left")
    bin_of = np.minimum((passed[first] * bins).astype(np.int64), bins - 1)
    distances = np.bincount(bin_of, weights=weights * (labels - scores), minlength=bins)
    return float(np.abs(distances).sum() / weights.sum())


def calibration_gap(
    labels: Floats, scores: Floats, weights: Floats, *, bins: int, persons: Codes | None = None
) -> float:
    """`calibration_error` beyond what chance alone shows, as a share of the spread of the labels; >= 0, no unit.

    Chance is that of a perfect model, .8 sqrt(bins p (1 - p) / n) with n effective rows; the spread is
    sqrt(p (1 - p)), so that the figure means the same at any share of 1 and at any number of rows.
    """
    rate = float(np.average(labels, weights=weights))
    spread = (rate * (1 - rate)) ** 0.5
    if not spread:
        return 0.0
    error = calibration_error(labels, scores, weights, bins=bins) / spread
    chance = PERFECT * (bins / effective_rows(weights, persons)) ** 0.5
    return float(max(0.0, error**2 - chance**2) ** 0.5)


def _normal(value: float, variance: float, interval: float) -> Estimate:
    """Normal interval around `value`."""
    width = NormalDist().inv_cdf((1 + interval) / 2) * variance**0.5
    return Estimate(value, value - width, value + width)
