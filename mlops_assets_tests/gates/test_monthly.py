"""A batch that comes every month is judged alone and with those before it; what the champion has learned is no news."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_assets.gates.attribution import Cause
from mlops_assets.gates.drift import JOINT, assess_drift
from mlops_assets.gates.findings import DriftAssessment
from mlops_assets.gates.learned import since_last_change
from mlops_assets.gates.monthly import WINDOW, assess_month
from mlops_assets.gates.verdict import Verdict

ALPHA, ROWS = 0.01, 300
SOURCE = Path(__file__).parents[2] / "data/source/telco_churn.csv"
COLUMNS = ["tenure", "contract", "internet_service", "monthly_charges", "partner", "payment_method"]
CUSTOMERS = pd.read_csv(SOURCE)[COLUMNS].sample(frac=1, random_state=11, ignore_index=True)
MONTHS = [CUSTOMERS.iloc[start : start + ROWS].reset_index(drop=True) for start in range(0, 12 * ROWS, ROWS)]
LEARNED, COMING = MONTHS[:6], MONTHS[6:]
NAMES = np.repeat([f"2025-{month:02d}" for month in range(1, 7)], ROWS)


def dearer(month: pd.DataFrame, by: float = 1.25) -> pd.DataFrame:
    """Fiber customers pay more."""
    fiber = month.internet_service == "Fiber optic"
    return month.assign(monthly_charges=month.monthly_charges.where(~fiber, month.monthly_charges * by))


def kept(month: pd.DataFrame) -> pd.DataFrame:
    """One in four of the new customers never came."""
    return month[~((month.tenure < 24) & (month.index % 4 == 0))]


def judge(current: pd.DataFrame, *earlier: pd.DataFrame, reference: list[pd.DataFrame] = LEARNED) -> DriftAssessment:
    """The gate on a month, the reference's months not told apart."""
    whole = pd.concat(reference, ignore_index=True)
    return assess_month(whole, current, earlier=[(month, None) for month in earlier], alpha=ALPHA)


def judge_by_month(current: pd.DataFrame, reference: list[pd.DataFrame]) -> DriftAssessment:
    """The gate on a month, the reference's months told apart."""
    return assess_month(pd.concat(reference, ignore_index=True), current, reference_batches=NAMES, alpha=ALPHA)


def test_the_first_month_is_judged_as_any_batch_with_all_of_alpha() -> None:
    whole = pd.concat(LEARNED, ignore_index=True)

    assert judge(COMING[0]) == assess_drift(whole, COMING[0], alpha=ALPHA)


def test_a_quiet_month_passes_whatever_came_before() -> None:
    for number in range(3):
        assert judge(COMING[number], *COMING[:number]).verdict is Verdict.PASS


def test_a_small_shift_that_no_month_shows_is_found_in_the_pooled_ones_and_told_so() -> None:
    small = [kept(month) for month in COMING[:3]]
    alone = [judge(month).verdict for month in small]

    together = judge(small[2], *small[:2])

    assert alone == [Verdict.PASS] * 3
    assert (together.verdict, together.batches) == (Verdict.FAIL, 3)
    assert "in 3 batches together" in together.findings[0].moved


def test_a_month_that_breaks_today_fails_though_those_before_were_quiet() -> None:
    broken = COMING[2].assign(monthly_charges=COMING[2].monthly_charges * 100)

    judged = judge(broken, *COMING[:2])

    assert (judged.verdict, judged.cause) == (Verdict.FAIL, Cause.PIPE)


def test_only_the_newest_months_are_pooled() -> None:
    broken = COMING[0].assign(monthly_charges=COMING[0].monthly_charges * 100)

    assert judge(COMING[WINDOW], broken, *COMING[1:WINDOW]).verdict is Verdict.PASS


def test_two_questions_share_alpha() -> None:
    alone, together = judge(COMING[1]), judge(COMING[1], COMING[0])

    by_column = {finding.column: finding.p_value for finding in together.findings}
    assert all(by_column[one.column] <= min(1.0, 2 * one.p_value) for one in alone.findings)


