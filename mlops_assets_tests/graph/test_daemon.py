"""Contract with Dagster's private API: its daemon's rounds run in this process, and do all that the daemon would."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest
from alembic.script import ScriptDirectory
from dagster._core.events import DagsterEvent
from dagster._core.launcher import LaunchRunContext
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._daemon import sensor

from mlops_assets import deliveries, recovery
from mlops_assets.daemon import MODULE, Daemon, RestlessError, daemon
from mlops_assets.home import Home
from mlops_assets.operate import System, system
from mlops_assets.params import Params
from mlops_assets.simulate import DEMO, save

MONTH = "2024-01"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty home of a simulation: its files are taken as soon as they land."""
    made = Home(tmp_path / "home")
    made.root.mkdir()
    save(made.root, DEMO)
    return made


@pytest.fixture
def running(home: Home, params: Params) -> Iterator[System]:
    """The system of the home."""
    with system(home, params) as opened:
        yield opened


@pytest.fixture
def loop(running: System) -> Iterator[Daemon]:
    """Its daemon."""
    with daemon(running.home) as opened:
        yield opened


def land(running: System) -> None:
    """Put a month's customers into the inbox."""
    running.inbox.put(MONTH, {"customers": deliveries.sample_files()[MONTH]["customers"]})


def states(loop: Daemon) -> dict[str, list[str]]:
    """Status of the ticks of each sensor, newest first."""
    return {
        state.instigator_name: [
            tick.status.value for tick in loop.instance.get_ticks(state.instigator_origin_id, state.selector_id)
        ]
        for state in loop.instance.all_instigator_state()
    }


def test_a_tick_evaluates_every_sensor_and_writes_it_down(loop: Daemon) -> None:
    assert loop.tick() == 0
    assert states(loop) == {name: ["SKIPPED"] for name in ("landing", "retrain", "promoted", "alert")}


def test_a_second_tick_is_not_held_back_by_the_sensors_intervals(loop: Daemon) -> None:
    loop.tick()
    loop.tick()
    assert set(map(len, states(loop).values())) == {2}


def test_a_run_that_a_sensor_asks_for_has_ended_when_the_tick_has(running: System, loop: Daemon) -> None:
    land(running)
    assert loop.tick() == 1
    (run,) = loop.instance.get_runs()
    assert (run.job_name, run.status) == ("score", dg.DagsterRunStatus.SUCCESS)
    assert run.tags["dagster/sensor_name"] == "landing"
    assert running.resources["layers"].batches("customer_features") == [MONTH]


def test_settling_ends_when_a_tick_starts_nothing(running: System, loop: Daemon) -> None:
    land(running)
    assert loop.settle() == 1
    assert loop.settle(idle=2) == 0
    assert set(map(len, states(loop).values())) == {4}


def test_sensors_that_ask_for_ever_are_an_error(loop: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Daemon, "tick", lambda _: 1)
    with pytest.raises(RestlessError, match="the sensors still ask for runs"):
        loop.settle()


def test_a_run_whose_process_died_is_marked_and_repeated(
    running: System, loop: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(running)
    with monkeypatch.context() as patch:
        patch.setattr(loop.instance.run_launcher, "launch_run", only_begin(loop.instance))
        assert loop.tick() == 1
    (died,) = loop.instance.get_runs()
    assert died.status is dg.DagsterRunStatus.STARTED
    assert loop.tick() == 0, "nobody knows yet that it died"

    assert recovery.mend(loop.instance) == 1
    assert loop.tick() == 1

    again, first = loop.instance.get_runs()
    assert (first.status, again.status) == (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS)
    assert (first.run_id, again.parent_run_id) == (died.run_id, died.run_id)
    assert running.resources["layers"].batches("customer_features") == [MONTH]
    assert recovery.mend(loop.instance) == loop.settle() == 0


def test_power_cuts_do_not_use_up_the_repetitions_of_a_run(
    running: System, loop: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(running)
    with monkeypatch.context() as patch:
        patch.setattr(loop.instance.run_launcher, "launch_run", only_begin(loop.instance))
        for _ in range(4):
            assert loop.tick() == 1
            assert recovery.mend(loop.instance) == 1
    assert loop.tick() == 1
    assert loop.instance.get_runs()[0].status is dg.DagsterRunStatus.SUCCESS


def test_a_long_simulation_has_no_more_files_open_than_a_short_one(loop: Daemon) -> None:
    def opened(runs: range) -> int:
        for number in runs:
            with loop.instance.event_log_storage.run_connection(f"run-{number}"):  # type: ignore[attr-defined]
                pass
        return len(list(Path("/proc/self/fd").iterdir()))

    loop.tick()
    assert opened(range(20)) == opened(range(20, 40))


def only_begin(instance: dg.DagsterInstance) -> Callable[[LaunchRunContext], None]:
    """A launcher of runs whose process dies at once."""

    def launch(context: LaunchRunContext) -> None:
        run = context.dagster_run
        begun = DagsterEvent(dg.DagsterEventType.RUN_START.value, job_name=run.job_name)
        instance.report_dagster_event(begun, run.run_id)

    return launch


def test_what_was_put_in_place_of_dagsters_own_is_taken_back(home: Home, params: Params) -> None:
    def own() -> list[object]:
        return [
            sensor.is_under_min_interval,
            vars(sqlite_event_log)["create_engine"],
            vars(ScriptDirectory)["from_config"],
            sys.modules.get(MODULE),
            {**os.environ},
        ]

    before = own()
    with system(home, params), daemon(home):
        assert all(now != then for now, then in zip(own()[:3], before, strict=False))
    assert own() == before


def test_the_code_location_works_in_the_home_of_its_daemon(running: System, home: Home, tmp_path: Path) -> None:
    land(running)
    before = os.environ["MLOPS_HOME"]
    os.environ["MLOPS_HOME"] = str(tmp_path / "elsewhere")
    try:
        with daemon(home) as loop:
            assert loop.settle() == 1
    finally:
        os.environ["MLOPS_HOME"] = before
    assert running.resources["layers"].batches("customer_features") == [MONTH]
    assert not (tmp_path / "elsewhere").exists()
