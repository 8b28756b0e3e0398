"""Who is to score: the first by the floors alone, every later one by proof, and never who has nothing to prove."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.gates.promotion import Comparison, FloorsJudgement, PromotionFindings
from mlops_assets.gates.succession import Contender, decide, overall, too_few_months
from mlops_assets.gates.verdict import Verdict

CHAMPION = "c" * 32
HOLDS = FloorsJudgement(Verdict.PASS, "every floor holds", ())
PROVEN = Comparison(Verdict.PASS, "better", gain=0.03, lower=0.01, upper=0.05)
verdicts = st.sampled_from(list(Verdict))
floors = verdicts.map(lambda verdict: FloorsJudgement(verdict, f"floors {verdict}", ()))
comparisons = st.builds(
    lambda verdict, gain: Comparison(verdict, f"comparison {verdict}", gain=gain, lower=gain - 1, upper=gain + 1),
    verdicts,
    st.floats(-1, 1),
) | st.just(too_few_months(0, 3, after="2025-03"))


def fields_of(compared: st.SearchStrategy[Comparison | None]) -> st.SearchStrategy[list[Contender]]:
    """One to four contenders, of which one may be the champion's own model."""
    one = st.tuples(floors, compared, st.booleans())
    return st.lists(one, min_size=1, max_size=4).map(
        lambda drawn: [
            Contender(f"recipe {n}", CHAMPION if own and n == 0 else f"{n:032x}", judged, comparison)
            for n, (judged, comparison, own) in enumerate(drawn)
        ]
    )


fields = fields_of(comparisons)
first_fields = fields_of(st.none())


def contender(name: str, *, floors: FloorsJudgement = HOLDS, comparison: Comparison | None = PROVEN) -> Contender:
    """A contender that is proven, but for what is said otherwise."""
    return Contender(name, name.ljust(32, "0"), floors, comparison)


def test_nobody_to_choose_from_is_an_error_that_says_what_to_run() -> None:
    with pytest.raises(ValueError, match="Run churn_model first"):
        decide([], champion=None)


@given(field=first_fields)
def test_the_first_champion_is_decided_by_the_floors_of_the_first_candidate(field: list[Contender]) -> None:
    decided = decide(field, champion=None)
    assert decided.verdict is field[0].floors.verdict
    assert decided.winner == (field[0].model_md5 if field[0].floors.verdict is Verdict.PASS else None)


@given(field=fields)
def test_there_is_a_winner_exactly_when_the_verdict_is_pass(field: list[Contender]) -> None:
    decided = decide(field, champion=CHAMPION)
    assert (decided.winner is not None) == (decided.verdict is Verdict.PASS)


@given(field=fields)
def test_the_winner_keeps_the_floors_and_is_proven_and_none_so_proven_gains_more(field: list[Contender]) -> None:
    decided = decide(field, champion=CHAMPION)
    proven = [c for c in field if c.model_md5 != CHAMPION and overall(c) is Verdict.PASS]
    assert (decided.verdict is Verdict.PASS) == bool(proven)
    if proven:
        (winner,) = (c for c in proven if c.model_md5 == decided.winner)
        gains = [c.comparison.gain for c in proven if c.comparison and c.comparison.gain is not None]
        assert winner.comparison is not None
        assert winner.comparison.gain == max(gains)


@given(field=fields)
def test_the_champions_own_model_never_wins(field: list[Contender]) -> None:
    assert decide(field, champion=CHAMPION).winner != CHAMPION


@given(field=fields)
def test_the_verdict_is_unknown_where_none_is_proven_and_one_cannot_be_told(field: list[Contender]) -> None:
    answers = {overall(c) for c in field if c.model_md5 != CHAMPION}
    assert (decide(field, champion=CHAMPION).verdict is Verdict.UNKNOWN) == (
        Verdict.UNKNOWN in answers and Verdict.PASS not in answers
    )


@given(field=fields, champion=st.sampled_from([None, CHAMPION]))
def test_the_findings_tell_of_every_contender_and_keep_their_contract(
    field: list[Contender], champion: str | None
) -> None:
    findings = decide(field, champion=champion).findings
    PromotionFindings.validate(findings, lazy=True)
    assert list(findings.candidate.unique()) == [c.candidate for c in field]


@given(field=fields)
def test_a_verdict_always_says_why(field: list[Contender]) -> None:
    assert decide(field, champion=CHAMPION).why


