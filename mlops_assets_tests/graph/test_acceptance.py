"""A lasting change on a real home: accepted by gate or person, green from then on, and the next change is seen."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from mlops_assets import acceptances, changes, deliveries, loop, operate, references, report, ringing, sensors, standing
from mlops_assets.acceptances import CHANGE, GATE
from mlops_assets.assets import outcomes
from mlops_assets.champions import Champion, read_champion
from mlops_assets.changes import NotAcceptableError
from mlops_assets.churn import scenarios
from mlops_assets.gates import findings, outcome_findings
from mlops_assets.gates.attempts import Ended, open_causes
from mlops_assets.gates.promotion import Comparison, FloorsJudgement
from mlops_assets.gates.succession import Contender, Succession, decide
from mlops_assets.gates.verdict import Verdict
from mlops_assets.history import Accepted, Judged
from mlops_assets.home import Home
from mlops_assets.operate import System
from mlops_assets.params import Params
from mlops_assets.storage import SIMULATED, Layers
from mlops_assets.trainings import CAUSES, JOB, attempts_of

pytestmark = pytest.mark.slow  # a year of months and two trainings; the rule is tested in `gates`

BEFORE, FIRST, SECOND, THIRD = "2024-06", "2024-07", "2024-08", "2024-09"
WHO: dict[str, Any] = {"actor": "ann", "reason": "the new tariff stays"}


def played(months: int, params: Params) -> dict[str, scenarios.Played]:
    """Months in which three customers in four have month-to-month contracts, and their outcomes."""
    found = scenarios.play(
        deliveries.source_table(), seed=7, first=0, months=months, scenario="mix_shift", at=1, dealt=params.sample.seed
    )
    return {month.batch: month for month in found}


def dearer(table: pd.DataFrame) -> pd.DataFrame:
    """Fiber customers pay a third more."""
    charges = pd.to_numeric(table.monthly_charges)
    is_fiber = table.internet_service.eq("Fiber optic")
    assert is_fiber.any()
    return table.assign(monthly_charges=charges.where(~is_fiber, (charges * 1.33).round(2)).map(str))


@pytest.fixture(scope="module")
def months(params: Params) -> dict[str, scenarios.Played]:
    """Three shifted months."""
    return played(3, params)


@pytest.fixture(scope="module")
def shifted_home(
    copy_home: Callable[[Path], Home],
    tmp_path_factory: pytest.TempPathFactory,
    params: Params,
    months: dict[str, scenarios.Played],
) -> Home:
    """The demonstration's home two shifted months on; of the first of them the outcomes are there. To be read only."""
    home = copy_home(tmp_path_factory.mktemp("shifted") / "home")
    (home.root / SIMULATED).touch()  # nobody opens a page of it
    with operate.system(home, params) as running:
        for due in months[FIRST].deliveries:
            if due.kind == "outcomes":
                land(running, due.batch, due.kind, due.table)
        for batch in (FIRST, SECOND):
            land(running, batch, "customers", months[batch].customers)
        land(running, FIRST, "outcomes", months[FIRST].outcomes)
    return home


def land(running: System, batch: str, kind: str, table: pd.DataFrame) -> None:
    """Land a file and process it."""
    running.inbox.put(batch, {kind: deliveries.csv_bytes(table)})
    assert running.run({"customers": "score", "outcomes": "learn"}[kind], batch).is_success


@pytest.fixture
def shifted(shifted_home: Home, tmp_path: Path, params: Params) -> Iterator[System]:
    """A copy of `shifted_home` for one test to change; promotion decides on one month."""
    home = Home(tmp_path / "shifted")
    shutil.copytree(shifted_home.root, home.root, symlinks=True)
    fewer = params.promotion.model_copy(update={"months": 1})
    with operate.system(home, params.model_copy(update={"promotion": fewer})) as running:
        yield running


def known(running: System) -> tuple[Layers, Any]:
    """Layers and history of a system."""
    return running.resources["layers"], running.resources["history"]


def champion_of(running: System) -> Champion:
    """The champion."""
    champion = read_champion(running.resources["layers"])
    assert champion
    return champion


def drift(running: System, batch: str) -> Verdict:
    """The last word of the drift gate on a month."""
    return findings.verdict_of(running.resources["layers"].read("drift_report", batch))


def causes(running: System) -> list[str]:
    """Keys of the open causes."""
    layers, history = known(running)
    return [cause.key for cause in open_causes(loop.facts(layers, history, running.instance, running.params), 3)]


def followed_up(running: System) -> list[str]:
    """Months that the landing sensor asks to be judged anew; they are."""
    asked = requests(running)
    assert [request.run_key for request in asked] == [request.run_key for request in requests(running)]
    for request in asked:
        assert request.job_name == "rescore"
        assert running.run("rescore", request.partition_key).is_success
    assert requests(running) == []
    return [str(request.partition_key) for request in asked]


