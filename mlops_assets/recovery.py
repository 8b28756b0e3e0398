"""What a power cut leaves behind, mended before anything runs: runs that would stay STARTED for ever.

Dagster marks a killed run as failed while its daemon lives. Where run, code server and daemon go at once, nobody does
(`docs/decisions/`). Whoever starts the system is alone in the home, which a lock proves: so none of the runs lives.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from mlops_assets.home import Home

REPEATS, MOST_REPEATS = "dagster/max_retries", 12
BEGUN = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
WHY = "its process ended without ending it"


class InUseError(RuntimeError):
    """Another process runs the loop of this home."""


def mend(instance: dg.DagsterInstance) -> int:
    """Mark as failed every run that had begun; the daemon repeats them. Returns how many. Only for who is alone.

    A power cut is no fault of the run, and does not count against its repetitions; up to a limit, for a run might be
    what brings the machine down.
    """
    left = instance.get_runs(dg.RunsFilter(statuses=BEGUN))
    for run in left:
        if repeats := run.tags.get(REPEATS):
            instance.add_run_tags(run.run_id, {REPEATS: str(min(int(repeats) + 1, MOST_REPEATS))})
        instance.report_run_failed(run, WHY)
    return len(left)


def occupy(home: Home) -> int:
    """Descriptor of a lock on the loop of the home; it goes with the process, however that ends. Raises InUseError."""
    home.root.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(home.root / "loop.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        message = f"another process runs the loop of {home.root}. Stop it first (`mlops up`, `make ui`, a simulation)."
        raise InUseError(message) from None
    return descriptor


@contextmanager
def occupied(home: Home) -> Iterator[None]:
    """Alone with the loop of the home. Raises InUseError."""
    descriptor = occupy(home)
    try:
        yield
    finally:
        os.close(descriptor)
