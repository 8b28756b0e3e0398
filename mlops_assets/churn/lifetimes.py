"""How long the customers of a panel stay: who leaves when, who changes contract, and who is there once it has settled.

A panel that begins with the source's rows would age for decades, and its tenures and its leaving rate with it; one that
is played until it has settled costs hundreds of months. The settled state can be computed instead: of one cohort of new
customers, the expected share that is still there after each month, by contract, is the settled panel's make-up. A start
drawn from it is stationary from its first month on. The same table gives the one constant that is added to everybody's
log-odds, so that the wanted share leaves in an average month.

Customers with fiber leave soon and those without internet hardly ever. Newcomers in the source's shares would make a
panel of nearly nobody with fiber; so they come as often as it takes for the panel to have the source's shares, as a
company has that wins back whom it loses.

The world knows tenures up to 72 months, the cap of the source. Whoever stays longer is to it a customer of 72 months
with the same average bill. With that alone a bound customer would stay for centuries where 1 % leave in a month, so
from then on what binds wears off (`WEAR`). How a panel is played month by month is `panel`'s subject.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import brentq

from mlops_assets.churn import simulation
from mlops_assets.churn.world import Floats, Truth, shifted

Ints = NDArray[np.int64]

CAP = 72  # months: the longest tenure that the world knows
WEAR = 0.05  # log-odds of leaving, a month, that a customer beyond the cap gains: 3.3 times the odds in two years
HORIZON = 400  # months: the table ends there, and hardly anybody gets so far even where .5 % leave
LOWEST, HIGHEST = 0.005, 0.6  # leaving rates a month that can be asked for
FEWEST_NEWCOMERS = 100  # rows that stand for new customers; the least tenures where fewer are new

KIND = "internet_service"  # of which the settled panel has the source's shares

CONTRACTS = ("Month-to-month", "One year", "Two year")
# Chances of a change. Whoever is bound by nothing may sign in any month; a contract ends at an anniversary of joining.
SIGNS = 0.015  # month-to-month to one year, each month
EXTENDS, GOES_BACK = 0.20, 0.10  # one year to two years, and to month-to-month, each twelve months
GOES_BACK_AFTER_TWO = 0.15  # two years to month-to-month, each 24 months


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """The law of a panel, made by `settle`.

    `world`: of customers of up to 72 months; `shift`: added to all log-odds. `newcomers`, shape (m, k) of text: rows of
    the source as new customers, without label; `weights`, shape (m,), adds up to 1: how often each comes. `shares`,
    shape (m, HORIZON, 3), adds up to 1: of newcomer, tenure and contract in the settled panel.
    """

    world: Truth
    shift: float
    newcomers: pd.DataFrame
    weights: Floats
    shares: Floats

    def probability(self, customers: pd.DataFrame) -> Floats:
        """True probability of leaving in the next month, shape (n,), in (0, 1), of customers as text (`Month`)."""
        tenure = months(customers)
        total = simulation.steps(customers.total_charges)
        capped = customers.assign(
            tenure=np.minimum(tenure, CAP).astype(str),
            total_charges=simulation.spelled(np.where(tenure > CAP, total * CAP / np.maximum(tenure, 1), total)),
        )
        return shifted(self.world.probability(capped), self.shift + worn(tenure))

    def comers(self, lots: Floats) -> pd.DataFrame:
        """A new customer for each lot, shape (n,), in [0, 1); shape (n, k) of text."""
        summed = self.weights.cumsum()
        drawn = np.searchsorted(summed, lots * summed[-1], side="right")
        return self.newcomers.take(drawn).reset_index(drop=True)

    def residents(self, lots: Floats, *, contracts: tuple[str, ...] = CONTRACTS) -> pd.DataFrame:
        """A customer of the settled panel for each lot, shape (n,), in [0, 1); of those with one of `contracts`.

        Shape (n, k) of text. What was billed to date is tenure x monthly charge.
        """
        summed = (self.shares * [name in contracts for name in CONTRACTS]).ravel().cumsum()
        drawn = np.searchsorted(summed, lots * summed[-1], side="right")
        who, tenure, contract = np.unravel_index(drawn, self.shares.shape)
        rows = self.newcomers.take(who).reset_index(drop=True).assign(contract=np.array(CONTRACTS)[contract])
        return billed(rows, np.asarray(tenure, dtype=np.int64))


def settle(source: pd.DataFrame, world: Truth, *, rate: float) -> Lifetimes:
    """The law of a panel of which `rate` leave in an average month, new customers taken from `source`, as text.

    Takes some seconds. Raises ValueError when the rate is outside .005 to .6.
    """
    if not LOWEST <= rate <= HIGHEST:
        message = f"a share of {rate} leaving in a month cannot be played. Ask for one from {LOWEST} to {HIGHEST}."
        raise ValueError(message)
    newcomers = new_customers(source)
    table, wanted = chances(newcomers, world), source[KIND].value_counts(normalize=True)

    def settled(shift: float) -> tuple[Floats, Floats]:
        there = cohort(newcomers, table, shift)
        return there, arrivals(newcomers, there.sum(axis=(1, 2)), wanted)

    def excess(shift: float) -> float:
        there, weights = settled(shift)
        return float(1 / (weights @ there.sum(axis=(1, 2)))) - rate  # a place is free once in a lifetime

    shift = float(brentq(excess, -15.0, 15.0, xtol=1e-6))
    there, weights = settled(shift)
    shares = there * weights[:, None, None]
    return Lifetimes(world, shift, newcomers, weights, shares / shares.sum())


def arrivals(newcomers: pd.DataFrame, lifetimes: Floats, wanted: pd.Series) -> Floats:
    """How often each newcomer comes, shape (m,), adding up to 1, so that the settled panel has `wanted` shares by KIND.

    `lifetimes`, shape (m,), in months. Those of one kind come equally often.
    """
    kind = newcomers[KIND]
    weights = (kind.map(wanted) / pd.Series(lifetimes).groupby(kind).transform("sum")).to_numpy(dtype=np.float64)
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def new_customers(source: pd.DataFrame) -> pd.DataFrame:
    """Rows of `source` of a first month or none, without label; those of the least tenure where these are too few."""
    tenure = months(source)
    enough = max(int((tenure <= 1).sum()), min(FEWEST_NEWCOMERS, len(source)))
    newest = np.sort(np.argsort(tenure, kind="stable")[:enough])
    rows = source.drop(columns=simulation.LABEL).take(newest).reset_index(drop=True)
    return billed(rows, np.minimum(tenure[newest], 1))


def months(customers: pd.DataFrame) -> Ints:
    """Tenures, shape (n,), in whole months, of customers as text."""
    return customers.tenure.to_numpy().astype(np.int64)


def billed(rows: pd.DataFrame, tenure: Ints) -> pd.DataFrame:
    """`rows` with these tenures, shape (n,), each month billed as the newest; nothing is billed in month 0."""
    total = simulation.steps(rows.monthly_charges) * tenure
    return rows.assign(
        tenure=tenure.astype(str), total_charges=simulation.spelled(np.where(tenure == 0, np.nan, total))
    )


def worn(tenure: Ints) -> Floats:
    """What the months beyond the cap add to the log-odds of leaving, shape (n,)."""
    return np.asarray(WEAR * np.maximum(tenure - CAP, 0), dtype=np.float64)


def chances(newcomers: pd.DataFrame, world: Truth) -> Floats:
    """The world's probability for each newcomer at tenure 0 to 72 under each contract, shape (m, 73, 3)."""
    shape = (len(newcomers), CAP + 1, len(CONTRACTS))
    who, tenure, contract = (index.ravel() for index in np.indices(shape))
    rows = newcomers.take(who).reset_index(drop=True).assign(contract=np.array(CONTRACTS)[contract])
    return world.probability(billed(rows, tenure)).reshape(shape)


