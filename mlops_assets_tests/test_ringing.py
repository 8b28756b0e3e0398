"""What a person must be told is found in what lies there; an incident has one name, and what is mended is silent."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.definitions.sensor_definition import SensorType
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.utils import make_new_run_id
from dagster_shared.error import SerializableErrorInfo

from mlops_assets import loop, report, ringing, standing, trainings
from mlops_assets.daemon import LOCATION, MODULE
from mlops_assets.gates.alarms import Alert, Kind
from mlops_assets.gates.requirements import Requirement, conclude, findings_of
from mlops_assets.history import History, Judged
from mlops_assets.landing import Inbox
from mlops_assets.params import Params
from mlops_assets.storage import Layers
from mlops_assets.store import Store

SENSOR = "landing"


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance without runs and sensors."""
    with dg.DagsterInstance.local_temp(str(tmp_path)) as made:
        yield made


def nothing_told(_: str) -> bool:
    """Nobody was told anything."""
    return False


# ---------------------------------------------------------------------------------------------------------------- runs


def failed(
    instance: dg.DagsterInstance, job: str = "score", batch: str | None = "2024-07", **tags: str
) -> dg.DagsterRun:
    """A run that failed."""
    partition = {"dagster/partition": batch} if batch else {}
    run = dg.DagsterRun(job, make_new_run_id(), tags={trainings.JOB: job, **partition, **tags})
    instance.add_run(run)
    instance.report_run_failed(run)
    return run


def runs_told(instance: dg.DagsterInstance) -> list[str]:
    """Titles of what is told of runs."""
    return [alert.title for alert in ringing.failed_runs(instance, nothing_told)]


def test_a_failed_run_rings_and_one_of_something_else_does_not(instance: dg.DagsterInstance) -> None:
    failed(instance, "retrain", None)
    failed(instance, "of somebody else")
    assert runs_told(instance) == ["retrain failed"]


def test_a_failed_run_that_was_told_is_not_looked_up_again(instance: dg.DagsterInstance) -> None:
    run = failed(instance)
    assert list(ringing.failed_runs(instance, {f"run:{run.run_id}"}.__contains__)) == []


def test_a_failed_run_rings_until_a_later_one_did_its_work(instance: dg.DagsterInstance) -> None:
    failed(instance)
    failed(instance, batch="2024-08")
    assert runs_told(instance) == ["score of 2024-08 failed", "score of 2024-07 failed"]
    later = dg.DagsterRun("score", make_new_run_id(), tags={trainings.JOB: "score", "dagster/partition": "2024-07"})
    instance.add_run(later)
    assert runs_told(instance) == ["score of 2024-08 failed"]
    instance.report_run_failed(later)
    assert runs_told(instance) == ["score of 2024-07 failed", "score of 2024-08 failed"]


def test_a_run_that_dagster_repeats_rings_only_when_it_does_not(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed(instance, **{"dagster/will_retry": "true"})
    assert runs_told(instance) == []
    monkeypatch.setattr(trainings, "REPEATED_WITHIN_SECONDS", 0.0)
    assert runs_told(instance) == ["score of 2024-07 failed"]


def test_a_signature_that_was_refused_was_told_to_who_signed(instance: dg.DagsterInstance) -> None:
    failed(instance, "promote", None)
    assert runs_told(instance) == []


# ------------------------------------------------------------------------------------------------------------- sensors


class Sensor:
    """A sensor that the instance knows, and its ticks."""

    def __init__(self, instance: dg.DagsterInstance, name: str = SENSOR) -> None:
        """On, and never evaluated."""
        code = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name=MODULE), location_name=LOCATION)
        origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(code, "__repository__"), name)
        self.instance, self.clock = instance, time.time() - 100
        data = SensorInstigatorData(sensor_type=SensorType.STANDARD)
        self.state = instance.add_instigator_state(
            InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.RUNNING, data)
        )

    def tick(self, status: TickStatus, *, ago: float | None = None) -> None:
        """A tick that ended so."""
        self.clock += 1
        error = SerializableErrorInfo("KeyError: boom\n", [], "KeyError") if status is TickStatus.FAILURE else None
        self.instance.create_tick(
            TickData(
                self.state.instigator_origin_id,
                SENSOR,
                InstigatorType.SENSOR,
                status,
                timestamp=self.clock if ago is None else time.time() - ago,
                selector_id=self.state.selector_id,
                error=error,
                run_ids=[] if status is TickStatus.SUCCESS else None,
            )
        )

    def told(self, silent_seconds: float = ringing.SILENT_SECONDS) -> Alert | None:
        """What is told of it."""
        return next(iter(ringing.stopped_sensors(self.instance, silent_seconds)), None)


