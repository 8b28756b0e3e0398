"""Decides how each metric of a score is computed, weighted, and for many resamples at once.

Every metric takes `y` and `scores`, shape (n,), and `weights`, shape (..., n), and gives one value for each leading
index of the weights, shape (...). Plain weights give the figure itself; a matrix of resampling counts times weights
gives its bootstrap, without a loop. The values are scikit-learn's, ties included. NaN where a metric has no meaning,
as the ROC of one class.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")
"""Of a run of equal scores: its begin, its end."""


def log_loss(y: Numbers, scores: Numbers, weights: Numbers) -> Numbers:
    """Mean of -log(probability given to what happened), in nats, >= 0; 0 is perfect."""
    tiny = np.finfo(np.float64).eps  # scikit-learn's: one certain and wrong score costs 36, not infinity
    given = np.clip(np.where(y == 1, scores, 1 - scores), tiny, 1)
    return _mean(-np.log(given), weights)


def roc_auc(y: Numbers, scores: Numbers, weights: Numbers) -> Numbers:
    """Probability that a random positive scores above a random negative, ties counting half; in [0, 1]."""
    rank = ranked(y, scores, weights)
    negatives_above = (rank.before + rank.through - rank.positives_before - rank.positives_through) / 2
    pairs = rank.positives * (rank.total - rank.positives)
    return _ratio(pairs - (rank.weights * negatives_above).sum(-1), pairs)


def average_precision(y: Numbers, scores: Numbers, weights: Numbers) -> Numbers:
    """Precision at each threshold, averaged with the recall gained there; in [0, 1], by chance the prevalence."""
    rank = ranked(y, scores, weights)
    precision = _ratio(rank.positives_through, rank.through, otherwise=0.0)
    return _ratio((rank.weights * precision).sum(-1), rank.positives)


def f1(y: Numbers, scores: Numbers, weights: Numbers, *, threshold: float) -> Numbers:
    """Harmonic mean of precision and recall of `score >= threshold`; in [0, 1], NaN without a positive."""
    contacted = scores >= threshold
    hits = weights @ (y * contacted)
    return np.where(weights @ y > 0, _ratio(2 * hits, weights @ y + weights @ contacted.astype(np.float64)), np.nan)


def calibration_error(y: Numbers, scores: Numbers, weights: Numbers, *, bins: int) -> Numbers:
    """Mean distance of the mean score from the share of positives, over quantile bins of the score; in [0, 1].

    Chance alone makes it positive: a perfect model's expectation grows with bins / n (.012 at 7,000 rows and 15 bins).
    Source: Naeini, Cooper & Hauskrecht (2015), Obtaining well calibrated probabilities using Bayesian binning.
    """
    members = np.eye(bins)[quantile_bin(scores, bins)]
    # Not `@`: the order in which BLAS sums depends on its threads, and so would the digest of an evaluation.
    gaps = np.einsum("...n,nb->...b", weights, members * (y - scores)[:, None])
    return _ratio(np.abs(gaps).sum(-1), weights.sum(-1))


def lift(y: Numbers, scores: Numbers, weights: Numbers, *, share: float) -> Numbers:
    """How many times the prevalence is found in the `share` of customers who score highest; 1 is chance.

    Customers who tie at the edge count in part, so that the order of rows does not matter.
    """
    rank = ranked(y, scores, weights)
    edge = share * rank.total[..., None]
    taken = _ratio(edge - rank.before, rank.through - rank.before, otherwise=0.0).clip(0, 1)
    return _ratio((rank.weights * taken).sum(-1), share * rank.positives)


def expected_profit(
    y: Numbers, scores: Numbers, weights: Numbers, *, threshold: float, cost: float, gain: float
) -> Numbers:
    """Profit of an offer to everyone with `score >= threshold`, per 1,000 customers, in the currency of `cost`.

    An offer costs `cost` each and brings `gain` (value of a kept customer times the chance to keep him) for each who
    would have left.
    """
    contacted = scores >= threshold
    return 1000 * _mean(contacted * (gain * y - cost), weights)


def quantile_bin(scores: Numbers, bins: int) -> NDArray[np.intp]:
    """The bin of each score, 0 to at most `bins` - 1, shape (n,); equal scores share a bin, so there may be fewer."""
    edges = np.quantile(scores, np.arange(1, bins) / bins)
    return np.asarray(np.searchsorted(np.unique(edges), scores), dtype=np.intp)


@dataclass(frozen=True, slots=True)
class Ranking:
    """The positives by falling score, each with the weight ranked above it; shape (..., positives) or (...)."""

    weights: Numbers  # of each positive
    before: Numbers  # of the rows that score higher
    through: Numbers  # of the rows that score as high or higher
    positives_before: Numbers  # of the positives that score higher
    positives_through: Numbers  # of the positives that score as high or higher
    total: Numbers  # of all rows
    positives: Numbers  # of all positives


def ranked(y: Numbers, scores: Numbers, weights: Numbers) -> Ranking:
    """What the ranking metrics share; it looks at the positives only, a quarter of the rows."""
    order = np.argsort(-scores, kind="stable")
    if not np.array_equal(order, np.arange(len(order))):  # rows that are in order already need no copy
        y, scores, weights = y[order], scores[order], weights[..., order]
    where = np.flatnonzero(y)
    above, below = -scores, -scores[where]
    hits = weights[..., where]
    running, running_hits = _running(weights), _running(hits)
    before, through = (running[..., np.searchsorted(above, below, side)] for side in SIDES)
    hits_before, hits_through = (running_hits[..., np.searchsorted(below, below, side)] for side in SIDES)
    return Ranking(hits, before, through, hits_before, hits_through, running[..., -1], running_hits[..., -1])


def _running(weights: Numbers) -> Numbers:
    """Sums of the first 0, 1, ... n weights, shape (..., n + 1)."""
    sums = np.zeros((*weights.shape[:-1], weights.shape[-1] + 1))
    np.cumsum(weights, axis=-1, out=sums[..., 1:])
    return sums


def _mean(values: Numbers, weights: Numbers) -> Numbers:
    return _ratio(weights @ values, weights.sum(-1))


def _ratio(above: Numbers, below: Numbers, *, otherwise: float = np.nan) -> Numbers:
    ratio = np.full(np.broadcast(above, below).shape, otherwise)
    np.divide(above, below, out=ratio, where=below > 0)
    return ratio
