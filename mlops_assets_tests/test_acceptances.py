"""What was accepted holds until it is taken back, for what it was accepted for and as it lay there."""

from dataclasses import replace
from pathlib import Path

from mlops_assets.acceptances import CHANGE, OUTCOMES, accepted_months, accepted_outcomes, taken_back_by
from mlops_assets.history import Accepted, History
from mlops_assets.store import Store


def history(tmp_path: Path) -> History:
    """A history in which nothing happened yet."""
    return History(tmp_path / "history", Store(tmp_path / "store"))


def test_outcomes_are_accepted_as_they_lie_and_no_other_bytes(tmp_path: Path) -> None:
    kept = history(tmp_path)
    kept.add(Accepted(OUTCOMES, "2024-07", "ann", "checked", md5="a" * 32))

    assert accepted_outcomes(kept) == {("2024-07", "a" * 32)}


def test_what_was_taken_back_does_not_hold_and_may_be_accepted_again(tmp_path: Path) -> None:
    kept = history(tmp_path)
    first = Accepted(CHANGE, "2024-08", "ann", "new price", batches=("2024-08", "2024-09"), champion="c" * 32)
    kept.add(first)
    kept.add(Accepted(CHANGE, "2024-08", "ann", "a mistake", champion="c" * 32, is_taken_back=True))
    taken_back = accepted_months(kept, "c" * 32)
    kept.add(first)

    assert (taken_back, accepted_months(kept, "c" * 32)) == ((), ("2024-08", "2024-09"))


def test_a_change_belongs_to_the_champion_that_it_was_accepted_for(tmp_path: Path) -> None:
    kept = history(tmp_path)
    kept.add(Accepted(CHANGE, "2024-08", "ann", "new price", batches=("2024-08",), champion="c" * 32))

    assert accepted_months(kept, "d" * 32) == ()


def test_the_same_change_is_accepted_for_each_champion_by_itself(tmp_path: Path) -> None:
    kept = history(tmp_path)
    record = Accepted(CHANGE, "2024-08", "ann", "new price", batches=("2024-08",), champion="c" * 32)
    kept.add(record)
    kept.add(replace(record, champion="d" * 32, batches=("2024-09",)))

    assert (accepted_months(kept, "c" * 32), accepted_months(kept, "d" * 32)) == (("2024-08",), ("2024-09",))


def test_who_took_an_acceptance_back_is_known_until_a_person_accepts_it_again(tmp_path: Path) -> None:
    kept = history(tmp_path)
    record = Accepted(CHANGE, "2024-08", "ann", "new price", batches=("2024-08",), champion="c" * 32)
    kept.add(record)
    before = taken_back_by(kept, "c" * 32)
    kept.add(replace(record, actor="bob", is_taken_back=True))
    after, other = taken_back_by(kept, "c" * 32), taken_back_by(kept, "d" * 32)
    kept.add(record)

    assert (before, after, other, taken_back_by(kept, "c" * 32)) == (None, "bob", None, None)
