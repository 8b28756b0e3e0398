"""What a registry forgets: every dataset made, version registered, verdict, champion and signature, append-only.

One file of JSON lines for each kind, written under a lock and flushed line by line. A process killed while it writes
leaves a torn last line, which no reader takes and the next writer ends. Version numbers are counted here, so that a
lost registry, which would count from 1 again, loses nothing. `Unrecorded` is the same door with nothing behind it.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from mlops_assets.store import Store


@dataclass(frozen=True, slots=True)
class Made:
    """One materialization: a version of an asset's table with the files it names.

    `inputs` are digests by `asset` or `asset@batch`; `folder` is the digest of the whole asset's folder as DVC has it.
    """

    asset: str
    batch: str | None
    md5: str
    size_bytes: int
    rows: int
    files: dict[str, str]
    folder: str
    inputs: dict[str, str]
    run_id: str
    job: str
    when: str = ""


@dataclass(frozen=True, slots=True)
class Registered:
    """One registered version: a candidate of a training, and everything it takes to make it again.

    `churn_model`, `training_set` and `scores` are digests of the tables that hold it, list its inputs, and hold its
    out-of-sample scores; `inputs` the digests of labelled_customers by batch; `params` the digest of the object in the
    store that holds all parameters; `made_with` is `provenance.Origin.facts`.
    """

    candidate: str
    model_md5: str
    as_of: str
    churn_model: str
    training_set: str
    scores: str
    inputs: dict[str, str]
    params: str
    params_md5: str
    made_with: dict[str, str]
    run_id: str
    mlflow_run_id: str | None
    version: int = 0
    when: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """One verdict of the promotion gate; `verdict_md5` is the digest of its document, `judged` what it is bound to.

    `waits` says why a PASS must not score before a person has signed. `learned`, `number`, `batch` and `causes` are
    those of the training (`gates.attempts`); `is_outage`: UNKNOWN because something was down.
    """

    verdict: str
    winner: str | None
    why: str
    judged: dict[str, str | None]
    verdict_md5: str
    run_id: str
    waits: str | None = None
    learned: str = ""
    number: int = 0
    batch: str = ""
    causes: tuple[str, ...] = ()
    is_outage: bool = False
    when: str = ""


@dataclass(frozen=True, slots=True)
class Crowned:
    """One change of champion; `champion` is the digest of its table."""

    model_md5: str
    candidate: str
    as_of: str
    champion: str
    verdict_md5: str
    why: str
    run_id: str
    version: int | None = None
    when: str = ""


@dataclass(frozen=True, slots=True)
class Signed:
    """What a person decided, and who and why: `promote`, `rollback`, `decline` or `reset` (of the breaker).

    `version` and `model_md5`: the model it is about, of a rollback the one that scores again. `refused`: digests of the
    model that was rolled back and of what it was trained on: the gate proposes neither again.
    """

    action: str
    actor: str
    reason: str
    version: int | None = None
    model_md5: str | None = None
    refused: tuple[str, ...] = ()
    verdict_md5: str | None = None
    attempt: str | None = None
    when: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """What was accepted although a gate speaks against it, by whom and why (`acceptances` says which records hold).

    `what`: `outcomes` of `batch` as evidence, `md5` the digest of labelled_customers; or `change`, first seen in
    `batch`, as the new normal of the `champion` (its model's digest): `batches` join its reference. `figures` are
    those that it was judged by. `is_taken_back`: the record takes an earlier one back.
    """

    what: str
    batch: str
    actor: str
    reason: str
    md5: str | None = None
    batches: tuple[str, ...] = ()
    champion: str | None = None
    figures: dict[str, str] = field(default_factory=dict)
    is_taken_back: bool = False
    when: str = ""


Record = TypeVar("Record", Made, Registered, Judged, Crowned, Signed, Accepted)
FILES: dict[type, str] = {
    Accepted: "accepted.jsonl",
    Signed: "signatures.jsonl",
    Made: "datasets.jsonl",
    Registered: "versions.jsonl",
    Judged: "verdicts.jsonl",
    Crowned: "champions.jsonl",
}


class Unrecorded:
    """No history and no store: every call does nothing. The form of `History`, and its base."""

    def add(self, record: Made | Judged | Crowned | Signed | Accepted) -> None:
        """Append a record."""

    def register(self, record: Registered) -> int | None:
        """Number of the version with this model, a new one if it is not known; None without a history."""
        _ = record
        return None

    def read(self, kind: type[Record]) -> list[Record]:
        """Every record of a kind, oldest first."""
        _ = kind
        return []

    def versions(self) -> list[Registered]:
        """Every registered version, in order of its number; of one told twice what was told last."""
        told = {record.version: record for record in self.read(Registered)}
        return [told[number] for number in sorted(told)]

    def find(self, model_md5: str) -> Registered | None:
        """The registered version with this model, None if there is none."""
        return next((version for version in self.versions() if version.model_md5 == model_md5), None)

    def keep(self, content: bytes) -> str | None:
        """Put bytes into the store; returns their digest, None without a store."""
        _ = content
        return None

    def kept(self, digest: str) -> bytes:
        """Bytes of an object in the store. Raises as `Store.get` does; LookupError without a store."""
        message = f"there is no store that could have {digest}: this is no running system."
        raise LookupError(message)

    def sizes(self) -> dict[str, int]:
        """Bytes of each file of records: they only grow, so where they are the same nothing was told since."""
        return {}


@dataclass(frozen=True, slots=True)
class History(Unrecorded):
    """The records below `root`, and the store with what they name."""

    root: Path
    store: Store

    def add(self, record: Made | Judged | Crowned | Signed | Accepted) -> None:
        """Append a record with the time it is; a champion, only if it is not the one that scores already."""
        with self.locked(type(record)) as file:
            if isinstance(record, Crowned) and (known := self.read(Crowned)) and known[-1].champion == record.champion:
                return
            append(file, replace(record, when=now()))

    def register(self, record: Registered) -> int:
        """Number of the version with this model: the one it has, or the next one.

        A model made from a dirty tree, and now from a commit that gives the same bytes, is told again under its number:
        from then on it can be made again.
        """
        with self.locked(Registered) as file:
            known = self.find(record.model_md5)
            if known and (is_clean(known) or not is_clean(record)):
                return known.version
            number = known.version if known else max((v.version for v in self.versions()), default=0) + 1
            append(file, replace(record, version=number, when=now()))
            return number

    def read(self, kind: type[Record]) -> list[Record]:
        """Every record of a kind, oldest first; a torn line is none."""
        path = self.root / FILES[kind]
        names = kind.__dataclass_fields__  # what a later version of the project adds is not known here
        found = lines(path.read_bytes()) if path.is_file() else ()
        return [kind(**{name: value for name, value in line.items() if name in names}) for line in found]

    def keep(self, content: bytes) -> str:
        """Put bytes into the store; returns their digest."""
        return self.store.put(content)

    def kept(self, digest: str) -> bytes:
        """Bytes of an object in the store. Raises as `Store.get` does."""
        return self.store.get(digest)

    def sizes(self) -> dict[str, int]:
        """Bytes of each file of records: they only grow, so where they are the same nothing was told since."""
        return {path.name: path.stat().st_size for path in sorted(self.root.glob("*.jsonl"))}

    @contextmanager
    def locked(self, kind: type) -> Iterator[int]:
        """The kind's file, open for appending, with nobody else in it; the lock goes with the process."""
        self.root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.root / FILES[kind], os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)


