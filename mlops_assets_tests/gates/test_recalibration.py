"""A recalibration tells whether scores mean what they say, and nothing about who was scored."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.gates.estimates import Estimate
from mlops_assets.gates.persons import Floats
from mlops_assets.gates.recalibration import (
    Recalibration,
    auc,
    difference_p_value,
    recalibrate,
    standard_errors_apart,
)

RNG = np.random.default_rng(3)
LOGITS = RNG.normal(-1, 1.5, 20_000)
SCORES = 1 / (1 + np.exp(-LOGITS))
ONES = np.ones(len(SCORES))
UNIFORM = RNG.random(len(SCORES))


def fit(labels: Floats, scores: Floats, weights: Floats) -> Recalibration:
    found = recalibrate(labels, scores, weights)
    assert found is not None
    return found


@given(intercept=st.floats(-1, 1), slope=st.floats(0.3, 2))
@settings(max_examples=25, deadline=None)
def test_the_relation_that_made_the_labels_is_found(intercept: float, slope: float) -> None:
    labels = (1 / (1 + np.exp(-intercept - slope * LOGITS)) > UNIFORM).astype(float)

    found = fit(labels, SCORES, ONES)

    errors = np.sqrt(np.diag(found.covariance))
    assert (np.abs(found.coefficients - [intercept, slope]) < 4.5 * errors).all()


def test_it_is_the_maximum_likelihood_fit_of_scikit_learn() -> None:
    from sklearn.linear_model import LogisticRegression

    labels = (UNIFORM < SCORES**1.3).astype(float)
    weights = RNG.uniform(1, 10, len(labels))
    theirs = LogisticRegression(C=1e12, tol=1e-10).fit(LOGITS[:, None], labels, sample_weight=weights)

    found = fit(labels, SCORES, weights).coefficients

    assert found == pytest.approx([theirs.intercept_[0], theirs.coef_[0, 0]], abs=1e-4)


@given(scale=st.floats(1e-3, 1e3))
@settings(max_examples=10, deadline=None)
def test_only_the_ratios_of_weights_matter(scale: float) -> None:
    few = slice(None, 500)
    labels, weights = (UNIFORM < SCORES).astype(float)[few], RNG.uniform(1, 10, 500)

    plain, scaled = (fit(labels, SCORES[few], w) for w in (weights, weights * scale))

    assert scaled.coefficients == pytest.approx(plain.coefficients)
    assert scaled.covariance == pytest.approx(plain.covariance)


def test_a_row_that_weighs_ten_is_not_ten_rows() -> None:
    few = slice(None, 500)
    labels = (UNIFORM < SCORES).astype(float)[few]
    heavy = np.where(np.arange(500) % 10 == 0, 10.0, 1.0)

    weighted, plain = fit(labels, SCORES[few], heavy), fit(labels, SCORES[few], np.ones(500))

    assert (np.diag(weighted.covariance) > 1.5 * np.diag(plain.covariance)).all()


def test_the_errors_are_as_large_as_the_estimates_scatter() -> None:
    found = []
    for seed in range(400):
        rows = np.random.default_rng(seed).integers(0, len(SCORES), 600)
        weights = np.where(rows % 3 == 0, 5.0, 1.0)
        labels = (np.random.default_rng(seed + 1000).random(600) < SCORES[rows]).astype(float)
        found.append(fit(labels, SCORES[rows], weights))

    scatter = np.std([one.coefficients for one in found], axis=0)
    told = np.sqrt(np.mean([np.diag(one.covariance) for one in found], axis=0))
    # A standard deviation of 400 is known to 3.5 %; three of them, and some for the tails.
    assert told == pytest.approx(scatter, rel=0.13)


def test_scores_that_part_the_labels_without_an_error_have_no_fit() -> None:
    assert recalibrate((SCORES > 0.5).astype(float), SCORES, ONES) is None


def test_one_score_for_all_has_no_fit() -> None:
    assert recalibrate((UNIFORM < 0.5).astype(float), np.full(len(ONES), 0.3), ONES) is None


def test_a_score_of_0_or_1_is_no_infinity() -> None:
    scores = SCORES.copy()
    scores[:2] = 0, 1

    assert np.isfinite(fit((UNIFORM < SCORES).astype(float), scores, ONES).coefficients).all()


def test_equal_recalibrations_do_not_differ() -> None:
    one = fit((UNIFORM < SCORES).astype(float), SCORES, ONES)

    assert difference_p_value(one, one) == 1


def test_the_p_value_of_two_recalibrations_is_walds() -> None:
    from scipy.stats import chi2

    rng = np.random.default_rng(1)
    # Two rows whose influences are apart: their squares are the covariance.
    errors = [np.diag(rng.uniform(0.3, 1, 2)) for _ in range(2)]
    one, other = (Recalibration(rng.normal(size=2), error**2, error, np.eye(2)) for error in errors)
    distance = ((one.coefficients - other.coefficients) ** 2 / np.diag(one.covariance + other.covariance)).sum()

    assert difference_p_value(one, other) == pytest.approx(chi2.sf(distance, 2))


def test_the_area_is_scikit_learns_and_its_interval_stays_in_bounds() -> None:
    from sklearn.metrics import roc_auc_score

    few = slice(None, 60)
    labels = (UNIFORM < SCORES).astype(float)[few]
    weights = RNG.uniform(1, 5, 60)

    found = auc(labels, SCORES[few], weights, interval=0.9999)

    assert found.value == pytest.approx(roc_auc_score(labels, SCORES[few], sample_weight=weights))
    assert 0 <= found.lower <= found.value <= found.upper <= 1


def test_a_distance_is_counted_in_standard_errors_of_both() -> None:
    then, now = Estimate(1.0, 1 - 1.96 * 0.3, 1 + 1.96 * 0.3), Estimate(2.0, 2 - 1.96 * 0.4, 2 + 1.96 * 0.4)

    assert standard_errors_apart(then, now, interval=0.95) == pytest.approx(2, abs=1e-4)


def test_figures_without_an_interval_are_not_apart() -> None:
    assert standard_errors_apart(Estimate(1, 1, 1), Estimate(2, 2, 2), interval=0.95) == 0
