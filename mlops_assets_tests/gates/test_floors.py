"""A model that breaks a floor never scores, and what cannot be told never passes."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.gates.floors import FloorsJudgement, floors_findings, judge_floors
from mlops_assets.gates.requirements import PromotionFindings
from mlops_assets.gates.verdict import Verdict

LIMITS = {"min_gain_over_prevalence": 0.05, "max_calibration_error": 0.06, "max_loss_behind_baseline": 0.005}
RNG = np.random.default_rng(23)
TRUTH = 1 / (1 + np.exp(-RNG.normal(-1, 1.7, 1200)))
LABELS = (RNG.random(1200) < TRUTH).astype(float)


def judge(scores: Any = TRUTH, labels: Any = LABELS, baseline: Any = TRUTH, **more: Any) -> FloorsJudgement:  # noqa: ANN401
    return judge_floors(labels, scores, baseline, **{"described": True, "reproducible": True, **LIMITS, **more})


def broken(judgement: FloorsJudgement) -> set[str]:
    return {floor.subject for floor in judgement.floors if not floor.holds}


def logit_shifted(by: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    return 1 / (1 + np.exp(-(np.log(TRUTH / (1 - TRUTH)) + by)))


def test_a_model_that_knows_the_truth_keeps_every_floor() -> None:
    assert judge().verdict is Verdict.PASS


def test_a_model_that_only_knows_the_prevalence_is_no_gain() -> None:
    judgement = judge(np.full(1200, LABELS.mean()), baseline=np.full(1200, LABELS.mean()))

    assert (judgement.verdict, broken(judgement)) == (Verdict.FAIL, {"gain_over_prevalence"})


def test_the_gain_over_prevalence_must_be_sure_and_not_only_measured() -> None:
    gain = judge().floors[0]
    assert gain.value is not None
    assert gain.lower is not None

    between = judge(min_gain_over_prevalence=(gain.value + gain.lower) / 2)

    assert broken(between) == {"gain_over_prevalence"}


def test_a_limit_that_is_just_reached_holds() -> None:
    figures = {floor.subject: floor for floor in judge(baseline=logit_shifted(0.3)).floors}

    judgement = judge(
        baseline=logit_shifted(0.3),
        min_gain_over_prevalence=figures["gain_over_prevalence"].lower,
        max_calibration_error=figures["calibration_error"].value,
        max_loss_behind_baseline=figures["loss_behind_baseline"].value,
    )

    assert judgement.verdict is Verdict.PASS


def test_scores_that_overstate_everyone_break_calibration() -> None:
    assert "calibration_error" in broken(judge(logit_shifted(1.0), baseline=logit_shifted(1.0)))


def test_a_model_behind_the_baseline_fails_by_that_alone() -> None:
    noisy = np.clip(TRUTH + np.random.default_rng(1).normal(0, 0.1, 1200), 0.02, 0.98)

    assert broken(judge(noisy, max_calibration_error=1.0)) == {"loss_behind_baseline"}


def test_a_model_that_is_surely_behind_by_just_what_is_allowed_holds() -> None:
    noisy = np.clip(TRUTH + np.random.default_rng(1).normal(0, 0.1, 1200), 0.02, 0.98)
    (behind,) = (one for one in judge(noisy).floors if one.subject == "loss_behind_baseline")
    assert behind.value is not None
    assert (behind.lower or 0) > 0

    for allowed, expected in ((behind.value, set()), (np.nextafter(behind.value, 0), {"loss_behind_baseline"})):
        assert broken(judge(noisy, max_calibration_error=1.0, max_loss_behind_baseline=allowed)) == expected


@pytest.mark.parametrize("flag", ["described", "reproducible"])
def test_a_model_that_nobody_described_or_can_repeat_fails_by_that_alone(flag: str) -> None:
    judgement = judge(**{flag: False})

    assert (judgement.verdict, broken(judgement)) == (Verdict.FAIL, {flag})


@given(position=st.integers(0, 1199), where=st.sampled_from(["scores", "labels", "baseline", "weights"]))
@settings(max_examples=20, deadline=None)
def test_a_missing_value_anywhere_is_unknown(position: int, where: str) -> None:
    values = {"scores": TRUTH, "labels": LABELS, "baseline": TRUTH, "weights": np.ones(1200)}
    values[where] = np.where(np.arange(1200) == position, np.nan, values[where])

    assert judge(**values).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_one_class_is_unknown(label: float) -> None:
    assert judge(labels=np.full(1200, label)).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(("rows", "verdict"), [(299, Verdict.UNKNOWN), (300, Verdict.PASS)])
def test_fewer_rows_than_asked_for_are_unknown(rows: int, verdict: Verdict) -> None:
    few = slice(None, rows)

    assert judge(TRUTH[few], LABELS[few], TRUTH[few], max_calibration_error=0.2, min_rows=300).verdict is verdict


def test_a_row_without_weight_is_no_row() -> None:
    weights = np.where(np.arange(1200) < 200, 1.0, 0.0)

    assert judge(weights=weights).verdict is Verdict.UNKNOWN


def test_what_is_known_of_an_unknown_model_is_still_told() -> None:
    assert broken(judge(np.full(1200, np.nan), described=False)) == {"described"}


@given(scale=st.floats(1e-6, 1e6))
@settings(max_examples=20, deadline=None)
def test_only_the_ratios_of_weights_matter(scale: float) -> None:
    weights = np.random.default_rng(2).uniform(1, 9, 1200)

    plain, scaled = (judge(weights=w) for w in (weights, weights * scale))

    figures = [[floor.value for floor in judgement.floors] for judgement in (plain, scaled)]
    assert figures[0] == pytest.approx(figures[1])


def test_a_row_weighted_twice_counts_like_two_rows() -> None:
    weights = np.random.default_rng(4).integers(1, 3, 1200)

    weighted = judge(weights=weights)
    repeated = judge(*(np.repeat(values, weights) for values in (TRUTH, LABELS, TRUTH)))

    # The calibration error may differ a little: rows of one bin edge fall together.
    assert weighted.floors[0].value == pytest.approx(repeated.floors[0].value)
    assert weighted.floors[1].value == pytest.approx(repeated.floors[1].value, abs=0.01)


@pytest.mark.parametrize("change", [{}, {"described": False}, {"scores": np.full(1200, np.nan)}])
def test_the_findings_keep_their_contract_and_tell_the_verdict(change: dict[str, Any]) -> None:
    judgement = judge(**change)

    table = PromotionFindings.validate(floors_findings("all_history", judgement), lazy=True)

    assert set(table.verdict) == {str(judgement.verdict)}
    assert table.subject.tolist() == ["*", *(floor.subject for floor in judgement.floors)]


def test_a_judgement_cannot_be_changed_by_who_reads_it() -> None:
    with pytest.raises(AttributeError):
        judge().verdict = Verdict.FAIL  # type: ignore[misc]
    assert replace(judge(), verdict=Verdict.FAIL).verdict is Verdict.FAIL
