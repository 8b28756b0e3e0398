"""Homes for tests: the demonstration run once for all, a copy of it for tests that change something, an empty one.

Everything in them is real: Dagster on SQLite, MLflow on SQLite with its artifacts, Parquet on disk.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from mlops_assets import operate, simulate
from mlops_assets.home import Home
from mlops_assets.operate import System
from mlops_assets.params import Params, load_params
from mlops_assets.relocation import relocate
from mlops_assets.storage import SIMULATED, Layers
from mlops_assets.tracking import EXPERIMENT

PROJECT = Path(__file__).resolve().parents[1]

# The same examples every time; and no deadline for one, which would fail on a busy machine and says nothing of a rule.
settings.register_profile("project", deadline=None, derandomize=True)
settings.load_profile("project")


def pytest_configure() -> None:
    """A test that names no home must not find the running system: the environment's home is a folder nobody made."""
    os.environ["MLOPS_HOME"] = str(Path(tempfile.gettempdir(), f"no-home-{os.getpid()}"))
    for name in (
        "DAGSTER_HOME",
        "MLFLOW_TRACKING_URI",
        "MLOPS_ALERT_URLS",
        "MLOPS_ENVIRONMENT",
        "MLOPS_HEARTBEAT_URL",
        "MLOPS_PARAMS",
        "MLOPS_S3",
    ):
        os.environ.pop(name, None)


@pytest.fixture(scope="session")
def params() -> Params:
    """The parameters that the project ships."""
    return load_params(PROJECT / "params.yaml")


@pytest.fixture(scope="session")
def demo_home(tmp_path_factory: pytest.TempPathFactory, params: Params) -> Home:
    """The home in which the demonstration ran, once for all workers. To be read only."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    home, done = Home(shared / "demo"), shared / "demo.done"
    with (shared / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            with operate.system(home, params) as running:
                stopped = operate.demo(running, lambda _: None)
            assert stopped == []
            done.touch()
    return home


@pytest.fixture(scope="session")
def demo(demo_home: Home, params: Params) -> Iterator[System]:
    """The system of `demo_home`. To be read only."""
    with operate.system(demo_home, params) as running:
        yield running


@pytest.fixture(scope="session")
def layers(demo_home: Home) -> Layers:
    """The layers of `demo_home`. To be read only."""
    return Layers(demo_home.layers)


@pytest.fixture(scope="session")
def copy_home(demo_home: Home) -> Callable[[Path], Home]:
    """Copies `demo_home` to a path that is not there yet."""

    def copy(to: Path) -> Home:
        shutil.copytree(demo_home.root, to, symlinks=True)
        relocate(to, EXPERIMENT)
        return Home(to)

    return copy


@pytest.fixture
def copied_home(copy_home: Callable[[Path], Home], tmp_path: Path) -> Home:
    """A copy of `demo_home` for one test to change."""
    return copy_home(tmp_path / "copied")


@pytest.fixture
def copied(copied_home: Home, params: Params) -> Iterator[System]:
    """The system of `copied_home`."""
    with operate.system(copied_home, params) as running:
        yield running


@pytest.fixture
def empty(tmp_path: Path, params: Params) -> Iterator[System]:
    """A system in which nothing has happened yet."""
    with operate.system(Home(tmp_path / "empty"), params) as running:
        yield running


@pytest.fixture(scope="session")
def sampled_home(tmp_path_factory: pytest.TempPathFactory, params: Params) -> Home:
    """A home in which the loop took the six sample months and made a first champion of them. To be read only."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    home, done = Home(shared / "sampled"), shared / "sampled.done"
    with (shared / "sampled.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            with operate.system(home, params) as running:
                simulate.simulate(running, simulate.DEMO, months=0, tell=lambda _: None)
            (home.root / SIMULATED).unlink()  # so that any simulation may begin in a copy
            done.touch()
    return home


@pytest.fixture(scope="session")
def copy_sampled(sampled_home: Home) -> Callable[[Path], Home]:
    """Copies `sampled_home` to a path that is not there yet."""

    def copy(to: Path) -> Home:
        shutil.copytree(sampled_home.root, to, symlinks=True)
        relocate(to, EXPERIMENT)
        return Home(to)

    return copy


@pytest.fixture(scope="session")
def environment() -> Callable[..., dict[str, str]]:
    """Environment variables of a process that works in a home."""

    def variables(home: Home, more: Mapping[str, str] | None = None) -> dict[str, str]:
        home.dagster.mkdir(parents=True, exist_ok=True)
        if not (home.dagster / "dagster.yaml").exists():
            shutil.copy(PROJECT / "deploy" / "dagster.yaml", home.dagster)
        homes = {"MLOPS_HOME": str(home.root), "DAGSTER_HOME": str(home.dagster)}
        return {**os.environ, **homes, **(more or {})}

    return variables


@pytest.fixture(scope="session")
def python(environment: Callable[..., dict[str, str]]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs this interpreter with arguments, in a process of its own that works in a home."""

    def run(home: Home, *arguments: str, cwd: Path = PROJECT, **more: str) -> subprocess.CompletedProcess[str]:
        command: list[Any] = [sys.executable, *arguments]
        env = environment(home, more)
        return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, env=env, cwd=cwd)

    return run