def is_clean(record: Registered) -> bool:
    """Whether the code that made it is a commit."""
    return record.made_with.get("git_dirty") == "false"


def is_rolled_back(signed: list[Signed], crowned: list[Crowned]) -> bool:
    """Whether the champion that scores came back by a rollback."""
    back = {signature.verdict_md5 for signature in signed if signature.action == "rollback"}
    return bool(crowned) and crowned[-1].verdict_md5 in back


def append(descriptor: int, record: Made | Registered | Judged | Crowned | Signed | Accepted) -> None:
    """Write a record as one line and flush it; a torn line before it is ended first."""
    line = json.dumps(asdict(record), sort_keys=True).encode() + b"\n"
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        line = b"\n" + line
    while line:  # a disk that fills up takes a part, and tells only the next write
        line = line[os.write(descriptor, line) :]
    os.fsync(descriptor)


def lines(content: bytes) -> Iterator[dict[str, Any]]:
    """The whole lines of a file of records; a torn one was never finished, and what it told is told again."""
    for line in content.split(b"\n"):
        try:
            if line:
                yield json.loads(line)
        except ValueError:
            continue


def damaged(content: bytes) -> list[int]:
    """Numbers of the lines that were finished and cannot be read; a torn one ends before its record does."""
    found = []
    for number, line in enumerate(content.split(b"\n"), start=1):
        try:
            json.loads(line or b"{}")
        except json.JSONDecodeError as error:
            if line.endswith(b"}") and error.pos < len(line):
                found.append(number)
        except ValueError:  # no UTF-8
            found.append(number)
    return found


def now() -> str:
    """The time in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
