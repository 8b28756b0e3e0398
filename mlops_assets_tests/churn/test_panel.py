"""Customers of a panel come back every month and age until they leave for good, whatever the scenario does to them."""

import itertools
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_assets.churn import events, panel
from mlops_assets.churn.cleaning import clean_customers, clean_outcomes
from mlops_assets.churn.lifetimes import CONTRACTS, Lifetimes, settle
from mlops_assets.churn.reading import read_landed
from mlops_assets.churn.scenarios import SCENARIOS, Played, play
from mlops_assets.churn.schemas import Customers, fields
from mlops_assets.churn.world import Floats

SOURCE = pd.read_csv(
    Path(__file__).parents[2] / "data" / "source" / "telco_churn.csv", dtype=str, keep_default_na=False
)
SEED, AT, MONTHS, ROWS = 7, 3, 8, 400
SAMPLE = 6
PERSONAL = [
    name for name in fields(Customers) if name not in {"tenure", "contract", "monthly_charges", "total_charges"}
]
ORDERS = ["late_outcomes", "out_of_order", "duplicate_month"]
FILES_ONLY = ["cents_for_dollars", "missing_burst", "label_noise", "offers_work", *ORDERS]
TRUE_FILES = [name for name in SCENARIOS if not SCENARIOS[name].fault]  # what the files say of customers is true
STAYERS = [name for name in SCENARIOS if name != "mix_shift"]  # nobody goes but by leaving


class ByHand:
    """A world that is quick to ask: who is bound stays, and who has been there for long."""

    def probability(self, customers: pd.DataFrame) -> Floats:
        """As in any world."""
        log_odds = 1.5 * customers.contract.eq("Month-to-month") - customers.tenure.astype(int) / 36 - 0.5
        return np.asarray(1 / (1 + np.exp(-log_odds)), dtype=np.float64)


@cache
def law(rate: float) -> Lifetimes:
    return settle(SOURCE, ByHand(), rate=rate)


@cache
def played(
    scenario: str, first: int = -SAMPLE, months: int = SAMPLE + MONTHS, rows: int = ROWS, rate: float = 0.03
) -> list[Played]:
    """Months of a panel, from the first of its sample on; the scenario begins in its third month."""
    return play(SOURCE, seed=SEED, first=first, months=months, scenario=scenario, at=AT, rows=rows, law=law(rate))


def keyed(month: Played) -> pd.DataFrame:
    """The month's customers by id, with numbers as such, what is true of them, and whether they left."""
    table = month.customers.assign(
        monthly=pd.to_numeric(month.customers.monthly_charges),
        total=pd.to_numeric(month.customers.total_charges).fillna(0),
        months=month.customers.tenure.astype(int),
        truth=month.truth,
        left=month.outcomes.churned.eq("Yes"),
    )
    return table.set_index("customer_id")


def pairs(months: list[Played]) -> list[tuple[pd.DataFrame, pd.DataFrame]]:
    """Each month and the next."""
    return list(itertools.pairwise(map(keyed, months)))


def on(months: list[Played]) -> list[Played]:
    """The months in which a lasting scenario is on."""
    return months[SAMPLE + AT - 1 :]


def csv(table: pd.DataFrame) -> bytes:
    """A table as it lands."""
    return table.to_csv(index=False, lineterminator="\n").encode()


def files(months: list[Played]) -> list[tuple[str, str, bytes]]:
    """Everything that lands, in order."""
    return [(due.kind, due.batch, csv(due.table)) for month in months for due in month.deliveries]


# ------------------------------------------------------------------------------------------------ persons


@pytest.mark.parametrize("scenario", STAYERS)
def test_who_left_never_comes_back_and_everybody_else_is_there_a_month_later(scenario: str) -> None:
    gone: set[str] = set()
    for now, then in pairs(played(scenario)):
        leavers = set(now.index[now.left]) if scenario != "label_noise" else set(now.index) - set(then.index)
        gone |= leavers

        assert set(now.index) - leavers <= set(then.index)
        assert not gone & set(then.index)
    assert len(gone) > 100


@pytest.mark.parametrize("scenario", TRUE_FILES)
def test_who_stays_is_a_month_older_and_the_same_person(scenario: str) -> None:
    for now, then in pairs(played(scenario)):
        stayed = now.index.intersection(then.index)

        assert (then.months[stayed] == now.months[stayed] + 1).all()
        assert then.loc[stayed, PERSONAL[1:]].equals(now.loc[stayed, PERSONAL[1:]])


