"""The graph runs in a process that Dagster starts by itself, which shows what running in process hides."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from mlops_assets.operate import System
from mlops_assets.storage import Layers
from mlops_assets.tables import TABLES

PROJECT = Path(__file__).resolve().parents[2]
Python = Callable[..., subprocess.CompletedProcess[str]]


def test_dagsters_own_command_runs_a_landed_month(empty: System, python: Python, layers: Layers) -> None:
    file = PROJECT / "data/landing/customers/2024-01.csv"
    empty.land(file.read_bytes(), file=file.name, batch="2024-01")
    month = '{"dagster/partition": "2024-01"}'
    done = python(
        empty.home, "-m", "dagster", "job", "execute", "-m", "mlops_assets.definitions", "-j", "score", "--tags", month
    )
    assert done.returncode == 0, done.stderr
    there = Layers(empty.home.layers)
    for name in ("raw_customers", "validated_customers", "quarantined_customers", "customer_features"):
        assert there.digest(name, "2024-01") == layers.digest(name, "2024-01")
    (run,) = empty.instance.get_runs()
    assert run.status.value == "SUCCESS"


def test_the_code_location_is_valid(empty: System, python: Python) -> None:
    done = python(empty.home, "-m", "dagster", "definitions", "validate", "-w", "workspace.yaml")
    assert done.returncode == 0, done.stderr
    assert "All code locations passed validation" in done.stdout + done.stderr


def test_a_selection_given_as_text_is_understood_although_dvc_is_installed(empty: System, python: Python) -> None:
    selection = ("-m", "dagster", "asset", "list", "-m", "mlops_assets.definitions", "--select")
    done = python(empty.home, *selection, "*")
    assert set(TABLES) <= set(done.stdout.split()), done.stderr
    before = python(empty.home, *selection, "+customer_features")
    assert {line for line in before.stdout.split() if line in TABLES} == {"validated_customers", "customer_features"}