def cohort(newcomers: pd.DataFrame, table: Floats, shift: float) -> Floats:
    """The expected share of each newcomer that is still there, by tenure and contract; shape (m, HORIZON, 3)."""
    begun = months(newcomers)
    signed = newcomers.contract.map(CONTRACTS.index).to_numpy()
    there = np.zeros((len(newcomers), HORIZON, len(CONTRACTS)))
    now = np.zeros((len(newcomers), len(CONTRACTS)))
    for tenure in range(HORIZON):
        if tenure <= 1:
            new = begun == tenure
            now[new, signed[new]] += 1
        there[:, tenure] = now
        probability = shifted(table[:, min(tenure, CAP)], shift + float(worn(np.array([tenure]))[0]))
        now = (now * (1 - probability)) @ moves(tenure + 1)
    return there


def moves(tenure: int) -> Floats:
    """Chances of going from one contract to another on reaching a tenure; shape (3, 3), rows add up to 1."""
    one_ends, two_ends = tenure % 12 == 0, tenure % 24 == 0
    return np.array(
        [
            [1 - SIGNS, SIGNS, 0.0],
            [GOES_BACK * one_ends, 1 - (GOES_BACK + EXTENDS) * one_ends, EXTENDS * one_ends],
            [GOES_BACK_AFTER_TWO * two_ends, 0.0, 1 - GOES_BACK_AFTER_TWO * two_ends],
        ]
    )
