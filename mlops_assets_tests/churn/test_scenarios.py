"""Each scenario does what it says and nothing else, and a future goes on where it stopped."""

import itertools
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_assets.churn import events, scenario_page, simulation
from mlops_assets.churn.cleaning import clean_customers, clean_outcomes
from mlops_assets.churn.reading import read_landed
from mlops_assets.churn.scenarios import (
    SCENARIOS,
    Delivery,
    Played,
    outcomes_under_offers,
    parse,
    play,
    truth_under_offers,
)
from mlops_assets.churn.schemas import Customers, fields
from mlops_assets.churn.world import World, fit_world

ROOT = Path(__file__).parents[2]
SOURCE = pd.read_csv(ROOT / "data" / "source" / "telco_churn.csv", dtype=str, keep_default_na=False)
SEED = 20240101
AT = 3
MONTHS = 6
FOREVER = [name for name, scenario in SCENARIOS.items() if scenario.event]
ORDERS = ["late_outcomes", "out_of_order", "duplicate_month"]
RELATIONS = [name for name, scenario in SCENARIOS.items() if scenario.expected.cause == "relation"]
INPUTS_STAY = ["market_calm", "concept_flip"]

Files = list[tuple[str, str, bytes]]


def by_hand(X: pd.DataFrame) -> np.ndarray:
    """Another world, quick to ask: who is bound stays, and who has been there for long."""
    log_odds = 1.0 * X.contract.eq("Month-to-month") - X.tenure / 36 - 0.5
    return np.asarray(1 / (1 + np.exp(-log_odds)))


OTHER_WORLD = World((by_hand,))


@cache
def world() -> World:
    return fit_world(SOURCE)


@cache
def played(scenario: str, first: int = 0, months: int = MONTHS, rows: int | None = None, at: int = AT) -> list[Played]:
    """Months in the other world: what is said of them holds in any."""
    return play(SOURCE, seed=SEED, first=first, months=months, scenario=scenario, at=at, rows=rows, world=OTHER_WORLD)


@cache
def large(scenario: str) -> Played:
    """One month of 3,000 customers in the real world, the scenario on: shares are known within .04."""
    return play(SOURCE, seed=SEED, first=0, months=1, scenario=scenario, at=1, rows=3_000, world=world())[0]


def csv(table: pd.DataFrame) -> bytes:
    """A table as it lands."""
    return table.to_csv(index=False, lineterminator="\n").encode()


def files(months: list[Played]) -> Files:
    """Everything that lands, in order."""
    return [(due.kind, due.batch, csv(due.table)) for month in months for due in month.deliveries]


def last_versions(months: list[Played]) -> dict[tuple[str, str], bytes]:
    """What lies in the inbox at the end."""
    return {(kind, batch): content for kind, batch, content in files(months)}


def left(month: Played) -> float:
    """Share of the customers who left."""
    return float(month.outcomes.churned.eq("Yes").mean())


# -------------------------------------------------------------------------------------- laws of all scenarios


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_months_before_the_beginning_land_as_dealt_byte_for_byte(scenario: str) -> None:
    real = list(simulation.future(SOURCE, seed=SEED, months=AT - 1))
    before = played(scenario)[: AT - 1]

    assert [csv(month.customers) for month in before] == [csv(month.customers) for month in real]
    assert [csv(month.outcomes) for month in before] == [csv(month.outcomes) for month in real]


@pytest.mark.parametrize("scenario", [name for name, scenario in SCENARIOS.items() if scenario.lasts])
def test_months_after_a_passing_fault_land_as_dealt(scenario: str) -> None:
    over = AT + (SCENARIOS[scenario].lasts or 0) - 1
    after, real = played(scenario)[over:], played("quiet")[over:]

    assert [csv(month.customers) for month in after] == [csv(month.customers) for month in real]


@pytest.mark.parametrize(
    ("scenario", "stop"),
    [*((name, AT) for name in SCENARIOS), *((name, stop) for name in [*ORDERS, "price_rise"] for stop in (1, 2, 4, 5))],
)
def test_a_future_played_in_two_parts_lands_the_same_files_as_one_long_one(scenario: str, stop: int) -> None:
    parts = [*played(scenario, months=stop), *played(scenario, first=stop, months=MONTHS - stop)]

    assert files(parts) == files(played(scenario))
    assert all(np.array_equal(a.truth, b.truth) for a, b in zip(parts, played(scenario), strict=True))


