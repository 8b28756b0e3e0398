"""An environment is there whole or not at all, is built once, and says what it lacks when it cannot be built."""

import platform
import subprocess
import threading
from pathlib import Path

import pytest

from mlops_assets import environments
from mlops_assets.environments import EnvironmentNotBuiltError, find_uv, locked

PROJECT = Path(__file__).resolve().parents[1]
EMPTY = b"# no library: what is tested here needs none, and so no index\n"
UNKNOWN = b"no-such-library-of-ours==1.0 --hash=sha256:" + b"0" * 64 + b"\n"


def build(folder: Path, lock: bytes = EMPTY, python: str = platform.python_version()) -> tuple[Path, list[str]]:
    """The interpreter, and what was told on the way."""
    told: list[str] = []
    return locked(lock, python=python, folder=folder, project=PROJECT, tell=told.append), told


def test_an_environment_is_built_once_and_used_again(tmp_path: Path) -> None:
    first, building = build(tmp_path)
    second, using = build(tmp_path)

    assert first == second
    assert "building" in building[0]
    assert "built before" in using[0]


def test_another_lock_is_another_environment(tmp_path: Path) -> None:
    assert build(tmp_path)[0] != build(tmp_path, EMPTY + b"# or none\n")[0]


@pytest.mark.parametrize("broken", ["bin/python", environments.COMPLETE])
def test_a_broken_environment_is_built_anew(tmp_path: Path, broken: str) -> None:
    python = build(tmp_path)[0]
    (python.parents[1] / broken).unlink()

    again, told = build(tmp_path)

    assert "building" in told[0]
    assert subprocess.run([again, "-c", "pass"], check=False).returncode == 0


def test_what_a_killed_build_left_is_in_nobodys_way(tmp_path: Path) -> None:
    python = build(tmp_path)[0]
    home = python.parents[1]
    home.rename(home.with_name(f".{home.name}.tmp"))

    assert build(tmp_path)[0] == python
    assert python.exists()


def test_several_at_once_build_one_and_share_it(tmp_path: Path) -> None:
    told: list[str] = []

    def use() -> None:
        told.extend(build(tmp_path)[1])

    threads = [threading.Thread(target=use) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted("building" in line for line in told) == [False, False, True]


def test_a_library_that_cannot_be_had_is_named_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")

    with pytest.raises(EnvironmentNotBuiltError, match="no-such-library-of-ours"):
        build(tmp_path, UNKNOWN)

    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


def test_a_python_that_cannot_be_had_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")

    with pytest.raises(EnvironmentNotBuiltError, match=r"Python 3\.99, which the model was trained with"):
        build(tmp_path, python="3.99.1")


def test_without_uv_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(EnvironmentNotBuiltError, match="make setup"):
        find_uv(tmp_path)
