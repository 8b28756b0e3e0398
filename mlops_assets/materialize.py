"""The graph for `dvc repro`: `python -m mlops_assets.materialize LAYER...` makes layers of `data/` from what is there.

The very assets of production, with the resources of `reproduction`: no registry, no champion from before, and nothing
of a running system, whatever MLOPS_HOME says. A layer is made anew and whole, as DVC takes it: its folders are emptied,
then filled batch by batch. What may be learned from is read off the files that lie there, never off past runs. Only
the modules of the layer itself are loaded, so that each stage depends on the code it uses and on no other.
"""

import argparse
import fcntl
import importlib
import os
import shutil
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from mlops_assets.compared import write_compared
from mlops_assets.params import Params, ParamsError
from mlops_assets.partitions import BATCHES
from mlops_assets.resources import resources_for
from mlops_assets.storage import Layers
from mlops_assets.tables import LAYERS, TABLES

MODULES = {"model": ("model", "promotion", "champion")}  # else that of its name
# A page for people never has the same bytes twice; and the newest sample month has no outcomes to be judged by.
NEVER = {"evidently_report", "outcome_report"}
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class RefusedError(RuntimeError):
    """The call cannot be served as things are; the message says what to do first."""


class BrokenError(RuntimeError):
    """A layer could not be made; the message says which asset of which batch stopped it, and why."""


@dataclass(frozen=True, slots=True)
class Step:
    """One run of the graph: some assets of a layer, of one batch where they have them, with their config."""

    assets: tuple[str, ...]
    batch: str | None = None
    config: Mapping[str, Any] | None = None


def materialize(layer: str, resources: Mapping[str, Any]) -> None:
    """Make every table of a layer anew from the layers before it, and print a line for each.

    Raises RefusedError when a layer before it is not there, BrokenError when a blocking check stops an asset.
    """
    layers: Layers = resources["layers"]
    assets = assets_of(layer)
    upstream = {key.to_user_string() for asset in assets for key in asset.dependency_keys} - tables_of(layer)
    refuse_missing(layer, upstream, layers)
    steps = steps_of(layer, resources)
    for name in tables_of(layer):
        shutil.rmtree(layers.root / TABLES[name].folder, ignore_errors=True)
        (layers.root / TABLES[name].folder).mkdir(parents=True)
    known = [dg.AssetSpec(name, partitions_def=BATCHES if TABLES[name].is_by_batch else None) for name in upstream]
    graph = dg.Definitions(assets=[*assets, *known], resources=resources).resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(str(BATCHES.name), sorted({step.batch for step in steps if step.batch}))
        for step in steps:
            result = graph.execute_in_process(
                instance=instance,
                partition_key=step.batch,
                asset_selection=[dg.AssetKey(name) for name in step.assets],
                run_config={**QUIET, "ops": dict(step.config or {})},
                raise_on_error=False,
            )
            tell(result, step.batch)
    write_compared(layer, layers, resources["params"])


def assets_of(layer: str) -> list[dg.AssetsDefinition]:
    """The assets of a layer's modules that are its own; a module may import others to depend on them."""
    with warnings.catch_warnings():
        # As in `definitions`: contracts carry their partition by a preview feature.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        modules = [importlib.import_module(f"mlops_assets.assets.{name}") for name in MODULES.get(layer, (layer,))]
    found = [value for module in modules for value in vars(module).values() if isinstance(value, dg.AssetsDefinition)]
    own = {key: asset for asset in found for key in asset.keys if key.to_user_string() in tables_of(layer)}
    return list({id(asset): asset for asset in own.values()}.values())


def tables_of(layer: str) -> set[str]:
    """Names of the tables that a layer has in `data/`; each is one out of its stage."""
    return {name for name, table in TABLES.items() if table.layer == layer} - NEVER


def refuse_missing(layer: str, upstream: set[str], layers: Layers) -> None:
    """Raises RefusedError naming the layer to make first, when a table that `layer` is made from has no folder."""
    for name in sorted(upstream, key=list(TABLES).index):
        if not (layers.root / TABLES[name].folder).is_dir():
            first = TABLES[name].layer
            message = (
                f"{layer} is made from {name}, which is not there: run `python -m mlops_assets.materialize {first}`."
            )
            raise RefusedError(message)


