"""Decides how a candidate is fitted, and how it gets scores on rows it never saw.

A candidate is CatBoost with few shallow trees and one-hot levels (docs/model.md measures it against its rivals; nothing
tuned, weighted by class, calibrated or added by hand was measurably better). It is stored in CatBoost's own format and
never pickled, and two fits of the same rows are the same bytes, so a digest tells whether two models are one.

What a model promises is never read off rows it learned from. Two schemes make its scores: `out_of_fold` uses every row
and answers "how well does this recipe do", `rolling_origin` scores each month with what was known before it and
answers "how well would it have done". How good the scores are is `evaluation`'s work.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from mlops_assets.learning.inputs import Fitter, Scorer, as_inputs, categorical_columns, refuse_unlearnable, select
from mlops_assets.learning.logistic import plain_logistic_fitter, spline_logistic_fitter

if TYPE_CHECKING:
    import catboost

__all__ = [
    "Fitter",
    "Recipe",
    "Scorer",
    "booster",
    "catboost_fitter",
    "fit",
    "load",
    "out_of_fold",
    "plain_logistic_fitter",
    "recency_weights",
    "rolling_origin",
    "spline_logistic_fitter",
]

Split = tuple[str, NDArray[np.intp], NDArray[np.intp]]
"""A fold's name, the positions it learns from, the positions it scores."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One candidate's settings; the rest of CatBoost's is fixed in `fit`."""

    name: str
    iterations: int  # trees
    depth: int  # levels of a tree
    learning_rate: float  # share of each tree's correction that is applied, in (0, 1]
    l2_leaf_reg: float  # shrinks the leaves, >= 0
    one_hot_max_size: int  # a categorical column with more levels than this is target-encoded
    seed: int
    half_life_batches: float | None  # months after which a row weighs half; None: all history weighs alike


def recency_weights(batches: ArrayLike, *, half_life_batches: float | None) -> NDArray[np.float64]:
    """0.5 ** (age / half-life) for each row, shape (n,), in (0, 1]; ones when `half_life_batches` is None.

    `batches` holds 'YYYY-MM'; age is in calendar months before the newest of them, so a month that was never delivered
    ages the others all the same. Raises ValueError when a batch is no month or the half-life is not above 0.
    """
    months = np.asarray(batches, dtype="datetime64[M]").astype(np.int64)
    if half_life_batches is None:
        return np.ones(len(months))
    if not half_life_batches > 0:
        message = f"half_life_batches is {half_life_batches}, it must be above 0 months (None: no weighting)."
        raise ValueError(message)
    return np.asarray(0.5 ** ((months.max(initial=0) - months) / half_life_batches), dtype=np.float64)


def fit(X: pd.DataFrame, y: ArrayLike, *, weights: ArrayLike, batches: ArrayLike, recipe: Recipe) -> bytes:
    """The fitted model in CatBoost's native .cbm format; the same rows in the same order give the same bytes.

    X, shape (n, k): a column of numbers (NaN allowed) is a number, any other is categorical (no value is a level of its
    own). y, shape (n,): 0 or 1. weights, shape (n,): above 0, multiplied by `recency_weights`. batches, shape (n,):
    'YYYY-MM'. Raises ValueError when there is no row, one class only, or the lengths differ.
    """
    import catboost

    refuse_unlearnable(X, y, weights=weights, batches=batches)
    categorical = categorical_columns(X)
    model = catboost.CatBoostClassifier(
        iterations=recipe.iterations,
        depth=recipe.depth,
        learning_rate=recipe.learning_rate,
        l2_leaf_reg=recipe.l2_leaf_reg,
        one_hot_max_size=recipe.one_hot_max_size,
        random_seed=recipe.seed,
        boosting_type="Plain",
        thread_count=1,  # it is written into the model, so another number would be another digest
        logging_level="Silent",
        allow_writing_files=False,
    )
    weight = np.asarray(weights) * recency_weights(batches, half_life_batches=recipe.half_life_batches)
    labels = np.asarray(y, dtype=np.int64)
    model.fit(catboost.Pool(as_inputs(X, categorical), labels, cat_features=categorical, weight=weight))
    # The only two entries that differ between two fits of the same rows.
    metadata = model.get_metadata()
    metadata["train_finish_time"] = metadata["model_guid"] = ""
    # CatBoost's public way out is `save_model(path)`, and rules know no path. This is what its pickling calls; a test
    # holds it to the bytes of `save_model`. The way back in, `load_model(blob=...)`, is public.
    return bytes(model._serialize_model())  # noqa: SLF001


def booster(model: bytes) -> "catboost.CatBoostClassifier":
    """The CatBoost object of a model made by `fit`."""
    import catboost

    return catboost.CatBoostClassifier().load_model(blob=model)


