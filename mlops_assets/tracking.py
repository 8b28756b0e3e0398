"""MLflow: one run for one training, each candidate a registered version, and the aliases that follow the decisions.

The champion on disk is the authority; the registry is its published copy, and scoring never asks it. `Untracked` is the
same door with nothing behind it, for reproduction. MLflow takes seconds to import, and is imported where it is used.
"""

import contextlib
import json
import logging
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pandas as pd

from mlops_assets.provenance import Origin

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

MODEL_NAME = "churn"
EXPERIMENT = "churn"


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset that a training learned from: its name, where it lies, its digest, and its rows."""

    name: str
    source: str
    digest: str
    rows: int


@dataclass(frozen=True, slots=True)
class Version:
    """What is to be registered: a candidate's model with all that must be known about it."""

    candidate: str
    model: bytes
    model_md5: str
    threshold: float
    description: str
    tags: Mapping[str, str]


class Untracked:
    """No registry: every call does nothing. The form of `Tracking`, and its base."""

    @contextlib.contextmanager
    def run(self, context: dg.AssetExecutionContext, origin: Origin) -> Iterator[str | None]:
        """No run, hence no run id."""
        _ = context, origin
        yield None

    def log_training(self, params: Mapping[str, object], datasets: list[Dataset]) -> None:
        """Log what a training was made of."""

    def register(self, version: Version, sample: pd.DataFrame) -> str | None:
        """Version number under which the model is registered; None without a registry."""
        _ = version, sample
        return None

    def log_evaluation(self, metrics: Mapping[str, float], pictures: Mapping[str, bytes], table: pd.DataFrame) -> None:
        """Log figures, pictures (PNG by path, such as `all_history/roc.png`) and the table of metrics."""

    def log_winner(
        self, candidate: str | None, metrics: Mapping[str, float], pictures: Mapping[str, bytes], trained_in: str | None
    ) -> None:
        """Log the figures and pictures of the candidate that became champion as those of the run; None: none did."""

    def point(self, alias: str, model_md5: str) -> str | None:
        """Version number that `alias` now means; None without a registry."""
        _ = alias, model_md5
        return None

    def links(self, run_id: str | None) -> dict[str, object]:
        """Metadata that leads from an asset to its run."""
        _ = run_id
        return {}

    def why_down(self) -> str | None:
        """Why the registry cannot be asked, None if it can."""
        return None

    def why_unreadable(self) -> str | None:
        """Why the registry's database cannot be read, None if it can or is not there: for who must not wait long."""
        return None

    def why_unregistered(self, models: Iterable[str]) -> str | None:
        """Why not all models of these digests are registered, None if they are: without a registry none must be."""
        _ = models
        return None