def test_a_month_of_few_rows_is_unknown_however_many_are_pooled() -> None:
    assert judge(COMING[2].head(50), *COMING[:2]).verdict is Verdict.UNKNOWN


def test_a_change_is_red_until_it_is_learned_and_green_from_then_on() -> None:
    changed = [dearer(month, 1.6) for month in COMING]

    before = judge_by_month(changed[3], LEARNED)
    after = judge_by_month(changed[3], [*LEARNED[3:], *changed[:3]])

    assert (before.verdict, after.verdict) == (Verdict.FAIL, Verdict.PASS)


def test_a_change_of_which_one_month_is_learned_is_no_news() -> None:
    changed = [dearer(month, 1.6) for month in COMING]

    assert judge_by_month(changed[1], [*LEARNED[1:], changed[0]]).verdict is Verdict.PASS


def test_without_the_months_of_the_reference_the_old_ones_keep_it_red() -> None:
    changed = [dearer(month, 1.6) for month in COMING]

    assert judge(changed[3], reference=[*LEARNED[3:], *changed[:3]]).verdict is Verdict.FAIL


def test_a_return_to_what_was_before_the_change_is_news() -> None:
    learned = [*LEARNED[2:], *[dearer(month, 1.6) for month in COMING[:2]]]

    assert judge_by_month(COMING[4], learned).verdict is Verdict.FAIL


def test_a_change_beyond_the_learned_one_is_news() -> None:
    learned = [*LEARNED[3:], *[dearer(month) for month in COMING[:3]]]

    assert judge_by_month(dearer(COMING[4], 1.6), learned).verdict is Verdict.FAIL


def test_the_last_change_parts_the_months_wherever_its_rows_stand() -> None:
    changed = pd.concat([*LEARNED[3:], *[dearer(month) for month in COMING[:3]]], ignore_index=True)
    order = np.random.default_rng(5).permutation(len(changed))

    part = since_last_change(changed.iloc[order], NAMES[order], alpha=ALPHA)

    assert sorted(set(NAMES[order][part])) == ["2025-04", "2025-05", "2025-06"]


def test_a_reference_that_never_changed_is_kept_whole() -> None:
    assert since_last_change(pd.concat(LEARNED, ignore_index=True), NAMES, alpha=ALPHA).all()


def test_the_part_since_the_change_has_the_rows_asked_for() -> None:
    changed = pd.concat([*LEARNED[1:], dearer(COMING[0]).head(60)], ignore_index=True)
    names = np.append(NAMES[: 5 * ROWS], ["2025-06"] * 60)

    part = since_last_change(changed, names, alpha=ALPHA, min_rows=100)

    assert part.sum() >= 100


@pytest.mark.parametrize("scores", [np.linspace(0, 1, 6 * ROWS), None])
def test_scores_are_judged_with_the_part_they_belong_to(scores: np.ndarray | None) -> None:
    reference = pd.concat([*LEARNED[3:], *[dearer(month) for month in COMING[:3]]], ignore_index=True)
    now = None if scores is None else np.resize(scores[3 * ROWS :], ROWS)

    judged = assess_month(
        reference,
        dearer(COMING[3]),
        reference_scores=scores,
        current_scores=now,
        reference_batches=NAMES,
        alpha=ALPHA,
    )

    assert {finding.column for finding in judged.findings} >= {JOINT, *COLUMNS}


@pytest.mark.parametrize("earlier", [0, 2])
def test_a_month_fails_at_alpha_itself_and_passes_just_below(earlier: int) -> None:
    whole = pd.concat(LEARNED, ignore_index=True)
    now, *before = [dearer(month, 1.04) for month in COMING[: earlier + 1]]
    known = [(month, None) for month in before]
    p_value = assess_month(whole, now, earlier=known, alpha=ALPHA).p_value

    for alpha, verdict in ((p_value, Verdict.FAIL), (np.nextafter(p_value, 0), Verdict.PASS)):
        assert assess_month(whole, now, earlier=known, alpha=alpha).verdict is verdict
