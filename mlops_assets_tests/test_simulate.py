"""A simulation plays in a home of its own, goes on where it stopped, and tells what happened month by month."""

import itertools
import json
import subprocess
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from mlops_assets import deliveries, timeline
from mlops_assets.chronicle import MonthTold, Trained
from mlops_assets.home import Home
from mlops_assets.landing import Inbox
from mlops_assets.recovery import InUseError, occupied, occupy
from mlops_assets.simulate import OtherHomeError, Plan, future_of, plan_of, save
from mlops_assets.storage import SIMULATED, Layers

MLOPS = "from mlops_assets.cli import main; main()"
QUIET = Plan("quiet", at=1, seed=7, rows=None)
PANEL = replace(QUIET, rows=60, leaving=0.26)
VERDICTS = {"PASS", "FAIL", "UNKNOWN", None}
Mlops = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def mlops(python: Mlops) -> Mlops:
    """Calls the command in a process of its own that works in a home."""
    return lambda home, *arguments: python(home, "-W", "ignore", "-c", MLOPS, *map(str, arguments))


@pytest.fixture(scope="module")
def four(
    tmp_path_factory: pytest.TempPathFactory, copy_sampled: Callable[[Path], Home], python: Mlops
) -> tuple[Home, list[dict[str, Any]]]:
    """A home in which four quiet months were played at once, and what was told of them. To be read only."""
    home = copy_sampled(tmp_path_factory.mktemp("four") / "home")
    done = python(home, "-W", "ignore", "-c", MLOPS, "simulate", "--months", "4", "--json")
    assert done.returncode == 0, done.stderr
    return home, json.loads(done.stdout)["months"]


def told(count: int) -> tuple[dict[str, Any], ...]:
    """What was told of so many months."""
    months = [asdict(MonthTold(f"2024-{number + 7:02}")) for number in range(count)]
    return tuple(json.loads(json.dumps(months)))


def kept(home: Path, plan: Plan) -> Path:
    """The home, with a simulation in it."""
    home.mkdir(exist_ok=True)
    save(home, plan)
    return home


def test_a_simulation_in_an_empty_home_begins_with_the_first_month(tmp_path: Path) -> None:
    assert plan_of(tmp_path, QUIET, months=3) == replace(QUIET, began=0, until=3)


def test_a_home_with_nothing_but_the_sample_is_as_good_as_an_empty_one(tmp_path: Path) -> None:
    for batch, files in deliveries.sample_files().items():
        Inbox(tmp_path / "landing", 2**20).put(batch, files)
    assert plan_of(tmp_path, QUIET, months=3) == replace(QUIET, began=0, until=3)


@pytest.mark.parametrize("batch", ["2024-03", "2024-07"])
def test_a_home_in_which_something_else_landed_is_refused(tmp_path: Path, batch: str) -> None:
    Inbox(tmp_path / "landing", 2**20).put(batch, {"customers": b"customer_id\nmine\n"})
    with pytest.raises(OtherHomeError, match=r"is the home of something else.*Set MLOPS_HOME"):
        plan_of(tmp_path, QUIET, months=3)


def test_a_home_in_which_another_month_was_made_is_refused_though_its_file_is_gone(tmp_path: Path) -> None:
    table = Layers(tmp_path).path("raw_customers", "2024-07")
    table.parent.mkdir(parents=True)
    table.touch()
    with pytest.raises(OtherHomeError, match="is the home of something else"):
        plan_of(tmp_path, QUIET, months=3)


@pytest.mark.parametrize(
    "other", [{"scenario": "cable_rival"}, {"at": 2}, {"seed": 8}, {"rows": 600}, {"leaving": 0.03}]
)
def test_another_simulations_home_is_refused_and_its_own_is_named(tmp_path: Path, other: dict[str, Any]) -> None:
    home = kept(tmp_path, replace(QUIET, until=2, told=told(2)))
    with pytest.raises(
        OtherHomeError, match="has a simulation of quiet@1 with seed 7 and rows None, of fresh customers"
    ):
        plan_of(home, replace(QUIET, **other), months=2)


