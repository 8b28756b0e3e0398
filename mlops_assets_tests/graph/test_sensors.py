"""Each sensor, evaluated on a real instance and home: what it asks for, that it asks the same twice, and when not."""

import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.utils import make_new_run_id

from mlops_assets import alerts, deliveries, operate, sensors, trainings
from mlops_assets.daemon import LOCATION, MODULE
from mlops_assets.gates import findings, outcome_findings
from mlops_assets.gates.attribution import Cause
from mlops_assets.gates.verdict import Verdict
from mlops_assets.history import FILES, Crowned, Judged, Registered
from mlops_assets.home import Home
from mlops_assets.landing import KINDS
from mlops_assets.operate import System
from mlops_assets.params import Params
from mlops_assets.partitions import next_batch
from mlops_assets.storage import SIMULATED

NEXT = "2024-07"  # the first month after the sample
Asked = list[dg.RunRequest]


def settled(running: System, **knobs: object) -> System:
    """The system with files that are whole at once, and other knobs of the loop."""
    params = running.params.model_copy(
        update={"loop": running.params.loop.model_copy(update={"settle_seconds": 0.0, **knobs})}
    )
    return replace(running, params=params, resources={**running.resources, "params": params})


def evaluate(sensor: dg.SensorDefinition, running: System, cursor: str | None = None) -> Any:  # noqa: ANN401
    """What a tick of a sensor gives: a SensorResult, a RunRequest or a SkipReason."""
    with dg.build_sensor_context(instance=running.instance, cursor=cursor) as context:
        resources = {name: running.resources[name] for name in sensor.required_resource_keys}
        return sensor(context, **resources)


def asked(result: Any) -> Asked:  # noqa: ANN401
    """The runs that a tick asks for."""
    if isinstance(result, dg.SensorResult):
        return list(result.run_requests or [])
    return [result] if isinstance(result, dg.RunRequest) else []


def said(result: Any) -> str:  # noqa: ANN401
    """Why a tick asks for nothing."""
    reason = result.skip_reason if isinstance(result, dg.SensorResult) else result
    assert isinstance(reason, dg.SkipReason), result
    return str(reason.skip_message)


def jobs(result: Any) -> list[tuple[str | None, str | None]]:  # noqa: ANN401
    """Job and month of each run that a tick asks for."""
    return [(request.job_name, request.partition_key) for request in asked(result)]


def customers(batch: str = "2024-01") -> bytes:
    """A sample month's file of customers."""
    return deliveries.sample_files()[batch]["customers"]


def changed(content: bytes, change: Callable[[pd.DataFrame], pd.DataFrame]) -> bytes:
    """A file with something done to its table."""
    return deliveries.csv_bytes(change(pd.read_csv(io.BytesIO(content))))


def queue(running: System, job: str, batch: str | None = None) -> str:
    """A run of the loop that waits in the queue; its id."""
    tags = {trainings.JOB: job, **({"dagster/partition": batch} if batch else {})}
    code = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name=MODULE), location_name=LOCATION)
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(code, "__repository__"), job)
    queued = dg.DagsterRunStatus.QUEUED
    run = dg.DagsterRun(job, make_new_run_id(), tags=tags, status=queued, remote_job_origin=origin)
    running.instance.add_run(run)
    return str(run.run_id)


# ------------------------------------------------------------------------------------------------------------- landing


def test_a_month_that_lands_is_scored_and_becomes_a_partition(empty: System) -> None:
    empty.inbox.put(NEXT, {"customers": customers()})
    result = evaluate(sensors.landing, settled(empty))
    assert jobs(result) == [("score", NEXT)]
    (partitions,) = result.dynamic_partitions_requests
    assert list(partitions.partition_keys) == [NEXT]
    again = evaluate(sensors.landing, settled(empty), result.cursor)
    assert (asked(again), said(again)) == ([], "nothing new in the inbox")


def test_a_lost_cursor_asks_under_the_same_keys(empty: System) -> None:
    for month in ("2024-01", "2024-02"):
        empty.inbox.put(month, {"customers": customers(month)})
    first, lost, broken = (evaluate(sensors.landing, settled(empty), cursor) for cursor in (None, None, "[torn"))
    assert [request.run_key for request in asked(first)] == [request.run_key for request in asked(lost)]
    assert asked(broken) == asked(first)


def test_a_file_that_still_grows_is_left_alone_and_named(empty: System) -> None:
    empty.inbox.put(NEXT, {"customers": customers()})
    result = evaluate(sensors.landing, settled(empty, settle_seconds=3600.0))
    assert (asked(result), said(result)) == ([], f"customers/{NEXT}.csv is still being written")
    assert jobs(evaluate(sensors.landing, settled(empty), result.cursor)) == [("score", NEXT)]


