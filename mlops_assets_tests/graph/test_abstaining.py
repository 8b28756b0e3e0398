"""Where there is nothing to say the graph says why, and the run is a success: abstaining is no failure."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_assets import operate
from mlops_assets.home import Home
from mlops_assets.operate import Ran, System
from mlops_assets.params import Params
from mlops_assets.storage import Layers

PROJECT = Path(__file__).resolve().parents[2]


def said(ran: Ran, asset: str, check: str = "contract") -> str:
    """What a check of an asset said in a run."""
    (found,) = (c for c in ran.checks if (c.asset_key.to_user_string(), c.check_name) == (asset, check))
    return str(found.description)


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, params: Params) -> Ran:
    """A month scored in a system without a champion."""
    with operate.system(Home(tmp_path_factory.mktemp("scored") / "home"), params) as running:
        running.inbox.put("2024-01", {"customers": (PROJECT / "data/landing/customers/2024-01.csv").read_bytes()})
        return running.run("score", "2024-01")


def test_without_a_champion_a_month_is_validated_and_not_scored(scored: Ran) -> None:
    assert scored.is_success
    assert set(scored.materialized) == {
        "raw_customers",
        "quarantined_customers",
        "validated_customers",
        "customer_features",
    }


def test_without_a_champion_the_check_says_what_to_do(scored: Ran) -> None:
    assert said(scored, "predictions") == "abstains: there is no champion yet; run learn and retrain first"


@pytest.fixture(scope="module")
def seen(copy_home: Callable[[Path], Home], tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home in which a month that the champion learned from is to be scored by it."""
    return copy_home(tmp_path_factory.mktemp("seen") / "home")


@pytest.fixture(scope="module")
def rescored_in_sample(seen: Home, params: Params) -> Ran:
    """What came of that."""
    with operate.system(seen, params) as running:
        return running.run("rescore", "2024-03")


def test_a_month_the_champion_learned_from_is_scored_and_marked(rescored_in_sample: Ran, seen: Home) -> None:
    assert rescored_in_sample.is_success
    assert Layers(seen.layers).read("predictions", "2024-03").is_in_sample.all()


@pytest.mark.parametrize("check", ["contract", "drift"])
def test_drift_does_not_judge_by_scores_of_rows_the_champion_saw(rescored_in_sample: Ran, check: str) -> None:
    assert "drift_report" not in rescored_in_sample.materialized
    assert said(rescored_in_sample, "drift_report", check) == (
        "abstains: the champion learned from this batch (its as_of is 2024-05)"
    )


def test_a_month_whose_outcomes_have_not_landed_cannot_be_learned_from(copied: System) -> None:
    ran = copied.run("learn", "2024-06")
    assert not ran.is_success
    assert "mlops land FILE --batch 2024-06" in ran.broken[0]
    assert not copied.resources["layers"].exists("labelled_customers", "2024-06")


def test_a_training_as_of_a_month_that_is_not_mature_is_refused_and_says_which_are(copied: System) -> None:
    before = copied.resources["layers"].digest("training_set")
    ran = copied.run("retrain", config={"ops": {"training_set": {"config": {"as_of": "2024-06"}}}})
    assert ran.broken == [
        "training_set: as_of 2024-06 is not mature; mature are 2024-01, 2024-02, 2024-03, 2024-04, 2024-05"
    ]
    assert copied.resources["layers"].digest("training_set") == before


def test_a_training_with_no_mature_month_is_refused(empty: System) -> None:
    assert "no month is mature yet" in empty.run("retrain").broken[0]
