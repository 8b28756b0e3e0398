"""What a person is told: only where it is true, with what to do next, and under a name that is the incident's own."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.gates.alarms import (
    Alert,
    Kind,
    SensorState,
    approval_waiting,
    broken_pipe,
    called,
    change_accepted,
    decided,
    failed_run,
    months,
    no_champion,
    no_evidence,
    outage,
    outcomes_overdue,
    quarantine_near,
    sensor_stopped,
    snapshot_overdue,
    undecided,
)
from mlops_assets.gates.attempts import Withheld
from mlops_assets.gates.verdict import Verdict

HEALTHY = SensorState("landing", True, 0, "", "", "tick 9", 20.0)  # noqa: FBT003


def rings(state: SensorState) -> Alert | None:
    """What is told of a sensor that may fail twice and be silent for ten minutes."""
    return sensor_stopped(state, failures=3, silent_seconds=600.0)


def told(*alerts: Alert | None) -> list[Alert]:
    """The alerts; each must be one."""
    assert None not in alerts
    return [alert for alert in alerts if alert]


def test_every_alert_says_what_happened_and_what_to_do_next() -> None:
    every = told(
        failed_run("0123456789", "score", "2024-07", "boom"),
        failed_run("0123456789", "retrain", None, "boom"),
        undecided("drift", "2024-07", Verdict.UNKNOWN, "90 rows"),
        broken_pipe("2024-07", "digest", "total_charges in cents"),
        called("breaker:key", "3 in a row"),
        called("attempts:key", "3 failed"),
        no_evidence(Withheld("2024-07", "digest", "126 of 391 customers have an outcome")),
        no_evidence(Withheld("2024-07", "digest", "judged when they were others", is_stale=True)),
        outage("promotion", "2024-07", "the registry cannot be asked"),
        approval_waiting("4", "gain .03", "2024-07"),
        decided(Verdict.PASS, "run", "gain .03", 4),
        decided(Verdict.FAIL, "run", "no gain", 4),
        snapshot_overdue(["2024-01"], expected="2024-03", allowed=0),
        outcomes_overdue(["2024-01", "2024-02"], [], allowed=1),
        quarantine_near("validated_customers", "2024-07", quarantined=5, rows=100, limit=0.05),
        rings(replace(HEALTHY, is_on=False)),
        rings(replace(HEALTHY, failures=3, since="tick 4", error="KeyError")),
        rings(replace(HEALTHY, silent_seconds=601.0)),
    )
    assert {alert.kind for alert in every} == set(Kind)
    assert len({alert.title for alert in every}) == len(every)
    for alert in every:
        assert len(alert.next_step) > 10
        assert alert.body


def test_outcomes_that_are_no_evidence_are_known_by_their_bytes_and_both_ways_out_are_named() -> None:
    alert = no_evidence(Withheld("2024-07", "digest", "126 of 391 customers have an outcome"))
    assert (alert.kind, alert.cause) == (Kind.COVERAGE, "coverage:2024-07:digest")
    assert "mlops land FILE --batch 2024-07" in alert.next_step
    assert "mlops accept 2024-07 --reason TEXT" in alert.next_step


def test_a_failed_run_is_known_by_its_id_and_names_job_and_batch() -> None:
    alert = failed_run("0123456789", "score", "2024-07", "boom")
    assert (alert.cause, alert.title, alert.body) == ("run:0123456789", "score of 2024-07 failed", "boom")
    assert "run score of 2024-07 again" in alert.next_step
    assert "run retrain again" in failed_run("0123456789", "retrain", None, "boom").next_step


@pytest.mark.parametrize("verdict", [Verdict.PASS, Verdict.FAIL])
def test_a_gate_that_can_tell_is_no_alert_of_its_own(verdict: Verdict) -> None:
    assert undecided("drift", "2024-07", verdict, "") is None


def test_a_gate_that_cannot_tell_is_told_once_for_each_gate_and_batch() -> None:
    causes = {
        alert.cause
        for gate in ("drift", "outcomes")
        for batch in ("2024-07", "2024-08")
        for why in ("90 rows", "91 rows")
        for alert in told(undecided(gate, batch, Verdict.UNKNOWN, why))
    }
    assert len(causes) == 4


def test_a_call_that_has_an_alert_of_its_own_is_not_told_twice() -> None:
    assert called("pipe:2024-07:digest", "") is None
    assert called("approval:key", "") is None


def test_a_breaker_that_opens_again_is_another_cause() -> None:
    first, second = told(called("breaker:one", "why"), called("breaker:two", "why"))
    assert first.cause != second.cause
    assert first.body == "why"


def test_an_approval_is_reminded_of_with_each_batch() -> None:
    causes = [approval_waiting("4", "why", batch).cause for batch in ("2024-07", "2024-07", "2024-08")]
    assert causes[0] == causes[1] != causes[2]
    assert "mlops promote 4 --reason" in approval_waiting("4", "why", "2024-07").next_step


def test_a_promotion_is_told_with_its_reason_and_one_that_cannot_tell_is_not() -> None:
    won, kept = told(decided(Verdict.PASS, "r", "gain .03", 4), decided(Verdict.FAIL, "r", "no gain", 4))
    assert (won.title, won.body) == ("New champion: version 4", "gain .03")
    assert (kept.title, kept.body) == ("The champion stays", "no gain")
    assert decided(Verdict.UNKNOWN, "r", "2 months", 4) is None
    assert told(decided(Verdict.PASS, "r", "w", None))[0].title == "New champion: a new version"


# ------------------------------------------------------------------------------------------------------------- overdue


@pytest.mark.parametrize(("expected", "rings"), [("2024-03", False), ("2024-04", False), ("2024-05", True)])
def test_customers_are_overdue_when_more_than_the_allowed_months_behind(expected: str, rings: bool) -> None:  # noqa: FBT001
    alert = snapshot_overdue(["2024-01", "2024-02", "2024-03"], expected=expected, allowed=1)
    assert (alert is not None) == rings
    if alert:
        assert (alert.cause, alert.title) == ("overdue:customers:2024-04", "customers overdue: 2024-04")
        assert "mlops land FILE --batch 2024-04" in alert.next_step


def test_a_month_that_was_left_out_is_overdue_though_later_ones_came() -> None:
    (alert,) = told(snapshot_overdue(["2023-11", "2024-01"], expected="2024-01", allowed=0))
    assert alert.title == "customers overdue: 2023-12"


def test_each_further_month_that_is_missing_is_told_and_names_those_before() -> None:
    (first,) = told(snapshot_overdue(["2024-01"], expected="2024-02", allowed=0))
    (second,) = told(snapshot_overdue(["2024-01"], expected="2024-03", allowed=0))
    assert first.cause != second.cause
    assert second.title == "customers overdue: 2024-02, 2024-03"
    (many,) = told(snapshot_overdue(["2024-01"], expected="2024-09", allowed=0))
    assert many.title == "customers overdue: 2024-02, 2024-03, 2024-04 and 5 more"


def test_an_empty_inbox_misses_nothing() -> None:
    assert snapshot_overdue([], expected="2024-05", allowed=0) is None
    assert outcomes_overdue([], [], allowed=0) is None


@pytest.mark.parametrize(("newest", "rings"), [(1, False), (2, False), (3, True)])
def test_outcomes_are_overdue_counted_in_batches_that_were_scored(newest: int, rings: bool) -> None:  # noqa: FBT001
    scored = ["2024-01", "2024-02", "2024-06"][:newest]
    alert = outcomes_overdue(scored, [], allowed=2)
    assert (alert is not None) == rings
    assert alert is None or alert.cause == "overdue:outcomes:2024-01"


def test_outcomes_that_are_there_are_not_overdue() -> None:
    assert outcomes_overdue(["2024-01", "2024-02"], ["2024-01"], allowed=1) is None
    assert outcomes_overdue(["2024-01", "2024-02"], ["2024-01"], allowed=0) is not None


@given(first=st.integers(0, 3000), count=st.integers(0, 40))
def test_months_follow_each_other(first: int, count: int) -> None:
    def name(number: int) -> str:
        return f"{number // 12:04d}-{number % 12 + 1:02d}"

    assert months(name(first), name(first + count)) == [name(first + n) for n in range(count + 1)]
    assert months(name(first + count + 1), name(first)) == []


# ---------------------------------------------------------------------------------------------------------- quarantine


@pytest.mark.parametrize(
    ("quarantined", "rows", "limit", "words"),
    [
        (3, 100, 0.05, None),
        (4, 100, 0.05, "near"),
        (5, 100, 0.05, "near"),
        (6, 100, 0.05, "above"),
        (12, 300, 0.05, "near"),
        (11, 300, 0.05, None),
        (0, 100, 0.0, None),
        (0, 0, 0.05, None),
        (1, 100, 0.0, "above"),
    ],
)
def test_a_person_hears_from_four_fifths_of_the_quarantines_limit_on(
    quarantined: int, rows: int, limit: float, words: str | None
) -> None:
    alert = quarantine_near("validated_customers", "2024-07", quarantined=quarantined, rows=rows, limit=limit)
    assert (alert is None) == (words is None)
    assert alert is None or words is None or words in alert.title


def test_a_quarantine_that_grows_is_told_again() -> None:
    first, second = told(
        *(quarantine_near("t", "2024-07", quarantined=count, rows=100, limit=0.05) for count in (4, 5))
    )
    assert first.cause != second.cause


# ------------------------------------------------------------------------------------------------------------- sensors


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, None),
        ({"failures": 2}, None),
        ({"failures": 3}, "fails: 3 ticks in a row"),
        ({"silent_seconds": 600.0}, None),
        ({"silent_seconds": 600.1}, "does not tick"),
        ({"silent_seconds": None}, None),
        ({"is_on": False, "failures": 9, "silent_seconds": 9e9}, "is off"),
    ],
)
def test_a_sensor_rings_when_it_is_off_fails_or_is_silent(change: dict[str, object], words: str | None) -> None:
    alert = rings(replace(HEALTHY, **change))  # type: ignore[arg-type]
    assert (alert is None) == (words is None)
    assert alert is None or words is None or words in alert.title


def test_a_sensor_that_goes_on_failing_is_one_cause_and_one_that_fails_anew_another() -> None:
    now, later, anew = told(
        *(
            rings(replace(HEALTHY, failures=count, since=since, error="KeyError"))
            for count, since in ((3, "tick 4"), (9, "tick 4"), (3, "tick 40"))
        )
    )
    assert now.cause == later.cause != anew.cause
    assert now.body == "KeyError"


# --------------------------------------------------------------------------------------------------- accepted, and none


def test_an_accepted_change_is_a_decision_about_its_training_and_says_how_to_take_it_back() -> None:
    alert = change_accepted("2024-08", "run 1", "no gain proven")
    stays = decided(Verdict.FAIL, "run 1", "no gain", None)
    assert stays
    assert (alert.kind, alert.cause) == (Kind.DECISION, stays.cause), "one training, one message"
    assert (alert.title, alert.body) == ("Change since 2024-08 accepted", "no gain proven")
    assert "mlops accept 2024-08 --what change --take-back --reason TEXT" in alert.next_step


def test_no_champion_names_the_floors_and_where_their_limits_stand() -> None:
    alert = no_champion(["calibration_error", "gain"], "scores are off", ["floors.max_calibration_error"])
    assert alert.title == "No champion: no model passes calibration_error, gain"
    assert "The next mature month is tried by itself" in alert.next_step
    assert "change floors.max_calibration_error in params.yaml" in alert.next_step


def test_no_champion_is_told_again_only_when_other_floors_fail() -> None:
    first, later = no_champion(["gain"], "+.010", []), no_champion(["gain"], "+.012", [])
    assert first.cause == later.cause != no_champion(["gain", "described"], "+.010", []).cause
    assert "params.yaml" not in first.next_step
