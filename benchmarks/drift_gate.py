"""How often is the drift gate wrong? Cases of `benchmarks.decisions`.

As in operation: a champion learns from six months, each month after is judged alone and pooled with the two before it
(but for those that a broken pipe spoilt). Twelve quiet months; and from the fourth on, each change, until the gate
rings, three months at most. Beside it an oracle: a classifier that learned from 4,000 rows of either world what the
change looks like, its log-odds summed over a batch, held to what untouched batches reach with the same chance of a
false alarm. It sees rows and no persons, so where persons come back the gate may see more.
"""

from dataclasses import replace
from time import process_time
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.moves import MOVES, moved
from benchmarks.telco import params, recipe
from benchmarks.world import (
    AT,
    KNOWN,
    SIZES,
    WITHIN,
    YEAR,
    Champion,
    Floats,
    Month,
    crowned,
    customers,
    power,
    world,
)
from mlops_assets.gates import monthly
from mlops_assets.gates.attribution import Cause
from mlops_assets.gates.findings import DriftAssessment
from mlops_assets.gates.verdict import Verdict
from mlops_assets.learning.training import catboost_fitter

POOL = 4000  # rows of either world that an oracle learns from
EVIDENTLY_SHARES = (0.5, 0.05)  # its default, and one column of twenty


def quiet(table: str, kind: str, size: int, seed: int) -> dict[str, Any]:
    """The p of twelve quiet months, and what rang in them."""
    living = customers(table, kind, size, seed)
    champion, year = crowned(living.months(KNOWN), seed), living.months(YEAR)
    began = process_time()
    judged = assessed(champion, year, [])
    spent = (process_time() - began) / YEAR
    rang = [
        (month, finding.column, finding.kind, finding.batches, finding.moved)
        for month, one in enumerate(judged)
        for finding in one.findings
        if finding.verdict is Verdict.FAIL
    ]
    return {"quiet": [one.p_value for one in judged], "rang": rang, "seconds": spent}


def changed(table: str, kind: str, size: int, seed: int) -> dict[str, Any]:
    """Of each change the p until it was seen, and the cause that was named then."""
    living = customers(table, kind, size, seed)
    champion, year = crowned(living.months(KNOWN), seed), living.months(AT + WITHIN)
    found = {}
    for name in MOVES:
        hit = [replace(one, X=moved(world(table), one.X, one.keys, name, seed)) for one in year[AT:]]
        judged = assessed(champion, hit, year[AT - 2 : AT], until_seen=True)
        found[name] = [one.p_value for one in judged], str(judged[-1].cause)
    return {"changes": found}


def assessed(
    champion: Champion, months: list[Month], before: list[Month], *, until_seen: bool = False
) -> list[DriftAssessment]:
    """The gate's verdict on each of `months`, of which `before` were the ones before; to the first FAIL if wanted."""
    seen = [batch_of(champion, month) for month in before]
    told: list[DriftAssessment] = []
    for month in months:
        now = batch_of(champion, month)
        told.append(
            judged := monthly.assess_month(
                champion.X,
                now.table,
                earlier=seen[-2:],
                reference_scores=champion.promised,
                current_scores=now.scores,
                reference_batches=champion.batches,
                reference_keys=champion.keys,
                current_keys=month.keys,
                batch=month.name,
                alpha=params().drift.alpha,
                min_rows=params().drift.min_rows,
            )
        )
        if until_seen and judged.verdict is Verdict.FAIL:
            break
        seen += [] if judged.cause is Cause.PIPE else [now]
    return told


def batch_of(champion: Champion, month: Month) -> monthly.Batch:
    """A month as the gate is handed it."""
    return monthly.Batch(month.X, champion.score(month.X), month.keys, month.name)


def oracle(table: str, kind: str, _: int, seed: int) -> dict[str, dict[int, float]]:
    """Share of changed batches that the oracle finds, by change and size."""
    month = customers(table, kind, 3 * POOL, seed).month()
    parts = np.random.default_rng(seed).permutation(3 * POOL).reshape(3, POOL)  # a panel's newest persons come last
    found: dict[str, dict[int, float]] = {}
    for name in MOVES:
        touched = moved(world(table), month.X, month.keys, name, seed)
        # Untouched and changed rows of different persons to learn from, and a third part to judge.
        X = pd.concat([month.X.iloc[parts[0]], touched.iloc[parts[1]]], ignore_index=True)
        tell = catboost_fitter(recipe(iterations=200, depth=6, learning_rate=0.1))(
            X, np.repeat([0, 1], POOL), np.ones(len(X)), np.full(len(X), "2020-01")
        )
        sides = [log_odds(tell(rows.iloc[parts[2]])) for rows in (month.X, touched)]
        found[name] = {size: power(*sides, size, params().drift.alpha, seed) for size in SIZES}
    return found


def log_odds(chance: Floats) -> Floats:
    """Of a chance, kept from infinity."""
    kept = np.clip(chance, 1e-9, 1 - 1e-9)
    return np.asarray(np.log(kept) - np.log1p(-kept))


def beside_evidently(table: str, kind: str, size: int, seed: int) -> dict[str, list[float]]:
    """By change: p of the gate, and the share of columns that Evidently's preset says drifted."""
    living = customers(table, kind, size, seed)
    champion = crowned(living.months(KNOWN), seed)
    month = living.month()
    told = {}
    for name in (None, *MOVES):
        X = month.X if name is None else moved(world(table), month.X, month.keys, name, seed)
        (judged,) = assessed(champion, [replace(month, X=X)], [])
        told[name or "quiet"] = [judged.p_value, drifted_columns(champion, X)]
    return told


def drifted_columns(champion: Champion, X: pd.DataFrame) -> float:
    """Share of the columns that Evidently's preset says drifted."""
    from evidently import DataDefinition, Dataset, Report  # noqa: PLC0415 - three seconds, for one part of many
    from evidently.presets import DataDriftPreset  # noqa: PLC0415

    sides = [X.assign(score=champion.score(X)), champion.X.assign(score=champion.promised)]
    numbers = [name for name in sides[1] if pd.api.types.is_numeric_dtype(sides[1][name])]
    others = [name for name in sides[1] if name not in numbers]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=others)
    snapshot = Report([DataDriftPreset()]).run(
        *(Dataset.from_pandas(side, data_definition=definition) for side in sides)
    )
    (count,) = (one for one in snapshot.dict()["metrics"] if "DriftedColumnsCount" in one["metric_name"])
    return float(count["value"]["share"])
