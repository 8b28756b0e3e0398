"""What is shown as the champion's is the winner's, and every candidate has figures and pictures of its own."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from mlops_assets import compared, operate, summary
from mlops_assets.definitions import ASSETS
from mlops_assets.history import Signed
from mlops_assets.home import Home
from mlops_assets.operate import Ran, System
from mlops_assets.params import Params
from mlops_assets.relocation import relocate
from mlops_assets.storage import Layers, bytes_table
from mlops_assets.tracking import EXPERIMENT

pytestmark = pytest.mark.slow  # a home of its own, trained twice; what leads is tested in `learning/test_profiles.py`

WINNER, LOSER = "recency_weighted", "all_history"
PICTURES = ("roc", "precision_recall", "calibration", "confusion", "gain", "shap_summary")
METRICS = ("log_loss", "roc_auc", "average_precision", "f1", "calibration_error", "lift_at_10", "expected_profit")
ENDS = {"": "value", ".lower": "lower", ".upper": "upper"}
JUDGED = ("model_evaluation", "promotion_verdict", "champion")


@dataclass(frozen=True)
class Won:
    """A home in which the other candidate than the demonstration's won, and the run in which it did."""

    running: System
    ran: Ran
    layers: Layers


def judge(running: System) -> Ran:
    """Evaluate, judge and make champion in one run, as the job `retrain` does after its fits."""
    here = dg.Definitions(assets=ASSETS, resources=running.resources).resolve_implicit_global_asset_job_def()
    chosen = [dg.AssetKey(name) for name in JUDGED]
    result = here.execute_in_process(instance=running.instance, asset_selection=chosen, raise_on_error=False)
    return operate.outcome(result)


def lenient(params: Params, **promotion: str) -> Params:
    """Parameters with a lower floor, and promotion as asked for."""
    floors = params.floors.model_copy(update={"max_loss_behind_baseline": 0.05})
    return params.model_copy(update={"floors": floors, "promotion": params.promotion.model_copy(update=promotion)})


def refuse_the_other(running: System) -> Layers:
    """Leave the home without a champion, and refuse the candidate that became it."""
    layers: Layers = running.resources["layers"]
    refused = layers.read("churn_model").set_index("candidate").model_md5[LOSER]
    running.resources["history"].add(Signed("decline", "ada", "not this one", 1, refused, refused=(refused,)))
    shutil.rmtree(layers.path("champion").parent)
    return layers


@pytest.fixture(scope="module")
def won(copy_home: Callable[[Path], Home], tmp_path_factory: pytest.TempPathFactory, params: Params) -> Iterator[Won]:
    """There is no champion, and a person has refused the candidate that weighs all history alike.

    The other is a little too far behind the baseline for the floor that ships, so this home's is lower.
    """
    params = lenient(params)
    home = copy_home(tmp_path_factory.mktemp("won") / "home")
    with operate.system(home, params) as running:
        layers = refuse_the_other(running)
        ran = judge(running)
        assert ran.is_success, ran.broken
        # As long as nothing else is made: what a test changes afterwards is its own.
        yield Won(running, ran, Layers(layers.root))


@pytest.fixture
def after(won: Won, tmp_path: Path, params: Params) -> Iterator[System]:
    """A copy of that home, for one test to change."""
    shutil.copytree(won.running.home.root, tmp_path / "after", symlinks=True)
    relocate(tmp_path / "after", EXPERIMENT)
    with operate.system(Home(tmp_path / "after"), params) as running:
        yield running


def sign(running: System, version: int, action: str) -> Ran:
    """A person makes a version champion."""
    signature = {"version": version, "action": action, "actor": "ada", "reason": "it is steadier"}
    ran = running.materialize("champion", config=signature)
    assert ran.is_success, ran.broken
    return ran


def figures(layers: Layers, candidate: str, scheme: str) -> pd.DataFrame:
    """Overall figures of a candidate by metric."""
    table = layers.read("model_evaluation").query("cut == 'overall'")
    return table[table.candidate.eq(candidate) & table.scheme.eq(scheme)].set_index("metric")


def records(shown: Any) -> pd.DataFrame:  # noqa: ANN401 - a value of metadata
    """A table of metadata."""
    return pd.DataFrame([dict(record.data) for record in shown.records])


