"""MLflow has one run for one training, ended in any case, and what it registers gives the scores of the batch."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from mlops_assets import operate, tracking
from mlops_assets.churn import features
from mlops_assets.home import Home
from mlops_assets.learning import training
from mlops_assets.operate import Ran, System
from mlops_assets.params import Params
from mlops_assets.provenance import Origin
from mlops_assets.storage import Layers
from mlops_assets.tracking import Tracking, Untracked

NEWEST = "2024-06"
PICTURES = {"roc", "precision_recall", "calibration", "confusion", "gain", "shap_summary"}
PROJECT = Path(__file__).resolve().parents[1]


def runs_of(running: System) -> list[Any]:
    """Every MLflow run of a home."""
    client = running.resources["tracking"].client()
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT)
    return list(client.search_runs([experiment.experiment_id]))


def versions_of(running: System) -> dict[str, Any]:
    """Every registered version of a home by its candidate's name."""
    client = running.resources["tracking"].client()
    return {version.tags["candidate"]: version for version in client.search_model_versions("name = 'churn'")}


@pytest.fixture(scope="module")
def run(demo: System) -> Any:  # noqa: ANN401 - mlflow's Run
    """The one run of the demonstration's one training."""
    (run,) = runs_of(demo)
    return run


@pytest.fixture(scope="module")
def artifacts(demo: System, run: Any) -> Path:  # noqa: ANN401
    """Where that run's artifacts lie."""
    return Path(demo.resources["tracking"].client().download_artifacts(run.info.run_id, ""))


def test_a_training_is_one_run_and_it_is_finished(run: Any) -> None:  # noqa: ANN401
    assert run.info.status == "FINISHED"


def test_a_run_names_the_dagster_run_and_job_it_belongs_to(run: Any, demo: System) -> None:  # noqa: ANN401
    (trained,) = demo.instance.get_runs(dg.RunsFilter(job_name="retrain"))
    assert run.data.tags["dagster_run_id"] == trained.run_id
    assert run.data.tags["dagster_job"] == "retrain"


def test_a_run_names_the_commit_and_whether_the_tree_differs_from_it(run: Any) -> None:  # noqa: ANN401
    assert all(run.data.tags[name] for name in Origin(PROJECT, "local").facts())
    assert run.data.tags["git_dirty"] in {"true", "false", "unknown"}


def test_a_run_has_every_parameter_that_shapes_a_model_or_its_verdict(run: Any, params: Params) -> None:  # noqa: ANN401
    tree = params.model_dump(mode="json")
    sections = ("model", "baseline", "economics", "floors", "promotion", "evaluation")
    expected = {f"{section}.{key}": str(value) for section in sections for key, value in tree[section].items()}
    assert run.data.params == expected


def test_a_run_has_the_overall_figures_of_each_candidate_and_the_baseline(run: Any, layers: Layers) -> None:  # noqa: ANN401
    table = layers.read("model_evaluation").query("cut == 'overall'")
    expected = {f"{row.candidate}.{row.scheme}.{row.metric}": row.value for row in table.itertuples()}
    assert {name: run.data.metrics[name] for name in expected} == pytest.approx(expected)
    assert {name.split(".")[0] for name in expected} == {"all_history", "recency_weighted", "spline_logistic"}


def test_a_run_has_what_it_learned_from_as_inputs_under_their_digests(run: Any, layers: Layers) -> None:  # noqa: ANN401
    logged = {each.dataset.name: each.dataset.digest for each in run.inputs.dataset_inputs}
    months = {
        f"labelled_customers_{b}": layers.digest("labelled_customers", b) for b in layers.batches("labelled_customers")
    }
    assert logged == {"training_set": layers.digest("training_set"), **months}


def test_a_run_has_six_pictures_of_each_candidate_and_the_table_of_figures(artifacts: Path, layers: Layers) -> None:
    folder = artifacts / "evaluation"
    own = {path.name for path in folder.iterdir() if path.is_dir()}
    assert own == set(layers.read("churn_model").candidate)
    for candidate in own:
        assert {path.stem for path in (folder / candidate).glob("*.png")} == PICTURES
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in folder.rglob("*.png"))
    assert len(pd.read_csv(folder / "metrics.csv")) == len(layers.read("model_evaluation"))


