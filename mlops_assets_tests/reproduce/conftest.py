"""A repository with the project in it as it is now, and a home that it was demonstrated in; both real."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from mlops_assets.history import History, Registered
from mlops_assets.store import Store

PROJECT = Path(__file__).resolve().parents[2]
MLOPS = ("-c", "from mlops_assets.cli import main; main()")
REPRODUCE = (*MLOPS, "reproduce")
AUTHOR = ("-c", "user.name=nobody", "-c", "user.email=nobody@localhost", "-c", "commit.gpgsign=false")
UNSEEN = {"__pycache__", "catboost_info"}


@dataclass(frozen=True, slots=True)
class Site:
    """A repository of the project, and a home that its code works in; temporary folders are its own."""

    repository: Path
    home: Path
    temporary: Path
    python: str = sys.executable

    @property
    def history(self) -> History:
        """The home's history, and its store."""
        return History(self.home / "history", Store(self.home / "store"))

    @property
    def versions(self) -> list[Registered]:
        """Every registered version."""
        return self.history.read(Registered)

    @property
    def environment(self) -> dict[str, str]:
        """Variables of a process that works here."""
        return {**os.environ, "MLOPS_HOME": str(self.home), "TMPDIR": str(self.temporary)}

    def git(self, *arguments: str) -> str:
        """Output of git in the repository."""
        command = ["git", "-C", str(self.repository), *AUTHOR, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def commit(self, subject: str) -> None:
        """Commit the tree as it is."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", subject)

    def change(self, file: str, old: str, new: str) -> None:
        """Write `new` for `old` in a file of the repository."""
        path = self.repository / file
        before = path.read_text()
        assert old in before, f"{file} has no {old}"
        path.write_text(before.replace(old, new))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Python with arguments, in the repository, with its own package."""
        return subprocess.run(
            [self.python, *arguments],
            cwd=self.repository,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def execute(self, *command: str) -> None:
        """Run a program in the repository; it must go well."""
        done = subprocess.run(command, cwd=self.repository, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def with_python(self, python: Path) -> "Site":
        """The same with another interpreter."""
        return replace(self, python=str(python))

    def mlops(self, *arguments: str) -> str:
        """Output of a command that must go well."""
        done = self.run(*MLOPS, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def reproduce(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`mlops reproduce`, run to its end."""
        return self.run(*REPRODUCE, *arguments)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """`mlops reproduce`, begun."""
        return subprocess.Popen(
            [self.python, *REPRODUCE, *arguments],
            cwd=self.repository,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def digests(self) -> dict[str, str]:
        """Digest of every file of the repository, git's own as well, and of the home."""
        return {str(path): digest(path) for root in (self.repository, self.home) for path in files(root)}

    def left_over(self) -> list[str]:
        """What lies in the temporary folder."""
        return sorted(path.name for path in self.temporary.iterdir())


def files(root: Path) -> Iterable[Path]:
    """Every file below `root`, except what Python itself writes."""
    return (path for path in sorted(root.rglob("*")) if path.is_file() and not UNSEEN & set(path.parts))


def digest(path: Path) -> str:
    """Of a file's bytes."""
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def repository(at: Path) -> None:
    """Make a repository of one commit from the project's files as they are now, committed or not."""
    listed = ["git", "-C", str(PROJECT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, capture_output=True, check=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        if (PROJECT / name).is_file():
            (at / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, at / name)
    subprocess.run(["git", "init", "--quiet", str(at)], check=True)  # noqa: S607 - whichever git there is


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all workers."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def empty_site() -> Callable[[Path], Site]:
    """Makes a site in a folder that is not there yet: a repository without a commit, a home without anything."""

    def make(root: Path) -> Site:
        site = Site(root / "repository", root / "home", root / "temporary")
        site.temporary.mkdir(parents=True)
        repository(site.repository)
        return site

    return make


@pytest.fixture(scope="session")
def original(empty_site: Callable[[Path], Site], shared_folder: Path) -> Site:
    """The repository of one commit in which the demonstration ran, once for all workers. To be read only.

    Not even to be reproduced in: a worktree in it would be copied by whoever copies it meanwhile.
    """
    root = shared_folder / "reproduce"
    with (shared_folder / "reproduce.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (root / "done").exists():
            return Site(root / "repository", root / "home", root / "temporary")
        shutil.rmtree(root, ignore_errors=True)
        site = empty_site(root)
        site.commit("Train the first model")
        site.mlops("demo", "--sample")
        (root / "done").touch()
    return site


@pytest.fixture(scope="session")
def copy_site(original: Site) -> Callable[[Path], Site]:
    """Copies `original` into a folder that is not there yet; without MLflow's database, which names its own place."""

    def copy(to: Path) -> Site:
        shutil.copytree(original.repository, to / "repository", symlinks=True, ignore=shutil.ignore_patterns(*UNSEEN))
        shutil.copytree(original.home, to / "home", symlinks=True, ignore=shutil.ignore_patterns("mlflow"))
        (to / "temporary").mkdir()
        return replace(original, repository=to / "repository", home=to / "home", temporary=to / "temporary")

    return copy


@pytest.fixture
def site(copy_site: Callable[[Path], Site], tmp_path: Path) -> Site:
    """A copy of `original` for one test to change."""
    return copy_site(tmp_path / "copy")