def test_the_world_fitted_anew_plays_the_same() -> None:
    again = play(SOURCE, seed=SEED, first=0, months=1, scenario="cable_rival", at=1, rows=3_000)

    assert files(again) == files([large("cable_rival")])


def test_another_seed_plays_other_months() -> None:
    other = play(SOURCE, seed=SEED + 1, first=0, months=1, scenario="quiet", at=1, world=OTHER_WORLD)

    assert csv(other[0].customers) != csv(played("quiet")[0].customers)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_there_is_a_truth_for_each_customer(scenario: str) -> None:
    for month in played(scenario):
        assert month.truth.shape == (len(month.customers),)
        assert ((month.truth > 0) & (month.truth < 1)).all()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_outcomes_stand_in_the_order_of_their_customers_who_are_named_once(scenario: str) -> None:
    for month in played(scenario):
        assert month.outcomes.customer_id.equals(month.customers.customer_id)
        assert month.customers.customer_id.is_unique


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_row_of_any_delivery_breaks_its_contract(scenario: str) -> None:
    known = set(pd.concat([month.customers.customer_id for month in played(scenario)]))
    sample = simulation.sample_months(SOURCE, seed=SEED)[-1].customers.customer_id
    for kind, batch, content in set(files(played(scenario)[AT - 1 : AT + 1])):
        columns = fields(Customers) if kind == "customers" else ("customer_id", "churned")
        rows = read_landed(content, file=f"{kind}/{batch}.csv", columns=columns).rows
        cleaned = clean_customers(rows) if kind == "customers" else clean_outcomes(rows, known={*known, *sample})

        assert cleaned.quarantined.empty


@pytest.mark.parametrize("rows", [1, 600])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_month_has_the_size_asked_for_whatever_happens(scenario: str, rows: int) -> None:
    assert [len(month.customers) for month in played(scenario, months=2, rows=rows, at=1)] == [rows] * 2


def test_a_scenario_goes_on_when_the_real_customers_have_run_out() -> None:
    (late,) = played("cable_rival", first=13, months=1)
    (quiet,) = played("quiet", first=13, months=1)

    assert simulation.is_synthetic(late.customers.customer_id).all()
    assert late.truth.mean() != quiet.truth.mean()


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_stands_in_the_docs_with_what_the_system_should_do(name: str) -> None:
    told = (ROOT / "docs" / "scenarios.md").read_text(encoding="utf-8").splitlines()

    assert any(line.startswith(f"| **{name}** |") and f"| {SCENARIOS[name].should} |" in line for line in told)


def test_the_page_is_what_the_catalogue_says() -> None:
    told = (ROOT / "docs" / "scenarios.md").read_text(encoding="utf-8")

    assert told == scenario_page.page(SCENARIOS.values()), "write docs/scenarios.md anew, the page says how"


@pytest.mark.parametrize("name", SCENARIOS)
def test_what_moves_no_gate_promotes_nobody(name: str) -> None:
    expected = SCENARIOS[name].expected

    assert expected.detects != "none" or (expected.retrains is False and expected.promotes is False)
    assert expected.retrains is not False or expected.promotes is False


# ---------------------------------------------------------------------------------------- who is changed, and how


@pytest.mark.parametrize("scenario", FOREVER)
def test_a_customer_who_is_left_alone_keeps_the_real_outcome(scenario: str) -> None:
    now, real = large(scenario), large("quiet")
    alone = (now.truth == real.truth) & now.customers.customer_id.eq(real.customers.customer_id).to_numpy()

    assert now.outcomes.churned[alone].equals(real.outcomes.churned[alone])


@pytest.mark.parametrize("scenario", FOREVER)
def test_as_many_leave_as_the_truth_says(scenario: str) -> None:
    month = large(scenario)

    # Real outcomes are no draws from the world: it was fitted on them, and is right on the whole.
    assert left(month) == pytest.approx(month.truth.mean(), abs=4 * 0.5 / np.sqrt(len(month.truth)))


@pytest.mark.parametrize("scenario", RELATIONS)
def test_a_changed_relation_changes_who_leaves(scenario: str) -> None:
    assert abs(large(scenario).truth - large("quiet").truth).mean() > 0.03


