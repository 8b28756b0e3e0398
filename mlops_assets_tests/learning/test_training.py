"""A fit can be repeated to the byte, a scorer stands by its rows, and no scheme scores a row it learned from."""

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import catboost
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray

from mlops_assets.learning.training import (
    Fitter,
    Recipe,
    Scorer,
    booster,
    catboost_fitter,
    fit,
    load,
    out_of_fold,
    recency_weights,
    rolling_origin,
)

Labels = NDArray[np.int64]
Known = dict[str, Any]

months = st.lists(st.integers(0, 40), min_size=1, max_size=30)

# ---------------------------------------------------------------------------------------------- weights by age


def named(ages: list[int]) -> list[str]:
    """The month that lies that long before 2024-06."""
    return [str(np.datetime64("2024-06") - age) for age in ages]


@given(ages=months, half_life=st.floats(0.5, 24))
def test_a_month_that_is_a_half_life_older_weighs_half(ages: list[int], half_life: float) -> None:
    weights = recency_weights(named(ages), half_life_batches=half_life)

    np.testing.assert_allclose(weights, 2.0 ** (-(np.array(ages) - min(ages)) / half_life))


def test_a_month_that_was_never_delivered_ages_the_others_all_the_same() -> None:
    weights = recency_weights(["2023-11", "2024-02"], half_life_batches=3)

    assert weights.tolist() == [0.5, 1.0]


@given(ages=months)
def test_without_a_half_life_all_history_weighs_alike(ages: list[int]) -> None:
    assert (recency_weights(named(ages), half_life_batches=None) == 1).all()


def test_a_half_life_of_no_months_is_refused() -> None:
    with pytest.raises(ValueError, match="half_life_batches is 0"):
        recency_weights(["2024-01"], half_life_batches=0)


# ---------------------------------------------------------------------------------------------- fit


def test_two_fits_of_the_same_rows_are_the_same_bytes(
    inputs: pd.DataFrame, labels: Labels, known: Known, recipe: Recipe, model: bytes
) -> None:
    assert fit(inputs, labels, **known, recipe=recipe) == model


ANOTHER_PROCESS = """
import hashlib, sys
import pandas as pd
from mlops_assets.learning.training import Recipe, fit
rows = pd.read_parquet(sys.argv[1])
model = fit(
    rows.drop(columns=["y", "w", "b"]), rows.y, weights=rows.w, batches=rows.b,
    recipe=Recipe("small", 40, 3, 0.1, 3.0, 10, 7, None),
)
print(hashlib.md5(model).hexdigest())
"""


def test_another_process_fits_the_same_bytes(
    inputs: pd.DataFrame, labels: Labels, known: Known, model: bytes, tmp_path: Path
) -> None:
    rows = inputs.assign(y=labels, w=known["weights"], b=known["batches"])
    rows.to_parquet(tmp_path / "rows.parquet")

    command = [sys.executable, "-c", ANOTHER_PROCESS, str(tmp_path / "rows.parquet")]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])

    assert said.stdout.strip() == hashlib.md5(model, usedforsecurity=False).hexdigest()


def test_the_bytes_are_those_that_catboost_saves(inputs: pd.DataFrame, labels: Labels, tmp_path: Path) -> None:
    # `fit` takes them from a private method; this fails when a new CatBoost changes what it gives.
    trees = catboost.CatBoostClassifier(iterations=3, logging_level="Silent", allow_writing_files=False)
    trees.fit(inputs.select_dtypes("number"), labels)
    trees.save_model(tmp_path / "saved.cbm")

    assert (tmp_path / "saved.cbm").read_bytes() == trees._serialize_model()  # noqa: SLF001


def test_a_model_tells_neither_when_nor_where_it_was_fitted(model: bytes) -> None:
    metadata = booster(model).get_metadata()

    assert (metadata["train_finish_time"], metadata["model_guid"]) == ("", "")