def test_nothing_of_a_home_is_pickled(demo_home: Home) -> None:
    files = [path for path in (demo_home.mlflow / "artifacts").rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if path.suffix in {".pkl", ".pickle", ".joblib"}]
    # A pickle of protocol 2 or later starts with this byte, whatever its file is called.
    assert not [path for path in files if path.read_bytes()[:2] in {b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"}]
    models = [path.read_text() for path in files if path.name == "MLmodel"]
    assert len(models) == 2
    assert all("loader_module: mlflow.pyfunc.loaders.code_model" in text for text in models)


def test_every_candidate_is_a_registered_version_described_and_tagged(demo: System, layers: Layers) -> None:
    table = layers.read("churn_model").set_index("candidate")
    versions = versions_of(demo)
    assert set(versions) == set(table.index)
    for name, version in versions.items():
        row = table.loc[name]
        assert version.description == row.description
        for tag in ("model_md5", "training_md5", "params_md5", "as_of"):
            assert version.tags[tag] == row[tag]
        assert version.tags["git_commit"]


def test_the_registered_model_is_described(demo: System) -> None:
    described = demo.resources["tracking"].client().get_registered_model(tracking.MODEL_NAME).description
    assert all(said in described for said in ("Input:", "Output:", "choosing whom to make an offer"))


def test_the_aliases_mean_the_champion_and_the_candidate_that_is_best_on_the_newest_months(
    demo: System, layers: Layers
) -> None:
    client = demo.resources["tracking"].client()
    meant = {
        alias: client.get_model_version_by_alias(tracking.MODEL_NAME, alias).tags["model_md5"]
        for alias in ("champion", "challenger")
    }
    assert meant["champion"] == layers.read("champion").model_md5.iloc[0]
    table = layers.read("model_evaluation").query("cut == 'overall' and scheme == 'rolling_origin'")
    losses = table[table.metric.eq("log_loss")].set_index("candidate").value
    candidates = layers.read("churn_model").set_index("candidate")
    assert meant["challenger"] == candidates.model_md5[losses[candidates.index].idxmin()]


def test_an_alias_that_was_lost_comes_back_with_the_next_run(copied: System, layers: Layers) -> None:
    client = copied.resources["tracking"].client()
    client.delete_registered_model_alias(tracking.MODEL_NAME, "champion")
    assert copied.materialize("champion").is_success
    version = client.get_model_version_by_alias(tracking.MODEL_NAME, "champion")
    assert version.tags["model_md5"] == layers.read("champion").model_md5.iloc[0]


@pytest.fixture(scope="module")
def pyfunc(demo: System) -> Any:  # noqa: ANN401 - mlflow's PyFuncModel
    """The champion, as anybody loads it from the registry."""
    import mlflow

    demo.resources["tracking"].prepare()
    return mlflow.pyfunc.load_model("models:/churn@champion")


@pytest.fixture(scope="module")
def inputs(layers: Layers) -> pd.DataFrame:
    """Features of the newest month."""
    return features.model_inputs(layers.read("customer_features", NEWEST))


def test_the_registered_model_gives_the_batchs_scores_and_decisions(
    pyfunc: Any,  # noqa: ANN401
    inputs: pd.DataFrame,
    layers: Layers,
) -> None:
    answered, scored = pyfunc.predict(inputs), layers.read("predictions", NEWEST)
    assert np.abs(answered.score.to_numpy() - scored.score.to_numpy()).max() <= 1e-12
    assert list(answered.decision) == list(scored.decision)


def test_the_registered_model_takes_missing_values_and_levels_it_never_saw_as_the_batch_does(
    pyfunc: Any,  # noqa: ANN401
    inputs: pd.DataFrame,
    layers: Layers,
) -> None:
    odd = inputs.head(40).assign(contract="Ten years", payment_method=None, tenure=np.nan)
    champion = layers.read("champion").iloc[0]
    score = training.load(layers.file("champion", f"{champion.model_md5}.cbm"))
    assert np.abs(pyfunc.predict(odd).score.to_numpy() - score(odd)).max() <= 1e-12


def test_the_registered_model_says_which_columns_it_takes_and_gives(pyfunc: Any, inputs: pd.DataFrame) -> None:  # noqa: ANN401
    signature = pyfunc.metadata.signature
    assert signature.inputs.input_names() == list(inputs)
    assert signature.outputs.input_names() == ["score", "decision"]


@dataclass(frozen=True)
class Interrupted:
    """A training that failed, in a home where another one had been killed before and a third was still at work."""

    ran: Ran
    statuses: dict[str, str]
    is_any_active: bool


@pytest.fixture(scope="module")
def interrupted(
    copy_home: Callable[[Path], Home], tmp_path_factory: pytest.TempPathFactory, params: Params
) -> Iterator[Interrupted]:
    """The training fails: a month that it is to learn from is gone."""
    import mlflow

    with operate.system(copy_home(tmp_path_factory.mktemp("interrupted") / "home"), params) as running:
        client = running.resources["tracking"].client()
        (finished,) = runs_of(running)
        at_work = dg.DagsterRun(job_name="retrain", status=dg.DagsterRunStatus.STARTED)
        running.instance.add_run(at_work)
        named = {"finished": finished.info.run_id}
        for name, owner in {"killed": "11111111-2222-3333-4444-555555555555", "at work": at_work.run_id}.items():
            made = client.create_run(finished.info.experiment_id, tags={"dagster_run_id": owner})
            named[name] = made.info.run_id
        running.resources["layers"].path("labelled_customers", "2024-03").unlink()
        ran = running.materialize("churn_model")
        found = {run.info.run_id: run.info.status for run in runs_of(running)}
        statuses = {name: found.pop(run_id) for name, run_id in named.items()}
        (statuses["failed"],) = found.values()
        yield Interrupted(ran, statuses, mlflow.active_run() is not None)


def test_a_training_that_fails_ends_its_run_as_failed(interrupted: Interrupted) -> None:
    assert not interrupted.ran.is_success
    assert "labelled_customers of batch 2024-03 is not there" in interrupted.ran.broken[0]
    assert interrupted.statuses["failed"] == "FAILED"


def test_a_run_whose_process_was_killed_is_closed_by_the_next_training(interrupted: Interrupted) -> None:
    assert interrupted.statuses["killed"] == "FAILED"


def test_a_run_whose_process_is_at_work_is_left_alone(interrupted: Interrupted) -> None:
    assert interrupted.statuses["at work"] == "RUNNING"


def test_runs_that_ended_stay_as_they_are(interrupted: Interrupted) -> None:
    assert interrupted.statuses["finished"] == "FINISHED"


def test_no_run_stays_active_in_the_process(interrupted: Interrupted) -> None:
    assert not interrupted.is_any_active


def test_an_alias_of_what_was_never_registered_is_an_error_that_says_what_to_do(copied: System) -> None:
    with pytest.raises(LookupError, match=r"no version of 'churn' has the model 0+\. Run retrain"):
        copied.resources["tracking"].point("champion", "0" * 32)


def test_without_a_registry_nothing_is_registered_and_nothing_fails() -> None:
    nowhere = Untracked()
    context: Any = None
    with nowhere.run(context, Origin(PROJECT, "local")) as run_id:
        nowhere.log_training({}, [])
        nowhere.log_evaluation({}, {}, pd.DataFrame())
        nowhere.log_winner(None, {}, {}, None)
        assert (run_id, nowhere.point("champion", "0" * 32), nowhere.links(None)) == (None, None, {})


def test_tracking_is_a_door_of_the_same_form_as_none() -> None:
    doors = {name for name in vars(Untracked) if not name.startswith("_")}
    assert doors <= set(vars(Tracking))


@pytest.fixture
def served(copied_home: Home, environment: Callable[..., dict[str, str]]) -> Iterator[int]:
    """The port at which `mlflow models serve` answers for the champion."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = int(listener.getsockname()[1])
    uri = {"MLFLOW_TRACKING_URI": f"sqlite:///{copied_home.mlflow / 'mlflow.db'}"}
    # The server is started by name, as a shell with the environment activated would.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    model = ("-m", "models:/churn@champion", "--env-manager", "local", "-h", "127.0.0.1", "-p", str(port))
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "models", "serve", *model],
        env=environment(copied_home, {**uri, "PATH": path}),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 120
        while True:
            assert process.poll() is None, "the server ended by itself"
            assert time.monotonic() < deadline, "no answer within 120 s"
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5):
                    break
            except OSError:
                time.sleep(0.3)
        yield port
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


def test_a_served_champion_answers_with_the_batchs_scores(served: int, inputs: pd.DataFrame, layers: Layers) -> None:
    asked = json.loads(inputs.head(5).to_json(orient="split", index=False))
    body = json.dumps({"dataframe_split": asked}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{served}/invocations", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310 - http to this machine
        answered = pd.DataFrame(json.load(response)["predictions"])
    scored = layers.read("predictions", NEWEST).head(5)
    assert np.abs(answered.score.to_numpy() - scored.score.to_numpy()).max() <= 1e-12
    assert list(answered.decision) == list(scored.decision)
