"""Decides what may befall a month: what becomes of customers, what is wrong with a file.

An event changes customers and the truth about them; a fault changes only what a file says of them. Log-odds say how
much more or less a customer leaves, since the same step suits the loyal and the wavering. What a price does to people
is said by that step alone: the world knows prices as signs of what was bought, not what moving one would do. A customer
whom an event leaves alone keeps the real outcome; all others draw theirs from their new probability (`world.draw`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.churn import simulation
from mlops_assets.churn.world import Floats, Truth, lots, shifted

Mask = NDArray[np.bool_]

FIBER, DSL, MONTHLY = "Fiber optic", "DSL", "Month-to-month"
DEARER, FIBER_LEAVES = 1.2, 0.8  # price_rise: fiber's price, and its log-odds
RIVAL_TAKES, CHEAPER, CUT_KEEPS = (
    1.5,
    0.8,
    -0.8,
)  # cable_rival: log-odds of the courted; the answer's price and log-odds
CALM = -0.7  # market_calm: log-odds of everyone
MONTHLY_SHARE = 0.75  # mix_shift: of the customers, 55 % before
NEW_CONTRACT, NEW_CONTRACT_SHARE = "Half year", 0.25  # new_contract_type: share of month-to-month customers
BOUGHT_OUT, BOUND_MONTHS, WELCOMED, NEW_MONTHS = 2.0, 24, -1.0, 12  # concept_flip: log-odds, and at which tenure
CENTS_PER_UNIT = 100
BLANK_SHARE = 0.3  # missing_burst: of the rows, in each of three columns
FLIPPED_SHARE = 0.1  # label_noise: of the outcomes
SLIPS = 5  # duplicate_month: customers whose first delivery has a slip
KEPT_SHARE = 0.3  # offers_work: of the leavers who got an offer


@dataclass(frozen=True, slots=True)
class Scene:
    """One month as it truly is, whatever the files say.

    `customers`, shape (n, 20), and `churned`, shape (n,), as in `Month`; `probability`, shape (n,), in (0, 1);
    `is_drawn`, shape (n,): the customer's outcome comes from that probability. `age`: months since the scenario
    began, 1 for its first. `luck`: what a lot depends on beside the customer: the batch, or in a panel the same word in
    all months, so that whom an event befell once it befalls again.
    """

    batch: str
    age: int
    customers: pd.DataFrame
    probability: Floats
    is_drawn: Mask
    luck: str


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a scene plays: the source table, the truth about its customers, and the seed of all chance."""

    source: pd.DataFrame
    world: Truth
    seed: int


Event = Callable[[Scene, Stage], Scene]
Fault = Callable[[pd.DataFrame, str, int], pd.DataFrame]
"""A file's table as text, batch and seed in; the table with the fault out."""


def price_rise(scene: Scene, _: Stage) -> Scene:
    """Fiber costs 20 % more, and its customers leave more."""
    fiber = scene.customers.internet_service.eq(FIBER).to_numpy()
    return moved(priced(scene, fiber, DEARER), np.where(fiber, FIBER_LEAVES, 0.0))


def cable_rival(scene: Scene, _: Stage) -> Scene:
    """A cable company courts everyone without fiber; month-to-month fiber is made 20 % cheaper in answer."""
    fiber = scene.customers.internet_service.eq(FIBER).to_numpy()
    cut = fiber & scene.customers.contract.eq(MONTHLY).to_numpy()
    return moved(priced(scene, cut, CHEAPER), np.select([~fiber, cut], [RIVAL_TAKES, CUT_KEEPS], 0.0))


def market_calm(scene: Scene, _: Stage) -> Scene:
    """Everyone leaves less; nothing else changes."""
    return moved(scene, np.full(len(scene.customers), CALM, dtype=np.float64))


def mix_shift(scene: Scene, stage: Stage) -> Scene:
    """Bound customers, by lot, give way to synthetic month-to-month ones, who leave as such customers always did."""
    customers, rows = scene.customers, len(scene.customers)
    bound = np.flatnonzero(customers.contract.ne(MONTHLY))
    replaced = max(0, round(MONTHLY_SHARE * rows) - (rows - len(bound)))
    order = np.argsort(lots(customers.customer_id.iloc[bound], batch=scene.luck, purpose="replaced", seed=stage.seed))
    goers = np.sort(bound[order[:replaced]])
    # Another seed than the future's own synthetic customers have, or these would be their doubles.
    made = simulation.synthesise(stage.source, rows=4 * rows + 100, batch=scene.batch, seed=stage.seed + 1).customers
    comers = made[made.contract.eq(MONTHLY)].head(replaced)
    ids = comers.customer_id.str.replace(f"S{scene.batch}-", f"S{scene.batch}-M", regex=False)
    mixed = customers.copy()
    mixed.iloc[goers] = comers.assign(customer_id=ids).to_numpy()
    return renewed(scene, mixed, stage.world, np.isin(np.arange(rows), goers))


