"""How soon the rules find a change and replace the champion, and what that is worth. Part of `benchmarks.decisions`.

A year after the six sample months; the scenario begins in the fourth month. The loop is the project's own rules without
its machinery: drift each month, outcomes of the month before, and where either is red (and the pipe not broken) both
candidates by rolling origin on the newest three mature months. Beside it the first champion for ever, and a retraining
every month that asks nobody. Losses and profits are exact: expected under each customer's true probability, so that
chance in the outcomes plays no part. Profit is per 1,000 customers, in the currency of `economics`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.telco import params, recipe
from benchmarks.world import Floats, averaged, markdown, share, spread
from mlops_assets.churn import features, scenarios, simulation
from mlops_assets.churn.world import World, fit_world, inputs
from mlops_assets.deliveries import source_table
from mlops_assets.gates import monthly, promises, promotion
from mlops_assets.gates.drift import Cause, DriftAssessment
from mlops_assets.gates.verdict import Verdict
from mlops_assets.learning import candidates, training
from mlops_assets.learning.training import Recipe, Scorer

MONTHS, AT = 12, 4
# Files that come at another time change no customer and no outcome: their figures are those of quiet.
SAME_AS_QUIET = ("offers_work", "late_outcomes", "out_of_order", "duplicate_month")
NAMES = tuple(name for name in scenarios.SCENARIOS if name not in SAME_AS_QUIET)
NEVER, MONTHLY, LOOP = "never retrained", "retrained every month", "the loop"
KEYS = ["batch", "customer_id"]


@dataclass(frozen=True)
class Champion:
    """A model that scores, the newest month it learned from, and what gates judge against, with out-of-fold scores."""

    score: Scorer
    as_of: str
    reference: pd.DataFrame
    promised: Floats


@dataclass
class Year:
    """What became of a play: verdicts by month, months of promotions, and figures of each policy, month by month."""

    name: str
    drift: list[DriftAssessment] = field(default_factory=list)
    outcomes: list[Verdict] = field(default_factory=list)
    promoted: list[int] = field(default_factory=list)
    asked: int = 0
    profit: dict[str, list[float]] = field(default_factory=lambda: {NEVER: [], MONTHLY: [], LOOP: []})
    loss: dict[str, list[float]] = field(default_factory=lambda: {NEVER: [], MONTHLY: [], LOOP: []})


@cache
def stage() -> tuple[pd.DataFrame, World]:
    """The source table and the world fitted on it."""
    source = source_table()
    return source, fit_world(source)


def table_of(batch: str, customers: pd.DataFrame, told: pd.DataFrame) -> pd.DataFrame:
    """A month as labelled customers: features, keys, label."""
    label = told.churned.eq("Yes").astype("int64")
    return inputs(customers).assign(customer_id=customers.customer_id, batch=batch, label=label, weight=1.0)


def recipes() -> tuple[Recipe, ...]:
    """Those of the two candidates."""
    return candidates.recipes(recipe(), half_life_batches=params().model.half_life_batches)


def fitted(made_by: Recipe, rows: pd.DataFrame) -> Scorer:
    """The recipe fitted on the rows."""
    return training.catboost_fitter(made_by)(features.model_inputs(rows), rows.label, rows.weight, rows.batch)


def crown(made_by: Recipe, rows: pd.DataFrame) -> Champion:
    """The recipe fitted on all rows; its reference are the newest months, with out-of-fold scores."""
    model = params().model
    known: dict[str, Any] = {"weights": rows.weight, "batches": rows.batch, "folds": model.folds, "seed": model.seed}
    X, fitter = features.model_inputs(rows), training.catboost_fitter(made_by)
    held_out = training.out_of_fold(X, rows.label, fitter=fitter, **known)
    newest = rows.batch.isin(sorted(rows.batch.unique())[-params().drift.reference_months :]).to_numpy()
    return Champion(fitted(made_by, rows), rows.batch.max(), rows[newest], held_out.score.to_numpy()[newest])


def newer(champion: Champion, rows: pd.DataFrame) -> list[str]:
    """Months that the champion never learned from, the newest three at most."""
    return sorted(rows.batch[rows.batch > champion.as_of].unique())[-3:]


def drift_of(champion: Champion, current: pd.DataFrame, unseen: Sequence[pd.DataFrame]) -> DriftAssessment:
    """The drift gate's verdict on a month; `unseen`: those before it that came through no broken pipe."""
    X = features.model_inputs
    return monthly.assess_month(
        X(champion.reference),
        X(current),
        earlier=[(X(month), champion.score(X(month))) for month in unseen if month.batch.iloc[0] > champion.as_of],
        reference_scores=champion.promised,
        current_scores=champion.score(X(current)),
        reference_batches=champion.reference.batch,
        **params().drift.model_dump(exclude={"reference_months"}),
    )


