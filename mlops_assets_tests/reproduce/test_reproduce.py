"""A registered model comes back from its commit, its inputs and its parameters, wherever the tree has moved on to."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from mlops_assets_tests.reproduce.conftest import Site


@dataclass(frozen=True, slots=True)
class Told:
    """A reproduction that was told as JSON, and what it found and left of the user's things."""

    site: "Site"
    done: "subprocess.CompletedProcess[str]"
    before: dict[str, str]
    after: dict[str, str]

    @property
    def tree(self) -> Any:  # noqa: ANN401 - JSON
        """The result."""
        return json.loads(self.done.stdout)


@pytest.fixture(scope="module")
def moved_on(copy_site: "Callable[[Path], Site]", tmp_path_factory: pytest.TempPathFactory) -> Told:
    """A run reproduced later: other code and parameters since, more at work, hooks set, registry and models lost."""
    site = copy_site(tmp_path_factory.mktemp("moved") / "on")
    assert not (site.home / "mlflow").exists()
    for version in site.versions:
        site.history.store.path(version.model_md5).unlink()
    site.change("params.yaml", "iterations: 200", "iterations: 20")
    site.change("mlops_assets/learning/training.py", "random_seed=recipe.seed", "random_seed=recipe.seed + 1")
    site.commit("Train another model")
    site.change("params.yaml", "folds: 5", "folds: 3")
    site.change("README.md", "#", "# staged")
    site.git("add", "README.md")
    (site.repository / "mlops_assets" / "materialize.py").write_text("raise SystemExit('the tree itself was run')\n")
    (site.repository / "untracked.txt").write_text("mine\n")
    hook = site.repository / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {site.repository}/hook-ran\n")
    hook.chmod(0o755)
    before = site.digests()
    run_id = site.versions[0].mlflow_run_id
    assert run_id is not None
    done = site.reproduce(run_id[:8], "--json")
    return Told(site, done, before, site.digests())


def test_every_version_of_a_run_comes_back_byte_by_byte_after_code_and_parameters_moved_on(moved_on: Told) -> None:
    assert moved_on.done.returncode == 0, moved_on.done.stderr
    assert [version["verdict"] for version in moved_on.tree["versions"]] == ["BYTES EQUAL"] * 2
    assert moved_on.tree["verdict"] == "BYTES EQUAL"


def test_what_came_back_is_what_was_recorded(moved_on: Told) -> None:
    told = [(one["version"], one["model"]["recorded"], one["model"]["made"]) for one in moved_on.tree["versions"]]

    assert told == [(one.version, one.model_md5, one.model_md5) for one in moved_on.site.versions]


def test_tree_index_branches_hooks_and_home_are_as_before(moved_on: Told) -> None:
    assert moved_on.after == moved_on.before


def test_no_worktree_and_no_temporary_file_is_left(moved_on: Told) -> None:
    assert len(moved_on.site.git("worktree", "list").splitlines()) == 1
    assert moved_on.site.left_over() == []


def test_json_says_of_each_version_what_was_compared_and_what_differs(moved_on: Told) -> None:
    version = moved_on.tree["versions"][0]

    assert set(version) == {
        *("version", "candidate", "as_of", "commit", "mlflow_run_id", "locked", "verdict"),
        *("model", "scores", "metrics", "differences", "unexplained"),
    }
    assert {tuple(version[part]) for part in ("model", "scores", "metrics")} == {("recorded", "made", "distance")}
    assert version["metrics"]["recorded"]
    assert version["differences"] == []


def test_progress_goes_to_stderr_step_by_step(moved_on: Told) -> None:
    steps = [line.split()[0].rstrip(":") for line in moved_on.done.stderr.splitlines()]

    assert steps == ["worktree", "inputs", "training", "comparing"]


def test_the_champion_comes_back_and_a_person_reads_how_equal_it_is(site: "Site") -> None:
    done = site.reproduce("champion")

    verdict, version, *_ = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert verdict == "BYTES EQUAL"
    assert version.split()[:3] == ["version", "1,", "all_history"]


def test_a_model_of_a_dirty_tree_is_different_and_the_dirt_is_the_first_suspect(site: "Site") -> None:
    site.change("mlops_assets/learning/training.py", "random_seed=recipe.seed", "random_seed=recipe.seed + 1")
    site.mlops("retrain")
    newest = site.versions[-1].version
    assert newest > 2

    done = site.reproduce(str(newest), "--json")

    (version,) = json.loads(done.stdout)["versions"]
    assert done.returncode == 1
    assert version["verdict"] == "DIFFERENT"
    assert version["scores"]["distance"] > 1e-9
    assert version["differences"][0]["what"] == "git_dirty"
