"""A version says for ever what it was made with; production lets none score that could not be made again."""

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.history import Crowned, History, Made, Registered
from mlops_assets.home import PROJECT
from mlops_assets.operate import System
from mlops_assets.provenance import LIBRARIES, Origin, lock_md5
from mlops_assets.storage import Layers


@pytest.fixture
def dirty_project(tmp_path: Path) -> Path:
    """A repository with a file that is no part of its commit."""
    git = ("git", "-C", str(tmp_path / "project"), "-c", "user.name=t", "-c", "user.email=t@t")
    (tmp_path / "project").mkdir()
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "one"], check=True)
    (tmp_path / "project" / "change").touch()
    return tmp_path / "project"


def uncrowned(running: System, project: Path, environment: str) -> System:
    """The system with a PASS that was not carried out yet, its models trained from `project` in `environment`."""
    champion = Layers(running.home.layers).path("champion").parent
    champion.rename(running.home.root / "set_aside")
    origin = Origin(project, environment)
    history: History = running.resources["history"]
    known = history.read(Registered)
    (history.root / "versions.jsonl").unlink()
    for version in known:
        history.register(replace(version, made_with=origin.facts()))
    return replace(running, resources={**running.resources, "origin": origin})


def test_production_lets_no_model_score_that_was_trained_from_a_dirty_tree(copied: System, dirty_project: Path) -> None:
    system = uncrowned(copied, dirty_project, "production")
    ran = system.materialize("champion")
    assert not ran.is_success
    assert "trained from a tree that is not a commit" in ran.broken[0]
    assert not Layers(system.home.layers).exists("champion")


def test_production_promotes_what_was_trained_from_a_commit(copied: System, dirty_project: Path) -> None:
    (dirty_project / "change").unlink()
    assert uncrowned(copied, dirty_project, "production").materialize("champion").is_success


def test_the_local_environment_promotes_from_a_dirty_tree_and_the_version_says_so(
    copied: System, dirty_project: Path
) -> None:
    system = uncrowned(copied, dirty_project, "local")
    assert system.materialize("champion").is_success
    history: History = system.resources["history"]
    crowned = history.read(Crowned)[-1]
    record = history.find(crowned.model_md5)
    assert record is not None
    assert record.made_with["git_dirty"] == "true"


def test_a_version_trained_dirty_and_then_from_a_commit_with_the_same_bytes_may_score_in_production(
    copied: System, dirty_project: Path
) -> None:
    system = uncrowned(copied, dirty_project, "production")
    history: History = system.resources["history"]
    (dirty_project / "change").unlink()
    numbers = [history.register(replace(v, made_with=system.resources["origin"].facts())) for v in history.versions()]
    assert numbers == [1, 2]
    assert system.materialize("champion").is_success


def test_a_registered_version_carries_everything_it_was_made_with(demo: System) -> None:
    (champion,) = demo.resources["tracking"].client().search_model_versions("tag.candidate = 'all_history'")
    assert champion.tags["lock_md5"] == lock_md5(PROJECT)
    assert champion.tags["thread_count"] == "1"
    assert {"git_commit", "git_dirty", "python", "machine", "params_md5", "model_md5", "training_md5"} <= set(
        champion.tags
    )
    assert {f"library.{name}" for name in LIBRARIES} <= set(champion.tags)


def test_a_registered_version_and_its_run_list_the_md5_of_each_input(demo: System, layers: Layers) -> None:
    client = demo.resources["tracking"].client()
    (champion,) = client.search_model_versions("tag.candidate = 'all_history'")
    run = client.get_run(champion.run_id)
    logged = {entry.dataset.name: entry.dataset.digest for entry in run.inputs.dataset_inputs}
    for batch in layers.batches("labelled_customers"):
        digest = layers.digest("labelled_customers", batch)
        assert champion.tags[f"input.labelled_customers_{batch}"] == digest == logged[f"labelled_customers_{batch}"]
    assert logged["training_set"] == layers.digest("training_set")


def test_the_history_knows_of_every_table_what_it_was_made_from(demo: System, layers: Layers) -> None:
    made: dict[Any, dict[str, str]]
    made = {(record.asset, record.batch, record.md5): record.inputs for record in demo.resources["history"].read(Made)}

    def of(name: str, batch: str | None = None) -> dict[str, str]:
        return made[name, batch, layers.digest(name, batch)]

    assert set(of("raw_customers", "2024-01")) == {"customers/2024-01.csv"}
    assert of("labelled_customers", "2024-01") == {
        f"{name}@2024-01": layers.digest(name, "2024-01") for name in ("customer_features", "validated_outcomes")
    }
    assert set(of("training_set")) == {f"labelled_customers@{batch}" for batch in layers.batches("labelled_customers")}
    assert of("predictions", "2024-06")["champion"] == layers.digest("champion")
    assert set(of("promotion_verdict")) == {"churn_model", "model_evaluation", "training_set"}
