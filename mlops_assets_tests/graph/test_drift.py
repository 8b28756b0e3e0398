"""A month unlike what the champion learned from raises a warning with its reasons, and scores still go out."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from mlops_assets import deliveries, operate
from mlops_assets.gates import drift
from mlops_assets.home import Home
from mlops_assets.operate import Ran, System
from mlops_assets.params import Params

NEXT = "2024-07"


@pytest.fixture(scope="module")
def running(
    copy_home: Callable[[Path], Home], tmp_path_factory: pytest.TempPathFactory, params: Params
) -> Iterator[System]:
    """A home in which another month may land."""
    with operate.system(copy_home(tmp_path_factory.mktemp("drift") / "home"), params) as opened:
        yield opened


@pytest.fixture(scope="module")
def dearer(running: System) -> Ran:
    """A next month in which everyone is billed 1.6 times as much."""
    table = pd.read_csv(io.BytesIO(running.inbox.read("customers", "2024-06")))
    raised = table.assign(monthly_charges=(table.monthly_charges * 1.6).round(2))
    running.inbox.put(NEXT, {"customers": deliveries.csv_bytes(raised)})
    return running.run("score", NEXT)


def test_the_gate_fails_as_a_warning_and_names_what_moved(dearer: Ran) -> None:
    (gate,) = (check for check in dearer.checks if check.check_name == "drift")
    assert (gate.passed, gate.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert str(gate.description).startswith("FAIL: ")
    assert "monthly_charges" in str(gate.description)
    assert gate.metadata["verdict"].value == "FAIL"


def test_the_gates_light_is_that_of_the_newest_month_whatever_the_month(dearer: Ran) -> None:
    (gate,) = (check for check in dearer.checks if check.check_name == "drift")
    assert gate.partition is None


def test_scores_still_go_out(dearer: Ran, running: System) -> None:
    assert dearer.is_success
    assert len(running.resources["layers"].read("predictions", NEXT)) == 391


def test_the_report_keeps_the_verdict_and_the_models_digest(dearer: Ran, running: System) -> None:
    layers = running.resources["layers"]
    facts = dearer.materialized["drift_report"]
    assert facts["verdict"] == str(drift.verdict_of(layers.read("drift_report", NEXT))) == "FAIL"
    assert facts["champion"] == layers.read("champion").model_md5.iloc[0]


def test_evidentlys_page_is_drawn_and_linked(dearer: Ran, running: System) -> None:
    page = running.home.pages / f"{NEXT}.html"
    assert b"<html" in page.read_bytes()[:2000].lower()
    assert dearer.materialized["evidently_report"]["page"] == page.as_uri()


def test_what_the_page_says_is_kept_as_a_table(dearer: Ran, running: System) -> None:
    assert dearer.is_success
    said = running.resources["layers"].read("evidently_report", NEXT).set_index("column")
    assert said.is_drifted["monthly_charges"]


def test_the_page_of_a_month_that_passes_is_drawn_on_demand(running: System) -> None:
    ran = running.materialize("evidently_report", "2024-06", {"on_demand": True})
    assert ran.is_success
    assert Path(ran.materialized["evidently_report"]["page_path"]).is_file()


def test_the_page_of_a_month_that_passes_says_how_to_get_it(running: System) -> None:
    ran = running.materialize("evidently_report", "2024-06", {})
    assert ran.is_success
    assert ran.checks[0].description == "abstains: drift is PASS; `mlops report 2024-06` renders it all the same"
