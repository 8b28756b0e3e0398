"""Bringing versions back: which object is meant, and that it is what it was."""

import shutil
from pathlib import Path

import pytest

from mlops_assets.files import FOLDER, file_md5, md5
from mlops_assets.history import History, Made, Registered
from mlops_assets.home import Home, history_of
from mlops_assets.placing import OccupiedError, digests
from mlops_assets.restoring import Archive
from mlops_assets.storage import Layers
from mlops_assets.store import Store
from mlops_assets.tables import LAYERS, TABLES
from mlops_assets.versions import Past, UnknownVersionError


@pytest.fixture(scope="module")
def archive(demo_home: Home) -> Archive:
    """The archive of the demonstration. To be read only."""
    return Archive(Past(history_of(demo_home)), demo_home.root)


@pytest.fixture
def copied_archive(copied_home: Home) -> Archive:
    """The archive of a copy of the demonstration."""
    return Archive(Past(history_of(copied_home)), copied_home.root)


@pytest.fixture
def history(tmp_path: Path) -> History:
    """A history that is empty."""
    return History(tmp_path / "history", Store(tmp_path / "store"))


def forget_layers(home: Path) -> None:
    """Remove the six layers."""
    for place, layer in enumerate(LAYERS, start=1):
        shutil.rmtree(home / f"{place}_{layer}")


def test_everything_that_was_ever_made_comes_back_without_the_layers(copied_archive: Archive, tmp_path: Path) -> None:
    forget_layers(copied_archive.home)
    for oid in copied_archive.names:
        path = tmp_path / "restored" / oid
        assert copied_archive.restore(oid, path)
        if not oid.endswith(FOLDER):
            assert file_md5(path) == oid
        else:
            assert digests(path) == copied_archive.folder(oid)


def test_the_layers_come_back_as_they_were(copied_archive: Archive) -> None:
    before = {asset: digests(copied_archive.home / TABLES[asset].folder) for asset in copied_archive.past.assets()}
    forget_layers(copied_archive.home)
    for asset in before:
        last = copied_archive.past.versions(asset)[-1].made[-1]
        copied_archive.restore(last.folder, copied_archive.home / TABLES[asset].folder)
    assert {asset: digests(copied_archive.home / TABLES[asset].folder) for asset in before} == before


def test_a_folder_comes_back_as_it_stood_when_a_version_was_made(archive: Archive, tmp_path: Path) -> None:
    (second,) = archive.past.versions("labelled_customers", "2024-02")
    archive.restore(second.made[0].folder, tmp_path / "then")
    assert sorted(path.name for path in (tmp_path / "then").iterdir()) == ["2024-01.parquet", "2024-02.parquet"]


def test_the_champions_folder_comes_back_with_its_model(archive: Archive, layers: Layers, tmp_path: Path) -> None:
    (champion,) = archive.past.versions("champion")
    archive.restore(champion.made[-1].folder, tmp_path / "champion")
    assert digests(tmp_path / "champion") == digests(layers.path("champion").parent)


def test_the_landed_file_of_a_month_comes_back(archive: Archive, demo_home: Home, tmp_path: Path) -> None:
    landed = (demo_home.landing / "customers" / "2024-03.csv").read_bytes()
    archive.restore(archive.resolve("raw_customers", md5(landed)), tmp_path / "customers.csv")
    assert (tmp_path / "customers.csv").read_bytes() == landed


def test_what_lies_at_the_path_is_left_as_it_is(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"mine")
    for oid in (archive.past.made[0].md5, archive.past.made[0].folder):
        with pytest.raises(OccupiedError):
            archive.restore(oid, tmp_path / "mine")
    assert (tmp_path / "mine").read_bytes() == b"mine"


def test_any_start_of_a_digest_means_it_if_nothing_else_of_the_asset_starts_so(archive: Archive) -> None:
    for oid, names in archive.names.items():
        for name in names:
            for digits in (4, 8, 31, 32):
                assert archive.resolve(name.asset, oid[:digits]) == oid
            assert archive.resolve(name.asset, oid.upper().replace(".DIR", ".dir")) == oid


def test_a_model_goes_by_its_versions_number_too(archive: Archive) -> None:
    for model in archive.past.registered:
        for asset, text in (("churn_model", f"v{model.version}"), ("champion", str(model.version))):
            assert archive.resolve(asset, text) == model.model_md5


