"""A clone of this working tree in which `dvc repro` ran, once for all workers; and what each layer reads when it runs.

Whatever is not ignored is in the clone, committed: the tests speak of the tree as it would be handed on.
"""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
TAG = {"GIT_AUTHOR_NAME": "test", "GIT_AUTHOR_EMAIL": "test@localhost"}
COMMITTER = {"GIT_COMMITTER_NAME": "test", "GIT_COMMITTER_EMAIL": "test@localhost"}
FOREIGN, NOBODY = "champion.parquet", "A home of somebody else; nothing here may be read or written."


@dataclass(frozen=True, slots=True)
class Clone:
    """A clone with its own DVC settings, its cache, and a home in its environment that is not to be touched."""

    root: Path
    home: Path

    def environment(self, **more: str) -> dict[str, str]:
        """Variables of a process that works in the clone."""
        beside = self.root.parent
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "GIT_", "MLOPS_"))},
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",  # a clone has no environment of its own
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(beside / "site"),
            "DVC_GLOBAL_CONFIG_DIR": str(beside / "settings"),
            "MLOPS_HOME": str(self.home),
            "DAGSTER_HOME": str(self.home),
            **TAG,
            **COMMITTER,
            **more,
        }

    def run(self, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the clone; what it says on either channel is in `stdout`."""
        return subprocess.run(
            command,
            cwd=self.root,
            env=self.environment(**more),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )

    def dvc(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run DVC in the clone."""
        return self.run(str(BIN / "dvc"), *arguments)

    def commit(self) -> None:
        """Make the clone a repository with everything in it committed."""
        for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "as it is"]):
            done = self.run("git", *command)
            assert done.returncode == 0, done.stdout

    @property
    def status(self) -> str:
        """What differs from the commit; empty when nothing does."""
        return self.run("git", "status", "--porcelain").stdout

    def is_home_untouched(self) -> bool:
        """Whether the home in the environment is just as it was put there."""
        return {path.name: path.read_text() for path in self.home.rglob("*")} == {FOREIGN: NOBODY}

    def copy(self, to: Path) -> "Clone":
        """A copy with its cache, for somebody to change."""
        shutil.copytree(self.root, to, symlinks=True)
        return Clone(to, self.home)

    def files(self) -> dict[str, bytes]:
        """Everything below `data/` that a run made, by path."""
        data = self.root / "data"
        made = [path for folder in ("[1-6]_*", "metrics", "plots") for path in data.glob(f"{folder}/**/*")]
        return {
            str(path.relative_to(data)): path.read_bytes()
            for path in sorted(made)
            if path.is_file() and path.name != ".gitignore"
        }


def copy_tree(to: Path) -> None:
    """Copy whatever of the working tree is not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],  # noqa: S607 - whichever git the user has
        cwd=PROJECT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        source, target = PROJECT / name, to / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_file():  # not where it was removed and not committed yet
            shutil.copy2(source, target)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of the session share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@contextmanager
def first(folder: Path) -> Iterator[bool]:
    """Whether it is this worker that has to fill `folder`; the others wait until it has."""
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / "done"
        yield not done.exists()
        done.touch()


@pytest.fixture(scope="session")
def once() -> Callable[[Path], AbstractContextManager[bool]]:
    """Says whether it is this worker that has to fill a folder."""
    return first


@pytest.fixture(scope="session")
def clone(shared: Path) -> Clone:
    """A clone in which `dvc repro` ran. To be read only."""
    folder = shared / "clone"
    made = Clone(folder / "tree", folder / "home")
    with first(folder) as to_do:
        if to_do:
            made.home.mkdir()
            (made.home / FOREIGN).write_text(NOBODY)
            copy_tree(made.root)
            made.commit()
            done = made.dvc("repro")
            (folder / "said.json").write_text(json.dumps([done.returncode, done.stdout]))
    return made


@pytest.fixture(scope="session")
def reproduced(clone: Clone) -> tuple[int, str]:
    """Exit code of `dvc repro` in the clone, and what it said."""
    code, said = json.loads((clone.root.parent / "said.json").read_text())
    return code, said


@pytest.fixture
def copied_clone(clone: Clone, tmp_path: Path) -> Clone:
    """A copy of the clone, its cache included, for one test to change."""
    return clone.copy(tmp_path / "tree")


@dataclass(frozen=True, slots=True)
class Watched:
    """A clone in which each layer was made under watch, and what it read."""

    clone: Clone
    read: dict[str, dict[str, list[str]]]


@pytest.fixture(scope="session")
def watched(shared: Path) -> Watched:
    """Another clone elsewhere, with another hash seed, language and time zone; all layers ran in one process."""
    folder = shared / "watched in another place"
    made = Clone(folder / "tree", folder / "home")
    with first(folder) as to_do:
        if to_do:
            copy_tree(made.root)
            script = str(PROJECT / "mlops_assets_tests" / "graph" / "watch.py")
            other = {"PYTHONHASHSEED": "4711", "LC_ALL": "C", "TZ": "Pacific/Kiritimati", "PYTHONPATH": str(made.root)}
            done = made.run(sys.executable, script, str(folder / "read.json"), **other)
            assert done.returncode == 0, done.stdout
    read: dict[str, Any] = json.loads((folder / "read.json").read_text())
    return Watched(made, read)


@pytest.fixture(scope="session")
def git_clone(clone: Clone) -> Callable[[Path], Clone]:
    """Clones the clone with git: nothing but what is committed."""

    def make(to: Path) -> Clone:
        done = clone.run("git", "clone", "-q", ".", str(to))
        assert done.returncode == 0, done.stdout
        return Clone(to, clone.home)

    return make