@pytest.mark.parametrize(
    "scenario", [name for name in SCENARIOS if name not in {*RELATIONS, "mix_shift", "joint_shift"}]
)
def test_what_is_no_changed_relation_leaves_the_truth_as_it_was(scenario: str) -> None:
    assert np.array_equal(large(scenario).truth, large("quiet").truth)


@pytest.mark.parametrize("scenario", ["mix_shift", "joint_shift"])
def test_a_shifted_population_leaves_as_such_customers_always_did(scenario: str) -> None:
    month = large(scenario)
    changed = ~month.customers.eq(large("quiet").customers).all(axis="columns").to_numpy()

    assert changed.mean() > 0.15
    assert np.allclose(month.truth[changed], world().probability(month.customers[changed]))


@pytest.mark.parametrize("scenario", [*INPUTS_STAY, "label_noise", "offers_work", "late_outcomes", "out_of_order"])
def test_no_input_moves_where_only_outcomes_are_concerned(scenario: str) -> None:
    assert csv(large(scenario).customers) == csv(large("quiet").customers)


@pytest.mark.parametrize("scenario", [name for name in SCENARIOS if SCENARIOS[name].expected.detects == "drift"])
def test_inputs_move_where_the_drift_gate_should_ring(scenario: str) -> None:
    assert csv(large(scenario).customers) != csv(large("quiet").customers)


def test_fiber_costs_a_fifth_more_after_a_price_rise_and_nothing_else_does() -> None:
    price, real = (large(name).customers.monthly_charges.astype(float) for name in ("price_rise", "quiet"))
    fiber = large("quiet").customers.internet_service.eq("Fiber optic")

    assert price[fiber].to_numpy() == pytest.approx(1.2 * real[fiber].to_numpy(), abs=0.026)  # steps of five cents
    assert price[~fiber].equals(real[~fiber])


def test_a_rival_takes_customers_without_fiber_and_the_answer_keeps_some_of_those_with() -> None:
    customers = large("quiet").customers
    more = large("cable_rival").truth - large("quiet").truth
    fiber = customers.internet_service.eq("Fiber optic").to_numpy()
    cut = fiber & customers.contract.eq("Month-to-month").to_numpy()

    assert (more[~fiber] > 0).all()
    assert (more[cut] < 0).all()
    assert (more[fiber & ~cut] == 0).all()


def test_what_was_billed_follows_the_price_since_the_scenario_began() -> None:
    for age, month in enumerate(played("price_rise")[AT - 1 :], start=1):
        real = played("quiet")[AT - 2 + age]
        tenure = real.customers.tenure.astype(int)
        step, billed = (
            pd.to_numeric(month.customers[name]) - pd.to_numeric(real.customers[name])
            for name in ("monthly_charges", "total_charges")
        )

        assert np.allclose(billed.dropna(), (step * tenure.clip(upper=age))[billed.notna()])
        assert billed.isna().equals(tenure.eq(0))


def test_after_a_mix_shift_three_customers_in_four_are_bound_to_nothing() -> None:
    assert large("mix_shift").customers.contract.eq("Month-to-month").mean() == pytest.approx(0.75, abs=0.001)
    assert large("quiet").customers.contract.eq("Month-to-month").mean() < 0.6


def test_a_joint_shift_moves_no_column_and_parts_contract_from_tenure() -> None:
    now, real = large("joint_shift").customers, large("quiet").customers
    apart = [
        table.tenure.astype(int).groupby(table.contract).mean().loc[["Month-to-month", "Two year"]].diff().iloc[1]
        for table in (now, real)
    ]

    assert all(sorted(now[name]) == sorted(real[name]) for name in real)
    assert abs(apart[0]) < 4
    assert apart[1] > 30


def test_a_new_contract_is_signed_by_month_to_month_customers_alone() -> None:
    now, real = large("new_contract_type").customers.contract, large("quiet").customers.contract
    signed = now.eq(events.NEW_CONTRACT)

    assert set(real[signed]) == {"Month-to-month"}
    assert signed[real.eq("Month-to-month")].mean() == pytest.approx(0.25, abs=0.05)


@pytest.mark.parametrize("scenario", ["cents_for_dollars", "missing_burst", "label_noise"])
def test_a_broken_pipe_changes_what_is_written_and_not_what_is_true(scenario: str) -> None:
    assert np.array_equal(large(scenario).truth, large("quiet").truth)
    assert SCENARIOS[scenario].expected.cause == "pipe"