def test_a_sensor_that_ticks_is_told_nothing_of_and_one_of_somebody_else_neither(instance: dg.DagsterInstance) -> None:
    sensor = Sensor(instance)
    assert sensor.told() is None
    sensor.tick(TickStatus.SUCCESS)
    sensor.tick(TickStatus.FAILURE)
    sensor.tick(TickStatus.FAILURE)
    assert sensor.told() is None
    foreign = Sensor(instance, "of somebody else")
    for _ in range(5):
        foreign.tick(TickStatus.FAILURE)
    assert foreign.told() is None


def test_a_sensor_that_fails_rings_once_until_it_went_well_in_between(instance: dg.DagsterInstance) -> None:
    sensor, causes = Sensor(instance), []
    sensor.tick(TickStatus.SKIPPED)
    for _ in range(10):
        sensor.tick(TickStatus.FAILURE)
        causes.append(found.cause if (found := sensor.told()) else None)
    assert causes[:2] == [None, None]
    assert len(set(causes[2:])) == 1
    sensor.tick(TickStatus.STARTED)
    found = sensor.told()
    assert found
    assert (found.cause, found.body) == (causes[-1], "KeyError: boom")
    sensor.tick(TickStatus.SUCCESS)
    assert sensor.told() is None
    for _ in range(3):
        sensor.tick(TickStatus.FAILURE)
    again = sensor.told()
    assert again
    assert again.cause != causes[-1]


def test_a_sensor_that_never_went_well_rings_once_too(instance: dg.DagsterInstance) -> None:
    sensor, causes = Sensor(instance), set()
    for _ in range(3):
        sensor.tick(TickStatus.FAILURE)
    for _ in range(3):
        sensor.tick(TickStatus.FAILURE)
        found = sensor.told()
        assert found
        causes.add(found.cause)
    assert len(causes) == 1


def test_a_sensor_that_is_off_rings(instance: dg.DagsterInstance) -> None:
    sensor = Sensor(instance)
    sensor.tick(TickStatus.SUCCESS)
    instance.update_instigator_state(sensor.state.with_status(InstigatorStatus.STOPPED))
    found = sensor.told()
    assert found
    assert found.title == "Sensor landing is off"


def test_a_sensor_that_is_silent_rings_but_not_where_the_daemon_slept(instance: dg.DagsterInstance) -> None:
    sensor = Sensor(instance)
    sensor.tick(TickStatus.SUCCESS, ago=ringing.SILENT_SECONDS + 60)
    found = sensor.told()
    assert found
    assert (found.title, found.body) == ("Sensor landing does not tick", "Its newest tick was 11 minutes ago.")
    assert sensor.told(silent_seconds=float("inf")) is None


# ------------------------------------------------------------------------------------------------------------ calendar


@pytest.mark.parametrize(
    ("day", "today", "due"),
    [
        (0, "2024-07-31", []),
        (5, "2024-07-04", ["2024-05"]),
        (5, "2024-07-05", ["2024-06"]),
        (1, "2024-01-01", ["2023-12"]),
        (28, "2024-01-27", ["2023-11"]),
    ],
)
def test_a_months_snapshot_is_due_on_its_day_of_the_next_month(day: int, today: str, due: list[str]) -> None:
    assert ringing.due_by_now(day, datetime.fromisoformat(today).replace(tzinfo=UTC)) == due


def test_a_file_that_lies_in_the_inbox_is_not_overdue(tmp_path: Path, params: Params) -> None:
    inbox, layers = Inbox(tmp_path / "landing", 2**20), Layers(tmp_path)
    inbox.put("2024-01", {"customers": b"x"})
    assert list(ringing.missing_files(inbox, layers, params, ["2024-01"])) == []
    (found,) = ringing.missing_files(inbox, layers, params, ["2024-02"])
    assert found.title == "customers overdue: 2024-02"
    inbox.put("2024-02", {"customers": b"x"})
    assert list(ringing.missing_files(inbox, layers, params, ["2024-02"])) == []


# ------------------------------------------------------------------------------------------------------ what is damaged


def test_a_look_that_fails_is_told_and_hides_no_other(
    instance: dg.DagsterInstance, tmp_path: Path, params: Params
) -> None:
    layers, history = Layers(tmp_path / "home"), History(tmp_path / "home" / "history", Store(tmp_path / "store"))
    champion = layers.path("champion")
    champion.parent.mkdir(parents=True)
    champion.write_bytes(b"no table")
    failed(instance)
    inbox = Inbox(tmp_path / "landing", 2**20)
    found = list(ringing.alerts_of(inbox, layers, history, instance, params, nothing_told))
    assert [alert.title for alert in found] == ["score of 2024-07 failed", "Nobody watches the loop"]
    assert str(champion) in found[1].body


# -------------------------------------------------------------------------------------------------------------- waiting