def outcomes_of(champion: Champion, rows: pd.DataFrame) -> Verdict:
    """The outcome gate's verdict on the newest mature month."""
    both = rows[rows.batch.isin(newer(champion, rows))]
    if both.empty:
        return Verdict.UNKNOWN
    cuts = [features.segments(side).drop(columns=KEYS) for side in (both, champion.reference)]
    return promises.assess_promises(
        champion.reference.assign(score=champion.promised),
        both.assign(score=champion.score(features.model_inputs(both))),
        segments=cuts[0],
        reference_segments=cuts[1],
        **params().outcomes.model_dump(),
    ).verdict


def challenge(champion: Champion, rows: pd.DataFrame, attempt: int) -> tuple[Verdict, Recipe | None]:
    """What the promotion gate says of both candidates, and who gained most of those proven."""
    months = newer(champion, rows)
    if len(months) < params().promotion.months:
        return Verdict.UNKNOWN, None
    both = rows[rows.batch.isin(months)]
    cuts = features.segments(both).drop(columns=KEYS)
    now = champion.score(features.model_inputs(both))
    rules = params().promotion.model_dump(exclude={"months", "approval"})
    gains = {}
    for made_by in recipes():
        scores = [
            fitted(made_by, rows[rows.batch < month])(features.model_inputs(both[both.batch == month]))
            for month in months
        ]
        told = promotion.compare(now, np.concatenate(scores), both.label, segments=cuts, attempt=attempt, **rules)
        if told.verdict is Verdict.PASS and told.gain is not None:
            gains[made_by] = told.gain
    return (Verdict.PASS, max(gains, key=lambda one: gains[one])) if gains else (Verdict.FAIL, None)


def figures(scores: Floats, truth: Floats) -> tuple[float, float]:
    """Expected profit per 1,000 customers of contacts above the threshold, and expected log-loss, nats."""
    money = params().economics
    contacted = scores >= money.offer_cost / (money.kept_customer_value * money.success_rate)
    profit = contacted * (truth * money.success_rate * money.kept_customer_value - money.offer_cost)
    return 1000 * float(profit.mean()), -float((truth * np.log(scores) + (1 - truth) * np.log(1 - scores)).mean())


def play(task: tuple[str, int]) -> Year:
    """A year of a scenario in one deal of the source."""
    name, deal = task
    source, world = stage()
    seed = params().sample.seed + deal
    sample = simulation.sample_months(source, seed=seed)
    rows = pd.concat([table_of(one.batch, one.customers, one.outcomes) for one in sample], ignore_index=True)
    # The newest sample month matures when the first simulated one lands.
    frozen = champion = crown(recipes()[0], rows[rows.batch < sample[-1].batch])
    told, unseen, waits, attempt = Year(name), list[pd.DataFrame](), False, 1
    for month in scenarios.play(source, seed=seed, first=0, months=MONTHS, scenario=name, at=AT, world=world):
        current = table_of(month.batch, month.customers, month.outcomes)
        told.drift.append(judged := drift_of(champion, current, unseen[-2:]))
        told.outcomes.append(outcomes_of(champion, rows))
        is_pipe = judged.cause is Cause.PIPE
        waits |= told.outcomes[-1] is Verdict.FAIL or (judged.verdict is Verdict.FAIL and not is_pipe)
        if waits and attempt <= params().loop.breaker:
            verdict, best = challenge(champion, rows, attempt)
            told.asked += 1
            waits = verdict is Verdict.UNKNOWN
            attempt += verdict is Verdict.FAIL
            if best is not None:
                champion, attempt = crown(best, rows), 1
                told.promoted.append(len(told.drift))
        X = features.model_inputs(current)
        fresh = fitted(recipes()[0], rows)
        for policy, score in ((NEVER, frozen.score), (MONTHLY, fresh), (LOOP, champion.score)):
            profit, loss = figures(score(X), month.truth)
            told.profit[policy].append(profit)
            told.loss[policy].append(loss)
        unseen += [] if is_pipe else [current]
        rows = pd.concat([rows, current], ignore_index=True)
    return told


