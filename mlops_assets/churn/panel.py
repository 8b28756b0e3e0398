"""A panel: customers who stay from month to month, age, change contract, leave for good and are replaced.

Dealt months (`simulation`) have each customer once, since the source has. In operation nearly all come back every
month, and a gate that takes six snapshots of one person for six persons is wrong only there. A panel is wholly made:
persons are rows of the source at their first month, what becomes of them is drawn from the world (`lifetimes`), and no
outcome of the source is used. Their ids, P and a number, never come again.

A panel is played from its beginning, a month from the month before, by lots and never by a generator: the same months
come of it however often and from wherever one looks. Services, household and payment of a person never change, nor what
they cost; and nobody who left comes back.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.churn import simulation
from mlops_assets.churn.events import MONTHLY, MONTHLY_SHARE, Mask, Scene
from mlops_assets.churn.lifetimes import CONTRACTS, Ints, Lifetimes, billed, months, moves
from mlops_assets.churn.world import Floats, lots

LUCK = "panel"  # what lots depend on that are cast once for a person
FRESH_SHARE = 0.55  # of month-to-month customers in the source: mix_shift replaces the same share of the bound ones
GIVE_WAY = (MONTHLY_SHARE - FRESH_SHARE) / (1 - FRESH_SHARE)

Contracts = Literal["change", "held", "swapped"]
"""What becomes of contracts: customers change theirs; nobody does, and who comes takes over that of who left; the same,
and then swaps it with a customer drawn by lot."""


@dataclass(frozen=True, slots=True)
class Panel:
    """Who is there in a month.

    `customers`, shape (n, 20) of text, as they would be without any scenario's prices. `surcharge`, shape (n,), in
    steps of five cents: what was billed beyond `total_charges` at a scenario's prices. `joined`: persons there ever
    were.
    """

    batch: str
    customers: pd.DataFrame
    surcharge: Floats
    joined: int


def begin(law: Lifetimes, *, rows: int, batch: str, seed: int) -> Panel:
    """A settled panel of `rows` persons in its first month."""
    ids = persons(0, rows)
    made = law.residents(lots(ids, batch=LUCK, purpose="resident", seed=seed))
    return Panel(batch, named(made, ids, seed=seed), np.zeros(rows), rows)


def later(panel: Panel, leaves: Mask, law: Lifetimes, *, batch: str, seed: int, contracts: Contracts) -> Panel:
    """The panel a month later, in `batch`: those who `leave`, shape (n,), are replaced, all others age.

    A newcomer takes the place of who left. Chance depends on persons, months and `seed` alone.
    """
    old = panel.customers
    stayed = aged(old, changes=contracts == "change", batch=batch, seed=seed)
    ids = persons(panel.joined, int(leaves.sum()))
    new = named(law.comers(lots(ids, batch=LUCK, purpose="newcomer", seed=seed)), ids, seed=seed)
    if contracts != "change":
        new = new.assign(contract=old.contract[leaves].to_numpy())
    seated = placed(replace(panel, customers=stayed, batch=batch), new, np.flatnonzero(leaves))
    return swapped(seated, leaves, seed=seed) if contracts == "swapped" else seated


def aged(customers: pd.DataFrame, *, changes: bool, batch: str, seed: int) -> pd.DataFrame:
    """Customers a month later: one more month of tenure, its charge on the total, and perhaps another contract."""
    tenure = months(customers) + 1
    total = np.nan_to_num(simulation.steps(customers.total_charges)) + simulation.steps(customers.monthly_charges)
    contract = customers.contract.to_numpy()
    if changes:
        contract = changed(customers, tenure, batch=batch, seed=seed)
    return customers.assign(tenure=tenure.astype(str), total_charges=simulation.spelled(total), contract=contract)


def changed(customers: pd.DataFrame, tenure: Ints, *, batch: str, seed: int) -> NDArray[np.object_]:
    """Contract of each customer on reaching `tenure`, shape (n,), as `lifetimes.moves` has it."""
    lot = lots(customers.customer_id, batch=batch, purpose="contract", seed=seed)
    chances = np.stack([moves(month).cumsum(axis=1) for month in range(24)])  # the law repeats every two years
    now = customers.contract.map(CONTRACTS.index).to_numpy()
    then = (lot[:, None] >= chances[tenure % 24, now]).sum(axis=1).clip(max=len(CONTRACTS) - 1)
    return np.asarray(np.array(CONTRACTS, dtype=object)[then], dtype=object)


def priced(panel: Panel, scene: Scene) -> tuple[Panel, pd.DataFrame]:
    """The panel after the month's bills at the scene's prices, and the scene's customers with what they were billed.

    An event says what a month costs, the panel remembers what earlier ones did: a price that changes with the contract
    changes no bill of the past.
    """
    own, paid = (simulation.steps(table.monthly_charges) for table in (panel.customers, scene.customers))
    is_billed = panel.customers.tenure.ne("0").to_numpy()
    surcharge = panel.surcharge + np.where(is_billed, paid - own, 0.0)
    total = simulation.spelled(simulation.steps(panel.customers.total_charges) + surcharge)
    return replace(panel, surcharge=surcharge), scene.customers.assign(total_charges=total)


def hand_over(panel: Panel, law: Lifetimes, seed: int) -> Panel:
    """mix_shift, once: of the bound customers, 44 % by lot go to another company; month-to-month ones come from there.

    As many of those who stay are replaced as of the source's customers where the months are dealt. Who comes is like
    the panel's own month-to-month customers, of any tenure.
    """
    bound = np.flatnonzero(panel.customers.contract.ne(MONTHLY))
    order = np.argsort(lots(panel.customers.customer_id.iloc[bound], batch=LUCK, purpose="replaced", seed=seed))
    goers = np.sort(bound[order[: round(GIVE_WAY * len(bound))]])
    ids = persons(panel.joined, len(goers))
    lot = lots(ids, batch=LUCK, purpose="resident", seed=seed)
    return placed(panel, named(law.residents(lot, contracts=(MONTHLY,)), ids, seed=seed), goers)


def deal_anew(panel: Panel, _: Lifetimes, seed: int) -> Panel:
    """joint_shift, once: contracts are dealt anew among all customers."""
    order = np.argsort(lots(panel.customers.customer_id, batch=LUCK, purpose="joint", seed=seed))
    contract = panel.customers.contract.to_numpy()[order]
    return replace(panel, customers=panel.customers.assign(contract=contract))


def swapped(panel: Panel, new: Mask, *, seed: int) -> Panel:
    """The panel once each newcomer has swapped contracts with a customer drawn by lot, in turn."""
    contract = panel.customers.contract.to_numpy().copy()
    lot = lots(panel.customers.customer_id[new], batch=LUCK, purpose="swap", seed=seed)
    for seat, other in zip(np.flatnonzero(new), (lot * len(contract)).astype(int), strict=True):
        contract[[seat, other]] = contract[[other, seat]]
    return replace(panel, customers=panel.customers.assign(contract=contract))


def placed(panel: Panel, new: pd.DataFrame, seats: Ints) -> Panel:
    """The panel with other persons in these places, shape (m,)."""
    customers, surcharge = panel.customers.copy(), panel.surcharge.copy()
    customers.iloc[seats] = new[list(customers)].to_numpy()
    surcharge[seats] = 0.0
    return replace(panel, customers=customers, surcharge=surcharge, joined=panel.joined + len(new))


def persons(joined: int, count: int) -> pd.Series:
    """Ids of the next `count` persons, after so many who ever joined."""
    return pd.Series([f"P{number:06d}" for number in range(joined + 1, joined + count + 1)], dtype=object)


def named(rows: pd.DataFrame, ids: pd.Series, *, seed: int) -> pd.DataFrame:
    """Rows as persons, shape (n, 20): with an id, and a monthly charge .05 to .50 off the row's, as billed ever since.

    Without that, persons made from the same row of the source would be one another's doubles.
    """
    step = (lots(ids, batch=LUCK, purpose="charge", seed=seed) * 2 * simulation.PRICE_STEPS).astype(int)
    off = np.where(step < simulation.PRICE_STEPS, step - simulation.PRICE_STEPS, step - simulation.PRICE_STEPS + 1)
    dearer = rows.assign(monthly_charges=simulation.spelled(simulation.steps(rows.monthly_charges) + off))
    made = billed(dearer, months(rows))
    made.insert(0, "customer_id", ids.to_numpy())
    return made