def test_an_approval_rings_though_a_training_failed_before_and_not_once_another_verdict_came(
    instance: dg.DagsterInstance, tmp_path: Path, params: Params
) -> None:
    history, layers = History(tmp_path / "history", Store(tmp_path / "store")), Layers(tmp_path / "home")
    failed(instance, "retrain", None)
    time.sleep(0.01)
    waits = Judged("PASS", "better", "gain .03", {"champion": None}, "one", "run 1", waits="a person signs")
    history.add(waits)

    def told() -> list[tuple[Kind, str]]:
        facts = loop.facts(layers, history, instance, params)
        return [(alert.kind, alert.body) for alert in ringing.trained(facts, history, params)]

    assert told() == [(Kind.APPROVAL, "gain .03")]
    time.sleep(0.01)
    history.add(Judged("PASS", "best", "gain .04", {"champion": None}, "newer", "run 3", waits="a person signs"))
    assert told() == [(Kind.APPROVAL, "gain .04")]
    time.sleep(0.01)
    history.add(Judged("FAIL", None, "no gain", {"champion": "one"}, "two", "run 2"))
    assert told() == [(Kind.DECISION, "no gain")]


# --------------------------------------------------------------------------------------------------------- no champion


def floors_of(candidate: str, *failing: str) -> pd.DataFrame:
    """The floors' rows of a candidate in the promotion verdict, of which these fail."""
    names = ("gain_over_prevalence", "calibration_error", "described")
    rows = tuple(Requirement(name, 0.01, None, None, 0.05, name not in failing, f"{name} .01") for name in names)
    verdict, meaning = conclude(rows, None, "every floor holds")
    return findings_of(candidate, "floors", verdict, meaning, rows)


@pytest.fixture
def failed_floors(tmp_path: Path) -> tuple[Layers, History]:
    """A home in which the first training failed a floor, and the second candidate another."""
    layers = Layers(tmp_path / "home")
    history = History(tmp_path / "home" / "history", Store(tmp_path / "store"))
    layers.write(
        "promotion_verdict",
        pd.concat([floors_of("all_history", "gain_over_prevalence"), floors_of("other", "described")]),
    )
    history.add(Judged("FAIL", None, "first champion, by the floors: +.01", {"champion": None}, "one", "run 1"))
    return layers, history


def test_a_training_that_leaves_no_champion_needs_somebody_and_names_floor_and_limit(
    instance: dg.DagsterInstance, failed_floors: tuple[Layers, History], params: Params
) -> None:
    layers, history = failed_floors
    (found,) = ringing.of_the_loop(layers, history, instance, params)
    assert found.kind in standing.NEEDS
    assert found.title == "No champion: no model passes gain_over_prevalence"
    key = next(name for name in type(params.floors).model_fields if name.endswith("gain_over_prevalence"))
    assert f"floors.{key} in params.yaml" in found.next_step
    assert found.body == "first champion, by the floors: +.01"


def test_no_champion_rings_as_one_incident_until_a_training_does_not_fail(
    instance: dg.DagsterInstance, failed_floors: tuple[Layers, History], params: Params
) -> None:
    layers, history = failed_floors

    def told() -> list[str]:
        return [alert.cause for alert in ringing.of_the_loop(layers, history, instance, params)]

    once = told()
    history.add(Judged("FAIL", None, "by the floors: +.02", {"champion": None}, "two", "run 2"))
    assert told() == once
    layers.write("promotion_verdict", floors_of("all_history", "gain_over_prevalence", "calibration_error"))
    assert len(told()) == 1
    assert told() != once
    history.add(Judged("UNKNOWN", None, "too few rows", {"champion": None}, "three", "run 3", batch="2024-07"))
    assert told() == ["unknown:promotion:2024-07"]


def test_status_ends_with_needing_somebody_where_a_failure_left_no_champion(
    instance: dg.DagsterInstance, failed_floors: tuple[Layers, History], params: Params, tmp_path: Path
) -> None:
    layers, history = failed_floors
    told = standing.standing_of(Inbox(tmp_path / "landing", 2**20), layers, history, instance, params)
    assert told.is_calling
    assert "NEEDS YOU  No champion: no model passes gain_over_prevalence" in report.status(told)


@dg.asset(output_required=False, check_specs=[dg.AssetCheckSpec("contract", asset="drift_report")])
def drift_report() -> Iterator[dg.AssetCheckResult]:
    """A report that breaks its contract: nothing is published, and the run goes well."""
    yield dg.AssetCheckResult(check_name="contract", passed=False, description="p_value: in_range(0, 1)")


def test_a_report_that_broke_its_contract_rings_though_its_run_went_well(instance: dg.DagsterInstance) -> None:
    tags = {trainings.JOB: "rescore", "dagster/partition": "2024-07"}
    assert dg.materialize([drift_report], instance=instance, tags=tags).success
    (found,) = ringing.failed_runs(instance, nothing_told)
    assert (found.title, found.body) == ("rescore of 2024-07 failed", "drift_report: p_value: in_range(0, 1)")
