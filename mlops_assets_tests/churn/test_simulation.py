"""The sample in git is what the deal gives, and synthetic customers keep the rules of real ones."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.churn import simulation
from mlops_assets.churn.simulation import Month, deal, future, held_back_months, is_synthetic, sample_months, synthesise
from mlops_assets.churn.world import inputs
from mlops_assets.gates.drift import assess_drift
from mlops_assets.gates.verdict import Verdict

DATA = Path(__file__).parents[2] / "data"
SOURCE = pd.read_csv(DATA / "source" / "telco_churn.csv", dtype=str, keep_default_na=False)
SAMPLE_SEED = 20240101
FEATURES = [name for name in SOURCE if name != "churn"]
CHARGES = ["monthly_charges", "total_charges"]
NUMBERS = ["tenure", *CHARGES]
MANY = 20_000  # rows enough for a share to be known within .01


@pytest.fixture(scope="module")
def months() -> tuple[Month, ...]:
    """All eighteen months of the sample's deal."""
    return deal(SOURCE, seed=SAMPLE_SEED)


@pytest.fixture(scope="module")
def synthetic() -> pd.DataFrame:
    """Many synthetic customers of one batch, with their outcome under the source's name."""
    month = synthesise(SOURCE, rows=MANY, batch="2025-07", seed=SAMPLE_SEED)
    return month.customers.assign(churn=month.outcomes.churned)


def csv(table: pd.DataFrame) -> bytes:
    """A table as it lands."""
    return table.to_csv(index=False, lineterminator="\n").encode()


def landed(kind: str) -> dict[str, bytes]:
    """Batch and content of each file of the sample in git."""
    return {file.stem: file.read_bytes() for file in sorted((DATA / "landing" / kind).iterdir())}


def same(left: Month, right: Month) -> bool:
    """Whether two months would land as the same bytes."""
    return csv(left.customers) == csv(right.customers) and csv(left.outcomes) == csv(right.outcomes)


def numbered(table: pd.DataFrame) -> pd.DataFrame:
    """Tenure and charges as numbers, 0 where blank, and the other columns as the text that they are."""
    return table.assign(**{name: pd.to_numeric(table[name]).fillna(0) for name in NUMBERS})


# ----------------------------------------------------------------------------------------------- the deal


def test_the_customers_in_git_are_the_first_six_dealt_months_byte_for_byte() -> None:
    assert landed("customers") == {m.batch: csv(m.customers) for m in sample_months(SOURCE, seed=SAMPLE_SEED)}


def test_the_outcomes_in_git_are_those_of_all_sample_months_but_the_newest_byte_for_byte() -> None:
    assert landed("outcomes") == {m.batch: csv(m.outcomes) for m in sample_months(SOURCE, seed=SAMPLE_SEED)[:-1]}


def test_the_source_is_what_it_was_when_the_months_were_dealt() -> None:
    assert csv(SOURCE) == (DATA / "source" / "telco_churn.csv").read_bytes()


def test_every_source_row_is_dealt_once_with_its_cells_unchanged(months: tuple[Month, ...]) -> None:
    dealt = pd.concat([month.customers.assign(churn=month.outcomes.churned) for month in months])
    restored = dealt.sort_values("customer_id")[list(SOURCE)].reset_index(drop=True)

    pd.testing.assert_frame_equal(restored, SOURCE)


def test_a_customer_id_is_the_number_of_the_source_row(months: tuple[Month, ...]) -> None:
    ids = sorted(customer for month in months for customer in month.customers.customer_id)

    assert ids == [f"C{number:05d}" for number in range(1, len(SOURCE) + 1)]


def test_outcomes_stand_in_the_order_of_their_customers(months: tuple[Month, ...]) -> None:
    assert all(month.outcomes.customer_id.equals(month.customers.customer_id) for month in months)


def test_customers_carry_no_label(months: tuple[Month, ...]) -> None:
    assert list(months[0].customers) == ["customer_id", *FEATURES]


