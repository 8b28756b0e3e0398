"""Scores that kept their word pass whoever was scored; a relation that changed fails though no input moved."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandera.errors import SchemaErrors

from mlops_assets.gates.outcome_findings import OutcomeFindings, findings_table, verdict_of
from mlops_assets.gates.outcomes import ALL, NEWEST, POOLED, WHOLE, OutcomeAssessment, assess_outcomes
from mlops_assets.gates.persons import Floats
from mlops_assets.gates.verdict import Verdict

MANY = 2346


def customers(rows: int, seed: int, mean: float = -1.3) -> tuple[Floats, Floats]:
    """Scores, and a number in [0, 1) for each that decides its label."""
    rng = np.random.default_rng(seed)
    return 1 / (1 + np.exp(-rng.normal(mean, 1.6, rows))), rng.random(rows)


def shifted(scores: Floats, by: Floats | float = 0.0, slope: float = 1.0) -> Floats:
    """Chances whose log-odds are `slope` times those of the scores, and `by` more."""
    chances: Floats = 1 / (1 + np.exp(-by - slope * np.log(scores / (1 - scores))))
    return chances


THEN, LOTS = customers(MANY, 1)
LABELS = (LOTS < THEN).astype(float)
NOW, NOW_LOTS = customers(600, 2)
KEPT = (NOW_LOTS < NOW).astype(float)
FLIPPED = (shifted(NOW, slope=0.2, by=-0.9) > NOW_LOTS).astype(float)
SHARES = st.floats(0.001, 0.2)


def assess(scores: Floats, labels: Floats, **knobs: Any) -> OutcomeAssessment:
    return assess_outcomes(THEN, LABELS, scores, labels, **{"alpha": 0.01, **knobs})


def test_scores_that_keep_their_word_pass() -> None:
    assert assess(NOW, KEPT).verdict is Verdict.PASS


def test_a_relation_that_weakened_while_no_input_moved_fails_and_is_named() -> None:
    judged = assess(NOW, FLIPPED)

    assert judged.verdict is Verdict.FAIL
    assert "scores tell less: slope" in judged.moved


def test_more_leavers_than_promised_fail_and_both_shares_are_named() -> None:
    labels = (shifted(NOW, by=0.8) > NOW_LOTS).astype(float)

    judged = assess(NOW, labels)

    assert judged.verdict is Verdict.FAIL
    assert f"more than promised: {labels.mean():.1%} where scores said {NOW.mean():.1%}" in judged.moved


def test_fewer_leavers_than_promised_are_told_as_less() -> None:
    assert "less than promised" in assess(NOW, (shifted(NOW, by=-0.9) > NOW_LOTS).astype(float)).moved


def test_customers_who_moved_under_the_same_relation_pass() -> None:
    scores, lots = customers(2000, 5, mean=0.5)

    assert assess(scores, (lots < scores).astype(float)).verdict is Verdict.PASS


def test_a_champion_that_promised_badly_and_does_so_still_passes() -> None:
    promised = shifted(THEN, by=0.7)

    assert assess_outcomes(promised, LABELS, shifted(NOW, by=0.7), KEPT, alpha=0.01).verdict is Verdict.PASS


def test_quiet_decisions_ring_as_often_as_alpha_says() -> None:
    rings = 0
    for seed in range(400):
        (then, lots), (now, now_lots) = customers(1000, seed), customers(300, seed + 1000)
        rings += assess_outcomes(then, lots < then, now, now_lots < now, alpha=0.05).verdict is Verdict.FAIL

    # Twenty are due; one in a thousand times more than 35 or fewer than 8.
    assert 8 <= rings <= 35


@given(alpha=SHARES)
@settings(max_examples=20, deadline=None)
def test_the_verdict_is_fail_exactly_up_to_alpha(alpha: float) -> None:
    p_value = assess(NOW, FLIPPED if alpha < 0.05 else KEPT).p_value
    assert p_value is not None

    at, below = (
        assess(NOW, FLIPPED if alpha < 0.05 else KEPT, alpha=limit).verdict
        for limit in (p_value, np.nextafter(p_value, 0))
    )

    assert (at, below) == (Verdict.FAIL, Verdict.PASS)


@given(seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_the_order_of_the_rows_changes_nothing(seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(NOW))

    assert assess(NOW[order], FLIPPED[order]).p_value == pytest.approx(assess(NOW, FLIPPED).p_value, rel=1e-6)


@given(scale=st.floats(1e-3, 1e3))
@settings(max_examples=10, deadline=None)
def test_only_the_ratios_of_weights_matter(scale: float) -> None:
    weights = np.random.default_rng(3).uniform(1, 10, len(NOW))

    plain, scaled = (assess(NOW, KEPT, weights=w) for w in (weights, weights * scale))

    assert scaled.p_value == pytest.approx(plain.p_value)


def test_rows_without_weight_are_left_out_whatever_they_hold() -> None:
    out = np.arange(len(NOW)) % 5 == 0

    judged = assess(np.where(out, np.nan, NOW), KEPT, weights=np.where(out, 0.0, 1.0))

    assert judged.p_value == assess(NOW[~out], KEPT[~out]).p_value


def test_weights_undo_offers_that_worked() -> None:
    scores, lots = customers(4000, 8)
    passed = scores > 1 / 3
    control = passed & (np.random.default_rng(4).random(len(scores)) < 0.1)
    labels = np.where(passed & ~control, 0.0, lots < scores)

    weights = np.select([control, passed], [10.0, 0.0], 1.0)

    assert assess(scores, labels).verdict is Verdict.FAIL
    assert assess(scores, labels, weights=weights).verdict is Verdict.PASS


def test_a_few_heavy_rows_ring_no_more_often_than_many_light_ones() -> None:
    rings = 0
    for seed in range(200):
        (then, lots), (now, now_lots) = customers(MANY, seed), customers(1200, seed + 1000)
        chance = np.random.default_rng(seed + 2000)
        cut, known = (pd.DataFrame({"half": chance.random(len(rows)) < 0.5}) for rows in (now, then))
        # One in twenty of those who would get an offer gets none, and stands for the twenty.
        weights = np.where(now > 1 / 3, 20.0 * (chance.random(len(now)) < 0.05), 1.0)
        judged = assess_outcomes(
            then,
            lots < then,
            now,
            now_lots < now,
            alpha=0.01,
            weights=weights,
            segments=cut,
            reference_segments=known,
            batches=np.repeat(["2024-07", "2024-08", "2024-09"], 400),
        )
        rings += judged.verdict is Verdict.FAIL

    # Two are due, and 35 ring where all rows count alike.
    assert rings <= 8


def test_rows_that_stand_for_many_are_counted_for_what_they_tell() -> None:
    weights = np.where(NOW > 1 / 3, np.where(NOW_LOTS < 0.1, 10.0, 0.0), 1.0)
    used = weights[weights > 0]
    alike = used.sum() ** 2 / (used**2).sum()
    assert alike < len(used) / 2

    judged = assess(NOW, KEPT, weights=weights, min_rows=int(alike) + 1)

    assert judged.verdict is Verdict.UNKNOWN
    assert f"{len(used)} rows that tell as much as {alike:.0f}" in judged.moved


# ------------------------------------------------------------------------------------------------ who cannot be told


@pytest.mark.parametrize(("rows", "verdict"), [(299, Verdict.UNKNOWN), (300, Verdict.FAIL)])
def test_fewer_rows_than_asked_for_are_unknown(rows: int, verdict: Verdict) -> None:
    labels = (shifted(NOW, by=1.5) > NOW_LOTS).astype(float)

    assert assess(NOW[:rows], labels[:rows], min_rows=300).verdict is verdict


@pytest.mark.parametrize(("leavers", "is_told"), [(19, False), (20, True)])
def test_fewer_than_twenty_of_a_label_are_unknown(leavers: int, is_told: bool) -> None:  # noqa: FBT001
    labels = np.zeros(len(NOW))
    labels[np.argsort(NOW)[::-1][np.arange(leavers) * 3]] = 1

    assert (assess(NOW, labels).p_value is not None) == is_told


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_one_label_only_is_unknown(label: float) -> None:
    judged = assess(NOW, np.full(len(NOW), label))

    assert (judged.verdict, judged.p_value) == (Verdict.UNKNOWN, None)


@pytest.mark.parametrize("bad", [np.nan, -0.1, 1.1, np.inf])
def test_a_score_that_is_missing_or_no_probability_is_unknown(bad: float) -> None:
    judged = assess(np.where(np.arange(len(NOW)) == 7, bad, NOW), FLIPPED)

    assert judged.verdict is Verdict.UNKNOWN
    assert "1 of 600 scores" in judged.moved


def test_one_score_for_everybody_is_unknown() -> None:
    assert assess(np.full(len(NOW), 0.3), KEPT).verdict is Verdict.UNKNOWN


def test_a_reference_of_few_rows_is_unknown() -> None:
    assert assess_outcomes(THEN[:99], LABELS[:99], NOW, FLIPPED, alpha=0.01).verdict is Verdict.UNKNOWN


def test_scores_of_other_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        assess(NOW, KEPT[1:])


def test_segments_of_one_side_only_are_refused() -> None:
    with pytest.raises(ValueError, match=r"reference is cut by \[\], current by \['segment'\]"):
        assess(NOW, KEPT, segments=np.arange(len(NOW)) % 2)


# --------------------------------------------------------------------------------------------------- months, segments

PATIENCE, PATIENCE_LOTS = customers(1200, 6)
MONTHS = np.repeat(["2024-07", "2024-08", "2024-09"], 400)


def test_a_small_change_that_no_month_shows_is_found_in_three() -> None:
    labels = (shifted(PATIENCE, by=0.35) > PATIENCE_LOTS).astype(float)

    judged = assess(PATIENCE, labels, batches=np.tile(["2024-07", "2024-08", "2024-09"], 400))

    failed = {finding.window for finding in judged.findings if finding.verdict is Verdict.FAIL}
    assert failed == {POOLED}
    assert judged.verdict is Verdict.FAIL


def test_the_newest_month_is_the_greatest_name_wherever_it_stands() -> None:
    order = np.random.default_rng(0).permutation(len(MONTHS))
    labels = (PATIENCE_LOTS < PATIENCE).astype(float)

    judged = assess(PATIENCE[order], labels[order], batches=MONTHS[order])

    assert judged.now is not None
    assert judged.now.observed == pytest.approx(labels[MONTHS == "2024-09"].mean())


def test_one_month_alone_has_all_of_alpha_and_two_windows_half_each() -> None:
    alone = assess(NOW, KEPT).p_value
    older, lots = customers(600, 9)
    both = assess(
        np.concatenate([older, NOW]),
        np.concatenate([lots < older, KEPT]),
        batches=np.repeat(["2024-07", "2024-08"], 600),
    )

    newest = next(finding for finding in both.findings if finding.window == NEWEST)
    assert alone is not None
    assert newest.p_value == pytest.approx(min(1, 2 * alone))


def test_a_month_of_few_rows_is_judged_with_those_before_it() -> None:
    months = np.where(np.arange(1200) < 1150, "2024-07", "2024-08")

    judged = assess(PATIENCE, (PATIENCE_LOTS < PATIENCE).astype(float), batches=months)

    told = {finding.window: finding.verdict for finding in judged.findings}
    assert told == {NEWEST: Verdict.UNKNOWN, POOLED: Verdict.PASS}
    assert judged.verdict is Verdict.PASS


@pytest.mark.parametrize(("months", "verdict"), [(["2024-09"], Verdict.UNKNOWN), (MONTHS, Verdict.FAIL)])
def test_a_month_of_one_label_tells_nothing_alone_and_something_with_those_before_it(
    months: npt.ArrayLike, verdict: Verdict
) -> None:
    is_in = np.isin(MONTHS, months)
    labels = np.where(MONTHS == "2024-09", 0.0, PATIENCE_LOTS < PATIENCE)[is_in]

    judged = assess(PATIENCE[is_in], labels, batches=MONTHS[is_in])

    told = {finding.window: finding.verdict for finding in judged.findings}
    assert told[NEWEST] is Verdict.UNKNOWN
    assert judged.verdict is verdict


def test_a_rare_month_of_one_label_passes_where_all_months_together_keep_their_word() -> None:
    scores = shifted(PATIENCE, by=-1.5)
    leaves = scores > PATIENCE_LOTS
    # Those who left in the newest month are the same ones, only of the month before.
    order = np.argsort(leaves[MONTHS >= "2024-08"] * -1, kind="stable") + 400
    rows = np.concatenate([np.arange(400), order])

    judged = assess(scores[rows], leaves[rows].astype(float), batches=MONTHS)

    told = {finding.window: finding.verdict for finding in judged.findings}
    assert told == {NEWEST: Verdict.UNKNOWN, POOLED: Verdict.PASS}
    assert judged.verdict is Verdict.PASS


def halves(rows: int) -> npt.NDArray[np.str_]:
    return np.where(np.arange(rows) % 2 == 0, "a", "b")


def test_a_model_that_became_unfair_to_one_and_too_kind_to_the_other_fails_by_segment_alone() -> None:
    up = np.where(np.arange(1200) % 2 == 0, 0.8, -1.0)
    labels = (shifted(PATIENCE, by=up) > PATIENCE_LOTS).astype(float)
    cut = {"segments": halves(1200), "reference_segments": halves(MANY)}

    assert assess(PATIENCE, labels).verdict is Verdict.PASS
    judged = assess(PATIENCE, labels, **cut)

    failed = {finding.subject for finding in judged.findings if finding.verdict is Verdict.FAIL}
    assert failed == {"segment=a", "segment=b"}
    assert judged.moved.startswith("segment=")


def test_all_tests_together_spend_no_more_than_alpha() -> None:
    cut = {"segments": halves(1200), "reference_segments": halves(MANY)}
    labels = (PATIENCE_LOTS < PATIENCE).astype(float)
    plain = {
        (window, subject): assess(PATIENCE[rows], labels[rows]).p_value or 1.0
        for window, months in ((NEWEST, MONTHS == "2024-09"), (POOLED, MONTHS > ""))
        for subject, rows in ((WHOLE, months), ("segment=a", months & (halves(1200) == "a")))
    }

    judged = assess(PATIENCE, labels, batches=MONTHS, **cut)

    corrected = {(f.window, f.subject): f.p_value for f in judged.findings}
    assert corrected[NEWEST, WHOLE] == pytest.approx(min(1, plain[NEWEST, WHOLE] / 0.7 * 2))
    assert corrected[POOLED, WHOLE] == pytest.approx(min(1, plain[POOLED, WHOLE] / 0.7 * 2))
    assert judged.p_value == min(p for p in corrected.values() if p is not None)


def test_a_segment_new_to_the_champion_is_told_and_stops_nothing() -> None:
    levels = np.where(np.arange(len(NOW)) % 2 == 0, "new", "old")

    judged = assess(NOW, KEPT, segments=levels, reference_segments=np.full(MANY, "old"))

    told = {finding.subject: finding for finding in judged.findings}
    assert told["segment=new"].verdict is Verdict.UNKNOWN
    assert "then: " in told["segment=new"].moved
    assert judged.verdict is Verdict.PASS


# ---------------------------------------------------------------------------------------------------- as it is written


@pytest.mark.parametrize("labels", [KEPT, FLIPPED, np.zeros(len(NOW))], ids=["kept", "flipped", "one label"])
@pytest.mark.parametrize("cut", [{}, {"segments": halves(600), "reference_segments": halves(MANY)}])
def test_the_findings_keep_their_contract_and_tell_the_verdict(labels: Floats, cut: dict[str, Any]) -> None:
    judged = assess(NOW, labels, batches=np.repeat(["2024-07", "2024-08"], 300), **cut)

    table = OutcomeFindings.validate(findings_table(judged), lazy=True)

    assert verdict_of(table) is judged.verdict
    assert len(table) == 1 + len(judged.findings)


def test_the_first_row_has_the_figures_of_the_newest_month() -> None:
    first = findings_table(assess(NOW, KEPT)).iloc[0]

    assert (first.window, first.subject, first.rows_then, first.rows_now) == (ALL, ALL, MANY, len(NOW))
    assert first.observed_now == pytest.approx(KEPT.mean())


def test_a_table_without_its_assessment_has_no_verdict() -> None:
    with pytest.raises(ValueError, match=r"begins with the row '\*'"):
        verdict_of(findings_table(assess(NOW, KEPT)).iloc[1:])


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"verdict": "PASS"}, "one_finding_that_fails_decides"),
        ({"auc_now_lower": 1.0}, "bounds_hold_the_value"),
        ({"subject": "all"}, "assessment_comes_first_and_once"),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(change: dict[str, Any], rule: str) -> None:
    table = findings_table(assess(NOW, FLIPPED))
    for column, value in change.items():
        table.loc[0, column] = value

    with pytest.raises(SchemaErrors, match=rule):
        OutcomeFindings.validate(table, lazy=True)


def test_a_table_is_typed_whatever_it_holds() -> None:
    told, untold = (findings_table(assess(NOW, labels)).dtypes for labels in (KEPT, np.zeros(len(NOW))))

    pd.testing.assert_series_equal(told, untold)


def test_with_many_rows_a_difference_that_costs_next_to_nothing_is_no_broken_promise() -> None:
    rng = np.random.default_rng(5)
    rows = 200_000
    odds = rng.normal(-1, 1.5, size=(2, rows))
    scores = 1 / (1 + np.exp(-odds))
    then, now = (
        (rng.random(rows) < 1 / (1 + np.exp(-side - shift))).astype(float)
        for side, shift in zip(odds, (0, 0.03), strict=True)
    )

    def verdict(min_effect: float) -> Verdict:
        return assess_outcomes(scores[0], then, scores[1], now, alpha=0.004, min_effect=min_effect).verdict

    assert (verdict(0.002), verdict(0.0)) == (Verdict.PASS, Verdict.FAIL)
