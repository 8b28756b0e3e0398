"""How often is the outcome gate wrong? Cases of `benchmarks.decisions`.

A champion learned from six months; each mature month after is judged as in operation: the newest batch, and up to three
pooled, against its out-of-fold scores, by several cuts. Twelve quiet months; and from the fourth on each change, until
the gate rings, three months at most. Beside it an oracle that knows the change: the likelihood ratio of the true odds
after it and before, of the newest batch, held to what quiet batches reach with the same chance of a false alarm.
"""

from time import process_time
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.moves import most
from benchmarks.telco import params
from benchmarks.world import (
    AT,
    KNOWN,
    SIZES,
    WITHIN,
    YEAR,
    Champion,
    Floats,
    Month,
    Shift,
    World,
    crowned,
    customers,
    expit,
    power,
    stacked,
    world,
)  # fmt: skip
from mlops_assets.gates.outcomes import OutcomeAssessment
from mlops_assets.gates.promises import assess_promises
from mlops_assets.gates.verdict import Verdict

POOL = 12_000


def shifts(here: World) -> dict[str, Shift]:
    """What each change adds to the log-odds."""
    column, level = here.marks.few
    commonest = most(here)[0]
    middle = float(np.mean(here.odds(here.X)))
    return {
        "all log-odds - 0.7": lambda _, odds: np.full_like(odds, -0.7),
        "all log-odds + 0.3": lambda _, odds: np.full_like(odds, 0.3),
        "log-odds halved, the level kept": lambda _, odds: -0.5 * (odds - middle),
        "flip: commonest category - 0.8, others + 1.5": lambda X, _: np.where(
            X[here.marks.category] == commonest, -0.8, 1.5
        ),
        "one segment + 1": lambda X, _: np.where(X[column] == level, 1.0, 0.0),
    }


def case(table: str, kind: str, size: int, seed: int) -> dict[str, Any]:
    """P of twelve quiet months, what rang in them, and of each change the p until it was seen."""
    living, here = customers(table, kind, size, seed), world(table)
    champion, year = crowned(living.months(KNOWN), seed), living.months(AT)
    later = {name: living.fork() for name in shifts(here)}
    year += living.months(YEAR - AT)
    began = process_time()
    quiet = [judge(here, champion, year[max(0, month - 2) : month + 1]) for month in range(YEAR)]
    spent = (process_time() - began) / YEAR
    rang = [
        (month, finding.subject, finding.window, finding.moved)
        for month, judged in enumerate(quiet)
        for finding in judged.findings
        if finding.verdict is Verdict.FAIL
    ]
    found = {}
    for name, shift in shifts(here).items():
        later[name].shift = shift
        played, told = year[:AT], list[float]()
        for _ in range(WITHIN):
            played = [*played, later[name].month()]
            judged = judge(here, champion, played[-3:])
            told.append(chance(judged))
            if judged.verdict is Verdict.FAIL:
                break
        found[name] = told
    return {"quiet": [chance(one) for one in quiet], "rang": rang, "changes": found, "seconds": spent}


def chance(judged: OutcomeAssessment) -> float:
    """p, 1 where nobody can tell."""
    return 1.0 if judged.p_value is None else judged.p_value


def judge(here: World, champion: Champion, months: list[Month]) -> OutcomeAssessment:
    """The gate on the newest of `months`."""
    X, keys, batches, y = stacked(months)
    cuts = list(here.marks.cuts)
    return assess_promises(
        as_table(champion.promised, champion.y, champion.batches, champion.keys),
        as_table(champion.score(X), y, batches, keys),
        segments=X[cuts],
        reference_segments=champion.X[cuts],
        **params().outcomes.model_dump(),
    )


def as_table(score: Floats, label: Floats, batch: Any, key: Any) -> pd.DataFrame:  # noqa: ANN401 - columns
    """Scored outcomes, all of weight 1."""
    return pd.DataFrame({"score": score, "label": label, "weight": 1.0, "batch": batch, "key": key})


def oracle(table: str, kind: str, _: int, seed: int) -> dict[str, dict[int, float]]:
    """Share of changed batches that the oracle finds, by change and size."""
    month, here = customers(table, kind, POOL, seed).month(), world(table)
    found = {}
    for name, shift in shifts(here).items():
        by = shift(month.X, month.odds)
        before, after = expit(month.odds), expit(month.odds + by)
        ratios = np.log((1 - after) / (1 - before)), np.log(after / before)
        rng = np.random.default_rng([seed, 1])
        sides = [np.where(rng.random(POOL) < truth, ratios[1], ratios[0]) for truth in (before, after)]
        found[name] = {size: power(*sides, size, params().outcomes.alpha, seed) for size in SIZES}
    return found
