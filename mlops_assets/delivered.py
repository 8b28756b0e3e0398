"""Decides what of the inbox is a new delivery, from what was seen before and what lies there now.

A file is a new delivery when its bytes are not those that were taken last: a touched file is none, and bytes that come
back are one, so A, B and A again are three. Bytes that never became a table are taken again when the file is touched. A
file that somebody may still be writing is left alone. A tick looks at names, sizes and times, and reads what changed.

The run key names the bytes and the moment they got there, and no count: a lost cursor forgets how often a month came,
and must ask for the same runs. What became a table before is then told by the history.
"""

import itertools
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from typing import Any

from mlops_assets.churn.reading import FileRefused
from mlops_assets.files import md5
from mlops_assets.history import Made
from mlops_assets.landing import KINDS, Inbox
from mlops_assets.partitions import MONTH

# Of digests, as many digits as tell the deliveries of one month apart: Dagster stores the cursor with every tick.
BYTES, LOOKS = 12, 8
MOST_READ = 2**28  # bytes read in one tick; the rest waits for the next
FORMAT = 1
TORN = 60  # so many times longer a file is left alone that ends in the middle of a line


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a file looks like without reading it; `changed_ns` is its ctime, which no copy can bring along."""

    size: int
    modified_ns: int
    changed_ns: int

    @property
    def short(self) -> str:
        """The same in 8 hex digits."""
        return md5(f"{self.size} {self.modified_ns} {self.changed_ns}".encode())[:LOOKS]


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken of a file last: how many deliveries that makes, which bytes, and how the file looked."""

    number: int
    md5: str
    looks: str


