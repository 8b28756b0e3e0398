"""A deployment comes back from its backup: the whole folder at another place, or history and store alone."""

import shutil
import subprocess
from pathlib import Path

import pytest

from mlops_assets import operate
from mlops_assets.champions import read_champion
from mlops_assets.history import Crowned, Registered
from mlops_assets.home import Home, history_of
from mlops_assets.naming import names
from mlops_assets.params import Params
from mlops_assets.restoring import Archive
from mlops_assets.storage import Layers
from mlops_assets.versions import Past

NEWEST = "2024-06"


@pytest.fixture
def restored(demo_home: Home, tmp_path: Path) -> Home:
    """The home packed by tar, and unpacked somewhere else."""
    packed = tmp_path / "backup.tar.gz"
    subprocess.run(["tar", "-C", str(demo_home.root.parent), "-czf", str(packed), demo_home.root.name], check=True)  # noqa: S607
    (tmp_path / "new").mkdir()
    subprocess.run(["tar", "-C", str(tmp_path / "new"), "-xzf", str(packed)], check=True)  # noqa: S607
    return Home(tmp_path / "new" / demo_home.root.name)


def test_a_home_restored_elsewhere_scores_as_before_and_makes_the_same_model_again(
    restored: Home, layers: Layers, params: Params
) -> None:
    before = layers.digest("predictions", NEWEST)
    with operate.system(restored, params) as running:
        scored = running.run("rescore", NEWEST)
        trained = running.run("retrain", config={"ops": {"training_set": {"config": {"as_of": params.sample.as_of}}}})
    assert scored.materialized["predictions"]["dvc_md5"] == before
    assert trained.materialized["churn_model"]["dvc_md5"] == layers.digest("churn_model")


def test_history_and_store_alone_hold_every_version_that_was_ever_made(demo_home: Home, tmp_path: Path) -> None:
    kept = Home(tmp_path / "kept")
    for part in ("history", "store"):
        shutil.copytree(demo_home.root / part, kept.root / part)
    archive = Archive(Past(history_of(kept)), kept.root)
    for oid in names(archive.past):
        assert archive.get(oid)


def test_a_champion_is_put_back_from_history_and_store_and_scores_as_before(
    copied_home: Home, layers: Layers, params: Params
) -> None:
    folder = Layers(copied_home.layers).path("champion").parent
    shutil.rmtree(folder)
    archive = Archive(Past(history_of(copied_home)), copied_home.root)
    newest = max((made for made in archive.past.made if made.asset == "champion"), key=lambda made: made.when)

    archive.restore(newest.folder, folder)

    with operate.system(copied_home, params) as running:
        scored = running.run("rescore", NEWEST)
    assert read_champion(Layers(copied_home.layers)) is not None
    assert scored.materialized["predictions"]["dvc_md5"] == layers.digest("predictions", NEWEST)


def test_without_the_registrys_database_the_past_is_known_and_scoring_goes_on(
    copied_home: Home, params: Params
) -> None:
    shutil.rmtree(copied_home.mlflow)
    history = history_of(copied_home)
    assert [version.version for version in history.read(Registered)] == [1, 2]
    assert [change.version for change in history.read(Crowned)] == [1]
    with operate.system(copied_home, params) as running:
        assert running.run("rescore", NEWEST).is_success
    assert not copied_home.mlflow.exists()
