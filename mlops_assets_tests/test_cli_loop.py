"""What a person asks and signs by command: it holds at once, says who and why for ever, and the gate keeps to it."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mlops_assets import cli_loop
from mlops_assets.cli import main
from mlops_assets.files import md5
from mlops_assets.history import Crowned, History, Judged, Signed
from mlops_assets.home import Home, history_of
from mlops_assets.relocation import relocate
from mlops_assets.storage import Layers
from mlops_assets.tracking import EXPERIMENT, Tracking

NEWEST = "2024-06"


@dataclass(frozen=True)
class Mlops:
    """The command in a home, in this process."""

    home: Home

    def __call__(self, *arguments: object) -> Result:
        """What a call said, and its exit code."""
        environment = {"MLOPS_HOME": str(self.home.root)}
        return CliRunner().invoke(main, list(map(str, arguments)), env=environment)

    @property
    def history(self) -> History:
        """The history of the home."""
        return history_of(self.home)

    @property
    def alias(self) -> str:
        """Digest of the model that the alias in MLflow means."""
        version = Tracking(self.home.mlflow).client().get_model_version_by_alias("churn", "champion")
        return str(version.tags["model_md5"])

    def scored_by(self, batch: str) -> str:
        """Digest of the model that scored a month."""
        return str(Layers(self.home.layers).read("predictions", batch).model_md5.iloc[0])

    def copy(self, to: Path) -> "Mlops":
        """The same in a copy of the home."""
        shutil.copytree(self.home.root, to, symlinks=True)
        relocate(to, EXPERIMENT)
        return Mlops(Home(to))


@pytest.fixture(scope="module")
def calm(copy_home: Callable[[Path], Home], tmp_path_factory: pytest.TempPathFactory) -> Mlops:
    """A home with one champion of two versions. To be read only."""
    return Mlops(copy_home(tmp_path_factory.mktemp("calm") / "home"))


@pytest.fixture
def changing(calm: Mlops, tmp_path: Path) -> Mlops:
    """A copy of it for one test to change."""
    return calm.copy(tmp_path / "home")


@pytest.fixture(scope="module")
def models(calm: Mlops) -> dict[int, str]:
    """Digest of each version's model."""
    return {record.version: record.model_md5 for record in calm.history.versions()}


# -------------------------------------------------------------------------------------------------- status and history


def test_status_of_a_calm_home_names_the_champion_and_its_proof_and_needs_nobody(calm: Mlops) -> None:
    said = calm("status")
    assert said.exit_code == 0, said.output
    (crowned,) = calm.history.read(Crowned)
    for fact in (crowned.model_md5, crowned.when, crowned.why, crowned.verdict_md5, "2024-01 to 2024-05, 5 months"):
        assert fact in said.stdout
    assert f"drift      PASS     {NEWEST}" in said.stdout
    assert f"waits      outcomes of {NEWEST} are due" in said.stdout
    assert said.stdout.splitlines()[-1] == "needs      nobody"


def test_status_for_machines_is_one_document_with_the_same(calm: Mlops) -> None:
    told = json.loads(calm("status", "--json").stdout)
    assert (told["champion"]["version"], told["champion"]["signed_by"]) == (1, None)
    assert told["gates"]["promotion"]["verdict"] == "PASS"
    assert told["gates"]["outcomes"] is None
    assert (told["needs"], told["undelivered"]) == ([], 0)


def test_status_and_history_of_an_empty_home_say_that_there_is_nothing(tmp_path: Path) -> None:
    mlops = Mlops(Home(tmp_path / "empty"))
    assert mlops("status").stdout.splitlines()[0] == "champion   none: nothing is scored yet"
    assert mlops("history").stdout == "there was never a champion\n"
    assert mlops("status").exit_code == 0


