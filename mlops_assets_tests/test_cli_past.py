"""The commands that look back, as a person calls them."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mlops_assets import cli_past
from mlops_assets.files import file_md5
from mlops_assets.home import PROJECT, Home, history_of
from mlops_assets.storage import Layers
from mlops_assets.versions import Past

Command = Callable[..., Result]
COMMANDS = {"versions": cli_past.versions, "restore": cli_past.restore, "store": cli_past.store}
MODULES = "import sys, mlops_assets.cli_past; print(*{name.split('.')[0] for name in sys.modules})"


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command in a home."""

    def run(home: Home | Path, name: str, *arguments: object) -> Result:
        monkeypatch.setenv("MLOPS_HOME", str(home.root if isinstance(home, Home) else home))
        return CliRunner().invoke(COMMANDS[name], [str(argument) for argument in arguments])

    return run


def test_versions_are_a_table_with_a_line_for_each(command: Command, demo_home: Home) -> None:
    ran = command(demo_home, "versions", "raw_customers")
    header, *lines = ran.stdout.splitlines()
    columns = ["batch", "md5", "first made", "last made", "by", "rows", "size", "files", "from", "champions"]
    assert header.split() == " ".join(columns).split()
    assert [line.split()[0] for line in lines] == [f"2024-0{month}" for month in range(1, 7)]
    assert [line.split()[-1] for line in lines] == ["v1"] * 5 + ["-"]
    assert (ran.exit_code, ran.stderr) == (0, "")


def test_columns_begin_at_the_same_place_in_every_line(command: Command, demo_home: Home) -> None:
    header, *lines = command(demo_home, "versions", "labelled_customers").stdout.splitlines()
    for name in ("md5", "first made", "rows", "champions"):
        start = header.index(name)
        assert all(line[start - 2 : start] == "  " and line[start] != " " for line in lines)


def test_of_a_model_the_registered_versions_are_listed_too(command: Command, demo_home: Home) -> None:
    past = Past(history_of(demo_home))
    _, models = command(demo_home, "versions", "churn_model").stdout.split("\n\n")
    header, *lines = models.splitlines()
    assert header.startswith("version  model")
    assert [line.split()[:3] for line in lines] == [
        [str(m.registered.version), m.registered.model_md5[:8], m.registered.candidate] for m in past.models()
    ]
    assert ["is, since" in line for line in lines] == [model.is_champion for model in past.models()]


def test_versions_of_one_batch(command: Command, demo_home: Home) -> None:
    assert len(command(demo_home, "versions", "raw_customers", "--batch", "2024-02").stdout.splitlines()) == 2


def test_a_batch_that_was_never_made_is_said_to_be_that(command: Command, demo_home: Home) -> None:
    ran = command(demo_home, "versions", "raw_customers", "--batch", "2031-01")
    assert (ran.exit_code, ran.stdout) == (1, "")
    assert "no version of raw_customers of batch 2031-01" in ran.stderr


def test_json_tells_all_that_is_known(command: Command, demo_home: Home, layers: Layers) -> None:
    tree = json.loads(command(demo_home, "versions", "champion", "--json").stdout)
    (version,) = tree["versions"]
    assert version["md5"] == layers.digest("champion")
    assert version["made"][0]["inputs"]["churn_model"] == layers.digest("churn_model")
    assert version["made"][0]["job"] == "retrain"
    assert [known["is_champion"] for known in tree["registered"]] == [True, False]
    assert tree["registered"][0]["made_with"]["git_commit"]


def test_an_unknown_asset_is_a_wrong_call(command: Command, demo_home: Home) -> None:
    for ran in (command(demo_home, "versions", "nope"), command(demo_home, "restore", "nope@1234", "x")):
        assert ran.exit_code == 2
        assert "refused: no version of 'nope' was ever made. There are versions of: raw_customers" in ran.stderr


def test_a_home_in_which_nothing_happened_says_so(command: Command, tmp_path: Path) -> None:
    calls = [("versions", "champion"), ("restore", "champion@1234", "x"), ("store", "check"), ("store", "sweep")]
    for home in (tmp_path, tmp_path / "missing"):
        for call in calls:
            ran = command(home, *call)
            assert ran.exit_code == 1
            assert f"error: there is no history in {home}: nothing was made there yet" in ran.stderr
    assert not list(tmp_path.iterdir())


def test_a_version_comes_back_and_coming_back_again_is_fine(
    command: Command, demo_home: Home, layers: Layers, tmp_path: Path
) -> None:
    digest = layers.digest("raw_customers", "2024-01")
    ran, again = (command(demo_home, "restore", f"raw_customers@{digest[:8]}", tmp_path / "table") for _ in range(2))
    assert ran.stdout == f"restored raw_customers@2024-01, md5 {digest} to {tmp_path / 'table'}\n"
    assert again.stdout.startswith(f"{tmp_path / 'table'} is that already")
    assert (ran.exit_code, again.exit_code) == (0, 0)
    assert file_md5(tmp_path / "table") == digest