@dataclass(frozen=True, slots=True)
class Memory:
    """What is known between two ticks: what was taken, and since when a file that was left alone looks as it does."""

    taken: dict[str, Taken] = field(default_factory=dict)
    waiting: dict[str, tuple[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A file to process; `number` counts the deliveries of its month and kind that anybody remembers, from 1."""

    kind: str
    batch: str
    number: int
    md5: str
    run_key: str


@dataclass(frozen=True, slots=True)
class Turn:
    """What one tick found: the new cursor, what to process in this order, and which files still grow.

    `left` more wait for the next tick, or until they are ready.
    """

    cursor: str
    deliveries: tuple[Delivery, ...]
    growing: tuple[str, ...]
    left: int


@dataclass(frozen=True, slots=True)
class Look:
    """How the state machine sees the world; each is called only where something changed.

    `digest`: md5 of a file by its name, `customers/2024-01.csv`; None when it is gone meanwhile. `made`: the bytes that
    became raw tables, by name, oldest first. `is_ready`: whether a kind of a batch may be processed yet. `is_torn`:
    whether a file ends in the middle of a line, as one does whose writer pauses.
    """

    digest: Callable[[str], str | None]
    made: Callable[[], Mapping[str, Sequence[str]]]
    is_ready: Callable[[str, str], bool] = lambda _kind, _batch: True
    is_torn: Callable[[str], bool] = lambda _name: False


def take(
    cursor: str | None, listing: Mapping[str, Stamp], look: Look, *, now: float, settle: float, limit: int
) -> Turn:
    """At most `limit` new deliveries, oldest month first, and the cursor that remembers them.

    `now` in seconds since 1970. A file is left alone until `settle` seconds after it changed, or, where its time lies
    in the future, after it was first seen so.
    """
    memory = recall(cursor)
    changed = {name: stamp for name, stamp in listing.items() if not is_known(memory, name, stamp)}
    seen = {name: first_seen(memory, name, stamp, now) for name, stamp in changed.items()}
    settled = {
        name: stamp
        for name, stamp in changed.items()
        if is_settled(stamp, seen[name], now=now, settle=settle)
        and (is_settled(stamp, seen[name], now=now, settle=settle * TORN) or not look.is_torn(name))
    }
    chosen = choose(settled, look.is_ready)
    made = look.made() if chosen else {}
    taken, found, looked = dict(memory.taken), list[Delivery](), 0
    for name in chosen:
        if len(found) >= limit:
            break
        looked += 1
        if (digest := look.digest(name)) is not None:
            taken[name], delivery = weigh(name, digest, settled[name].short, taken.get(name), made.get(name, ()))
            found += [delivery] if delivery else []
    waiting = {name: (changed[name].short, seen[name]) for name in sorted(changed.keys() - settled.keys())}
    return Turn(remember(Memory(taken, waiting)), tuple(found), tuple(waiting), len(settled) - looked)


def choose(settled: Mapping[str, Stamp], is_ready: Callable[[str, str], bool]) -> list[str]:
    """Files to read in this tick: those that are ready, oldest month first, up to `MOST_READ` bytes, at least one."""
    ready = [name for name in sorted(settled, key=by_month) if is_ready(*parts(name))]
    read = itertools.accumulate(settled[name].size for name in ready)
    return [name for name, size in zip(ready, read, strict=True) if name == ready[0] or size <= MOST_READ]


def weigh(
    name: str, digest: str, looks: str, before: Taken | None, became: Sequence[str]
) -> tuple[Taken, Delivery | None]:
    """What to remember of a file, and the delivery it is: other bytes than taken before, or never made into a table."""
    is_made = list(became[-1:]) == [digest]
    is_same = before is None or before.md5 == digest[:BYTES]
    number = before.number if before else len(became)
    if is_made and is_same:
        return Taken(number, digest[:BYTES], looks), None
    key = run_key(name, digest, looks)
    return Taken(number + 1, digest[:BYTES], looks), Delivery(*parts(name), number + 1, digest, key)


def run_key(name: str, digest: str, looks: str) -> str:
    """Under which a run is asked for: names the bytes, and the moment they got there."""
    return f"{name.removesuffix('.csv')}:{digest[:BYTES]}:{looks}"


def by_month(name: str) -> tuple[str, str]:
    """Order of processing: oldest month first, customers before outcomes."""
    kind, batch = parts(name)
    return batch, kind


def parts(name: str) -> tuple[str, str]:
    """Kind and batch of a file."""
    kind, _, file = name.partition("/")
    return kind, file.removesuffix(".csv")


def is_known(memory: Memory, name: str, stamp: Stamp) -> bool:
    """Whether the file looks as it did when it was taken."""
    return name in memory.taken and memory.taken[name].looks == stamp.short


def first_seen(memory: Memory, name: str, stamp: Stamp, now: float) -> float:
    """Since when the file looks as it does, as far as anybody saw; now, if the clock was set back since."""
    looks, since = memory.waiting.get(name, ("", now))
    return min(since, now) if looks == stamp.short else now


def is_settled(stamp: Stamp, since: float, *, now: float, settle: float) -> bool:
    """Whether nobody has changed the file for a moment, by its own time or by ours."""
    age = now - stamp.changed_ns / 1e9
    return age >= settle or now - since >= settle


def recall(cursor: str | None) -> Memory:
    """What a cursor remembers; nothing, where it is lost or none of ours."""
    try:
        known: dict[str, Any] = json.loads(cursor or "")
        if known["format"] != FORMAT:
            return Memory()
        taken = {
            f"{kind}/{batch}.csv": Taken(int(number), content, looks)
            for kind, batches in known["taken"].items()
            for batch, (number, content, looks) in ((batch, entry.split(".")) for batch, entry in batches.items())
        }
        return Memory(taken, {name: (str(looks), float(since)) for name, (looks, since) in known["waiting"].items()})
    except (ValueError, KeyError, TypeError, AttributeError):
        return Memory()


def remember(memory: Memory) -> str:
    """The cursor, the same for the same memory."""
    taken: dict[str, dict[str, str]] = {}
    for name, known in memory.taken.items():
        kind, batch = parts(name)
        taken.setdefault(kind, {})[batch] = ".".join(map(str, astuple(known)))
    tree = {"format": FORMAT, "taken": taken, "waiting": memory.waiting}
    return json.dumps(tree, sort_keys=True, separators=(",", ":"))


def listed(inbox: Inbox) -> dict[str, Stamp]:
    """Every month's file in the inbox by name; none is opened."""
    inbox.settle()
    found: dict[str, Stamp] = {}
    for kind in KINDS:
        folder = inbox.root / kind
        if not folder.is_dir():
            continue
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(".csv") and MONTH.fullmatch(entry.name[:-4]):
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    found[f"{kind}/{entry.name}"] = Stamp(status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return found


def digest_of(inbox: Inbox, name: str) -> str | None:
    """md5 of a file in the inbox, None when it is gone; of one that is refused that of the reason: the run tells it."""
    try:
        return md5(inbox.read(*parts(name)))
    except FileRefused as refused:
        return md5(str(refused).encode()) if os.path.lexists(inbox.root / name) else None


def became_raw(records: Iterable[Made]) -> dict[str, list[str]]:
    """Digests of the files that became raw tables, by name, oldest first; the same twice in a row counts once."""
    found: dict[str, list[str]] = {}
    for made in records:
        if made.asset in {f"raw_{kind}" for kind in KINDS}:
            for name, digest in made.inputs.items():
                digests = found.setdefault(name, [])
                if digests[-1:] != [digest]:
                    digests.append(digest)
    return found


def ends_torn(inbox: Inbox, name: str) -> bool:
    """Whether a file's last line has no end; nothing is said of one that cannot be read, its run tells that."""
    try:
        return not inbox.read(*parts(name)).endswith((b"\n", b"\r"))
    except FileRefused:
        return False
