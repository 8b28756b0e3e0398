"""Files are there whole or not at all, and known by the digest that DVC knows them by."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets import files

# A limit on a file's size makes a write fail as a full disk does, in a process of its own.
LIMITED = """
import resource, signal, sys
from pathlib import Path
from mlops_assets import files
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
files.write_atomically(Path(sys.argv[1]), bytes(200_000))
"""


def test_a_file_is_there_with_its_bytes_and_its_mode_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file"
    files.write_atomically(path, b"content", mode=0o440)
    assert path.read_bytes() == b"content"
    assert path.stat().st_mode & 0o777 == 0o440
    assert list(path.parent.iterdir()) == [path]


def test_who_reads_the_old_file_goes_on_reading_it_while_it_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write_atomically(path, b"old")
    with path.open("rb") as reader:
        files.write_atomically(path, b"new")
        assert (reader.read(), path.read_bytes()) == (b"old", b"new")


def test_a_write_that_fails_names_the_file_leaves_the_old_one_and_nothing_half_written(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write_atomically(path, b"old")
    ran = subprocess.run([sys.executable, "-c", LIMITED, path], capture_output=True, text=True, check=False)
    said = ran.stderr.splitlines()[-1]
    assert said.startswith("OSError: [Errno 27] File too large; nothing is half-written. Make room")
    assert said.endswith(f"'{path}'")
    assert {left.name: left.read_bytes() for left in tmp_path.iterdir()} == {"file": b"old"}


def test_a_folder_that_cannot_be_made_is_an_error_of_its_kind_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"a file")
    with pytest.raises(FileExistsError, match=r"nothing is half-written.*taken/file"):
        files.write_atomically(tmp_path / "taken" / "file", b"content")


def test_an_interrupted_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        files.write_atomically(tmp_path / "file", b"content")
    assert not list(tmp_path.iterdir())


@given(content=st.binary())
def test_a_file_read_piece_by_piece_has_the_digest_of_its_bytes(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "pieces"
    path.write_bytes(content * 1000)
    assert files.file_md5(path) == files.md5(content * 1000)


def test_a_file_holds_its_own_bytes_and_no_others(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    assert files.holds(path, b"content")
    assert not files.holds(path, b"contenT")
    assert not files.holds(path, b"content and more")
    assert not files.holds(tmp_path / "missing", b"content")


@pytest.mark.parametrize(
    "oid", ["", "ab", "../../../etc/passwd", "A" * 32, "a" * 33, "a" * 32 + ".dir/x", "a" * 32 + "\n"]
)
def test_what_is_no_digest_names_no_object(oid: str) -> None:
    with pytest.raises(ValueError, match="is no digest of an object: 32 hex digits"):
        files.object_name(oid)