def test_a_path_with_something_else_is_refused(command: Command, demo_home: Home, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    ran = command(demo_home, "restore", "churn_model@v2", tmp_path / "mine")
    assert ran.exit_code == 2
    assert f"refused: {tmp_path / 'mine'} is left as it is" in ran.stderr


def test_a_call_without_a_digest_is_a_wrong_call(command: Command, demo_home: Home) -> None:
    ran = command(demo_home, "restore", "champion", "x")
    assert ran.exit_code == 2
    assert "'champion' is no ASSET@MD5: `mlops versions champion` lists" in ran.stderr


def test_a_path_that_cannot_be_written_is_an_error(command: Command, demo_home: Home, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ran = command(demo_home, "restore", "churn_model@v2", tmp_path / "file" / "model.cbm")
    assert ran.exit_code == 1
    assert ran.stderr.startswith("error: ")


def test_a_whole_store_is_said_to_be_whole(command: Command, demo_home: Home) -> None:
    objects = len(list(history_of(demo_home).store.objects()))
    ran = command(demo_home, "store", "check")
    assert (ran.exit_code, ran.stdout) == (0, f"{objects} objects, 0 damaged, 0 missing\n")


def test_only_old_temporary_files_are_swept(command: Command, copied_home: Home) -> None:
    folder = next((copied_home.store / "files" / "md5").iterdir())
    for name, hours in ((".old.x.tmp", 25), (".new.x.tmp", 1)):
        (folder / name).touch()
        then = (folder / name).stat().st_mtime - hours * 3600
        os.utime(folder / name, (then, then))
    objects = list(history_of(copied_home).store.objects())

    ran = command(copied_home, "store", "sweep")
    assert ran.stdout == f"removed {folder / '.old.x.tmp'}\n1 temporary files older than 24 h removed\n"
    assert (folder / ".new.x.tmp").exists()
    assert "1 temporary files older than 0.5 h" in command(copied_home, "store", "sweep", "--older-than", 0.5).stdout
    assert list(history_of(copied_home).store.objects()) == objects


@pytest.mark.parametrize("name", ["push", "pull"])
def test_without_a_remote_there_is_nothing_to_push_to_or_pull_from(
    command: Command, demo_home: Home, name: str
) -> None:
    ran = command(demo_home, "store", name)
    assert ran.exit_code == 1
    assert "error: no remote is configured" in ran.stderr


def test_an_address_of_a_remote_that_is_none_is_refused(
    command: Command, demo_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_S3", "ftp://nowhere")
    ran = command(demo_home, "store", "push")
    assert ran.exit_code == 2
    assert "is no S3 address" in ran.stderr


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An S3 server with an empty bucket, which is the remote in force."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    endpoint = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in {**dict.fromkeys(keys, "x"), **endpoint, "MLOPS_S3": "s3://bucket/home"}.items():
        monkeypatch.setenv(name, value)
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 60
    while time.monotonic() < until and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    import boto3

    boto3.client("s3").create_bucket(Bucket="bucket")
    yield
    server.terminate()
    server.wait()


@pytest.mark.usefixtures("bucket")
def test_what_was_pushed_is_brought_back_and_what_was_not_is_told(command: Command, copied_home: Home) -> None:
    champion = Past(history_of(copied_home)).crowned[-1].champion
    kept = history_of(copied_home).store.path(champion)
    content = kept.read_bytes()
    kept.unlink()
    objects = len(list(history_of(copied_home).store.objects()))
    pushed = command(copied_home, "store", "push")
    shutil.rmtree(copied_home.store)
    pulled = command(copied_home, "store", "pull")
    history_of(copied_home).store.put(content)
    again = command(copied_home, "store", "pull")

    assert pushed.stdout == f"{objects} objects pushed to s3://bucket/home/store, 0 wait\n"
    assert pulled.exit_code == 1
    assert pulled.stdout.startswith(f"lost: object {champion}\n  it is    champion\n")
    assert pulled.stdout.endswith(f"{objects} objects brought from s3://bucket/home/store, 1 lost there too\n")
    assert (again.exit_code, again.stdout) == (0, "0 objects brought from s3://bucket/home/store, 0 lost there too\n")


def test_a_lost_registry_and_a_lost_orchestrator_are_not_missed(command: Command, copied_home: Home) -> None:
    def told() -> list[str]:
        calls = [("versions", "champion", "--json"), ("versions", "raw_customers"), ("store", "check")]
        return [command(copied_home, *call).stdout for call in calls]

    before = told()
    shutil.rmtree(copied_home.mlflow)
    shutil.rmtree(copied_home.dagster)
    assert told() == before


def test_looking_back_loads_no_orchestrator_no_registry_and_no_table_library() -> None:
    ran = subprocess.run([sys.executable, "-c", MODULES], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert not {"dagster", "mlflow", "pandas", "pandera", "boto3", "dvc"} & set(ran.stdout.split())
