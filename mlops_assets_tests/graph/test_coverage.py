"""Outcomes of a selected part, from the landed file to the loop: never learned from until a person accepts them."""

import io
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from mlops_assets import deliveries, loop, maturity, operate, ringing, sensors
from mlops_assets.acceptances import OUTCOMES, standing
from mlops_assets.cli import main
from mlops_assets.gates.alarms import Alert, Kind
from mlops_assets.gates.attempts import Facts, causes_of
from mlops_assets.history import Accepted, Crowned
from mlops_assets.home import Home, history_of
from mlops_assets.params import Params
from mlops_assets.storage import Layers

LEARNED = [f"2024-{month:02d}" for month in range(1, 6)]
FIRST, SECOND = "2024-06", "2024-07"


@dataclass(frozen=True)
class Operated:
    """A home that a person works in by command."""

    home: Home
    params: Params

    def __call__(self, *arguments: object) -> Result:
        """What a call said, and its exit code."""
        return CliRunner().invoke(main, list(map(str, arguments)), env={"MLOPS_HOME": str(self.home.root)})

    def land(self, batch: str, outcomes: pd.DataFrame, folder: Path) -> Result:
        """Land outcomes of a month and learn them."""
        file = folder / f"{batch}.csv"
        file.write_bytes(deliveries.csv_bytes(outcomes))
        assert self("land", file, "--batch", batch).exit_code == 0
        return self("learn", batch)

    def facts(self) -> Facts:
        """What the loop decides by."""
        with operate.system(self.home, self.params) as running:
            return loop.facts(running.resources["layers"], running.resources["history"], running.instance, self.params)

    def told(self) -> list[Alert]:
        """What a person is told of outcomes."""
        with operate.system(self.home, self.params) as running:
            found = ringing.of_the_loop(
                running.resources["layers"], running.resources["history"], running.instance, self.params
            )
            return [alert for alert in found if alert.kind is Kind.COVERAGE]

    def copy(self, to: Path) -> "Operated":
        """The same in a copy of the home."""
        shutil.copytree(self.home.root, to, symlinks=True)
        return Operated(Home(to), self.params)

    @property
    def layers(self) -> Layers:
        """Its layers."""
        return Layers(self.home.layers)


def leavers_and_25(table: pd.DataFrame) -> pd.DataFrame:
    """The cancellations, and 25 customers that somebody checked."""
    return pd.concat([table[table.churned.eq("Yes")], table[table.churned.eq("No")][:25]])


@pytest.fixture(scope="module")
def whole(copy_home: Callable[[Path], Home], tmp_path_factory: pytest.TempPathFactory, params: Params) -> Operated:
    """Two months after the sample are scored, and their outcomes are in the inbox."""
    made = Operated(copy_home(tmp_path_factory.mktemp("whole") / "home"), params)
    assert made("deal", "--months", 2).exit_code == 0
    assert made("score", SECOND).exit_code == 0
    return made


def outcomes(operated: Operated, batch: str) -> pd.DataFrame:
    """The outcomes of a month as they were dealt."""
    return pd.read_csv(io.BytesIO((operated.home.landing / "outcomes" / f"{batch}.csv").read_bytes()), dtype=str)


@pytest.fixture(scope="module")
def said(
    whole: Operated, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Operated, dict[str, Result], dict[str, pd.DataFrame]]:
    """Two months of leavers and hardly anybody else were learned: the home, what `mlops learn` said, what was true."""
    made = whole.copy(tmp_path_factory.mktemp("selected") / "home")
    truth = {batch: outcomes(made, batch) for batch in (FIRST, SECOND)}
    folder = tmp_path_factory.mktemp("files")
    return made, {batch: made.land(batch, leavers_and_25(truth[batch]), folder) for batch in truth}, truth


@pytest.fixture(scope="module")
def selected(said: tuple[Operated, dict[str, Result], dict[str, pd.DataFrame]]) -> Operated:
    """The home of `said`. To be read only."""
    return said[0]


@pytest.fixture
def changing(selected: Operated, tmp_path: Path) -> Operated:
    """A copy of it for one test to change."""
    return selected.copy(tmp_path / "home")


# ------------------------------------------------------------------------------------------------------------ withheld


def test_learn_counts_who_has_an_outcome_and_warns(
    said: tuple[Operated, dict[str, Result], dict[str, pd.DataFrame]],
) -> None:
    _, learned, truth = said
    for batch, result in learned.items():
        rows = len(leavers_and_25(truth[batch]))
        assert result.exit_code == 0, result.output
        assert f"{rows} of {len(truth[batch])} customers have an outcome" in result.stdout.splitlines()
        assert f"warning: coverage_report: UNKNOWN: {rows} of {len(truth[batch])} customers" in result.stderr
        assert "those who do score 0." in result.stderr
        assert "outcome_report: abstains: the outcomes are no evidence" in result.stdout


