"""What the loop is worth, and where it stops: cases of `benchmarks.decisions`.

The loop is the project's rules without its machinery. Each month the drift gate judges the batch and the outcome gate
the month before; where either is red, and no pipe is broken, both candidates are judged by rolling origin on the
newest months since the alarm, as soon as there are enough. Who is proven better is crowned. Where nobody is, and the
outcomes of those months are as promised, the change is accepted: they join the reference. After three refusals in a
row a person is called, who lets it go on half a year later. Beside it the first champion for ever, and a recipe fitted
every month on all that is known, which asks nobody. Profit is expected under each customer's true chance, so that luck
plays no part.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.drift_gate import batch_of
from benchmarks.moves import moved
from benchmarks.outcome_gate import judge, shifts
from benchmarks.promotion_gate import FLIP, expected
from benchmarks.telco import params, recipe
from benchmarks.world import (
    AT,
    KNOWN,
    YEAR,
    Champion,
    Floats,
    Month,
    World,
    crowned,
    customers,
    expit,
    stacked,
    still,
    world,
)
from mlops_assets.gates import monthly, promotion
from mlops_assets.gates.attribution import Cause
from mlops_assets.gates.verdict import Verdict
from mlops_assets.learning import candidates
from mlops_assets.learning.training import (
    Recipe,
    Scorer,
    catboost_fitter,
    out_of_fold,
    recency_weights,
    spline_logistic_fitter,
)

YEARS = 10
HARMLESS = "a category's share + 10 points"
FROZEN, MONTHLY, LOOP = "frozen", "monthly", "loop"
RARE_ROWS, RARE_MONTHS = 2000, 8


@dataclass
class Loop:
    """The state of the loop, and what became of it."""

    here: World
    champion: Champion
    history: list[Month]
    seed: int
    as_of: int
    attempt: int = 1
    refused: int = 0
    called: int = 0  # month in which a person was called
    since: int | None = None  # month of the first alarm that is not settled
    kept: set[int] = field(default_factory=set)  # months whose outcomes were as promised
    unseen: list[Month] = field(default_factory=list)
    told: dict[str, list[Any]] = field(
        default_factory=lambda: {"drift": [], "outcomes": [], "trained": [], "crowned": [], "accepted": []}
    )

    def month(self, now: Month) -> None:
        """What the loop does when a month has come, and the outcomes of the one before."""
        number = len(self.history)
        drift = monthly.assess_month(
            self.champion.X,
            now.X,
            # Scored anew: a champion may have been crowned since.
            earlier=[batch_of(self.champion, month) for month in self.unseen[-2:]],
            reference_scores=self.champion.promised,
            current_scores=self.champion.score(now.X),
            reference_batches=self.champion.batches,
            reference_keys=self.champion.keys,
            current_keys=now.keys,
            batch=now.name,
            alpha=params().drift.alpha,
            min_rows=params().drift.min_rows,
        )
        is_red = drift.verdict is Verdict.FAIL and drift.cause is not Cause.PIPE
        self.told["drift"].append(str(drift.cause))
        outcome = self._outcomes()
        self.told["outcomes"].append(str(outcome))
        if self.since is None and (is_red or outcome is Verdict.FAIL):
            self.since = number if is_red else number - 1
            self.told["trained"].append(number)  # at once; promotion can decide later
        if self.refused >= params().loop.breaker and number - self.called >= params().loop.budget_batches:
            self.refused = 0
        if self.since is not None and self.refused < params().loop.breaker:
            self._challenge(number)
        self.unseen += [] if drift.cause is Cause.PIPE else [now]
        self.history.append(now)

    def _outcomes(self) -> Verdict:
        window = [n for n in range(len(self.history) - 3, len(self.history)) if n > self.as_of]
        if not window:
            return Verdict.UNKNOWN
        verdict = judge(self.here, self.champion, [self.history[n] for n in window]).verdict
        self.kept = self.kept | {window[-1]} if verdict is Verdict.PASS else self.kept - {window[-1]}
        return verdict

    def _challenge(self, number: int) -> None:
        """Both candidates against the champion on the newest months since the alarm."""
        window = range(number - params().promotion.months, number)
        if window[0] < (self.since or 0) or window[0] <= self.as_of:
            return
        self.told["trained"].append(number)
        X, keys, _, y = stacked([self.history[n] for n in window])
        gains = {}
        for made_by in candidates.recipes(recipe(), half_life_batches=params().model.half_life_batches):
            scores = [fitted(made_by, self.history[:n])(self.history[n].X) for n in window]
            told = promotion.compare(
                self.champion.score(X),
                np.concatenate(scores),
                y,
                segments=X[list(self.here.marks.cuts)],
                keys=keys,
                attempt=self.attempt,
                **params().promotion.model_dump(exclude={"months", "approval"}),
            )
            if told.verdict is Verdict.PASS and told.gain is not None:
                gains[made_by] = told.gain
        if gains:
            self._crown(max(gains, key=lambda one: gains[one]), number)
            return
        self.attempt += 1
        if self.kept.issuperset(window):
            self._accept(window, number)
            return
        self.refused += 1
        self.called = number

    def _crown(self, made_by: Recipe, number: int) -> None:
        self.told["crowned"].append(number)
        self.champion = successor(made_by, self.history, self.seed)
        self.as_of, self.attempt, self.refused, self.since = number - 1, 1, 0, None
        self.kept, self.unseen = set(), []

    def _accept(self, window: Sequence[int], number: int) -> None:
        self.told["accepted"].append(number)
        X, keys, batches, y = stacked([self.history[n] for n in window])
        old = self.champion
        self.champion = replace(
            old,
            X=pd.concat([old.X, X], ignore_index=True),
            keys=np.concatenate([old.keys, keys]),
            batches=np.concatenate([old.batches, batches]),
            y=np.concatenate([old.y, y]),
            promised=np.concatenate([old.promised, old.score(X)]),
        )
        self.as_of, self.since, self.refused, self.unseen = window[-1], None, 0, []


def fitted(made_by: Recipe, months: Sequence[Month]) -> Scorer:
    """The recipe fitted on months."""
    X, _, batches, y = stacked(months)
    return catboost_fitter(made_by)(X, y, np.ones(len(y)), batches)


def successor(made_by: Recipe, history: Sequence[Month], seed: int) -> Champion:
    """The recipe fitted on months; its reference are the newest, with out-of-fold scores."""
    X, keys, batches, y = stacked(history)
    told, folds = {"weights": np.ones(len(y)), "batches": batches}, params().model.folds
    held_out = out_of_fold(X, y, **told, fitter=catboost_fitter(made_by), folds=folds, seed=seed, groups=keys)
    newest = np.isin(batches, [month.name for month in history[-params().drift.reference_months :]])
    reference = X[newest].reset_index(drop=True)
    return Champion(
        fitted(made_by, history), reference, keys[newest], batches[newest], y[newest], held_out.score.to_numpy()[newest]
    )


def begun(here: World, history: list[Month], seed: int) -> Loop:
    """The loop whose champion learned from its first months."""
    return Loop(here, crowned(history, seed), list(history), seed, len(history) - 1)


def profit(scores: Floats, chance: Floats) -> float:
    """Expected profit per 1,000 customers of contacts above the threshold."""
    money = params().economics
    contacted = scores >= money.offer_cost / (money.kept_customer_value * money.success_rate)
    return 1000 * float(
        (contacted * (chance * money.success_rate * money.kept_customer_value - money.offer_cost)).mean()
    )


def decade(table: str, kind: str, size: int, seed: int) -> dict[str, Any]:
    """Ten years with a change every other year: monthly profits of three policies, and what the loop did."""
    living, here = customers(table, kind, size, seed), world(table)
    loop = begun(here, living.months(KNOWN), seed)
    frozen, changes = loop.champion, shifts(here)
    worlds = [changes[FLIP], still, changes["log-odds halved, the level kept"], still, changes[FLIP]]
    gained: dict[str, list[float]] = {FROZEN: [], MONTHLY: [], LOOP: []}
    for number in range(YEARS * YEAR):
        # In the middle of the second year, the fourth and so on.
        if number % (2 * YEAR) == YEAR + YEAR // 2:
            living.shift = worlds[number // (2 * YEAR)]
        now = living.month()
        fresh = fitted(recipe(), loop.history)
        loop.month(now)
        for name, score in ((FROZEN, frozen.score), (MONTHLY, fresh), (LOOP, loop.champion.score)):
            gained[name].append(profit(score(now.X), expit(now.odds)))
    return {"profit": gained, **loop.told}


def lasting(table: str, kind: str, size: int, seed: int) -> dict[str, Any]:
    """A year with a harmless change that stays: customers who are otherwise, and leave as such customers do."""
    living, here = customers(table, kind, size, seed), world(table)
    loop, rng = begun(here, living.months(KNOWN), seed), np.random.default_rng([seed, 2])
    for number, now in enumerate(living.months(YEAR)):
        month = now
        if number >= AT:
            X = moved(here, now.X, now.keys, HARMLESS, seed)
            odds = here.odds(X)
            month = Month(X, now.keys, odds, (rng.random(len(odds)) < expit(odds)).astype(float), now.name)
        loop.month(month)
    return loop.told


def rare(table: str, kind: str, per_cent: int, seed: int) -> dict[str, Any]:
    """Floors month by month where few leave: verdict, why, and the true gain as a share of the prevalence's loss."""
    living, by = customers(table, kind, RARE_ROWS, seed), 0.0
    for _ in range(3):  # who leaves less stays longer, so the level settles with the customers
        by += level(living.month().odds, per_cent / 100)
        living.shift = partial(constant, by)
        living.months(0 if living.renewed is None else YEAR)
    months = living.months(params().loop.min_months - 1)
    told = []
    for _ in range(len(months), RARE_MONTHS):
        months.append(living.month())
        verdict, why = floors(months)
        chance = expit(months[-1].odds)
        plain = expected(np.full_like(chance, chance.mean()), chance)
        gain = 1 - expected(fitted(recipe(), months)(months[-1].X), chance) / plain
        told.append((len(months), str(verdict), why, gain))
        if verdict is Verdict.PASS:
            break
    return {"floors": told, "events": float(np.mean([month.y.mean() for month in months])), "best": best_gain(months)}


