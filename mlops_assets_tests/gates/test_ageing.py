"""What ages is judged by how it grows: a panel in which everybody is a month older is no news, and a price rise is."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from mlops_assets.gates.ageing import CHANGED, FEW_PAIRS, LOST, changes_of, stacked, steps_of
from mlops_assets.gates.findings import DriftAssessment
from mlops_assets.gates.monthly import Batch, assess_month
from mlops_assets.gates.verdict import Verdict

ALPHA, PERSONS, REPLACED, MONTHS = 0.01, 390, 12, 12
SOURCE = Path(__file__).parents[2] / "data/source/telco_churn.csv"
COLUMNS = ["tenure", "contract", "internet_service", "monthly_charges", "total_charges", "partner", "payment_method"]
NAMES = [f"2025-{number:02d}" for number in range(1, MONTHS + 1)]


def panel(seed: int) -> list[pd.DataFrame]:
    """Twelve months of the same customers, 3 % replaced by others each month; tenure and totals grow, nothing else."""
    rng = np.random.default_rng(seed)
    pool = pd.read_csv(SOURCE)[COLUMNS].sample(frac=1, random_state=seed).assign(key=lambda t: np.arange(len(t)))
    now, waiting = pool.iloc[:PERSONS], pool.iloc[PERSONS:]
    months = [now]
    for _ in range(MONTHS - 1):
        stay = now.iloc[np.sort(rng.permutation(PERSONS)[REPLACED:])]
        older = stay.assign(tenure=stay.tenure + 1, total_charges=stay.total_charges + stay.monthly_charges)
        come, waiting = waiting.iloc[:REPLACED], waiting.iloc[REPLACED:]
        now = pd.concat([older, come])
        months.append(now)
    return [month.reset_index(drop=True) for month in months]


PANEL = panel(3)


def judge(months: list[pd.DataFrame], number: int, *, keys: bool = True) -> DriftAssessment:
    """The gate on a month, against the first six, with up to two unlearned months before it."""
    learned = pd.concat(months[:6], ignore_index=True)

    def batch(at: int) -> Batch:
        return Batch(months[at][COLUMNS], None, months[at].key if keys else None, NAMES[at] if keys else "")

    now = batch(number)
    return assess_month(
        learned[COLUMNS],
        now.table,
        earlier=[batch(at) for at in range(max(6, number - 2), number)],
        reference_batches=np.repeat(NAMES[:6], PERSONS),
        reference_keys=learned.key if keys else None,
        current_keys=now.keys,
        batch=now.name,
        alpha=ALPHA,
        permutations=199,
    )


@pytest.mark.parametrize("seed", [3, 4])
def test_a_year_in_which_everybody_only_ages_is_quiet(seed: int) -> None:
    months = panel(seed)

    assert [judge(months, number).verdict for number in range(6, MONTHS)] == [Verdict.PASS] * 6


def test_without_keys_a_year_in_which_everybody_only_ages_is_loud() -> None:
    loud = [judge(PANEL, number, keys=False) for number in (8, 10, 11)]

    assert {one.verdict for one in loud} == {Verdict.FAIL}


def dearer(month: pd.DataFrame) -> pd.DataFrame:
    """Fiber costs a fifth more from this month on, and the totals tell it."""
    more = month.monthly_charges.where(month.internet_service.eq("Fiber optic"), 0) / 5
    return month.assign(
        monthly_charges=month.monthly_charges + more,
        total_charges=month.total_charges + more.where(month.tenure > 1, 0),
    )


def gap(month: pd.DataFrame) -> pd.DataFrame:
    return month.assign(tenure=month.tenure.where(np.arange(PERSONS) % 20 > 0))


def level(month: pd.DataFrame) -> pd.DataFrame:
    return month.assign(contract=month.contract.where(np.arange(PERSONS) % 50 > 0, "Weekly"))


def faster(month: pd.DataFrame) -> pd.DataFrame:
    """Half the customers are three months older than a month ago."""
    return month.assign(tenure=month.tenure + 2 * (np.arange(PERSONS) % 2))


def back(month: pd.DataFrame) -> pd.DataFrame:
    """One in ten begins again: everybody's tenure is within the range that was ever seen."""
    return month.assign(tenure=month.tenure.where(np.arange(PERSONS) % 10 > 0, 1))