def test_a_failed_run_needs_a_person_until_the_month_is_scored(changing: Mlops) -> None:
    good = changing.home.landing / "customers" / f"{NEWEST}.csv"
    content = good.read_bytes()
    good.write_bytes(content[: len(content) // 2].replace(b",", b";"))
    assert changing("score", NEWEST).exit_code == 1
    said = changing("status")
    assert said.exit_code == 1
    assert f"NEEDS YOU  score of {NEWEST} failed" in said.stdout
    assert "Land the file" in said.stdout
    good.write_bytes(content)
    assert changing("score", NEWEST).exit_code == 0
    assert changing("status").exit_code == 0


# ------------------------------------------------------------------------------------------------------- wrong calls


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (["promote", "99", "--reason", "x"], "there is no version 99; known are 1 to 2."),
        (["promote", "1", "--reason", "x"], "version 1 scores already."),
        (["promote", "0", "--reason", "x"], "0 is not in the range x>=1"),
        (["promote", "2"], "Missing option '--reason'"),
        (["promote", "2", "--reason", "  "], "it must not be blank"),
        (["promote", "2", "--reason", "x", "--by", ""], "it must not be blank"),
        (["rollback", "--reason", "x"], "there is no champion before this one"),
        (["rollback", "--reason", ""], "it must not be blank"),
        (["rollback", "--to", "2", "--reason", "x"], "version 2 was never champion"),
        (["rollback", "--to", "1", "--reason", "x"], "version 1 scores already."),
        (["decline", "--reason", "x"], "no challenger waits for approval."),
        (["decline", "--reason", " "], "it must not be blank"),
        (["reset", "--reason", " "], "it must not be blank"),
        (["reset", "--reason", "why not"], "the breaker is not open"),
        (["simulate", "--scenario", "offers_work"], "offers_work needs offers"),
    ],
)
def test_a_wrong_call_is_refused_with_2_says_why_and_changes_nothing(call: list[str], why: str, calm: Mlops) -> None:
    before = md5(b"".join(path.read_bytes() for path in sorted(calm.home.history.iterdir())))
    said = calm(*call)
    assert said.exit_code == 2
    assert why in said.stderr
    assert md5(b"".join(path.read_bytes() for path in sorted(calm.home.history.iterdir()))) == before
    assert calm("status").exit_code == 0


@pytest.mark.parametrize("call", [["promote", "1"], ["rollback"], ["decline"], ["reset"]])
def test_nothing_can_be_signed_in_an_empty_home(call: list[str], tmp_path: Path) -> None:
    said = Mlops(Home(tmp_path / "empty"))(*call, "--reason", "x")
    assert said.exit_code == 2
    assert said.stderr.startswith("refused: ")


# ------------------------------------------------------------------------------------------- one story of signatures


@dataclass(frozen=True)
class Story:
    """A home as it stood after each step, and what each command said."""

    promoted: Mlops
    rolled_back: Mlops
    again: Result
    asked_again: Mlops
    waiting: Mlops


