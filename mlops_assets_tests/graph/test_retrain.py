"""A training can be repeated bit by bit, and nothing but a verdict about what lies there makes a champion."""

import dataclasses
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mlops_assets import operate
from mlops_assets.home import Home
from mlops_assets.operate import Ran, System
from mlops_assets.params import Params
from mlops_assets.storage import Layers, json_bytes

AS_OF = {"ops": {"training_set": {"config": {"as_of": "2024-05"}}}}
MODEL = ("training_set", "churn_model", "model_evaluation")


def files(layers: Layers, name: str) -> dict[str, bytes]:
    """Every file of a table's folder."""
    return {path.name: path.read_bytes() for path in layers.path(name).parent.iterdir()}


def registered(running: System) -> list[tuple[int, str]]:
    """Number and digest of every registered version."""
    tracking = running.resources["tracking"]
    versions = tracking.client().search_model_versions("name = 'churn'")
    return sorted((int(version.version), version.tags["model_md5"]) for version in versions)


def judged(layers: Layers) -> dict[str, Any]:
    """The verdict as it lies there."""
    document: dict[str, Any] = json.loads(layers.named("promotion_verdict", "verdict.json"))
    return document


@dataclass(frozen=True)
class Again:
    """A second training of what the first one learned from."""

    ran: Ran
    running: System
    versions_before: list[tuple[int, str]]


@pytest.fixture(scope="module")
def again(
    copy_home: Callable[[Path], Home], tmp_path_factory: pytest.TempPathFactory, params: Params
) -> Iterator[Again]:
    """The demonstration's training, run once more."""
    home = copy_home(tmp_path_factory.mktemp("again") / "home")
    with operate.system(home, params) as running:
        before = registered(running)
        yield Again(running.run("retrain", config=AS_OF), running, before)


@pytest.mark.parametrize("name", MODEL)
def test_training_twice_gives_the_same_bytes(again: Again, layers: Layers, name: str) -> None:
    assert files(again.running.resources["layers"], name) == files(layers, name)


def test_training_twice_registers_no_second_version(again: Again) -> None:
    assert registered(again.running) == again.versions_before


def test_a_challenger_of_the_same_months_dethrones_nobody(again: Again, layers: Layers) -> None:
    assert again.ran.is_success
    assert files(again.running.resources["layers"], "champion") == files(layers, "champion")
    assert "champion" not in again.ran.materialized


def test_the_champions_own_model_is_no_contender_and_the_reason_is_told(again: Again) -> None:
    verdict = judged(again.running.resources["layers"])
    assert verdict["winner"] is None
    assert verdict["why"].startswith("the champion stays. recency_weighted: ")
    assert "all_history" not in verdict["why"]


def test_another_process_and_folder_with_another_hash_seed_gives_the_same_model(
    copied_home: Home, layers: Layers, python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    elsewhere = Layers(copied_home.layers)
    shutil.rmtree(elsewhere.path("churn_model").parent)
    script = "from mlops_assets.cli import main; main()"
    done = python(copied_home, "-c", script, "retrain", "--as-of", "2024-05", PYTHONHASHSEED="4711")
    assert done.returncode == 0, done.stderr
    assert files(elsewhere, "churn_model") == files(layers, "churn_model")
    assert files(elsewhere, "model_evaluation") == files(layers, "model_evaluation")


def judge_anew(layers: Layers, **changes: object) -> None:
    """Write a PASS for the other candidate, about what lies there but for `changes`."""
    document = judged(layers)
    candidates, champion = layers.read("churn_model"), layers.read("champion").iloc[0]
    other = candidates[candidates.model_md5 != champion.model_md5].iloc[0]
    about = {**document["judged"], "champion": champion.model_md5, **changes}
    content = json_bytes({**document, "winner": other.model_md5, "judged": about})
    (layers.path("promotion_verdict").parent / "verdict.json").write_bytes(content)


def test_a_verdict_about_what_lies_there_makes_a_champion(copied: System) -> None:
    layers = copied.resources["layers"]
    judge_anew(layers)
    assert copied.materialize("champion").is_success
    assert layers.read("champion").candidate.iloc[0] == "recency_weighted"


@pytest.mark.parametrize("name", [*MODEL, "params", "champion"])
def test_a_verdict_about_something_else_makes_no_champion(name: str, copied: System, layers: Layers) -> None:
    there = copied.resources["layers"]
    judge_anew(there, **{name: "0" * 32})
    ran = copied.materialize("champion")
    assert f"the verdict was about something else ({name} changed since)" in ran.broken[0]
    assert files(there, "champion") == files(layers, "champion")


def test_a_verdict_reached_under_other_parameters_makes_no_champion(copied: System, params: Params) -> None:
    judge_anew(copied.resources["layers"])
    stricter = params.floors.model_copy(update={"max_calibration_error": 0.001})
    ran = dataclasses.replace(
        copied, resources={**copied.resources, "params": params.model_copy(update={"floors": stricter})}
    ).materialize("champion")
    assert "params changed since" in ran.broken[0]


def test_a_changed_candidate_makes_the_verdict_void(copied: System, layers: Layers) -> None:
    there = copied.resources["layers"]
    judge_anew(there)
    table = there.read("churn_model")
    there.write("churn_model", table.assign(threshold=table.threshold / 2))
    assert "churn_model changed since" in copied.materialize("champion").broken[0]
    assert files(there, "champion") == files(layers, "champion")


def test_a_model_file_with_other_bytes_makes_no_champion(copied: System, layers: Layers) -> None:
    there = copied.resources["layers"]
    judge_anew(there)
    winner = there.path("churn_model").parent / f"{judged(there)['winner']}.cbm"
    winner.write_bytes(winner.read_bytes()[:-1] + b"x")
    ran = copied.materialize("champion")
    assert str(winner) in ran.broken[0]
    assert files(there, "champion") == files(layers, "champion")


def test_labels_that_changed_after_they_were_listed_are_not_learned_from(copied: System, layers: Layers) -> None:
    there = copied.resources["layers"]
    table = there.read("labelled_customers", "2024-05")
    there.write("labelled_customers", table.assign(label=1 - table.label), "2024-05")
    ran = copied.materialize("churn_model")
    assert "labelled_customers of 2024-05 changed since training_set listed it" in ran.broken[0]
    assert files(there, "churn_model") == files(layers, "churn_model")


def test_a_lost_champion_is_made_again_from_its_verdict_with_the_same_bytes(copied: System, layers: Layers) -> None:
    there = copied.resources["layers"]
    shutil.rmtree(there.path("champion").parent)
    assert copied.materialize("champion").is_success
    assert files(there, "champion") == files(layers, "champion")


def test_the_asset_asked_again_after_its_verdict_was_carried_out_is_content(copied: System, layers: Layers) -> None:
    ran = copied.materialize("champion")
    assert ran.is_success
    assert files(copied.resources["layers"], "champion") == files(layers, "champion")


def test_figures_are_those_of_every_candidate_on_the_same_rows(layers: Layers) -> None:
    overall = layers.read("model_evaluation").query("cut == 'overall'")
    sizes = overall.groupby(["scheme", "metric"]).agg(candidates=("candidate", "nunique"), rows=("rows", "nunique"))
    expected = pd.Series({"candidates": 3, "rows": 1})
    assert (sizes == expected).all(axis=None)
