"""Every alarm, set off by a real fault and heard in the ledger; and none of them rings without it."""

import io
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from mlops_assets import alerts, deliveries, operate, sensors
from mlops_assets.alerts import Told
from mlops_assets.cli import main
from mlops_assets.gates.alarms import Kind
from mlops_assets.history import Judged
from mlops_assets.home import Home
from mlops_assets.operate import System
from mlops_assets.params import Params
from mlops_assets.storage import SIMULATED, Layers

NEXT = "2024-07"
CALM = {Kind.DECISION}
Change = Callable[[pd.DataFrame], pd.DataFrame]


def with_knobs(running: System, section: str, **knobs: object) -> System:
    """The system with other parameters."""
    part = getattr(running.params, section).model_copy(update=knobs)
    params = running.params.model_copy(update={section: part})
    return replace(running, params=params, resources={**running.resources, "params": params})


def listen(running: System) -> list[Told]:
    """Evaluate the alert sensor; what it told by the log now."""
    ledger = alerts.Ledger(running.home.history)
    before = len(ledger.read())
    with dg.build_sensor_context(instance=running.instance) as context:
        sensors.alert(context, **{name: running.resources[name] for name in sensors.alert.required_resource_keys})
    return ledger.read()[before:]


def status(running: System) -> Result:
    """What `mlops status` says in the home."""
    return CliRunner().invoke(main, ["status"], env={"MLOPS_HOME": str(running.home.root)})


def land(running: System, batch: str, change: Change) -> None:
    """Land the quiet month with something done to its table, as customers of `batch`."""
    table = change(pd.read_csv(io.BytesIO(running.inbox.read("customers", NEXT))))
    running.inbox.put(batch, {"customers": deliveries.csv_bytes(table)})


def score(running: System, batch: str = NEXT, change: Change = lambda table: table) -> None:
    """Land a month so and score it."""
    land(running, batch, change)
    assert running.run("score", batch).is_success


@pytest.fixture(scope="module")
def quiet_home(copy_home: Callable[[Path], Home], tmp_path_factory: pytest.TempPathFactory, params: Params) -> Home:
    """A home a quiet month after the demonstration, of which everything was told. To be read only."""
    home = copy_home(tmp_path_factory.mktemp("quiet") / "home")
    (home.root / SIMULATED).touch()  # nobody opens a page of it
    with operate.system(home, params) as running:
        assert running.deal(months=1) == [NEXT]
        assert running.run("learn", "2024-06").is_success
        assert running.run("score", NEXT).is_success
        assert {Kind(line.kind) for line in listen(running)} == CALM
    return home


@pytest.fixture
def running(quiet_home: Home, tmp_path: Path, params: Params) -> Iterator[System]:
    """A copy of the quiet home for one test to change."""
    home = Home(tmp_path / "home")
    shutil.copytree(quiet_home.root, home.root, symlinks=True)
    with operate.system(home, params) as opened:
        yield opened


# -------------------------------------------------------------------------------------------------------------- faults


def broken_file(running: System) -> None:
    """A file that is no table lands, and its run fails."""
    running.inbox.put("2024-08", {"customers": b"\xff\xfe\x00 no table"})
    assert not running.run("score", "2024-08").is_success


def few_customers(running: System) -> None:
    """A month of 60 customers: too few for the drift gate."""
    score(running, change=lambda table: table.head(60))


def cents(running: System) -> None:
    """Charges come in cents."""
    score(running, change=lambda table: table.assign(monthly_charges=table.monthly_charges * 100))