@dataclass(frozen=True, slots=True)
class Tracking(Untracked):
    """MLflow on SQLite below `root`; artifacts lie beside it, or at `artifacts_at`, an address in S3."""

    root: Path
    artifacts_at: str | None = None

    @property
    def uri(self) -> str:
        """Address of the tracking and registry database."""
        return f"sqlite:///{self.root / 'mlflow.db'}"

    @contextlib.contextmanager
    def run(self, context: dg.AssetExecutionContext, origin: Origin) -> Iterator[str | None]:
        """The MLflow run of this Dagster run: made by its first asset, taken up by the next, never left RUNNING."""
        import mlflow
        from dagster_mlflow import mlflow_tracking

        self.prepare()
        self.close_orphans(context.instance)
        config = {
            "experiment_name": EXPERIMENT,
            "mlflow_tracking_uri": self.uri,
            "env": {},
            "extra_tags": {**origin.facts(), "dagster_job": context.run.job_name},
        }
        resources = dg.build_resources(
            {"mlflow": mlflow_tracking},
            instance=context.instance,
            dagster_run=context.run,
            log_manager=context.log,
            resource_config={"mlflow": {"config": config}},
        )
        with resources:
            try:
                yield active_run_id()
            except BaseException:
                mlflow.end_run("FAILED")
                raise
            mlflow.end_run("FINISHED")

    def prepare(self) -> None:
        """Make the database and the experiment, with its artifacts below `root`; quick when they are there."""
        import mlflow

        quiet()
        (self.root / "artifacts").mkdir(parents=True, exist_ok=True)
        if "AWS_ENDPOINT_URL" in os.environ:
            os.environ.setdefault("MLFLOW_S3_ENDPOINT_URL", os.environ["AWS_ENDPOINT_URL"])
        mlflow.set_tracking_uri(self.uri)
        mlflow.set_registry_uri(self.uri)
        if mlflow.get_experiment_by_name(EXPERIMENT) is None:
            place = self.artifacts_at or (self.root / "artifacts").as_uri()
            mlflow.create_experiment(EXPERIMENT, artifact_location=place)

    def close_orphans(self, instance: dg.DagsterInstance) -> None:
        """Mark as FAILED the runs whose process was killed: they cannot end themselves."""
        client = self.client()
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            return
        for run in client.search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'"):
            owner = instance.get_run_by_id(run.data.tags.get("dagster_run_id", ""))
            if owner is None or owner.is_finished:
                client.set_tag(run.info.run_id, "mlops.closed", "its process ended without ending it")
                client.set_terminated(run.info.run_id, "FAILED")

    def why_down(self) -> str | None:
        """Why the registry cannot be asked, None if it can."""
        try:
            self.prepare()
        except Exception as error:  # noqa: BLE001 - whatever its database or the network raises, it is down
            return f"the registry at {self.uri} cannot be asked ({type(error).__name__}: {first_line(error)})"
        return None

    def why_unreadable(self) -> str | None:
        """Why the registry's database cannot be read, None if it can or is not there; mlflow is not asked."""
        path = self.root / "mlflow.db"
        if not path.exists():  # the next run makes it
            return None
        try:
            with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.Error as error:
            return f"{path} cannot be read ({error})"
        return None

    def why_unregistered(self, models: Iterable[str]) -> str | None:
        """Why not all models of these digests are registered, None if they are."""
        if why := self.why_down():
            return why
        missing = [model for model in models if self.find(model) is None]
        return f"the registry has not taken {', '.join(missing)}" if missing else None

    def log_training(self, params: Mapping[str, object], datasets: list[Dataset]) -> None:
        """Log parameters, and each dataset as an input under its digest."""
        import mlflow
        from mlflow.data import meta_dataset, sources

        mlflow.log_params(dict(params))
        for dataset in datasets:
            source = sources.LocalArtifactDatasetSource(dataset.source)  # type: ignore[attr-defined] # made at import
            known = meta_dataset.MetaDataset(source, name=dataset.name, digest=dataset.digest)  # type: ignore[abstract]
            mlflow.log_input(known, context="training")
            mlflow.set_tag(f"dataset.{dataset.name}", dataset.digest)

    def register(self, version: Version, sample: pd.DataFrame) -> str | None:
        """Register the model as a pyfunc from code, unless a version with this digest is there; returns its number.

        `sample`, rows of features, gives the signature; no row of it is stored, they are customers.
        """
        import mlflow

        if there := self.find(version.model_md5):
            return str(there.version)
        with tempfile.TemporaryDirectory() as folder:
            model, decision = Path(folder, f"{version.model_md5}.cbm"), Path(folder, "decision.json")
            model.write_bytes(version.model)
            decision.write_text(json.dumps({"threshold": version.threshold}), encoding="utf-8")
            logged = mlflow.pyfunc.log_model(
                name=version.candidate,
                python_model=str(Path(__file__).with_name("serving_model.py")),
                artifacts={"model": str(model), "decision": str(decision)},
                signature=signature(sample),
                pip_requirements=requirements(),
            )
        client = self.client()
        with contextlib.suppress(mlflow.exceptions.MlflowException):  # it is there already
            client.create_registered_model(MODEL_NAME, description=MODEL_DESCRIPTION)
        made = client.create_model_version(
            MODEL_NAME,
            logged.model_uri,
            run_id=active_run_id(),
            model_id=logged.model_id,
            description=version.description,
            tags={
                "candidate": version.candidate,
                "model_md5": version.model_md5,
                **version.tags,
            },
        )
        return str(made.version)

    def log_evaluation(self, metrics: Mapping[str, float], pictures: Mapping[str, bytes], table: pd.DataFrame) -> None:
        """Log figures, pictures and the table of metrics to the run in progress."""
        import mlflow

        mlflow.log_metrics(dict(metrics))
        with tempfile.TemporaryDirectory() as folder:
            write_files(Path(folder), pictures)
            table.to_csv(Path(folder, "metrics.csv"), index=False)
            mlflow.log_artifacts(folder, "evaluation")

    def log_winner(
        self, candidate: str | None, metrics: Mapping[str, float], pictures: Mapping[str, bytes], trained_in: str | None
    ) -> None:
        """Log the figures and pictures of the candidate that became champion as those of the run; None: none did.

        They lead the run in progress and, where a person signed another day, that of the training, `trained_in`.
        """
        from mlflow.entities import Metric

        client, now = self.client(), int(time.time() * 1000)
        headline = [Metric(name, value, now, step=0) for name, value in metrics.items()]
        with tempfile.TemporaryDirectory() as folder:
            write_files(Path(folder), {f"{name}.png": png for name, png in pictures.items()})
            for run_id in dict.fromkeys([active_run_id(), *([trained_in] if trained_in else [])]):
                client.set_tag(run_id, "winner", candidate or "none")
                client.log_batch(run_id, metrics=headline)
                if pictures:
                    client.log_artifacts(run_id, folder, "winner")

    def point(self, alias: str, model_md5: str) -> str | None:
        """Let `alias` mean the version with this digest. Raises LookupError when none is registered."""
        self.prepare()
        version = self.find(model_md5)
        if version is None:
            message = (
                f"no version of {MODEL_NAME!r} has the model {model_md5}. Run retrain: it registers what is missing."
            )
            raise LookupError(message)
        self.client().set_registered_model_alias(MODEL_NAME, alias, version.version)
        return str(version.version)

    def find(self, model_md5: str) -> "ModelVersion | None":
        """The registered version with this digest."""
        versions = self.client().search_model_versions(f"name = '{MODEL_NAME}' and tag.model_md5 = '{model_md5}'")
        return min(versions, key=lambda version: int(version.version), default=None)

    def client(self) -> Any:  # noqa: ANN401 - mlflow's client, imported late
        """A client of the database, whatever the global tracking address is."""
        from mlflow import MlflowClient

        quiet()
        return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    def links(self, run_id: str | None) -> dict[str, object]:
        """Where to see the run: its id, and its page once `make mlflow` serves the interface."""
        experiment = self.client().get_experiment_by_name(EXPERIMENT).experiment_id
        address = f"{MLFLOW_UI}/#/experiments/{experiment}/runs/{run_id}"
        return {"mlflow_run_id": run_id or "", "mlflow_run": dg.MetadataValue.url(address)}