@pytest.fixture(scope="module")
def story(calm: Mlops, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Ada promotes version 2, Bob rolls it back, the gate is asked about the same again, and then about more months."""
    base = tmp_path_factory.mktemp("story")
    promoted = calm.copy(base / "promoted")
    done(promoted("promote", 2, "--reason", "marketing knows better", "--by", "ada"))
    rolled_back = promoted.copy(base / "rolled_back")
    done(promoted("rescore", NEWEST))
    done(rolled_back("rollback", "--reason", "complaints", "--by", "bob"))
    again = rolled_back("rollback", "--reason", "complaints", "--by", "bob")
    asked_again = rolled_back.copy(base / "asked_again")
    done(rolled_back("rescore", NEWEST))
    done(asked_again("retrain"))
    waiting = asked_again.copy(base / "waiting")
    done(waiting("deal"))
    done(waiting("learn", NEWEST))
    # Without a champion the floors decide alone: a PASS that takes no year of months.
    shutil.rmtree(Layers(waiting.home.layers).path("champion").parent)
    done(waiting("retrain"))
    return Story(promoted, rolled_back, again, asked_again, waiting)


def done(said: Result) -> None:
    """The command did what it was called for."""
    assert said.exit_code == 0, said.output


def test_a_promoted_version_scores_at_once_and_the_alias_means_it(story: Story, models: dict[int, str]) -> None:
    assert story.promoted.alias == models[2]
    assert story.promoted.scored_by(NEWEST) == models[2]


def test_a_promotion_by_hand_is_marked_as_such(story: Story) -> None:
    said = story.promoted("history").stdout
    assert "version 1, all_history as of 2024-05, by the promotion gate" in said
    assert "version 2, recency_weighted as of 2024-05, promote signed by ada" in said
    assert "promote signed by ada: marketing knows better" in said
    assert json.loads(story.promoted("status", "--json").stdout)["champion"]["signed_by"] == "ada"


def test_after_a_rollback_the_one_before_scores_the_next_month_and_the_alias_means_it(
    story: Story, models: dict[int, str]
) -> None:
    assert story.rolled_back.alias == models[1]
    assert story.rolled_back.scored_by(NEWEST) == models[1]
    assert "after a rollback" in story.rolled_back("status").stdout


def test_the_history_is_appended_to_and_says_who_when_and_why(story: Story, models: dict[int, str]) -> None:
    told = json.loads(story.rolled_back("history", "--json").stdout)
    assert [(one["version"], one["signed"], one["actor"]) for one in told] == [
        (1, None, None),
        (2, "promote", "ada"),
        (1, "rollback", "bob"),
    ]
    assert told[-1]["why"] == "rollback signed by bob: complaints"
    assert [one["since"] for one in told] == sorted(one["since"] for one in told)
    (rollback,) = [one for one in story.rolled_back.history.read(Signed) if one.action == "rollback"]
    assert rollback.refused[0] == models[2]


def test_a_second_rollback_goes_further_back_and_never_to_what_was_rolled_back(story: Story) -> None:
    assert story.again.exit_code == 2
    assert "there is no champion before this one" in story.again.stderr


def test_the_gate_does_not_propose_again_what_was_rolled_back(story: Story, models: dict[int, str]) -> None:
    last = story.asked_again.history.read(Judged)[-1]
    assert (last.verdict, last.winner) == ("FAIL", None)
    assert "rolled back by a person, and not proposed again" in last.why
    assert story.asked_again.alias == models[1]


def test_a_person_can_promote_again_what_was_rolled_back(story: Story, models: dict[int, str], tmp_path: Path) -> None:
    mlops = story.rolled_back.copy(tmp_path / "home")
    done(mlops("promote", 2, "--reason", "it was the file, not the model"))
    assert mlops.alias == models[2]
    done(mlops("rollback", "--reason", "no, it was the model"))
    assert mlops.alias == models[1]


def test_the_next_pass_after_a_rollback_waits_for_a_person(story: Story) -> None:
    last = story.waiting.history.read(Judged)[-1]
    assert last.verdict == "PASS"
    assert last.waits == "the last champion was rolled back: a person signs the next"
    assert last.winner not in {one.model_md5 for one in story.waiting.history.read(Crowned)}
    said = story.waiting("status")
    assert said.exit_code == 1
    number = waiting_version(story.waiting)
    assert f"NEEDS YOU  Version {number} waits for approval" in said.stdout
    assert f"mlops promote {number} --reason TEXT" in said.stdout


def waiting_version(mlops: Mlops) -> int:
    """The version that waits for a signature."""
    record = mlops.history.find(mlops.history.read(Judged)[-1].winner or "")
    assert record
    return record.version


def test_a_signature_ends_the_wait_and_the_next_pass_needs_none(story: Story, tmp_path: Path) -> None:
    mlops = story.waiting.copy(tmp_path / "home")
    done(mlops("promote", waiting_version(mlops), "--reason", "looks right"))
    assert mlops("status").exit_code == 0
    assert not json.loads(mlops("status", "--json").stdout)["champion"]["is_rolled_back"]
    assert mlops("decline", "--reason", "too late").exit_code == 2


def test_a_challenger_that_is_declined_waits_no_more(story: Story, tmp_path: Path) -> None:
    mlops = story.waiting.copy(tmp_path / "home")
    number = waiting_version(mlops)
    said = mlops("decline", "--reason", "not before Christmas", "--by", "ada")
    assert (said.exit_code, said.stdout) == (0, f"version {number} is declined; the champion stays\n")
    assert mlops("status").exit_code == 0
    assert mlops("decline", "--reason", "again").exit_code == 2
    (declined,) = [one for one in mlops.history.read(Signed) if one.action == "decline"]
    assert (declined.actor, declined.reason, declined.version) == ("ada", "not before Christmas", number)


def test_the_breaker_needs_a_person_until_it_is_reset(changing: Mlops, models: dict[int, str]) -> None:
    for number in range(3):
        told = Judged("FAIL", None, "no gain", {"champion": models[1]}, f"verdict {number}", f"run {number}")
        changing.history.add(told)
    said = changing("status")
    assert said.exit_code == 1
    assert "3 challengers in a row without gain over the champion: the breaker is open" in said.stdout
    assert "mlops reset" in said.stdout
    assert changing("reset", "--reason", "the months were odd").exit_code == 0
    assert changing("status").exit_code == 0


def test_a_reason_stands_on_one_line_and_moves_no_cursor() -> None:
    assert cli_loop.on_one_line("line 1\nline 2 \x1b[31mred") == "line 1 line 2 [31mred"
