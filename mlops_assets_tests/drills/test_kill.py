"""Kill -9 of a simulation at any moment, and the same command again until it is done, changes nothing of its end."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest

from mlops_assets import operate
from mlops_assets.home import PROJECT, Home
from mlops_assets.params import Params
from mlops_assets.recovery import BEGUN
from mlops_assets.simulate import read_plan
from mlops_assets.storage import SIMULATED

pytestmark = pytest.mark.slow

SCENARIO, MONTHS = "cable_rival@3", 3  # the first champion in the sample, and a training in the last month
KILLS, SEED = 6, 5
FARTHEST = 18  # records of the history from one start to its kill; there are about 100 in all
PATIENCE = 600  # seconds
SAME = ("batch", "landed", "drift", "outcomes", "outcomes_of", "promoted", "champion")


class Play:
    """A simulation in a process group of its own, and how often it was killed."""

    def __init__(self, home: Home, command: list[str], env: dict[str, str]) -> None:
        """Nothing runs yet."""
        self.home, self.env, self.kills = home, env, 0
        self.command = [*command, "simulate", "--scenario", SCENARIO, "--months", str(MONTHS), "--json"]
        self.log = home.root.parent / "log"

    def records(self) -> int:
        """Lines of the history so far: it grows with every table made, verdict and champion."""
        return sum(path.read_bytes().count(b"\n") for path in self.home.history.glob("*.jsonl"))

    @property
    def is_done(self) -> bool:
        """Whether all months are told."""
        path = self.home.root / SIMULATED
        return path.is_file() and len(read_plan(path).told) >= MONTHS

    def start(self) -> subprocess.Popen[bytes]:
        """Begin, or go on."""
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self.command, stdout=log, stderr=log, env=self.env, cwd=PROJECT, start_new_session=True
            )

    def kill_after(self, records: int, seconds: float) -> None:
        """Go on until so many more records are told, and a moment longer; then kill whatever runs."""
        process, until = self.start(), self.records() + records
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None and self.records() < until:
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)
        time.sleep(seconds)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            self.kills += 1
        assert process.wait() in {-signal.SIGKILL, 0}, self.log.read_text()

    def finish(self) -> None:
        """Go on to the end."""
        code = self.start().wait(PATIENCE)
        assert code == 0, self.log.read_text()

    @property
    def told(self) -> list[dict[str, Any]]:
        """What was told of each month."""
        return list(read_plan(self.home.root / SIMULATED).told)


@pytest.fixture(scope="module")
def killed(
    tmp_path_factory: pytest.TempPathFactory, command: list[str], environment: Callable[..., dict[str, str]]
) -> Play:
    """A simulation from an empty home on that was killed at random moments, and then finished."""
    home = Home(tmp_path_factory.mktemp("killed") / "home")
    play = Play(home, command, environment(home))
    chance = random.Random(SEED)  # noqa: S311 - moments, not secrets
    for _ in range(KILLS):
        play.kill_after(chance.randint(0, FARTHEST), chance.random() / 2)
    if not play.is_done:
        play.finish()
    return play


@pytest.fixture(scope="module")
def undisturbed(simulated: Callable[..., Any]) -> Any:  # noqa: ANN401 - `Simulated` of the drills' conftest
    """The same simulation, at one go."""
    return simulated(SCENARIO, months=MONTHS)


def test_it_was_killed_often_before_it_was_done(killed: Play) -> None:
    assert killed.kills >= KILLS - 1  # a quick machine may be done before the last
    assert killed.is_done


def test_champion_tables_and_verdicts_are_those_of_an_undisturbed_run(
    killed: Play,
    undisturbed: Any,  # noqa: ANN401
    end: Callable[[Home], Any],
) -> None:
    ended, wanted = end(killed.home), end(undisturbed.home)
    assert ended.tables == wanted.tables
    assert ended.champion == wanted.champion
    assert ended.champions == wanted.champions
    assert list(dict.fromkeys(ended.verdicts)) == wanted.verdicts


def test_the_months_are_told_alike(killed: Play, undisturbed: Any) -> None:  # noqa: ANN401
    for told, wanted in zip(killed.told, undisturbed.months, strict=True):
        assert {name: told[name] for name in SAME} == {name: wanted[name] for name in SAME}
        assert set(told["trained"]) == set(wanted["trained"])


@pytest.fixture
def runs(killed: Play, params: Params) -> Iterator[list[dg.DagsterRun]]:
    """Every run there was."""
    with operate.system(killed.home, params) as running:
        yield list(running.instance.get_runs())


def test_no_run_is_left_that_nobody_works_on(runs: list[dg.DagsterRun]) -> None:
    assert not [run for run in runs if run.status in BEGUN or not run.is_finished]


def test_each_run_that_was_cut_off_was_repeated_until_it_succeeded(runs: list[dg.DagsterRun]) -> None:
    succeeded = {run.root_run_id or run.run_id for run in runs if run.is_success}
    failed = {run.root_run_id or run.run_id for run in runs if run.is_failure}
    assert failed
    assert failed <= succeeded


def test_nobody_is_woken_for_a_run_that_was_repeated(killed: Play, undisturbed: Any) -> None:  # noqa: ANN401
    woken = [title for month in killed.told for title in month["alerts"]]
    assert [title for title in woken if "failed" in title] == []
    assert sorted(set(woken)) == sorted({title for month in undisturbed.months for title in month["alerts"]})
