"""The facts of the loop, from layers, history and runs: what was tried and how it ended, what is judged, what waits."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.utils import make_new_run_id

from mlops_assets import delivered, deliveries, loop, operate, trainings
from mlops_assets.champions import read_champion
from mlops_assets.gates.attempts import Ended
from mlops_assets.gates.verdict import Verdict
from mlops_assets.history import Crowned, History, Judged, Signed
from mlops_assets.home import Home
from mlops_assets.judgements import judgements
from mlops_assets.operate import System
from mlops_assets.params import Params
from mlops_assets.store import Store

BATCH = "2024-07"
TAGS = {trainings.JOB: "retrain", "mlops/batch": BATCH, trainings.NUMBER: "1", "mlops/learned": "what"}
CROWN = Crowned("model", "all_history", "2024-06", "table", "verdict", "why", "run", 1)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance without runs."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def history(tmp_path: Path) -> History:
    """An empty history."""
    return History(tmp_path / "history", Store(tmp_path / "store"))


def ran(
    instance: dg.DagsterInstance,
    *,
    failed: bool = False,
    after: dg.DagsterRun | None = None,
    tags: Mapping[str, str] | None = None,
) -> dg.DagsterRun:
    """A training that runs, or that failed; `after`: it repeats another."""
    run = dg.DagsterRun(
        "retrain",
        make_new_run_id(),
        tags={**TAGS, **(tags or {})},
        status=dg.DagsterRunStatus.STARTED,
        root_run_id=after.run_id if after else None,
        parent_run_id=after.run_id if after else None,
    )
    instance.add_run(run)
    if failed:
        instance.report_run_failed(run)
    return run


def judged(history: History, run: dg.DagsterRun, verdict: Verdict = Verdict.FAIL, **more: object) -> Judged:
    """What promotion said of a training."""
    told = Judged(str(verdict), None, "why", {"champion": "model"}, f"of {run.run_id}", run.run_id, batch=BATCH)
    told = replace(told, learned="what", number=1, **more)  # type: ignore[arg-type]
    history.add(told)
    time.sleep(0.002)  # the history tells time in milliseconds
    return told


def ends(history: History, instance: dg.DagsterInstance) -> list[Ended]:
    """How each attempt ended, oldest first."""
    return [attempt.ended for attempt in trainings.attempts_of(history, instance)]


# ------------------------------------------------------------------------------------------------------------ attempts


@pytest.mark.parametrize(
    ("verdict", "is_outage", "ended"),
    [
        (Verdict.FAIL, False, Ended.KEPT),
        (Verdict.UNKNOWN, False, Ended.UNKNOWN),
        (Verdict.UNKNOWN, True, Ended.OUTAGE),
        (Verdict.PASS, False, Ended.RUNNING),
    ],
)
def test_an_attempt_ended_as_promotion_said(
    verdict: Verdict, *, is_outage: bool, ended: Ended, history: History, instance: dg.DagsterInstance
) -> None:
    judged(history, ran(instance), verdict, is_outage=is_outage, winner="model", causes=["drift:2024-07:ab"])
    (attempt,) = trainings.attempts_of(history, instance)
    assert attempt.ended is ended
    assert (attempt.learned, attempt.number, attempt.batch, attempt.champion) == ("what", 1, BATCH, "model")
    assert attempt.causes == ("drift:2024-07:ab",)


def test_a_pass_is_a_promotion_once_its_champion_is_told(history: History, instance: dg.DagsterInstance) -> None:
    told = judged(history, ran(instance), Verdict.PASS)
    history.add(replace(CROWN, verdict_md5=told.verdict_md5))
    assert ends(history, instance) == [Ended.PROMOTED]


def test_a_pass_whose_run_ended_without_a_champion_has_failed(history: History, instance: dg.DagsterInstance) -> None:
    judged(history, ran(instance, failed=True), Verdict.PASS)
    assert ends(history, instance) == [Ended.FAILED]


@pytest.mark.parametrize(
    ("answer", "ended"), [(None, Ended.APPROVAL), ("promote", Ended.PROMOTED), ("decline", Ended.KEPT)]
)
def test_a_pass_that_waits_ends_as_a_person_answers(
    answer: str | None, ended: Ended, history: History, instance: dg.DagsterInstance
) -> None:
    judged(history, ran(instance), Verdict.PASS, winner="better", waits="a person signs")
    if answer:
        history.add(Signed(answer, "ada", "why", 2, "better"))
    assert ends(history, instance) == [ended]


def test_a_run_without_a_verdict_is_known_by_its_tags(history: History, instance: dg.DagsterInstance) -> None:
    ran(instance, failed=True, tags={trainings.CAUSES: "one two", trainings.NUMBER: "3"})
    ran(instance)
    failed, running = trainings.attempts_of(history, instance)
    assert (failed.ended, failed.number, failed.causes) == (Ended.FAILED, 3, ("one", "two"))
    assert running.ended is Ended.RUNNING


def test_attempts_come_in_the_order_in_which_they_ended(history: History, instance: dg.DagsterInstance) -> None:
    ran(instance, failed=True)
    time.sleep(0.01)
    judged(history, ran(instance), Verdict.FAIL)
    time.sleep(0.01)
    ran(instance, failed=True)
    assert ends(history, instance) == [Ended.FAILED, Ended.KEPT, Ended.FAILED]


@pytest.mark.parametrize("is_outage", [True, False])
def test_a_fault_tells_how_long_ago_it_was(*, is_outage: bool, history: History, instance: dg.DagsterInstance) -> None:
    run = ran(instance, failed=not is_outage)
    if is_outage:
        judged(history, run, Verdict.UNKNOWN, is_outage=True)
    (attempt,) = trainings.attempts_of(history, instance)
    assert 0 <= attempt.ended_seconds_ago < 60


def test_a_run_that_dagster_will_repeat_runs_but_not_for_ever(
    history: History, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran(instance, failed=True, tags={"dagster/will_retry": "true"})
    assert ends(history, instance) == [Ended.RUNNING]
    monkeypatch.setattr(trainings, "REPEATED_WITHIN_SECONDS", 0.0)
    assert ends(history, instance) == [Ended.FAILED]


def test_a_training_that_dagster_repeated_is_one_attempt(history: History, instance: dg.DagsterInstance) -> None:
    first = ran(instance, failed=True, tags={"dagster/auto_retry_run_id": "the second"})
    second = ran(instance, after=first)
    assert ends(history, instance) == [Ended.RUNNING]
    judged(history, second, Verdict.FAIL)
    assert ends(history, instance) == [Ended.KEPT]


def test_a_training_killed_after_its_verdict_and_repeated_counts_once(
    history: History, instance: dg.DagsterInstance
) -> None:
    first = ran(instance, failed=True)
    judged(history, first, Verdict.FAIL)
    judged(history, ran(instance, after=first), Verdict.FAIL)
    assert ends(history, instance) == [Ended.KEPT]


def test_a_training_killed_after_it_promoted_has_promoted(history: History, instance: dg.DagsterInstance) -> None:
    first = ran(instance, failed=True)
    told = judged(history, first, Verdict.PASS)
    history.add(replace(CROWN, verdict_md5=told.verdict_md5))
    judged(history, ran(instance, after=first), Verdict.FAIL)
    assert ends(history, instance) == [Ended.PROMOTED]


def test_runs_of_other_jobs_are_no_attempts_and_busy_names_those_of_the_loop(
    history: History, instance: dg.DagsterInstance
) -> None:
    ran(instance, tags={trainings.JOB: "score", "dagster/partition": BATCH})
    ran(instance, tags={trainings.JOB: "of somebody else"})
    ran(instance, failed=True, tags={trainings.JOB: "learn"})
    assert ends(history, instance) == []
    assert [run.in_words for run in loop.busy(instance)] == [f"score of {BATCH} runs"]


def test_a_hundred_runs_of_somebody_else_hide_no_run_of_the_loop(instance: dg.DagsterInstance) -> None:
    ran(instance, tags={trainings.JOB: "learn", "dagster/partition": BATCH})
    for _ in range(101):  # newer, as runs are listed newest first
        ran(instance, tags={trainings.JOB: "of somebody else"})
    assert [run.in_words for run in loop.busy(instance)] == [f"learn of {BATCH} runs"]


# --------------------------------------------------------------------------------------------------------- a real home


@pytest.fixture(scope="module")
def home(
    copy_home: Callable[[Path], Home], tmp_path_factory: pytest.TempPathFactory, params: Params
) -> Iterator[System]:
    """The demonstration's home; what a test lands in it is of a month of its own."""
    with operate.system(copy_home(tmp_path_factory.mktemp("loop") / "home"), params) as running:
        yield running