def requests(running: System) -> Sequence[dg.RunRequest]:
    """What a tick of the landing sensor asks for."""
    with dg.build_sensor_context(instance=running.instance) as context:
        needed = {name: running.resources[name] for name in sensors.landing.required_resource_keys}
        result = sensors.landing(context, **needed)
    assert isinstance(result, dg.SensorResult)
    return list(result.run_requests or [])


def trained(running: System, keys: Sequence[str]) -> Judged:
    """A training that was asked for because of these causes; what promotion said of it."""
    from mlops_assets.definitions import defs

    tags = {JOB: "retrain", CAUSES: " ".join(keys), "mlops/batch": SECOND}
    done = defs.resolve_job_def("retrain").execute_in_process(
        instance=running.instance, resources=dict(running.resources), raise_on_error=False, tags=tags
    )
    assert done.success
    judged: list[Judged] = running.resources["history"].read(Judged)
    return judged[-1]


def accept(running: System, batch: str = FIRST) -> Accepted:
    """A person accepts the change."""
    layers, history = known(running)
    return changes.accept(batch, layers=layers, history=history, **WHO)


# ----------------------------------------------------------------------------------------------------------- the gate


@pytest.fixture(scope="module")
def accepted(shifted_home: Home, tmp_path_factory: pytest.TempPathFactory, params: Params) -> Iterator[System]:
    """`shifted`, in which promotion has judged the change, and what follows from that has run."""
    home = Home(tmp_path_factory.mktemp("accepted") / "home")
    shutil.copytree(shifted_home.root, home.root, symlinks=True)
    fewer = params.promotion.model_copy(update={"months": 1})
    with operate.system(home, params.model_copy(update={"promotion": fewer})) as running:
        keys = causes(running)
        assert [key.split(":")[:2] for key in keys] == [["drift", FIRST], ["drift", SECOND]]
        assert trained(running, keys).verdict == "FAIL"
        assert followed_up(running) == [SECOND]
        yield running


def test_promotion_accepts_a_change_without_gain_and_keeps_its_figures(accepted: System) -> None:
    layers, history = known(accepted)
    (record,) = history.read(Accepted)
    verdict = history.read(Judged)[-1]
    assert (record.what, record.batch, record.actor, tuple(record.batches)) == (CHANGE, FIRST, GATE, (FIRST,))
    assert record.champion == verdict.judged["champion"] == champion_of(accepted).model_md5
    assert record.figures["verdict_md5"] == verdict.verdict_md5
    assert record.figures["outcomes"] == "as promised in 1 of 1 months"
    assert record.figures[f"customer_features@{FIRST}"] == layers.digest("customer_features", FIRST)
    assert record.reason.startswith(f"no gain proven ({record.figures['gain']})")


def test_the_newest_month_is_judged_anew_and_green_and_nothing_asks_for_a_training(accepted: System) -> None:
    assert (drift(accepted, FIRST), drift(accepted, SECOND)) == (Verdict.FAIL, Verdict.PASS)
    assert causes(accepted) == []
    _, history = known(accepted)
    assert [attempt.ended for attempt in attempts_of(history, accepted.instance)][-1] is Ended.ACCEPTED


def test_an_acceptance_is_told_as_one_decision_with_the_way_back(accepted: System) -> None:
    layers, history = known(accepted)
    facts = loop.facts(layers, history, accepted.instance, accepted.params)
    told = [alert for alert in ringing.trained(facts, history, accepted.params) if "New champion" not in alert.title]
    assert [alert.title for alert in told] == [f"Change since {FIRST} accepted"]
    assert told[0].body == history.read(Accepted)[0].reason
    assert f"`mlops accept {FIRST} --what change --take-back --reason TEXT`" in told[0].next_step


def test_status_names_the_accepted_change_and_needs_nobody(accepted: System) -> None:
    layers, history = known(accepted)
    told = standing.standing_of(accepted.inbox, layers, history, accepted.instance, accepted.params)
    assert not told.is_calling
    assert f"accepted change since {FIRST} by {GATE}, 1 month: no gain proven" in report.status(told)


@pytest.mark.slow
def test_the_same_verdict_reached_again_accepts_nothing_twice(accepted: System) -> None:
    _, history = known(accepted)
    before, keys = history.read(Accepted), history.read(Judged)[-1].causes
    trained(accepted, keys)
    assert history.read(Accepted) == before


def no_gain() -> Succession:
    """A verdict of promotion: no candidate gains on the champion."""
    floors = FloorsJudgement(Verdict.PASS, "every floor holds", ())
    comparison = Comparison(Verdict.FAIL, "no gain", 0.001, -0.002, 0.004)
    return decide([Contender("a", "a", floors, comparison)], champion="champion")


