"""A panel is settled from its first month on: as many leave as were asked for, and nothing ages through the years."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_assets.churn import lifetimes
from mlops_assets.churn.lifetimes import CONTRACTS, Lifetimes, moves, new_customers, settle
from mlops_assets.churn.world import Floats, shifted

SOURCE = pd.read_csv(
    Path(__file__).parents[2] / "data" / "source" / "telco_churn.csv", dtype=str, keep_default_na=False
)
FEW = SOURCE.iloc[::8].reset_index(drop=True)
NEW = SOURCE.tenure.astype(int).le(1)


@dataclass(frozen=True)
class ByHand:
    """A world that is quick to ask: who is bound stays, and who has been there for long or paid much."""

    def probability(self, customers: pd.DataFrame) -> Floats:
        """As in any world."""
        paid = pd.to_numeric(customers.total_charges).fillna(0) / 4000
        log_odds = 1.5 * customers.contract.eq("Month-to-month") - customers.tenure.astype(int) / 36 - paid - 0.5
        return np.asarray(1 / (1 + np.exp(-log_odds)), dtype=np.float64)


@cache
def law(rate: float) -> Lifetimes:
    """The law of a panel in that world."""
    return settle(FEW, ByHand(), rate=rate)


def evenly(count: int) -> Floats:
    """Lots, evenly spread."""
    return (np.arange(count) + 0.5) / count


@pytest.mark.parametrize("rate", [0.005, 0.01, 0.03, 0.26, 0.6])
def test_of_the_settled_panel_as_many_leave_as_were_asked_for(rate: float) -> None:
    truth = law(rate).probability(law(rate).residents(evenly(5_000)))

    assert truth.mean() == pytest.approx(rate, abs=4 * truth.std() / np.sqrt(len(truth)))


@pytest.mark.parametrize("rate", [0.0, 0.004, 0.7, 1.0, float("nan")])
def test_a_rate_that_cannot_be_played_is_refused_with_what_can(rate: float) -> None:
    with pytest.raises(ValueError, match=r"cannot be played\. Ask for one from 0\.005 to 0\.6"):
        settle(FEW, ByHand(), rate=rate)


@pytest.mark.parametrize("rate", [0.01, 0.03, 0.26])
def test_the_settled_panel_is_what_it_will_be_a_month_later(rate: float) -> None:
    settled = law(rate)
    now = settled.shares.sum(axis=0)  # of tenure and contract
    table = lifetimes.chances(settled.newcomers, settled.world)
    wear = lifetimes.worn(np.arange(lifetimes.HORIZON))[:, None]
    capped = table[:, np.minimum(np.arange(lifetimes.HORIZON), lifetimes.CAP)]
    staying = (settled.shares * (1 - shifted(capped, settled.shift + wear))).sum(axis=0)
    later = np.array([row @ moves(tenure + 1) for tenure, row in enumerate(staying[:-1])])

    assert np.allclose(later[1:], now[2:])
    assert 1 - staying.sum() == pytest.approx(rate, rel=1e-3)
    assert now[:2].sum() - later[0].sum() == pytest.approx(rate, rel=1e-3)  # who comes makes up for who leaves


@pytest.mark.parametrize("rate", [0.01, 0.03, 0.26])
def test_the_settled_panel_has_the_sources_kinds_of_internet(rate: float) -> None:
    share = pd.Series(law(rate).shares.sum(axis=(1, 2))).groupby(law(rate).newcomers.internet_service).sum()

    assert np.allclose(share, FEW.internet_service.value_counts(normalize=True)[share.index])


def test_longer_tenures_are_to_the_world_the_longest_it_knows_with_the_same_average_bill() -> None:
    customer = law(0.03).residents(evenly(200)).assign(tenure="72", monthly_charges="50", total_charges="3600")
    old = customer.assign(tenure="96", total_charges="4800")

    assert np.allclose(
        law(0.03).probability(old), shifted(law(0.03).probability(customer), 24 * lifetimes.WEAR), rtol=1e-9
    )


def test_hardly_anybody_is_there_at_the_end_of_the_table_even_where_few_leave() -> None:
    assert law(lifetimes.LOWEST).shares[:, -1].sum() < 1e-6


def test_new_customers_are_the_sources_own_at_their_first_bill() -> None:
    new = new_customers(SOURCE)
    kept = [name for name in new if name != "total_charges"]

    assert len(new) == NEW.sum()
    assert new[kept].equals(SOURCE[NEW].reset_index(drop=True)[kept])
    assert new.total_charges.eq(new.monthly_charges.where(new.tenure.eq("1"), "")).all()


def test_where_too_few_are_new_those_of_the_least_tenures_stand_for_them() -> None:
    old = SOURCE[~NEW].head(500)
    new = new_customers(old)

    assert len(new) == lifetimes.FEWEST_NEWCOMERS
    assert set(new.tenure) == {"1"}
    least = old.iloc[np.sort(np.argsort(old.tenure.astype(int), kind="stable")[:100])]
    assert new.payment_method.tolist() == least.payment_method.tolist()


@pytest.mark.parametrize("tenure", [1, 12, 24, 36])
def test_chances_of_a_change_of_contract_add_up_to_one(tenure: int) -> None:
    assert np.allclose(moves(tenure).sum(axis=1), 1)
    assert (moves(tenure) >= 0).all()


def test_a_contract_binds_between_anniversaries() -> None:
    assert moves(13)[1:].tolist() == [[0, 1, 0], [0, 0, 1]]
    assert moves(12)[2].tolist() == [0, 0, 1]
    assert moves(24)[2, 0] > 0 < moves(12)[1, 0]


def test_residents_can_be_had_of_some_contracts_alone() -> None:
    bound = law(0.03).residents(evenly(500), contracts=CONTRACTS[1:])
    share = law(0.03).shares.sum(axis=(0, 1))

    assert set(bound.contract) == set(CONTRACTS[1:])
    assert bound.contract.eq(CONTRACTS[1]).mean() == pytest.approx(share[1] / share[1:].sum(), abs=0.05)
