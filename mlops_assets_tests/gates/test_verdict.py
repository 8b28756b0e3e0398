"""Several answers become one, and content is never assumed."""

from itertools import permutations

import pytest

from mlops_assets.gates.verdict import Verdict, all_of


def test_a_verdict_is_stored_and_shown_as_its_own_name() -> None:
    assert [str(verdict) for verdict in Verdict] == ["PASS", "FAIL", "UNKNOWN"]


def test_nothing_asked_is_unknown_and_no_pass() -> None:
    assert all_of() is Verdict.UNKNOWN


def test_one_unknown_keeps_the_rest_from_passing() -> None:
    assert all_of(Verdict.PASS, Verdict.UNKNOWN, Verdict.PASS) is Verdict.UNKNOWN


@pytest.mark.parametrize("verdicts", list(permutations(Verdict)))
def test_a_broken_rule_stays_broken_whatever_the_others_cannot_tell(verdicts: tuple[Verdict, ...]) -> None:
    assert all_of(*verdicts) is Verdict.FAIL


def test_all_that_pass_pass() -> None:
    assert all_of(Verdict.PASS, Verdict.PASS) is Verdict.PASS
