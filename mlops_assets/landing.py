"""The landing inbox: puts files in whole or not at all, and hands out their bytes if they are plain files of fair size.

Landed files are untrusted. What they say is judged in `churn.cleaning`; here is judged what they are: a regular file
under a name that is a month, no link, not over the limit. A delivery of two files is committed by one rename of a
folder and then moved into place; whoever looks next finishes a move that was cut off. Deliveries are accepted one after
another, under a lock on the inbox itself: two at once would end as customers of the one and outcomes of the other.
"""

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlops_assets.churn.reading import FileRefused
from mlops_assets.files import sync_folder, write_atomically
from mlops_assets.partitions import MONTH, parse_batch

KINDS = ("customers", "outcomes")
ACCEPTED = ".accepted-"


@dataclass(frozen=True, slots=True)
class Inbox:
    """The folder `root`, with `customers/YYYY-MM.csv` and `outcomes/YYYY-MM.csv`; `max_bytes` bounds one file."""

    root: Path
    max_bytes: int

    def read(self, kind: str, batch: str) -> bytes:
        """Bytes of the batch's file. Raises FileRefused when there is none that may be read."""
        name = f"{kind}/{parse_batch(batch)}.csv"
        self.settle()
        self.refuse_link(kind)
        hint = f"Land it with `mlops land FILE --batch {batch}`."
        return read_plain(self.root / name, name=name, max_bytes=self.max_bytes, hint=hint)

    def put(self, batch: str, files: Mapping[str, bytes]) -> list[Path]:
        """Put a delivery of the batch, bytes by kind, into the inbox: all of it or none. Returns the final paths.

        Raises FileRefused when a folder of the inbox is a link.
        """
        for kind in files:
            self.refuse_link(kind)
        self.root.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=".staged-", dir=self.root))
        try:
            for kind, content in files.items():
                write_atomically(staged / f"{kind}@{parse_batch(batch)}.csv", content)
            with self.locked():
                self.finish()
                staged.rename(self.root / staged.name.replace(".staged-", ACCEPTED))
                sync_folder(self.root)
                self.finish()
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise
        return [self.root / kind / f"{batch}.csv" for kind in files]

    def settle(self) -> None:
        """Finish an accepted delivery that was cut off on its way; safe when several do it at once."""
        if any(self.root.glob(f"{ACCEPTED}*")):
            with self.locked():
                self.finish()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Alone in the inbox; the lock goes with the process, however it ends."""
        descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def finish(self) -> None:
        """Move what is accepted into place; the caller holds the lock."""
        for accepted in sorted(self.root.glob(f"{ACCEPTED}*")):
            for kind in KINDS if not accepted.is_symlink() else ():
                for file in sorted(accepted.glob(f"{kind}@*.csv")):
                    (self.root / kind).mkdir(exist_ok=True)
                    file.replace(self.root / kind / file.name.removeprefix(f"{kind}@"))
            with contextlib.suppress(OSError):
                accepted.rmdir()

    def refuse_link(self, kind: str) -> None:
        """Raises FileRefused when the folder of `kind` leads elsewhere."""
        folder = f"{kind}/"
        if (self.root / kind).is_symlink():
            raise FileRefused(folder, "this folder of the inbox is a symbolic link.", "Make it a plain folder.")

    def batches(self, kind: str) -> list[str]:
        """Batches of `kind` that wait in the inbox, oldest first; files under other names are in `strangers`."""
        self.settle()
        return sorted(file.stem for file in self.files(kind) if self.is_month(file))

    def strangers(self) -> list[str]:
        """Names in the inbox that are no month's file, and why each is left alone."""
        outside = [
            f"{file.name}: it lies in neither {' nor '.join(KINDS)}. Land it with `mlops land FILE --batch YYYY-MM`."
            for file in self.files(".")
            if file.name not in KINDS
        ]
        return outside + [
            f"{kind}/{file.name}: its name is no month. Rename it to YYYY-MM.csv, or land it with `mlops land`."
            for kind in KINDS
            for file in self.files(kind)
            if not self.is_month(file)
        ]

    def files(self, kind: str) -> Iterator[Path]:
        """Whatever lies in the folder of `kind`, but for temporary files."""
        folder = self.root / kind
        yield from (
            (file for file in sorted(folder.iterdir()) if not file.name.startswith(".")) if folder.is_dir() else ()
        )

    @staticmethod
    def is_month(file: Path) -> bool:
        """Whether the file's name is that of a batch."""
        return file.suffix == ".csv" and MONTH.fullmatch(file.stem) is not None


def read_plain(path: Path, *, name: str, max_bytes: int, hint: str = "") -> bytes:
    """Bytes of the regular file at `path`, called `name` in messages.

    Raises FileRefused for a missing file, a link, a device or folder, and one over `max_bytes`.
    """
    try:
        # A link in a drop folder could point at anything (O_NOFOLLOW), and opening a pipe must not wait (O_NONBLOCK).
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise FileRefused(name, "there is no such file.", hint or "Check the path.") from None
    except OSError as error:
        if path.is_symlink():
            raise FileRefused(name, "it is a symbolic link.", f"Give the file itself: {path.readlink()}") from None
        raise FileRefused(name, f"it cannot be opened ({error.strerror}).", "Check its owner and mode.") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileRefused(name, "it is no regular file.", "Give a CSV file.")
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        limit = f"{max_bytes / 2**20:.0f} MiB (landing.max_megabytes in params.yaml)"
        raise FileRefused(name, f"it is larger than {limit}.", "Split it by month, or raise the limit.")
    return content