def test_the_months_are_neither_mature_nor_due_and_no_cause(selected: Operated) -> None:
    facts = selected.facts()
    assert list(facts.mature) == LEARNED
    assert [labels.batch for labels in facts.withheld] == [FIRST, SECOND]
    assert [told.gate for told in facts.judgements] == ["drift", "drift"]
    assert list(causes_of(facts, 3)) == []


def test_status_needs_a_person_and_names_both_ways_out(selected: Operated) -> None:
    status = selected("status")
    assert status.exit_code == 1
    assert f"NEEDS YOU  The outcomes of {FIRST} are no evidence: " in status.stdout
    assert f"mlops land FILE --batch {FIRST}" in status.stdout
    assert f"mlops accept {FIRST} --reason TEXT" in status.stdout
    assert f"outcomes of {FIRST}, {SECOND} are no evidence unless a person accepts them" in status.stdout
    assert "are due" not in status.stdout


def test_a_person_is_told_once_of_each_month_as_it_lies(selected: Operated) -> None:
    digests = {batch: selected.layers.digest("labelled_customers", batch) for batch in (FIRST, SECOND)}
    causes = [alert.cause for alert in selected.told()]
    assert causes == [f"coverage:{batch}:{digest}" for batch, digest in digests.items()]
    assert causes == [alert.cause for alert in selected.told()]


def test_a_training_by_hand_learns_nothing_of_them_and_makes_no_champion(changing: Operated) -> None:
    before = history_of(changing.home).read(Crowned)
    assert changing("retrain").exit_code == 0
    assert list(changing.layers.read("training_set").batch) == LEARNED
    assert history_of(changing.home).read(Crowned) == before


# ------------------------------------------------------------------------------------------------ accept and take back


def landing_asks(operated: Operated) -> list[tuple[str | None, str | None, str | None]]:
    """The runs that the landing sensor asks for: job, month and key; files land whole here."""
    calm = operated.params.model_copy(
        update={"loop": operated.params.loop.model_copy(update={"settle_seconds": 0.0, "runs_per_tick": 20})}
    )
    with operate.system(operated.home, calm) as running, dg.build_sensor_context(instance=running.instance) as context:
        resources = {name: running.resources[name] for name in sensors.landing.required_resource_keys}
        told = sensors.landing(context, **resources)
        assert isinstance(told, dg.SensorResult)
        return [(run.job_name, run.partition_key, run.run_key) for run in told.run_requests or []]


def test_accepted_outcomes_are_evidence_until_that_is_taken_back(changing: Operated) -> None:
    (changing.home.landing / "customers" / "2024-08.csv").unlink()  # not scored yet, and not what this is about
    accepted = changing("accept", FIRST, "--reason", "the others were sold with the cable network", "--by", "ada")
    assert accepted.exit_code == 0, accepted.output
    assert f"outcomes of {FIRST} accepted by ada: the others were sold" in accepted.stdout
    facts = changing.facts()
    assert list(facts.mature) == [*LEARNED, FIRST]
    assert [alert.cause.split(":")[1] for alert in changing.told()] == [SECOND]
    (asked,) = landing_asks(changing)
    assert asked[:2] == ("learn", FIRST)
    assert [asked] == landing_asks(changing)

    learned = changing("learn", FIRST)  # what the sensor asked for: the champion is judged by them
    assert "warning: outcome_report: FAIL" in learned.stderr
    assert landing_asks(changing) == []
    assert [cause.key.split(":")[:2] for cause in causes_of(changing.facts(), 3)] == [["outcomes", FIRST]]

    again = changing("accept", FIRST, "--what", "outcomes", "--reason", "twice")
    assert (again.exit_code, again.stderr) == (2, f"refused: the outcomes of {FIRST} are accepted already.\n")
    back = changing("accept", FIRST, "--take-back", "--reason", "they were not", "--by", "bob")
    assert back.exit_code == 0
    facts = changing.facts()
    assert list(facts.mature) == LEARNED
    assert list(causes_of(facts, 3)) == []
    records = history_of(changing.home).read(Accepted)
    assert [(record.actor, record.is_taken_back) for record in records] == [("ada", False), ("bob", True)]
    assert records[0].figures["covered"] == str(len(leavers_and_25(outcomes(changing, FIRST))))


