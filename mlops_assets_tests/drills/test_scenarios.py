"""Every kind of scenario through the whole loop, as short as will do: sensors, jobs, gates, promotion and alerts.

What the system should do stands in the catalogue; how often it does so, over many seeds, is `benchmarks/decisions.py`.
"""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mlops_assets import deliveries, loop, operate
from mlops_assets.churn import scenarios
from mlops_assets.churn.scenarios import SCENARIOS
from mlops_assets.gates import findings
from mlops_assets.gates.attempts import open_causes
from mlops_assets.history import Accepted, Registered
from mlops_assets.home import PROJECT, Home, history_of
from mlops_assets.params import Params
from mlops_assets.storage import Layers

pytestmark = pytest.mark.slow

Played = Any  # `Simulated` of the drills' conftest
Simulate = Callable[..., Played]
End = Callable[..., Any]

MONTHS = 4  # of those that end like quiet ones
NEWS = ("promotion of", "New champion", "The champion stays", "Change since")  # what became of a training


@pytest.fixture(scope="module")
def quiet(simulated: Simulate) -> Played:
    """Quiet months. To be read only."""
    return simulated("quiet", months=MONTHS)


@pytest.fixture(scope="module")
def rival(simulated: Simulate) -> Played:
    """A rival's offer from the first month on. To be read only."""
    return simulated("cable_rival@1", months=5)


def calls(played: Played) -> list[str]:
    """What a person was told that asks something of them."""
    return [title for title in played.alerts if not title.startswith(NEWS)]


def did(played: Played) -> dict[str, object]:
    """What the system did, in the catalogue's words."""
    rung = [gate for month in played.months for gate in ("drift", "outcomes") if month[gate] == "FAIL"]
    return {
        "detects": rung[0] if rung else "none",
        "retrains": bool(played.trained),
        "promotes": bool(played.promoted),
        "alerts": bool(calls(played)),
    }


def expected(scenario: str, played: Played) -> dict[str, object]:
    """What the catalogue says that it should do; where it leaves that open, what it did."""
    done, wanted = did(played), SCENARIOS[scenario].expected
    return {name: fact if getattr(wanted, name) is None else getattr(wanted, name) for name, fact in done.items()}


def newest_words(played: Played, asset: str, batches: Sequence[str]) -> list[str]:
    """The last verdict of each batch's report, after any re-scoring."""
    layers = Layers(played.home.layers)
    return [str(findings.verdict_of(layers.read(asset, batch))) for batch in batches]


def test_in_quiet_months_nothing_happens(quiet: Played) -> None:
    assert did(quiet) == expected("quiet", quiet)
    assert quiet.verdicts("drift") == quiet.verdicts("outcomes") == ["PASS"] * MONTHS
    assert quiet.alerts == []


def test_a_rivals_offer_is_seen_learned_and_answered_by_a_new_champion(rival: Played) -> None:
    assert did(rival) == expected("cable_rival", rival)
    assert rival.verdicts("drift")[0] == "FAIL"
    assert rival.months[0]["trained"] == [cause for cause in rival.trained if cause.startswith("drift:2024-07")][:1]


def test_after_the_promotion_the_month_is_judged_again_and_the_next_is_green(rival: Played) -> None:
    crowned = next(number for number, month in enumerate(rival.months) if month["promoted"])
    month, after = rival.months[crowned : crowned + 2]
    assert month["drift"] == "FAIL", "the verdict before the month was scored again"
    assert newest_words(rival, "drift_report", [month["batch"]]) == ["PASS"]
    assert (after["drift"], after["outcomes"], after["trained"]) == ("PASS", "PASS", [])
    assert after["champion"] == month["champion"] == month["promoted"] != rival.months[0]["champion"]


def test_no_cause_is_taken_up_again_once_promotion_has_decided(rival: Played) -> None:
    decided = [month["trainings"][-1]["verdict"] for month in rival.months if month["trainings"]]
    assert decided[-1] == "PASS"
    assert set(decided[:-1]) <= {"UNKNOWN", "FAIL"}
    assert all(len(month["trainings"]) <= 1 for month in rival.months)


@pytest.fixture(scope="module")
def shifted(simulated: Simulate) -> Played:
    """A year in which the mix of customers is another one from the first month on. To be read only."""
    return simulated("mix_shift@1", months=12)


def test_another_mix_of_customers_never_unseats_a_champion_that_is_as_good_as_ever(shifted: Played) -> None:
    assert did(shifted) == expected("mix_shift", shifted)
    verdicts = [training["verdict"] for month in shifted.months for training in month["trainings"]]
    assert verdicts == ["UNKNOWN", "FAIL"], "at once, and when promotion can decide"