def test_charges_in_cents_are_a_hundred_times_those_in_dollars() -> None:
    for name in ("monthly_charges", "total_charges"):
        now, real = (pd.to_numeric(large(scenario).customers[name]) for scenario in ("cents_for_dollars", "quiet"))

        assert now.equals((100 * real).round().astype(now.dtype))


def test_a_burst_blanks_three_columns_each_in_rows_of_its_own() -> None:
    blank = large("missing_burst").customers.isin([""]) & ~large("quiet").customers.isin([""])

    assert set(blank.columns[blank.any()]) == {"monthly_charges", "contract", "payment_method"}
    assert blank.loc[:, blank.any()].mean().to_numpy() == pytest.approx(0.3, abs=0.04)
    assert not blank.contract.equals(blank.payment_method)


def test_one_label_in_ten_is_wrong_under_noise_whichever_it_was() -> None:
    real = large("quiet").outcomes.churned
    wrong = large("label_noise").outcomes.churned.ne(real).groupby(real).mean()

    assert wrong.to_numpy() == pytest.approx(0.1, abs=0.04)


# ------------------------------------------------------------------------------------------------- what lands when


def landed(month: Played) -> list[tuple[str, str]]:
    """Kind and batch of what lands in a month."""
    return [(due.kind, due.batch) for due in month.deliveries]


def test_usually_a_month_brings_its_customers_and_the_outcomes_of_the_month_before() -> None:
    names = simulation.batches("2024-06", MONTHS + 1)

    assert [landed(month) for month in played("quiet")] == [
        [("customers", now), ("outcomes", before)] for before, now in itertools.pairwise(names)
    ]


def test_the_first_month_brings_the_newest_outcomes_of_the_sample() -> None:
    real = simulation.sample_months(SOURCE, seed=SEED)[-1]

    assert csv(played("quiet")[0].deliveries[1].table) == csv(real.outcomes)


def test_late_outcomes_come_two_months_later_and_all_of_them_come() -> None:
    on_time, late = (
        {batch: number for number, month in enumerate(played(name, months=9), 1) for kind, batch in landed(month)
         if kind == "outcomes"}
        for name in ("quiet", "late_outcomes")
    )  # fmt: skip

    assert {late[batch] - number for batch, number in on_time.items() if number < AT} == {0}
    assert {late[batch] - number for batch, number in on_time.items() if AT <= number <= 7} == {2}


def test_out_of_order_customers_land_after_the_next_months_and_after_their_own_outcomes() -> None:
    at, after = (month.batch for month in played("out_of_order")[AT - 1 : AT + 1])

    assert landed(played("out_of_order")[AT - 1]) == [("outcomes", played("quiet")[AT - 2].batch)]
    assert landed(played("out_of_order")[AT]) == [("customers", after), ("outcomes", at), ("customers", at)]


def test_a_duplicate_month_comes_with_the_same_bytes_and_then_corrected_in_a_few_rows() -> None:
    batch = played("duplicate_month")[AT - 1].batch
    first, copy, corrected = (
        due.table for month in played("duplicate_month") for due in month.deliveries
        if (due.kind, due.batch) == ("customers", batch)
    )  # fmt: skip

    assert csv(first) == csv(copy)
    assert first.ne(corrected).any(axis="columns").sum() == events.SLIPS


@pytest.mark.parametrize("scenario", ORDERS)
def test_files_out_of_time_leave_the_same_inbox_as_files_in_time(scenario: str) -> None:
    quiet = last_versions(played("quiet", months=9))
    other = last_versions(played(scenario, months=9))
    overdue = {key for key in quiet if key not in other}

    assert {key: content for key, content in quiet.items() if key in other} == other
    assert len(overdue) == (2 if scenario == "late_outcomes" else 0)


# ------------------------------------------------------------------------------------------------------ offers


def assigned(customers: pd.DataFrame, *, offers: Callable[[int], bool]) -> pd.DataFrame:
    """Assignments as exported with the predictions: an offer for those whose row number says so."""
    got = ["offer" if offers(row) else "none" for row in range(len(customers))]
    chance = [0.9 if word == "offer" else 1.0 for word in got]
    return pd.DataFrame({"customer_id": customers.customer_id, "assignment": got, "assignment_chance": chance})