def test_what_is_no_digest_is_refused_with_the_newest_versions(archive: Archive) -> None:
    newest = archive.past.versions("raw_customers")[-1].md5[:8]
    for text in ("", "812", "2024-01", "latest", "g" * 32, "0" * 33, "1"):
        with pytest.raises(UnknownVersionError, match=f"{newest}; `mlops versions raw_customers` lists all"):
            archive.resolve("raw_customers", text)


def test_a_digest_that_nothing_has_is_refused_with_the_newest_versions(archive: Archive) -> None:
    newest = archive.past.versions("raw_customers")[-1].md5[:8]
    with pytest.raises(UnknownVersionError, match=f"there is no version 00000000. .*{newest}"):
        archive.resolve("raw_customers", "00000000")


def test_a_digest_of_another_asset_is_not_this_ones(archive: Archive) -> None:
    with pytest.raises(UnknownVersionError, match="there is no version"):
        archive.resolve("raw_customers", archive.past.versions("predictions")[-1].md5)


def test_an_unknown_asset_is_refused_with_those_there_are(archive: Archive) -> None:
    with pytest.raises(UnknownVersionError, match=r"There are versions of: raw_customers, "):
        archive.resolve("customers", "0000")


def test_a_start_that_two_versions_share_is_refused_with_both(history: History) -> None:
    several = ["abcd" + "1" * 28, "abcd" + "2" * 28]
    for digest in several:
        history.add(Made("a", None, digest, 1, 1, {}, "ffff.dir", {}, "", ""))
    archive = Archive(Past(history), history.root)
    with pytest.raises(UnknownVersionError, match=f"several begin with abcd: {', '.join(several)}"):
        archive.resolve("a", "abcd")
    assert archive.resolve("a", "abcd1") == several[0]


def test_a_folder_whose_digest_starts_like_a_tables_goes_by_its_ending(history: History) -> None:
    history.add(Made("a", None, "a" * 32, 1, 1, {}, f"{'a' * 32}.dir", {}, "", ""))
    archive = Archive(Past(history), history.root)
    assert archive.resolve("a", "aaaa.dir") == f"{'a' * 32}.dir"
    with pytest.raises(UnknownVersionError, match="several"):
        archive.resolve("a", "aaaa")


def test_the_history_tells_the_list_of_every_folder_again(archive: Archive) -> None:
    for position, made in enumerate(archive.past.made):
        assert md5(archive.relisted(position)) + FOLDER == made.folder


def test_everything_in_the_store_has_a_name_and_everything_named_is_there(archive: Archive) -> None:
    assert set(archive.store.objects()) == set(archive.names)
    assert archive.check().missing == archive.check().damaged == ()


def test_of_the_models_of_a_training_the_champion_used_its_own(archive: Archive, layers: Layers) -> None:
    champion = str(layers.read("champion").model_md5.iloc[0])
    used = {model.model_md5: bool(archive.users(model.model_md5)) for model in archive.past.registered}
    assert used == {model: model == champion for model in used}
    assert len(used) == 2


def test_a_model_that_was_never_champion_can_be_trained_again(archive: Archive) -> None:
    (other,) = [m.registered for m in archive.past.models() if not m.is_champion]
    told = archive.explain(other.model_md5)
    assert "used by  no champion" in told
    assert f"`mlops reproduce {other.version}` trains it again" in told
    assert f"`mlops retrain --as-of {other.as_of}` makes it again" in told


def test_a_registration_whose_run_was_cut_off_names_what_is_missing(history: History) -> None:
    version = Registered("all", md5(b"m"), "2024-05", md5(b"c"), "", md5(b"s"), {}, "", "", {}, "run", None)
    history.register(version)
    archive = Archive(Past(history), history.root)
    assert set(archive.check().missing) == {md5(b"m"), md5(b"c"), md5(b"s")}
    assert "it is    the scores of v1" in archive.explain(md5(b"s"))


def test_a_file_that_was_there_before_the_history_goes_by_the_folder_that_lists_it(history: History) -> None:
    older = md5(b"older")
    folder = history.store.put_folder({"2023-12.parquet": older})
    history.add(Made("features", "2024-01", history.store.put(b"new"), 3, 1, {}, folder, {}, "", "score"))
    archive = Archive(Past(history), history.root.parent)
    place = archive.home / "3_features" / "features" / "2023-12.parquet"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"older")

    assert archive.check().missing == (older,)
    assert "2023-12.parquet in the folder of features" in archive.explain(older)
    assert archive.mend(older) == str(place)
    assert archive.check().missing == ()


def test_what_nobody_named_is_said_to_be_that(archive: Archive) -> None:
    told = archive.explain("0" * 32)
    assert "named by nothing in the history" in told
    assert "backup" in told
