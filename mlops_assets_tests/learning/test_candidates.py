"""What a candidate promises comes from rows that the model which scored them had never seen."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import ArrayLike, NDArray

from mlops_assets.learning import candidates
from mlops_assets.learning.candidates import Labelled
from mlops_assets.learning.evaluation import OutOfSampleScores
from mlops_assets.learning.inputs import Scorer
from mlops_assets.learning.training import Recipe, catboost_fitter, load

MIN_BATCHES, FOLDS = 3, 5


@pytest.fixture(scope="module")
def rows() -> Labelled:
    """400 customers in eight months, index not 0 to n - 1; the only input is who they are."""
    rng = np.random.default_rng(3)
    batches = np.repeat([f"2024-{month:02d}" for month in range(1, 9)], 50)
    keys = pd.DataFrame({"customer_id": [f"c{n}" for n in range(400)], "batch": batches})
    y = pd.Series(rng.integers(0, 2, 400))
    X = pd.DataFrame({"who": np.arange(400.0), "month": np.repeat(np.arange(8.0), 50)})
    index = rng.permutation(400) + 1000
    weights = pd.Series(np.where(rng.random(400) < 0.2, 10.0, 1.0))
    return Labelled(*(part.set_axis(index) for part in (X, keys, y, weights)))  # type: ignore[arg-type]


def memory(X: pd.DataFrame, y: ArrayLike, weights: ArrayLike, batches: ArrayLike) -> Scorer:
    """A model that knows its rows by heart: 1 for whom it learned from, 0 for a stranger."""
    _ = y, weights, batches
    known = set(X.who)
    return lambda asked: np.array([float(who in known) for who in asked.who])


def calendar(X: pd.DataFrame, y: ArrayLike, weights: ArrayLike, batches: ArrayLike) -> Scorer:
    """A model whose score is the newest month it learned from, as a share of a year."""
    _ = y, weights, batches
    newest = X.month.max()
    return lambda asked: np.full(len(asked), newest / 12)


@pytest.fixture(scope="module")
def scores(rows: Labelled) -> pd.DataFrame:
    """Scores by both."""
    fitters = {"memory": memory, "calendar": calendar}
    return candidates.out_of_sample(rows, fitters, folds=FOLDS, min_batches=MIN_BATCHES, seed=1)


def test_scores_keep_their_contract(scores: pd.DataFrame) -> None:
    OutOfSampleScores.validate(scores, lazy=True)


def test_no_row_is_scored_by_a_model_that_learned_from_it(scores: pd.DataFrame) -> None:
    by_heart = scores[scores.candidate.eq("memory")]
    assert set(by_heart.scheme) == {"out_of_fold", "rolling_origin"}
    assert (by_heart.score == 0).all()


def test_a_month_is_scored_with_what_was_known_before_it(scores: pd.DataFrame) -> None:
    told = scores.query("candidate == 'calendar' and scheme == 'rolling_origin'")
    assert dict(zip(told.batch, (told.score * 12).round().astype(int), strict=True)) == {
        f"2024-{month:02d}": month - 2 for month in range(MIN_BATCHES + 1, 9)
    }


def test_out_of_fold_scores_every_row_once(scores: pd.DataFrame, rows: Labelled) -> None:
    for _, own in scores[scores.scheme.eq("out_of_fold")].groupby("candidate"):
        assert sorted(own.customer_id) == sorted(rows.keys.customer_id)


def test_rolling_origin_scores_every_month_that_has_enough_before_it(scores: pd.DataFrame, rows: Labelled) -> None:
    for _, own in scores[scores.scheme.eq("rolling_origin")].groupby("candidate"):
        assert sorted(own.customer_id) == sorted(rows.keys[rows.keys.batch > "2024-03"].customer_id)


def test_candidates_are_scored_on_the_same_folds(scores: pd.DataFrame) -> None:
    folds = scores.pivot_table(index=["scheme", "customer_id"], columns="candidate", values="fold", aggfunc="first")
    assert (folds["memory"] == folds["calendar"]).all()


def test_each_score_keeps_its_rows_label_and_weight(scores: pd.DataFrame, rows: Labelled) -> None:
    truth = rows.keys.assign(label=rows.y, weight=rows.weights).set_index("customer_id")
    found = truth.loc[scores.customer_id]
    assert (scores.batch.to_numpy() == found.batch.to_numpy()).all()
    assert (scores.label.to_numpy() == found.label.to_numpy()).all()
    assert (scores.weight.to_numpy() == found.weight.to_numpy()).all()


def test_another_seed_deals_other_folds_and_the_same_seed_the_same(rows: Labelled, scores: pd.DataFrame) -> None:
    def dealt(seed: int) -> pd.DataFrame:
        return candidates.out_of_sample(rows, {"memory": memory}, folds=FOLDS, min_batches=MIN_BATCHES, seed=seed)

    own = scores[scores.candidate.eq("memory")].reset_index(drop=True)
    assert dealt(1).equals(own)
    assert not dealt(2).equals(own)


def labelled(inputs: pd.DataFrame, labels: NDArray[np.int64], known: dict[str, NDArray[Any]]) -> Labelled:
    """The shared real rows, as candidates take them."""
    keys = pd.DataFrame({"customer_id": [f"c{n}" for n in range(len(inputs))], "batch": known["batches"]}, inputs.index)
    return Labelled(inputs, keys, pd.Series(labels, inputs.index), pd.Series(known["weights"], inputs.index))


def test_a_recipe_fitted_twice_gives_the_same_bytes_and_says_so(
    inputs: pd.DataFrame, labels: NDArray[np.int64], known: dict[str, NDArray[Any]], recipe: Recipe, model: bytes
) -> None:
    fitted = candidates.fit_twice(labelled(inputs, labels, known), recipe)
    assert fitted.is_reproducible
    assert fitted.model == model


def test_two_candidates_differ_in_how_they_weight_history_alone(recipe: Recipe) -> None:
    alike, recent = candidates.recipes(recipe, half_life_batches=2.0)
    assert (alike.name, alike.half_life_batches) == (candidates.ALL_HISTORY, None)
    assert (recent.name, recent.half_life_batches) == (candidates.RECENCY_WEIGHTED, 2.0)
    for recipe_ in (alike, recent):
        assert {name: getattr(recipe_, name) for name in ("iterations", "depth", "learning_rate", "seed")} == {
            name: getattr(recipe, name) for name in ("iterations", "depth", "learning_rate", "seed")
        }


def test_scores_of_real_rows_are_worse_than_those_of_rows_the_model_saw(
    inputs: pd.DataFrame, labels: NDArray[np.int64], known: dict[str, NDArray[Any]], recipe: Recipe, model: bytes
) -> None:
    rows = labelled(inputs, labels, known)
    scores = candidates.out_of_sample(rows, {"small": catboost_fitter(recipe)}, folds=3, min_batches=9, seed=1)
    OutOfSampleScores.validate(scores, lazy=True)
    held_out = scores[scores.scheme.eq("out_of_fold")].set_index("customer_id").loc[rows.keys.customer_id]
    assert loss(labels, held_out.score.to_numpy()) > loss(labels, load(model)(inputs))


def loss(labels: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    """Log-loss in nats."""
    return float(-np.log(np.where(labels == 1, scores, 1 - scores)).mean())
