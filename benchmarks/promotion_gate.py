"""How often is the promotion gate wrong? Part of `python -m benchmarks.decisions`.

One question: a challenger that learned from as many other months (equal), from a fifth as much (worse), or after a
change that the champion never saw (better), on the same fresh rows; beside "the higher F1 wins" and "the higher AUC".
A year of questions: a frozen champion is asked about every month, on the newest three; in the quiet the challenger
learned from the newest six months, as many as the champion, so that any promotion is a false one. The share of years
with one tells what asking again does, and what the widening of the interval (`promotion.widened`) undoes.
"""

from dataclasses import replace
from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.telco import params, recipe
from benchmarks.world import ROWS, Floats, World, markdown, share, spread, world
from mlops_assets.gates.promotion import Comparison, compare
from mlops_assets.gates.verdict import Verdict
from mlops_assets.learning.metrics import f1, roc_auc
from mlops_assets.learning.training import catboost_fitter

CUTS = ["contract", "internet_service", "senior_citizen", "female"]
SIZES = (300, 600, 2000)
KNOWN, MONTHS, ASKED_ON = 6, 14, 3
GATE = "the gate"
KINDS = ("equal", "worse", "better")
QUIET, CALM, RIVAL = "quiet", "calm: all log-odds - 0.7", "cable rival"

Month = tuple[NDArray[np.intp], Floats, Floats, list[Floats]]
"""Rows, labels, the champion's scores of them, and those of each challenger as of then."""


def rivals_offer(here: World) -> Floats:
    """Customers without fiber leave more, those with fiber by the month less."""
    has_fiber = np.asarray(here.X["internet_service"] == "Fiber optic")
    monthly = np.asarray(here.X["contract"] == "Month-to-month")
    return np.asarray(1.5 * ~has_fiber - 0.8 * (has_fiber & monthly), dtype=np.float64)


def fit(here: World, rows: NDArray[np.intp], y: Floats, *, half_life: float | None = None) -> Floats:
    """Scores of every customer by the recipe (in half the steps, for speed), fitted on months of rows, oldest first."""
    model = replace(recipe(iterations=100, learning_rate=0.1), half_life_batches=half_life)
    months = [f"{2020 + number // 12}-{number % 12 + 1:02d}" for number in range(len(rows))]
    batches = np.repeat(months, rows.shape[1])
    return catboost_fitter(model)(here.X.iloc[rows.ravel()], y.ravel(), np.ones(rows.size), batches)(here.X)


def judge(
    here: World, rows: NDArray[np.intp], y: Floats, champion: Floats, challenger: Floats, **knobs: Any
) -> Comparison:
    """The gate's comparison of two models' scores of `rows`, shape (n,), by the shipped params but for `knobs`."""
    shipped = params().promotion.model_dump(
        include={"interval", "min_relative_gain", "max_auc_loss", "segment_tolerance"}
    )
    return compare(champion, challenger, y, segments=here.X[CUTS].iloc[rows], **{**shipped, **knobs})


def pairs(here: World, rng: np.random.Generator) -> dict[str, tuple[Floats, Floats, Floats]]:
    """Champion's and challenger's scores of every customer, and the shift of the world, by kind."""

    def learned(months: int, shift: Floats) -> Floats:
        rows = rng.integers(len(here.X), size=(months, ROWS))
        return fit(here, rows, here.labels(rows, rng, shift))

    still, moved = 0 * here.odds, rivals_offer(here)
    champion = learned(KNOWN, still)
    return {
        "equal": (champion, learned(KNOWN, still), still),
        "worse": (champion, learned(1, still), still),
        "better": (champion, learned(KNOWN, moved), moved),
    }


def asked_once(deal: int) -> tuple[dict[tuple[str, str, int], bool], list[float]]:
    """Who is promoted in one deal, by rule, kind and rows; and the seconds of each decision of the gate."""
    here, rng, threshold = world(), np.random.default_rng([11, deal]), params().economics.offer_cost
    threshold /= params().economics.kept_customer_value * params().economics.success_rate
    said, spent = {}, []
    for kind, (champion, challenger, shift) in pairs(here, rng).items():
        for size in SIZES:
            rows = rng.integers(len(here.X), size=size)
            y, ones = here.labels(rows, rng, shift), np.ones(size)
            began = process_time()
            judged = judge(here, rows, y, champion[rows], challenger[rows])
            spent.append(process_time() - began)
            figures = [f1(y, scores[rows], ones, threshold=threshold) for scores in (challenger, champion)]
            areas = [roc_auc(y, scores[rows], ones) for scores in (challenger, champion)]
            said[GATE, kind, size] = judged.verdict is Verdict.PASS
            said["higher F1 wins", kind, size] = bool(figures[0] > figures[1])
            said["higher AUC wins", kind, size] = bool(areas[0] > areas[1])
    return said, spent


