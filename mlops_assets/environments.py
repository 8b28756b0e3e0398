"""Python environments made from a lock file: the libraries that a model was trained with, kept for the next time.

One is built under another name and gets its own when it is complete; whoever wants the same one meanwhile waits for it.
Its name is the lock's digest and Python's minor version, so an environment never changes once it is there.
"""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mlops_assets.files import md5, write_atomically

COMPLETE = ".complete"


class EnvironmentNotBuiltError(RuntimeError):
    """An environment cannot be built; the message says why and what to do."""


def locked(lock: bytes, *, python: str, folder: Path, project: Path, tell: Callable[[str], None]) -> Path:
    """The interpreter of the environment of a lock file, below `folder`; `python` is a version such as 3.11.7.

    Raises EnvironmentNotBuiltError when uv, that Python or a library cannot be had.
    """
    minor = ".".join(python.split(".")[:2])
    home = folder / f"{md5(lock)}-{minor}"
    with alone(home):
        if is_usable(home, minor):
            tell(f"environment: {home}, built before")
        else:
            tell(f"environment: building {home}")
            build(home, lock, python=python, uv=find_uv(project))
    return home / "bin" / "python"


def build(home: Path, lock: bytes, *, python: str, uv: str) -> None:
    """Make the environment at `home`, in place of a broken one. Raises EnvironmentNotBuiltError."""
    growing = home.with_name(f".{home.name}.tmp")
    shutil.rmtree(growing, ignore_errors=True)  # of a process that was killed
    minor = home.name.rpartition("-")[2]
    venv = [uv, "venv", "--quiet", "--relocatable", "--no-project"]
    # The very version if it is here already, otherwise any of the same minor version, which uv may bring.
    if refused([*venv, "--no-python-downloads", "--python", python, str(growing)]):
        shutil.rmtree(growing, ignore_errors=True)
        if why := refused([*venv, "--python", minor, str(growing)]):
            message = f"Python {minor}, which the model was trained with, is not to be had. Install it. uv said: {why}"
            raise EnvironmentNotBuiltError(message)
    requirements = growing / "requirements.lock"
    requirements.write_bytes(lock)
    interpreter = str(growing / "bin" / "python")
    if why := refused([uv, "pip", "sync", "--quiet", "--require-hashes", "--python", interpreter, str(requirements)]):
        shutil.rmtree(growing, ignore_errors=True)
        message = f"the libraries of the recorded lock file cannot be installed. uv said: {why}"
        raise EnvironmentNotBuiltError(message)
    write_atomically(growing / COMPLETE, b"")
    shutil.rmtree(home, ignore_errors=True)
    growing.rename(home)


def is_usable(home: Path, minor: str) -> bool:
    """Whether an environment is complete and its Python still runs: the one it was made from may be gone."""
    said = refused([str(home / "bin" / "python"), "-I", "-c", f"import sys; assert sys.version.startswith('{minor}.')"])
    return said is None and (home / COMPLETE).is_file()


def find_uv(project: Path) -> str:
    """The uv on the PATH, or the project's own. Raises EnvironmentNotBuiltError when there is none."""
    own = project / ".tools" / "uv" / "bin" / "uv"
    if found := shutil.which("uv") or (str(own) if own.is_file() else None):
        return found
    message = "uv, which builds the recorded environment, is not there. Run `make setup`, or install uv."
    raise EnvironmentNotBuiltError(message)


def refused(command: list[str]) -> str | None:
    """What a command said when it failed, None when it did not."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=clean(os.environ))  # noqa: S603
    except OSError as error:
        return str(error)
    return (done.stderr.strip() or f"exit code {done.returncode}") if done.returncode else None


def clean(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment variables for another Python than this one: nothing of ours that would steer it."""
    ours = ("PYTHON", "GIT_", "MLOPS_", "DAGSTER_", "MLFLOW_", "VIRTUAL_ENV", "CONDA_")
    return {name: value for name, value in environment.items() if not name.startswith(ours)}


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """The only process that looks at or builds the environment; the lock goes with the process."""
    home.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(home.with_name(f".{home.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
