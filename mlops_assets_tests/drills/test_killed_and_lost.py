"""Bad days of a home: killed processes, a lost registry, a delivery of somebody else's in the way."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from mlops_assets import deliveries, operate
from mlops_assets.churn.reading import FileRefused
from mlops_assets.home import PROJECT, Home
from mlops_assets.operate import System
from mlops_assets.params import Params, ParamsError, load_params
from mlops_assets.tracking import Tracking

RETRAIN = "from mlops_assets.cli import main; main(['retrain'])"


def states(running: System) -> set[dg.DagsterRunStatus]:
    """States of the runs that there are."""
    return {run.status for run in running.instance.get_runs()}


def kill_a_training(home: Home) -> None:
    """Start a training in a process of its own, and kill it once its run has begun."""
    environment = {**os.environ, "MLOPS_HOME": str(home.root)}
    with operate.system(home, load_params(PROJECT / "params.yaml")) as running:
        before = running.instance.get_runs_count()
        process = subprocess.Popen([sys.executable, "-c", RETRAIN], env=environment, start_new_session=True)
        for _ in range(600):
            if running.instance.get_runs_count() > before and dg.DagsterRunStatus.STARTED in states(running):
                break
            time.sleep(0.05)
        time.sleep(1)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_the_next_command_buries_the_run_of_a_killed_process_and_carries_on(
    copy_home: Callable[[Path], Home], tmp_path: Path, params: Params
) -> None:
    home = copy_home(tmp_path / "home")
    kill_a_training(home)

    with operate.system(home, params) as running:
        assert dg.DagsterRunStatus.STARTED in states(running)
        ran = running.run("retrain")
        left = states(running)
        client = Tracking(home.mlflow).client()
        alive = client.search_runs(["1"], "attributes.status = 'RUNNING'")

    assert ran.is_success
    assert left == {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE}
    assert not alive


def test_a_champion_that_the_registry_lost_is_registered_anew_by_the_next_training(copied: System) -> None:
    champion = copied.run("rescore", "2024-06").materialized["predictions"]["model_md5"]
    copied.home.mlflow.rename(copied.home.root / "lost")

    ran = copied.run("retrain", config={"ops": {"training_set": {"config": {"as_of": "2024-04"}}}})

    assert ran.is_success, ran.broken
    published = Tracking(copied.home.mlflow).client().get_model_version_by_alias("churn", "champion")
    assert published.tags["model_md5"] == champion
    # The registry counts from 1 again, and this training's candidates came first; the number of its life is in the tag.
    assert (published.version, published.tags["first_version"]) == (3, "1")


def test_dealing_never_replaces_outcomes_nor_adds_them_to_customers_it_did_not_deal(copied: System) -> None:
    own = {"customers": b"customer_id\nmine\n"}
    copied.inbox.put("2024-07", own)

    dealt = copied.deal(months=1)

    assert dealt == ["2024-08"]
    assert "2024-07" not in copied.inbox.batches("outcomes")
    assert copied.inbox.read("customers", "2024-07") == own["customers"]


def test_dealing_with_another_seed_than_the_samples_is_refused(copied: System) -> None:
    with pytest.raises(FileRefused, match=r"not dealt with sample\.seed 5"):
        deliveries.deal_next(copied.inbox, seed=5, months=1, rows=None)


def test_the_demonstration_does_not_replace_what_somebody_landed(copied: System) -> None:
    copied.inbox.put("2024-03", {"customers": b"customer_id\nmine\n"})

    with pytest.raises(FileRefused, match=r"customers/2024-03\.csv: the inbox has another file"):
        operate.demo(copied, lambda _: None)

    assert copied.inbox.read("customers", "2024-03") == b"customer_id\nmine\n"


def test_a_key_written_twice_in_the_parameters_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("quality:\n  max_quarantined_share: 0.05\n  max_quarantined_share: 1.0\n")

    with pytest.raises(ParamsError, match="'max_quarantined_share' is there twice, again in line 3"):
        load_params(path)