@contextlib.contextmanager
def if_up(
    tracking: Untracked, context: dg.AssetExecutionContext, origin: Origin
) -> Iterator[tuple[Untracked, str | None]]:
    """The registry with the MLflow run of this Dagster run, or, while it is down, nothing with no run.

    What was made meanwhile lies in layers, store and history all the same; the next run registers what is missing.
    """
    if why := tracking.why_down():
        context.log.warning(f"{why}; going on without it")
        yield Untracked(), None
        return
    with tracking.run(context, origin) as run_id:
        yield tracking, run_id


@contextlib.contextmanager
def forgiving(context: dg.AssetExecutionContext) -> Iterator[None]:
    """Go on where the registry does not take something: its artifacts may lie elsewhere, and promotion asks again."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever its storage raises, the model is in our own store
        context.log.warning(f"the registry did not take it ({type(error).__name__}: {first_line(error)}); going on")


def first_line(error: Exception) -> str:
    """The first line of an error's message."""
    return next(iter(str(error).strip().splitlines()), "")


MLFLOW_UI = "http://127.0.0.1:5000"  # where `make mlflow` serves it
MODEL_DESCRIPTION = """Probability that a customer of the telephone and internet company leaves in the month after the
snapshot, and the decision whether an offer pays. Input: `customer_features`, one row per customer. Output: `score`, a
calibrated probability, and `decision`, whether it passed the threshold set by the economics in params.yaml. Meant for
choosing whom to make an offer, and for nothing else. Figures by segment are in each version's run, under evaluation."""


def signature(sample: pd.DataFrame) -> Any:  # noqa: ANN401 - mlflow's ModelSignature
    """Signature of the registered model: features in, score and decision out; every feature may be missing."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    inputs: list[ColSpec | TensorSpec] = [
        ColSpec("double" if pd.api.types.is_numeric_dtype(sample[name]) else "string", name, required=False)
        for name in sample.columns
    ]
    return ModelSignature(Schema(inputs), Schema([ColSpec("double", "score"), ColSpec("boolean", "decision")]))


def requirements() -> list[str]:
    """What serving needs, pinned to what is installed; MLflow would take seconds to infer it."""
    from importlib.metadata import version

    return [f"{name}=={version(name)}" for name in ("mlflow", "catboost", "pandas", "numpy")]


def quiet() -> None:
    """Keep MLflow's notices and progress bars out of what a person reads, and its telemetry off."""
    for name in ("mlflow.store.db.utils", "mlflow.utils.environment", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # A connection that is kept would go on with a file that was put aside meanwhile, in a process that lives long.
    os.environ.setdefault("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write each file below the folder, by its path in it."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def active_run_id() -> str:
    """Id of the run in progress. Raises LookupError when there is none."""
    import mlflow

    run = mlflow.active_run()
    if run is None:
        message = "no MLflow run is in progress; register inside `with tracking.run(context)`."
        raise LookupError(message)
    return str(run.info.run_id)