def waiting(running: System) -> list[str]:
    """What waits in the inbox."""
    return loop.waiting(running.inbox, running.resources["layers"], running.resources["history"], running.instance)


def test_the_facts_are_those_of_the_demonstration(demo: System, params: Params) -> None:
    facts = loop.facts(demo.resources["layers"], demo.resources["history"], demo.instance, params)
    assert facts.batches == tuple(f"2024-{month:02d}" for month in range(1, 7))
    assert tuple(facts.mature) == facts.batches[:-1]
    assert facts.champion is not None
    assert (facts.champion.as_of, facts.champion.inputs) == ("2024-05", facts.mature)
    assert [(told.gate, told.batch, told.verdict) for told in facts.judgements] == [("drift", "2024-06", Verdict.PASS)]
    assert facts.judgements[0].champion == facts.champion.digest
    assert [(attempt.ended, attempt.number) for attempt in facts.attempts] == [(Ended.PROMOTED, 0)]
    assert facts.busy == ()


def test_a_month_that_the_champion_learned_is_not_judged(home: System) -> None:
    layers = home.resources["layers"]
    report = layers.path("drift_report", "2024-05")
    report.write_bytes(layers.content("drift_report", "2024-06"))  # left by a champion before
    facts = loop.facts(layers, home.resources["history"], home.instance, home.params)
    assert [told.batch for told in facts.judgements] == ["2024-06"]
    report.unlink()


