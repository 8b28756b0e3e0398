"""Every version of every dataset and model, by content: a folder laid out as a DVC remote.

Written without DVC and without its lock, which gives up after three seconds where several processes write at once. An
object is a file under the md5 of its bytes; a folder is an object that lists its files, under the md5 of that list and
`.dir`, just as DVC writes it. So `dvc pull` finds what a run made here, and nothing here is ever overwritten.

With a remote, each object is pushed once it is here. That never fails a put: what the remote did not take waits, and
the next put that reaches it, or `push_pending`, catches up. What is missing or damaged here comes back from there.
"""

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlops_assets.files import FOLDER, OID, DamagedError, file_md5, holds, md5, object_name, write_atomically
from mlops_assets.remote import S3, Pending, RemoteError

READ_ONLY = 0o444  # DVC trusts an object of this mode without hashing it again


class MissingObjectError(FileNotFoundError):
    """An object that was asked for is in no store; the message says where it was looked for."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What a check of the whole store found; `checked` counts the objects that are here, and were hashed."""

    checked: int
    damaged: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Store:
    """The objects below `root`, which are pushed to `remote` if there is one."""

    root: Path
    remote: S3 | None = None

    def path(self, oid: str) -> Path:
        """Where the object `oid` lies; DVC's layout of a remote. Raises ValueError when that is no digest."""
        return self.root / object_name(oid)

    @property
    def pending(self) -> Pending:
        """What the remote has not got yet."""
        return Pending(self.root / "pending", self.remote, self.local)

    def put(self, content: bytes) -> str:
        """Keep `content`; returns its digest. Safe when several processes put the same at once, or die doing so.

        Raises OSError when it cannot be written here, and never for a remote.
        """
        oid = md5(content)
        self.keep(oid, content)
        return oid

    def put_folder(self, files: Mapping[str, str]) -> str:
        """Keep the list of a folder, digests by relative path; returns the folder's digest, which ends in `.dir`."""
        content = folder_list(files)
        oid = md5(content) + FOLDER
        self.keep(oid, content)
        return oid

    def keep(self, oid: str, content: bytes) -> None:
        """Write the object unless it is there with just these bytes; one with others is damaged, and so mended."""
        if not holds(self.path(oid), content):
            self.pending.note(oid)  # before it is written: a process that dies in between leaves no gap
            write_atomically(self.path(oid), content, mode=READ_ONLY)
        self.pending.catch_up()

    def get(self, oid: str) -> bytes:
        """Bytes of the object, from the remote if need be, and then kept.

        Raises MissingObjectError, and DamagedError when they do not have its digest.
        """
        try:
            return self.local(oid)
        except (MissingObjectError, DamagedError) as error:
            if not self.remote:
                raise
            try:
                content = verified(oid, self.remote.pull(oid), self.remote.url)
            except (RemoteError, DamagedError) as why:
                message = f"{error} The remote does not help either: {why}"
                raise type(error)(message) from why
        write_atomically(self.path(oid), content, mode=READ_ONLY)
        return content

    def local(self, oid: str) -> bytes:
        """Bytes of the object that is here. Raises as `get` does."""
        path = self.path(oid)
        try:
            return verified(oid, path.read_bytes(), path)
        except FileNotFoundError:
            message = f"object {oid} is not in the store ({path}). Bring it from a backup, or make it again."
            raise MissingObjectError(message) from None
        except OSError as error:
            message = f"object {oid} cannot be read: {error}. Give access to it, or bring it from a backup."
            raise DamagedError(message) from error

    def folder(self, oid: str) -> dict[str, str]:
        """Digests by relative path of the folder `oid`. Raises as `get` does."""
        return {entry["relpath"]: entry["md5"] for entry in json.loads(self.get(oid))}

    def objects(self) -> Iterator[str]:
        """Digests of everything that is here, in order."""
        for path in sorted(self.root.glob("files/md5/??/*")):
            if OID.fullmatch(path.parent.name + path.name):
                yield path.parent.name + path.name

    def is_whole(self, oid: str) -> bool:
        """Whether the object is here with the bytes of its digest; read piece by piece."""
        try:
            return file_md5(self.path(oid)) == oid.removesuffix(FOLDER)
        except OSError:
            return False

    def check(self, named: Iterable[str] = ()) -> Findings:
        """Hash everything again: damaged has other bytes; missing is `named`, or listed in a folder, and not here."""
        wanted, here, damaged = set(named), set(), []
        for oid in self.objects():
            here.add(oid)
            if not self.is_whole(oid):
                damaged.append(oid)
            elif oid.endswith(FOLDER):
                wanted.update(self.folder(oid).values())
        return Findings(len(here), tuple(damaged), tuple(sorted(wanted - here)))

    def sweep(self, older_than_seconds: float) -> list[Path]:
        """Remove the temporary files that killed processes left so long ago; returns them. Never removes an object."""
        before = time.time() - older_than_seconds
        left = [path for path in sorted(self.root.rglob(".*.tmp")) if is_left_over(path, before)]
        for path in left:
            path.unlink(missing_ok=True)
        return left

    def behind(self) -> int:
        """How many objects that are here wait to be pushed."""
        return sum(self.path(oid).is_file() for oid in self.pending.oids())

    def push_pending(self) -> int:
        """Push what waits; returns how many that were. Raises RemoteError; what is left then waits on."""
        return self.pending.push()

    def push(self, oids: Iterable[str]) -> int:
        """Push those objects which the remote has not got, and what waits; returns how many. Raises RemoteError.

        For a store that is older than its remote: `store.push(store.objects())`.
        """
        there = set(self.remote.names()) if self.remote else set()
        for oid in oids:
            if oid not in there:
                self.pending.note(oid)
        return self.push_pending()

    def pull(self, oids: Iterable[str]) -> int:
        """Bring what is missing or damaged of those objects, and of the files of folders; returns how many that were.

        Raises as `get` does.
        """
        brought = 0
        for oid in oids:
            brought += not self.is_whole(oid)
            self.get(oid)
            brought += self.pull(self.folder(oid).values()) if oid.endswith(FOLDER) else 0
        return brought


def verified(oid: str, content: bytes, place: Path | str) -> bytes:
    """`content`. Raises DamagedError when it does not have the digest `oid`."""
    if md5(content) != oid.removesuffix(FOLDER):
        message = (
            f"object {oid} is damaged: {place} has bytes with digest {md5(content)}. "
            "Bring it from a backup, or make it again: putting the right bytes mends it."
        )
        raise DamagedError(message)
    return content


def is_left_over(path: Path, before: float) -> bool:
    """Whether the file was last written before that time, in seconds since 1970."""
    try:
        return path.is_file() and path.lstat().st_mtime < before
    except FileNotFoundError:
        return False


def folder_list(files: Mapping[str, str]) -> bytes:
    """A folder as DVC lists it: entries by path, as text and not part by part, as JSON with sorted keys."""
    return json.dumps([{"md5": files[path], "relpath": path} for path in sorted(files)], sort_keys=True).encode()
