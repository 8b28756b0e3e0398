"""Puts what is brought back at a path: whole or not at all, and never over something else."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NoReturn

from mlops_assets.files import DamagedError, file_md5, sync_folder, write_atomically


class OccupiedError(FileExistsError):
    """Something else lies where a version was to go."""


def place_file(path: Path, digest: str, content: Callable[[], bytes]) -> bool:
    """Write a file with that digest at `path`; False when it lies there already, and then `content` is not asked for.

    Raises OccupiedError, and OSError when it cannot be written.
    """
    path = named(path)
    if os.path.lexists(path):
        if path.is_file() and file_md5(path) == digest:
            return False
        occupied(path)
    wanted = content()
    with staged_beside(path) as staged:
        write_atomically(staged, wanted)
        try:
            path.hardlink_to(staged)  # unlike a rename, this never replaces
        except FileExistsError:  # put there since we looked
            return place_file(path, digest, content)
        except OSError:  # a file system without links
            staged.rename(path)
    sync_folder(path.parent)
    return True


def place_folder(path: Path, listing: Mapping[str, str], content: Callable[[str], bytes]) -> bool:
    """Write a folder with the files of `listing`, digests by relative path; False when just these lie there already.

    Raises OccupiedError, DamagedError for a path that leads out of the folder, OSError when it cannot be written.
    """
    path = named(path)
    if os.path.lexists(path) and not is_empty_folder(path):
        if path.is_dir() and digests(path) == listing:
            return False
        occupied(path)
    with staged_beside(path) as staged:
        staged.mkdir()
        for name, digest in listing.items():
            write_atomically(staged / inside(name), content(digest))
        try:
            staged.rename(path)  # replaces an empty folder, and nothing else
        except OSError:
            if not os.path.lexists(path):
                raise
            if path.is_dir() and digests(path) == listing:
                return False
            occupied(path)
    sync_folder(path.parent)
    return True


def named(path: Path) -> Path:
    """The path with a name of its own, which `.` lacks; a link at its end is not followed."""
    return path.parent.resolve() / path.name


def is_empty_folder(path: Path) -> bool:
    """Whether a folder without anything in it is there, and no link to one."""
    return path.is_dir() and not path.is_symlink() and not any(path.iterdir())


def digests(folder: Path) -> dict[str, str]:
    """Digest of every file below the folder, by relative path; empty for what is no file, such as a pipe."""
    found = (path for path in folder.rglob("*") if not path.is_dir())
    return {path.relative_to(folder).as_posix(): file_md5(path) if path.is_file() else "" for path in found}


def inside(name: str) -> PurePosixPath:
    """The relative path, if it stays within its folder. Raises DamagedError when it does not."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        message = f"a folder's list names {name!r}, which leads out of the folder: this list was not written here."
        raise DamagedError(message)
    return path


def occupied(path: Path) -> NoReturn:
    """Raises OccupiedError."""
    what, advice = ("a folder", "in it") if path.is_dir() else ("something else", "beside it")
    message = f"{path} is left as it is: {what} lies there. Name a path {advice} that is not there yet."
    raise OccupiedError(message)


@contextmanager
def staged_beside(path: Path) -> Iterator[Path]:
    """A path on the same disk as `path`, to write to; what is left there at the end is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    try:
        yield folder / "new"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
