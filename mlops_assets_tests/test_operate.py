"""A system runs in its own home whatever the environment says, and a run says what came of it."""

from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from mlops_assets import deliveries, operate
from mlops_assets.home import PROJECT, Home
from mlops_assets.operate import Ran, System
from mlops_assets.params import Params
from mlops_assets.storage import Layers


def evaluation(
    asset: str, check: str, description: str, *, passed: bool = True, severity: str = "ERROR"
) -> dg.AssetCheckEvaluation:
    """What a check said."""
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(asset),
        check_name=check,
        passed=passed,
        severity=dg.AssetCheckSeverity(severity),
        description=description,
        metadata={},
    )


BROKEN = evaluation("raw_customers", "contract", "it is empty", passed=False)
WARNED = evaluation("drift_report", "drift", "FAIL: tenure moved", passed=False, severity="WARN")
HELD = evaluation("raw_customers", "contract", "392 rows landed")


def test_a_system_is_set_up_by_being_opened(tmp_path: Path, params: Params) -> None:
    home = Home(tmp_path / "new")
    with operate.system(home, params) as running:
        assert running.instance.get_runs_count() == 0
    assert (home.dagster / "dagster.yaml").read_bytes() == (PROJECT / "deploy" / "dagster.yaml").read_bytes()


def test_settings_whose_target_moved_away_are_mended(tmp_path: Path, params: Params) -> None:
    home = Home(tmp_path / "moved")
    home.dagster.mkdir(parents=True)
    (home.dagster / "dagster.yaml").symlink_to(tmp_path / "gone.yaml")
    with operate.system(home, params):
        assert (home.dagster / "dagster.yaml").exists()


def test_settings_that_a_person_wrote_are_kept(tmp_path: Path, params: Params) -> None:
    home = Home(tmp_path / "own")
    home.dagster.mkdir(parents=True)
    (home.dagster / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with operate.system(home, params):
        assert (home.dagster / "dagster.yaml").read_text() == "telemetry: {enabled: false}\n"


def test_two_systems_in_one_process_keep_to_their_own_homes(tmp_path: Path, params: Params) -> None:
    content = (PROJECT / "data/landing/customers/2024-01.csv").read_bytes()
    homes = [Home(tmp_path / name) for name in ("first", "second")]
    with operate.system(homes[0], params) as first, operate.system(homes[1], params) as second:
        first.inbox.put("2024-01", {"customers": content})
        assert first.run("score", "2024-01").is_success
        assert not second.run("score", "2024-01").is_success
    assert [Layers(home.layers).batches("validated_customers") for home in homes] == [["2024-01"], []]


def test_a_run_is_held_to_the_parameters_of_its_system(empty: System, params: Params) -> None:
    small = params.model_copy(update={"landing": params.landing.model_copy(update={"max_megabytes": 1})})
    with operate.system(empty.home, small) as running:
        running.inbox.put("2024-01", {"customers": b"x" * (2**20 + 1)})
        ran = running.run("score", "2024-01")
    assert "larger than 1 MiB" in ran.broken[0]


def test_a_batch_that_is_no_month_is_refused_before_it_becomes_a_partition(empty: System) -> None:
    with pytest.raises(ValueError, match="is no batch"):
        empty.run("score", "../2024-01")
    assert empty.instance.get_dynamic_partitions("batch") == []


def test_every_month_of_the_demonstration_is_a_partition_that_the_interface_offers(demo: System) -> None:
    assert sorted(demo.instance.get_dynamic_partitions("batch")) == [f"2024-{month:02d}" for month in range(1, 7)]


def test_every_run_is_tagged_with_its_job(demo: System) -> None:
    runs = demo.instance.get_runs()
    assert [run.tags["mlops/job"] for run in runs] == [run.job_name for run in runs]


def test_the_demonstration_scores_learns_retrains_and_rescores_in_that_order(demo: System) -> None:
    jobs = [run.job_name for run in reversed(demo.instance.get_runs())]
    assert jobs == ["score"] * 6 + ["learn"] * 5 + ["retrain", "rescore"]


def test_the_demonstration_stops_at_the_first_run_that_fails_and_says_why(empty: System) -> None:
    (empty.home.layers / "1_raw").write_text("a file where a folder should be")
    told: list[str] = []
    (why,) = operate.demo(empty, told.append)
    assert "1_raw" in why
    assert told[1:] == ["[ 1/13] score 2024-01: FAILED"]
    assert empty.instance.get_runs_count() == 1


def test_what_stopped_a_run_is_its_broken_contracts() -> None:
    ran = Ran(is_success=False, run_id="", checks=(HELD, BROKEN, WARNED), materialized={}, error="the step failed")
    assert ran.broken == ["raw_customers: it is empty"]


def test_where_no_contract_broke_it_is_the_error() -> None:
    ran = Ran(is_success=False, run_id="", checks=(HELD,), materialized={}, error="the disk is full")
    assert ran.broken == ["the disk is full"]


def test_what_warned_stopped_nothing() -> None:
    ran = Ran(is_success=True, run_id="", checks=(HELD, WARNED), materialized={})
    assert (ran.broken, ran.warnings) == ([], ["drift_report: FAIL: tenure moved"])


def test_a_run_in_short_is_its_rows_and_what_its_gates_said() -> None:
    rows = {"predictions": {"dagster/row_count": 391}, "raw_customers": {"dagster/row_count": 392}}
    ran = Ran(is_success=True, run_id="", checks=(HELD, WARNED), materialized=rows)
    short = operate.in_short(ran)
    assert "391" in short
    assert short.endswith("FAIL: tenure moved")
    assert "392" not in short


def test_a_run_that_was_stopped_is_failed_in_short() -> None:
    assert operate.in_short(Ran(is_success=False, run_id="", checks=(BROKEN,), materialized={})) == "FAILED"


def test_a_dealt_table_lands_as_plain_csv() -> None:
    table = pd.DataFrame({"customer_id": ["a", "b"], "total_charges": ["", "1.5"]})
    assert deliveries.csv_bytes(table) == b"customer_id,total_charges\na,\nb,1.5\n"


def test_the_sample_has_customers_of_six_months_and_outcomes_of_all_but_the_last() -> None:
    kinds = {batch: set(files) for batch, files in deliveries.sample_files().items()}
    assert list(kinds) == [f"2024-{month:02d}" for month in range(1, 7)]
    assert [batch for batch, landed in kinds.items() if "outcomes" not in landed] == ["2024-06"]