def bad_rows(running: System) -> None:
    """17 of 391 rows break their contract: 4.3 % where 5 % are allowed."""

    def break_some(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(monthly_charges=table.monthly_charges.mask(table.index < len(table) * 0.043, -1.0))

    score(running, change=break_some)


def a_month_left_out(running: System) -> None:
    """August never lands, September does."""
    score(running, "2024-09")


def outcomes_left_out(running: System) -> None:
    """Two more months are scored, and July's outcomes never came."""
    score(running, "2024-08")
    score(running, "2024-09")


def challengers_without_gain(running: System) -> None:
    """Three challengers in a row proved nothing."""
    champion = Layers(running.home.layers).read("champion").model_md5.iloc[0]
    for number in range(3):
        told = Judged("FAIL", None, "no gain", {"champion": champion}, f"verdict {number}", f"run {number}", batch=NEXT)
        running.resources["history"].add(told)


@dataclass(frozen=True)
class Drill:
    """A fault, and what must be heard of it: kind, title, a part of body or next step; whether a person must act."""

    fault: Callable[[System], None]
    kind: Kind
    title: str
    told: str
    needs: bool = True


DRILLS = [
    Drill(broken_file, Kind.RUN, "score of 2024-08 failed", "Land the file of 2024-08 anew"),
    Drill(few_customers, Kind.GATE, f"drift of {NEXT} cannot tell", "60", needs=False),
    Drill(cents, Kind.PIPE, f"{NEXT} came through a broken pipe", "monthly_charges"),
    Drill(
        bad_rows, Kind.QUARANTINE, f"quarantined_customers of {NEXT}: quarantine near its limit", "the limit is 5.0%"
    ),
    Drill(a_month_left_out, Kind.OVERDUE, "customers overdue: 2024-08", "mlops land FILE --batch 2024-08"),
    Drill(outcomes_left_out, Kind.OVERDUE, f"outcomes overdue: {NEXT}", f"mlops land FILE --batch {NEXT}"),
    Drill(challengers_without_gain, Kind.CALL, "The retraining stopped itself", "mlops reset --reason"),
]


@pytest.mark.parametrize("drill", DRILLS, ids=lambda drill: drill.fault.__name__)
def test_a_fault_is_heard_once_and_status_says_who_is_needed(drill: Drill, running: System) -> None:
    drill.fault(running)
    heard = [line for line in listen(running) if line.kind == drill.kind]
    assert [line.title for line in heard] == [drill.title]
    assert drill.told in f"{heard[0].body} {heard[0].next_step}"
    assert listen(running) == []
    said = status(running)
    assert said.exit_code == int(drill.needs)
    assert (f"NEEDS YOU  {drill.title}" in said.stdout) == drill.needs


def test_nothing_rings_where_nothing_happened(running: System) -> None:
    assert listen(running) == []
    said = status(running)
    assert (said.exit_code, said.stdout.splitlines()[-1]) == (0, "needs      nobody")


@pytest.mark.parametrize(("fault", "batch"), [(broken_file, "2024-08"), (cents, NEXT)], ids=["broken_file", "cents"])
def test_what_was_mended_needs_nobody_any_more(fault: Callable[[System], None], batch: str, running: System) -> None:
    good = running.inbox.read("customers", NEXT)
    fault(running)
    assert status(running).exit_code == 1
    running.inbox.put(batch, {"customers": good})
    assert running.run("score", batch).is_success
    assert status(running).exit_code == 0


def test_a_snapshot_that_the_calendar_expects_is_overdue_but_never_in_a_simulation(running: System) -> None:
    strict = with_knobs(running, "loop", snapshot_due_day=1)
    assert listen(strict) == []
    (running.home.root / SIMULATED).unlink()
    (heard,) = listen(strict)
    assert heard.title.startswith("customers overdue: 2024-08, 2024-09, 2024-10 and ")


def test_a_channel_that_fails_is_tried_again_and_status_says_so(
    running: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_ALERT_URLS", "json://127.0.0.1:1/nobody-listens")
    few_customers(running)
    assert {line.fault is not None for line in listen(running)} == {True}
    said = status(running)
    assert said.exit_code == 1
    assert "messages could not be delivered" in said.stdout
    monkeypatch.delenv("MLOPS_ALERT_URLS")
    assert f"drift of {NEXT} cannot tell" in {line.title for line in listen(running)}


def test_a_pass_that_waits_is_reminded_of_with_each_month_until_it_is_signed(running: System) -> None:
    manual = with_knobs(running, "promotion", approval="manual")
    shutil.rmtree(Layers(running.home.layers).path("champion").parent)
    assert manual.run("retrain").is_success
    (first,) = [line for line in listen(manual) if line.kind == Kind.APPROVAL]
    number = first.title.split()[1]
    assert f"mlops promote {number} --reason" in first.next_step
    assert [line for line in listen(manual) if line.kind == Kind.APPROVAL] == []
    assert not Layers(running.home.layers).exists("champion")
    score(manual, "2024-08")
    (again,) = [line for line in listen(manual) if line.kind == Kind.APPROVAL]
    assert (again.title, again.cause != first.cause) == (f"Version {number} waits for approval, batch 2024-08", True)
    facts = {"version": int(number), "action": "promote", "actor": "ada", "reason": "seen"}
    assert manual.run("promote", config={"ops": {"champion": {"config": facts}}}).is_success
    assert [line for line in listen(manual) if line.kind == Kind.APPROVAL] == []


# ----------------------------------------------------------------------------------------------- the daemon's own ticks

TICKS = """
import sys
from mlops_assets.daemon import daemon
from mlops_assets.home import home_from_environment
with daemon(home_from_environment()) as loop:
    for _ in range(int(sys.argv[1])):
        loop.tick()
"""


def test_a_sensor_whose_ticks_fail_is_heard_by_the_daemons_own_rounds(
    quiet_home: Home, tmp_path: Path, python: Callable[..., Any]
) -> None:
    home = Home(tmp_path / "home")
    shutil.copytree(quiet_home.root, home.root, symlinks=True)
    table = Layers(home.layers).path("drift_report", NEXT)
    content = table.read_bytes()
    table.write_bytes(b"no table")
    done = python(home, "-W", "ignore", "-c", TICKS, "5")
    assert done.returncode == 0, done.stderr
    heard = [line.title for line in alerts.Ledger(home.history).read()]
    # The daemon shuffles its sensors, so the alarm may look after the third failing tick or after the fourth.
    assert len([title for title in heard if title.startswith("Sensor retrain fails: ")]) == 1
    assert heard.count("Nobody watches the loop") == 1
    table.write_bytes(content)
    done = python(home, "-W", "ignore", "-c", TICKS, "1")
    assert done.returncode == 0, done.stderr
    assert CliRunner().invoke(main, ["status"], env={"MLOPS_HOME": str(home.root)}).exit_code == 0
