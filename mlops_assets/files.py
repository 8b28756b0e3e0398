"""Files on disk: written whole or not at all, and known by their digest, as DVC knows them."""

import hashlib
import os
import re
import tempfile
from pathlib import Path

FOLDER = ".dir"  # ends the digest of a folder, which is that of the list of its files
OID = re.compile(r"[0-9a-f]{32}(\.dir)?")


class DamagedError(RuntimeError):
    """A file's bytes are not those its name or its contract promises."""


def md5(content: bytes) -> str:
    """Digest by which DVC knows a file of these bytes, 32 hex digits."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def file_md5(path: Path) -> str:
    """Digest of a file of any size, read piece by piece. Raises OSError when it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def object_name(oid: str) -> str:
    """Where DVC keeps the object `oid` in a remote. Raises ValueError when that is no digest."""
    if not OID.fullmatch(oid):
        message = f"{oid!r} is no digest of an object: 32 hex digits, and {FOLDER} after those of a folder."
        raise ValueError(message)
    return f"files/md5/{oid[:2]}/{oid[2:]}"


def holds(path: Path, content: bytes) -> bool:
    """Whether a file with just these bytes is there."""
    try:
        return path.stat().st_size == len(content) and path.read_bytes() == content
    except OSError:
        return False


def write_atomically(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Put `content` at `path` so that a reader sees the old file or the new one, whatever happens meanwhile.

    Raises OSError, which names `path`; then nothing has changed.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, content, mode)
        sync_folder(path.parent)
    except OSError as error:
        # A write that fails knows only a descriptor, and a full disk is what it mostly fails for.
        message = f"{error.strerror}; nothing is half-written. Make room or give access there, then run it again"
        raise OSError(error.errno, message, str(path)) from error


def replace(path: Path, content: bytes, mode: int) -> None:
    """Write a file beside `path`, flush it, and give it that name; on any error it is removed again."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries, so that a rename in it survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