def new_contract_type(scene: Scene, stage: Stage) -> Scene:
    """A quarter of the month-to-month customers, by lot, have a contract never seen before; they leave as they did."""
    lot = lots(scene.customers.customer_id, batch=scene.luck, purpose="new contract", seed=stage.seed)
    signed = scene.customers.contract.eq(MONTHLY) & (lot < NEW_CONTRACT_SHARE)
    contract = scene.customers.contract.mask(signed, NEW_CONTRACT)
    return replace(scene, customers=scene.customers.assign(contract=contract))


def joint_shift(scene: Scene, stage: Stage) -> Scene:
    """Contracts are dealt anew among the customers: no column moves alone, and contract says nothing of tenure."""
    lot = lots(scene.customers.customer_id, batch=scene.luck, purpose="joint", seed=stage.seed)
    contract = scene.customers.contract.to_numpy()[np.argsort(lot)]
    changed = contract != scene.customers.contract.to_numpy()
    return renewed(scene, scene.customers.assign(contract=contract), stage.world, changed)


def concept_flip(scene: Scene, _: Stage) -> Scene:
    """A rival buys out long-standing bound customers, and a welcome keeps new month-to-month ones; no input moves."""
    tenure = scene.customers.tenure.astype(int).to_numpy()
    monthly = scene.customers.contract.eq(MONTHLY).to_numpy()
    bought_out, welcomed = ~monthly & (tenure >= BOUND_MONTHS), monthly & (tenure <= NEW_MONTHS)
    return moved(scene, np.select([bought_out, welcomed], [BOUGHT_OUT, WELCOMED], 0.0))


def moved(scene: Scene, log_odds: Floats) -> Scene:
    """The scene with each customer's log-odds of leaving moved; shape (n,), those at 0 are left alone."""
    probability = shifted(scene.probability, log_odds)
    return replace(scene, probability=probability, is_drawn=scene.is_drawn | (log_odds != 0))


def priced(scene: Scene, who: Mask, factor: float) -> Scene:
    """The scene with monthly charges of `who`, shape (n,), times `factor`, and billed so since the scenario began."""
    customers = scene.customers
    before, total = (simulation.steps(customers[name]) for name in ("monthly_charges", "total_charges"))
    after = np.where(who, np.round(before * factor), before)
    months = np.minimum(scene.age, customers.tenure.astype(int).to_numpy())
    charges = {
        "monthly_charges": simulation.spelled(after),
        "total_charges": simulation.spelled(total + (after - before) * months),
    }
    return replace(scene, customers=customers.assign(**charges))


def renewed(scene: Scene, customers: pd.DataFrame, world: Truth, changed: Mask) -> Scene:
    """The scene with other customers, who leave as the world has it; `changed`, shape (n,), draw their outcomes."""
    probability = np.where(changed, world.probability(customers), scene.probability)
    return replace(scene, customers=customers, probability=probability, is_drawn=scene.is_drawn | changed)


def cents(customers: pd.DataFrame, _batch: str, _seed: int) -> pd.DataFrame:
    """Both charges in cents."""
    return customers.assign(
        **{
            name: simulation.spelled(simulation.steps(customers[name]) * CENTS_PER_UNIT)
            for name in ("monthly_charges", "total_charges")
        }
    )


def blanks(customers: pd.DataFrame, batch: str, seed: int) -> pd.DataFrame:
    """Three columns blank in rows chosen by lot, each column by a lot of its own."""
    blank = {}
    for name in ("monthly_charges", "contract", "payment_method"):
        lot = lots(customers.customer_id, batch=batch, purpose=f"blank {name}", seed=seed)
        blank[name] = customers[name].mask(lot < BLANK_SHARE, "")
    return customers.assign(**blank)


def slips(customers: pd.DataFrame, batch: str, seed: int) -> pd.DataFrame:
    """The wrong kind of bill for a few customers, chosen by lot."""
    order = np.argsort(lots(customers.customer_id, batch=batch, purpose="slips", seed=seed))
    wrong = np.isin(np.arange(len(customers)), order[:SLIPS])
    bills = customers.paperless_billing
    return customers.assign(paperless_billing=bills.mask(wrong, bills.map({"0": "1", "1": "0"})))


def flips(outcomes: pd.DataFrame, batch: str, seed: int) -> pd.DataFrame:
    """Some outcomes recorded as their opposite, chosen by lot."""
    wrong = lots(outcomes.customer_id, batch=batch, purpose="flips", seed=seed) < FLIPPED_SHARE
    other = outcomes.churned.map({"Yes": "No", "No": "Yes"})
    return outcomes.assign(churned=outcomes.churned.mask(wrong, other))