def load(model: bytes) -> Scorer:
    """The scorer of a model made by `fit`; it takes exactly the columns the model learned from, in any order.

    It raises ValueError naming the columns that lack or are too many. No rows give no scores.
    """
    trees = booster(model)
    features = list(trees.feature_names_)
    categorical = [features[i] for i in trees.get_cat_feature_indices()]

    def score(X: pd.DataFrame) -> NDArray[np.float64]:
        inputs = as_inputs(select(X, features), categorical)
        if inputs.empty:
            return np.empty(0)
        return np.asarray(trees.predict_proba(inputs, thread_count=1)[:, 1], dtype=np.float64)

    return score


def catboost_fitter(recipe: Recipe) -> Fitter:
    """`fit` and `load` in one, for the schemes below."""

    def fitter(X: pd.DataFrame, y: ArrayLike, weights: ArrayLike, batches: ArrayLike) -> Scorer:
        return load(fit(X, y, weights=weights, batches=batches, recipe=recipe))

    return fitter


def out_of_fold(
    X: pd.DataFrame,
    y: ArrayLike,
    *,
    weights: ArrayLike,
    batches: ArrayLike,
    fitter: Fitter,
    folds: int,
    seed: int,
    groups: ArrayLike | None = None,
) -> pd.DataFrame:
    """`fold` ("fold 1" and so on) and `score` of each row by a model that never saw it; index and order of `X`.

    Folds are dealt by lot within label and batch (within label alone where a batch has too few rows for that). With
    `groups`, shape (n,), the rows of a group share a fold: a customer who comes back every month is else known to the
    model that scores him. Raises ValueError when a label has fewer rows than there are folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    refuse_unlearnable(X, y, weights=weights, batches=batches)
    strata = _strata(np.asarray(y), np.asarray(batches, dtype=str), folds)
    # Dealing groups evenly is slow and, where no row shares its group, for nothing.
    shared = groups is not None and len(np.unique(np.asarray(groups))) < len(X)
    dealer = (StratifiedGroupKFold if shared else StratifiedKFold)(n_splits=folds, shuffle=True, random_state=seed)
    deal = enumerate(dealer.split(strata, strata, groups if shared else None), start=1)
    splits = ((f"fold {number}", known, held_out) for number, (known, held_out) in deal)
    return _score(splits, X, y, weights=weights, batches=batches, fitter=fitter)


def rolling_origin(
    X: pd.DataFrame,
    y: ArrayLike,
    *,
    weights: ArrayLike,
    batches: ArrayLike,
    fitter: Fitter,
    min_batches: int,
    max_scored: int | None = None,
) -> pd.DataFrame:
    """`fold` (the batch scored) and `score` by a model that learned from the batches before it; index and order of `X`.

    Only rows of batches that at least `min_batches` (>= 1) others precede; no row at all where there is no such batch.
    Of those the newest `max_scored`, all if it is None: each takes a fit of its own.
    """
    if min_batches < 1:
        message = f"min_batches is {min_batches}, a month must have 1 before it at least to be scored from the past."
        raise ValueError(message)
    months = np.asarray(batches, dtype=str)
    scored = np.unique(months)[min_batches:][-max_scored if max_scored else None :]
    splits = ((str(month), np.flatnonzero(months < month), np.flatnonzero(months == month)) for month in scored)
    return _score(splits, X, y, weights=weights, batches=batches, fitter=fitter)


def _strata(labels: NDArray[np.int64], months: NDArray[np.str_], folds: int) -> NDArray[np.intp]:
    by_label = np.unique(labels, return_inverse=True)[1]
    by_both = np.unique(np.char.add(labels.astype(str), months), return_inverse=True)[1]
    if (rarest := np.bincount(by_label).min()) < folds:
        message = (
            f"{folds} folds need as many rows of either label, the rarer has {rarest}. Use fewer folds or more batches."
        )
        raise ValueError(message)
    return by_both if np.bincount(by_both).min() >= folds else by_label


def _score(
    splits: Iterator[Split], X: pd.DataFrame, y: ArrayLike, *, weights: ArrayLike, batches: ArrayLike, fitter: Fitter
) -> pd.DataFrame:
    labels, weight, months = np.asarray(y), np.asarray(weights), np.asarray(batches)
    folds, scores = np.full(len(X), "", dtype=object), np.full(len(X), np.nan)
    for name, known, held_out in splits:
        try:
            scorer = fitter(X.iloc[known], labels[known], weight[known], months[known])
        except ValueError as error:
            error.add_note(f"while fitting the model that scores {name}")
            raise
        folds[held_out], scores[held_out] = name, scorer(X.iloc[held_out])
    scored = np.flatnonzero(folds != "")
    return pd.DataFrame({"fold": folds[scored], "score": scores[scored]}, index=X.index[scored])