def test_outcomes_wait_for_the_customers_of_their_month(copied: System) -> None:
    both = {"customers": customers(), "outcomes": deliveries.sample_files()["2024-01"]["outcomes"]}
    copied.inbox.put(NEXT, both)
    running = settled(copied)
    first = evaluate(sensors.landing, running)
    assert jobs(first) == [("score", NEXT)]
    second = evaluate(sensors.landing, running, first.cursor)
    assert (asked(second), said(second)) == (
        [],
        "1 more files wait for the next ticks or for their customers",
    )
    assert copied.run("score", NEXT).is_success
    run_id = queue(copied, "score", NEXT)  # delivered again, and on its way
    assert asked(evaluate(sensors.landing, running, second.cursor)) == []
    copied.instance.delete_run(run_id)
    assert jobs(evaluate(sensors.landing, running, second.cursor)) == [("learn", NEXT)]


def test_200_months_at_once_are_taken_a_few_in_each_tick_oldest_first(empty: System) -> None:
    months = [next_batch("2010-01", number) for number in range(200)]
    for month in reversed(months):
        empty.inbox.put(month, {"customers": customers()})
    running, cursor, taken = settled(empty), None, list[str]()
    for _ in range(100):
        result = evaluate(sensors.landing, running, cursor)
        if not asked(result):
            break
        assert len(asked(result)) <= running.params.loop.runs_per_tick
        cursor, taken = result.cursor, taken + [str(request.partition_key) for request in asked(result)]
    assert taken == months


def test_months_that_became_tables_ask_for_nothing_touched_or_not(copied: System) -> None:
    running = settled(copied)
    first = evaluate(sensors.landing, running)
    assert asked(first) == []
    for kind in KINDS:
        for path in copied.inbox.files(kind):
            os.utime(path)
    assert asked(evaluate(sensors.landing, running, first.cursor)) == []


def test_other_bytes_of_a_month_are_scored_learned_and_the_two_months_after_judged_again(copied: System) -> None:
    month, running = "2024-04", settled(copied)
    before = evaluate(sensors.landing, running)
    other = changed(customers(month), lambda table: table.iloc[:-5])
    copied.inbox.put(month, {"customers": other})
    result = evaluate(sensors.landing, running, before.cursor)
    (request,) = asked(result)
    assert (request.job_name, request.partition_key, request.tags["mlops/delivery_number"]) == ("score", month, "2")
    assert copied.run("score", month).is_success
    after = evaluate(sensors.landing, running, result.cursor)
    assert jobs(after) == [("learn", month), ("rescore", "2024-06")]  # 2024-05 has no report: the champion learned it
    assert asked(evaluate(sensors.landing, running, after.cursor)) == []
    assert asked(evaluate(sensors.landing, running)) == asked(after)  # a lost cursor: the same keys, run once


# ------------------------------------------------------------------------------------------------------------- retrain


@pytest.fixture(scope="module")
def later(
    copy_home: Callable[[Path], Home], tmp_path_factory: pytest.TempPathFactory, params: Params
) -> Iterator[System]:
    """The demonstration's home a month on, quiet: another month is scored, and the one before is mature."""
    home = copy_home(tmp_path_factory.mktemp("later") / "home")
    (home.root / SIMULATED).touch()  # nobody opens a page of it
    with operate.system(home, params) as running:
        assert running.deal(months=1) == [NEXT]
        assert running.run("learn", "2024-06").is_success
        assert running.run("score", NEXT).is_success
        yield running


@pytest.fixture
def another(later: System, tmp_path: Path) -> Iterator[System]:
    """A copy of `later` for one test to change."""
    home = Home(tmp_path / "another")
    shutil.copytree(later.home.root, home.root, symlinks=True)
    with operate.system(home, later.params) as running:
        yield running