def run_of(running: System, run_id: str) -> Any:  # noqa: ANN401 - mlflow's Run
    """The MLflow run of a Dagster run."""
    client = running.resources["tracking"].client()
    experiment = client.get_experiment_by_name("churn").experiment_id
    (run,) = client.search_runs([experiment], f"tags.dagster_run_id = '{run_id}'")
    return run


def artifact(running: System, run: Any, path: str) -> bytes:  # noqa: ANN401 - mlflow's Run
    """Bytes of an artifact of a run."""
    return Path(running.resources["tracking"].client().download_artifacts(run.info.run_id, path)).read_bytes()


def test_every_candidate_has_its_own_figures_segments_and_pictures(won: Won) -> None:
    told = won.ran.materialized["model_evaluation"]
    for name in (*METRICS, *PICTURES, "figures", "segments", "figures_are"):
        assert told[f"{WINNER}/{name}"], name
        assert told[f"{LOSER}/{name}"] != told[f"{WINNER}/{name}"], name
    assert all(told[f"{LOSER}/{name}"].startswith("![picture](data:image/png;base64,") for name in PICTURES)


def test_before_promotion_has_said_who_won_no_candidate_leads(won: Won) -> None:
    told = won.ran.materialized["model_evaluation"]
    assert not {*METRICS, *PICTURES, "segments", "figures"} & set(told)
    assert "promotion_verdict" in told["order"]


@pytest.mark.parametrize("asset", ["promotion_verdict", "champion"])
def test_the_winners_figures_segments_and_pictures_lead(asset: str, won: Won) -> None:
    told, evaluated = won.ran.materialized[asset], won.ran.materialized["model_evaluation"]
    assert won.layers.read("champion").candidate.iloc[0] == WINNER
    own = figures(won.layers, WINNER, "rolling_origin")
    loser = figures(won.layers, LOSER, "out_of_fold")
    for metric in METRICS:
        assert told[metric] == pytest.approx(own.value[metric], abs=5e-5)
        assert told[metric] != pytest.approx(loser.value[metric], abs=5e-5)
    for name in ("segments", "figures", "figures_are", *PICTURES):
        assert told[name] == evaluated[f"{WINNER}/{name}"]
    shown = records(told["figures"]).set_index("metric")
    assert shown.lower["log_loss"] == pytest.approx(own.lower["log_loss"], abs=1e-4)
    assert shown.upper["log_loss"] == pytest.approx(own.upper["log_loss"], abs=1e-4)


def test_the_run_of_mlflow_is_headed_by_the_winner_and_has_the_pictures_of_each(won: Won) -> None:
    run = run_of(won.running, won.ran.run_id)
    own = figures(won.layers, WINNER, "rolling_origin")
    expected = {f"{metric}{end}": own[of][metric] for metric in METRICS for end, of in ENDS.items()}
    assert {name: run.data.metrics[name] for name in expected} == pytest.approx(expected)
    assert run.data.metrics["all_history.out_of_fold.log_loss"] != run.data.metrics["log_loss"]
    assert run.data.tags["winner"] == WINNER
    for name in PICTURES:
        headed = artifact(won.running, run, f"winner/{name}.png")
        assert headed == artifact(won.running, run, f"evaluation/{WINNER}/{name}.png")
        assert headed != artifact(won.running, run, f"evaluation/{LOSER}/{name}.png")


def test_each_version_describes_its_own_candidate_and_the_alias_means_the_winner(won: Won) -> None:
    client = won.running.resources["tracking"].client()
    versions = {v.tags["candidate"]: v for v in client.search_model_versions("name = 'churn'")}
    candidates = won.layers.read("churn_model").set_index("candidate")
    for name, scheme, how in ((WINNER, "rolling_origin", "Newest months"), (LOSER, "out_of_fold", "Out of fold")):
        loss = figures(won.layers, name, scheme).value["log_loss"]
        assert how in versions[name].description
        assert f"log-loss {loss:.4f}" in versions[name].description
        assert versions[name].tags["model_md5"] == candidates.model_md5[name]


