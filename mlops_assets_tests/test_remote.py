"""A remote in S3 holds what DVC can pull; a server that is down fails no put, and is caught up with later.

Against a real S3 server, `moto_server`, on a free port of this machine.
"""

import base64
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from mlops_assets import remote
from mlops_assets.files import DamagedError, md5
from mlops_assets.home import Home
from mlops_assets.remote import S3, Pending, RemoteError
from mlops_assets.store import MissingObjectError, Store

PROJECT = Path(__file__).parents[1]
TREE = {"2024-01.csv": b"january\n", "below/ü.csv": b"february\n"}
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
PUT = (
    "import sys; from pathlib import Path; from mlops_assets.remote import S3; from mlops_assets.store import Store;"
    "Store(Path(sys.argv[1]), S3('s3://bucket', sys.argv[2])).put(b'content')"
)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def connected(endpoint: str | None) -> Any:  # noqa: ANN401 - boto3 makes the class as it goes
    """A client of a server, for what a remote itself never does."""
    return remote.client(endpoint, 60.0, os.getpid())


@dataclass
class Server:
    """An S3 server that can be stopped and started; what it holds goes with it."""

    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, wait until it listens, and make a bucket."""
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 60
        while time.monotonic() < until and self.process.poll() is None:
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", self.port)):
                    break
            time.sleep(0.05)
        connected(self.endpoint).create_bucket(Bucket="bucket")

    def stop(self) -> None:
        """Stop it."""
        if self.process:
            self.process.terminate()
            self.process.wait()
        self.process = None


@pytest.fixture(scope="module", autouse=True)
def credentials() -> Iterator[None]:
    """The standard variables, with what the test server accepts, and no AWS of whoever runs this."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in {**CREDENTIALS, "AWS_EC2_METADATA_DISABLED": "true"}.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server that runs."""
    server = Server(free_port())
    server.start()
    yield server
    server.stop()


@pytest.fixture
def unsteady() -> Iterator[Server]:
    """A server to stop and start, that does not run yet."""
    server = Server(free_port())
    yield server
    server.stop()


@pytest.fixture
def s3(server: Server, tmp_path: Path) -> S3:
    """A place of its own in the bucket."""
    return S3(f"s3://bucket/{tmp_path.name}/objects", server.endpoint)


@pytest.fixture
def store(s3: S3, tmp_path: Path) -> Store:
    """A store with nothing in it, and a remote that runs."""
    return Store(tmp_path / "store", s3)


def put_tree(store: Store) -> str:
    """Put the files of a folder and the folder."""
    return store.put_folder({path: store.put(content) for path, content in TREE.items()})


def wipe(store: Store) -> None:
    """Lose every object that is here."""
    for oid in list(store.objects()):
        store.path(oid).unlink()


