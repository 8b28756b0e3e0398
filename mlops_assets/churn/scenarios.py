"""Decides what a simulated future is: which months come, what befalls them, and which files land in what order.

There are two kinds of futures. In the one customers are fresh: each comes once, from the months held back. Outcomes are
the real ones unless the scenario changes what makes customers leave; then they come from the `world`, where the truth
is known and profit can be computed exactly. Each month is made from its number, the seed and the month in which the
scenario begins, never from the months played before it. In the other a `panel` of customers comes back every month, all
outcomes are drawn from its law, and who is drawn to leave is gone: its months are played from the first month of the
sample on. Either way a simulation goes on where an earlier one stopped and gets the same files. The scenarios
themselves stand in `catalogue`.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.churn import events, panel, simulation
from mlops_assets.churn.catalogue import LATE_MONTHS, SCENARIOS, Due, Expected, Kind, Scenario, parse
from mlops_assets.churn.events import Scene, Stage
from mlops_assets.churn.lifetimes import Lifetimes
from mlops_assets.churn.simulation import FIRST_BATCH, SAMPLE_MONTHS, Month
from mlops_assets.churn.world import Floats, World, draw, fit_world, lots

__all__ = [
    "SCENARIOS",
    "Delivery",
    "Expected",
    "Played",
    "Scenario",
    "outcomes_under_offers",
    "parse",
    "play",
    "stream",
    "truth_under_offers",
]


FARTHEST = 6000  # months


class Delivery(NamedTuple):
    """A file that lands: its kind, its batch, and its table as text."""

    kind: Kind
    batch: str
    table: pd.DataFrame


@dataclass(frozen=True, slots=True)
class Played:
    """One month: its files as they finally are, what is true, and what lands in that month, in order.

    `customers`, shape (n, 20), and `outcomes`, shape (n, 2), as text; `truth`, shape (n,): each customer's true
    probability of leaving, in (0, 1). `deliveries` are of this month and earlier ones.
    """

    batch: str
    customers: pd.DataFrame
    outcomes: pd.DataFrame
    truth: Floats
    deliveries: tuple[Delivery, ...]


def play(
    source: pd.DataFrame,
    *,
    seed: int,
    first: int,
    months: int,
    scenario: str,
    at: int,
    rows: int | None = None,
    world: World | None = None,
    dealt: int | None = None,
    law: Lifetimes | None = None,
) -> list[Played]:
    """The months `first` + 1 to `first` + `months` after the sample, of a future in which `scenario` begins at `at`.

    `rows` as in `simulation.future`. The months of two plays, one going on where the other stopped, are those of one
    long play. `world`, that of `source`, is fitted if not handed over. `dealt`: the seed by which the sample was dealt;
    `seed` then deals the customers held back, too. Without it the sample is that of `seed`.

    With the `law` of a panel (`lifetimes.settle`), customers are a panel of `rows`, as many as in the smallest dealt
    month if None; `world` and `dealt` then change nothing. Its sample months are its own, and `first` may be as low as
    -6: the months -5 to 0 are those of the sample.

    Raises ValueError for an unknown scenario, or when `at` is below 1 or `first` too low.
    """
    if months < 0:
        message = f"months is {months}: it counts months of the future, from 0 on."
        raise ValueError(message)
    future = stream(
        source, seed=seed, first=first, scenario=scenario, at=at, rows=rows, world=world, dealt=dealt, law=law
    )
    return list(itertools.islice(future, months))


def stream(
    source: pd.DataFrame,
    *,
    seed: int,
    first: int,
    scenario: str,
    at: int,
    rows: int | None = None,
    world: World | None = None,
    dealt: int | None = None,
    law: Lifetimes | None = None,
) -> Iterator[Played]:
    """The months of `play` without end, each made when it is asked for. Raises as `play` does, at once."""
    name, at = parse(f"{scenario}@{at}")
    lowest = 0 if law is None else -SAMPLE_MONTHS
    if first < lowest:
        message = f"first is {first}: it counts months of the future, from {lowest} on."
        raise ValueError(message)
    if law is not None:
        size = len(source) // (SAMPLE_MONTHS + simulation.HELD_BACK_MONTHS) if rows is None else rows
        acts = panel_acts(law, SCENARIOS[name], seed=seed, at=at, rows=size)
    else:
        stage = Stage(source, world or fit_world(source), seed)
        acts = fresh_acts(stage, SCENARIOS[name], first=first, at=at, rows=rows, dealt=dealt)
    return landing(acts, SCENARIOS[name], first=first, at=at, seed=seed)


def landing(
    acts: Iterator[tuple[int, Played]], scenario: Scenario, *, first: int, at: int, seed: int
) -> Iterator[Played]:
    """The months after `first`, each with the files that land in it; `acts` begin early enough for the latest file."""
    known: dict[int, Played] = {}
    for number, played in acts:
        known[number] = played
        known.pop(number - LATE_MONTHS - 2, None)
        if number > first:
            yield replace(played, deliveries=tuple(due_now(scenario.due(number, at), known, seed=seed)))


def due_now(due: tuple[Due, ...], known: Mapping[int, Played], *, seed: int) -> Iterator[Delivery]:
    """The files that are due; there are none of the time before a panel."""
    return (delivery(one, known[one.number], seed=seed) for one in due if one.number in known)


def fresh_acts(
    stage: Stage, scenario: Scenario, *, first: int, at: int, rows: int | None, dealt: int | None
) -> Iterator[tuple[int, Played]]:
    """Months of fresh customers by number, from the earliest on of which a file lands after `first`."""
    for number, month in dealt_months(stage.source, seed=stage.seed, rows=rows, dealt=dealt):
        if number >= first - LATE_MONTHS:
            yield number, act(month, scenario, stage, age=scenario.age(number, at))


def dealt_months(
    source: pd.DataFrame, *, seed: int, rows: int | None, dealt: int | None
) -> Iterator[tuple[int, Month]]:
    """Months of fresh customers by number; 0 is the newest of the sample."""
    sample, order = (seed, None) if dealt is None else (dealt, seed)
    yield 0, simulation.sample_months(source, seed=sample)[-1]
    yield from enumerate(simulation.future(source, seed=sample, months=FARTHEST, rows=rows, order=order), start=1)


def panel_acts(law: Lifetimes, scenario: Scenario, *, seed: int, at: int, rows: int) -> Iterator[tuple[int, Played]]:
    """Months of a panel by number, from the first of the sample on."""
    now = panel.begin(law, rows=rows, batch=FIRST_BATCH, seed=seed)
    for number in itertools.count(1 - SAMPLE_MONTHS):
        age = scenario.age(number, at)
        if age == 1 and scenario.begins:
            now = scenario.begins(now, law, seed)
        truth = law.probability(now.customers)
        scene = Scene(now.batch, age, now.customers, truth, np.ones(rows, dtype=bool), panel.LUCK)
        if age and scenario.event and not scenario.begins:
            scene = scenario.event(scene, Stage(now.customers, law, seed))
        now, customers = panel.priced(now, scene)
        scene = replace(scene, customers=customers)
        churned = draw(scene.probability, customers.customer_id, batch=now.batch, seed=seed)
        yield number, recorded(scene, churned, scenario, seed=seed)
        batch = str(pd.Period(now.batch, freq="M") + 1)
        contracts = scenario.contracts if age else "change"
        now = panel.later(now, churned == "Yes", law, batch=batch, seed=seed, contracts=contracts)


def act(month: Month, scenario: Scenario, stage: Stage, *, age: int) -> Played:
    """The month as the scenario, `age` months old, leaves it, without deliveries; as dealt where it is not on (0)."""
    truth = stage.world.probability(month.customers)
    scene = Scene(month.batch, age, month.customers, truth, np.zeros(len(truth), dtype=bool), month.batch)
    if age and scenario.event:
        scene = scenario.event(scene, stage)
    drawn = draw(scene.probability, scene.customers.customer_id, batch=month.batch, seed=stage.seed)
    churned = np.where(scene.is_drawn, drawn, month.outcomes.churned)
    return recorded(scene, churned, scenario, seed=stage.seed)


def recorded(scene: Scene, churned: NDArray[np.object_], scenario: Scenario, *, seed: int) -> Played:
    """The scene as the files tell it, with what is wrong with them while the scenario is on."""
    customers = scene.customers
    outcomes = pd.DataFrame({"customer_id": customers.customer_id, "churned": churned})
    if scene.age and scenario.fault:
        customers = scenario.fault(customers, scene.batch, seed)
    if scene.age and scenario.misrecords:
        outcomes = scenario.misrecords(outcomes, scene.batch, seed)
    return Played(scene.batch, customers, outcomes, scene.probability, ())


def delivery(due: Due, played: Played, *, seed: int) -> Delivery:
    """The file of that month that is due."""
    table = played.customers if due.kind == "customers" else played.outcomes
    return Delivery(due.kind, played.batch, events.slips(table, played.batch, seed) if due.is_slipped else table)


def number_of(batch: str) -> int:
    """Which month after the sample a batch is, 1 for the first; 0 or less for the sample's."""
    months = pd.Period(batch, freq="M").ordinal - pd.Period(FIRST_BATCH, freq="M").ordinal
    return int(months) - SAMPLE_MONTHS + 1