def test_equal_reports_of_two_months_are_judgements_of_their_own_months(home: System) -> None:
    layers = home.resources["layers"]
    later = layers.path("drift_report", "2024-07")
    later.write_bytes(layers.content("drift_report", "2024-06"))
    champion = read_champion(layers)
    assert champion is not None
    told = judgements(layers, champion, ())
    assert [(one.batch, one.verdict) for one in told] == [("2024-06", Verdict.PASS), ("2024-07", Verdict.PASS)]
    assert told[0].digest == told[1].digest
    later.unlink()


def test_nothing_waits_where_every_file_became_a_table(demo: System) -> None:
    assert waiting(demo) == []


def test_a_file_waits_until_a_run_was_asked_for_and_again_when_it_is_touched(home: System) -> None:
    content, month = deliveries.sample_files()["2024-01"]["customers"], "2024-09"
    (path,) = home.inbox.put(month, {"customers": content})
    name = f"customers/{month}.csv"
    assert waiting(home) == [f"{name} waits"]
    key = delivered.run_key(name, delivered.digest_of(home.inbox, name) or "", delivered.listed(home.inbox)[name].short)
    ran(home.instance, failed=True, tags={trainings.JOB: "score", "dagster/run_key": key})
    assert waiting(home) == []
    time.sleep(0.02)
    os.utime(path)
    assert waiting(home) == [f"{name} waits"]
    path.unlink()


def test_outcomes_without_customers_wait_for_nobody(home: System) -> None:
    outcomes = deliveries.sample_files()["2024-05"]["outcomes"]
    (path,) = home.inbox.put("2031-01", {"outcomes": outcomes})
    assert waiting(home) == []
    (other,) = home.inbox.put("2024-06", {"outcomes": outcomes})
    assert waiting(home) == ["outcomes/2024-06.csv waits"]
    path.unlink()
    other.unlink()


def test_the_stamp_changes_with_the_history_with_runs_and_with_parameters(home: System, params: Params) -> None:
    history = home.resources["history"]
    stamps = [loop.stamp(history, home.instance, params), loop.stamp(history, home.instance, params)]
    assert stamps[0] == stamps[1]
    other = params.model_copy(update={"loop": params.loop.model_copy(update={"budget": 1})})
    stamps.append(loop.stamp(history, home.instance, other))
    run = ran(home.instance)
    stamps.append(loop.stamp(history, home.instance, params))
    home.instance.report_run_failed(run)
    stamps.append(loop.stamp(history, home.instance, params))
    history.add(Signed("reset", "ada", "why", attempt="x"))
    stamps.append(loop.stamp(history, home.instance, params))
    assert len(set(stamps)) == 5


def test_a_champion_that_the_history_does_not_know_has_learned_from_nobody_knows_what(
    home: System, tmp_path: Path, params: Params
) -> None:
    unknown = History(tmp_path / "history", Store(tmp_path / "store"))
    facts = loop.facts(home.resources["layers"], unknown, home.instance, params)
    assert facts.champion is not None
    assert facts.champion.inputs == {}
