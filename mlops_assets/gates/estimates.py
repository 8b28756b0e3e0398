"""Decides how good scores are, how much better than others on the same rows, and how sure that is.

Intervals are analytic, not resampled: as tight, quicker by orders, and the same every time without a seed. Differences
are paired by row, because two models are wrong about the same customers: on one month the loss of either has a standard
error many times that of their difference. Rows are taken to be independent; weights are inverse chances, so that only
their ratios matter (Hajek's estimator, its variance linearised).
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

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


def mean_with_interval(values: Floats, weights: Floats, *, interval: float) -> Estimate:
    """Weighted mean and its normal interval, shapes (n,), n >= 2, weights > 0; `interval` in (0, 1), such as .95."""
    mean = float(np.average(values, weights=weights))
    return _normal(mean, mean_variance(values, weights), interval)


def mean_variance(values: Floats, weights: Floats) -> float:
    """Variance of the weighted mean, linearised; shapes (n,), n >= 2.

    Source: Sarndal, Swensson & Wretman (1992), Model Assisted Survey Sampling, result 5.8.1, with n / (n - 1).
    """
    shares = weights / weights.sum()
    deviations = shares * (values - np.average(values, weights=weights))
    return float(np.square(deviations).sum() * len(values) / (len(values) - 1))


def loss_gain(labels: Floats, champion: Floats, challenger: Floats, weights: Floats, *, interval: float) -> Estimate:
    """Mean log-loss of the champion less that of the challenger, paired by row; nats, positive: challenger better."""
    return mean_with_interval(row_losses(labels, champion) - row_losses(labels, challenger), weights, interval=interval)


def auc_gain(labels: Floats, champion: Floats, challenger: Floats, weights: Floats, *, interval: float) -> Estimate:
    """Area under the ROC curve of the challenger less that of the champion, paired by row; both labels occur twice.

    Source: DeLong, DeLong & Clarke-Pearson (1988), Comparing the areas under two or more correlated ROC curves, with
    the structural components as in Sun & Xu (2014), weighted.
    """
    positive = labels == 1
    gained = [
        ours - theirs
        for ours, theirs in zip(
            auc_components(positive, challenger, weights), auc_components(positive, champion, weights), strict=True
        )
    ]
    parts = [weights[positive], weights[~positive]]
    variance = sum(mean_variance(values, part) for values, part in zip(gained, parts, strict=True))
    return _normal(float(np.average(gained[0], weights=parts[0])), variance, interval)


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


def _normal(value: float, variance: float, interval: float) -> Estimate:
    """Normal interval around `value`."""
    width = NormalDist().inv_cdf((1 + interval) / 2) * variance**0.5
    return Estimate(value, value - width, value + width)