def one_question(deals: int) -> str:
    """Promoted challengers by rule, kind and rows."""
    done = spread(asked_once, range(deals))
    lines = [
        [rule, kind, *(share(sum(said[rule, kind, size] for said, _ in done), deals) for size in SIZES)]
        for rule in (GATE, "higher F1 wins", "higher AUC wins")
        for kind in KINDS
    ]
    took = np.median([seconds for _, spent in done for seconds in spent])
    lines.append(["ms of CPU a decision of the gate, median", "", f"{1000 * took:.0f}", "", ""])
    return markdown([f"% promoted of {deals}", "challenger", *(f"{size:,} rows" for size in SIZES)], lines)


def year(here: World, rng: np.random.Generator, shift: Floats, *, is_quiet: bool) -> list[Month]:
    """The months after the champion's own."""
    months = KNOWN + MONTHS
    rows = rng.integers(len(here.X), size=(months, ROWS))
    y = np.stack([here.labels(rows[m], rng, strength(m) * shift) for m in range(months)])
    champion = fit(here, rows[:KNOWN], y[:KNOWN])
    played = []
    for month in range(KNOWN, months):
        known = slice(month - KNOWN if is_quiet else 0, month)
        made = [fit(here, rows[known], y[known])]
        if not is_quiet:
            made.append(fit(here, rows[known], y[known], half_life=params().model.half_life_batches))
        played.append((rows[month], y[month], champion[rows[month]], [scores[rows[month]] for scores in made]))
    return played


def strength(month: int) -> float:
    """Of the change in a month: none while the champion learns, half in the first, full after."""
    return 0.0 if month < KNOWN else 0.5 if month == KNOWN else 1.0


def asked(here: World, played: list[Month], *, widens: bool) -> int | None:
    """The attempt, from 1 on, that promoted somebody in a year; None if none did."""
    for attempt in range(1, MONTHS - ASKED_ON + 2):
        window = played[attempt - 1 : attempt - 1 + ASKED_ON]
        rows, y, champion = (np.concatenate([month[place] for month in window]) for place in range(3))
        for candidate in range(len(window[0][3])):
            challenger = np.concatenate([month[3][candidate] for month in window])
            judged = judge(here, rows, y, champion, challenger, attempt=attempt if widens else 1)
            if judged.verdict is Verdict.PASS:
                return attempt
    return None


def shifts(here: World) -> dict[str, Floats]:
    """What each world of a year of questions adds to the log-odds."""
    return {QUIET: 0 * here.odds, CALM: 0 * here.odds - 0.7, RIVAL: rivals_offer(here)}


def asked_for_a_year(task: tuple[str, int]) -> tuple[int | None, int | None]:
    """When somebody was promoted, with the interval widened and without."""
    name, number = task
    here = world()
    played = year(here, np.random.default_rng([12, number]), shifts(here)[name], is_quiet=name == QUIET)
    return asked(here, played, widens=True), asked(here, played, widens=False)


def years_of_questions(quiet: int, changed: int) -> str:
    """Years with a promotion, and when, by world and rule."""
    counts = {QUIET: quiet, CALM: changed, RIVAL: changed}
    done = spread(asked_for_a_year, [(name, number) for name, count in counts.items() for number in range(count)])
    lines = []
    for name, count in counts.items():
        told, done = done[:count], done[count:]
        for place, widens in enumerate(("yes", "no")):
            first = [one[place] for one in told]
            soon = sum(attempt is not None and attempt <= ASKED_ON for attempt in first)
            ever = sum(attempt is not None for attempt in first)
            lines.append([name, widens, share(soon, count), share(ever, count)])
    return markdown(["world", "interval widened", "% of years promoted by the 3rd question", "by the 12th"], lines)
