"""Decides how model benchmarks are run: the shipped table, the same folds for everyone, differences paired by row.

An unpaired log-loss of 7,043 rows is uncertain by .012, ten times what rivals differ by. On the same rows most of the
uncertainty is common to both and cancels, so that .001 can be told.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.learning.training import Fitter, Recipe, out_of_fold
from mlops_assets.params import Params, load_params

ROOT = Path(__file__).parent.parent
REPEATS, FOLDS = 3, 5
Z = 1.96  # half-width of a 95 % interval in standard errors


@cache
def params() -> Params:
    """The project's own, as they were when the benchmark began."""
    return load_params(ROOT / "params.yaml")


def table() -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """The 19 columns of the shipped table, shape (7043, 19), and the label, 1 for a customer who left."""
    source = pd.read_csv(ROOT / "data/source/telco_churn.csv")
    label = np.asarray(source.pop("churn") == "Yes", dtype=np.int64)
    return source.astype(dict.fromkeys(source.select_dtypes("number"), "float64")), label


def recipe(**changes: float) -> Recipe:
    """The recipe in force, all history weighing alike, with `changes`."""
    model = params().model
    names = ["iterations", "depth", "learning_rate", "l2_leaf_reg", "one_hot_max_size", "seed"]
    return Recipe(**{"name": "recipe", "half_life_batches": None, **{n: getattr(model, n) for n in names}, **changes})


def one_month(rows: int) -> NDArray[np.str_]:
    """A batch for each row: the shipped table knows no months."""
    return np.full(rows, "2024-01")


def repeated_scores(
    X: pd.DataFrame, y: NDArray[np.int64], fitter: Callable[[int], Fitter], repeats: int = REPEATS
) -> NDArray[np.float64]:
    """Out-of-fold scores, shape (repeats, n); the folds of a repeat are the same for every fitter."""
    rows = {"weights": np.ones(len(y)), "batches": one_month(len(y))}
    return np.array(
        [
            out_of_fold(X, y, **rows, fitter=fitter(repeat), folds=FOLDS, seed=repeat).score.to_numpy()
            for repeat in range(repeats)
        ]
    )


def row_losses(y: NDArray[np.int64], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log-loss of each row, averaged over the repeats, shape (n,)."""
    return np.asarray(-np.log(np.where(y == 1, scores, 1 - scores)).mean(axis=0))


def paired(losses: NDArray[np.float64], to: NDArray[np.float64]) -> tuple[float, float]:
    """Mean of `losses` minus `to` over rows, and the half-width of its 95 % interval."""
    difference = losses - to
    return float(difference.mean()), float(Z * difference.std(ddof=1) / np.sqrt(len(difference)))
