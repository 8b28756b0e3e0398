"""Tables and files of the layers on disk: written whole or not at all, the same bytes for the same table.

A table lies at `<layer>/<asset>/<batch>.parquet`, one without batches at `<layer>/<asset>/<asset>.parquet`. Files that
belong to a table (models, scores) lie beside it under their digest and are named in it; they are written first, so that
a process killed at any moment leaves a table whose files are all there. The digest is the md5 that DVC
would give. What is published goes into the store first, so that a table on disk can always be had again.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from mlops_assets.files import DamagedError, md5, write_atomically
from mlops_assets.store import Store
from mlops_assets.tables import TABLES

SIMULATED = "simulation.json"  # lies in the home of a simulation


class NotMaterializedError(FileNotFoundError):
    """A table that was asked for is not there; the message says how to make it."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A table together with the files that it names, as bytes by suffix-bearing name, such as `<md5>.cbm`."""

    table: pd.DataFrame
    files: Mapping[str, bytes]


def table_bytes(table: pd.DataFrame) -> bytes:
    """Parquet of `table`; equal tables give equal bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), out, compression="zstd", store_schema=True)
    return out.getvalue()


def bytes_table(content: bytes) -> pd.DataFrame:
    """The table whose Parquet is `content`."""
    import pyarrow.parquet as pq

    frame: pd.DataFrame = pq.read_table(io.BytesIO(content)).to_pandas()
    return frame


def json_bytes(tree: Mapping[str, Any]) -> bytes:
    """Canonical JSON, for digests and for git."""
    return (json.dumps(tree, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()


@dataclass(frozen=True, slots=True)
class Layers:
    """The six layers below `root`."""

    root: Path
    # Every version goes here first; None where DVC keeps them (`dvc repro`), or nobody does.
    store: Store | None = None
    # A table is held to its contract once per process, when it first comes in or goes out, and not at every hop.
    checked: set[str] = field(default_factory=set, repr=False, compare=False)

    def path(self, name: str, batch: str | None = None) -> Path:
        """Where a table lies."""
        return self.root / TABLES[name].folder / f"{batch or name}.parquet"

    @property
    def is_simulated(self) -> bool:
        """Whether they are those of a simulation: its files land whole, and nobody opens a page of it."""
        return (self.root / SIMULATED).is_file()

    def exists(self, name: str, batch: str | None = None) -> bool:
        """Whether the table is there."""
        return self.path(name, batch).is_file()

    def batches(self, name: str) -> list[str]:
        """Batches of which the table is there, oldest first."""
        return sorted(path.stem for path in (self.root / TABLES[name].folder).glob("*.parquet"))

    def write(self, name: str, value: pd.DataFrame | Bundle, batch: str | None = None) -> str:
        """Publish a table, which kept its contract, and its files. Returns its digest."""
        table, files = (value.table, value.files) if isinstance(value, Bundle) else (value, {})
        path = self.path(name, batch)
        content = table_bytes(table)
        digest = md5(content)
        if self.store:
            for version in (*files.values(), content):
                self.store.put(version)
        for file, extra in files.items():
            there = path.parent / file
            if not there.is_file() or there.read_bytes() != extra:
                write_atomically(there, extra)
        if not path.is_file() or md5(path.read_bytes()) != digest:
            write_atomically(path, content)
        self.checked.add(digest)
        if isinstance(value, Bundle) and batch is None:  # beside a batch lie the other batches
            kept = {path.name, *files}
            for stale in path.parent.iterdir():
                if stale.name not in kept and not stale.name.startswith("."):
                    stale.unlink(missing_ok=True)
        return digest

    def listing(self, name: str) -> dict[str, str]:
        """Digest of every file in the asset's folder, by its name, as DVC lists them.

        A file is hashed once: size and time of change tell whether it is still the same.
        """
        folder = self.root / TABLES[name].folder
        memory = self.root / "cache" / "digests" / f"{name}.json"
        try:
            known = json.loads(memory.read_bytes())
        except (OSError, ValueError):
            known = {}
        found: dict[str, tuple[int, int, str]] = {}
        for path in sorted(folder.iterdir()):
            if path.name.startswith("."):
                continue
            status = path.stat()
            size, changed, digest = known.get(path.name, (None, None, ""))
            if (size, changed) != (status.st_size, status.st_mtime_ns):
                digest = md5(path.read_bytes())
            found[path.name] = (status.st_size, status.st_mtime_ns, digest)
        if {name: list(facts) for name, facts in found.items()} != known:
            write_atomically(memory, json.dumps(found).encode())
        return {file: digest for file, (_, _, digest) in found.items()}

    def keep_folder(self, name: str, store: Store) -> str:
        """Keep the list of the asset's folder, and any file in it that the store has not got; returns its digest."""
        listed = self.listing(name)
        for file, digest in listed.items():
            if not store.path(digest).is_file():  # not written by us, or before there was a store
                store.put((self.root / TABLES[name].folder / file).read_bytes())
        return store.put_folder(listed)

    def read(self, name: str, batch: str | None = None) -> pd.DataFrame:
        """The table, held to its contract if this process has not seen these bytes yet, and kept like what is written.

        Raises NotMaterializedError, and DamagedError when it cannot be read or breaks its contract.
        """
        content = self.content(name, batch)
        try:
            table = bytes_table(content)
        except Exception as error:
            message = f"{self.path(name, batch)} is damaged: restore it, or remove it and make it again. {error}"
            raise DamagedError(message) from error
        if (digest := md5(content)) not in self.checked:
            try:
                TABLES[name].contract.validate(table, lazy=True)
            except Exception as error:
                message = (
                    f"{self.path(name, batch)} breaks the contract of {name}: restore it, or remove it and materialize "
                    f"it again. {error}"
                )
                raise DamagedError(message) from error
            self.checked.add(digest)
        if self.store and not self.store.path(digest).is_file():  # not written by us: what comes of it names it
            self.store.put(content)
        return table

    def content(self, name: str, batch: str | None = None) -> bytes:
        """Bytes of the table's file. Raises NotMaterializedError."""
        try:
            return self.path(name, batch).read_bytes()
        except FileNotFoundError:
            of = f" of batch {batch}" if batch else ""
            message = f"{name}{of} is not there ({self.path(name, batch)}). Materialize it first."
            raise NotMaterializedError(message) from None

    def digest(self, name: str, batch: str | None = None) -> str:
        """Digest of the table as it lies there."""
        return md5(self.content(name, batch))

    def named(self, name: str, file: str) -> bytes:
        """Bytes of a file that lies beside the table `name`. Raises DamagedError when it is gone."""
        path = self.root / TABLES[name].folder / file
        try:
            return path.read_bytes()
        except FileNotFoundError:
            message = f"{path} is gone, and {name} names it. Restore it, or remove {path.parent} and run retrain."
            raise DamagedError(message) from None

    def file(self, name: str, file: str) -> bytes:
        """Bytes of a file that the table `name` names by digest. Raises DamagedError when they are not those."""
        path = self.root / TABLES[name].folder / file
        content = self.named(name, file)
        if md5(content) != path.stem:
            message = (
                f"{path} has bytes with digest {md5(content)}, not those its name promises. "
                f"Restore it, or remove {path.parent} and run retrain."
            )
            raise DamagedError(message)
        return content