def test_months_follow_each_other_from_january_2024_to_june_2025(months: tuple[Month, ...]) -> None:
    assert [month.batch for month in months] == [f"{y}-{m:02d}" for y in (2024, 2025) for m in range(1, 13)][:18]


def test_months_differ_by_at_most_one_customer(months: tuple[Month, ...]) -> None:
    sizes = [len(month.customers) for month in months]

    assert max(sizes) - min(sizes) <= 1


def test_no_month_churns_more_or_less_than_chance_allows(months: tuple[Month, ...]) -> None:
    share = SOURCE.churn.eq("Yes").mean()
    standard_error = np.sqrt(share * (1 - share) / len(months[0].customers))
    by_month = np.array([month.outcomes.churned.eq("Yes").mean() for month in months])

    assert (abs(by_month - share) < 4 * standard_error).all()


def test_the_same_seed_deals_the_same_months(months: tuple[Month, ...]) -> None:
    assert all(map(same, months, deal(SOURCE, seed=SAMPLE_SEED)))


def test_another_seed_deals_other_months(months: tuple[Month, ...]) -> None:
    assert not any(map(same, months, deal(SOURCE, seed=SAMPLE_SEED + 1)))


def test_sample_and_held_back_months_are_the_whole_deal(months: tuple[Month, ...]) -> None:
    parts = [*sample_months(SOURCE, seed=SAMPLE_SEED), *held_back_months(SOURCE, seed=SAMPLE_SEED)]

    assert all(map(same, months, parts))
    assert len(parts) == len(months)


@pytest.mark.parametrize("make", [deal, lambda source, seed: synthesise(source, rows=1, batch="2025-07", seed=seed)])
def test_a_source_read_as_numbers_is_refused(make: object) -> None:
    with pytest.raises(ValueError, match=r"\['tenure'\] are not text.*dtype=str"):
        make(SOURCE.astype({"tenure": int}), seed=1)  # type: ignore[operator]


def test_a_source_whose_blanks_were_read_as_missing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\['total_charges'\] are not text"):
        deal(SOURCE.replace({"total_charges": {"": np.nan}}), seed=1)


def test_a_source_without_the_label_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks 'churn'"):
        deal(SOURCE.drop(columns="churn"), seed=1)


# ---------------------------------------------------------------------------------------------- the future


def test_the_future_is_the_held_back_months_and_then_synthetic_ones() -> None:
    coming = list(future(SOURCE, seed=SAMPLE_SEED, months=14))

    assert all(map(same, held_back_months(SOURCE, seed=SAMPLE_SEED), coming))
    assert [month.batch for month in coming[12:]] == ["2025-07", "2025-08"]
    assert [is_synthetic(month.customers.customer_id).mean() for month in coming] == [0.0] * 12 + [1.0] * 2


@settings(max_examples=20, deadline=None)
@given(rows=st.integers(1, 900), months=st.integers(0, 14))
def test_every_month_of_a_future_has_the_size_asked_for(rows: int, months: int) -> None:
    sizes = [len(month.customers) for month in future(SOURCE, seed=SAMPLE_SEED, months=months, rows=rows)]

    assert sizes == [rows] * months


def test_a_larger_month_holds_all_its_real_customers_and_synthetic_ones_after_them() -> None:
    real = held_back_months(SOURCE, seed=SAMPLE_SEED)[0]
    (topped_up,) = future(SOURCE, seed=SAMPLE_SEED, months=1, rows=500)
    size = len(real.customers)

    assert same(Month(real.batch, topped_up.customers.head(size), topped_up.outcomes.head(size)), real)
    assert is_synthetic(topped_up.customers.customer_id[size:]).all()
    assert topped_up.outcomes.customer_id.equals(topped_up.customers.customer_id)