def test_a_row_of_weight_two_counts_as_two_rows(
    inputs: pd.DataFrame, labels: Labels, known: Known, recipe: Recipe
) -> None:
    # One tree without random choices or sampling effects: its leaves are weighted means.
    stump = replace(recipe, iterations=1, depth=1, learning_rate=1.0, l2_leaf_reg=0.0)
    batches = np.asarray(known["batches"])
    heavy = fit(inputs, labels, weights=1.0 + labels, batches=batches, recipe=stump)
    even = fit(inputs, labels, weights=np.ones(len(labels)), batches=batches, recipe=stump)

    assert load(heavy)(inputs).mean() > load(even)(inputs).mean() + 0.05


def test_a_short_half_life_follows_the_newest_month(
    inputs: pd.DataFrame, labels: Labels, known: Known, recipe: Recipe
) -> None:
    newest = np.asarray(known["batches"]) == "2024-10"
    turned = np.where(newest, 1 - labels, labels)  # in the newest month the world is upside down
    scores = [
        load(fit(inputs, turned, **known, recipe=replace(recipe, half_life_batches=half_life)))(inputs[newest])
        for half_life in (None, 0.3)
    ]

    forgetful_gap, long_gap = (np.abs(turned[newest] - score).mean() for score in reversed(scores))
    assert forgetful_gap < long_gap


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"y": np.zeros(705, dtype=int)}, r"labels of 705 rows are \[0\], 0 and 1 are needed"),
        ({"y": np.zeros(704, dtype=int)}, "lengths are .*'y': 704"),
        ({"weights": np.zeros(705)}, "finite number above 0"),
        ({"weights": np.full(705, np.nan)}, "finite number above 0"),
        ({"y": np.arange(705) % 3}, r"labels of 705 rows are \[0, 1, 2\]"),
    ],
)
def test_rows_that_cannot_be_learned_from_are_refused(
    inputs: pd.DataFrame, labels: Labels, known: Known, recipe: Recipe, change: Known, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        fit(inputs, **{"y": labels, **known, **change}, recipe=recipe)


def test_no_rows_are_refused(inputs: pd.DataFrame, recipe: Recipe) -> None:
    with pytest.raises(ValueError, match="nothing to learn from"):
        fit(inputs[:0], [], weights=[], batches=[], recipe=recipe)


# ---------------------------------------------------------------------------------------------- load


@pytest.fixture(scope="module")
def scorer(model: bytes) -> Scorer:
    """The scorer of `model`."""
    return load(model)


def test_scores_are_probabilities_that_tell_leavers_from_stayers(
    scorer: Scorer, inputs: pd.DataFrame, labels: Labels
) -> None:
    scores = scorer(inputs)

    assert ((scores > 0) & (scores < 1)).all()
    assert scores[labels == 1].mean() > scores[labels == 0].mean() + 0.2


@settings(max_examples=25)
@given(data=st.data())
def test_the_score_of_a_row_does_not_depend_on_the_others(
    scorer: Scorer, inputs: pd.DataFrame, data: st.DataObject
) -> None:
    chosen = data.draw(st.lists(st.integers(0, len(inputs) - 1), min_size=1, max_size=20))

    assert (scorer(inputs.iloc[chosen]) == scorer(inputs)[chosen]).all()


def test_the_order_of_columns_does_not_matter(scorer: Scorer, inputs: pd.DataFrame) -> None:
    assert (scorer(inputs[inputs.columns[::-1]]) == scorer(inputs)).all()


def test_a_missing_column_is_named(scorer: Scorer, inputs: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match=r"lack \['tenure'\]"):
        scorer(inputs.drop(columns="tenure"))


def test_a_column_too_many_is_named(scorer: Scorer, inputs: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match=r"have \['churn'\] besides"):
        scorer(inputs.assign(churn=1.0))


def test_words_in_a_column_of_numbers_are_refused_by_name(scorer: Scorer, inputs: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="column 'tenure' must hold numbers"):
        scorer(inputs.assign(tenure="long"))


def test_an_unseen_level_and_no_value_are_news_and_get_a_score(scorer: Scorer, inputs: pd.DataFrame) -> None:
    news = inputs.head(3).assign(contract=pd.Series(["Two weeks", None, np.nan], inputs.index[:3]), tenure=np.nan)

    assert np.isfinite(scorer(news)).all()


def test_a_categorical_column_that_arrives_empty_is_no_column_of_numbers(scorer: Scorer, inputs: pd.DataFrame) -> None:
    empty = inputs.assign(contract=np.nan)
    absent = inputs.assign(contract=pd.Series(None, index=inputs.index, dtype=object))

    assert (scorer(empty) == scorer(absent)).all()


def test_no_rows_have_no_scores(scorer: Scorer, inputs: pd.DataFrame) -> None:
    assert scorer(inputs[:0]).shape == (0,)


# ---------------------------------------------------------------------------------------------- schemes


def remember(seen: list[set[int]]) -> Fitter:
    """A fitter that notes which rows it learned from and gives their number as score."""

    def fitter(X: pd.DataFrame, _y: ArrayLike, _weights: ArrayLike, _batches: ArrayLike) -> Scorer:
        seen.append(set(X.index))
        return lambda rows: np.full(len(rows), float(len(X)))

    return fitter


def test_out_of_fold_scores_every_row_once_by_a_model_that_never_saw_it(
    inputs: pd.DataFrame, labels: Labels, known: Known
) -> None:
    seen: list[set[int]] = []
    scores = out_of_fold(inputs, labels, **known, fitter=remember(seen), folds=5, seed=1)

    assert scores.index.equals(inputs.index)
    for name, learned in zip([f"fold {number}" for number in range(1, 6)], seen, strict=True):
        assert set(scores.index[scores.fold == name]) == set(inputs.index) - learned


def test_every_fold_has_its_share_of_leavers_of_every_month(inputs: pd.DataFrame, labels: Labels, known: Known) -> None:
    scores = out_of_fold(inputs, labels, **known, fitter=remember([]), folds=5, seed=1)

    leavers = pd.Series(labels, index=inputs.index).groupby([scores.fold, known["batches"]]).sum().unstack()  # noqa: PD010
    assert (leavers.max() - leavers.min() <= 1).all()


def test_the_seed_deals_the_folds(inputs: pd.DataFrame, labels: Labels, known: Known) -> None:
    deals = [out_of_fold(inputs, labels, **known, fitter=remember([]), folds=5, seed=s).fold for s in (1, 1, 2)]

    assert deals[0].equals(deals[1])
    assert not deals[0].equals(deals[2])


def test_a_customer_who_comes_back_shares_a_fold_with_himself(
    inputs: pd.DataFrame, labels: Labels, known: Known
) -> None:
    customers = np.arange(len(inputs)) // 2
    scores = out_of_fold(inputs, labels, **known, fitter=remember([]), folds=5, seed=1, groups=customers)

    assert (scores.groupby(customers).fold.agg(set).map(len) == 1).all()


def test_a_label_too_rare_for_the_folds_is_refused(inputs: pd.DataFrame, known: Known) -> None:
    with pytest.raises(ValueError, match="5 folds need as many rows of either label, the rarer has 3"):
        out_of_fold(inputs, np.arange(705) < 3, **known, fitter=remember([]), folds=5, seed=1)


def test_a_rolling_origin_scores_each_month_from_the_months_before_it(
    inputs: pd.DataFrame, labels: Labels, known: Known
) -> None:
    seen: list[set[int]] = []
    scores = rolling_origin(inputs, labels, **known, fitter=remember(seen), min_batches=3)

    batch = pd.Series(known["batches"], index=inputs.index, dtype=str)
    assert scores.fold.equals(batch[batch >= "2024-04"].rename("fold"))
    for month, learned in zip(scores.fold.unique(), seen, strict=True):
        assert learned == set(inputs.index[batch < month])


def test_too_few_months_have_no_rolling_origin(inputs: pd.DataFrame, labels: Labels, known: Known) -> None:
    scores = rolling_origin(inputs, labels, **known, fitter=remember([]), min_batches=10)

    assert scores.empty
    assert scores.dtypes.to_dict() == {"fold": np.dtype(object), "score": np.dtype(float)}


def test_a_month_that_cannot_be_learned_from_is_named(inputs: pd.DataFrame, known: Known, recipe: Recipe) -> None:
    late = (np.asarray(known["batches"]) > "2024-03").astype(int)
    with pytest.raises(ValueError, match="0 and 1 are needed") as caught:
        rolling_origin(inputs, late, **known, fitter=catboost_fitter(recipe), min_batches=2)

    assert caught.value.__notes__ == ["while fitting the model that scores 2024-03"]
