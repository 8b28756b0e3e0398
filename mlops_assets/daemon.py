"""The daemon's own rounds, run in this process: what `mlops simulate` and its tests drive instead of `dagster dev`.

Nothing of the loop is emulated: sensors are evaluated by Dagster's daemon code, with its cursors, run keys and ticks,
and each run is launched by it, only here and at once instead of in a process of its own. A run whose process died is
repeated by the daemon's own rule. What Dagster makes anew at every access to its SQLite databases, a connection's
engine with all SQL it compiled and the list of migrations, is made once here: half of a quiet month's CPU was that. All
of it is private API of Dagster (1.13), held in this one module and by `graph/test_daemon.py`.
"""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import dagster as dg
from alembic.config import Config
from alembic.script import ScriptDirectory
from dagster._core.definitions.reconstruct import ReconstructableJob
from dagster._core.instance.ref import InstanceRef
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon import sensor
from dagster._daemon.auto_run_reexecution.event_log_consumer import EventLogConsumerDaemon
from sqlalchemy import create_engine
from sqlalchemy.engine import Engine

from mlops_assets.home import Home

MODULE = "mlops_assets.definitions"
LOCATION = "mlops_assets"  # as in workspace.yaml: cursors are kept by it
HERE_AND_NOW = {
    "run_launcher": {
        "module": "dagster._core.launcher.sync_in_memory_run_launcher",
        "class": "SyncInMemoryRunLauncher",
    },
    "python_logs": {"python_log_level": "CRITICAL"},  # or every event of every run is printed
    "run_coordinator": {"module": "dagster.core.run_coordinator", "class": "DefaultRunCoordinator"},
}
ENGINES = 16  # the index, runs, schedules, and the newest runs' own databases
ROUNDS = 60  # more than that until nothing happens any more means that it never ends


class RestlessError(RuntimeError):
    """The sensors ask for runs without end."""


@dataclass(frozen=True, slots=True)
class Daemon:
    """The sensors of a home, evaluated when told to."""

    instance: dg.DagsterInstance
    workspace: WorkspaceProcessContext
    consumer: EventLogConsumerDaemon

    def tick(self) -> int:
        """Evaluate every sensor once; returns how many runs that started."""
        before = self.instance.get_runs_count()
        log = logging.getLogger("mlops_assets.daemon")
        logging.getLogger("dagster.daemon").setLevel(logging.ERROR)
        list(self.consumer.run_iteration(self.workspace))
        list(
            sensor.execute_sensor_iteration(
                self.workspace, log, threadpool_executor=None, submit_threadpool_executor=None
            )
        )
        return self.instance.get_runs_count() - before

    def settle(self, *, idle: int = 1) -> int:
        """Tick until `idle` ticks in a row start no run; returns how many were started. Raises RestlessError.

        Where a process was cut off within a tick, a first one only finishes that and evaluates nothing: 2 are needed.
        """
        total = quiet = 0
        for _ in range(ROUNDS):
            started = self.tick()
            total, quiet = total + started, 0 if started else quiet + 1
            if quiet == idle:
                return total
        message = f"after {ROUNDS} rounds the sensors still ask for runs; see their ticks in the UI."
        raise RestlessError(message)


@contextlib.contextmanager
def daemon(home: Home) -> Iterator[Daemon]:
    """The daemon of a home, with intervals between ticks left out."""
    origin = InProcessCodeLocationOrigin(
        LoadableTargetOrigin(executable_path=sys.executable, module_name=MODULE, working_directory=str(Path.cwd())),
        location_name=LOCATION,
    )
    with (
        replaced(sensor, "is_under_min_interval", lambda *_: False),
        remembered(),
        bound_to(home),
        dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home.dagster), overrides=HERE_AND_NOW)) as instance,
        WorkspaceProcessContext(instance, InProcessWorkspaceLoadTarget(origin)) as workspace,
    ):
        yield Daemon(instance, workspace, EventLogConsumerDaemon())


@contextlib.contextmanager
def bound_to(home: Home) -> Iterator[None]:
    """The code location reads its home from the environment when it is imported: it is imported anew for `home`."""
    before = {**os.environ}
    kept = sys.modules.pop(MODULE, None)
    os.environ["MLOPS_HOME"] = str(home.root)
    forget()
    try:
        yield
    finally:
        sys.modules.pop(MODULE, None)
        if kept is not None:
            sys.modules[MODULE] = kept
        os.environ.pop("MLOPS_HOME")
        os.environ.update(before)
        forget()


def forget() -> None:
    """Let Dagster forget the job it loaded last: it knows it by module and name, whatever home that was for."""
    ReconstructableJob.get_definition.cache_clear()
    ReconstructableJob.get_repository_definition.cache_clear()


@contextlib.contextmanager
def remembered() -> Iterator[None]:
    """Engines and migrations made once, by file; connections are still opened and closed as Dagster has it."""
    migrations = lru_cache(ScriptDirectory.from_config)

    @lru_cache(maxsize=ENGINES)
    def engine_of(url: str, settings: tuple[tuple[str, Any], ...], arguments: tuple[tuple[str, Any], ...]) -> Engine:
        return create_engine(url, **dict(settings), connect_args=dict(arguments))

    def engine(url: str, connect_args: dict[str, Any] | None = None, **settings: Any) -> Engine:
        return engine_of(url, tuple(settings.items()), tuple((connect_args or {}).items()))

    def script(config: Config) -> ScriptDirectory:
        return migrations(config)

    with contextlib.ExitStack() as stack:
        for module in (sqlite_event_log, sqlite_run_storage, sqlite_schedule_storage):
            stack.enter_context(replaced(module, "create_engine", engine))
        stack.enter_context(replaced(ScriptDirectory, "from_config", script))
        yield


@contextlib.contextmanager
def replaced(owner: Any, name: str, value: object) -> Iterator[None]:  # noqa: ANN401 - a module or class
    """Something else under a name of `owner`, for a while."""
    before = vars(owner)[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