@pytest.mark.parametrize("number", [6, 9])
@pytest.mark.parametrize(
    ("change", "column"),
    [
        (dearer, "monthly_charges"),
        (gap, "tenure"),
        (level, "contract"),
        (faster, "tenure"),
        (back, "tenure"),
    ],
)
def test_what_happens_in_a_panel_is_found_and_named(
    change: Callable[[pd.DataFrame], pd.DataFrame], column: str, number: int
) -> None:
    months = [change(month) if at == number else month for at, month in enumerate(PANEL)]

    judged = judge(months, number)

    assert judged.verdict is Verdict.FAIL
    assert column in {finding.column for finding in judged.findings if finding.verdict is Verdict.FAIL}


def test_growth_that_changed_is_told_as_growth() -> None:
    months = [faster(month) if at == 6 else month for at, month in enumerate(PANEL)]

    (told,) = (finding for finding in judge(months, 6).findings if finding.column == "tenure")

    assert "growth from batch to batch: up" in told.moved


# ---------------------------------------------------------------------------------------------------- which columns age


def steps(
    months: list[pd.DataFrame], names: list[str] = NAMES, learned: int | None = None
) -> dict[str, npt.NDArray[np.float64]]:
    parts = [
        (month.drop(columns="key"), month.key, np.full(len(month), name))
        for month, name in zip(months, names, strict=False)
    ]
    return steps_of(stacked(parts), sum(map(len, months)) if learned is None else learned)


def test_tenure_and_totals_age_and_a_price_does_not() -> None:
    assert set(steps(PANEL[:6])) == {"tenure", "total_charges"}


def test_a_step_is_what_the_same_person_grew_by_since_the_month_before_and_a_first_month_has_none() -> None:
    found = steps(PANEL[:3])

    whole = pd.concat([month.assign(at=at) for at, month in enumerate(PANEL[:3])], ignore_index=True)
    for name in ("tenure", "total_charges"):
        before = whole.set_index(["key", "at"])[name]
        expected = [now - before.get((key, at - 1), np.nan) for key, at, now in whole[["key", "at", name]].to_numpy()]
        assert found[name] == pytest.approx(expected, nan_ok=True)
    assert np.isnan(found["tenure"][:PERSONS]).all()
    assert np.isnan(found["tenure"][PERSONS:]).sum() == 2 * REPLACED
    assert set(found["tenure"][~np.isnan(found["tenure"])]) == {1}


def test_rows_in_any_order_have_the_same_steps() -> None:
    shuffled = [month.sample(frac=1, random_state=at) for at, month in enumerate(PANEL[:3])]

    plain, found = steps(PANEL[:3])["tenure"], steps(shuffled)["tenure"]

    order = np.concatenate([month.index + at * PERSONS for at, month in enumerate(shuffled)])
    assert found == pytest.approx(plain[order], nan_ok=True)


def test_a_month_after_one_that_never_came_has_no_steps() -> None:
    names = ["2025-01", "2025-02", "2025-04", "2025-05"]

    by_month = np.split(steps([PANEL[0], PANEL[1], PANEL[3], PANEL[4]], names)["tenure"], 4)

    assert [bool(np.isnan(part).all()) for part in by_month] == [True, False, True, False]


def test_the_new_year_follows_december() -> None:
    found = steps(PANEL[:2], ["2025-12", "2026-01"])["tenure"]

    assert (~np.isnan(found)).sum() == PERSONS - REPLACED


@pytest.mark.parametrize("names", [["a", "b"], ["2025-W01", "2025-W02"]])
def test_batches_that_are_no_months_follow_each_other_as_text(names: list[str]) -> None:
    assert (~np.isnan(steps(PANEL[:2], names)["tenure"])).sum() == PERSONS - REPLACED


def test_what_only_the_batch_shows_makes_no_column_age() -> None:
    rise = PANEL[2].assign(monthly_charges=PANEL[2].monthly_charges + 5)

    assert set(steps([*PANEL[:2], rise], learned=2 * PERSONS)) == {"tenure", "total_charges"}


def test_a_missing_value_has_no_step_and_neither_has_the_one_after_it() -> None:
    holed = PANEL[1].assign(tenure=PANEL[1].tenure.where(PANEL[1].index > 0))

    found = steps([PANEL[0], holed, PANEL[2]])["tenure"]

    key = PANEL[1].key.iloc[0]
    places = np.flatnonzero(np.concatenate([month.key for month in PANEL[:3]]) == key)
    assert len(places) == 3
    assert np.isnan(found[places]).all()


@pytest.mark.parametrize(("pairs", "ages"), [(FEW_PAIRS - 1, set()), (FEW_PAIRS, {"tenure"})])
def test_too_few_who_came_again_say_nothing_of_age(pairs: int, ages: set[str]) -> None:
    first = pd.DataFrame({"tenure": np.arange(100), "key": np.arange(100)})
    second = first.assign(tenure=first.tenure + 1, key=np.where(first.key < pairs, first.key, first.key + 1000))

    assert set(steps([first, second])) == ages