def test_a_challenger_that_is_the_champion_itself_brings_nothing_new() -> None:
    decided = decide([replace(contender("same"), model_md5=CHAMPION)], champion=CHAMPION)
    assert (decided.verdict, decided.winner) == (Verdict.FAIL, None)
    assert decided.why == "the challenger is the champion's own model: nothing new"


def test_of_several_proven_the_one_that_gains_most_wins_wherever_it_stands() -> None:
    small, large = contender("small"), contender("large", comparison=replace(PROVEN, gain=0.04))
    assert {decide(field, champion=CHAMPION).winner for field in ([small, large], [large, small])} == {large.model_md5}


def test_a_proven_gain_does_not_excuse_a_broken_floor() -> None:
    broken = contender("broken", floors=FloorsJudgement(Verdict.FAIL, "calibration error 0.09", ()))
    decided = decide([broken], champion=CHAMPION)
    assert decided.verdict is Verdict.FAIL
    assert "calibration error 0.09" in decided.why


def test_a_challenger_that_was_not_compared_is_unknown_and_no_successor() -> None:
    assert decide([contender("untold", comparison=None)], champion=CHAMPION).verdict is Verdict.UNKNOWN


def test_too_few_months_are_unknown_and_say_how_many_must_mature() -> None:
    comparison = too_few_months(1, 3, after="2025-03")
    assert comparison.verdict is Verdict.UNKNOWN
    assert comparison.meaning == "1 of 3 months newer than 2025-03 are mature; 2 more must mature"


# ---------------------------------------------------------------------------------------------- rolled back, and signed

refusals = st.frozensets(st.sampled_from([f"{n:032x}" for n in range(4)] + ["t" * 32]))
approvals = st.sampled_from(["automatic", "manual"])


@given(field=fields, refused=refusals, is_first=st.booleans())
def test_a_model_that_was_rolled_back_never_wins(
    field: list[Contender],
    refused: frozenset[str],
    is_first: bool,  # noqa: FBT001
) -> None:
    assert decide(field, champion=None if is_first else CHAMPION, refused=refused).winner not in refused


@given(field=fields, refused=refusals)
def test_what_is_refused_is_as_if_it_had_not_been_proposed(field: list[Contender], refused: frozenset[str]) -> None:
    admitted = [c for c in field if c.model_md5 not in refused]
    if not [c for c in admitted if c.model_md5 != CHAMPION]:
        return
    left, alone = decide(field, champion=CHAMPION, refused=refused), decide(admitted, champion=CHAMPION)
    assert (left.verdict, left.winner, left.why) == (alone.verdict, alone.winner, alone.why)


def test_a_model_of_the_same_training_as_one_rolled_back_is_refused_too() -> None:
    again = replace(contender("again"), training_md5="t" * 32)
    assert decide([again], champion=CHAMPION).verdict is Verdict.PASS
    decided = decide([again], champion=CHAMPION, refused={"t" * 32})
    assert (decided.verdict, decided.winner) == (Verdict.FAIL, None)
    assert "again: rolled back by a person, and not proposed again" in decided.why


def test_a_refused_challenger_is_still_told_in_the_findings() -> None:
    decided = decide([contender("again")], champion=CHAMPION, refused={contender("again").model_md5})
    assert list(decided.findings.candidate.unique()) == ["again"]


@given(field=fields, approval=approvals, after=st.booleans(), is_first=st.booleans())
def test_a_person_signs_exactly_a_pass_that_params_or_a_rollback_hold_back(
    field: list[Contender],
    approval: str,
    after: bool,  # noqa: FBT001
    is_first: bool,  # noqa: FBT001
) -> None:
    decided = decide(field, champion=None if is_first else CHAMPION, approval=approval, after_rollback=after)
    waits = decided.verdict is Verdict.PASS and (approval == "manual" or after)
    assert (decided.waits is not None) == waits


@given(field=fields, approval=approvals, after=st.booleans())
def test_who_signs_changes_no_verdict(field: list[Contender], approval: str, after: bool) -> None:  # noqa: FBT001
    held, free = (
        decide(field, champion=CHAMPION, approval=approval, after_rollback=after),
        decide(field, champion=CHAMPION),
    )
    assert (held.verdict, held.winner, held.why) == (free.verdict, free.winner, free.why)


def test_an_approval_by_another_word_is_refused() -> None:
    with pytest.raises(ValueError, match="approval is 'yes'"):
        decide([contender("any")], champion=CHAMPION, approval="yes")
