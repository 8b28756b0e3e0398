"""The loop, sensors and all, runs on a real Postgres server, and what Dagster knows lies there and nowhere else.

The server is the one of the system's package, started by an unprivileged user on a free port of this machine. Where
the package is missing, these tests are skipped, and fail in CI.
"""

import json
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.champions import read_champion
from mlops_assets.home import Home, settings_for
from mlops_assets.storage import Layers

PATIENCE = 60  # seconds
DRIVER = "postgresql+psycopg2://"


def programs() -> Path:
    """The folder of `initdb` and `pg_ctl`; skips where there is none, and fails in CI. Debian keeps it off the PATH."""
    found = shutil.which("initdb") or max(Path("/usr/lib/postgresql").glob("*/bin/initdb"), default=None)
    if found is None:
        reason = "there is no initdb: install the system's package postgresql, as .ci/run does"
        (pytest.fail if os.environ.get("MLOPS_CI") else pytest.skip)(reason)
    return Path(found).parent


def unprivileged() -> dict[str, Any]:
    """Whom a subprocess runs as: the server refuses root."""
    if os.geteuid() != 0:
        return {}
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    user = known.get("postgres") or known["nobody"]
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def call(folder: Path, *command: str | Path) -> None:
    """Run one of the server's commands; fails with what it said."""
    # The server outlives pg_ctl and would keep a pipe open, hence a file.
    with (folder / "said").open("w+") as said:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE,
            check=False,
            **unprivileged(),
        )
        said.seek(0)
        logs = [path.read_text(errors="replace") for path in folder.glob("log")]
        assert done.returncode == 0, "\n".join([f"{command[0]}:", said.read(), *logs])


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def server(bin_folder: Path) -> Iterator[dict[str, str]]:
    """A server with one user and a password; gives libpq's variables that lead to it."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # short: a socket's path is limited, and pytest's folders are closed
    password, port = secrets.token_urlsafe(), free_port()
    (folder / "password").write_text(password)
    who = unprivileged()
    for path in (folder, folder / "password") if who else ():
        os.chown(path, who["user"], who["group"])
    data, log = folder / "data", folder / "log"
    secure = ("-U", "churn", "-A", "scram-sha-256", "--pwfile", folder / "password")
    try:
        call(folder, bin_folder / "initdb", "-D", data, *secure, "-E", "UTF8", "--locale=C", "--no-sync")
        options = f"-F -h 127.0.0.1 -p {port} -k {folder}"
        call(folder, bin_folder / "pg_ctl", "-D", data, "-l", log, "-w", "-o", options, "start")
        try:
            yield {
                "PGHOST": "127.0.0.1",
                "PGPORT": str(port),
                "PGUSER": "churn",
                "PGPASSWORD": password,
                "PGDATABASE": "postgres",
            }
        finally:
            call(folder, bin_folder / "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def ask(query: str) -> list[list[Any]]:
    """Rows that the server in the environment answers with."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(DRIVER)
    with engine.connect() as connection:
        return [list(row) for row in connection.execute(sqlalchemy.text(query))]


LOOP = """
from mlops_assets import operate
from mlops_assets.home import home_from_environment
from mlops_assets.resources import params_from_environment
from mlops_assets.simulate import Plan, simulate

with operate.system(home_from_environment(), params_from_environment()) as running:
    simulate(running, Plan("quiet", 1, 7, None), months=0, tell=lambda _: None)  # the six sample months
"""
INBOX = "from mlops_assets.cli import main; main(['inbox'])"


@dataclass(frozen=True)
class Found:
    """What the loop left behind: in the home's layers, in the server, and in DAGSTER_HOME."""

    champion: str | None
    runs: list[list[Any]]
    ticks: list[list[Any]]
    in_dagster_home: list[str]


def run_the_loop(home: Home, python: Callable[..., subprocess.CompletedProcess[str]]) -> Found:
    """Let the sensors work off the sample months, with the settings of production, on the server of the environment."""
    home.dagster.mkdir(parents=True)
    # Copied and not linked: the environment `production` itself refuses models of an uncommitted tree.
    shutil.copy(settings_for("production"), home.dagster / "dagster.yaml")
    done = python(home, "-W", "ignore", "-c", LOOP)
    assert done.returncode == 0, done.stderr
    champion = read_champion(Layers(home.layers))
    return Found(
        champion.model_md5 if champion else None,
        ask(
            "select pipeline_name, status, count(distinct run_id), count(*) from runs join event_logs using (run_id) "
            "group by 1, 2"
        ),
        ask("select status, count(distinct selector_id) from job_ticks group by 1"),
        sorted(str(path.relative_to(home.dagster)) for path in home.dagster.rglob("*.db*")),
    )


@pytest.fixture(scope="session")
def found(
    shared: Path,
    once: Callable[[Path], AbstractContextManager[bool]],
    python: Callable[..., subprocess.CompletedProcess[str]],
) -> Found:
    """What the loop left, run once for all workers."""
    bin_folder = programs()
    folder = shared / "postgres"
    with once(folder) as to_do:
        if to_do:
            with server(bin_folder) as variables, pytest.MonkeyPatch.context() as environment:
                for name, value in variables.items():
                    environment.setenv(name, value)
                result = run_the_loop(Home(folder / "home"), python)
            (folder / "found.json").write_text(json.dumps(vars(result)))
    return Found(**json.loads((folder / "found.json").read_text()))


def test_the_loop_makes_the_champion_on_postgres_that_the_demonstration_makes_on_sqlite(
    found: Found, layers: Layers
) -> None:
    champion = read_champion(layers)
    assert champion is not None
    assert found.champion == champion.model_md5


def test_every_run_of_it_lies_in_postgres_with_its_events(found: Found) -> None:
    assert {job: (status, runs) for job, status, runs, _ in found.runs} == {
        "score": ("SUCCESS", 6),
        "learn": ("SUCCESS", 5),
        "retrain": ("SUCCESS", 1),
        "rescore": ("SUCCESS", 1),
    }
    assert all(events > runs for _, _, runs, events in found.runs)


def test_so_do_the_ticks_of_its_sensors_and_none_failed(found: Found) -> None:
    assert {status for status, _ in found.ticks} == {"SUCCESS", "SKIPPED"}
    assert max(sensors for _, sensors in found.ticks) >= 4


def test_nothing_of_it_lies_in_sqlite_files(found: Found) -> None:
    assert found.in_dagster_home == []


def test_a_server_that_does_not_answer_is_named_with_what_to_look_at(
    tmp_path: Path, python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    home = Home(tmp_path / "home")
    home.dagster.mkdir(parents=True)
    shutil.copy(settings_for("production"), home.dagster / "dagster.yaml")
    done = python(home, "-c", INBOX, PGHOST="127.0.0.1", PGPORT=str(free_port()))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Connection refused" in done.stderr
    assert "PGHOST" in done.stderr