@pytest.mark.parametrize("scenario", TRUE_FILES)
def test_totals_grow_by_the_months_bill_at_the_months_price(scenario: str) -> None:
    for now, then in pairs(played(scenario)):
        stayed = now.index.intersection(then.index)

        assert np.allclose(then.total[stayed], now.total[stayed] + then.monthly[stayed], atol=0.001)


@pytest.mark.parametrize("scenario", STAYERS)
def test_who_comes_is_new_and_has_an_id_that_never_was(scenario: str) -> None:
    known = set(played(scenario)[0].customers.customer_id)
    for month in played(scenario)[1:]:
        new = month.customers[~month.customers.customer_id.isin(known)]
        known |= set(new.customer_id)

        assert set(new.tenure) <= {"0", "1"}
        assert new.customer_id.str.fullmatch(r"P\d{6}").all()
    numbers = sorted(int(customer[1:]) for customer in known)
    assert numbers == list(range(1, len(numbers) + 1))


def test_newcomers_look_like_the_sources_new_customers() -> None:
    months = played("quiet", rows=2_000, rate=0.26)
    known = set(months[0].customers.customer_id)
    new = pd.concat(
        month.customers[~month.customers.customer_id.isin({*known, *last.customers.customer_id})]
        for last, month in itertools.pairwise(months)
    )
    real = SOURCE[SOURCE.tenure.astype(int).le(1)]

    for kind, persons in new.groupby("internet_service"):
        for column in ("contract", "payment_method", "senior_citizen"):
            like = real[real.internet_service.eq(kind)]
            gap = persons[column].value_counts(normalize=True) - like[column].value_counts(normalize=True)
            assert gap.abs().max(skipna=True) < 4 * 0.5 / np.sqrt(len(persons))


def test_contracts_change_at_times_and_only_as_the_law_has_it() -> None:
    changes = [
        (now.contract[customer], then.contract[customer], then.months[customer])
        for now, then in pairs(played("quiet", rows=2_000))
        for customer in now.index.intersection(then.index)
        if now.contract[customer] != then.contract[customer]
    ]

    assert {(before, after) for before, after, _ in changes} == {
        (CONTRACTS[0], CONTRACTS[1]),
        (CONTRACTS[1], CONTRACTS[2]),
        (CONTRACTS[1], CONTRACTS[0]),
        (CONTRACTS[2], CONTRACTS[0]),
    }
    assert all(months % 12 == 0 for before, _, months in changes if before != CONTRACTS[0])


def test_no_two_persons_made_from_one_row_of_the_source_are_doubles() -> None:
    customers = played("quiet", rows=2_000)[0].customers

    assert customers.drop(columns="customer_id").duplicated().mean() < 0.01


# -------------------------------------------------------------------------------------------- as many as asked for


@pytest.mark.parametrize("rate", [0.01, 0.03, 0.26])
def test_as_many_leave_as_were_asked_for(rate: float) -> None:
    months = played("quiet", rows=2_000, rate=rate)
    left = np.mean([month.outcomes.churned.eq("Yes").mean() for month in months])
    spread = months[0].truth.std() / np.sqrt(2_000)  # of who happens to be there, and stays
    chance = np.sqrt(rate * (1 - rate) / (2_000 * len(months)))

    assert left == pytest.approx(rate, abs=4 * (spread + chance))
    assert left == pytest.approx(np.mean([month.truth.mean() for month in months]), abs=4 * chance)


@pytest.mark.parametrize("rate", [0.01, 0.03, 0.26])
def test_nothing_ages_through_two_quiet_years(rate: float) -> None:
    first, *_, last = played("quiet", months=24, rows=2_000, rate=rate)
    tenures = [month.customers.tenure.astype(int) for month in (first, last)]

    assert tenures[1].mean() == pytest.approx(tenures[0].mean(), abs=4 * np.sqrt(2) * tenures[0].std() / np.sqrt(2_000))
    for contract in CONTRACTS:
        share = [month.customers.contract.eq(contract).mean() for month in (first, last)]
        assert share[1] == pytest.approx(share[0], abs=4 * np.sqrt(2) * 0.5 / np.sqrt(2_000))