def test_what_git_compares_is_the_winners(won: Won, params: Params, tmp_path: Path) -> None:
    model = compared.model(won.layers)
    assert (model["champion"]["candidate"], model["champion"]["scheme"]) == (WINNER, "rolling_origin")
    own = figures(won.layers, WINNER, "rolling_origin")
    assert model["champion"]["log_loss"] == pytest.approx(own.value["log_loss"], abs=1e-4)
    compared.write_plots(tmp_path, won.layers, params)
    assert len((tmp_path / "confusion.csv").read_text().splitlines()) == 1 + own.rows["log_loss"]


def test_what_git_compares_without_a_champion_of_the_training_is_the_first_of_the_ranked(
    won: Won, tmp_path: Path
) -> None:
    row = won.layers.read("churn_model").iloc[0]
    scores = bytes_table(won.layers.file("churn_model", f"{row.scores_md5}.parquet"))
    nobody = tmp_path / "nobody"
    shutil.copytree(won.layers.path("churn_model").parent, nobody / "4_model" / "churn_model")
    shutil.copytree(won.layers.path("model_evaluation").parent, nobody / "4_model" / "model_evaluation")
    losses = {name: figures(won.layers, name, "rolling_origin").value["log_loss"] for name in (WINNER, LOSER)}
    assert compared.shown(Layers(nobody), scores).candidate == min(losses, key=lambda name: losses[name])
    assert "champion" not in compared.model(Layers(nobody))


def test_what_a_person_signs_leads_from_then_on_with_the_figures_of_its_own_training(won: Won, after: System) -> None:
    ran = sign(after, 1, "promote")
    told, own = ran.materialized["champion"], figures(won.layers, LOSER, "out_of_fold")
    assert told["candidate"] == LOSER
    assert told["log_loss"] == pytest.approx(own.value["log_loss"], abs=5e-5)
    assert told["roc"] == won.ran.materialized["model_evaluation"][f"{LOSER}/roc"]
    (record,) = (version for version in after.resources["history"].versions() if version.candidate == LOSER)
    trained_in = after.resources["tracking"].client().get_run(record.mlflow_run_id)
    for run in (run_of(after, ran.run_id), trained_in):
        assert run.data.tags["winner"] == LOSER
        assert run.data.metrics["log_loss"] == pytest.approx(own.value["log_loss"])


def test_a_champion_whose_evaluation_is_lost_is_made_all_the_same_and_says_so(after: System) -> None:
    """The evaluation that lies there is of another training, and is not shown as its own."""
    told = after.home.history / "datasets.jsonl"
    kept = [line for line in told.read_text().splitlines() if json.loads(line)["asset"] != "model_evaluation"]
    told.write_text("\n".join(kept) + "\n")
    there: Layers = after.resources["layers"]
    there.write("churn_model", there.read("churn_model").assign(description="of a later training"))
    ran = sign(after, 1, "promote")
    assert there.read("champion").candidate.iloc[0] == LOSER
    assert "no evaluation of the training" in ran.materialized["champion"]["figures_are"]
    assert not {*METRICS, *PICTURES} & set(ran.materialized["champion"])
    assert "nobody knows how its training was evaluated" in summary.of(after)


def test_a_training_that_nobody_won_is_headed_by_nobody(copied: System, layers: Layers) -> None:
    ran = judge(copied)
    assert ran.is_success, ran.broken
    assert "figures" not in ran.materialized["promotion_verdict"]
    run = run_of(copied, ran.run_id)
    assert run.data.tags["winner"] == "none"
    assert not set(METRICS) & set(run.data.metrics)
    assert layers.read("champion").candidate.iloc[0] == LOSER


def test_a_winner_that_waits_for_a_signature_is_shown_by_its_verdict_and_is_the_challenger(
    copied_home: Home, params: Params
) -> None:
    with operate.system(copied_home, lenient(params, approval="manual")) as running:
        candidates = refuse_the_other(running).read("churn_model").set_index("candidate").model_md5
        client = running.resources["tracking"].client()
        assert client.get_model_version_by_alias("churn", "challenger").tags["model_md5"] == candidates[LOSER]
        ran = judge(running)
        assert ran.materialized["promotion_verdict"]["figures_are"].startswith(f"{WINNER}, newest months")
        assert "champion" not in ran.materialized
        assert client.get_model_version_by_alias("churn", "challenger").tags["model_md5"] == candidates[WINNER]
        assert not set(METRICS) & set(run_of(running, ran.run_id).data.metrics)
