"""Is the recipe in `params.yaml` a good one? `python -m benchmarks.model`: four minutes, a Markdown table each.

Two protocols: out of fold on the whole table, and a small history (6 of 18 months dealt by lot) against the rows after
it, which is where the system starts. "Chosen inside" picks the best of nine settings by folds within what it may learn
from: the fair price of having picked the recipe while looking at these rows.
"""

from collections.abc import Callable
from itertools import product

import catboost
import click
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from benchmarks.telco import one_month, paired, params, recipe, repeated_scores, row_losses, table
from mlops_assets.learning.evaluation import average_precision, log_loss, roc_auc
from mlops_assets.learning.inputs import as_inputs, categorical_columns
from mlops_assets.learning.training import (
    Fitter,
    Scorer,
    catboost_fitter,
    out_of_fold,
    plain_logistic_fitter,
    spline_logistic_fitter,
)

RECIPE = "the recipe"
GRID = [
    {"depth": depth, "iterations": iterations, "learning_rate": rate}
    for depth, (iterations, rate) in product([2, 3, 4], [(100, 0.1), (200, 0.05), (400, 0.03)])
]
METRICS = [log_loss, roc_auc, average_precision]
RESAMPLES = 1000
MONTHS, LEARNED = 18, 6


def default_fitter(X: pd.DataFrame, y: ArrayLike, weights: ArrayLike, _: ArrayLike) -> Scorer:
    """CatBoost as it comes: 1,000 trees of depth 6, levels target-encoded, ordered boosting."""
    categorical = categorical_columns(X)
    model = catboost.CatBoostClassifier(
        random_seed=7, thread_count=1, logging_level="Silent", allow_writing_files=False
    )
    model.fit(as_inputs(X, categorical), np.asarray(y), cat_features=categorical, sample_weight=np.asarray(weights))
    return lambda rows: np.asarray(model.predict_proba(as_inputs(rows, categorical))[:, 1])


def chosen_inside_fitter(X: pd.DataFrame, y: ArrayLike, weights: ArrayLike, batches: ArrayLike) -> Scorer:
    """The setting of GRID with the least log-loss in five folds of the rows it may learn from."""

    def loss(setting: dict[str, float]) -> float:
        fitter = catboost_fitter(recipe(**setting))
        scores = out_of_fold(X, y, weights=weights, batches=batches, fitter=fitter, folds=5, seed=99).score
        return float(log_loss(np.asarray(y, dtype=np.float64), scores.to_numpy(), np.asarray(weights)))

    return catboost_fitter(recipe(**min(GRID, key=loss)))(X, y, weights, batches)


def rivals() -> dict[str, Callable[[int], Fitter]]:
    """A fitter for each repeat; trees get another seed in each."""
    baseline = params().baseline.model_dump()
    return {
        RECIPE: lambda repeat: catboost_fitter(recipe(seed=7 + repeat)),
        "CatBoost, chosen inside among nine settings": lambda _: chosen_inside_fitter,
        "CatBoost defaults": lambda _: default_fitter,
        "logistic regression, one-hot, linear numbers": lambda _: plain_logistic_fitter(),
        "logistic regression, one-hot, splines (the baseline)": lambda _: spline_logistic_fitter(**baseline),
    }


def holdout(X: pd.DataFrame, y: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Positions learned from, and scored: the rows dealt into MONTHS by lot, the first LEARNED of them known."""
    dealt = np.random.default_rng(params().sample.seed).permutation(len(X))
    known = round(len(y) * LEARNED / MONTHS)
    return dealt[:known], dealt[known:]


def report(y: NDArray[np.int64], scores: dict[str, NDArray[np.float64]]) -> str:
    """A Markdown table of `scores`, each (repeats, n): metrics with intervals, and the loss against the recipe."""
    rng = np.random.default_rng(params().evaluation.seed)
    counts = rng.multinomial(len(y), np.full(len(y), 1 / len(y)), size=RESAMPLES).astype(np.float64)
    weights = np.vstack([np.ones(len(y)), counts])
    lines = ["| model | log-loss | ROC AUC | average precision | log-loss minus the recipe's |", "|" + " --- |" * 5]
    for name, repeats in scores.items():
        cells = []
        for metric in METRICS:
            values = np.mean([metric(y.astype(np.float64), one, weights) for one in repeats], axis=0)
            low, high = np.quantile(values[1:], [0.025, 0.975])
            cells.append(f"{values[0]:.4f} ({low:.3f} to {high:.3f})")
        mean, half = paired(row_losses(y, repeats), row_losses(y, scores[RECIPE]))
        cells.append("" if name == RECIPE else f"{mean:+.4f} ± {half:.4f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


@click.command()
def main() -> None:
    """Compare the recipe with its rivals, out of fold and on a small history."""
    X, y = table()
    whole = {}
    for name, fitter in rivals().items():
        click.echo(f"out of fold: {name}", err=True)
        whole[name] = repeated_scores(X, y, fitter)
    click.echo(f"Out of fold, 3 x 5 folds of {len(y):,} rows:\n\n{report(y, whole)}\n")
    known, after = holdout(X, y)
    rows = X.iloc[known], y[known], np.ones(len(known)), one_month(len(known))
    small = {name: np.array([fitter(0)(*rows)(X.iloc[after])]) for name, fitter in rivals().items()}
    click.echo(f"Fitted on {len(known):,} rows, scored on the other {len(after):,}:\n\n{report(y[after], small)}")


if __name__ == "__main__":
    main()