# ---------------------------------------------------------------------------------------------- laws of all scenarios


@pytest.mark.parametrize(("scenario", "stop"), [(name, stop) for name in SCENARIOS for stop in (AT, 5)])
def test_a_panel_played_in_two_parts_lands_the_same_files_as_one_long_one(scenario: str, stop: int) -> None:
    whole = played(scenario, rows=100)
    parts = [
        *played(scenario, months=SAMPLE + stop, rows=100),
        *played(scenario, first=stop, months=MONTHS - stop, rows=100),
    ]

    assert files(parts) == files(whole)
    assert all(np.array_equal(a.truth, b.truth) for a, b in zip(parts, whole, strict=True))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_nothing_happens_before_the_beginning(scenario: str) -> None:
    before = slice(0, SAMPLE + AT - 1)

    assert [csv(month.customers) + csv(month.outcomes) for month in played(scenario)[before]] == [
        csv(month.customers) + csv(month.outcomes) for month in played("quiet")[before]
    ]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_month_has_a_truth_and_an_outcome_for_each_of_as_many_customers(scenario: str) -> None:
    for month in played(scenario):
        assert month.truth.shape == (len(month.customers),) == (ROWS,)
        assert ((month.truth > 0) & (month.truth < 1)).all()
        assert month.outcomes.customer_id.equals(month.customers.customer_id)
        assert month.customers.customer_id.is_unique


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_row_of_any_delivery_breaks_its_contract(scenario: str) -> None:
    known = set(pd.concat([month.customers.customer_id for month in played(scenario)]))
    for kind, batch, content in files(on(played(scenario))[:2]):
        columns = fields(Customers) if kind == "customers" else ("customer_id", "churned")
        rows = read_landed(content, file=f"{kind}/{batch}.csv", columns=columns).rows
        cleaned = clean_customers(rows) if kind == "customers" else clean_outcomes(rows, known=known)

        assert cleaned.quarantined.empty


@pytest.mark.parametrize("scenario", FILES_ONLY)
def test_what_is_wrong_with_files_changes_nobodys_fate(scenario: str) -> None:
    for month, quiet in zip(played(scenario), played("quiet"), strict=True):
        assert month.customers.customer_id.equals(quiet.customers.customer_id)
        assert np.array_equal(month.truth, quiet.truth)


@pytest.mark.parametrize("scenario", ["price_rise", "cable_rival", "market_calm", "concept_flip"])
def test_a_changed_relation_changes_who_stays(scenario: str) -> None:
    now, quiet = on(played(scenario)), on(played("quiet"))

    assert now[0].customers.customer_id.equals(quiet[0].customers.customer_id)
    assert abs(now[0].truth - quiet[0].truth).mean() > 0.2 * quiet[0].truth.mean()
    assert set(now[-1].customers.customer_id) != set(quiet[-1].customers.customer_id)


@pytest.mark.parametrize("scenario", ORDERS)
def test_files_out_of_time_leave_the_same_inbox_as_files_in_time(scenario: str) -> None:
    quiet, other = (
        {(kind, batch): content for kind, batch, content in files(played(name))} for name in ("quiet", scenario)
    )
    overdue = quiet.keys() - other.keys()

    assert {key: quiet[key] for key in quiet.keys() - overdue} == other
    assert len(overdue) == (2 if scenario == "late_outcomes" else 0)


def test_the_sample_months_are_the_panels_own_and_come_first() -> None:
    months = played("quiet")

    assert [month.batch for month in months[: SAMPLE + 1]] == [f"2024-0{month}" for month in range(1, SAMPLE + 2)]
    assert [(due.kind, due.batch) for due in months[0].deliveries] == [("customers", "2024-01")]
    assert [due.batch for due in months[SAMPLE].deliveries] == ["2024-07", "2024-06"]


def test_a_panel_has_no_months_before_its_first() -> None:
    with pytest.raises(ValueError, match=r"first is -7: it counts months of the future, from -6 on"):
        played("quiet", first=-7)


def test_another_seed_makes_other_persons() -> None:
    (other,) = play(SOURCE, seed=SEED + 1, first=-6, months=1, scenario="quiet", at=1, rows=ROWS, law=law(0.03))

    assert csv(other.customers) != csv(played("quiet")[0].customers)


# -------------------------------------------------------------------------------------------- what befalls whom


