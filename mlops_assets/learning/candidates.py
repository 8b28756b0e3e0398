"""How the challengers of one training are made: the same rows for each, and scores of rows that each never saw.

Two candidates: all history alike, which is right while nothing changes, and recent months weighted more, which gains
most when something does; the promotion gate chooses. The spline logistic regression is the baseline, on the same folds.
What a candidate promises comes from out-of-fold and rolling-origin scores only: judged against scores of rows
the model had learned from, an outcome gate rings falsely in a fifth of quiet months.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from mlops_assets.learning.evaluation import OutOfSampleScores
from mlops_assets.learning.inputs import Fitter
from mlops_assets.learning.training import Recipe, fit, out_of_fold, rolling_origin

WORKERS = 2  # fits at the same time; more than that and a small machine has nothing left for its other runs
ALL_HISTORY, RECENCY_WEIGHTED, BASELINE = "all_history", "recency_weighted", "spline_logistic"


@dataclass(frozen=True, slots=True)
class Labelled:
    """Rows to learn from: inputs (n, k); keys (n, 2) `customer_id`, `batch`; labels (n,) 0 or 1; weights (n,) > 0."""

    X: pd.DataFrame
    keys: pd.DataFrame
    y: pd.Series
    weights: pd.Series


@dataclass(frozen=True, slots=True)
class Fitted:
    """A candidate's model in CatBoost's native format, and whether a second fit gave the same bytes."""

    model: bytes
    is_reproducible: bool


def recipes(base: Recipe, *, half_life_batches: float) -> tuple[Recipe, ...]:
    """The recipes of the candidates, the one that weights all history alike first."""
    return (
        replace(base, name=ALL_HISTORY, half_life_batches=None),
        replace(base, name=RECENCY_WEIGHTED, half_life_batches=half_life_batches),
    )


def fit_twice(rows: Labelled, recipe: Recipe) -> Fitted:
    """The recipe fitted on all rows, and proof that it can be repeated."""
    first, second = (
        fit(rows.X, rows.y, weights=rows.weights, batches=rows.keys.batch, recipe=recipe) for _ in range(2)
    )
    return Fitted(first, first == second)


def out_of_sample(
    rows: Labelled,
    fitters: Mapping[str, Fitter],
    *,
    folds: int,
    min_batches: int,
    seed: int,
    max_scored: int | None = None,
) -> pd.DataFrame:
    """`OutOfSampleScores` of each fitter: every row out of fold, and the newest months with `min_batches` before them.

    `max_scored`: how many of those months, all if it is None.
    """
    known = {"weights": rows.weights, "batches": rows.keys.batch}

    def held_out(fitter: Fitter) -> pd.DataFrame:
        return out_of_fold(rows.X, rows.y, fitter=fitter, folds=folds, seed=seed, groups=rows.keys.customer_id, **known)

    def from_the_past(fitter: Fitter) -> pd.DataFrame:
        return rolling_origin(rows.X, rows.y, fitter=fitter, min_batches=min_batches, max_scored=max_scored, **known)

    schemes = {"out_of_fold": held_out, "rolling_origin": from_the_past}
    calls = [(name, scheme, fitter) for name, fitter in fitters.items() for scheme in schemes]
    with ThreadPoolExecutor(WORKERS) as pool:  # each fit has one thread, so that its bytes are the same anywhere
        scored = list(pool.map(lambda call: schemes[call[1]](call[2]).assign(candidate=call[0], scheme=call[1]), calls))
    parts = [rows.keys.assign(label=rows.y, weight=rows.weights).loc[part.index].join(part) for part in scored]
    columns = list(OutOfSampleScores.to_schema().columns)
    return pd.concat(parts, ignore_index=True)[columns].astype({"label": np.int64, "score": np.float64})
