"""A commit checked out beside the user's tree, for as long as it is needed; tree, index and HEAD of the user stay.

It lies in a temporary folder whose name carries the process, so that what a killed process left can be told from what
is in use, and goes with the next one. No hook runs, since a hook is the user's and may do anything.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "mlops-reproduce-"
OURS = re.compile(rf"{PREFIX}(\d+)-\w+")
TREE = "tree"
QUIET = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false")  # nothing of the user's is run


class CommitError(RuntimeError):
    """A commit cannot be checked out; the message says why and what to do."""


def git(project: Path, *arguments: str) -> str:
    """Output of a git command in the project. Raises CommitError with what git said."""
    try:
        done = subprocess.run(  # noqa: S603 - literal arguments
            ["git", "-C", str(project), *QUIET, *arguments],  # noqa: S607 - the user's git
            capture_output=True,
            text=True,
            check=False,
            env=without_git(os.environ),
        )
    except OSError as error:
        message = f"git cannot be run ({error}), and the recorded code comes from it. Install git."
        raise CommitError(message) from None
    if done.returncode:
        message = (
            f"`git {' '.join(arguments[:2])}` failed in {project}, where the recorded code is to come from: "
            f"{shown(done.stderr)}. Run this in a clone of the project, with room in {tempfile.gettempdir()}."
        )
        raise CommitError(message)
    return done.stdout.strip()


def shown(said: str) -> str:
    """The end of what git said; a full disk makes it say a line for every file."""
    return "\n".join(said.strip().splitlines()[-3:])


def without_git(environment: "os._Environ[str]") -> dict[str, str]:
    """The environment without git's own variables: in a hook they name another repository and index."""
    return {name: value for name, value in environment.items() if not name.startswith("GIT_")}


def require(project: Path, commit: str, file: str) -> None:
    """Nothing, if the repository has the commit, and the commit has `file` of the project. Raises CommitError."""
    git(project, "rev-parse", "--git-dir")
    try:
        git(project, "cat-file", "-e", f"{commit}^{{commit}}")
    except CommitError:
        message = (
            f"commit {commit} is not in this clone ({project}). Bring it with `git fetch` (`git fetch --unshallow` "
            "in a shallow clone), or from the clone that the model was trained in."
        )
        raise CommitError(message) from None
    try:
        git(project, "cat-file", "-e", f"{commit}:./{file}")
    except CommitError:
        message = (
            f"commit {commit} has no {file}: it is older than `mlops reproduce` and cannot be run by it. "
            "The model itself is in the store."
        )
        raise CommitError(message) from None


@contextmanager
def worktree(project: Path, commit: str) -> Iterator[Path]:
    """The project as the commit has it, in a folder that is gone afterwards; beside it is room for other files.

    Raises CommitError when git cannot make it.
    """
    sweep(project)
    root = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-")).resolve()
    try:
        git(project, "worktree", "add", "--quiet", "--detach", str(root / TREE), commit)
        yield root / TREE / git(project, "rev-parse", "--show-prefix")
    finally:
        remove(project, root)


def remove(project: Path, root: Path) -> None:
    """Take the folder away, and the repository's note of it if there is one."""
    shutil.rmtree(root, ignore_errors=True)
    with suppress(CommitError):  # there may have been no worktree yet
        git(project, "worktree", "remove", "--force", "--force", str(root / TREE))


def sweep(project: Path) -> None:
    """Remove what processes left that were killed."""
    noted = [line.removeprefix("worktree ") for line in git(project, "worktree", "list", "--porcelain").splitlines()]
    roots = {Path(path).parent for path in noted if Path(path).name == TREE}
    roots |= set(Path(tempfile.gettempdir()).resolve().glob(f"{PREFIX}*"))
    for root in roots:
        if (named := OURS.fullmatch(root.name)) and not is_alive(int(named[1])):
            remove(project, root)


def is_alive(pid: int) -> bool:
    """Whether there is such a process, ours or not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