def test_a_verdict_that_a_repeated_run_reaches_again_is_accepted_once(shifted: System) -> None:
    layers, history = known(shifted)
    asked = changes.Question(causes(shifted), [FIRST], "0" * 32)
    again = [
        changes.accept_judged(no_gain(), asked, champion_of(shifted), layers, history, shifted.params) for _ in range(2)
    ]
    assert again[0] == again[1]
    (record,) = history.read(Accepted)
    assert (record.batch, record.figures["gain"]) == (FIRST, "+0.0010 [-0.0020, +0.0040]")
    assert causes(shifted) == [], "the newest month waits to be judged anew, and asks for nothing until it is"


def test_a_change_that_a_person_took_back_is_not_accepted_by_the_gate(shifted: System) -> None:
    layers, history = known(shifted)
    accept(shifted)
    changes.take_back(FIRST, layers=layers, history=history, **WHO)
    asked = changes.Question(causes(shifted), [FIRST], "0" * 32)
    told = changes.accept_judged(no_gain(), asked, champion_of(shifted), layers, history, shifted.params)
    assert told.why == "not accepted: ann took back an earlier acceptance; a person accepts the next"
    assert len(history.read(Accepted)) == 2


def test_outcomes_are_held_to_the_accepted_months_too(
    accepted: System, months: dict[str, scenarios.Played], tmp_path: Path
) -> None:
    home = Home(tmp_path / "outcomes")
    shutil.copytree(accepted.home.root, home.root, symlinks=True)
    with operate.system(home, accepted.params) as running:
        land(running, SECOND, "outcomes", months[SECOND].outcomes)
        layers, history = known(running)
        assert outcome_findings.verdict_of(layers.read("outcome_report", SECOND)) is Verdict.PASS
        champion, newest = champion_of(running), layers.read("labelled_customers", SECOND)
        accepted_months = acceptances.months_as_accepted(layers, history, champion.model_md5, judged=SECOND)
        mature = layers.batches("labelled_customers")
        news = [references.unseen_before(SECOND, mature, champion, known) for known in ([], accepted_months)]
        pooled = [set(outcomes.mature_rows(one, layers, newest).batch) for one in news]
        held_to = references.promised(references.reference_of(champion, layers, history, judged=SECOND))
    assert pooled == [{BEFORE, FIRST, SECOND}, {SECOND}]
    assert FIRST in set(held_to.batch)


def test_after_the_acceptance_the_same_months_are_green_and_another_change_is_seen(
    accepted: System, months: dict[str, scenarios.Played], tmp_path: Path
) -> None:
    home = Home(tmp_path / "next")
    shutil.copytree(accepted.home.root, home.root, symlinks=True)
    with operate.system(home, accepted.params) as running:
        land(running, THIRD, "customers", months[THIRD].customers)
        assert drift(running, THIRD) is Verdict.PASS
        assert causes(running) == []
        land(running, THIRD, "customers", dearer(months[THIRD].customers))
        assert drift(running, THIRD) is Verdict.FAIL
        assert [key.split(":")[:2] for key in causes(running)] == [["drift", THIRD]]
        moved = running.resources["layers"].read("drift_report", THIRD).moved.iloc[0]
        assert "monthly_charges" in moved


@pytest.mark.slow
def test_outcomes_that_fail_in_the_months_compared_keep_promotion_from_accepting(
    shifted: System, months: dict[str, scenarios.Played]
) -> None:
    other = months[FIRST].outcomes.churned.map({"Yes": "No", "No": "Yes"})
    land(shifted, FIRST, "outcomes", months[FIRST].outcomes.assign(churned=other))
    layers, history = known(shifted)
    assert outcome_findings.verdict_of(layers.read("outcome_report", FIRST)) is Verdict.FAIL
    trained(shifted, causes(shifted))
    assert history.read(Accepted) == []


# ----------------------------------------------------------------------------------------------------------- a person


def test_a_person_accepts_a_change_at_once_and_the_newest_month_is_green(shifted: System) -> None:
    record = accept(shifted)
    assert (record.actor, record.batches) == ("ann", (FIRST, SECOND))
    assert record.figures[f"drift@{FIRST}"].startswith("FAIL: ")
    assert causes(shifted) == []
    assert followed_up(shifted) == [SECOND]
    assert drift(shifted, SECOND) is Verdict.PASS
    assert causes(shifted) == []


def test_outcomes_that_come_after_a_person_accepted_and_are_not_as_promised_ask_for_a_training(
    shifted: System, months: dict[str, scenarios.Played]
) -> None:
    accept(shifted)
    followed_up(shifted)
    other = months[SECOND].outcomes.churned.map({"Yes": "No", "No": "Yes"})
    land(shifted, SECOND, "outcomes", months[SECOND].outcomes.assign(churned=other))
    assert [key.split(":")[:2] for key in causes(shifted)] == [["outcomes", SECOND]]


