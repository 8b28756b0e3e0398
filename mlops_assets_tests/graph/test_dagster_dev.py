"""`dagster dev`, as `make ui` starts it, serves the whole graph, and stops when it is asked to."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.home import Home
from mlops_assets.tables import TABLES

PROJECT = Path(__file__).resolve().parents[2]
PATIENCE, STOP_WITHIN = 120, 60  # seconds

OWNERS = "owners { ... on TeamAssetOwner { team } }"
GRAPH = f"{{ assetNodes {{ assetKey {{ path }} groupName description isPartitioned {OWNERS} }} }}"
JOBS = "{ repositoriesOrError { ... on RepositoryConnection { nodes { jobs { name } } } } }"


@dataclass(frozen=True)
class Served:
    """What a `dagster dev` answered, how it ended when interrupted, and what it left running."""

    assets: list[dict[str, Any]]
    jobs: set[str]
    seconds_to_stop: float
    left_running: list[str]


def ask(port: int, query: str) -> Any:  # noqa: ANN401 - JSON
    """The answer to a GraphQL query."""
    body, kind = json.dumps({"query": query}).encode(), {"Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/graphql", body, kind)
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - http to this machine
        return json.load(response)["data"]


def wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait until the graph is served."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            if ask(port, GRAPH)["assetNodes"]:
                return
        except OSError:  # nobody listens yet
            time.sleep(0.3)
    pytest.fail(f"no answer within {PATIENCE} s: {log.read_text()}")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def members(session: int) -> list[str]:
    """Command lines of the processes of a session that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                found.append((stat.parent / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # it ended meanwhile
    return found


def interrupt(process: subprocess.Popen[bytes]) -> float:
    """Seconds until nothing of the session runs any more; at most STOP_WITHIN."""
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.wait(STOP_WITHIN)
    while members(process.pid) and time.monotonic() < began + STOP_WITHIN:
        time.sleep(0.2)
    return time.monotonic() - began


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, environment: Callable[..., dict[str, str]]) -> Served:
    """`dagster dev` in a home and a session of its own: started, asked, interrupted."""
    folder = tmp_path_factory.mktemp("dev")
    port, log = free_port(), folder / "log"
    # A shell that starts tests in the background has them ignore SIGINT, and children inherit that.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    start = f"{heed}; from dagster.__main__ import main; main()"
    command = [sys.executable, "-c", start, "dev", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(port)]
    env = environment(Home(folder / "home"))
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env=env, cwd=PROJECT, start_new_session=True
        )
    try:
        wait_for(process, port, log)
        assets = ask(port, GRAPH)["assetNodes"]
        (repository,) = ask(port, JOBS)["repositoriesOrError"]["nodes"]
        seconds = interrupt(process)
        return Served(assets, {job["name"] for job in repository["jobs"]}, seconds, members(process.pid))
    finally:
        if members(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(STOP_WITHIN)


def test_every_asset_is_served_in_the_group_of_its_layer(served: Served) -> None:
    found = {node["assetKey"]["path"][-1]: (node["groupName"], node["isPartitioned"]) for node in served.assets}
    assert found == {name: (table.layer, table.is_by_batch) for name, table in TABLES.items()}


def test_every_asset_is_served_with_a_description_and_its_owner(served: Served) -> None:
    assert all(node["description"] and node["owners"] == [{"team": "churn"}] for node in served.assets)


def test_every_job_is_served(served: Served) -> None:
    assert {"score", "learn", "retrain", "rescore"} <= served.jobs


def test_an_interrupt_stops_it_and_leaves_nothing_running(served: Served) -> None:
    assert served.left_running == []
    assert served.seconds_to_stop < STOP_WITHIN
