"""The real daemon comes to the same end as the simulation, through a power cut, and stops when it is asked to.

`mlops up` with its sensors, intervals, run queue and a process for each run; files are dropped into its inbox.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mlops_assets import deliveries, loop, operate
from mlops_assets.churn import scenarios
from mlops_assets.home import PROJECT, Home
from mlops_assets.operate import System
from mlops_assets.params import Params
from mlops_assets.recovery import BEGUN

pytestmark = pytest.mark.slow

PATIENCE, STOP_WITHIN = 900, 60  # seconds
QUIET = 30  # seconds without a run after which nothing more comes: each sensor has looked
# A shell that starts tests in the background has them ignore SIGINT, and children inherit that.
HEED = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
UP = f"{HEED}; from mlops_assets.cli import main; main()"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def workers(home: Home) -> dict[int, str]:
    """The processes that work in a home, by number: each inherits it in its environment."""
    mark = f"MLOPS_HOME={home.root}".encode()
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes().split(b"\0"):
                found[int(process.name)] = (process / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue  # it ended meanwhile, or is somebody else's
    return found


def kill_all(home: Home) -> None:
    """What a power cut does: daemon, code server, webserver and runs are gone at once."""
    while left := workers(home):  # again for what began while the others were being killed
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)


@dataclass
class Up:
    """`mlops up` in a session of its own."""

    running: System
    env: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    left: list[str] = field(default_factory=list)

    def start(self) -> None:
        """Begin, or begin again."""
        command = [sys.executable, "-W", "ignore", "-c", UP, "up", "--port", str(free_port())]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env=self.env, cwd=PROJECT, start_new_session=True
            )

    def runs(self) -> list[dg.DagsterRun]:
        """Every run so far, newest first."""
        return list(self.running.instance.get_runs())

    def wait(self, until: Callable[[], bool], what: str) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + PATIENCE
        while not until():
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text()[-5000:]
            assert time.monotonic() < deadline, f"{what}: not within {PATIENCE} s\n{self.log.read_text()[-5000:]}"
            time.sleep(0.5)

    def rest(self, *tables: tuple[str, str]) -> None:
        """Wait until these tables are there and no run has been seen for a while."""
        layers = self.running.resources["layers"]
        seen, since = 0, time.monotonic()

        def is_quiet() -> bool:
            nonlocal seen, since
            count = self.running.instance.get_runs_count()
            if count != seen or loop.busy(self.running.instance) or not all(layers.exists(*table) for table in tables):
                seen, since = count, time.monotonic()
            return time.monotonic() - since > QUIET

        self.wait(is_quiet, f"rest after {tables}")

    def kill(self) -> None:
        """A power cut."""
        kill_all(self.running.home)
        assert self.process is not None
        self.process.wait(STOP_WITHIN)

    def interrupt(self) -> float:
        """Seconds until nothing of it runs any more."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(STOP_WITHIN)
        while workers(self.running.home) and time.monotonic() < began + STOP_WITHIN:
            time.sleep(0.2)
        self.left = list(workers(self.running.home).values())
        return time.monotonic() - began


@dataclass(frozen=True)
class Lived:
    """What became of a home under the real daemon."""

    home: Home
    runs_at_the_cut: list[dg.DagsterRun]
    runs: list[dg.DagsterRun]
    log: str
    seconds_to_stop: float
    left_running: list[str]


def drop(running: System, played: Any) -> None:  # noqa: ANN401 - `churn.scenarios.Played`
    """Put a month's files into the inbox."""
    for due in played.deliveries:
        running.inbox.put(due.batch, {due.kind: deliveries.csv_bytes(due.table)})


@pytest.fixture(scope="module")
def lived(
    tmp_path_factory: pytest.TempPathFactory, environment: Callable[..., dict[str, str]], params: Params
) -> Iterator[Lived]:
    """The sample and a month, a second month with a power cut in it, the rest of it after that, and the end."""
    home = Home(tmp_path_factory.mktemp("real") / "home")
    source = deliveries.source_table()
    months = scenarios.play(source, seed=7, first=0, months=2, scenario="quiet", at=1, dealt=params.sample.seed)
    with operate.system(home, params) as running:
        up = Up(running, environment(home, {"PYTHONPATH": str(PROJECT)}), home.root.parent / "log")
        try:
            for batch, files in deliveries.sample_files().items():
                running.inbox.put(batch, files)
            up.start()
            up.rest(("champion", "champion"), ("predictions", "2024-06"))
            drop(running, months[0])
            up.rest(("predictions", "2024-07"), ("outcome_report", "2024-06"))
            drop(running, months[1])
            up.wait(lambda: any(run.status is dg.DagsterRunStatus.STARTED for run in up.runs()), "a run")
            up.kill()
            cut = up.runs()
            up.start()
            up.rest(("predictions", "2024-08"), ("outcome_report", "2024-07"))
            seconds = up.interrupt()
            yield Lived(home, cut, up.runs(), up.log.read_text(), seconds, up.left)
        finally:
            kill_all(home)


@pytest.fixture(scope="module")
def simulation(simulated: Callable[..., Any]) -> Any:  # noqa: ANN401 - `Simulated` of the drills' conftest
    """The same months, simulated."""
    return simulated("quiet", months=2)


def test_tables_champion_and_verdicts_are_those_of_the_simulation(
    lived: Lived,
    simulation: Any,  # noqa: ANN401
    end: Callable[[Home], Any],
) -> None:
    assert end(lived.home) == end(simulation.home)


def test_what_a_power_cut_left_is_mended_and_repeated(lived: Lived) -> None:
    cut = {run.run_id for run in lived.runs_at_the_cut if run.status in BEGUN}
    assert cut
    assert f"mended: {len(cut)} run" in lived.log
    now = {run.run_id: run.status for run in lived.runs}
    assert {now[run_id] for run_id in cut} == {dg.DagsterRunStatus.FAILURE}
    repeated = {run.parent_run_id for run in lived.runs if run.status is dg.DagsterRunStatus.SUCCESS}
    assert cut <= repeated


def test_every_other_run_succeeded_at_the_first_go(lived: Lived) -> None:
    failed = [run for run in lived.runs if run.status is not dg.DagsterRunStatus.SUCCESS]
    assert {run.run_id for run in failed} <= {run.run_id for run in lived.runs_at_the_cut}


def test_an_interrupt_stops_it_and_leaves_nothing_running(lived: Lived) -> None:
    assert lived.left_running == []
    assert lived.seconds_to_stop < STOP_WITHIN