def test_a_smaller_month_holds_the_first_real_customers_with_their_own_outcomes() -> None:
    real = held_back_months(SOURCE, seed=SAMPLE_SEED)[0]
    (cut,) = future(SOURCE, seed=SAMPLE_SEED, months=1, rows=100)

    assert same(cut, Month(real.batch, real.customers.head(100), real.outcomes.head(100)))


def test_no_customer_of_a_large_future_appears_twice() -> None:
    ids = pd.concat([month.customers.customer_id for month in future(SOURCE, seed=SAMPLE_SEED, months=15, rows=600)])

    assert ids.is_unique


# ------------------------------------------------------------------------------------- synthetic customers


def test_a_synthetic_id_tells_that_it_is_one_and_its_batch(synthetic: pd.DataFrame) -> None:
    assert synthetic.customer_id.str.fullmatch(r"S2025-07-\d{5}").all()
    assert synthetic.customer_id.is_unique
    assert is_synthetic(synthetic.customer_id).all()


def test_no_real_customer_is_taken_for_synthetic(months: tuple[Month, ...]) -> None:
    assert not any(is_synthetic(month.customers.customer_id).any() for month in months)


def test_synthetic_customers_have_the_columns_of_real_ones(synthetic: pd.DataFrame, months: tuple[Month, ...]) -> None:
    assert list(synthetic) == [*months[0].customers, "churn"]


def test_add_ons_need_internet(synthetic: pd.DataFrame) -> None:
    offline = synthetic.internet_service.eq("No")
    add_ons = [name for name in SOURCE if SOURCE[name].eq("No internet service").any()]

    assert len(add_ons) == 6
    assert all(synthetic[name].eq("No internet service").equals(offline) for name in add_ons)


def test_lines_need_a_phone(synthetic: pd.DataFrame) -> None:
    assert synthetic.phone_service.eq("0").equals(synthetic.multiple_lines.eq("No phone service"))


def test_only_customers_of_no_month_are_unbilled(synthetic: pd.DataFrame) -> None:
    assert synthetic.total_charges.eq("").equals(synthetic.tenure.eq("0"))
    assert synthetic.tenure.eq("0").any()


def test_the_first_bill_is_the_only_one_of_a_first_month(synthetic: pd.DataFrame) -> None:
    first = synthetic[synthetic.tenure.eq("1")]

    assert first.total_charges.equals(first.monthly_charges)


def test_charges_are_above_zero_and_spelled_as_in_the_source(synthetic: pd.DataFrame) -> None:
    spelling = r"[1-9]\d*(\.\d?[1-9])?"
    billed = pd.concat([synthetic[name] for name in CHARGES]).loc[lambda text: text.ne("")]

    assert SOURCE.monthly_charges.str.fullmatch(spelling).all()
    assert billed.str.fullmatch(spelling).all()


def test_tenure_stays_in_the_range_of_the_source(synthetic: pd.DataFrame) -> None:
    tenure, real = synthetic.tenure.astype(int), SOURCE.tenure.astype(int)

    assert (tenure.min(), tenure.max()) == (real.min(), real.max())


def test_hardly_a_synthetic_customer_equals_a_real_one(synthetic: pd.DataFrame) -> None:
    real = set(SOURCE[FEATURES].itertuples(index=False, name=None))
    equal = [row in real for row in synthetic[FEATURES].itertuples(index=False, name=None)]

    # Real customers do so too: 73 of 7,043 equal another one.
    assert np.mean(equal) < SOURCE[FEATURES].duplicated(keep=False).mean()


@pytest.mark.parametrize("column", [name for name in SOURCE if name not in NUMBERS])
def test_levels_keep_their_shares(synthetic: pd.DataFrame, column: str) -> None:
    gap = synthetic[column].value_counts(normalize=True) - SOURCE[column].value_counts(normalize=True)

    # Four standard errors of a share of one half; NaN, a level on one side only, fails too.
    assert gap.abs().max(skipna=False) < 4 * 0.5 / np.sqrt(MANY)


