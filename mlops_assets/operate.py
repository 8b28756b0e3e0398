"""Runs the system in process: a home and its instance, one job at a time, and the demonstration.

Everything goes through the jobs that the UI shows, on the instance that `make ui` opens.
"""

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from mlops_assets import checks, deliveries
from mlops_assets.home import Home, link_settings
from mlops_assets.landing import Inbox
from mlops_assets.params import Params
from mlops_assets.partitions import BATCHES, parse_batch
from mlops_assets.relocation import relocate
from mlops_assets.resources import environment_from_environment, resources_for
from mlops_assets.tracking import EXPERIMENT

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


SHOWN = {
    "validated_customers": "customers",
    "quarantined_customers": "quarantined",
    "labelled_customers": "labelled",
    "predictions": "scored",
}
GATES = ("promotion", "drift")
HELD = 16  # databases
IN_PROCESS = {"mlops/in_process": "true"}  # a run that lives in the process of a command


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a run: whether it succeeded, its checks, and what it materialized with which metadata."""

    is_success: bool
    run_id: str
    checks: tuple[dg.AssetCheckEvaluation, ...]
    materialized: Mapping[str, Mapping[str, Any]]
    error: str | None = None

    @property
    def broken(self) -> list[str]:
        """What stopped the run, one line for each broken contract, or the error."""
        lines = [f"{c.asset_key.to_user_string()}: {c.description}" for c in self.checks if is_broken(c)]
        return lines or ([self.error] if self.error else [])

    @property
    def warnings(self) -> list[str]:
        """What did not stop the run and should be read."""
        return [
            f"{c.asset_key.to_user_string()}: {c.description}" for c in self.checks if not c.passed and not is_broken(c)
        ]


def is_broken(check: dg.AssetCheckEvaluation) -> bool:
    """Whether the check stopped the run."""
    return not check.passed and check.severity is dg.AssetCheckSeverity.ERROR


@dataclass(frozen=True, slots=True)
class System:
    """A running system: its home, its Dagster instance, its parameters, and the resources that are made of them."""

    home: Home
    instance: dg.DagsterInstance
    params: Params
    # Those of the code location are bound to MLOPS_HOME when it is imported, which need not be this home.
    resources: Mapping[str, Any]

    @property
    def inbox(self) -> Inbox:
        """Where files land."""
        return Inbox(self.home.landing, self.params.landing.max_megabytes * 2**20)

    def run(self, job: str, batch: str | None = None, config: Mapping[str, Any] | None = None) -> Ran:
        """Run a job in this process, for a batch where it has them."""
        from mlops_assets.definitions import defs

        if batch is not None:
            self.register(batch)
        with alone(self.home):
            self.bury()
            result = defs.resolve_job_def(job).execute_in_process(
                instance=self.instance,
                partition_key=batch,
                run_config={**QUIET, **(config or {})},
                resources=dict(self.resources),
                raise_on_error=False,
                tags={"mlops/job": job, **IN_PROCESS},
            )
        return outcome(result)

    def materialize(self, asset: str, batch: str | None = None, config: Mapping[str, Any] | None = None) -> Ran:
        """Materialize one asset, of a batch where it has them, with its config; as a click in the UI does."""
        from mlops_assets.definitions import ASSETS

        if batch is not None:
            self.register(batch)
        # A selection of assets cannot be handed other resources than those its definitions are bound to.
        here = dg.Definitions(assets=ASSETS, resources=self.resources)
        with alone(self.home):
            self.bury()
            result = here.resolve_implicit_global_asset_job_def().execute_in_process(
                instance=self.instance,
                partition_key=batch,
                asset_selection=[dg.AssetKey(asset)],
                run_config={**QUIET, **({"ops": {asset: {"config": dict(config)}}} if config else {})},
                raise_on_error=False,
                tags=IN_PROCESS,
            )
        return outcome(result)

    def bury(self) -> None:
        """Mark as failed the runs of killed processes: they stay STARTED for ever otherwise, and block the queue.

        Runs of this kind are alone in their home, so whoever is in finds none of them alive.
        """
        begun = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
        for run in self.instance.get_runs(dg.RunsFilter(statuses=begun, tags=IN_PROCESS)):
            self.instance.report_run_failed(run, "its process ended without ending it")

    def register(self, batch: str) -> None:
        """Make the batch a partition, so that the UI offers it."""
        self.instance.add_dynamic_partitions(str(BATCHES.name), [parse_batch(batch)])

    def land(self, content: bytes, *, file: str, batch: str) -> list[str]:
        """Put a file in either form into the inbox, split where it has customers and outcomes; returns the kinds.

        Raises FileRefused when it is neither.
        """
        files = deliveries.split(content, file=file)
        self.inbox.put(batch, files)
        self.register(batch)
        return list(files)

    def deal(self, *, months: int, rows: int | None = None) -> list[str]:
        """Land the next months of the future; returns them. Raises FileRefused as `deliveries.deal_next` does."""
        dealt = deliveries.deal_next(self.inbox, seed=self.params.sample.seed, months=months, rows=rows)
        for batch in dealt:
            self.register(batch)
        return dealt


def outcome(result: dg.ExecuteInProcessResult) -> Ran:
    """What came of a finished run."""
    failures = [event for event in result.all_events if event.is_step_failure]
    error = None
    if failures:
        data = failures[0].step_failure_data
        inner = data.error.cause if data.error and data.error.cause else data.error
        error = inner.message.strip() if inner else "the run failed"
    events = result.get_asset_materialization_events()
    materialized = {
        event.asset_key.to_user_string(): {key: value.value for key, value in event.materialization.metadata.items()}
        for event in events
        if event.asset_key
    }
    evaluations = tuple(result.get_asset_check_evaluations())
    is_success = result.success and not any(is_broken(check) for check in evaluations)
    return Ran(is_success, result.run_id, evaluations, materialized, error)


@contextlib.contextmanager
def system(home: Home, params: Params) -> Iterator[System]:
    """The running system of a home, made if it is not there yet."""
    home.dagster.mkdir(parents=True, exist_ok=True)
    if not os.access(home.root, os.W_OK):
        message = f"{home.root} cannot be written. Set MLOPS_HOME to a folder that can."
        raise PermissionError(message)
    environment = environment_from_environment()
    link_settings(home, environment)
    with contextlib.ExitStack() as stack:
        stack.enter_context(held_open(home.dagster))
        with alone(home):  # two at once would both make the databases
            with answered():
                instance = stack.enter_context(dg.DagsterInstance.from_config(str(home.dagster)))
                # Dagster heeds a pool that it knows, and otherwise only from the second run on.
                instance.event_log_storage.initialize_concurrency_limit_to_default(checks.TRAINING)
            relocate(home.root, EXPERIMENT)
        yield System(home, instance, params, resources_for(environment, home, params))


@contextlib.contextmanager
def answered() -> Iterator[None]:
    """Raises ConnectionError, with what to look at, where Dagster's database does not answer."""
    from sqlalchemy.exc import OperationalError

    try:
        yield
    except Exception as error:
        silence = error if isinstance(error, OperationalError) else error.__cause__
        if not isinstance(silence, OperationalError):
            raise
        said = str(silence.orig).strip()
        message = f"Dagster's database does not answer: {said}. See docs/deploy.md: PGHOST and so on."
        raise ConnectionError(message) from error


