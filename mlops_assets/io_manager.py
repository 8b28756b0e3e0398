"""What Dagster hands to storage: outputs with their data version and where they came from, inputs with their digest.

Every materialization is told to the history: which version, made by which run, from which versions of its inputs.
"""

from typing import Any

import dagster as dg
import pandas as pd

from mlops_assets.files import md5
from mlops_assets.history import Made, Unrecorded
from mlops_assets.storage import Bundle, Layers
from mlops_assets.tables import TABLES


class LayersIOManager(dg.IOManager):
    """Puts what an asset yields into its layer and sets the file's digest as the data version; reads inputs back."""

    def __init__(self, layers: Layers, history: Unrecorded) -> None:
        """Reads and writes below `layers`, and tells `history` of every version."""
        self.layers, self.history = layers, history
        # Digests of what each step read, by step: an input may be replaced before the output is there.
        self.loaded: dict[tuple[str, str], dict[str, str]] = {}

    def handle_output(self, context: dg.OutputContext, obj: pd.DataFrame | Bundle) -> None:
        """Write the table of the asset's partition, and say where, under which digest and from which inputs."""
        name = context.asset_key.path[-1]
        batch = context.asset_partition_key if context.has_asset_partitions else None
        table, files = (obj.table, obj.files) if isinstance(obj, Bundle) else (obj, {})
        inputs = self.inputs(context, table)
        digest = self.layers.write(name, obj, batch)
        # Not a documented call (Dagster 1.13); `graph/test_storage.py` holds it.
        context.step_context.set_data_version(context.asset_key, dg.DataVersion(digest))
        path = self.layers.path(name, batch)
        size = path.stat().st_size
        facts: dict[str, Any] = {
            "dvc_md5": digest,
            "path": str(path),
            "size_bytes": size,
            "dagster/row_count": len(table),
        }
        if self.layers.store:
            folder = self.layers.keep_folder(name, self.layers.store)
            facts |= {"dvc_folder_md5": folder, "inputs": inputs}
            named = {file: md5(content) for file, content in files.items()}
            run = context.step_context.dagster_run
            made = Made(name, batch, digest, size, len(table), named, folder, inputs, run.run_id, run.job_name)
            self.history.add(made)
        context.add_output_metadata(facts)

    def load_input(self, context: dg.InputContext) -> pd.DataFrame:
        """Read the table of the partition that the asset depends on."""
        name = context.asset_key.path[-1]
        batch = context.asset_partition_key if context.has_asset_partitions else None
        table = self.layers.read(name, batch)
        self.loaded.setdefault(step_of(context), {})[versioned(name, batch)] = self.layers.digest(name, batch)
        return table

    def inputs(self, context: dg.OutputContext, table: pd.DataFrame) -> dict[str, str]:
        """Digests of what the output was made from: read by this manager, listed in the table, or lying there."""
        inputs = dict(self.loaded.get(step_of(context), {}))
        if "source_md5" in table and len(table):
            inputs[str(table.source_file.iloc[0])] = str(table.source_md5.iloc[0])
        for dep in context.asset_spec.deps:
            name = dep.asset_key.path[-1]
            if TABLES[name].is_by_batch:  # a list of batches with their digests, not a copy
                if {"batch", "md5"} <= set(table):
                    inputs |= {
                        f"{name}@{listed}": str(digest) for listed, digest in zip(table.batch, table.md5, strict=True)
                    }
            elif name not in inputs and self.layers.exists(name):
                inputs[name] = self.layers.digest(name)
        return inputs


def step_of(context: dg.InputContext | dg.OutputContext) -> tuple[str, str]:
    """Which step of which run a context belongs to."""
    step = context.step_context
    return step.run_id, step.step.key


def versioned(name: str, batch: str | None) -> str:
    """What an input is called: `asset`, or `asset@batch`."""
    return f"{name}@{batch}" if batch else name