@pytest.mark.parametrize("column", NUMBERS)
def test_numbers_keep_their_distribution(synthetic: pd.DataFrame, column: str) -> None:
    real, made = (np.sort(pd.to_numeric(table[column]).dropna()) for table in (SOURCE, synthetic))
    below = [np.searchsorted(table, real, side="right") / len(table) for table in (real, made)]

    # The Kolmogorov-Smirnov distance; at these sizes chance alone gives more than .023 once in a hundred times.
    assert abs(below[0] - below[1]).max() < 0.023


@pytest.mark.parametrize("column", ["contract", "internet_service", "payment_method", "senior_citizen", "dependents"])
def test_churn_depends_on_a_column_as_in_the_source(synthetic: pd.DataFrame, column: str) -> None:
    real, made = (table.churn.eq("Yes").astype(float).groupby(table[column]).mean() for table in (SOURCE, synthetic))

    assert (real - made).abs().max() < 0.04


@pytest.mark.parametrize("column", ["female", "senior_citizen", "partner", "dependents"])
def test_what_goes_with_a_person_still_does(synthetic: pd.DataFrame, column: str) -> None:
    # With the tenure left out of account, .16 of a correlation was lost between partner and tenure.
    real, made = (
        others.corrwith(table[column].astype(int))
        for table in (SOURCE, synthetic[list(SOURCE)])
        for others in [pd.get_dummies(numbered(table).drop(columns=column), dtype=float)]
    )

    # Four standard errors of a correlation, and as much again for the many that are looked at.
    assert abs(real - made).max(skipna=False) < 8 / np.sqrt(MANY)


def test_the_drift_gate_takes_synthetic_customers_for_real_ones(months: tuple[Month, ...]) -> None:
    reference = inputs(pd.concat([month.customers for month in months[:6]], ignore_index=True))
    # As many as three months of 2,000 pooled, which see more than a month alone.
    made = inputs(synthesise(SOURCE, rows=6_000, batch="2025-07", seed=SAMPLE_SEED).customers)

    assert assess_drift(reference, made, alpha=0.01).verdict is Verdict.PASS


def test_the_same_seed_makes_the_same_customers() -> None:
    assert same(*(synthesise(SOURCE, rows=50, batch="2025-07", seed=3) for _ in range(2)))


@pytest.mark.parametrize(("batch", "seed"), [("2025-08", 3), ("2025-07", 4)])
def test_another_batch_or_seed_makes_other_customers(batch: str, seed: int) -> None:
    first = synthesise(SOURCE, rows=50, batch="2025-07", seed=3)
    other = synthesise(SOURCE, rows=50, batch=batch, seed=seed)

    assert not first.customers[FEATURES].equals(other.customers[FEATURES])


@settings(max_examples=50)
@given(tenure=st.lists(st.integers(0, 72), min_size=1, max_size=50), seed=st.integers(0, 2**32))
def test_a_tenure_moves_by_at_most_two_months_and_new_and_capped_ones_not_at_all(tenure: list[int], seed: int) -> None:
    before = np.array(tenure)
    after = simulation._moved_tenure(before, np.random.default_rng(seed))  # noqa: SLF001 - the law is of this step

    assert (abs(after - before) <= 2).all()
    assert (np.isin(before, [0, 1, 72]) == np.isin(after, [0, 1, 72])).all()


def test_moving_tenures_piles_nobody_up_at_the_ends() -> None:
    evenly = np.arange(2, 72).repeat(2_000)
    moved = simulation._moved_tenure(evenly, np.random.default_rng(1))  # noqa: SLF001 - the law is of this step

    # 2,000 are expected at each tenure; the standard error is at most 40, and 5 of them leave 70 counts room.
    assert (abs(np.bincount(moved)[2:] - 2_000) < 5 * 40).all()


def test_no_months_ask_for_nothing() -> None:
    assert list(future(SOURCE, seed=SAMPLE_SEED, months=0)) == []
