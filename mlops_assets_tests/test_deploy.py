"""What is shipped for Dagster says what the loop needs, in production as on a laptop; a home keeps to one of both."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.events import RunFailureReason
from dagster._core.execution.retries import auto_reexecution_should_retry_run
from dagster._core.instance.ref import InstanceRef

from mlops_assets.home import Home, WrongEnvironmentError, link_settings, settings_for

ENVIRONMENTS = ("local", "production")


def shipped(environment: str) -> dict[str, Any]:
    """The settings of an environment."""
    settings: dict[str, Any] = yaml.safe_load(settings_for(environment).read_text())
    return settings


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with an empty DAGSTER_HOME."""
    home = Home(tmp_path / "home")
    home.dagster.mkdir(parents=True)
    return home


@pytest.fixture
def instance(home: Home) -> Iterator[dg.DagsterInstance]:
    """An instance with the settings of a laptop."""
    link_settings(home, "local")
    with dg.DagsterInstance.from_config(str(home.dagster)) as instance:
        yield instance


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_dagster_accepts_what_is_shipped(home: Home, environment: str) -> None:
    link_settings(home, environment)
    storage = InstanceRef.from_dir(str(home.dagster)).storage_data
    assert storage is not None
    assert ("postgres" in storage.module_name) == (environment == "production")


def test_production_differs_in_its_storage_only() -> None:
    local, production = map(shipped, ENVIRONMENTS)
    assert "storage" not in local
    assert {name: value for name, value in production.items() if name != "storage"} == local


def test_no_secret_and_no_address_is_shipped() -> None:
    assert shipped("production")["storage"] == {"postgres": {"postgres_url": "postgresql+psycopg2://"}}


def test_nothing_calls_home(instance: dg.DagsterInstance) -> None:
    assert (instance.telemetry_enabled, instance.nux_enabled) == (False, False)


def test_ticks_do_not_pile_up_for_ever(instance: dg.DagsterInstance) -> None:
    for kind in (InstigatorType.SENSOR, InstigatorType.SCHEDULE):
        assert all(days > 0 for days in instance.get_tick_retention_settings(kind).values())


@pytest.mark.parametrize(
    ("reason", "is_retried"), [("RUN_EXCEPTION", True), ("UNKNOWN", True), ("STEP_FAILURE", False)]
)
def test_a_run_whose_process_died_is_retried_and_one_that_said_no_is_not(
    instance: dg.DagsterInstance, reason: str, *, is_retried: bool
) -> None:
    run = died(instance, {"dagster/max_retries": "2"})
    assert auto_reexecution_should_retry_run(instance, run, RunFailureReason(reason)) is is_retried


def test_a_run_that_a_person_started_is_theirs_to_retry(instance: dg.DagsterInstance) -> None:
    assert not auto_reexecution_should_retry_run(instance, died(instance, {}), RunFailureReason.RUN_EXCEPTION)


def died(instance: dg.DagsterInstance, tags: dict[str, str]) -> dg.DagsterRun:
    """A run that ended without saying why."""
    run = dg.DagsterRun(job_name="retrain", tags=tags)
    instance.add_run(run)
    instance.report_run_failed(run)
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found


def test_a_run_that_hangs_is_ended(instance: dg.DagsterInstance) -> None:
    assert instance.run_monitoring_enabled
    assert instance.run_monitoring_max_runtime_seconds > 0


def test_runs_that_share_a_pool_wait_for_each_other(instance: dg.DagsterInstance) -> None:
    pools = instance.get_concurrency_config().pool_config
    assert pools.pool_granularity is not None
    assert (pools.pool_granularity.value, pools.default_pool_limit) == ("run", 1)


def test_sensors_are_asked_one_after_another() -> None:
    assert shipped("local")["sensors"] == {"use_threads": False}


def test_a_home_gets_the_settings_of_its_environment(home: Home) -> None:
    link_settings(home, "production")
    assert (home.dagster / "dagster.yaml").resolve() == settings_for("production")


def test_a_home_that_was_moved_with_its_project_is_linked_anew(home: Home, tmp_path: Path) -> None:
    (home.dagster / "dagster.yaml").symlink_to(tmp_path / "gone" / "dagster.yaml")
    link_settings(home, "local")
    assert (home.dagster / "dagster.yaml").resolve() == settings_for("local")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_settings_that_a_person_wrote_are_kept(home: Home, environment: str) -> None:
    (home.dagster / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    link_settings(home, environment)
    assert (home.dagster / "dagster.yaml").read_text() == "telemetry: {enabled: false}\n"


@pytest.mark.parametrize(("made_for", "said"), [ENVIRONMENTS, ENVIRONMENTS[::-1]])
def test_a_home_of_one_environment_is_not_opened_in_another(home: Home, made_for: str, said: str) -> None:
    link_settings(home, made_for)
    with pytest.raises(WrongEnvironmentError, match=f"MLOPS_ENVIRONMENT says {said}"):
        link_settings(home, said)
    assert (home.dagster / "dagster.yaml").resolve() == settings_for(made_for)


def test_reproduction_has_the_settings_of_a_laptop() -> None:
    assert settings_for("reproduction") == settings_for("local")
