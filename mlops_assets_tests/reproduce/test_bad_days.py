"""Bad days of a reproduction: killed, stopped, two at once, inputs lost or damaged, a commit that is not here."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import subprocess

    from mlops_assets_tests.reproduce.conftest import Site

REFUSED = 2


def wait_for_training(site: "Site", process: "subprocess.Popen[str]") -> None:
    """Wait until the recorded code runs: its inputs are there then."""
    for _ in range(400):
        if list(site.temporary.glob("*/tree/data/3_features/training_set/*.parquet")):
            time.sleep(1)
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    pytest.fail("no training began in 20 s")


def worktrees(site: "Site") -> int:
    """How many there are, the user's own among them."""
    return len(site.git("worktree", "list").splitlines())


def test_what_a_killed_reproduction_left_goes_with_the_next_one(site: "Site") -> None:
    process = site.start("champion")
    wait_for_training(site, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    left = worktrees(site)

    done = site.reproduce("champion")

    assert left == 2
    assert done.stdout.startswith("BYTES EQUAL"), done.stderr
    assert worktrees(site) == 1
    assert site.left_over() == []


@pytest.mark.parametrize("stopped", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_reproduction_leaves_nothing(site: "Site", stopped: signal.Signals) -> None:
    before = site.digests()
    process = site.start("champion")
    wait_for_training(site, process)

    os.kill(process.pid, stopped)
    process.communicate(timeout=20)

    assert process.returncode == 128 + stopped
    assert worktrees(site) == 1
    assert site.left_over() == []
    assert site.digests() == before


def test_two_at_once_both_end_well(site: "Site") -> None:
    both = [site.start(which) for which in ("1", "2")]
    told = [process.communicate(timeout=120) for process in both]

    assert [out.splitlines()[0] for out, _ in told] == ["BYTES EQUAL"] * 2, told
    assert worktrees(site) == 1


def lose(path: Path) -> None:
    """Remove an object."""
    path.unlink()


def flip(path: Path) -> None:
    """Change a byte of an object."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


@pytest.mark.parametrize("harm", [lose, flip])
def test_an_input_that_is_lost_or_damaged_is_named_and_nothing_is_trained(
    site: "Site", harm: Callable[[Path], None]
) -> None:
    oid = site.versions[0].inputs["2024-03"]
    harm(site.history.store.path(oid))

    done = site.reproduce("1")

    assert done.returncode == REFUSED
    assert f"labelled_customers/2024-03.parquet of version 1 cannot be brought back: object {oid}" in done.stderr
    assert "worktree" not in done.stderr


def test_a_commit_that_is_not_in_this_clone_is_to_be_fetched(site: "Site") -> None:
    versions = site.home / "history" / "versions.jsonl"
    versions.write_text(versions.read_text().replace(site.git("rev-parse", "HEAD"), "0" * 40))

    done = site.reproduce("1")

    assert done.returncode == REFUSED
    assert "is not in this clone" in done.stderr
    assert "git fetch" in done.stderr


def test_a_commit_older_than_the_command_is_refused(site: "Site") -> None:
    recorded = site.git("rev-parse", "HEAD")
    site.git("rm", "--quiet", "mlops_assets/materialize.py")
    site.commit("Go back in time")
    versions = site.home / "history" / "versions.jsonl"
    versions.write_text(versions.read_text().replace(recorded, site.git("rev-parse", "HEAD")))
    site.git("checkout", "--quiet", recorded)

    done = site.reproduce("1")

    assert done.returncode == REFUSED
    assert "has no mlops_assets/materialize.py" in done.stderr


def test_recorded_code_that_does_not_run_is_told_with_what_it_said(site: "Site") -> None:
    recorded = site.git("rev-parse", "HEAD")
    (site.repository / "mlops_assets" / "materialize.py").write_text("import no_such_library\n")
    site.commit("Break the training")
    versions = site.home / "history" / "versions.jsonl"
    versions.write_text(versions.read_text().replace(recorded, site.git("rev-parse", "HEAD")))
    site.git("checkout", "--quiet", recorded)

    done = site.reproduce("1")

    assert done.returncode == REFUSED
    assert "No module named 'no_such_library'" in done.stderr
    assert worktrees(site) == 1


@pytest.mark.parametrize("which", ["99", "feedbeef", "abc", "latest", ""])
def test_an_unknown_version_is_refused_with_a_list_of_those_there_are(original: "Site", which: str) -> None:
    done = original.reproduce(which)

    assert done.returncode == REFUSED
    assert "1: all_history, as of 2024-05, run " in done.stderr
    assert "2: recency_weighted" in done.stderr


def test_a_home_without_versions_says_how_to_make_one(site: "Site") -> None:
    (site.home / "history" / "versions.jsonl").unlink()

    done = site.reproduce("champion")

    assert done.returncode == REFUSED
    assert "run mlops retrain" in done.stderr


def test_outside_of_git_it_says_where_to_run_it(site: "Site") -> None:
    (site.repository / ".git").rename(site.repository / "no-git")

    done = site.reproduce("1")

    assert done.returncode == REFUSED
    assert "Run this in a clone of the project" in done.stderr
