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
) | st.just(too_few_months(0, 3))


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
def test_the_verdict_is_unknown_only_where_no_challenger_has_a_clear_answer(field: list[Contender]) -> None:
    answers = {overall(c) for c in field if c.model_md5 != CHAMPION}
    assert (decide(field, champion=CHAMPION).verdict is Verdict.UNKNOWN) == (answers == {Verdict.UNKNOWN})


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
    comparison = too_few_months(1, 3)
    assert comparison.verdict is Verdict.UNKNOWN
    assert comparison.meaning == "1 of 3 months newer than the champion's as_of are mature; 2 more must mature"