@pytest.fixture(scope="module")
def drifted(later: System, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """`later`, in which a fiber price rise came with the month: its drift check fails."""
    home = Home(tmp_path_factory.mktemp("drifted") / "home")
    shutil.copytree(later.home.root, home.root, symlinks=True)
    with operate.system(home, later.params) as running:
        running.inbox.put(NEXT, {"customers": changed(later.inbox.read("customers", NEXT), dearer)})
        assert running.run("score", NEXT).is_success
        yield running


def dearer(table: pd.DataFrame) -> pd.DataFrame:
    """Fiber customers pay a third more."""
    fiber = table.internet_service.eq("fiber_optic") | table.internet_service.eq("Fiber optic")
    assert fiber.any()
    return table.assign(monthly_charges=table.monthly_charges.where(~fiber, (table.monthly_charges * 1.33).round(2)))


def test_a_quiet_month_asks_for_no_training(later: System) -> None:
    report = later.resources["layers"].read("drift_report", NEXT)
    assert findings.verdict_of(report) is Verdict.PASS
    assert said(evaluate(sensors.retrain, later)) == "SKIP: nothing asks for a training"


def test_a_failing_drift_report_asks_for_a_training_that_names_its_cause(drifted: System) -> None:
    report = drifted.resources["layers"].read("drift_report", NEXT)
    assert findings.verdict_of(report) is Verdict.FAIL
    assert findings.cause_of(report) is not Cause.PIPE
    (request,) = asked(evaluate(sensors.retrain, drifted))
    assert request.tags[trainings.CAUSES].startswith(f"drift:{NEXT}:")
    assert (request.tags["mlops/batch"], request.tags[trainings.NUMBER]) == (NEXT, "1")
    assert request.run_config == {"ops": {"training_set": {"config": {"as_of": "2024-06"}}}}
    assert str(request.run_key).startswith("retrain:2024-06:")


def test_evaluated_twice_and_with_a_lost_cursor_the_training_is_the_same(drifted: System) -> None:
    results = [evaluate(sensors.retrain, drifted, cursor) for cursor in (None, None, '{"stamp": "old"}', "no JSON")]
    assert len({str(request.run_key) for result in results for request in asked(result)}) == 1
    assert all(len(asked(result)) == 1 for result in results)


def test_a_skip_is_remembered_only_as_long_as_nothing_happens(later: System) -> None:
    first = evaluate(sensors.retrain, later)
    assert said(evaluate(sensors.retrain, later, first.cursor)) == said(first)
    known = {**json.loads(first.cursor), "why": "from the cursor"}
    assert said(evaluate(sensors.retrain, later, json.dumps(known))) == "from the cursor"
    stale = json.dumps({**known, "stamp": "before something happened"})
    assert said(evaluate(sensors.retrain, later, stale)) == said(first)


@pytest.mark.parametrize("job", ["score", "learn", "rescore", "retrain", "promote"])
def test_it_holds_back_while_a_run_of_the_loop_is_queued_and_its_cursor_stays(job: str, drifted: System) -> None:
    run_id = queue(drifted, job, NEXT if job in {"score", "learn", "rescore"} else None)
    try:
        result = evaluate(sensors.retrain, drifted)
        assert isinstance(result, dg.SkipReason)
        assert said(result).startswith("held back: ")
    finally:
        drifted.instance.delete_run(run_id)
    assert asked(evaluate(sensors.retrain, drifted))


def test_it_holds_back_while_accepted_files_wait(drifted: System) -> None:
    (path,) = drifted.inbox.put("2024-08", {"customers": customers()})
    assert said(evaluate(sensors.retrain, drifted)) == "held back: customers/2024-08.csv waits"
    path.unlink()
    assert asked(evaluate(sensors.retrain, drifted))


def test_where_nothing_new_can_be_learned_it_says_so_and_takes_the_cause_up_when_outcomes_mature(
    drifted: System, tmp_path: Path
) -> None:
    home = Home(tmp_path / "immature")
    shutil.copytree(drifted.home.root, home.root, symlinks=True)
    with operate.system(home, drifted.params) as running:
        labels = running.resources["layers"].path("labelled_customers", "2024-06")
        content = labels.read_bytes()
        labels.unlink()
        told = said(evaluate(sensors.retrain, running))
        assert told.startswith("SKIP: nothing new to learn since training")
        assert f"taken up again when outcomes mature: drift of {NEXT} fails" in told
        labels.write_bytes(content)
        assert asked(evaluate(sensors.retrain, running))


def test_a_broken_pipe_starts_no_training_and_calls(another: System) -> None:
    cents = changed(
        another.inbox.read("customers", NEXT), lambda table: table.assign(monthly_charges=table.monthly_charges * 100)
    )
    another.inbox.put(NEXT, {"customers": cents})
    assert another.run("score", NEXT).is_success
    report = another.resources["layers"].read("drift_report", NEXT)
    assert (findings.verdict_of(report), findings.cause_of(report)) == (Verdict.FAIL, Cause.PIPE)
    result = evaluate(sensors.retrain, another)
    assert asked(result) == []
    assert said(result).startswith(f"CALL: {NEXT} came through a broken pipe")


def test_failing_outcomes_ask_for_a_training_though_the_inputs_have_not_moved(another: System) -> None:
    content = another.inbox.read("outcomes", "2024-06")
    flipped = changed(content, lambda table: table.assign(churned=table.churned.map({"Yes": "No", "No": "Yes"})))
    another.inbox.put("2024-06", {"outcomes": flipped})
    assert another.run("learn", "2024-06").is_success
    layers = another.resources["layers"]
    assert outcome_findings.verdict_of(layers.read("outcome_report", "2024-06")) is Verdict.FAIL
    assert findings.verdict_of(layers.read("drift_report", NEXT)) is Verdict.PASS
    (request,) = asked(evaluate(sensors.retrain, another))
    assert request.tags[trainings.CAUSES].startswith("outcomes:2024-06:")


def test_without_a_champion_enough_mature_months_are_the_cause(another: System) -> None:
    shutil.rmtree(another.resources["layers"].path("champion").parent)
    for kind in (Judged, Crowned, Registered):
        (another.home.history / FILES[kind]).unlink()
    for run in another.instance.get_runs(dg.RunsFilter(tags={trainings.JOB: "retrain"})):
        another.instance.delete_run(run.run_id)
    (request,) = asked(evaluate(sensors.retrain, another))
    assert request.tags[trainings.CAUSES].startswith("first:")
    assert "mlops/champion" not in request.tags
    few = settled(another, min_months=60)
    assert said(evaluate(sensors.retrain, few)) == "SKIP: no champion yet: 6 of 60 months are mature"


def test_corrected_labels_of_a_month_that_the_champion_learned_are_a_cause(another: System) -> None:
    month = "2024-03"
    corrected = changed(
        another.inbox.read("outcomes", month), lambda table: table.assign(churned=table.churned.to_numpy()[::-1])
    )
    another.inbox.put(month, {"outcomes": corrected})
    assert another.run("learn", month).is_success
    (request,) = asked(evaluate(sensors.retrain, another))
    assert f"{month} changed since the champion learned" in request.tags["mlops/why"]


# ------------------------------------------------------------------------------------------------------------ promoted


def test_a_month_that_the_champion_scored_is_not_scored_again(later: System) -> None:
    assert said(evaluate(sensors.promoted, later)) == f"{NEXT} is scored by the champion"


def test_without_a_champion_or_a_month_nothing_is_scored(empty: System) -> None:
    assert said(evaluate(sensors.promoted, empty)) == "there is no champion yet"


def test_a_new_champion_scores_the_newest_month_again_once_and_not_while_something_runs(another: System) -> None:
    assert another.run("promote", config=signature(2)).is_success
    run_id = queue(another, "learn", NEXT)
    assert said(evaluate(sensors.promoted, another)) == f"held back: learn of {NEXT} runs"
    another.instance.delete_run(run_id)
    (path,) = another.inbox.put("2024-08", {"customers": customers()})
    assert said(evaluate(sensors.promoted, another)) == "held back: customers/2024-08.csv waits"
    path.unlink()
    first, second = (evaluate(sensors.promoted, another) for _ in range(2))
    assert (first.partition_key, first.run_key) == (NEXT, second.run_key)
    assert another.run("rescore", NEXT).is_success
    assert said(evaluate(sensors.promoted, another)) == f"{NEXT} is scored by the champion"
    assert another.run("promote", config=signature(1)).is_success
    third = evaluate(sensors.promoted, another)
    assert (third.partition_key, third.run_key == first.run_key) == (NEXT, False)


def signature(version: int) -> dict[str, Any]:
    """Config of the promote job."""
    facts = {"version": version, "action": "promote", "actor": "ada", "reason": "because"}
    return {"ops": {"champion": {"config": facts}}}


# --------------------------------------------------------------------------------------------------------------- alert


def test_what_stands_is_told_once(copied: System) -> None:
    ledger = alerts.Ledger(copied.home.history)
    assert said(evaluate(sensors.alert, copied)) == "told 1 of 1 that stand"
    assert [line.title for line in ledger.read()] == ["New champion: version 1"]
    assert said(evaluate(sensors.alert, copied)) == "told 0 of 1 that stand"
    assert len(ledger.read()) == 1


def test_a_tick_with_nothing_new_asks_for_nothing_and_changes_nothing(later: System) -> None:
    evaluate(sensors.alert, later)
    cursor = evaluate(sensors.landing, settled(later)).cursor
    before = {path: path.read_bytes() for path in later.home.history.iterdir()}
    results = [evaluate(sensors.landing, settled(later), cursor)]
    results += [evaluate(sensor, later) for sensor in (sensors.retrain, sensors.promoted, sensors.alert)]
    assert [asked(result) for result in results] == [[], [], [], []]
    assert {path: path.read_bytes() for path in later.home.history.iterdir()} == before
