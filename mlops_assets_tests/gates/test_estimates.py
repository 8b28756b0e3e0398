"""Figures agree with scikit-learn's, intervals with resampling."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from mlops_assets.gates import estimates
from mlops_assets.gates.persons import Floats

seeds = st.integers(0, 2**32 - 1)


def rows(seed: int, n: int = 400) -> tuple[Floats, Floats, Floats, Floats]:
    """Labels, scores of a champion with ties, of a better challenger, and weights."""
    rng = np.random.default_rng(seed)
    chance = 1 / (1 + np.exp(-rng.normal(-1, 1.5, n)))
    labels = (rng.random(n) < chance).astype(float)
    champion = np.clip(chance + rng.normal(0, 0.15, n), 0.01, 0.99).round(1).clip(0.05, 0.95)
    return labels, champion, chance, rng.uniform(0.5, 5, n)


@given(seed=seeds)
@settings(max_examples=20, deadline=None)
def test_the_gains_are_differences_of_scikit_learns_metrics(seed: int) -> None:
    labels, champion, challenger, weights = rows(seed)

    loss = estimates.loss_gain(labels, champion, challenger, weights, interval=0.95)
    auc = estimates.auc_gain(labels, champion, challenger, weights, interval=0.95)

    losses = [log_loss(labels, scores, sample_weight=weights) for scores in (champion, challenger)]
    areas = [roc_auc_score(labels, scores, sample_weight=weights) for scores in (champion, challenger)]
    assert loss.value == pytest.approx(losses[0] - losses[1])
    assert auc.value == pytest.approx(areas[1] - areas[0])


def test_the_intervals_are_as_wide_as_resampling_makes_them() -> None:
    labels, champion, challenger, weights = rows(5, 1000)
    rng = np.random.default_rng(11)
    gains = np.array(
        [
            [
                gain(labels[i], champion[i], challenger[i], weights[i], interval=0.95).value
                for gain in (estimates.loss_gain, estimates.auc_gain)
            ]
            for i in (rng.integers(0, 1000, 1000) for _ in range(600))
        ]
    )

    for column, gain in enumerate((estimates.loss_gain, estimates.auc_gain)):
        estimate = gain(labels, champion, challenger, weights, interval=0.95)
        # 600 resamples know a standard deviation to 3 %; four times that is the bound.
        assert estimate.upper - estimate.lower == pytest.approx(2 * 1.96 * gains[:, column].std(), rel=0.12)


def test_a_certain_error_costs_much_and_not_everything() -> None:
    (loss,) = estimates.row_losses(np.array([1.0]), np.array([0.0]))

    assert 30 < loss < 40


@given(seed=seeds, bins=st.integers(1, 20))
@settings(max_examples=20, deadline=None)
def test_the_calibration_error_lies_between_the_bias_and_the_mean_error(seed: int, bins: int) -> None:
    labels, champion, _, weights = rows(seed)

    error = estimates.calibration_error(labels, champion, weights, bins=bins)

    assert error >= abs(np.average(labels - champion, weights=weights)) - 1e-12
    assert error <= np.average(np.abs(labels - champion), weights=weights) + 1e-12


def test_scores_that_mean_what_they_say_have_no_calibration_error() -> None:
    scores = np.repeat([0.25, 0.75], 4)

    error = estimates.calibration_error(np.array([1.0, 0, 0, 0, 1, 1, 1, 0]), scores, np.ones(8), bins=2)

    assert error == pytest.approx(0)


def test_tied_scores_share_a_bin_in_any_order_of_rows() -> None:
    labels = np.array([1.0, 0] * 50)

    by_order = [
        estimates.calibration_error(part, np.full(100, 0.5), np.ones(100), bins=10)
        for part in (labels, np.sort(labels))
    ]

    assert by_order == pytest.approx([0, 0])


def test_the_interval_of_a_plain_mean_is_the_textbooks() -> None:
    values = np.random.default_rng(8).normal(size=12)

    estimate = estimates.mean_with_interval(values, np.full(12, 3.0), interval=0.95)

    assert estimate.value == pytest.approx(values.mean())
    assert estimate.upper - estimate.value == pytest.approx(1.959964 * values.std(ddof=1) / np.sqrt(12))
    assert estimate.value - estimate.lower == pytest.approx(estimate.upper - estimate.value)
