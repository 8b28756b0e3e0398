"""How often is the drift gate wrong? Part of `python -m benchmarks.decisions`.

Worlds are dealt from the shipped table: 2,000 customers to learn from, then months of 300, 600 or 2,000, scored by the
recipe in force (the reference out of fold, as in production). Nothing moves until a change moves it, so each FAIL
of an untouched month is a false alarm. Rows are drawn without replacement where the table has enough of them, and with
it in years of 600 and 2,000. The changes are of moderate strength, some near the limit of what can be seen.
"""

import time
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.moves import MOVES
from benchmarks.telco import one_month, params, recipe, table
from benchmarks.world import Floats, markdown, share, spread
from mlops_assets.gates.drift import DriftAssessment, assess_drift
from mlops_assets.gates.monthly import assess_month
from mlops_assets.gates.verdict import Verdict
from mlops_assets.learning.training import Scorer, catboost_fitter, out_of_fold

REFERENCE, YEAR = 2000, 12
SIZES = (300, 600, 2000)
NOTHING = "nothing moved"
# Evidently takes seconds a batch.
BESIDE = ("fiber 10 % dearer", "5 % of `tenure` missing", "30 % of contracts shuffled", "month-to-month 55 -> 65 %")
EVIDENTLY_ROWS, EVIDENTLY_SHARES = 600, (0.5, 0.05)  # its default, and one column of twenty


@dataclass(frozen=True)
class Operation:
    """A champion, what it learned from with out-of-fold scores, and the months that came after."""

    reference: pd.DataFrame
    scores: NDArray[np.float64]
    score: Scorer
    months: list[pd.DataFrame]


def operation(seed: int, *, rows: int, months: int, replace: bool = False) -> Operation:
    """One world: the rows dealt anew by lot."""
    X, y = table()
    dealt = np.random.default_rng(seed).choice(len(X), size=REFERENCE + rows * months, replace=replace)
    known, after = dealt[:REFERENCE], dealt[REFERENCE:].reshape(months, rows)
    reference = X.iloc[known].reset_index(drop=True)
    told = {"weights": np.ones(REFERENCE), "batches": one_month(REFERENCE)}
    fitter = catboost_fitter(recipe(seed=seed))
    oof = out_of_fold(reference, y[known], **told, fitter=fitter, folds=5, seed=seed).score.to_numpy()
    scorer = fitter(reference, y[known], told["weights"], told["batches"])
    return Operation(reference, oof, scorer, [X.iloc[month].reset_index(drop=True) for month in after])


def judge(world: Operation, rows: pd.DataFrame) -> DriftAssessment:
    """The gate on one batch alone."""
    alpha = params().drift.alpha
    return assess_drift(
        world.reference, rows, reference_scores=world.scores, current_scores=world.score(rows), alpha=alpha
    )


Told = dict[str, tuple[bool, bool]]
"""By change: whether the gate rang, and whether it named the right cause."""


def decided(task: tuple[int, int]) -> tuple[Told, float]:
    """One month of a size, untouched and changed in each way, and the seconds that the untouched one took."""
    size, seed = task
    world, rng = operation(seed, rows=size, months=1), np.random.default_rng([seed, size])
    (month,) = world.months
    judge(world, month)  # the first loads scipy
    start = time.process_time()
    quiet = judge(world, month)
    spent = time.process_time() - start
    told = {NOTHING: (quiet.verdict is Verdict.FAIL, True)}
    for name, (cause, move) in MOVES.items():
        judged = judge(world, move(month, rng))
        told[name] = judged.verdict is Verdict.FAIL, judged.cause is cause
    return told, spent