@pytest.mark.parametrize("other", [None, 0.01])
def test_a_panels_home_is_refused_to_fresh_customers_and_to_a_panel_of_which_others_leave(
    tmp_path: Path, other: float | None
) -> None:
    home = kept(tmp_path, replace(QUIET, leaving=0.03, until=2, told=told(2)))
    with pytest.raises(
        OtherHomeError, match=r"rows None, of a panel of which 0\.03 leave a month; it goes on with these"
    ):
        plan_of(home, replace(QUIET, leaving=other), months=2)


def test_a_plan_that_was_written_before_there_were_panels_has_fresh_customers(tmp_path: Path) -> None:
    home = kept(tmp_path, replace(QUIET, until=2, told=told(2)))
    written = json.loads((home / SIMULATED).read_bytes())
    del written["leaving"]
    (home / SIMULATED).write_text(json.dumps(written))
    assert plan_of(home, QUIET, months=1) == replace(QUIET, began=2, until=3, told=told(2))


def test_a_panel_does_not_begin_where_the_shipped_sample_landed(tmp_path: Path) -> None:
    batch, files = next(iter(deliveries.sample_files().items()))
    Inbox(tmp_path / "landing", 2**20).put(batch, files)
    with pytest.raises(OtherHomeError, match="is the home of something else"):
        plan_of(tmp_path, PANEL, months=3)


def test_a_simulation_goes_on_after_its_last_month(tmp_path: Path) -> None:
    home = kept(tmp_path, replace(QUIET, until=2, told=told(2)))
    assert plan_of(home, QUIET, months=3) == replace(QUIET, began=2, until=5, told=told(2))


def test_the_same_call_finishes_a_simulation_that_was_cut_off(tmp_path: Path) -> None:
    cut_off = replace(QUIET, began=1, until=4, told=told(3), marks={"batch": 3})
    assert plan_of(kept(tmp_path, cut_off), QUIET, months=3) == cut_off


@pytest.mark.parametrize("months", range(1, 6))
def test_after_a_cut_just_as_many_months_are_told_as_are_asked_for(tmp_path: Path, months: int) -> None:
    plan = plan_of(kept(tmp_path, replace(QUIET, began=1, until=4, told=told(3))), QUIET, months=months)
    assert plan.until - plan.began == months
    assert plan.until >= len(plan.told)


def test_each_month_tells_what_machines_are_promised(four: tuple[Home, list[dict[str, Any]]]) -> None:
    months = four[1]
    assert [month["batch"] for month in months] == ["2024-07", "2024-08", "2024-09", "2024-10"]
    for month in months:
        assert {month["drift"], month["outcomes"]} <= VERDICTS
        assert isinstance(month["trained"], list)
        assert month["promoted"] is None or isinstance(month["promoted"], int)
        assert isinstance(month["champion"], int)
    assert [month["outcomes_of"] for month in months] == ["2024-06", "2024-07", "2024-08", "2024-09"]


def test_two_months_and_two_more_are_as_four_at_once(
    four: tuple[Home, list[dict[str, Any]]], mlops: Mlops, copy_sampled: Callable[[Path], Home], tmp_path: Path
) -> None:
    home = copy_sampled(tmp_path / "home")
    calls = [mlops(home, "simulate", "--months", 2, "--json") for _ in range(2)]
    assert [call.returncode for call in calls] == [0, 0], calls[0].stderr + calls[1].stderr
    parts = [json.loads(call.stdout)["months"] for call in calls]
    assert list(map(len, parts)) == [2, 2]
    assert parts[0] + parts[1] == four[1]