def under_offers(month: Played, *, scenario: str = "offers_work", at: int = 1, every: int = 2) -> pd.DataFrame:
    """The month's outcomes when each customer with an even row number (or each `every`th) got an offer."""
    assignments = assigned(month.customers, offers=lambda row: row % every == 0)
    return outcomes_under_offers(month.outcomes, assignments, batch=month.batch, scenario=scenario, at=at, seed=SEED)


def test_an_offer_keeps_three_of_ten_leavers_and_changes_nobody_else() -> None:
    month = large("offers_work")
    after = under_offers(month)
    offered = after.assignment.eq("offer")
    leavers = month.outcomes.churned.eq("Yes")
    kept = leavers & after.churned.eq("No")

    assert not kept[~offered].any()
    assert after.churned[~leavers].eq("No").all()
    assert kept[offered & leavers].mean() == pytest.approx(events.KEPT_SHARE, abs=4 * 0.46 / np.sqrt(400))


@pytest.mark.parametrize(("scenario", "at"), [("quiet", 1), ("offers_work", 2)])
def test_offers_keep_nobody_in_another_scenario_or_before_the_beginning(scenario: str, at: int) -> None:
    month = large("offers_work")

    assert under_offers(month, scenario=scenario, at=at).churned.equals(month.outcomes.churned)


def test_a_customers_outcome_under_an_offer_does_not_depend_on_who_else_got_one() -> None:
    month = large("offers_work")
    few, many = under_offers(month, every=4), under_offers(month, every=2)
    both = few.assignment.eq("offer")

    assert few.churned[both].equals(many.churned[both])


def test_outcomes_come_back_with_the_assignment_and_its_chance_as_validation_reads_them() -> None:
    month = large("offers_work")
    content = csv(under_offers(month))
    rows = read_landed(content, file="outcomes/2024-07.csv", columns=("customer_id", "churned")).rows
    cleaned = clean_outcomes(rows, known=month.customers.customer_id)

    assert cleaned.quarantined.empty
    assert cleaned.good.assignment_chance.equals(cleaned.good.assignment.map({"none": 1.0, "offer": 0.9}))


def test_a_customer_without_an_assignment_got_none() -> None:
    month = large("offers_work")
    nobody = assigned(month.customers, offers=lambda _: False).head(0)
    after = outcomes_under_offers(month.outcomes, nobody, batch=month.batch, scenario="offers_work", at=1, seed=SEED)

    assert after.assignment.eq("none").all()
    assert after.churned.equals(month.outcomes.churned)


def test_the_truth_under_an_offer_is_what_it_leaves_of_the_leavers() -> None:
    truth = truth_under_offers(np.array([0.5, 0.5, 0.5]), pd.Series(["offer", "control", "none"]))

    assert truth.tolist() == [0.5 * (1 - events.KEPT_SHARE), 0.5, 0.5]


# ------------------------------------------------------------------------------------------------------ the words


@pytest.mark.parametrize(("text", "means"), [("cable_rival@5", ("cable_rival", 5)), ("quiet", ("quiet", 1))])
def test_a_scenario_is_named_with_the_month_it_begins_in(text: str, means: tuple[str, int]) -> None:
    assert parse(text) == means


def test_an_unknown_scenario_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"'cable' is unknown, there are quiet, price_rise.*as in cable_rival@5"):
        parse("cable@5")


@pytest.mark.parametrize("month", ["", "0", "-1", "5.5", "May", " 5", "٣"])
def test_a_month_that_is_no_whole_number_from_one_on_is_refused(month: str) -> None:
    with pytest.raises(ValueError, match=r"is no month\. Write a whole number from 1 on"):
        parse(f"quiet@{month}")


def test_a_play_cannot_begin_before_the_first_month() -> None:
    with pytest.raises(ValueError, match="first is -1"):
        play(SOURCE, seed=SEED, first=-1, months=1, scenario="quiet", at=1, world=OTHER_WORLD)


def test_a_delivery_unpacks_to_kind_batch_and_table() -> None:
    kind, batch, table = played("quiet")[0].deliveries[0]

    assert (kind, batch, len(table)) == ("customers", "2024-07", len(played("quiet")[0].customers))
    assert isinstance(played("quiet")[0].deliveries[0], Delivery)