@pytest.mark.parametrize(("rising", "ages"), [(89, set()), (90, {"tenure"})])
def test_a_column_ages_from_nine_tenths_that_rise_on(rising: int, ages: set[str]) -> None:
    first = pd.DataFrame({"tenure": np.arange(100), "key": np.arange(100)})
    second = first.assign(tenure=first.tenure + (first.key < rising))

    assert set(steps([first, second])) == ages


def test_nobody_is_followed_where_a_batch_has_no_name_or_no_keys() -> None:
    whole = pd.concat(PANEL[:6], ignore_index=True)
    told = [
        assess_month(
            whole[COLUMNS],
            PANEL[6][COLUMNS],
            reference_batches=np.repeat(NAMES[:6], PERSONS),
            reference_keys=whole.key,
            current_keys=PANEL[6].key,
            batch=name,
            alpha=ALPHA,
            permutations=99,
        )
        for name in ("", NAMES[6])
    ]

    assert [any("growth" in finding.moved for finding in one.findings) for one in told] == [False, False]
    kinds = [{f.column: f.statistic for f in one.findings}["tenure"] for one in told]
    assert kinds[0] != kinds[1]


def few_lose_their_partner(month: pd.DataFrame) -> pd.DataFrame:
    """One in twenty says another word for the partner; nobody did before, and no share moves: as many the other way."""
    other = month.partner.map({1: 0, 0: 1})
    return month.assign(partner=month.partner.mask(month.index % 20 == 0, other))


def few_gaps(month: pd.DataFrame) -> pd.DataFrame:
    """One price in forty is missing."""
    return month.assign(monthly_charges=month.monthly_charges.mask(month.index % 40 == 0))


@pytest.mark.parametrize(("move", "column"), [(few_lose_their_partner, "partner"), (few_gaps, "monthly_charges")])
def test_what_few_returning_persons_show_is_found_though_the_snapshots_hardly_differ(
    move: Callable[[pd.DataFrame], pd.DataFrame], column: str
) -> None:
    months = [*PANEL[:7], move(PANEL[7]), *PANEL[8:]]

    judged = judge(months, 7)

    assert (judged.verdict, judged.findings[0].column) == (Verdict.FAIL, column)


def test_what_became_of_a_value_is_told_of_persons_who_return_only() -> None:
    table = pd.DataFrame({"price": [1.0, 2.0, 1.0, 3.0, np.nan, 5.0], "plan": ["a", "b", "a", None, "a", "c"]})
    rows = stacked(
        [(table, ["x", "y", "x", "y", "x", "z"], ["2024-01", "2024-01", "2024-02", "2024-02", "2024-03", "2024-03"])]
    )

    told = changes_of(rows)

    np.testing.assert_array_equal(told["price"], [np.nan, np.nan, 0.0, CHANGED, LOST, np.nan])
    np.testing.assert_array_equal(told["plan"], [np.nan, np.nan, 0.0, LOST, 0.0, np.nan])


def test_customers_who_begin_to_come_back_only_age_and_a_price_rise_among_them_is_seen() -> None:
    pool = pd.read_csv(SOURCE)[COLUMNS].sample(frac=1, random_state=8, ignore_index=True)
    learned, june = pool.iloc[: 6 * PERSONS], pool.iloc[6 * PERSONS : 7 * PERSONS].reset_index(drop=True)

    def older(months: int) -> pd.DataFrame:
        total = june.total_charges.fillna(0) + months * june.monthly_charges
        return june.assign(tenure=june.tenure + months, total_charges=total, key=np.arange(PERSONS))

    def verdict(now: pd.DataFrame, *earlier: pd.DataFrame) -> Verdict:
        return assess_month(
            learned,
            now[COLUMNS],
            earlier=[Batch(one[COLUMNS], None, one.key, NAMES[6 + at]) for at, one in enumerate(earlier)],
            reference_batches=np.repeat(NAMES[:6], PERSONS),
            reference_keys=-1 - np.arange(6 * PERSONS),
            current_keys=now.key,
            batch=NAMES[6 + len(earlier)],
            alpha=0.005,
        ).verdict

    months = [older(number) for number in range(4)]
    assert [verdict(months[at], *months[max(0, at - 2) : at]) for at in range(4)] == [Verdict.PASS] * 4
    assert verdict(dearer(months[3]), *months[1:3]) is Verdict.FAIL
