"""The layers of `data/` are made whole from what lies there, or not at all, and only one process makes them."""

import dataclasses
import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlops_assets import materialize
from mlops_assets.history import Unrecorded
from mlops_assets.io_manager import LayersIOManager
from mlops_assets.landing import KINDS
from mlops_assets.params import Params
from mlops_assets.resources import resources_for
from mlops_assets.storage import Layers
from mlops_assets.tables import LAYERS, TABLES

PROJECT = Path(__file__).resolve().parents[1]
MONTHS = ("2024-01", "2024-02")


@pytest.fixture
def resources(tmp_path: Path, params: Params) -> dict[str, Any]:
    """Resources of reproduction in a folder of their own, in which two months landed."""
    shipped = resources_for("reproduction", params=params)
    for kind in KINDS:
        (tmp_path / "landing" / kind).mkdir(parents=True)
        for month in MONTHS:
            shutil.copy(PROJECT / "data" / "landing" / kind / f"{month}.csv", tmp_path / "landing" / kind)
    layers = Layers(tmp_path)
    sample = params.sample.model_copy(update={"as_of": MONTHS[-1], "score_batch": MONTHS[-1]})
    return {
        **shipped,
        "layers": layers,
        "io_manager": LayersIOManager(layers, Unrecorded()),
        "inbox": dataclasses.replace(shipped["inbox"], root=tmp_path / "landing"),
        "params": params.model_copy(update={"sample": sample}),
    }


def landed(resources: dict[str, Any], kind: str, month: str) -> Path:
    """A landed file."""
    path: Path = resources["inbox"].root / kind / f"{month}.csv"
    return path


def make(resources: dict[str, Any], *layers: str) -> Layers:
    """Make layers, one after another."""
    for layer in layers:
        materialize.materialize(layer, resources)
    made: Layers = resources["layers"]
    return made