def test_what_a_person_takes_back_is_red_again_and_asks_for_a_training(shifted: System) -> None:
    layers, history = known(shifted)
    accept(shifted)
    followed_up(shifted)
    changes.take_back(FIRST, layers=layers, history=history, **WHO)
    assert followed_up(shifted) == [SECOND]
    assert drift(shifted, SECOND) is Verdict.FAIL
    assert [key.split(":")[1] for key in causes(shifted)] == [FIRST, SECOND]


def test_an_accepted_month_that_lands_with_other_bytes_is_judged_like_any_other(
    shifted: System, months: dict[str, scenarios.Played]
) -> None:
    accept(shifted)
    followed_up(shifted)
    cents = months[SECOND].customers.assign(
        monthly_charges=(pd.to_numeric(months[SECOND].customers.monthly_charges) * 100).map(str)
    )
    land(shifted, SECOND, "customers", cents)
    layers, history = known(shifted)
    assert acceptances.months_as_accepted(layers, history, champion_of(shifted).model_md5) == [FIRST]
    assert findings.cause_of(layers.read("drift_report", SECOND)) == "pipe"


def test_what_cannot_be_accepted_or_taken_back_is_refused_with_the_reason(shifted: System) -> None:
    layers, history = known(shifted)
    for batch, why in (
        ("2024-05", "the champion learned from 2024-05"),
        (BEFORE, f"no gate has seen a change in {BEFORE}; a gate fails in {FIRST}, {SECOND}"),
        ("2030-01", "no gate has seen a change in 2030-01"),
    ):
        with pytest.raises(NotAcceptableError, match=why):
            accept(shifted, batch)
    with pytest.raises(NotAcceptableError, match=f"no change since {FIRST} is accepted for the champion; none is"):
        changes.take_back(FIRST, layers=layers, history=history, **WHO)
    accept(shifted)
    with pytest.raises(NotAcceptableError, match=f"{SECOND} belongs to the change since {FIRST}, accepted by ann"):
        accept(shifted, SECOND)
    with pytest.raises(NotAcceptableError, match=f"accepted are those since {FIRST}"):
        changes.take_back(SECOND, layers=layers, history=history, **WHO)
    assert len(history.read(Accepted)) == 1


def test_without_a_champion_nothing_can_be_accepted(empty: System) -> None:
    layers, history = known(empty)
    with pytest.raises(NotAcceptableError, match="there is no champion"):
        changes.accept(FIRST, layers=layers, history=history, **WHO)


# -------------------------------------------------------------------------------------------------------- the reference


def test_accepted_months_join_the_reference_with_the_champions_scores_and_labels_where_mature(
    shifted: System,
) -> None:
    layers, history = known(shifted)
    champion = champion_of(shifted)
    assert references.reference_of(champion, layers, history) is champion.reference
    accept(shifted)
    reference = references.reference_of(champion, layers, history)
    assert list(reference) == list(champion.reference)
    pd.testing.assert_frame_equal(reference.head(len(champion.reference)), champion.reference, check_dtype=False)
    for batch, is_mature in ((FIRST, True), (SECOND, False)):
        rows = reference[reference.batch == batch]
        scores = layers.read("predictions", batch).set_index("customer_id").score
        assert rows.set_index("customer_id").score.to_dict() == scores.to_dict()
        assert bool(rows.label.notna().all()) is is_mature
    held_to = references.promised(reference)
    assert sorted(set(held_to.batch) - set(champion.reference.batch)) == [FIRST]
    assert held_to.label.dtype == champion.reference.label.dtype


def test_a_batch_from_before_the_change_is_compared_without_it(shifted: System) -> None:
    layers, history = known(shifted)
    champion = champion_of(shifted)
    accept(shifted)
    assert references.reference_of(champion, layers, history, judged=BEFORE) is champion.reference


@pytest.mark.parametrize(
    ("batch", "accepted", "unseen"),
    [
        ("2024-08", [], ["2024-06", "2024-07"]),
        ("2024-10", ["2024-08"], ["2024-09"]),
        ("2024-08", ["2024-08", "2024-09"], ["2024-06", "2024-07"]),
        ("2024-09", ["2024-08", "2024-09"], []),
    ],
)
def test_a_batch_is_pooled_with_none_that_came_before_what_is_accepted(
    shifted: System, batch: str, accepted: list[str], unseen: list[str]
) -> None:
    batches = [f"2024-{month:02d}" for month in range(1, 11)]
    champion = replace(champion_of(shifted), as_of="2024-05")
    assert references.unseen_before(batch, batches, champion, accepted) == unseen