def outcomes_under_offers(
    outcomes: pd.DataFrame, assignments: pd.DataFrame, *, batch: str, scenario: str, at: int, seed: int
) -> pd.DataFrame:
    """The outcomes of a batch as they come back when the system gives offers: with what each customer really got.

    `outcomes`, shape (n, 2), as dealt. `assignments`: columns `customer_id`, `assignment`, `assignment_chance`, as
    exported with the predictions; a customer it lacks got none. The result, shape (n, 4) of text, is in the order of
    `outcomes`. While offers_work is on, an offer keeps 30 % of those who would have left; otherwise it keeps nobody.
    """
    got = assignments.set_index("customer_id").reindex(outcomes.customer_id)
    assignment = got.assignment.fillna("none").to_numpy()
    churned = outcomes.churned.to_numpy()
    if SCENARIOS[scenario].needs_offers and SCENARIOS[scenario].age(number_of(batch), at):
        lot = lots(outcomes.customer_id, batch=batch, purpose="kept", seed=seed)
        churned = np.where((assignment == "offer") & (lot < events.KEPT_SHARE), "No", churned)
    chance = [f"{chance:.15g}" for chance in got.assignment_chance.fillna(1.0).astype(float)]
    return outcomes.assign(churned=churned, assignment=assignment, assignment_chance=chance)


def truth_under_offers(truth: Floats, assignment: pd.Series) -> Floats:
    """True probability of leaving, shape (n,), of customers who got `assignment` while offers work."""
    return np.asarray(truth * np.where(assignment == "offer", 1 - events.KEPT_SHARE, 1.0), dtype=np.float64)
