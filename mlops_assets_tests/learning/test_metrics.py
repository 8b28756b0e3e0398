"""The metrics are scikit-learn's, weights and ties included; a table of weights gives one for each of its rows."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import sklearn.calibration
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

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

Metric = Callable[[Numbers, Numbers, Numbers], Numbers]

METRICS: dict[str, Metric] = {
    "log_loss": log_loss,
    "roc_auc": roc_auc,
    "average_precision": average_precision,
    "f1": partial(f1, threshold=0.4),
    "calibration_error": partial(calibration_error, bins=4),
    "lift": partial(lift, share=0.1),
    "expected_profit": partial(expected_profit, threshold=0.4, cost=10, gain=30),
}
each = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS.keys())


@st.composite
def judged(draw: st.DrawFn) -> tuple[Numbers, Numbers, Numbers]:
    """Labels of both classes, scores with many ties, weights: shape (n,) each."""
    n = draw(st.integers(2, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    y = np.concatenate([[0.0, 1.0], rng.integers(0, 2, n - 2).astype(float)])
    digits = draw(st.integers(1, 4))
    return y, rng.random(n).round(digits).clip(0.01, 0.99), rng.integers(1, 5, n).astype(float)


@given(rows=judged())
def test_log_loss_is_scikit_learns(rows: tuple[Numbers, Numbers, Numbers]) -> None:
    y, scores, weights = rows

    assert log_loss(*rows) == pytest.approx(sklearn.metrics.log_loss(y, scores, sample_weight=weights))


@given(rows=judged())
def test_roc_auc_is_scikit_learns(rows: tuple[Numbers, Numbers, Numbers]) -> None:
    y, scores, weights = rows

    assert roc_auc(*rows) == pytest.approx(sklearn.metrics.roc_auc_score(y, scores, sample_weight=weights))


@given(rows=judged())
def test_average_precision_is_scikit_learns(rows: tuple[Numbers, Numbers, Numbers]) -> None:
    y, scores, weights = rows

    theirs = sklearn.metrics.average_precision_score(y, scores, sample_weight=weights)
    assert average_precision(*rows) == pytest.approx(theirs)


@given(rows=judged(), threshold=st.floats(0.05, 0.95))
def test_f1_is_scikit_learns(rows: tuple[Numbers, Numbers, Numbers], threshold: float) -> None:
    y, scores, weights = rows

    theirs = sklearn.metrics.f1_score(y, scores >= threshold, sample_weight=weights, zero_division=0.0)
    assert f1(*rows, threshold=threshold) == pytest.approx(theirs)


@given(seed=st.integers(0, 2**32), bins=st.integers(2, 12))
def test_calibration_error_is_the_mean_distance_of_scikit_learns_calibration_curve(seed: int, bins: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.random(50 * bins)  # no ties, so that every quantile bin holds 50 rows
    y = (rng.random(scores.size) < scores).astype(float)

    happened, said = sklearn.calibration.calibration_curve(y, scores, n_bins=bins, strategy="quantile")
    ours = calibration_error(y, scores, np.ones(scores.size), bins=bins)
    assert ours == pytest.approx(np.abs(happened - said).mean(), abs=2 / scores.size)


def test_a_score_that_knows_the_truth_finds_every_leaver_in_the_first_tenth() -> None:
    y = np.repeat([1.0, 0.0], [10, 90])

    assert lift(y, y, np.ones(100), share=0.1) == pytest.approx(10)


@given(share=st.floats(0.01, 1), prevalence=st.floats(0.1, 0.9))
def test_a_score_that_says_nothing_has_a_lift_of_one(share: float, prevalence: float) -> None:
    y = (np.arange(100) < 100 * prevalence).astype(float)

    assert lift(y, np.full(100, 0.3), np.ones(100), share=share) == pytest.approx(1)


def test_profit_is_what_the_kept_bring_less_what_all_offers_cost() -> None:
    y, scores = np.array([1.0, 0.0, 1.0, 0.0]), np.array([0.9, 0.5, 0.1, 0.1])
    profit = expected_profit(y, scores, np.ones(4), threshold=0.5, cost=10, gain=30)

    assert profit == pytest.approx(1000 * (30 - 2 * 10) / 4)


@pytest.mark.parametrize("name", [name for name in METRICS if name != "calibration_error"])  # its bins are of rows
@settings(max_examples=30)
@given(rows=judged())
def test_a_weight_counts_like_as_many_rows(name: str, rows: tuple[Numbers, Numbers, Numbers]) -> None:
    y, scores, weights = rows
    times = weights.astype(int)
    repeated = METRICS[name](np.repeat(y, times), np.repeat(scores, times), np.ones(times.sum()))

    np.testing.assert_allclose(METRICS[name](y, scores, weights), repeated, atol=1e-9)


@each
@settings(max_examples=30)
@given(rows=judged(), seed=st.integers(0, 2**32))
def test_a_table_of_weights_gives_the_metric_of_each_of_its_rows(
    metric: Metric, rows: tuple[Numbers, Numbers, Numbers], seed: int
) -> None:
    y, scores, weights = rows
    tables = weights * np.random.default_rng(seed).integers(0, 3, (5, len(y)))

    np.testing.assert_allclose(metric(y, scores, tables), [metric(y, scores, table) for table in tables])


@each
@settings(max_examples=30)
@given(rows=judged(), seed=st.integers(0, 2**32))
def test_the_order_of_rows_does_not_matter(metric: Metric, rows: tuple[Numbers, Numbers, Numbers], seed: int) -> None:
    shuffled = np.random.default_rng(seed).permutation(len(rows[0]))

    np.testing.assert_allclose(metric(*(values[shuffled] for values in rows)), metric(*rows), atol=1e-9)


@pytest.mark.parametrize("name", ["roc_auc", "average_precision", "f1", "lift"])
def test_without_a_leaver_ranking_has_no_meaning(name: str) -> None:
    assert np.isnan(METRICS[name](np.zeros(5), np.linspace(0, 1, 5), np.ones(5)))