def decisions(cases: int) -> str:
    """False alarms and power of single decisions, the cause told, and the time."""
    by_size = {size: spread(decided, [(size, seed) for seed in range(cases)]) for size in SIZES}
    lines = []
    for name in (NOTHING, *MOVES):
        hits = [[told[name] for told, _ in by_size[size]] for size in SIZES]
        rang = [right for told in hits for is_rung, right in told if is_rung]
        cells = [share(sum(is_rung for is_rung, _ in told), cases) for told in hits]
        lines.append([name, *cells, "" if name == NOTHING else share(sum(rang), len(rang))])
    times = [[1000 * seconds for _, seconds in by_size[size]] for size in SIZES]
    cells = [f"{np.median(told):.0f} ({np.quantile(told, 0.9):.0f})" for told in times]
    lines.append(["ms of CPU a decision, median (nine in ten)", *cells, ""])
    return markdown(["% of batches that ring", *(f"n = {size:,}" for size in SIZES), "cause named rightly"], lines)


def year_of(task: tuple[int, int]) -> Floats:
    """The p of a quiet year's twelve batches of a size, shape (12, 2): of the batch alone, and as the scheme has it."""
    size, seed = task
    world = operation(1000 + seed, rows=size, months=YEAR, replace=REFERENCE + YEAR * size > len(table()[0]))
    seen: list[tuple[pd.DataFrame, Floats]] = []
    told = []
    for month in world.months:
        scores = world.score(month)
        both = assess_month(
            world.reference,
            month,
            earlier=seen,
            reference_scores=world.scores,
            current_scores=scores,
            alpha=params().drift.alpha,
        )
        told.append((judge(world, month).p_value, both.p_value))
        seen.append((month, scores))
    return np.array(told)


def years(counts: dict[int, int]) -> str:
    """Quiet years with an alarm, alone and with the pooled window; `counts`: years of each size."""
    lines = []
    for size, count in counts.items():
        rings = np.array(spread(year_of, [(size, seed) for seed in range(count)])) <= params().drift.alpha
        cells = [share(int(rings[:, :, side].any(axis=1).sum()), count) for side in (0, 1)]
        each = [share(int(rings[:, :, side].sum()), rings[:, :, side].size) for side in (0, 1)]
        lines.append([f"12 batches of {size:,}", str(count), each[0], cells[0], each[1], cells[1]])
    head = ["quiet years", "years", "alone: % of batches", "% of years", "with the window: % of batches", "% of years"]
    return markdown(head, lines)


def compared(seed: int) -> dict[str, tuple[bool, ...]]:
    """By change: whether the gate rings, and Evidently's preset by each share."""
    world, rng = operation(seed, rows=EVIDENTLY_ROWS, months=1), np.random.default_rng([seed, 0])
    (month,) = world.months
    moved = {NOTHING: month, **{name: MOVES[name][1](month, rng) for name in BESIDE}}
    return {
        name: (
            judge(world, rows).verdict is Verdict.FAIL,
            *(drifted_columns(world, rows) >= limit for limit in EVIDENTLY_SHARES),
        )
        for name, rows in moved.items()
    }


def drifted_columns(world: Operation, rows: pd.DataFrame) -> float:
    """Share of the columns that Evidently's preset says drifted."""
    from evidently import DataDefinition, Dataset, Report  # noqa: PLC0415 - three seconds, for one table of three
    from evidently.presets import DataDriftPreset  # noqa: PLC0415

    sides = [rows.assign(score=world.score(rows)), world.reference.assign(score=world.scores)]
    numbers = [name for name in sides[1] if pd.api.types.is_numeric_dtype(sides[1][name])]
    others = [name for name in sides[1] if name not in numbers]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=others)
    snapshot = Report([DataDriftPreset()]).run(
        *(Dataset.from_pandas(side, data_definition=definition) for side in sides)
    )
    (count,) = (one for one in snapshot.dict()["metrics"] if "DriftedColumnsCount" in one["metric_name"])
    return float(count["value"]["share"])


def beside_evidently(cases: int) -> str:
    """The same months of 600, judged by Evidently's preset as it comes (half the columns) and with a share of .05."""
    told = spread(compared, range(cases))
    lines = [
        [name, *(share(sum(case[name][rule] for case in told), cases) for rule in range(3))]
        for name in (NOTHING, *BESIDE)
    ]
    head = [f"% of batches of {EVIDENTLY_ROWS} that ring", "the gate", "Evidently's preset", "Evidently, share 0.05"]
    return markdown(head, lines)
