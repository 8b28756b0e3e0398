"""The drift gate rings when a batch moved, names what moved, and is quiet when nothing did."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.gates.drift import (
    JOINT,
    Cause,
    DriftAssessment,
    DriftFindings,
    Finding,
    assess_drift,
    cause_of,
    findings_table,
    verdict_of,
)
from mlops_assets.gates.verdict import Verdict

ALPHA = 0.01
SOURCE = Path(__file__).parents[2] / "data/source/telco_churn.csv"
CUSTOMERS = pd.read_csv(SOURCE).drop(columns="churn").sample(frac=1, random_state=7, ignore_index=True)
REFERENCE = CUSTOMERS.iloc[:1950]
BATCH = CUSTOMERS.iloc[1950:2340].reset_index(drop=True)


def assess(current: pd.DataFrame, reference: pd.DataFrame = REFERENCE, **more: object) -> DriftAssessment:
    return assess_drift(reference, current, alpha=ALPHA, **more)  # type: ignore[arg-type]


def one_column(then: object, now: object, *, alpha: float = ALPHA) -> Finding:
    frames = (pd.DataFrame({"fact": then}), pd.DataFrame({"fact": now}))
    return next(one for one in assess_drift(*frames, alpha=alpha, min_rows=1).findings if one.column == "fact")


def some(name: str, share: float, value: object) -> pd.DataFrame:
    """The batch with every (1 / share)th value of a column replaced."""
    column = BATCH[name].astype(object)
    column[:: round(1 / share)] = value
    return BATCH.assign(**{name: column.infer_objects()})


tables = st.integers(0, 2**32 - 1).map(
    lambda seed: pd.DataFrame(
        {
            "amount": np.random.default_rng(seed).normal(size=120).round(1),
            "kind": np.random.default_rng(seed).choice(np.array(["a", "b", "c", None]), size=120),
            "flag": np.random.default_rng(seed).integers(0, 2, size=120),
        }
    )
)


def test_an_undisturbed_batch_passes() -> None:
    assert assess(BATCH).verdict is Verdict.PASS


def test_a_price_rise_for_everyone_fails_and_is_named_first() -> None:
    assessment = assess(BATCH.assign(monthly_charges=BATCH.monthly_charges * 1.6))

    assert assessment.verdict is Verdict.FAIL
    assert assessment.findings[0].column == "monthly_charges"


def test_a_price_rise_is_told_in_words_a_person_would_use() -> None:
    assert one_column(np.arange(200.0), np.arange(200.0) * 1.5).moved.startswith("up 50 %, mean 99.5 -> 149")


def test_a_change_of_the_mix_names_the_level_that_moved_most() -> None:
    finding = one_column(["dsl", "fiber"] * 100, ["dsl", "fiber", "fiber", "fiber"] * 50)

    assert finding.verdict is Verdict.FAIL
    assert finding.moved in {"share of 'fiber' 50 % -> 75 %", "share of 'dsl' 50 % -> 25 %"}


def test_a_new_category_in_one_row_of_twenty_fails_and_is_named() -> None:
    first = assess(some("contract", 0.05, "Weekly")).findings[0]

    assert (first.column, first.new_categories, first.verdict) == ("contract", ("Weekly",), Verdict.FAIL)
    assert "new: 'Weekly'" in first.moved


def test_a_new_category_in_a_single_row_is_told_but_no_alarm() -> None:
    assessment = assess(some("contract", 1 / 389, "Weekly").drop(index=389))

    assert assessment.verdict is Verdict.PASS
    assert {finding.new_categories for finding in assessment.findings} == {(), ("Weekly",)}


def test_a_burst_of_missing_values_fails_and_is_named() -> None:
    first = assess(some("tenure", 0.1, None)).findings[0]

    assert (first.column, first.cause) == ("tenure", Cause.PIPE)
    assert "missing 0 % -> 10 %" in first.moved
    assert (first.missing_reference, first.missing_current) == (0, 0.1)


def test_missing_values_that_stay_as_frequent_are_no_alarm() -> None:
    column = np.where(np.arange(800) % 10 == 0, np.nan, np.arange(800.0))

    assert one_column(column, column[::2]).verdict is Verdict.FAIL  # 20 % are missing now
    assert one_column(column, column[::3]).verdict is Verdict.PASS


def test_a_flag_whose_share_doubles_fails_by_its_levels() -> None:
    finding = one_column([0, 0, 0, 1] * 100, [0, 1] * 100)

    assert (finding.kind, finding.verdict) == ("categorical", Verdict.FAIL)


def test_numbers_that_became_text_fail_in_words_and_do_not_crash() -> None:
    first = assess(BATCH.assign(tenure=BATCH.tenure.astype(str) + " months")).findings[0]

    assert (first.column, first.cause) == ("tenure", Cause.PIPE)
    assert "was numeric, is text" in first.moved


def test_text_that_became_numbers_fails_in_words() -> None:
    assert "was text, is numeric" in one_column(["1 year"] * 200, [1] * 200).moved


def test_numbers_kept_as_objects_are_still_numbers() -> None:
    finding = one_column(np.arange(200), pd.Series(range(200), dtype=object))

    assert (finding.kind, finding.verdict) == ("numeric", Verdict.PASS)


def test_a_moved_score_fails_as_a_column_of_its_own() -> None:
    scores = np.linspace(0, 1, 1950)

    first = assess(BATCH, reference_scores=scores, current_scores=np.linspace(0.3, 1, 390)).findings[0]

    assert (first.column, first.kind, first.verdict) == ("score", "score", Verdict.FAIL)


def test_a_score_that_did_not_move_is_judged_and_passes() -> None:
    assessment = assess(BATCH, reference_scores=np.linspace(0, 1, 1950), current_scores=np.linspace(0, 1, 390))

    assert assessment.verdict is Verdict.PASS
    assert "score" in {finding.column for finding in assessment.findings}


def test_scores_of_one_side_only_are_refused() -> None:
    with pytest.raises(ValueError, match=r"reference with, current without.*Hand over the scores of both sides"):
        assess(BATCH, reference_scores=np.zeros(1950))


def test_a_batch_that_lacks_reference_columns_is_refused_by_their_names() -> None:
    with pytest.raises(ValueError, match=r"lacks \['contract', 'tenure'\].*Materialize"):
        assess(BATCH.drop(columns=["tenure", "contract"]))


def test_a_column_that_only_the_batch_has_is_not_judged() -> None:
    assert {finding.column for finding in assess(BATCH.assign(extra=1)).findings} == {*REFERENCE, JOINT}


@pytest.mark.parametrize(("rows", "verdict"), [(99, Verdict.UNKNOWN), (100, Verdict.FAIL)])
def test_a_batch_below_the_minimum_is_unknown_however_far_it_moved(rows: int, verdict: Verdict) -> None:
    assessment = assess(BATCH.assign(monthly_charges=1e6).head(rows), min_rows=100)

    assert assessment.verdict is verdict


def test_a_reference_below_the_minimum_is_unknown_in_every_finding() -> None:
    assessment = assess(BATCH, REFERENCE.head(50))

    assert {assessment.verdict, *(finding.verdict for finding in assessment.findings)} == {Verdict.UNKNOWN}


@pytest.mark.parametrize("table", [pd.DataFrame(index=range(500)), REFERENCE.head(0)])
def test_a_reference_without_columns_or_rows_is_unknown(table: pd.DataFrame) -> None:
    assert assess(BATCH, table).verdict is Verdict.UNKNOWN


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "odd",
    [
        [np.nan] * 200,
        [None] * 200,
        [1e308, -1e308, 5.0, 7.0] * 50,
        [np.inf, -np.inf, 1.0, 2.0] * 50,
        [np.inf] * 200,
        [3.0] * 200,
        [5e-324, 0.0, 1.0, 2.0] * 50,
        ["same"] * 200,
        [True, False] * 100,
        [f"key {number}" for number in range(200)],
        list(range(200)),
    ],
    ids=lambda odd: str(odd[:4]),
)
def test_an_odd_column_against_itself_passes_and_against_another_has_an_answer(odd: list[object]) -> None:
    assert one_column(odd, odd).verdict is Verdict.PASS
    for other in ([1.5, 2.5, 3.5, 4.5] * 50, ["x", "y"] * 100):
        assert 0 <= one_column(odd, other).p_value <= 1
        assert 0 <= one_column(other, odd).p_value <= 1


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ([3.0] * 200, [4.0] * 200),
        ([1.0, 2.0, 3.0, 4.0] * 50, [1.0, np.inf, 3.0, 4.0] * 50),
        ([1.0, 2.0, 3.0, 4.0] * 50, [np.nan] * 200),
        (["a", "b"] * 100, [None] * 200),
        (["a", "b"] * 100, ["a", "c"] * 100),
    ],
)
def test_an_odd_column_that_moved_fails(then: list[object], now: list[object]) -> None:
    assert one_column(then, now).verdict is Verdict.FAIL


def test_keys_that_are_new_in_every_row_are_no_news() -> None:
    then, now = ([f"key {number}" for number in numbers] for numbers in (range(1950), range(1950, 2340)))

    finding = one_column(then, now)

    assert finding.verdict is Verdict.PASS
    assert len(finding.new_categories) == 20  # enough to see what they are; the rest is in the batch itself


def test_scores_that_are_all_alike_are_still_judged_as_scores() -> None:
    assessment = assess(BATCH, reference_scores=np.full(1950, 0.3), current_scores=np.full(390, 0.4))

    assert (assessment.findings[0].kind, assessment.findings[0].effect) == ("score", None)


@given(then=tables, now=tables)
@settings(max_examples=25, deadline=None)
def test_every_p_value_is_a_probability(then: pd.DataFrame, now: pd.DataFrame) -> None:
    assessment = assess(now, then)

    assert all(0 <= p <= 1 for p in (assessment.p_value, *(finding.p_value for finding in assessment.findings)))


@given(table=tables)
@settings(max_examples=15, deadline=None)
def test_a_sample_against_itself_never_fails(table: pd.DataFrame) -> None:
    assert assess(table, table).verdict is Verdict.PASS


@given(then=tables, now=tables, seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_the_order_of_rows_and_columns_changes_nothing(then: pd.DataFrame, now: pd.DataFrame, seed: int) -> None:
    shuffled = now.sample(frac=1, random_state=seed)[["kind", "flag", "amount"]]

    assert assess(shuffled, then[["flag", "amount", "kind"]]) == assess(now, then)


@given(then=tables, now=tables)
@settings(max_examples=15, deadline=None)
def test_the_batch_fails_exactly_if_a_column_does(then: pd.DataFrame, now: pd.DataFrame) -> None:
    assessment = assess(now.assign(amount=now.amount + 0.4), then)

    failed = any(finding.verdict is Verdict.FAIL for finding in assessment.findings)
    assert failed == (assessment.verdict is Verdict.FAIL) == (assessment.p_value <= ALPHA)


def test_a_table_of_common_levels_and_fractions_alone_does_not_ring_for_having_no_rare_ones() -> None:
    rng = np.random.default_rng(3)
    deal = pd.DataFrame({"size": rng.normal(size=2100).round(3), "grade": rng.choice(["low", "high"], size=2100)})
    assessed = assess(deal.iloc[1800:].reset_index(drop=True), deal.iloc[:1800])
    assert assessed.verdict is Verdict.PASS, assessed.findings


def test_many_columns_correct_each_other() -> None:
    rng = np.random.default_rng(3)
    then, now = (pd.DataFrame(rng.normal(by, 1, size=(rows, 1))) for by, rows in ((0, 400), (0.3, 200)))
    alone = assess_drift(then, now, alpha=ALPHA)

    copies = [pd.concat([side] * 5, axis=1, keys="abcde") for side in (then, now)]
    together = assess_drift(*(side.droplevel(1, axis=1) for side in copies), alpha=ALPHA)

    (p_alone,), p_together = (
        [one.p_value for one in side.findings if one.column != JOINT] for side in (alone, together)
    )
    assert p_together == pytest.approx([min(1.0, 5 * p_alone)] * 5)


def test_undisturbed_batches_ring_at_most_as_often_as_alpha_allows() -> None:
    alarms = 0
    for seed in range(30):
        rows = np.random.default_rng(seed).permutation(len(CUSTOMERS))
        then, now = CUSTOMERS.iloc[rows[:800]], CUSTOMERS.iloc[rows[800:1200]]
        alarms += assess_drift(then, now, alpha=0.05, permutations=99).verdict is Verdict.FAIL

    # At a rate of .05, seven or more of 30 come once in 3,000 times; a gate without correction rings in most.
    assert alarms <= 6


def test_the_batch_fails_at_alpha_itself_and_passes_just_below() -> None:
    p_value = assess(some("tenure", 0.05, None)).p_value

    assert 0 < p_value < 1
    for alpha, verdict in ((p_value, Verdict.FAIL), (np.nextafter(p_value, 0), Verdict.PASS)):
        assert assess_drift(REFERENCE, some("tenure", 0.05, None), alpha=alpha).verdict is verdict


def test_a_shift_that_no_column_shows_fails_as_a_relation_and_names_the_pair() -> None:
    shuffled = BATCH.assign(tenure=BATCH.tenure.sample(frac=1, random_state=1).to_numpy())

    assessment = assess(shuffled)

    assert (assessment.verdict, assessment.cause) == (Verdict.FAIL, Cause.RELATION)
    assert [one.column for one in assessment.findings if one.verdict is Verdict.FAIL] == [JOINT]
    assert "tenure" in assessment.findings[0].moved
    for alpha, verdict in ((assessment.p_value, Verdict.FAIL), (np.nextafter(assessment.p_value, 0), Verdict.PASS)):
        assert assess_drift(REFERENCE, shuffled, alpha=alpha).verdict is verdict


def test_the_same_seed_gives_the_same_assessment_and_another_moves_only_the_joint_test() -> None:
    once, again, other = (assess(BATCH, seed=seed) for seed in (1, 1, 2))

    assert once == again
    by_column = [{one.column: one for one in side.findings if one.column != JOINT} for side in (once, other)]
    assert by_column[0] == by_column[1]


def test_columns_that_are_segments_are_chosen_by_the_caller() -> None:
    dearer = BATCH.assign(
        monthly_charges=BATCH.monthly_charges.where(
            BATCH.internet_service != "Fiber optic", BATCH.monthly_charges * 1.24
        )
    )
    told = [assess(dearer, segments=names).findings[0].moved for names in (None, ["internet_service"], ["partner"])]

    assert told[0] == told[1]
    assert "most in internet_service=Fiber optic (up 2" in told[0]
    assert "most in" not in told[2]


def test_an_unknown_or_quiet_batch_has_no_cause() -> None:
    for current in (BATCH, BATCH.head(20).assign(monthly_charges=1e6)):
        assert {assess(current).cause, *(one.cause for one in assess(current).findings)} == {Cause.NONE}


def test_a_broken_column_makes_the_whole_batch_a_broken_pipe() -> None:
    both = BATCH.assign(monthly_charges=BATCH.monthly_charges * 1.5, total_charges=BATCH.total_charges * 100)

    assessment = assess(both)

    causes = {one.column: one.cause for one in assessment.findings}
    assert (causes["monthly_charges"], causes["total_charges"]) == (Cause.POPULATION, Cause.PIPE)
    assert assessment.cause is cause_of(findings_table(assessment)) is Cause.PIPE
    assert findings_table(assessment).moved.iloc[0].startswith("pipe: 2 of 19 moved: total_charges")


@pytest.mark.parametrize("current", [BATCH, BATCH.assign(monthly_charges=0.0), BATCH.head(20)])
def test_the_report_keeps_its_contract_and_gives_the_verdict_back(current: pd.DataFrame) -> None:
    assessment = assess(current)

    table = DriftFindings.validate(findings_table(assessment), lazy=True)

    assert verdict_of(table) is assessment.verdict
    assert table.column.tolist() == ["*", *(finding.column for finding in assessment.findings)]


def test_the_report_of_an_empty_table_keeps_its_contract_too() -> None:
    table = findings_table(assess(BATCH, pd.DataFrame(index=range(500))))

    assert verdict_of(DriftFindings.validate(table)) is Verdict.UNKNOWN


def test_the_first_row_of_the_report_says_what_moved() -> None:
    table = findings_table(assess(BATCH.assign(monthly_charges=BATCH.monthly_charges * 1.6)))

    assert table.moved.iloc[0].startswith("population: 1 of 19 moved: monthly_charges up ")


def test_a_report_that_does_not_begin_with_the_batch_is_refused() -> None:
    table = findings_table(assess(BATCH)).iloc[1:]

    with pytest.raises(ValueError, match=r"begins with the row '\*'"):
        verdict_of(table)


def test_with_many_rows_what_moved_by_little_is_no_drift_and_what_moved_by_more_is() -> None:
    rng = np.random.default_rng(3)
    rows = 60_000
    reference = pd.DataFrame({"price": rng.normal(size=rows), "kind": rng.choice(["a", "b"], size=rows)})
    current = pd.DataFrame({"price": rng.normal(size=rows), "kind": rng.choice(["a", "b"], size=rows)})

    little = assess_drift(reference, current.assign(price=current.price + 0.03), alpha=0.005)
    anything = assess_drift(reference, current.assign(price=current.price + 0.03), alpha=0.005, min_effect=0.0)
    more = assess_drift(reference, current.assign(price=current.price + 0.1), alpha=0.005)

    assert [one.verdict for one in (little, anything, more)] == [Verdict.PASS, Verdict.FAIL, Verdict.FAIL]


def test_a_new_level_in_one_row_of_five_hundred_is_news_among_many_rows_and_in_one_of_ten_thousand_is_none() -> None:
    rng = np.random.default_rng(4)
    rows = 40_000
    reference = pd.DataFrame({"kind": rng.choice(["a", "b"], size=rows)})

    def judged(share: float) -> Verdict:
        kind = rng.choice(["a", "b"], size=rows).astype(object)
        kind[: round(share * rows)] = "c"
        return assess_drift(reference, pd.DataFrame({"kind": kind}), alpha=0.005).verdict

    assert (judged(0.002), judged(0.0001)) == (Verdict.FAIL, Verdict.PASS)
