"""MLflow down: nobody is promoted, the champion on disk scores on, a person hears, and the loop recovers by itself."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mlops_assets import alerts, operate, sensors, trainings
from mlops_assets.gates.attempts import Ended
from mlops_assets.history import FILES, Crowned, Judged, Registered
from mlops_assets.home import Home
from mlops_assets.operate import Ran, System
from mlops_assets.params import Params
from mlops_assets.storage import Layers, json_bytes
from mlops_assets.tracking import Tracking

NEWEST = "2024-06"
UNREADABLE = b"this is no database " * 1000


def tick(sensor: dg.SensorDefinition, running: System) -> Any:  # noqa: ANN401
    """What a tick of a sensor gives."""
    with dg.build_sensor_context(instance=running.instance) as context:
        return sensor(context, **{name: running.resources[name] for name in sensor.required_resource_keys})


def train(running: System) -> Ran:
    """Run the training that the sensor asks for, as the daemon would: with its tags."""
    from mlops_assets.definitions import defs

    (request,) = tick(sensors.retrain, running).run_requests
    result = defs.resolve_job_def("retrain").execute_in_process(
        instance=running.instance,
        run_config={**operate.QUIET, **request.run_config},
        resources=dict(running.resources),
        raise_on_error=False,
        tags={trainings.JOB: "retrain", **request.tags},
    )
    return operate.outcome(result)


def break_database(running: System) -> Path:
    """Make MLflow's database unreadable; where the good one lies meanwhile."""
    database, aside = running.home.mlflow / "mlflow.db", running.home.root / "mlflow.db"
    database.rename(aside)
    database.write_bytes(UNREADABLE)
    return aside


def forget_the_champion(running: System) -> None:
    """Leave only mature months, as before the first training."""
    shutil.rmtree(Layers(running.home.layers).path("champion").parent)
    for kind in (Judged, Crowned, Registered):
        (running.home.history / FILES[kind]).unlink()
    for run in running.instance.get_runs(dg.RunsFilter(tags={trainings.JOB: "retrain"})):
        running.instance.delete_run(run.run_id)


@dataclass(frozen=True)
class Outage:
    """What happened in an outage, and after it."""

    during: Ran
    told: Judged
    ended: Ended
    alerts: list[str]
    champion_during: bool
    held_back: str
    paused: str
    after: Ran
    running: System


@pytest.fixture(scope="module")
def outage(
    copy_home: Callable[[Path], Home], tmp_path_factory: pytest.TempPathFactory, params: Params
) -> Iterator[Outage]:
    """The first training meets a database that cannot be read; then it is put back, and the sensors go on."""
    home = copy_home(tmp_path_factory.mktemp("outage") / "home")
    with operate.system(home, params) as running:
        forget_the_champion(running)
        good = break_database(running)
        during = train(running)
        (told,) = running.resources["history"].read(Judged)
        (attempt,) = trainings.attempts_of(running.resources["history"], running.instance)
        tick(sensors.alert, running)
        paused = str(tick(sensors.retrain, running).skip_message)
        at_once = params.model_copy(update={"loop": params.loop.model_copy(update={"backoff_seconds": 0.0})})
        hasty = replace(running, params=at_once, resources={**running.resources, "params": at_once})
        held_back = str(tick(sensors.retrain, hasty).skip_message)
        is_crowned = Layers(home.layers).exists("champion")
        good.replace(home.mlflow / "mlflow.db")
        after = train(hasty)
        titles = [line.title for line in alerts.Ledger(home.history).read()]
        yield Outage(during, told, attempt.ended, titles, is_crowned, held_back, paused, after, running)


def test_a_training_in_an_outage_ends_well_and_says_unknown(outage: Outage) -> None:
    assert outage.during.is_success, outage.during.broken
    assert (outage.told.verdict, outage.told.winner, outage.told.is_outage) == ("UNKNOWN", None, True)
    assert "cannot be asked" in outage.told.why
    assert outage.ended is Ended.OUTAGE
    assert not outage.champion_during


def test_what_was_trained_in_an_outage_is_in_the_history_and_the_store(outage: Outage) -> None:
    history = outage.running.resources["history"]
    versions = history.versions()
    assert {version.candidate for version in versions} == {"all_history", "recency_weighted"}
    assert all(history.kept(version.model_md5) for version in versions)


def test_a_person_hears_of_the_outage(outage: Outage) -> None:
    assert f"promotion of {NEWEST} met an outage" in outage.alerts


def test_no_attempt_is_spent_while_the_outage_lasts(outage: Outage) -> None:
    assert "outage; again after 60 s" in outage.paused
    assert outage.held_back.startswith("held back: ")
    assert "mlflow.db cannot be read" in outage.held_back


def test_the_next_attempt_after_the_outage_promotes_and_registers_what_was_missing(outage: Outage) -> None:
    assert outage.after.is_success, outage.after.broken
    (_, told) = outage.running.resources["history"].read(Judged)
    assert (told.verdict, told.number, told.learned) == ("PASS", 2, outage.told.learned)
    published = Tracking(outage.running.home.mlflow).client().get_model_version_by_alias("churn", "champion")
    assert published.tags["model_md5"] == told.winner
    assert Layers(outage.running.home.layers).read("champion").model_md5.iloc[0] == told.winner


# ---------------------------------------------------------------------------------------------- a champion that scores


@pytest.mark.parametrize("fault", [break_database, lambda running: shutil.rmtree(running.home.mlflow)])
def test_the_champion_on_disk_scores_whatever_becomes_of_the_registry(
    fault: Callable[[System], object], copied: System
) -> None:
    before = Layers(copied.home.layers).read("predictions", NEWEST)
    fault(copied)
    assert copied.run("score", NEWEST).is_success
    assert copied.run("rescore", NEWEST).is_success
    assert Layers(copied.home.layers).read("predictions", NEWEST).equals(before)


def test_a_person_can_sign_in_an_outage_and_the_alias_follows_with_the_next_training(copied: System) -> None:
    good = break_database(copied)
    facts = {"version": 2, "action": "promote", "actor": "ada", "reason": "now"}
    assert copied.run("promote", config={"ops": {"champion": {"config": facts}}}).is_success
    signed = Layers(copied.home.layers).read("champion").model_md5.iloc[0]
    good.replace(copied.home.mlflow / "mlflow.db")
    registry = Tracking(copied.home.mlflow)
    assert registry.client().get_model_version_by_alias("churn", "champion").tags["model_md5"] != signed
    verdict = Layers(copied.home.layers).path("promotion_verdict").with_name("verdict.json")
    verdict.write_bytes(json_bytes({**json.loads(verdict.read_bytes()), "verdict": "FAIL"}))
    assert copied.materialize("champion").is_success  # the last step of a training that makes no champion
    assert registry.client().get_model_version_by_alias("churn", "champion").tags["model_md5"] == signed