def test_a_panel_has_sample_months_of_its_own_whose_customers_come_back(mlops: Mlops, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    arguments = ["simulate", "--world", "panel", "--leaving", PANEL.leaving, "--rows", PANEL.rows, "--json"]
    calls = [mlops(home, *arguments, "--months", 1) for _ in range(2)]
    assert [call.returncode for call in calls] == [0, 0], calls[0].stderr + calls[1].stderr
    documents = [json.loads(call.stdout) for call in calls]
    assert [(document["world"], document["leaving"]) for document in documents] == [("panel", PANEL.leaving)] * 2
    assert [document["months"][0]["batch"] for document in documents] == ["2024-07", "2024-08"]

    inbox = Inbox(home.landing, 2**20)
    future = future_of(PANEL, dealt=0)
    months = list(itertools.islice(future(first=-6), 8))
    for month in months:
        assert inbox.read("customers", month.batch) == deliveries.csv_bytes(month.customers)
    for month in months[:-1]:
        assert inbox.read("outcomes", month.batch) == deliveries.csv_bytes(month.outcomes)
    assert months[-1].batch not in inbox.batches("outcomes")
    ids = [set(month.customers.customer_id) for month in months]
    assert all(len(now & then) > len(now) / 2 for now, then in itertools.pairwise(ids))


def test_the_month_after_the_at_is_counted_from_the_sample_on(
    mlops: Mlops, copy_sampled: Callable[[Path], Home], tmp_path: Path
) -> None:
    home = copy_sampled(tmp_path / "home")
    done = mlops(home, "simulate", "--months", 2, "--scenario", "cents_for_dollars@2")
    assert done.returncode == 0, done.stderr
    head, *lines = done.stdout.splitlines()
    assert head.split() == ["month", "drift", "outcomes", "trained", "promoted", "champion"]
    months = {line[:7]: line.split()[1] for line in lines if line.startswith("20")}
    assert months == {"2024-07": "PASS", "2024-08": "FAIL"}
    assert "[ 1/2] 2024-07" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--scenario", "rival"], "scenario 'rival' is unknown, there are quiet, price_rise"),
        (["--scenario", "quiet@0"], "'0' is no month. Write a whole number from 1 on after the @"),
        (["--scenario", "quiet@soon"], "'soon' is no month"),
        (["--months", "0"], "0 is not in the range 1<=x<=600"),
        (["--rows", "3"], "3 is not in the range 50<=x<=100000"),
        (["--seed", "-1"], "-1 is not in the range"),
        (["--world", "real"], "'real' is not one of 'fresh', 'panel'"),
        (["--world", "panel", "--leaving", "0.7"], "0.7 is not in the range 0.005<=x<=0.6"),
        (["--leaving", "0.03"], "fresh customers leave as published. Add --world panel"),
    ],
)
def test_a_wrong_call_is_refused_with_what_would_be_right(
    mlops: Mlops, tmp_path: Path, arguments: list[str], why: str
) -> None:
    done = mlops(Home(tmp_path / "home"), "simulate", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr
    assert not (tmp_path / "home" / SIMULATED).exists()


@pytest.mark.parametrize("command", ["simulate", "demo", "up"])
def test_a_second_loop_in_the_same_home_is_refused(mlops: Mlops, tmp_path: Path, command: str) -> None:
    home = Home(tmp_path / "home")
    with occupied(home):
        done = mlops(home, command)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"refused: another process runs the loop of {home.root}. Stop it first" in done.stderr


def test_the_lock_on_a_loop_goes_with_whoever_held_it(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with occupied(home), pytest.raises(InUseError):
        occupy(home)
    with occupied(home):
        pass


def test_a_home_of_something_else_is_left_as_it_is(mlops: Mlops, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    mine = b"customer_id\nmine\n"
    Inbox(home.landing, 2**20).put("2024-07", {"customers": mine})
    done = mlops(home, "simulate")
    assert (done.returncode, done.stdout) == (2, "")
    assert "is the home of something else" in done.stderr
    assert {path.name: path.read_bytes() for path in home.landing.rglob("*.csv")} == {"2024-07.csv": mine}


def test_the_timeline_says_why_a_model_was_trained_and_what_came_of_it() -> None:
    trained = Trained(("drift:2024-08:ab12", "corrections:cd34"), "PASS", "better by 12 %", 3)
    month = MonthTold(
        "2024-08",
        drift="FAIL",
        drift_why="monthly_charges down 20 %",
        trained=trained.causes,
        trainings=(trained,),
        promoted=3,
        champion=3,
        alerts=("New champion: version 3",),
    )
    text = timeline.text([json.loads(json.dumps(asdict(month)))])
    head, line, *why = text.splitlines()
    assert line.split() == ["2024-08", "FAIL", "-", "PASS", "version", "3", "3"]
    assert line.index("FAIL") == head.index("drift")
    assert [part.strip() for part in why] == [
        "drift: monthly_charges down 20 %",
        "trained for drift of 2024-08, corrected months",
        "PASS: better by 12 %",
        "told: New champion: version 3",
    ]
