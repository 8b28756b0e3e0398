"""A change is the new normal when promotion found no gain in it and its outcomes are as promised; else never."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.gates.acceptance import Acceptance, judge_change
from mlops_assets.gates.promotion import Comparison, FloorsJudgement
from mlops_assets.gates.requirements import Requirement
from mlops_assets.gates.succession import Contender, Succession, decide
from mlops_assets.gates.verdict import Verdict

WINDOW = ("2024-08", "2024-09", "2024-10")
CAUSES = ("drift:2024-08:0123456789ab", "outcomes:2024-09:0123456789ab", "drift:2024-10:0123456789ab")
PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN
PROMISED = dict.fromkeys(WINDOW, PASS)


def requirement(subject: str, *, holds: bool, value: float = 0.002) -> Requirement:
    """One thing asked of a candidate, and whether it is so."""
    return Requirement(subject, value, value - 0.003, value + 0.003, 0.0, holds, f"{value:+.4f} {subject}")


def compared(*, gain: bool = False, worth: bool = False, segment: bool = True, value: float = 0.002) -> Comparison:
    """A comparison in which a gain is proven or not, worth a change or not, and no segment loses, or one does."""
    by_metric = (requirement("log_loss", holds=gain, value=value), requirement("relative_gain", holds=worth))
    by_segment = (requirement("contract=monthly", holds=segment),)
    verdict = PASS if gain and worth and segment else FAIL
    return Comparison(verdict, str(verdict), value, value - 0.003, value + 0.003, by_metric, by_segment)


def contender(name: str, comparison: Comparison | None, floors: Verdict = PASS) -> Contender:
    """A candidate of which the floors and the comparison say this."""
    return Contender(name, name * 4, FloorsJudgement(floors, f"floors {floors}", ()), comparison, f"training of {name}")


def succession(*contenders: Contender, champion: str | None = "champion", refused: Sequence[str] = ()) -> Succession:
    """What promotion itself says of them."""
    return decide(contenders, champion=champion, refused=refused)


NO_GAIN = succession(contender("a", compared()), contender("b", compared(value=0.004)))


def judged(
    verdict: Succession = NO_GAIN,
    causes: Sequence[str] = CAUSES,
    window: Sequence[str] = WINDOW,
    outcomes: dict[str, Verdict] = PROMISED,
    *,
    mature: Sequence[str] = WINDOW,
    months: int = 3,
    taken_back_by: str | None = None,
) -> Acceptance:
    """The rule about a change since 2024-08 that it accepts, but for what is handed over."""
    return judge_change(causes, verdict, window, outcomes, mature=mature, months=months, taken_back_by=taken_back_by)


def test_no_gain_and_outcomes_as_promised_make_a_change_the_new_normal() -> None:
    told = judged()
    assert (told.since, told.months) == ("2024-08", WINDOW)
    assert told.figures == {"gain": "+0.0040 [+0.0010, +0.0070]", "outcomes": "as promised in 3 of 3 months"}
    assert told.why == (
        "no gain proven (+0.0040 [+0.0010, +0.0070]), outcomes as promised in 3 of 3 months; "
        "the reference takes them in"
    )


@pytest.mark.parametrize("causes", [(), ("corrections:0123456789ab",), ("first:0123456789ab",)])
def test_what_no_batch_asked_for_is_no_change(causes: Sequence[str]) -> None:
    assert judged(causes=causes).since is None


def test_a_correction_that_was_trained_for_with_the_change_does_not_speak_against_it() -> None:
    assert judged(causes=("corrections:0123456789ab", *CAUSES)).since == "2024-08"


def test_a_change_that_is_undecided_or_answered_by_a_new_champion_is_not_accepted() -> None:
    better, open_still = contender("a", compared(gain=True, worth=True)), Comparison(UNKNOWN, "too few months")
    assert "promotion said PASS" in judged(succession(better)).why
    assert "promotion said UNKNOWN" in judged(succession(contender("a", open_still))).why
    assert judged(succession(better)).since is judged(succession(contender("a", open_still))).since is None


def test_the_champions_own_model_proves_nothing_about_a_change() -> None:
    told = judged(succession(contender("a", compared()), champion="aaaa"))
    assert (told.since, "nothing new" in told.why) == (None, True)


def test_challengers_that_were_rolled_back_prove_nothing_about_a_change() -> None:
    told = judged(succession(contender("a", compared()), refused=["training of a"]))
    assert (told.since, "rolled back by a person" in told.why) == (None, True)


def test_a_first_champion_that_fails_the_floors_is_no_change() -> None:
    assert judged(succession(contender("a", None, FAIL), champion=None)).since is None


def test_where_no_candidate_keeps_the_floors_nothing_is_accepted() -> None:
    told = judged(succession(contender("a", compared(), FAIL), contender("b", compared(), FAIL)))
    assert (told.since, told.why) == (None, "not accepted: no candidate keeps the floors")


def test_one_candidate_that_keeps_the_floors_without_gain_is_enough() -> None:
    assert judged(succession(contender("a", compared(), FAIL), contender("b", compared()))).since == "2024-08"


@pytest.mark.parametrize(
    "better",
    [
        contender("a", compared(gain=True, worth=True), FAIL),
        contender("a", compared(gain=True, worth=True, segment=False)),
    ],
)
def test_a_candidate_that_gains_and_is_kept_out_by_floor_or_segment_forbids_it(better: Contender) -> None:
    told = judged(succession(better, contender("b", compared())))
    assert (told.since, "a gains on the champion" in told.why) == (None, True)


def test_a_gain_too_small_to_be_worth_a_change_does_not() -> None:
    assert judged(succession(contender("a", compared(gain=True)))).since == "2024-08"


def test_a_candidate_that_could_not_be_compared_forbids_it() -> None:
    unknown = contender("a", Comparison(UNKNOWN, "a score is missing"), FAIL)
    assert "could not be compared" in judged(succession(unknown, contender("b", compared()))).why


@pytest.mark.parametrize("window", [(), WINDOW[1:], ("2024-07", *WINDOW)])
def test_fewer_months_than_asked_for_or_one_from_before_the_change_are_not_enough(window: Sequence[str]) -> None:
    told = judged(window=window, mature=("2024-07", *WINDOW))
    assert (told.since, "of 3 months since 2024-08" in told.why) == (None, True)


def test_a_month_that_is_not_mature_forbids_it() -> None:
    assert judged(mature=WINDOW[:2]).why == "not accepted: 2024-10 are not mature"


@pytest.mark.parametrize("month", WINDOW)
def test_outcomes_that_are_not_as_promised_in_one_of_the_months_forbid_it(month: str) -> None:
    told = judged(outcomes={**PROMISED, month: FAIL})
    assert told.why == f"not accepted: the outcomes of {month} are not what the champion promised"


def test_outcomes_of_other_months_do_not_count() -> None:
    assert judged(outcomes={**PROMISED, "2024-07": FAIL, "2024-11": FAIL}).since == "2024-08"
    assert judged(outcomes={"2024-07": PASS}).since is None


def test_outcomes_that_cannot_tell_do_not_speak_against_it_where_one_month_passes() -> None:
    told = judged(outcomes={**dict.fromkeys(WINDOW, UNKNOWN), "2024-10": PASS})
    assert (told.since, told.figures["outcomes"]) == ("2024-08", "as promised in 1 of 3 months")
    assert judged(outcomes={"2024-10": PASS}).since == "2024-08"
    assert judged(outcomes=dict.fromkeys(WINDOW, UNKNOWN)).since is None


def test_after_a_person_took_one_back_a_person_accepts_the_next() -> None:
    assert judged(taken_back_by="ann").why == (
        "not accepted: ann took back an earlier acceptance; a person accepts the next"
    )


verdicts = st.sampled_from(Verdict)
comparisons = st.builds(compared, gain=st.booleans(), worth=st.booleans(), segment=st.booleans())


@given(
    contenders=st.lists(st.tuples(comparisons, verdicts), min_size=1, max_size=3),
    outcomes=st.dictionaries(st.sampled_from(WINDOW), verdicts),
    window=st.lists(st.sampled_from(("2024-07", *WINDOW)), unique=True).map(sorted),
)
def test_whatever_is_judged_nothing_better_no_broken_promise_and_no_older_month_is_accepted(
    contenders: list[tuple[Comparison, Verdict]], outcomes: dict[str, Verdict], window: list[str]
) -> None:
    verdict = succession(*(contender("abc"[n], one, floors) for n, (one, floors) in enumerate(contenders)))
    told = judged(verdict, window=window, outcomes=outcomes)
    assert (told.since is not None) == bool(told.months) == bool(told.figures)
    if told.since:
        assert verdict.verdict is FAIL
        assert not any(one.verdict is PASS for one, _ in contenders)
        assert FAIL not in {outcomes.get(month) for month in window}
        assert told.months == WINDOW


def test_the_order_of_months_and_causes_changes_nothing() -> None:
    assert judged(causes=CAUSES[::-1], window=WINDOW[::-1]) == judged()
    assert replace(NO_GAIN, findings=pd.DataFrame()).compared == NO_GAIN.compared
