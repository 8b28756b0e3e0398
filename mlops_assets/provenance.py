"""What a model was made with, besides data and parameters: commit, lock file, libraries, machine, threads.

Enough to say first what differs when a model does not come back, and to build its environment again.
"""

import platform
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from mlops_assets.files import md5

LIBRARIES = ("catboost", "numpy", "pandas", "pyarrow", "scikit-learn", "scipy")
THREADS = 1  # CatBoost's thread_count: more would make the last digits depend on the machine
LOCK = "requirements.lock"
PRODUCTION = "production"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the code comes from: the folder of the project, and the environment it runs in."""

    project: Path
    environment: str
    home: Path | None = None  # of the running system: what it makes is no change of the code

    def facts(self) -> dict[str, str]:
        """Everything a model was made with, as text: tags of its registered version."""
        return {
            **git_state(self.project, apart=self.home),
            "lock_md5": lock_md5(self.project),
            "python": platform.python_version(),
            **{f"library.{name}": version(name) for name in LIBRARIES},
            "machine": f"{platform.system()} {platform.machine()}",
            "thread_count": str(THREADS),
            "environment": self.environment,
        }

    def why_not_promote(self, made_with: dict[str, str]) -> str | None:
        """Why a model made with these facts may not score here; None if it may. Only production refuses."""
        if self.environment != PRODUCTION or made_with.get("git_dirty") == "false":
            return None
        return (
            f"it was trained from a tree that is not a commit (commit {made_with.get('git_commit')}, "
            f"dirty: {made_with.get('git_dirty')}), so it could never be made again. Commit, then run retrain."
        )


def lock_md5(project: Path) -> str:
    """Digest of the project's lock file; says so where there is none."""
    lock = project / LOCK
    return md5(lock.read_bytes()) if lock.is_file() else "no lock"


def git_state(project: Path, *, apart: Path | None = None) -> dict[str, str]:
    """Commit of the code, and whether the tree differs from it but for `apart`; both say so where there is no git."""
    commit = git(project, "rev-parse", "HEAD")
    is_inside = apart is not None and apart != project and apart.is_relative_to(project)
    paths = ["--", ".", f":(exclude,literal){apart.relative_to(project)}"] if apart and is_inside else []
    status = git(project, "status", "--porcelain", *paths)
    return {"git_commit": commit or "no git", "git_dirty": "unknown" if status is None else str(bool(status)).lower()}


def git(project: Path, *arguments: str) -> str | None:
    """Output of a git command in the project, None where it fails."""
    try:
        done = subprocess.run(  # noqa: S603 - literal arguments
            ["git", "-C", str(project), *arguments],  # noqa: S607 - whichever git the user has
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
