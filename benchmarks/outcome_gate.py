"""How often is the outcome gate wrong? Part of `python -m benchmarks.decisions`.

Champions are fitted on six months of 391 customers of a world whose truth is known (`benchmarks.world`), and judged
month by month as in operation: the newest batch, and up to three pooled, against the champion's own out-of-fold
scores, by four cuts. A quiet year is twelve such decisions about one champion. Intervals are over champions, since a
champion's years have its reference in common.
"""

from time import process_time

import numpy as np
from numpy.typing import NDArray

from benchmarks.telco import one_month, params, recipe
from benchmarks.world import HISTORY, Floats, Shift, World, clustered, markdown, spread, world
from mlops_assets.gates.outcomes import assess_outcomes
from mlops_assets.learning.training import catboost_fitter, out_of_fold

CUTS = ["contract", "internet_service", "senior_citizen", "female"]
SIZES = (300, 600, 2000)
MONTHS, POOLED = 12, 3
QUIET = "quiet"


Made = tuple[NDArray[np.intp], Floats, Floats, Floats]
"""A champion: rows learned from, their labels and out-of-fold scores, and its scores of every customer."""


def is_(column: str, value: str | float) -> Shift:
    """1 for customers with this value."""
    return lambda X, _: np.asarray(X[column] == value, dtype=np.float64)


SCENARIOS: dict[str, Shift] = {
    QUIET: lambda _, odds: 0 * odds,
    "prevalence: all log-odds - 0.7": lambda _, odds: 0 * odds - 0.7,
    "prevalence: all log-odds + 0.3": lambda _, odds: 0 * odds + 0.3,
    "slope: log-odds halved, prevalence kept": lambda _, odds: -0.5 * (odds + 1.0),
    "concept flip: month-to-month - 0.8, contracts + 1.5": lambda X, odds: (
        -0.8 + 2.3 * (1 - is_("contract", "Month-to-month")(X, odds))
    ),
    "one segment: 65 or older + 1": is_("senior_citizen", 1),
}


def champion(here: World, rng: np.random.Generator) -> Made:
    """Rows learned from, their labels and out-of-fold scores, and the model's scores of every customer."""
    rows = rng.integers(len(here.X), size=HISTORY)
    y = here.labels(rows, rng)
    known = {"weights": np.ones(HISTORY), "batches": one_month(HISTORY)}
    X, fitter = here.X.iloc[rows].reset_index(drop=True), catboost_fitter(recipe())
    promised = out_of_fold(X, y, **known, fitter=fitter, folds=5, seed=7, groups=rows).score.to_numpy()
    return rows, y, promised, fitter(X, y, known["weights"], known["batches"])(here.X)


def year(here: World, made: Made, rng: np.random.Generator, *, size: int, shift: Floats, months: int) -> list[float]:
    """The p-value of each of `months` decisions, corrected for its tests."""
    learned, y, promised, scores = made
    cuts = here.X[CUTS]
    rows = rng.integers(len(here.X), size=(months, size))
    labels = here.labels(rows, rng, shift)
    found = []
    for month in range(months):
        window = slice(max(0, month - POOLED + 1), month + 1)
        now = rows[window].ravel()
        judged = assess_outcomes(
            promised,
            y,
            scores[now],
            labels[window].ravel(),
            alpha=params().outcomes.alpha,
            segments=cuts.iloc[now],
            reference_segments=cuts.iloc[learned],
            batches=np.repeat([f"{number:02d}" for number in range(month + 1)][window], size),
        )
        found.append(judged.p_value if judged.p_value is not None else 1.0)
    return found


Played = dict[tuple[str, int], Floats]
"""p-values by change and size, shape (runs, decisions)."""


def played(task: tuple[int, int]) -> tuple[Played, float]:
    """Quiet years of one champion and three months of each change, and the CPU seconds a decision took."""
    number, years = task
    here = world()
    made = champion(here, np.random.default_rng([1, number]))
    began, told = process_time(), {}
    for size in SIZES:
        for name, shift in SCENARIOS.items():
            months, runs = (MONTHS, years) if name == QUIET else (POOLED, 1)
            by = shift(here.X, here.odds)
            rngs = [np.random.default_rng([months, number, size, run]) for run in range(runs)]
            told[name, size] = np.array([year(here, made, rng, size=size, shift=by, months=months) for rng in rngs])
    return told, (process_time() - began) / sum(p.size for p in told.values())


def tables(champions: int, years: int) -> str:
    """False alarms by decision and year, and power by change."""
    done = spread(played, [(number, years) for number in range(champions)])
    alpha = params().outcomes.alpha

    def rates(name: str, months: slice) -> list[str]:
        rang = [np.array([told[name, size] for told, _ in done])[:, :, months] <= alpha for size in SIZES]
        return [clustered(np.asarray(one.any(axis=2))) for one in rang]

    each = [clustered((np.array([t[QUIET, s] for t, _ in done]) <= alpha).reshape(champions, -1)) for s in SIZES]
    lines = [["quiet: % of decisions", *each], ["quiet: % of years", *rates(QUIET, slice(None))]]
    for name in SCENARIOS:
        if name != QUIET:
            lines.append([f"{name}: % in the first month", *rates(name, slice(1))])
            lines.append([f"{name}: % within three", *rates(name, slice(POOLED))])
    lines.append(["ms of CPU a decision, drawing included", f"{1000 * np.mean([s for _, s in done]):.1f}", "", ""])
    return markdown([f"{champions} champions, {years} quiet years each", *(f"n = {s:,}" for s in SIZES)], lines)
