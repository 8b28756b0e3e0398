"""Bad days of the store: a flipped byte, an object that is gone, and getting them back."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mlops_assets import cli_past
from mlops_assets.files import FOLDER, DamagedError
from mlops_assets.home import Home, history_of
from mlops_assets.restoring import Archive
from mlops_assets.store import MissingObjectError
from mlops_assets.versions import Past

Harm = Callable[[Path], None]


def flip_a_byte(path: Path) -> None:
    """Change one byte in the middle, as a tired disk does: size, mode and time stay."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(0o444)


harms = pytest.mark.parametrize(("harm", "state"), [(flip_a_byte, "damaged"), (Path.unlink, "missing")])


@pytest.fixture
def archive(copied_home: Home, monkeypatch: pytest.MonkeyPatch) -> Archive:
    """The archive of a copy of the demonstration, which is the home in force."""
    monkeypatch.setenv("MLOPS_HOME", str(copied_home.root))
    return Archive(Past(history_of(copied_home)), copied_home.root)


def run(command: str, *arguments: object) -> Result:
    """What a command says in the home in force."""
    commands = {"restore": cli_past.restore, "store": cli_past.store}
    return CliRunner().invoke(commands[command], [str(argument) for argument in arguments])


def landed_january(archive: Archive) -> str:
    """Digest of the customers that landed for the first month."""
    (version,) = archive.past.versions("raw_customers", "2024-01")
    return version.made[-1].inputs["customers/2024-01.csv"]


@harms
def test_a_table_is_never_restored_from_a_bad_object_and_the_error_says_who_used_it_and_how_to_make_it_again(
    archive: Archive, tmp_path: Path, harm: Harm, state: str
) -> None:
    (version,) = archive.past.versions("raw_customers", "2024-01")
    harm(archive.store.path(version.md5))
    ran = run("restore", f"raw_customers@{version.md5}", tmp_path / "table")

    assert (ran.exit_code, ran.stdout) == (1, "")
    assert f"object {version.md5}" in ran.stderr
    assert ("is damaged" if state == "damaged" else "is not in the store") in ran.stderr
    assert "it is    raw_customers@2024-01" in ran.stderr
    assert "used by  champion v1 (all_history as of 2024-05)" in ran.stderr
    assert "1_raw/raw_customers/2024-01.parquet has it" in ran.stderr
    assert "`mlops score 2024-01` makes it again" in ran.stderr
    assert not list(tmp_path.glob("table*"))


@harms
def test_a_check_finds_it_among_all_and_says_the_same(archive: Archive, harm: Harm, state: str) -> None:
    champion = archive.past.crowned[-1].model_md5
    harm(archive.store.path(champion))
    ran = run("store", "check")

    assert ran.exit_code == 1
    assert f"{state}: object {champion} ({archive.store.path(champion)})" in ran.stdout
    assert f"it is    {champion}.cbm of churn_model, {champion}.cbm of champion, the model of v1" in ran.stdout
    assert "used by  champion v1" in ran.stdout
    assert "`mlops reproduce 1` trains it again" in ran.stdout
    assert f"{int(state == 'damaged')} damaged, {int(state == 'missing')} missing" in ran.stdout.splitlines()[-1]


@harms
def test_a_folder_with_one_bad_file_is_not_restored_in_part(
    archive: Archive, tmp_path: Path, harm: Harm, state: str
) -> None:
    (champion,) = archive.past.versions("champion")
    harm(archive.store.path(archive.past.crowned[-1].model_md5))
    ran = run("restore", f"champion@{champion.made[-1].folder}", tmp_path / "folder")
    assert ran.exit_code == 1
    assert {"damaged": "is damaged", "missing": "is not in the store"}[state] in ran.stderr
    assert not list(tmp_path.glob("*folder*"))


@harms
def test_whoever_reads_through_the_archive_gets_no_wrong_bytes(archive: Archive, harm: Harm, state: str) -> None:
    for oid in list(archive.names)[::7]:
        harm(archive.store.path(oid))
        with pytest.raises(DamagedError if state == "damaged" else MissingObjectError, match="used by"):
            archive.get(oid)


@harms
def test_every_single_object_is_found_when_it_is_bad(archive: Archive, harm: Harm, state: str) -> None:
    bad = sorted(list(archive.names)[::5])
    for oid in bad:
        harm(archive.store.path(oid))
    assert getattr(archive.check(), state) == tuple(bad)


@harms
def test_mending_puts_back_all_that_the_layers_the_inbox_and_the_history_still_have(
    archive: Archive, harm: Harm, state: str
) -> None:
    bad = [landed_january(archive), archive.past.crowned[-1].model_md5]
    bad += [oid for made in archive.past.made[::4] for oid in (made.md5, made.folder)]
    for oid in set(bad):
        harm(archive.store.path(oid))
    ran = run("store", "check", "--mend")

    assert ran.exit_code == 0
    assert f"{len(set(bad))} {state}" in ran.stdout
    assert f"{len(set(bad))} mended" in ran.stdout
    assert run("store", "check").exit_code == 0


def test_what_no_spare_copy_has_stays_as_it_is_and_is_told(archive: Archive) -> None:
    (version,) = archive.past.versions("raw_customers", "2024-01")
    flip_a_byte(archive.store.path(version.md5))
    shutil.rmtree(archive.home / "1_raw")
    before = archive.store.path(version.md5).read_bytes()
    ran = run("store", "check", "--mend")

    assert ran.exit_code == 1
    assert "`mlops score 2024-01` makes it again, from the same inputs" in ran.stdout
    assert "1 damaged, 0 missing, 0 mended" in ran.stdout
    assert archive.store.path(version.md5).read_bytes() == before


def test_a_copy_that_was_changed_too_is_not_taken_for_the_object(archive: Archive) -> None:
    (version,) = archive.past.versions("raw_customers", "2024-01")
    for path in (archive.store.path(version.md5), archive.home / "1_raw" / "raw_customers" / "2024-01.parquet"):
        flip_a_byte(path)
    assert run("store", "check", "--mend").exit_code == 1
    assert "1_raw" not in archive.explain(version.md5)


def test_a_damaged_list_of_a_folder_is_found_before_its_files_are_fetched(archive: Archive, tmp_path: Path) -> None:
    made = archive.past.made[-1]
    flip_a_byte(archive.store.path(made.folder))
    ran = run("restore", f"{made.asset}@{made.folder}", tmp_path / "folder")
    assert ran.exit_code == 1
    assert f"it is    the folder of {made.asset}" in ran.stderr
    assert "the history has it: `mlops store check --mend` puts it back" in ran.stderr
    assert made.folder.endswith(FOLDER)
