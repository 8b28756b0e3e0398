"""Reasons are the model's own: they add up to its score, and the largest come first."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.learning.explanation import Importances, importances, shap_values, top_reasons
from mlops_assets.learning.training import load


@pytest.fixture(scope="module")
def shap(model: bytes, inputs: pd.DataFrame) -> pd.DataFrame:
    """Contributions to each score of `model`."""
    return shap_values(model, inputs)


def test_contributions_and_one_constant_add_up_to_the_log_odds_of_the_score(
    model: bytes, inputs: pd.DataFrame, shap: pd.DataFrame
) -> None:
    score = load(model)(inputs)
    constant = np.log(score / (1 - score)) - shap.sum(axis="columns")

    assert constant.max() - constant.min() < 1e-9


def test_contributions_lie_under_the_names_of_their_features(
    model: bytes, inputs: pd.DataFrame, shap: pd.DataFrame
) -> None:
    backwards = inputs[inputs.columns[::-1]]

    pd.testing.assert_frame_equal(shap_values(model, backwards), shap[backwards.columns])


def test_no_rows_have_no_contributions(model: bytes, inputs: pd.DataFrame) -> None:
    assert shap_values(model, inputs[:0]).shape == (0, inputs.shape[1])


def test_importances_keep_their_contract_and_the_largest_comes_first(shap: pd.DataFrame) -> None:
    table = Importances.validate(importances(shap, candidate="a"))

    assert table.mean_abs_shap.is_monotonic_decreasing


def test_a_model_that_no_feature_moves_has_importances_of_zero(shap: pd.DataFrame) -> None:
    table = Importances.validate(importances(shap * 0, candidate="a"))

    assert (table.share == 0).all()
    assert table.feature.is_monotonic_increasing  # ties by name


FACTS = pd.DataFrame(
    {"contract": ["Month-to-month", None], "tenure": [1.0, np.nan], "monthly_charges": [29.85, 100.0]}, index=["x", "y"]
)


def test_a_reason_names_the_feature_its_value_and_where_it_moves_the_score() -> None:
    effects = pd.DataFrame([[0.516, -1.0, 0.1], [0.2, 0.3, -0.4]], FACTS.index, FACTS.columns)

    reasons = top_reasons(effects, FACTS, count=2)

    assert list(reasons.loc["x"]) == ["tenure = 1 (-1.00)", "contract = Month-to-month (+0.52)"]
    assert list(reasons.loc["y"]) == ["monthly_charges = 100 (-0.40)", "tenure = (missing) (+0.30)"]
    assert list(reasons) == ["reason_1", "reason_2"]


effects = st.lists(st.lists(st.floats(-3, 3), min_size=3, max_size=3), min_size=2, max_size=2)


@given(values=effects)
def test_no_reason_left_out_is_larger_than_one_that_is_told(values: list[list[float]]) -> None:
    table = pd.DataFrame(values, FACTS.index, FACTS.columns)
    told = top_reasons(table, FACTS, count=2)

    for row in FACTS.index:
        names = [reason.split(" = ")[0] for reason in told.loc[row]]
        left_out = table.loc[row].drop(names).abs().max()
        assert table.loc[row, names].abs().min() >= left_out - 1e-8


def test_equal_reasons_come_in_the_order_of_the_columns() -> None:
    even = pd.DataFrame(0.1, FACTS.index, FACTS.columns)
    noisy = even + np.array([0, 1e-12, 2e-12])  # as another order of additions would give

    assert top_reasons(even, FACTS, count=3).loc["x"].str.split(" = ").str[0].tolist() == list(FACTS)
    assert top_reasons(noisy, FACTS, count=3).equals(top_reasons(even, FACTS, count=3))


def test_reasons_of_other_rows_are_refused(shap: pd.DataFrame, inputs: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="3 reasons need the SHAP values of the same rows"):
        top_reasons(shap, inputs[1:], count=3)


def test_no_rows_have_no_reasons(shap: pd.DataFrame, inputs: pd.DataFrame) -> None:
    assert top_reasons(shap[:0], inputs[:0], count=3).shape == (0, 3)
