"""Decides what a simulated future is: which months come, what befalls them, and which files land in what order.

Customers come from the months held back. Outcomes are the real ones unless the scenario changes what makes customers
leave; then they come from the `world`, where the truth is known and profit can be computed exactly. Each month is made
from its number, the seed and the month in which the scenario begins, never from the months played before it, so that a
simulation goes on where an earlier one stopped and gets the same files. The scenarios themselves stand in `catalogue`.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from mlops_assets.churn import events, simulation
from mlops_assets.churn.catalogue import LATE_MONTHS, SCENARIOS, Due, Expected, Kind, Scenario, parse
from mlops_assets.churn.events import Scene, Stage
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
    "truth_under_offers",
]


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
) -> list[Played]:
    """The months `first` + 1 to `first` + `months` after the sample, of a future in which `scenario` begins at `at`.

    `rows` as in `simulation.future`. The months of two plays, one going on where the other stopped, are those of one
    long play. `world`, that of `source`, is fitted if not handed over. `dealt`: the seed by which the sample was dealt;
    `seed` then deals the customers held back, too. Without it the sample is that of `seed`. Raises ValueError for an
    unknown scenario, or when `at` is below 1 or `first` below 0.
    """
    name, at = parse(f"{scenario}@{at}")
    if first < 0 or months < 0:
        message = f"first is {first} and months {months}: both count months of the future, from 0 on."
        raise ValueError(message)
    stage = Stage(source, world or fit_world(source), seed)
    numbers = range(max(0, first - LATE_MONTHS), first + months + 1)
    acts = {
        number: act(month, SCENARIOS[name], stage, age=SCENARIOS[name].age(number, at))
        for number, month in months_of(source, numbers, seed=seed, rows=rows, dealt=dealt).items()
    }
    return [
        replace(
            acts[number],
            deliveries=tuple(delivery(due, acts[due.number], seed=seed) for due in SCENARIOS[name].due(number, at)),
        )
        for number in numbers
        if number > first
    ]


def months_of(
    source: pd.DataFrame, numbers: range, *, seed: int, rows: int | None, dealt: int | None
) -> dict[int, Month]:
    """The months of these numbers, by number; 0 is the newest of the sample."""
    sample, order = (seed, None) if dealt is None else (dealt, seed)
    future = simulation.future(source, seed=sample, months=numbers.stop - 1, rows=rows, order=order)
    months = dict(enumerate(future, start=1))
    if 0 in numbers:
        months[0] = simulation.sample_months(source, seed=sample)[-1]
    return {number: months[number] for number in numbers}


def act(month: Month, scenario: Scenario, stage: Stage, *, age: int) -> Played:
    """The month as the scenario, `age` months old, leaves it, without deliveries; as dealt where it is not on (0)."""
    truth = stage.world.probability(month.customers)
    scene = Scene(month.batch, age, month.customers, truth, np.zeros(len(truth), dtype=bool))
    if age and scenario.event:
        scene = scenario.event(scene, stage)
    customers, ids = scene.customers, scene.customers.customer_id
    drawn = draw(scene.probability, ids, batch=month.batch, seed=stage.seed)
    churned = np.where(scene.is_drawn, drawn, month.outcomes.churned)
    outcomes = pd.DataFrame({"customer_id": ids, "churned": churned})
    if age and scenario.fault:
        customers = scenario.fault(customers, month.batch, stage.seed)
    if age and scenario.misrecords:
        outcomes = scenario.misrecords(outcomes, month.batch, stage.seed)
    return Played(month.batch, customers, outcomes, scene.probability, ())


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