def constant(by: float, _: pd.DataFrame, odds: Floats) -> Floats:
    """The same for everybody."""
    return np.full_like(odds, by)


def best_gain(months: Sequence[Month]) -> float:
    """What the truth itself saves of the prevalence's loss."""
    chance = np.concatenate([expit(month.odds) for month in months])
    return 1 - expected(chance, chance) / expected(np.full_like(chance, chance.mean()), chance)


def floors(months: Sequence[Month]) -> tuple[Verdict, str]:
    """The floors' answer on the first candidate, by the shipped params."""
    X, keys, batches, y = stacked(months)
    model, told = params().model, {"weights": np.ones(len(y)), "batches": batches}
    fitters = catboost_fitter(recipe()), spline_logistic_fitter(**params().baseline.model_dump())
    scores = [
        out_of_fold(X, y, **told, fitter=fitter, folds=model.folds, seed=model.seed, groups=keys).score
        for fitter in fitters
    ]
    judged = promotion.judge_floors(
        y,
        *scores,
        weights=recency_weights(batches, half_life_batches=None),
        keys=keys,
        described=True,
        reproducible=True,
        **params().floors.model_dump(),
        interval=params().evaluation.interval,
        calibration_bins=params().evaluation.calibration_bins,
    )
    return judged.verdict, judged.meaning


def level(odds: Floats, rate: float) -> float:
    """What must be added to log-odds for a mean chance of `rate`."""
    low, high = -15.0, 15.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if expit(odds + middle).mean() < rate else (low, middle)
    return low
