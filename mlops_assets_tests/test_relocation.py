"""A home that was moved works where it is: its registry names the files beside it, and nothing of where it was."""

import shutil
import sqlite3
from pathlib import Path

import pandas as pd
import pytest

from mlops_assets import operate
from mlops_assets.churn import features
from mlops_assets.home import Home
from mlops_assets.params import Params
from mlops_assets.relocation import columns, relocate
from mlops_assets.storage import Layers
from mlops_assets.tracking import EXPERIMENT, Tracking


@pytest.fixture
def moved(demo_home: Home, tmp_path: Path) -> Home:
    """The demonstration's home, brought back from a backup under a name with a space and an umlaut."""
    shutil.copytree(demo_home.root, tmp_path / "räumte um", symlinks=True)
    return Home(tmp_path / "räumte um")


def mentions(home: Home, text: str) -> int:
    """How many cells of MLflow's database hold `text`."""
    with sqlite3.connect(home.mlflow / "mlflow.db") as database:
        return sum(
            database.execute(f'select count(*) from "{table}" where instr("{column}", ?)', (text,)).fetchone()[0]  # noqa: S608
            for table, column in columns(database)
        )


def test_a_moved_home_names_its_own_files_and_none_of_the_place_it_left(moved: Home, demo_home: Home) -> None:
    left = f"{demo_home.root}/"
    before = mentions(moved, left)
    assert relocate(moved.root, EXPERIMENT) == demo_home.root.as_uri()
    assert before > 0
    assert mentions(moved, left) == 0


def test_a_home_that_did_not_move_is_left_alone(demo_home: Home) -> None:
    before = (demo_home.mlflow / "mlflow.db").read_bytes()
    assert relocate(demo_home.root, EXPERIMENT) is None
    assert (demo_home.mlflow / "mlflow.db").read_bytes() == before


def test_a_home_without_a_registry_has_nothing_to_relocate(tmp_path: Path) -> None:
    assert relocate(tmp_path, EXPERIMENT) is None


@pytest.mark.parametrize("content", [b"", b"no database " * 1000])
def test_a_home_opens_though_its_registry_is_damaged(tmp_path: Path, params: Params, content: bytes) -> None:
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "mlflow.db").write_bytes(content)
    with operate.system(Home(tmp_path), params):
        pass


def test_the_registered_champion_of_a_moved_home_is_loaded_from_where_it_lies_now(moved: Home, params: Params) -> None:
    import mlflow

    with operate.system(moved, params):
        pass  # any command opens the home
    layers = Layers(moved.layers)
    uri = Tracking(moved.mlflow).uri
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    model = mlflow.pyfunc.load_model("models:/churn@champion")
    inputs = features.model_inputs(layers.read("customer_features", "2024-06"))
    expected = layers.read("predictions", "2024-06").score
    pd.testing.assert_series_equal(model.predict(inputs)["score"], expected, check_names=False, check_index=False)


def test_a_moved_home_scores_and_trains(moved: Home, params: Params) -> None:
    with operate.system(moved, params) as running:
        assert running.run("rescore", "2024-06").is_success