def test_a_harmless_change_is_green_after_four_months_and_costs_three_trainings_at_most(shifted: Played) -> None:
    assert shifted.verdicts("drift")[0] == "FAIL"
    fourth = shifted.months[3]["batch"]
    assert newest_words(shifted, "drift_report", [fourth]) == ["PASS"], "the fourth month, once it is judged again"
    assert set(shifted.verdicts("drift")[4:]) == {"PASS"}
    assert set(shifted.verdicts("outcomes")) == {"PASS"}
    assert sum(len(month["trainings"]) for month in shifted.months) <= 3
    assert len(history_of(shifted.home).read(Registered)) <= 2 * (1 + 3)


def test_a_harmless_change_is_accepted_and_told_once(shifted: Played) -> None:
    (record,) = history_of(shifted.home).read(Accepted)
    first = shifted.months[0]["batch"]
    assert record.batch == first
    assert tuple(record.batches) == tuple(month["batch"] for month in shifted.months[:3])
    assert shifted.alerts.count(f"Change since {first} accepted") == 1
    assert not [title for title in shifted.alerts if title.startswith("The champion stays")]
    assert calls(shifted) == []


def test_after_a_harmless_change_the_next_one_is_seen_and_named_by_itself(
    shifted: Played, params: Params, tmp_path: Path
) -> None:
    (month,) = scenarios.play(
        deliveries.source_table(),
        seed=7,
        first=12,
        months=1,
        scenario="mix_shift",
        at=1,
        dealt=params.sample.seed,
    )
    charges = pd.to_numeric(month.customers.monthly_charges)
    is_fiber = month.customers.internet_service.eq("Fiber optic")
    dearer = month.customers.assign(monthly_charges=charges.where(~is_fiber, (charges * 1.2).round(2)).map(str))
    shutil.copytree(shifted.home.root, tmp_path / "next", symlinks=True)
    with operate.system(Home(tmp_path / "next"), params) as running:
        running.inbox.put(month.batch, {"customers": deliveries.csv_bytes(dearer)})
        assert running.run("score", month.batch).is_success
        layers, history = running.resources["layers"], running.resources["history"]
        assert "monthly_charges" in layers.read("drift_report", month.batch).moved.iloc[0]
        causes = open_causes(loop.facts(layers, history, running.instance, params), params.loop.min_months)
    assert [cause.key.split(":")[:2] for cause in causes] == [["drift", month.batch]]


@pytest.mark.parametrize(("fault", "months"), [("cents_for_dollars", 2), ("missing_burst", 1)])
def test_a_broken_pipe_calls_a_person_trains_nothing_and_is_green_when_mended(
    simulated: Simulate, fault: str, months: int
) -> None:
    broken = simulated(f"{fault}@1", months=months + 1)
    assert did(broken) == expected(fault, broken)
    assert broken.verdicts("drift") == ["FAIL"] * months + ["PASS"]
    assert calls(broken) == [f"{month['batch']} came through a broken pipe" for month in broken.months[:-1]]


def test_a_change_that_no_input_shows_is_found_by_outcomes_and_learned(simulated: Simulate) -> None:
    flipped = simulated("concept_flip@1", months=5)
    assert did(flipped) == expected("concept_flip", flipped)
    assert set(flipped.verdicts("drift")) == {"PASS"}
    assert flipped.verdicts("outcomes")[:2] == ["PASS", "FAIL"]
    assert flipped.verdicts("outcomes")[-1] == "PASS"


def test_offers_that_work_are_not_taken_for_decay_and_their_return_is_found(
    simulated: Simulate, tmp_path: Path
) -> None:
    params = tmp_path / "params.yaml"
    shipped = (PROJECT / "params.yaml").read_text()
    params.write_text(
        shipped.replace(
            "offers: # off: no customer gets one, every assignment is `none`\n  enabled: false",
            "offers:\n  enabled: true",
        )
    )
    offered = simulated("offers_work@1", months=5, MLOPS_PARAMS=str(params))
    layers = Layers(offered.home.layers)
    assert set(layers.read("validated_outcomes", "2024-10").assignment) == {"none", "offer", "control"}
    assert did(offered) == expected("offers_work", offered)


def test_outcomes_that_come_late_are_asked_for_and_change_nothing_else(
    simulated: Simulate, quiet: Played, end: End
) -> None:
    late = simulated("late_outcomes@2", months=5)
    assert did(late) == expected("late_outcomes", late)
    assert calls(late)[0] == "outcomes overdue: 2024-07"
    assert all(title.startswith("outcomes overdue") for title in late.alerts)
    tables = end(quiet.home).tables
    both = {path: digest for path, digest in end(late.home).tables.items() if path in tables}
    assert both == {path: tables[path] for path in both}
    assert {path.rpartition("/")[2] for path in tables.keys() - both.keys()} == {"2024-09.parquet"}


@pytest.mark.parametrize("disorder", ["out_of_order", "duplicate_month"])
def test_files_in_disorder_end_in_the_tables_of_orderly_ones(
    simulated: Simulate, quiet: Played, end: End, disorder: str
) -> None:
    played = simulated(f"{disorder}@2", months=MONTHS)
    assert did(played) == expected(disorder, played)
    assert end(played.home) == end(quiet.home)