def first(rings: Sequence[bool]) -> int | None:
    """In which month since the change, 1 for its own, something is first seen; None if never."""
    return next((number for number, rang in enumerate(rings[AT - 1 :], start=1) if rang), None)


def when(months: Sequence[int | None]) -> str:
    """In how many years something was seen, and in which month as a rule."""
    seen = [month for month in months if month is not None]
    return f"{share(len(seen), len(months))}; month {np.median(seen):g} ({min(seen)}-{max(seen)})" if seen else "never"


def timeline(years: Sequence[Year]) -> list[str]:
    """A scenario's row of the table of detections."""
    red = [[judged.verdict is Verdict.FAIL for judged in year.drift] for year in years]
    wrong = [[verdict is Verdict.FAIL for verdict in year.outcomes] for year in years]
    early = sum(any((*drift[: AT - 1], *late[:AT])) for drift, late in zip(red, wrong, strict=True))
    better = [next((month - AT + 1 for month in year.promoted if month >= AT), None) for year in years]
    return [
        years[0].name,
        share(early, len(years)),
        when([first(year) for year in red]),
        # The outcomes judged in a month are those of the month before.
        when([first([*late[1:], False]) for late in wrong]),
        when(better),
        share(sum(year[-1] for year in red), len(years)),
    ]


def worth(years: Sequence[Year]) -> list[str]:
    """A scenario's row of the table of profit, from the change to the end of the year."""
    profit = {
        name: np.array([np.mean(year.profit[name][AT - 1 :]) for year in years]) for name in (NEVER, MONTHLY, LOOP)
    }
    loss = {name: np.mean([np.mean(year.loss[name][AT - 1 :]) for year in years]) for name in profit}
    return [
        years[0].name,
        *(f"{profit[name].mean():,.0f}" for name in profit),
        averaged(profit[LOOP] - profit[NEVER], "+,.0f"),
        averaged(profit[LOOP] - profit[MONTHLY], "+,.0f"),
        " / ".join(f"{loss[name]:.3f}" for name in profit),
        f"{np.mean([year.asked for year in years]):.1f}",
    ]


def tables(deals: int, names: Sequence[str] = NAMES) -> str:
    """Both tables, `deals` years of each scenario."""
    done = spread(play, [(name, deal) for name in names for deal in range(deals)])
    by_name = [[year for year in done if year.name == name] for name in names]
    found = [
        f"{deals} years each",
        "any alarm before, % of years",
        "drift seen, % of years; in which month of the change",
        "outcomes of which month ring",
        "a better champion scores",
        "drift still red in the ninth, %",
    ]
    gained = [
        "per 1,000 customers and month",
        *(f"profit, {policy}" for policy in (NEVER, MONTHLY, LOOP)),
        f"{LOOP} less {NEVER}",
        f"{LOOP} less {MONTHLY}",
        "log-loss of the three",
        "trainings a year of the loop (of 12)",
    ]
    return "\n\n".join(
        [markdown(found, [timeline(years) for years in by_name]), markdown(gained, [worth(years) for years in by_name])]
    )