def steps_of(layer: str, resources: Mapping[str, Any]) -> list[Step]:
    """The runs that make a layer, in order: the protocol that `mlops demo --sample` follows too (docs/reproduce.md)."""
    layers: Layers = resources["layers"]
    params: Params = resources["params"]
    if layer == "raw":
        landed = {f"raw_{kind}": resources["inbox"].batches(kind) for kind in ("customers", "outcomes")}
        if not landed["raw_customers"]:
            message = f"no month lies in {resources['inbox'].root}. Restore it with `git checkout data/landing`."
            raise RefusedError(message)
        return by_batch(landed)
    if layer == "validated":
        kinds = ("customers", "outcomes")
        return by_batch(
            {f"{sort}_{kind}": layers.batches(f"raw_{kind}") for kind in kinds for sort in ("quarantined", "validated")}
        )
    if layer == "features":
        mature = layers.batches("validated_outcomes")
        every = layers.batches("validated_customers")
        learned = dict.fromkeys(("coverage_report", "labelled_customers"), mature)
        made = by_batch({"customer_features": every, **learned})
        return [*made, Step(("training_set",), config={"training_set": {"config": {"as_of": params.sample.as_of}}})]
    if layer == "model":
        return [Step(("churn_model", "model_evaluation", "promotion_verdict", "champion"))]
    batch = params.sample.score_batch
    if layer == "drift" and not layers.exists("predictions", batch):
        print(f"drift_report of {batch}: skipped, as in production, since there are no predictions of it")
        return []
    return [Step(tuple(tables_of(layer)), batch)]


def by_batch(batches: Mapping[str, list[str]]) -> list[Step]:
    """One step for each batch, oldest first, with the assets that have it; `batches` by asset."""
    every = sorted({batch for of_asset in batches.values() for batch in of_asset})
    return [Step(tuple(name for name, of_asset in batches.items() if batch in of_asset), batch) for batch in every]


def tell(result: dg.ExecuteInProcessResult, batch: str | None) -> None:
    """Print what a run made, a line for each table. Raises BrokenError with what stopped it."""
    for event in result.get_asset_materialization_events():
        facts = {key: value.value for key, value in event.materialization.metadata.items()}
        name = event.materialization.asset_key.to_user_string()
        print(f"{named(name, batch)}: {facts['dagster/row_count']} rows, md5 {facts['dvc_md5']}")
    evaluations = result.get_asset_check_evaluations()
    for check in evaluations:
        if check.check_name == "contract" and "abstains" in check.metadata:
            print(f"{named(check.asset_key.to_user_string(), batch)}: {check.description}")
    broken = [
        f"{named(check.asset_key.to_user_string(), batch)}: {check.description}"
        for check in evaluations
        if not check.passed and check.severity is dg.AssetCheckSeverity.ERROR
    ]
    if broken or not result.success:
        raise BrokenError("\n".join(broken or failures(result, batch)))


def failures(result: dg.ExecuteInProcessResult, batch: str | None) -> Iterator[str]:
    """What stopped a run that no check stopped: the error of each step that failed."""
    for event in result.all_events:
        if event.is_step_failure:
            error = event.step_failure_data.error
            error = error.cause if error and error.cause else error
            yield f"{named(str(event.step_key), batch)}: {error.message.strip() if error else 'failed'}"


def named(name: str, batch: str | None) -> str:
    """A table in messages."""
    return f"{name} of {batch}" if batch else name


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Alone in `root`; the lock goes with the process. Raises RefusedError naming who is in it."""
    root.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode().strip() or "unknown"
            message = f"process {holder} is at work in {root}. Wait until it ends, then run this again."
            raise RefusedError(message) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def main() -> int:
    """Make the layers that are named, in the order of the graph; 0 done, 1 failed, 2 refused."""
    parser = argparse.ArgumentParser(
        prog="python -m mlops_assets.materialize", description="Make layers of data/ anew."
    )
    parser.add_argument("layers", nargs="+", choices=LAYERS, metavar="LAYER", help=", ".join(LAYERS))
    asked = parser.parse_args().layers
    try:
        resources = resources_for("reproduction")
        with alone(resources["layers"].root):
            for layer in sorted(set(asked), key=LAYERS.index):
                materialize(layer, resources)
    except (RefusedError, ParamsError) as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