def test_a_layer_is_made_from_what_landed_batch_by_batch(
    resources: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    layers = make(resources, "raw")
    assert layers.batches("raw_customers") == layers.batches("raw_outcomes") == list(MONTHS)
    said = capsys.readouterr().out.splitlines()
    rows, digest = len(layers.read("raw_customers", MONTHS[0])), layers.digest("raw_customers", MONTHS[0])
    assert f"raw_customers of {MONTHS[0]}: {rows} rows, md5 {digest}" in said


def test_a_month_that_did_not_land_is_gone_when_its_layer_is_made_again(resources: dict[str, Any]) -> None:
    make(resources, "raw")
    for kind in KINDS:
        landed(resources, kind, MONTHS[1]).unlink()
    layers = make(resources, "raw")
    assert layers.batches("raw_customers") == layers.batches("raw_outcomes") == [MONTHS[0]]


def test_a_month_without_outcomes_is_scored_and_not_learned_from(resources: dict[str, Any]) -> None:
    landed(resources, "outcomes", MONTHS[1]).unlink()
    sample = resources["params"].sample.model_copy(update={"as_of": MONTHS[0]})
    resources["params"] = resources["params"].model_copy(update={"sample": sample})
    layers = make(resources, "raw", "validated", "features")
    assert layers.batches("customer_features") == list(MONTHS)
    assert layers.batches("labelled_customers") == [MONTHS[0]]


def test_without_a_champion_predictions_and_drift_are_empty_folders_and_say_so(
    resources: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    make(resources, "raw", "validated", "features")
    for name in materialize.tables_of("model"):
        (resources["layers"].root / TABLES[name].folder).mkdir(parents=True)
    capsys.readouterr()
    layers = make(resources, "predictions", "drift")
    for name in ("predictions", "drift_report"):
        assert list((layers.root / TABLES[name].folder).iterdir()) == []
    abstained, skipped = capsys.readouterr().out.splitlines()
    assert abstained.startswith(f"predictions of {MONTHS[1]}: abstains: there is no champion yet")
    assert skipped.startswith(f"drift_report of {MONTHS[1]}: skipped")


def test_a_layer_before_it_that_is_missing_is_named(resources: dict[str, Any]) -> None:
    make(resources, "raw")
    with pytest.raises(materialize.RefusedError, match=r"features is made from .*materialize validated`"):
        make(resources, "features")


def test_an_empty_inbox_is_refused(resources: dict[str, Any]) -> None:
    shutil.rmtree(resources["inbox"].root)
    with pytest.raises(materialize.RefusedError, match="no month lies in"):
        make(resources, "raw")


def test_a_broken_file_names_asset_batch_and_reason(resources: dict[str, Any]) -> None:
    path = landed(resources, "customers", MONTHS[1])
    path.write_bytes(path.read_bytes().replace(b"tenure", b"tenor", 1))
    with pytest.raises(materialize.BrokenError, match=f"raw_customers of {MONTHS[1]}: refused: .*tenure"):
        make(resources, "raw")


def test_a_batch_over_the_quarantine_limit_stops_its_layer(resources: dict[str, Any]) -> None:
    path = landed(resources, "customers", MONTHS[0])
    head, *rows = path.read_text().splitlines()
    spoilt = [row.replace("Month-to-month", "") for row in rows]
    path.write_text("\n".join([head, *spoilt[:200], *spoilt[:200]]) + "\n")
    with pytest.raises(materialize.BrokenError, match=f"validated_customers of {MONTHS[0]}: .*are quarantined"):
        make(resources, "raw", "validated")


def test_a_table_that_was_damaged_names_the_step_that_met_it(resources: dict[str, Any]) -> None:
    layers = make(resources, "raw")
    layers.path("raw_customers", MONTHS[0]).write_bytes(b"no parquet")
    with pytest.raises(materialize.BrokenError, match=f"of {MONTHS[0]}: .*is damaged: restore it"):
        make(resources, "validated")


def test_only_one_process_works_in_a_folder_and_the_other_names_it(tmp_path: Path) -> None:
    with materialize.alone(tmp_path):
        code = (
            "import pathlib, sys; from mlops_assets import materialize;"
            "materialize.alone(pathlib.Path(sys.argv[1])).__enter__()"
        )
        command = [sys.executable, "-c", code, str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PROJECT)
    assert f"process {os.getpid()} is at work in {tmp_path}" in done.stderr


def test_a_lock_that_was_left_behind_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("1234567890\n")
    with materialize.alone(tmp_path):
        assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"


def test_the_folder_is_free_again_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), materialize.alone(tmp_path):
        raise KeyError
    descriptor = os.open(tmp_path / ".lock", os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)


@pytest.mark.parametrize(
    ("arguments", "code", "said"), [(["raw", "rwa"], 2, "invalid choice: 'rwa'"), ([], 2, "LAYER")]
)
def test_a_wrong_call_is_refused_with_the_layers_there_are(arguments: list[str], code: int, said: str) -> None:
    command = [sys.executable, "-m", "mlops_assets.materialize", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PROJECT)
    assert done.returncode == code
    assert said in done.stderr


def test_every_layer_has_the_assets_of_its_tables() -> None:
    for layer in LAYERS:
        keys = {key.to_user_string() for asset in materialize.assets_of(layer) for key in asset.keys}
        assert keys - materialize.NEVER == materialize.tables_of(layer)


def test_a_stage_loads_no_other_layer_and_nothing_of_production() -> None:
    code = (
        "import sys; from mlops_assets import materialize; materialize.assets_of('drift');"
        "print(*(name for name in sys.modules if name.startswith('mlops_assets') or name in {'mlflow', 'catboost'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PROJECT)
    loaded = set(done.stdout.split())
    assert {name for name in loaded if name.startswith("mlops_assets.assets.")} == {"mlops_assets.assets.drift"}
    others = ("definitions", "automation", "operate", "cli", "summary", "deliveries")
    assert not loaded & {"mlflow", "catboost", *(f"mlops_assets.{name}" for name in others)}