@contextlib.contextmanager
def alone(home: Home) -> Iterator[None]:
    """Alone in the home among processes of this kind; the lock goes with the process, however it ends."""
    descriptor = os.open(home.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def held_open(folder: Path) -> Iterator[None]:
    """Hold a connection to the SQLite databases below `folder` last used, and flush at checkpoints only.

    Dagster opens and closes a connection for every event, and SQLite flushes its log at each close of the last one: 830
    flushes for one month scored, 10 to 19 with this (`docs/cost.md`). In WAL mode a killed process loses nothing; a
    power cut can lose the last events and damages nothing. Source: sqlite.org/pragma.html, synchronous.
    """
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    held: dict[str, sqlite3.Connection] = {}

    def hold(connection: object, _: object) -> None:
        if not isinstance(connection, sqlite3.Connection):
            return
        path = connection.execute("PRAGMA database_list").fetchone()[2]
        if not Path(path).is_relative_to(folder):
            return
        connection.execute("PRAGMA synchronous=NORMAL")
        if path not in held:
            held[path] = sqlite3.connect(path, check_same_thread=False)
            held[path].execute("PRAGMA journal_mode=WAL")
            held[path].execute("SELECT count(*) FROM sqlite_master").fetchone()
        held[path] = held.pop(path)  # the last used comes last
        while len(held) > HELD:  # each run has a database of its own, and a simulated year a hundred of them
            held.pop(next(iter(held))).close()

    event.listen(Engine, "connect", hold)
    try:
        yield
    finally:
        event.remove(Engine, "connect", hold)
        for connection in held.values():
            connection.close()


def demo(running: System, tell: Callable[[str], None]) -> list[str]:
    """Run the graph on the sample months: score each, learn those with outcomes, retrain, rescore the newest.

    `tell` gets a line after each run. Returns what stopped a run; empty when all went well.
    """
    sample = running.params.sample
    files = deliveries.sample_files()
    for month, delivery in files.items():
        deliveries.refuse_others(running.inbox, month, delivery)
    for month, delivery in files.items():
        running.inbox.put(month, delivery)
        running.register(month)
    tell(f"landed {len(files)} months in {running.inbox.root}")
    steps: list[tuple[str, str | None]] = [("score", month) for month in files]
    steps += [("learn", month) for month, delivery in files.items() if "outcomes" in delivery]
    steps += [("retrain", None), ("rescore", sample.score_batch)]
    as_of = {"ops": {"training_set": {"config": {"as_of": sample.as_of}}}}
    for number, (job, batch) in enumerate(steps, start=1):
        ran = running.run(job, batch, as_of if job == "retrain" else None)
        tell(f"[{number:2}/{len(steps)}] {job} {batch or f'as of {sample.as_of}'}: {in_short(ran)}")
        if not ran.is_success:
            return ran.broken
    return []


def in_short(ran: Ran) -> str:
    """A run in a few words."""
    if not ran.is_success:
        return "FAILED"
    rows = [f"{facts['dagster/row_count']} {SHOWN[name]}" for name, facts in ran.materialized.items() if name in SHOWN]
    notes = [
        str(check.description)
        for check in ran.checks
        if check.check_name in GATES
        or (check.asset_key.to_user_string() == "predictions" and check.metadata.get("abstains"))
    ]
    return ", ".join(rows + notes)
