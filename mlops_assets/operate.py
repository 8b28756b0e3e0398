"""Runs the system in process: a home and its instance, one job at a time, and the demonstration.

Everything goes through the jobs that the UI shows, on the instance that `make ui` opens.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg
import pandas as pd

from mlops_assets.churn import simulation
from mlops_assets.churn.cleaning import read_landed, render
from mlops_assets.churn.schemas import OUTCOME_COLUMNS, Customers, fields
from mlops_assets.landing import KINDS, Inbox
from mlops_assets.params import Params
from mlops_assets.partitions import BATCHES, parse_batch
from mlops_assets.resources import PROJECT, Home, resources_for

OPTIONAL_OUTCOME_COLUMNS = ("assignment", "assignment_chance")
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


SHOWN = {
    "validated_customers": "customers",
    "quarantined_customers": "quarantined",
    "labelled_customers": "labelled",
    "predictions": "scored",
}
GATES = ("promotion", "drift")


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
        result = defs.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            partition_key=batch,
            run_config={**QUIET, **(config or {})},
            resources=dict(self.resources),
            raise_on_error=False,
            tags={"mlops/job": job},
        )
        return outcome(result)

    def materialize(self, asset: str, batch: str | None = None, config: Mapping[str, Any] | None = None) -> Ran:
        """Materialize one asset, of a batch where it has them, with its config; as a click in the UI does."""
        from mlops_assets.definitions import ASSETS

        if batch is not None:
            self.register(batch)
        # A selection of assets cannot be handed other resources than those its definitions are bound to.
        here = dg.Definitions(assets=ASSETS, resources=self.resources)
        result = here.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=self.instance,
            partition_key=batch,
            asset_selection=[dg.AssetKey(asset)],
            run_config={**QUIET, **({"ops": {asset: {"config": dict(config)}}} if config else {})},
            raise_on_error=False,
        )
        return outcome(result)

    def register(self, batch: str) -> None:
        """Make the batch a partition, so that the UI offers it."""
        self.instance.add_dynamic_partitions(str(BATCHES.name), [parse_batch(batch)])

    def land(self, content: bytes, *, file: str, batch: str) -> list[str]:
        """Put a file in either form into the inbox, split where it has customers and outcomes; returns the kinds.

        Raises FileRefused when it is neither.
        """
        files = split(content, file=file)
        self.inbox.put(batch, files)
        self.register(batch)
        return list(files)


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
    settings = home.dagster / "dagster.yaml"
    if not settings.exists():
        settings.unlink(missing_ok=True)
        settings.symlink_to(PROJECT / "deploy" / "dagster.yaml")
    with dg.DagsterInstance.from_config(str(home.dagster)) as instance:
        yield System(home, instance, params, resources_for("local", home, params))


def split(content: bytes, *, file: str) -> dict[str, bytes]:
    """The files of a delivery by kind. A file with one kind stays as it is, byte by byte.

    Raises FileRefused when it has the columns of neither.
    """
    kinds = {"customers": tuple(fields(Customers)), "outcomes": OUTCOME_COLUMNS}
    landed = read_landed(content, file=file, columns=("customer_id",))
    present = {kind: set(columns) <= set(landed.rows) for kind, columns in kinds.items()}
    if all(present.values()):
        optional = tuple(name for name in OPTIONAL_OUTCOME_COLUMNS if name in landed.rows)
        extra = tuple(
            n for n in landed.rows.columns if n not in {*kinds["customers"], *OUTCOME_COLUMNS, *optional, *SOURCES}
        )
        return {
            "customers": render(landed.rows, (*kinds["customers"], *extra)),
            "outcomes": render(landed.rows, (*OUTCOME_COLUMNS, *optional)),
        }
    if present["outcomes"] and not set(kinds["customers"][1:]) & set(landed.rows):
        return {"outcomes": content}
    # Reading it as customers names the columns that are missing, if any; a part of them is no file of outcomes.
    read_landed(content, file=file, columns=kinds["customers"])
    return {"customers": content}


SOURCES = ("source_file", "source_md5", "source_line", "source_text")


def sample_files() -> dict[str, dict[str, bytes]]:
    """The sample months in the project: bytes by batch and kind."""
    files: dict[str, dict[str, bytes]] = {}
    for kind in KINDS:
        for path in sorted((PROJECT / "data" / "landing" / kind).glob("*.csv")):
            files.setdefault(path.stem, {})[kind] = path.read_bytes()
    return dict(sorted(files.items()))


def source_table() -> pd.DataFrame:
    """The real table that all months are dealt from, as text."""
    return pd.read_csv(PROJECT / "data" / "source" / "telco_churn.csv", dtype=str, keep_default_na=False)


def deal_next(running: System, *, months: int, rows: int | None) -> list[str]:
    """Land the next `months` of the future: each month's customers, and the outcomes of the month before."""
    source, seed = source_table(), running.params.sample.seed
    sample = simulation.sample_months(source, seed=seed)
    known = running.inbox.batches("customers")
    first = known[-1] if known else ""
    future = simulation.future(source, seed=seed, months=months + months_between(sample[-1].batch, first), rows=rows)
    landed: list[str] = []
    before = next((month for month in sample if month.batch == sample[-1].batch), None)
    for month in future:
        if month.batch > first and len(landed) < months:
            files = {"customers": csv_bytes(month.customers)}
            running.inbox.put(month.batch, files)
            running.register(month.batch)
            if before is not None and before.batch in running.inbox.batches("customers"):
                running.inbox.put(before.batch, {"outcomes": csv_bytes(before.outcomes)})
            landed.append(month.batch)
        before = month
    return landed


def months_between(first: str, second: str) -> int:
    """Months from `first` to `second`, 0 if `second` is not later."""
    if not second:
        return 0
    a, b = (int(batch[:4]) * 12 + int(batch[5:]) for batch in (first, second))
    return max(0, b - a)


def csv_bytes(table: pd.DataFrame) -> bytes:
    """A dealt table as the CSV that lands."""
    return table.to_csv(index=False, lineterminator="\n").encode()


def demo(running: System, tell: Callable[[str], None]) -> list[str]:
    """Run the graph on the sample months: score each, learn those with outcomes, retrain, rescore the newest.

    `tell` gets a line after each run. Returns what stopped a run; empty when all went well.
    """
    sample = running.params.sample
    files = sample_files()
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