def spoil(path: Path, content: bytes) -> None:
    """Give a file other bytes."""
    path.chmod(0o644)
    path.write_bytes(content)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was warned of."""
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


# ----------------------------------------------------------------------------------------------------------- push, pull


def test_what_was_pushed_comes_back_and_is_listed(s3: S3) -> None:
    oids = sorted([md5(b"content"), md5(b"list") + ".dir"])
    assert (list(s3.names()), [s3.has(oid) for oid in oids]) == ([], [False, False])
    s3.push(md5(b"content"), b"content")
    s3.push(md5(b"list") + ".dir", b"list")
    assert s3.pull(md5(b"content")) == b"content"
    assert (list(s3.names()), [s3.has(oid) for oid in oids]) == (oids, [True, True])


def test_an_object_is_not_there_because_a_folder_with_its_digest_is(s3: S3) -> None:
    s3.push(md5(b"list") + ".dir", b"list")
    assert not s3.has(md5(b"list"))


@pytest.mark.parametrize(
    "url", ["s3://bucket", "s3://bucket/", "s3://bucket/prefix", "s3://bucket/a/b/", "s3://bucket/a?b#c"]
)
def test_objects_lie_where_dvc_looks_for_them(url: str) -> None:
    prefix = url.removeprefix("s3://bucket").strip("/")
    assert S3(url).key("ab" + "0" * 30) == f"{prefix}/files/md5/ab/{'0' * 30}".lstrip("/")


def test_what_a_store_keeps_is_in_the_remote_too_and_nothing_waits(store: Store, s3: S3) -> None:
    put_tree(store)
    assert list(s3.names()) == list(store.objects())
    assert store.behind() == 0


def test_a_lost_store_comes_back_from_the_remote_byte_for_byte(store: Store) -> None:
    oid = put_tree(store)
    before = {kept: store.get(kept) for kept in store.objects()}
    wipe(store)
    assert store.pull([oid]) == 3
    assert {kept: store.path(kept).read_bytes() for kept in store.objects()} == before
    assert {store.path(kept).stat().st_mode & 0o777 for kept in before} == {0o444}
    assert store.pull([oid]) == 0


def test_a_missing_or_damaged_object_is_brought_back_when_it_is_asked_for(store: Store) -> None:
    missing, damaged = store.put(b"missing"), store.put(b"damaged")
    store.path(missing).unlink()
    spoil(store.path(damaged), b"damageD")
    assert [store.get(missing), store.get(damaged)] == [b"missing", b"damaged"]
    assert store.check([missing, damaged]).damaged == store.check([missing, damaged]).missing == ()


def test_an_object_that_is_damaged_in_the_remote_is_not_taken(store: Store, s3: S3) -> None:
    oid = store.put(b"content")
    client = connected(s3.endpoint)
    client.put_object(Bucket="bucket", Key=s3.key(oid), Body=b"contenT")
    wipe(store)
    with pytest.raises(MissingObjectError, match=rf"{oid} is not in the store .* damaged: {s3.url} has bytes"):
        store.get(oid)
    assert not list(store.objects())


def test_an_object_that_is_nowhere_is_said_to_be_nowhere(store: Store) -> None:
    store.put(b"anything")
    with pytest.raises(MissingObjectError, match=r"is not in the store .* The remote does not help .*NoSuchKey"):
        store.get(md5(b"never put"))


def test_a_store_older_than_its_remote_is_pushed_on_demand_and_only_what_is_not_there(store: Store, s3: S3) -> None:
    put_tree(replace(store, remote=None))
    store.put(b"new")
    assert len(list(s3.names())) == 1
    assert store.push(store.objects()) == 3
    assert list(s3.names()) == list(store.objects())
    assert store.push(store.objects()) == 0


def test_the_real_pull_brings_a_file_and_a_folder_from_s3(store: Store, s3: S3, tmp_path: Path) -> None:
    digests = {"text.csv": store.put(b"a,b\n"), "tree": put_tree(store)}
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    environment = {**os.environ, "DVC_SITE_CACHE_DIR": str(tmp_path / "site"), "DVC_NO_ANALYTICS": "1"}

    def dvc(*arguments: str) -> None:
        command = [sys.executable, "-m", "dvc", *arguments]
        ran = subprocess.run(command, cwd=fresh, env=environment, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr

    dvc("init", "--no-scm")
    dvc("remote", "add", "--default", "s3", s3.url)
    dvc("remote", "modify", "s3", "endpointurl", str(s3.endpoint))
    for name, oid in digests.items():
        (fresh / f"{name}.dvc").write_text(yaml.safe_dump({"outs": [{"md5": oid, "hash": "md5", "path": name}]}))
    dvc("pull")
    assert (fresh / "text.csv").read_bytes() == b"a,b\n"
    assert {path: (fresh / "tree" / path).read_bytes() for path in TREE} == TREE


# ------------------------------------------------------------------------------------------------------------- outages


def test_an_outage_fails_no_put_is_told_once_and_is_caught_up_with(
    unsteady: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path / "store", s3 := S3("s3://bucket/prefix", unsteady.endpoint, rest_seconds=0))

    oids = [store.put(b"first"), store.put(b"second"), store.put_folder({"file": md5(b"first")})]

    assert [store.local(oid) for oid in oids[:2]] == [b"first", b"second"]
    assert store.behind() == 3
    (said,) = warnings(caplog)
    for part in (
        f"object {oids[0]} is not pushed",
        f"bucket bucket at {unsteady.endpoint}",
        "See that the server runs",
    ):
        assert part in said

    unsteady.start()
    store.put(b"third")

    assert store.behind() == 0
    assert sorted(s3.names()) == sorted([*oids, md5(b"third")])

    unsteady.stop()
    store.put(b"fourth")
    assert len(warnings(caplog)) == 2  # another outage


def test_a_process_that_met_an_outage_leaves_the_server_alone_for_a_while(unsteady: Server, tmp_path: Path) -> None:
    store = Store(tmp_path / "store", s3 := S3("s3://bucket", unsteady.endpoint))
    store.put(b"first")
    unsteady.start()
    began = time.monotonic()
    for number in range(20):
        store.put(bytes([number]))
    assert time.monotonic() - began < 1
    assert (store.behind(), list(s3.names())) == (21, [])
    assert store.push_pending() == 21
    assert (store.behind(), len(list(s3.names()))) == (0, 21)
    store.put(b"the server answers again")
    assert store.behind() == 0


def test_pushing_what_waits_on_demand_says_that_the_server_is_down(unsteady: Server, tmp_path: Path) -> None:
    store = Store(tmp_path / "store", S3("s3://bucket", unsteady.endpoint))
    store.put(b"content")
    with pytest.raises(RemoteError, match=r"is not pushed \(bucket bucket at .*See that the server runs"):
        store.push_pending()
    assert store.behind() == 1


def test_a_server_that_takes_connections_and_says_nothing_does_not_hold_a_put_for_long(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        store = Store(tmp_path / "store", S3("s3://bucket", address, timeout_seconds=0.5))
        began = time.monotonic()
        store.put(b"content")
        assert time.monotonic() - began < 5
    assert store.behind() == 1


def test_a_process_killed_while_it_pushes_is_caught_up_with_by_the_next(server: Server, tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        process = subprocess.Popen([sys.executable, "-c", PUT, tmp_path / "store", endpoint], cwd=PROJECT)
        connection, _ = silent.accept()
        with connection:  # it pushes now
            process.send_signal(signal.SIGKILL)
            process.wait()

    store = Store(tmp_path / "store", s3 := S3(f"s3://bucket/{tmp_path.name}", server.endpoint))
    assert store.behind() == 1
    store.put(b"of the next process")
    assert store.behind() == 0
    assert s3.pull(md5(b"content")) == b"content"


def test_what_was_noted_and_never_written_does_not_count_and_holds_nothing_up(store: Store) -> None:
    store.pending.note(md5(b"killed before it was written"))
    assert store.behind() == 0
    store.put(b"content")
    assert store.behind() == 0


def test_a_damaged_object_that_waits_is_never_pushed_and_holds_nothing_up(
    store: Store, s3: S3, caplog: pytest.LogCaptureFixture
) -> None:
    oid = replace(store, remote=None).put(b"content")
    store.pending.note(oid)
    spoil(store.path(oid), b"contenT")
    other = store.put(b"other")
    assert (list(s3.names()), store.behind()) == ([other], 1)
    assert "is damaged" in warnings(caplog)[0]
    assert warnings(caplog)[0].endswith("It is not pushed.")
    store.put(b"content")
    assert (s3.pull(oid), store.behind()) == (b"content", 0)


def test_files_are_pushed_before_the_folders_that_list_them(tmp_path: Path) -> None:
    waiting = Pending(tmp_path / "pending", S3("s3://bucket"), lambda _: b"")
    for oid in ("a" * 32 + ".dir", "b" * 32, "0" * 32 + ".dir", "f" * 32):
        waiting.note(oid)
    assert waiting.oids() == ["b" * 32, "f" * 32, "0" * 32 + ".dir", "a" * 32 + ".dir"]


def test_without_a_remote_nothing_is_noted(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.put(b"content")
    assert [path.name for path in store.root.iterdir()] == ["files"]
    assert (store.behind(), store.push_pending(), store.push(store.objects())) == (0, 0, 0)


def test_ten_processes_that_push_at_once_leave_nothing_behind(store: Store, s3: S3) -> None:
    script = (
        f"{PUT[: PUT.index('Store(Path')]} store = Store(Path(sys.argv[1]), S3(sys.argv[2], sys.argv[3]));"
        "[store.put(bytes([n])) for n in range(5)]; store.put(sys.argv[4].encode())"
    )
    command = [sys.executable, "-c", script, str(store.root), s3.url, str(s3.endpoint)]
    processes = [subprocess.Popen([*command, f"process {n}"], cwd=PROJECT) for n in range(10)]
    assert [process.wait() for process in processes] == [0] * 10
    assert store.behind() == 0
    assert list(s3.names()) == list(store.objects())
    assert len(list(s3.names())) == 15


# -------------------------------------------------------------------------------------------------------------- errors


def test_a_bucket_that_is_missing_is_said_to_be(server: Server) -> None:
    nowhere = S3("s3://no-such-bucket", server.endpoint)
    calls = (
        lambda: nowhere.push(md5(b"content"), b"content"),
        lambda: nowhere.pull(md5(b"content")),
        lambda: nowhere.has(md5(b"content")),
        lambda: list(nowhere.names()),
    )
    for call in calls:
        with pytest.raises(RemoteError, match=r"bucket no-such-bucket at http.*NoSuchBucket.*Create the bucket"):
            call()


class Comparing(BaseHTTPRequestHandler):
    """Compares the bytes with `Content-MD5` as S3 says it does, which the test server does not."""

    protocol_version = "HTTP/1.1"  # else it is waited for, for a second

    def do_PUT(self) -> None:
        """Take an object, or refuse it."""
        content = self.rfile.read(int(self.headers["Content-Length"]))
        promised = base64.b64decode(self.headers["Content-MD5"]).hex()
        answer = b"" if promised == md5(content) else b"<Error><Code>BadDigest</Code></Error>"
        self.send_response(400 if answer else 200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in http.server
        """Say nothing."""


def test_a_server_that_compares_bytes_with_the_digest_takes_the_right_ones_and_refuses_others() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Comparing) as http:
        Thread(target=http.serve_forever, daemon=True).start()
        s3 = S3("s3://bucket", f"http://127.0.0.1:{http.server_port}")
        s3.push(md5(b"content"), b"content")
        s3.push(md5(b"list") + ".dir", b"list")
        with pytest.raises(RemoteError, match=r"object .* is not pushed .*BadDigest.*The bytes changed on the way"):
            s3.push(md5(b"content"), b"contenT")
        http.shutdown()


def test_missing_credentials_are_named(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in CREDENTIALS:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    other = S3("s3://bucket", server.endpoint.replace("127.0.0.1", "localhost"))  # whose client is not made yet
    with pytest.raises(RemoteError, match="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        other.has(md5(b"content"))


def test_without_boto3_a_put_succeeds_and_the_warning_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "botocore.exceptions", None)
    store = Store(tmp_path / "store", S3("s3://without-boto3"))
    store.put(b"content")
    (said,) = warnings(caplog)
    assert "boto3 is not installed. Install it: `pip install boto3`" in said
    assert store.behind() == 1


def test_an_endpoint_that_is_no_address_is_refused_with_how_to_write_it() -> None:
    with pytest.raises(RemoteError, match=r"Invalid endpoint: somewhere.*Write the endpoint as http://host:port"):
        S3("s3://bucket", "somewhere").has(md5(b"content"))


@pytest.mark.parametrize("url", ["bucket/prefix", "https://bucket", "s3://", "s3:///prefix", ""])
def test_what_is_no_s3_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"is no S3 address: write s3://bucket/prefix"):
        S3(url)


def test_an_unreachable_remote_and_a_damaged_object_are_told_together(unsteady: Server, tmp_path: Path) -> None:
    store = Store(tmp_path / "store", S3("s3://bucket", unsteady.endpoint))
    oid = store.put(b"content")
    spoil(store.path(oid), b"contenT")
    with pytest.raises(
        DamagedError, match=rf"object {oid} is damaged: .*The remote does not help either: .* is not pulled"
    ):
        store.get(oid)


# --------------------------------------------------------------------------------------------------- a home in S3

MLOPS = ("-c", "from mlops_assets.cli import main; main()")
LOAD = "import mlflow, sys; print(len(mlflow.pyfunc.load_model('models:/churn@champion').metadata.signature.inputs))"
Python = Callable[..., subprocess.CompletedProcess[str]]


def keys(endpoint: str, prefix: str) -> set[str]:
    """Names of what lies in the bucket below `prefix`."""
    pages = connected(endpoint).get_paginator("list_objects_v2").paginate(Bucket="bucket", Prefix=prefix)
    return {entry["Key"].removeprefix(prefix) for page in pages for entry in page.get("Contents", ())}


def test_a_home_in_s3_has_its_versions_and_its_registered_model_there(
    server: Server, copied_home: Home, python: Python
) -> None:
    shutil.rmtree(copied_home.mlflow)  # artifacts lie in S3 from the first run of a home on
    place = {"MLOPS_S3": "s3://bucket/home", "AWS_ENDPOINT_URL": server.endpoint}

    trained = python(copied_home, *MLOPS, "retrain", "--as-of", "2024-05", **place)
    pushed = python(copied_home, *MLOPS, "store", "push", **place)
    database = f"sqlite:///{copied_home.mlflow / 'mlflow.db'}"
    served = {"MLFLOW_TRACKING_URI": database, "MLFLOW_S3_ENDPOINT_URL": server.endpoint}
    loaded = python(copied_home, "-c", LOAD, **served)

    assert trained.returncode == 0, trained.stderr
    assert pushed.returncode == 0, pushed.stderr
    here = {f"files/md5/{oid[:2]}/{oid[2:]}" for oid in Store(copied_home.store).objects()}
    assert keys(server.endpoint, "home/store/") == here
    assert any(key.endswith(".cbm") for key in keys(server.endpoint, "home/mlflow/"))
    assert not list((copied_home.mlflow / "artifacts").rglob("*.cbm"))
    assert int(loaded.stdout) > 0, loaded.stderr


def test_a_run_keeps_what_it_made_while_the_server_is_down_says_so_and_catches_up(
    unsteady: Server, copied_home: Home, python: Python
) -> None:
    place = {"MLOPS_S3": "s3://bucket/late", "AWS_ENDPOINT_URL": unsteady.endpoint}
    assert python(copied_home, *MLOPS, "deal").returncode == 0

    scored = python(copied_home, *MLOPS, "score", "2024-07", **place)
    waiting = Store(copied_home.store, S3("s3://bucket/late/store", unsteady.endpoint)).behind()
    unsteady.start()
    pushed = python(copied_home, *MLOPS, "store", "push", **place)

    assert scored.returncode == 0, scored.stderr
    assert "is not pushed (bucket bucket at http://127.0.0.1" in scored.stderr
    assert waiting > 0
    assert pushed.returncode == 0, pushed.stderr
    assert {key.removeprefix("files/md5/").replace("/", "") for key in keys(unsteady.endpoint, "late/store/")} == set(
        Store(copied_home.store).objects()
    )
