"""Decides what a model is given: which columns are categorical, what stands for no value, what cannot be learned from.

The kind of a column is its dtype where a model is fitted, and the model's own list where it scores: a categorical
column that arrives empty is read as numbers, and still means "no value in every row".
"""

from collections.abc import Callable, Collection, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

MISSING = "(missing)"
"""The level that stands for no value in a categorical column."""

Scorer = Callable[[pd.DataFrame], NDArray[np.float64]]
"""Rows in, probability of label 1 out, shape (n,); the score of a row never depends on the other rows."""

Fitter = Callable[[pd.DataFrame, ArrayLike, ArrayLike, ArrayLike], Scorer]
"""X, y, weights, batches in, a `Scorer` out: what a scheme refits for every fold."""


def categorical_columns(X: pd.DataFrame) -> list[str]:
    """Names of the columns that hold no numbers (flags are numbers), in the order of `X`."""
    return [str(column) for column in X if not pd.api.types.is_numeric_dtype(X[column])]


def as_inputs(X: pd.DataFrame, categorical: Collection[str]) -> pd.DataFrame:
    """`X` with float64 numbers (NaN stays) and str levels (no value becomes MISSING); same shape and index.

    Raises ValueError naming a column of numbers that holds something else.
    """
    return pd.DataFrame(
        {column: as_levels(X[column]) if column in categorical else _numbers(X[column]) for column in X}, index=X.index
    )


def as_levels(column: pd.Series) -> pd.Series:
    """`column` as str, no value as MISSING; same shape and index."""
    return column.astype(object).where(column.notna(), MISSING).astype(str)


def select(X: pd.DataFrame, features: Sequence[str]) -> pd.DataFrame:
    """The columns of `X` in the order of `features`; ValueError naming those that lack or are too many."""
    missing, unknown = [f for f in features if f not in X], [c for c in X if c not in features]
    if missing or unknown:
        message = (
            f"the rows lack {missing} and have {unknown} besides; the model takes exactly {list(features)}. "
            "Build the features with the code the model was fitted with, or fit it again."
        )
        raise ValueError(message)
    return X[list(features)]


def refuse_unlearnable(X: pd.DataFrame, y: ArrayLike, *, weights: ArrayLike, batches: ArrayLike) -> None:
    """Nothing; ValueError when there is no row, lengths differ, a weight is not above 0 or y lacks a class."""
    lengths = {
        "X": len(X),
        "y": len(np.asarray(y)),
        "weights": len(np.asarray(weights)),
        "batches": len(np.asarray(batches)),
    }
    if len(set(lengths.values())) > 1:
        message = f"one value for each row is needed, lengths are {lengths}."
        raise ValueError(message)
    if X.empty:
        message = f"nothing to learn from: X has shape {X.shape}. Are there mature batches up to as_of?"
        raise ValueError(message)
    if not (np.asarray(weights, dtype=np.float64) > 0).all() or not np.isfinite(np.asarray(weights)).all():
        message = "every weight must be a finite number above 0; leave a row out instead of giving it none."
        raise ValueError(message)
    if set(np.unique(np.asarray(y)).tolist()) != {0, 1}:
        message = (
            f"labels of {len(X)} rows are {np.unique(np.asarray(y)).tolist()}, 0 and 1 are needed, nothing else. "
            "Learn from more batches, or look at how their outcomes were labelled."
        )
        raise ValueError(message)


def _numbers(column: pd.Series) -> pd.Series:
    try:
        return column.astype(np.float64)
    except (TypeError, ValueError) as error:
        message = f"column {column.name!r} must hold numbers, as it did when the model was fitted: {error}"
        raise ValueError(message) from error