def test_what_a_champion_learned_and_nobody_holds_for_evidence_any_more_is_a_correction(changing: Operated) -> None:
    assert changing("accept", FIRST, "--reason", "checked").exit_code == 0
    facts = changing.facts()
    assert facts.champion is not None
    learned = replace(facts.champion, as_of=FIRST, inputs=dict(facts.mature))
    assert list(causes_of(replace(facts, champion=learned, judgements=()), 3)) == []
    assert changing("accept", FIRST, "--take-back", "--reason", "wrong").exit_code == 0
    (cause,) = causes_of(replace(changing.facts(), champion=learned, judgements=()), 3)
    assert cause.why.startswith(f"{FIRST} changed since the champion learned")


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (["accept", "2024-05", "--reason", "x"], "the outcomes of 2024-05 are evidence already."),
        (["accept", "2024-09", "--reason", "x"], "no outcomes of 2024-09 are there"),
        (["accept", FIRST, "--take-back", "--reason", "x"], f"no outcomes of {FIRST} are accepted."),
        (["accept", FIRST], "Missing option '--reason'"),
        (["accept", FIRST, "--reason", " "], "it must not be blank"),
        (["accept", "June", "--reason", "x"], "'June' is no batch"),
    ],
)
def test_a_wrong_call_is_refused_and_nothing_is_recorded(call: list[str], why: str, selected: Operated) -> None:
    result = selected(*call)
    assert result.exit_code == 2, result.output
    assert why in result.stderr
    assert history_of(selected.home).read(Accepted) == []


def test_other_outcomes_of_an_accepted_month_are_judged_anew(changing: Operated, tmp_path: Path) -> None:
    assert changing("accept", FIRST, "--reason", "checked").exit_code == 0
    fewer = outcomes(changing, FIRST)[:-5]
    assert "coverage_report: UNKNOWN" in changing.land(FIRST, fewer, tmp_path).stderr
    assert FIRST not in changing.facts().mature
    assert len(standing(history_of(changing.home), OUTCOMES)) == 1


# ----------------------------------------------------------------------------------------------- what is, and is not


@pytest.fixture
def unlearned(whole: Operated, tmp_path: Path) -> Operated:
    """A copy of `whole` for one test to land outcomes in."""
    return whole.copy(tmp_path / "home")


def random_part(table: pd.DataFrame) -> pd.DataFrame:
    """A random 30 %."""
    return table[np.random.default_rng(3).random(len(table)) < 0.3]


def leavers(table: pd.DataFrame) -> pd.DataFrame:
    """Those who left, and nobody else."""
    return table[table.churned.eq("Yes")]


def nobody_left(table: pd.DataFrame) -> pd.DataFrame:
    """Everybody, and all of them stayed."""
    return table.assign(churned="No")


@pytest.mark.parametrize(("part", "is_evidence"), [(random_part, True), (leavers, False), (nobody_left, False)])
def test_a_random_part_is_learned_from_unaccepted_and_one_label_only_never(
    part: Callable[[pd.DataFrame], pd.DataFrame], *, is_evidence: bool, unlearned: Operated, tmp_path: Path
) -> None:
    learned = unlearned.land(FIRST, part(outcomes(unlearned, FIRST)), tmp_path)
    assert learned.exit_code == 0
    assert ("coverage_report: UNKNOWN" in learned.stderr) is not is_evidence
    assert (FIRST in unlearned.facts().mature) is is_evidence
    assert [alert.cause.split(":")[1] for alert in unlearned.told()] == ([] if is_evidence else [FIRST])


def test_labels_that_changed_after_they_were_judged_are_no_evidence_and_those_of_before_coverage_was_are(
    unlearned: Operated,
) -> None:
    layers, (changed, old) = unlearned.layers, LEARNED[-2:]
    layers.write("labelled_customers", layers.read("labelled_customers", changed)[:-1], changed)  # a run died here
    layers.path("coverage_report", old).unlink()
    facts = unlearned.facts()
    assert list(facts.mature) == [batch for batch in LEARNED if batch != changed]
    assert [(labels.batch, labels.is_stale) for labels in facts.withheld] == [(changed, True)]
    assert list(causes_of(facts, 3)) == []
    (alert,) = unlearned.told()
    assert alert.next_step.startswith(f"Run `mlops learn {changed}`")
    refused = unlearned("accept", changed, "--reason", "x")
    assert (refused.exit_code, f"`mlops learn {changed}` first" in refused.stderr) == (2, True)
    assert list(maturity.mature(layers, ())) == list(facts.mature)


def test_a_report_names_the_labels_that_it_is_about(layers: Layers) -> None:
    for batch in LEARNED:
        report = layers.read("coverage_report", batch)
        assert report.labelled_md5.iloc[0] == layers.digest("labelled_customers", batch)
        assert (report.verdict.iloc[0], report.covered.iloc[0]) == ("PASS", report.rows.iloc[0])
