"""Putting something at a path: whole or not at all, and never over something else."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import pytest

from mlops_assets.files import DamagedError, md5
from mlops_assets.placing import OccupiedError, place_file, place_folder

CONTENT = {md5(text.encode()): text.encode() for text in ("one", "two")}
ONE, TWO = CONTENT
LISTING = {"a": ONE, "sub/b": TWO}


def one() -> bytes:
    return CONTENT[ONE]


def never(_: str = "") -> NoReturn:
    message = "no content should be asked for"
    raise AssertionError(message)


def failing(digest: str) -> bytes:
    if digest == TWO:
        message = "no space left"
        raise OSError(message)
    return CONTENT[digest]


def left(folder: Path) -> list[str]:
    """Everything that lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_a_file_comes_with_the_folders_it_lies_in(tmp_path: Path) -> None:
    assert place_file(tmp_path / "new" / "file", ONE, one)
    assert (tmp_path / "new" / "file").read_bytes() == b"one"
    assert left(tmp_path / "new") == ["file"]


def test_a_file_that_is_there_already_is_fine_and_nothing_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"one")
    assert not place_file(tmp_path / "file", ONE, never)


@pytest.mark.parametrize(
    "make", [lambda p: p.write_bytes(b"mine"), Path.mkdir, lambda p: p.symlink_to("nowhere"), os.mkfifo]
)
def test_nothing_that_is_there_is_replaced_by_a_file(tmp_path: Path, make: Callable[[Path], object]) -> None:
    path = tmp_path / "file"
    make(path)
    before = path.lstat()
    with pytest.raises(OccupiedError, match=r"is left as it is: .* lies there"):
        place_file(path, ONE, never)
    assert path.lstat() == before


def test_a_file_put_there_while_we_write_is_left_as_it_is(tmp_path: Path) -> None:
    def meanwhile() -> bytes:
        (tmp_path / "file").write_bytes(b"mine")
        return b"one"

    with pytest.raises(OccupiedError):
        place_file(tmp_path / "file", ONE, meanwhile)
    assert (tmp_path / "file").read_bytes() == b"mine"
    assert left(tmp_path) == ["file"]


def test_of_many_that_put_different_files_at_one_path_just_one_does(tmp_path: Path) -> None:
    contents = [str(number).encode() for number in range(10)]

    def attempt(content: bytes) -> bool:
        try:
            return place_file(tmp_path / "file", md5(content), lambda: content)
        except OccupiedError:
            return False

    with ThreadPoolExecutor(10) as threads:
        done = list(threads.map(attempt, contents))
    assert [content for content, is_done in zip(contents, done, strict=True) if is_done] == [
        (tmp_path / "file").read_bytes()
    ]


def test_a_folder_comes_with_all_its_files_also_into_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("new", "empty"):
        assert place_folder(tmp_path / name, LISTING, CONTENT.__getitem__)
        assert (tmp_path / name / "a").read_bytes() == b"one"
        assert (tmp_path / name / "sub" / "b").read_bytes() == b"two"
    assert left(tmp_path) == ["empty", "new"]


def test_a_folder_that_is_there_already_is_fine(tmp_path: Path) -> None:
    place_folder(tmp_path / "folder", LISTING, CONTENT.__getitem__)
    assert not place_folder(tmp_path / "folder", LISTING, never)


@pytest.mark.parametrize("name", ["a", "sub/b", "another"])
def test_a_folder_with_one_other_file_is_left_as_it_is(tmp_path: Path, name: str) -> None:
    place_folder(tmp_path / "folder", LISTING, CONTENT.__getitem__)
    (tmp_path / "folder" / name).write_bytes(b"mine")
    with pytest.raises(OccupiedError):
        place_folder(tmp_path / "folder", LISTING, never)
    assert (tmp_path / "folder" / name).read_bytes() == b"mine"


def test_a_file_is_not_replaced_by_a_folder(tmp_path: Path) -> None:
    (tmp_path / "folder").write_bytes(b"mine")
    with pytest.raises(OccupiedError):
        place_folder(tmp_path / "folder", LISTING, never)


def test_the_folder_one_stands_in_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").touch()
    monkeypatch.chdir(tmp_path)
    for here in (Path(), Path("..")):
        with pytest.raises(OccupiedError):
            place_folder(here, LISTING, never)
        with pytest.raises(OccupiedError):
            place_file(here, ONE, never)
    assert left(tmp_path) == ["mine"]


def test_a_folder_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no space left"):
        place_folder(tmp_path / "folder", LISTING, failing)
    assert left(tmp_path) == []


@pytest.mark.parametrize("name", ["../out", "/out", "sub/../../out", ""])
def test_a_list_that_leads_out_of_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DamagedError, match="leads out of the folder"):
        place_folder(tmp_path / "folder", {name: ONE}, CONTENT.__getitem__)
    assert left(tmp_path) == []