def test_a_price_rises_once_and_for_newcomers_too() -> None:
    for now, then in pairs(on(played("price_rise"))):
        stayed = now.index.intersection(then.index)
        assert (then.monthly[stayed] == now.monthly[stayed]).all()
    before, after = map(keyed, played("price_rise")[SAMPLE + AT - 2 : SAMPLE + AT])
    stayed = before.index.intersection(after.index)
    fiber = before.internet_service[stayed].eq("Fiber optic")

    assert np.allclose(after.monthly[stayed] / before.monthly[stayed], np.where(fiber, 1.2, 1.0), atol=0.002)
    newest = keyed(played("price_rise")[-1]).loc[lambda table: table.months.le(1)]
    assert newest.monthly[newest.internet_service.eq("Fiber optic")].min() > 80


def test_a_lower_price_ends_with_the_contract_it_was_for() -> None:
    for month in on(played("cable_rival", rows=2_000)):
        table = keyed(month)
        fiber = table[table.internet_service.eq("Fiber optic")]
        cut = fiber.contract.eq("Month-to-month")
        assert fiber.monthly[cut].max() < 0.8 * 120 < fiber.monthly[~cut].max()


def test_a_customer_keeps_a_new_contract_until_signing_another() -> None:
    months = [keyed(month) for month in on(played("new_contract_type", rows=2_000))]
    half_years = [set(month.index[month.contract.eq(events.NEW_CONTRACT)]) for month in months]
    for (now, then), (before, after) in zip(itertools.pairwise(months), itertools.pairwise(half_years), strict=True):
        there = before & set(then.index)
        assert set(then.contract[sorted(there - after)]) <= {"One year"}
        assert not {customer for customer in after - before if now.contract.get(customer) == "Month-to-month"}
    free = months[0].contract.isin([events.NEW_CONTRACT, "Month-to-month"])
    assert len(half_years[0]) / free.sum() == pytest.approx(events.NEW_CONTRACT_SHARE, abs=0.05)


def test_bound_customers_are_handed_over_once_and_newcomers_keep_the_mix() -> None:
    months = played("mix_shift", rows=2_000)
    before, *after = [month.customers.contract.eq("Month-to-month").mean() for month in months[SAMPLE + AT - 2 :]]
    goes = [(~now.left & ~now.index.isin(then.index)).sum() for now, then in pairs(months)]

    assert after[0] - before == pytest.approx(panel.GIVE_WAY * (1 - before), abs=0.02)
    assert np.ptp(after) == 0
    assert [bool(gone) for gone in goes] == [number == SAMPLE + AT - 2 for number in range(len(goes))]


def test_contracts_dealt_anew_stay_apart_from_tenure_and_no_column_moves() -> None:
    months, quiet = played("joint_shift", rows=2_000), played("quiet", rows=2_000)
    shares = [month.customers.contract.value_counts(normalize=True)[list(CONTRACTS)].to_numpy() for month in on(months)]

    assert np.ptp(shares, axis=0).max() == 0
    for month, calm in zip(on(months), on(quiet), strict=True):
        apart = [
            table.customers.tenure.astype(int).groupby(table.customers.contract).mean()[["Month-to-month", "Two year"]]
            for table in (month, calm)
        ]
        assert abs(apart[0].iloc[1] - apart[0].iloc[0]) < 0.4 * (apart[1].iloc[1] - apart[1].iloc[0])
        assert month.customers.internet_service.value_counts(normalize=True)["DSL"] == pytest.approx(
            calm.customers.internet_service.value_counts(normalize=True)["DSL"], abs=0.06
        )


def test_most_contracts_dealt_anew_are_kept_from_month_to_month() -> None:
    for now, then in pairs(on(played("joint_shift", rows=2_000))):
        stayed = now.index.intersection(then.index)
        assert (now.contract[stayed] == then.contract[stayed]).mean() > 0.95


def test_what_was_recorded_wrongly_makes_nobody_leave() -> None:
    recorded, true = on(played("label_noise"))[0], on(played("quiet"))[0]
    wrong = recorded.outcomes.churned.ne(true.outcomes.churned)

    assert 0.05 < wrong.mean() < 0.15
    there = set(on(played("label_noise"))[1].customers.customer_id)
    assert there >= set(true.outcomes.customer_id[wrong & true.outcomes.churned.eq("No")])
