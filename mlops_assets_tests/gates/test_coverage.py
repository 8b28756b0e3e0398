"""Outcomes of a part chosen by chance are evidence whatever its size; those of a selected part are not."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandera.errors import SchemaErrors

from mlops_assets.gates.coverage import (
    LABELS,
    SPREAD,
    CoverageAssessment,
    EarlierBatch,
    assess_coverage,
    expected_rate,
)
from mlops_assets.gates.coverage_findings import CoverageFindings, findings_table, verdict_of
from mlops_assets.gates.verdict import Verdict

ROWS = 400
RNG = np.random.default_rng(5)
INPUTS = pd.DataFrame(
    {
        "months": RNG.integers(0, 72, ROWS).astype(float),
        "price": RNG.normal(60, 20, ROWS).round(2),
        "contract": RNG.choice(["month", "year"], ROWS).astype(object),
    }
)
CHANCES = np.where(INPUTS.contract.eq("month"), 0.4, 0.1) + RNG.uniform(-0.05, 0.05, ROWS)
LEFT = (RNG.random(ROWS) < CHANCES).astype(float)
"""Whether each row has label 1; the inputs tell something of it."""
BLIND = RNG.permutation(LEFT)
"""The same labels, of which neither inputs nor scores tell anything."""
BEFORE = [EarlierBatch(1.0, rate, ROWS) for rate in (0.24, 0.26, 0.25)]
LOTS = RNG.random(ROWS)
KNOBS: dict[str, Any] = {"alpha": 0.01, "max_missing": 0.05, "min_rows": 20}


def assess(covered: npt.ArrayLike, labels: npt.NDArray[np.float64] = LEFT, **knobs: Any) -> CoverageAssessment:
    """The batch of which these rows have an outcome, after three whole ones."""
    known = np.where(covered, labels, np.nan)
    return assess_coverage(INPUTS, covered, labels=known, **{"earlier": BEFORE, "scores": CHANCES, **KNOBS, **knobs})


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6, 0.9, 1.0])
@pytest.mark.parametrize("knobs", [{}, {"scores": None}, {"earlier": ()}, {"scores": None, "earlier": ()}])
def test_a_part_chosen_by_chance_is_evidence(share: float, knobs: dict[str, Any]) -> None:
    told = assess(share > LOTS, **knobs)
    assert (told.verdict, told.covered) == (Verdict.PASS, int((share > LOTS).sum()))
    assert told.reason.startswith(f"{told.covered} of {ROWS} customers have an outcome")


SELECTED = {
    "those who left": LEFT == 1,
    "those who left, and a few": (LEFT == 1) | (LOTS < 0.06),
    "those who left, and a fifth of the others": (LEFT == 1) | (LOTS < 0.2),
    "one contract": INPUTS.contract.eq("month").to_numpy(),
    "the dear": (INPUTS.price > 60).to_numpy(),
    "low scores": np.median(CHANCES) > CHANCES,
}


@pytest.mark.parametrize("covered", SELECTED.values(), ids=SELECTED)
def test_a_selected_part_is_no_evidence(covered: npt.NDArray[np.bool_]) -> None:
    assert assess(covered).verdict is Verdict.UNKNOWN


def test_the_reason_counts_and_says_how_those_with_an_outcome_differ() -> None:
    told = assess(LEFT == 1)
    assert told.score_covered is not None
    assert told.score_others is not None
    assert f"{int(LEFT.sum())} of {ROWS} customers have an outcome" in told.reason
    assert f"those who do score {told.score_covered:.2f} on average, the others {told.score_others:.2f}" in told.reason
    assert "contract share of 'month'" in told.reason
    assert "all of them have label 1, where " in told.reason


def test_a_selection_by_label_that_no_column_tells_is_seen_in_the_rate_once_coverage_has_changed() -> None:
    covered = (BLIND == 1) | (LOTS < 0.2)
    told = assess(covered, BLIND, scores=np.full(ROWS, 0.25))
    assert [finding.subject for finding in told.findings if finding.verdict is Verdict.UNKNOWN] == [LABELS]
    assert told.usual == 1.0
    assert told.expected == pytest.approx(0.25, abs=0.01)


def test_with_the_coverage_of_always_another_rate_is_for_the_outcome_gate() -> None:
    covered = (BLIND == 1) | (LOTS < 0.2)
    usual = [EarlierBatch(float(covered.mean()), 0.25, 150)] * 3
    assert assess(covered, BLIND, scores=np.full(ROWS, 0.25), earlier=usual).verdict is Verdict.PASS


def test_a_rate_that_either_the_scores_or_earlier_batches_lead_to_expect_is_no_selection() -> None:
    covered = (BLIND == 1) | (LOTS < 0.2)
    rate = float(BLIND[covered].mean())
    others = [EarlierBatch(1.0, rate, ROWS)] * 3
    assert assess(covered, BLIND, scores=np.full(ROWS, rate)).verdict is Verdict.PASS
    assert assess(covered, BLIND, scores=np.full(ROWS, 0.25), earlier=others).verdict is Verdict.PASS


def test_up_to_max_missing_nothing_is_compared_however_the_missing_rows_were_chosen() -> None:
    highest = np.argsort(CHANCES)[-20:]
    covered = ~np.isin(np.arange(ROWS), highest)
    assert (assess(covered).verdict, assess(covered).findings) == (Verdict.PASS, ())
    covered[np.argsort(CHANCES)[-21]] = False
    assert assess(covered).verdict is Verdict.UNKNOWN


def test_what_is_said_of_whole_outcomes_depends_on_no_score_and_no_earlier_batch() -> None:
    whole = np.ones(ROWS, dtype=bool)
    alone = findings_table(assess(whole, scores=None, earlier=BEFORE))
    pd.testing.assert_frame_equal(findings_table(assess(whole)), alone)


def test_too_few_rows_with_an_outcome_cannot_stand_for_the_others() -> None:
    some = np.flatnonzero(np.sort(LOTS)[20] > LOTS)
    assert assess(np.isin(np.arange(ROWS), some)).verdict is Verdict.PASS
    told = assess(np.isin(np.arange(ROWS), some[:19]))
    assert told.verdict is Verdict.UNKNOWN
    assert "20 are needed to see whether they stand for all" in told.reason


# ------------------------------------------------------------------------------------------------------- one label only


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_one_label_only_is_no_evidence_though_every_row_has_an_outcome(label: float) -> None:
    told = assess(np.ones(ROWS, dtype=bool), np.full(ROWS, label))
    assert told.verdict is Verdict.UNKNOWN
    assert f"all of them have label {label:.0f}" in told.reason


def test_one_label_only_is_no_evidence_where_nothing_earlier_excuses_it_whatever_the_scores_say() -> None:
    told = assess(np.ones(ROWS, dtype=bool), np.zeros(ROWS), earlier=(), scores=np.full(ROWS, 1e-6))
    assert told.verdict is Verdict.UNKNOWN
    assert "no earlier batch says what was to be expected" in told.reason


@pytest.mark.parametrize(("rate", "verdict"), [(0.005, Verdict.PASS), (0.03, Verdict.UNKNOWN)])
def test_where_a_label_is_rare_none_of_it_among_few_rows_was_to_be_expected(rate: float, verdict: Verdict) -> None:
    rare = [EarlierBatch(1.0, rate, 2000)] * 3
    assert assess(np.ones(ROWS, dtype=bool), np.zeros(ROWS), earlier=rare).verdict is verdict


def test_rows_that_weigh_nothing_are_covered_and_teach_nothing() -> None:
    offered = LOTS < 0.5
    told = assess_coverage(
        INPUTS,
        np.ones(ROWS, dtype=bool),
        labels=np.where(offered, np.nan, LEFT),
        weights=np.where(offered, 0.0, 1.0),
        earlier=BEFORE,
        **KNOBS,
    )
    assert (told.verdict, told.covered) == (Verdict.PASS, ROWS)
    assert told.observed == pytest.approx(LEFT[~offered].mean())
    nobody = assess_coverage(INPUTS, np.ones(ROWS, dtype=bool), labels=np.full(ROWS, np.nan), **KNOBS)
    assert (nobody.verdict, nobody.observed) == (Verdict.UNKNOWN, None)
    assert "none of them can be learned from" in nobody.reason


def test_few_rows_that_stand_for_many_say_as_little_as_few() -> None:
    covered = LOTS < 0.3
    labels, weights = np.zeros(ROWS), np.ones(ROWS)
    labels[np.flatnonzero(covered)[:3]], weights[np.flatnonzero(covered)[:3]] = 1.0, 40.0
    told = assess(covered, labels, weights=weights, scores=None)
    assert told.observed == pytest.approx(120 / (covered.sum() + 117))
    assert told.verdict is Verdict.PASS


# ---------------------------------------------------------------------------------------------------------------- laws


@settings(max_examples=25)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 100_000)), min_size=1, max_size=8))
def test_what_is_to_be_expected_is_never_certain(earlier: list[tuple[float, int]]) -> None:
    mean, spread = expected_rate([EarlierBatch(1.0, rate, rows) for rate, rows in earlier])
    assert 0 < mean < 1
    assert SPREAD <= spread < np.inf


@settings(max_examples=25)
@given(st.integers(1, 200), st.integers(0, 200), st.floats(0.001, 0.999))
def test_a_whole_batch_fails_only_for_a_label_that_is_missing(rows: int, ones: int, rate: float) -> None:
    labels = (np.arange(rows) < ones).astype(float)
    earlier = [EarlierBatch(1.0, rate, 1000)]
    told = assess_coverage(INPUTS[:rows], np.ones(rows, dtype=bool), labels=labels, earlier=earlier, **KNOBS)
    assert told.verdict is Verdict.PASS or told.observed in {0.0, 1.0}
    assert CoverageFindings.validate(findings_table(told)) is not None


@settings(max_examples=10)
@given(st.permutations(range(60)))
def test_the_order_of_the_rows_does_not_matter_to_counts_and_labels(order: list[int]) -> None:
    covered = LOTS[:60] < 0.5
    known = np.where(covered, LEFT[:60], np.nan)
    straight = assess_coverage(INPUTS[:60], covered, labels=known, **KNOBS)
    turned = assess_coverage(INPUTS[:60].iloc[order], covered[order], labels=known[order], **KNOBS)
    assert (turned.verdict, turned.covered) == (straight.verdict, straight.covered)
    assert turned.observed == pytest.approx(straight.observed)


def test_a_random_part_rings_no_more_often_than_alpha_says() -> None:
    rng = np.random.default_rng(11)
    rang = 0
    for _ in range(60):
        rows = rng.choice(ROWS, 150, replace=False)
        covered = rng.random(150) < 0.4
        labels = np.where(covered, LEFT[rows], np.nan)
        told = assess_coverage(
            INPUTS.iloc[rows], covered, labels=labels, scores=CHANCES[rows], earlier=BEFORE, **{**KNOBS, "alpha": 0.1}
        )
        rang += told.verdict is Verdict.UNKNOWN
    assert rang <= 12  # 6 at most are to be expected; 13 or more in 1 % of such runs


def test_shapes_that_differ_are_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="the batch has 400 rows"):
        assess_coverage(INPUTS, np.ones(3, dtype=bool), labels=LEFT, **KNOBS)


# --------------------------------------------------------------------------------------------------------------- table


def test_the_table_begins_with_the_batch_and_gives_its_verdict_back() -> None:
    told = assess(LEFT == 1)
    table = CoverageFindings.validate(findings_table(told), lazy=True)
    assert verdict_of(table) is Verdict.UNKNOWN
    first = table.iloc[0]
    assert (first.subject, first.moved, first.rows, first.covered) == ("*", told.reason, ROWS, LEFT.sum())
    assert len(table) == 1 + len(told.findings)


def test_a_batch_that_passes_though_a_finding_does_not_breaks_the_contract() -> None:
    table = findings_table(assess(LEFT == 1))
    table.loc[0, "verdict"] = "PASS"
    with pytest.raises(SchemaErrors, match="a_finding_that_cannot_tell_decides"):
        CoverageFindings.validate(table, lazy=True)


def test_another_table_is_no_coverage_report() -> None:
    with pytest.raises(ValueError, match="a coverage report begins with"):
        verdict_of(findings_table(assess(LEFT == 1)).iloc[1:])
