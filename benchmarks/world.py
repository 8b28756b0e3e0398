"""Decides what truth the benchmarks of gates play in, the chance to leave of every customer, and how figures are told.

It is the mean of the recipe and the spline logistic regression fitted on all rows, so that right and wrong of a gate
can be counted, and the expected loss of a model computed without sampling. Customers are drawn with replacement, labels
by their chance; a scenario adds to the log-odds of some of them. The world is smooth, and so a little easier than life.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.telco import one_month, params, recipe, table
from mlops_assets.learning.training import catboost_fitter, spline_logistic_fitter

Floats = NDArray[np.float64]
Task = TypeVar("Task")
Result = TypeVar("Result")
ROWS = 391  # customers of a month, and six months of them to learn from
HISTORY = 6 * ROWS


@dataclass(frozen=True, slots=True)
class World:
    """Customers, shape (n, 19), and the log-odds, shape (n,), of each to leave."""

    X: pd.DataFrame
    odds: Floats

    def labels(self, rows: NDArray[np.intp], rng: np.random.Generator, shift: Floats | float = 0.0) -> Floats:
        """0 or 1 for each of `rows`, by its chance; `shift` is added to the log-odds of every customer."""
        return np.asarray(rng.random(rows.shape) < expit((self.odds + shift)[rows]), dtype=np.float64)

    def loss(self, scores: Floats, shift: Floats | float = 0.0) -> float:
        """Expected log-loss, nats, of `scores`, shape (n,), over all customers."""
        chance = expit(self.odds + shift)
        return float(-(chance * np.log(scores) + (1 - chance) * np.log1p(-scores)).mean())


@cache
def world() -> World:
    """The world of the shipped table."""
    X, y = table()
    rows = np.ones(len(y)), one_month(len(y))
    fitters = catboost_fitter(recipe()), spline_logistic_fitter(**params().baseline.model_dump())
    chance = np.mean([fitter(X, y, *rows)(X) for fitter in fitters], axis=0)
    return World(X, np.log(chance) - np.log1p(-chance))


def expit(odds: Floats) -> Floats:
    """Chance of log-odds."""
    return np.asarray(1 / (1 + np.exp(-odds)))


def spread(work: Callable[[Task], Result], tasks: Sequence[Task]) -> list[Result]:
    """`work` of each task, in their order, on all processors; processes of their own, since the work is Python's."""
    with ProcessPoolExecutor(min(len(tasks), os.cpu_count() or 1), mp_context=get_context("spawn")) as pool:
        return list(pool.map(work, tasks))


def share(hits: int, of: int) -> str:
    """A share in per cent with Wilson's 95 % interval; a dash of nothing."""
    if not of:
        return "-"
    z, rate = 1.96, hits / of
    middle = (rate + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * np.sqrt(rate * (1 - rate) / of + z * z / (4 * of * of))
    return f"{100 * rate:.1f} ({100 * max(0.0, middle - half):.1f} to {100 * (middle + half):.1f})"


def clustered(hits: NDArray[np.bool_], draws: int = 2000) -> str:
    """A share in per cent of `hits`, shape (clusters, each), with the 95 % bootstrap interval over clusters.

    Wilson's of the clusters where all are hits or none is: the bootstrap would be sure of it.
    """
    means = hits.mean(axis=1)
    if np.ptp(means) == 0 and means[0] in {0, 1}:
        return share(len(means) if means[0] else 0, len(means))
    drawn = np.random.default_rng(0).integers(len(means), size=(draws, len(means)))
    low, high = np.quantile(means[drawn].mean(axis=1), [0.025, 0.975])
    return f"{100 * means.mean():.1f} ({100 * low:.1f} to {100 * high:.1f})"


def averaged(values: Sequence[float], form: str = ",.0f") -> str:
    """A mean with the 95 % interval of Student's t."""
    from scipy.stats import t  # noqa: PLC0415

    told = np.asarray(values, dtype=np.float64)
    if len(told) < 2:
        return f"{told.mean():{form}}" if len(told) else "-"
    half = float(t.ppf(0.975, len(told) - 1)) * told.std(ddof=1) / len(told) ** 0.5
    return f"{told.mean():{form}} ({told.mean() - half:{form}} to {told.mean() + half:{form}})"


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


Shift = Callable[[pd.DataFrame, Floats], Floats]
"""What a scenario adds to the log-odds of each customer."""
