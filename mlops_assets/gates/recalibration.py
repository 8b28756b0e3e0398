"""Decides how well scores kept their word once labels are known: how they rank, and whether they mean what they say.

A logistic regression of the labels on the log-odds of the scores tells both at once: scores that kept their word have
intercept 0 and slope 1. All labels a little more frequent moves the intercept, a relation that weakened the slope. It
looks at the labels given the scores, so a change of the customers alone moves neither, which cannot be said of a mean
loss; and it sees a change of the level, which a ranking does not.
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from mlops_assets.gates.estimates import Estimate, auc_components, auc_variance, mean_with_interval
from mlops_assets.gates.persons import Codes, Floats, summed

CERTAIN = 1e-6
"""Scores are kept this far from 0 and 1, so that one certain row does not decide the slope."""

STEPS, SETTLED = 50, 1e-9
"""Newton's steps before it is said to have no end, and the step that ends it."""


@dataclass(frozen=True, slots=True)
class Recalibration:
    """Intercept and slope, shape (2,), of label on log-odds of the score, and their covariance, shape (2, 2).

    `influences`, shape (n, 2): by how much each row moved them; `persons`: who the rows are. `information`, shape
    (2, 2): of a row, on average.
    """

    coefficients: Floats
    covariance: Floats
    influences: Floats
    information: Floats
    persons: Codes | None = None


@dataclass(frozen=True, slots=True)
class Performance:
    """How scores kept their word on some rows.

    `promised`, `observed`: weighted mean of scores and of labels, in [0, 1]; `gap` is observed less promised. `auc`:
    area under the ROC curve. `slope`: of the recalibration; 1 if log-odds differ as much as they say, less if they
    exaggerate. Intervals are two-sided.
    """

    rows: int
    positives: int
    promised: float
    observed: float
    auc: Estimate
    gap: Estimate
    slope: Estimate


def recalibrate(labels: Floats, scores: Floats, weights: Floats, persons: Codes | None = None) -> Recalibration | None:
    """The weighted fit and its sandwich covariance by person (with g / (g - 2)); shapes (n,), weights > 0.

    None where there is no such fit: one score for all rows, or scores that part the labels without an error. The
    sandwich, since an inverse chance makes a row weigh more and not occur more often (Huber 1967, White 1982).
    Source: Cox (1958), Two further applications of a model for binary regression.
    """
    logits = _logits(scores)
    X = np.column_stack([np.ones(len(logits)), logits])
    shares = weights / weights.mean()
    if np.ptp(logits) < SETTLED:
        return None
    found = np.zeros(2)
    for _ in range(STEPS):
        fitted = 1 / (1 + np.exp(-np.clip(X @ found, -30, 30)))
        information = (X * (shares * fitted * (1 - fitted))[:, None]).T @ X
        # A level out of reach, as where the labels part without an error: the information runs dry.
        if not np.linalg.det(information) > SETTLED * np.trace(information) ** 2:
            return None
        step = np.linalg.solve(information, X.T @ (shares * (labels - fitted)))
        found = found + step
        if np.abs(step).max() < SETTLED:
            break
    else:
        return None
    inverse = np.linalg.inv(information)
    influences = (X * (shares * (labels - fitted))[:, None]) @ inverse
    count = len(labels) if persons is None else len(np.unique(persons))
    influences = influences * (count / max(1, count - 2)) ** 0.5
    by_person = summed(influences, persons)
    return Recalibration(found, by_person.T @ by_person, influences, information / len(labels), persons)


def difference_p_value(then: Recalibration, now: Recalibration) -> float:
    """Chance of two recalibrations that differ so much if both samples keep their word alike; in [0, 1].

    Wald's test: d' V^-1 d is chi-square with 2 degrees of freedom, whose tail is exp(-x / 2). V is the sum of both
    covariances, less what persons who are in both samples have in common.
    """
    moved = now.coefficients - then.coefficients
    distance = float(moved @ np.linalg.solve(_spread_of_difference(then, now), moved))
    return float(np.exp(-max(0.0, distance) / 2))


def harm(then: Recalibration, now: Recalibration) -> float:
    """Log-loss, nats a row, that scores which mean what they meant `then` lose `now`; >= 0.

    The second order of the loss in what moved: d' I d / 2, with the information of a row now.
    """
    moved = now.coefficients - then.coefficients
    return float(moved @ now.information @ moved / 2)


def _spread_of_difference(then: Recalibration, now: Recalibration) -> Floats:
    if then.persons is None or now.persons is None:
        return then.covariance + now.covariance
    codes = np.concatenate([then.persons, now.persons])
    by_person = summed(np.vstack([-then.influences, now.influences]), codes)
    covariance: Floats = by_person.T @ by_person
    return covariance


def measure(
    labels: Floats,
    scores: Floats,
    weights: Floats,
    recalibration: Recalibration,
    *,
    interval: float,
) -> Performance:
    """`Performance` on rows of both labels, at least two of each; shapes (n,), weights > 0."""
    slope, variance = float(recalibration.coefficients[1]), float(recalibration.covariance[1, 1])
    return Performance(
        rows=len(labels),
        positives=int((labels == 1).sum()),
        promised=float(np.average(scores, weights=weights)),
        observed=float(np.average(labels, weights=weights)),
        auc=auc(labels, scores, weights, interval=interval, persons=recalibration.persons),
        gap=mean_with_interval(labels - scores, weights, interval=interval, persons=recalibration.persons),
        slope=_normal(slope, variance, interval),
    )


def auc(labels: Floats, scores: Floats, weights: Floats, *, interval: float, persons: Codes | None = None) -> Estimate:
    """Weighted area under the ROC curve, in [0, 1], with the interval of DeLong et al. (1988), cut there."""
    positive = labels == 1
    ones, zeros = auc_components(positive, scores, weights)
    variance = auc_variance(positive, ones, zeros, weights, persons)
    whole = _normal(float(np.average(ones, weights=weights[positive])), variance, interval)
    return Estimate(whole.value, max(0.0, whole.lower), min(1.0, whole.upper))


def standard_errors_apart(then: Estimate, now: Estimate, *, interval: float) -> float:
    """Difference of two independent figures in standard errors, read off their intervals; positive: it rose."""
    z = NormalDist().inv_cdf((1 + interval) / 2)
    spread = np.hypot(then.upper - then.lower, now.upper - now.lower) / (2 * z)
    return float((now.value - then.value) / spread) if spread else 0.0


def _logits(scores: Floats) -> Floats:
    """Log-odds of scores in [0, 1]."""
    kept = np.clip(scores, CERTAIN, 1 - CERTAIN)
    logits: Floats = np.log(kept) - np.log1p(-kept)
    return logits


def _normal(value: float, variance: float, interval: float) -> Estimate:
    """Normal interval around `value`."""
    width = NormalDist().inv_cdf((1 + interval) / 2) * variance**0.5
    return Estimate(value, value - width, value + width)
