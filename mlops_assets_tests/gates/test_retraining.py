"""When the model is trained anew: for a cause, of something new, within limits, the same however often it is asked."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mlops_assets.gates.attempts import (
    DECIDED,
    FAULTS,
    Attempt,
    Cause,
    Champion,
    Ended,
    Facts,
    Judgement,
    Withheld,
    learnable,
    open_causes,
)
from mlops_assets.gates.retraining import Action, Decision, Limits, decide
from mlops_assets.gates.verdict import Verdict

LIMITS = Limits(
    min_months=3, months=3, cooldown_batches=2, budget=3, budget_batches=8, breaker=3, attempts=3, backoff_seconds=60.0
)
FREE = replace(LIMITS, cooldown_batches=0, budget=99, breaker=99)
PARAMS = "p" * 32


def month(number: int) -> str:
    """The batch of this number, from 2024-01 on."""
    return f"{2024 + (number - 1) // 12}-{(number - 1) % 12 + 1:02d}"


def months(first: int, last: int) -> tuple[str, ...]:
    """The batches of these numbers, both included."""
    return tuple(map(month, range(first, last + 1)))


def tables(last: int, **corrected: str) -> dict[str, str]:
    """Digests of the labelled batches up to number `last`; those corrected have another."""
    return {batch: corrected.get(batch.replace("-", "_"), f"labelled {batch}") for batch in months(1, last)}


def champion(as_of: int = 5, digest: str = "one") -> Champion:
    """A champion that learned everything up to month `as_of`."""
    return Champion(digest, month(as_of), tables(as_of), PARAMS)


def drift(number: int, verdict: Verdict = Verdict.FAIL, *, is_pipe: bool = False, gate: str = "drift") -> Judgement:
    """What a gate said of month `number`, judged for the first champion."""
    return Judgement(gate, month(number), verdict, "one", f"report of {number}", "charges up 24 %", is_pipe)


def standing(newest: int, *judgements: Judgement, attempts: tuple[Attempt, ...] = (), mature: int = 0) -> Facts:
    """Facts with the champion of month 5, all months scored up to `newest` and mature up to the one before."""
    known = tables(mature or newest - 1)
    return Facts(months(1, newest), known, PARAMS, champion(), judgements, attempts)


def attempt(
    newest: int, ended: Ended, *causes: str, number: int = 1, against: str | None = "one", ago: float = float("inf")
) -> Attempt:
    """An attempt asked for when month `newest` was the newest."""
    learned = learnable(tables(newest - 1), PARAMS)
    return Attempt(f"{newest}:{number}", learned, number, month(newest), against, causes, ended, ago)


def key_of(facts: Facts) -> str:
    """Key of the only open cause."""
    (cause,) = open_causes(facts, LIMITS.min_months)
    return cause.key


# ---------------------------------------------------------------------------------------------------------- causes


def test_a_quiet_month_asks_for_nothing() -> None:
    decided = decide(standing(7, drift(7, Verdict.PASS)), LIMITS)
    assert (decided.action, decided.why) == (Action.SKIP, "nothing asks for a training")


@pytest.mark.parametrize("gate", ["drift", "outcomes"])
def test_a_failing_gate_retrains_on_every_mature_month_and_says_why(gate: str) -> None:
    decided = decide(standing(7, drift(7, gate=gate)), LIMITS)
    assert (decided.action, decided.as_of) == (Action.RETRAIN, month(6))
    assert decided.why == f"{gate} of 2024-07 fails: charges up 24 %"
    assert decided.learned == learnable(tables(6), PARAMS)
    assert decided.run_key == f"retrain:2024-06:{decided.learned[:12]}:1"
    assert [cause.key.split(":")[:2] for cause in decided.causes] == [[gate, "2024-07"]]


@pytest.mark.parametrize("verdict", [Verdict.PASS, Verdict.UNKNOWN])
def test_a_gate_that_does_not_fail_is_no_cause(verdict: Verdict) -> None:
    assert decide(standing(7, drift(7, verdict), drift(6, verdict, gate="outcomes")), LIMITS).action is Action.SKIP


def test_what_was_said_of_another_champion_is_no_cause() -> None:
    assert decide(standing(7, replace(drift(7), champion="two")), LIMITS).action is Action.SKIP


@pytest.mark.parametrize(("number", "action"), [(5, Action.SKIP), (6, Action.RETRAIN)])
def test_a_month_that_the_champion_learned_from_is_no_cause(number: int, action: Action) -> None:
    assert decide(standing(7, drift(number)), LIMITS).action is action


def test_a_broken_pipe_calls_a_person_and_never_retrains() -> None:
    decided = decide(standing(7, drift(7, is_pipe=True)), LIMITS)
    assert (decided.action, decided.call) == (Action.CALL, "pipe:2024-07:report of 7")
    assert "no training mends: charges up 24 %" in decided.why


def test_a_broken_pipe_of_an_older_month_calls_nobody_again() -> None:
    assert decide(standing(8, drift(7, is_pipe=True), drift(8, Verdict.PASS)), LIMITS).action is Action.SKIP


def test_a_pipe_that_is_not_broken_calls_nobody() -> None:
    assert decide(standing(7, drift(7, Verdict.PASS, is_pipe=True)), LIMITS).action is Action.SKIP


def test_outcomes_of_a_month_whose_inputs_came_broken_are_no_cause() -> None:
    facts = standing(8, drift(7, is_pipe=True), drift(7, gate="outcomes"), drift(8, Verdict.PASS))
    assert decide(facts, LIMITS).action is Action.SKIP
    assert decide(replace(facts, judgements=facts.judgements[1:]), LIMITS).action is Action.RETRAIN


def test_a_cause_beside_a_broken_pipe_retrains() -> None:
    decided = decide(standing(7, drift(7, is_pipe=True), drift(6, gate="outcomes")), LIMITS)
    assert (decided.action, decided.why) == (Action.RETRAIN, "outcomes of 2024-06 fails: charges up 24 %")


def test_all_open_causes_are_answered_by_one_training_oldest_first() -> None:
    decided = decide(standing(8, drift(8), drift(7, gate="outcomes"), drift(6)), LIMITS)
    assert [cause.key.split(":")[:2] for cause in decided.causes] == [
        ["drift", "2024-06"],
        ["outcomes", "2024-07"],
        ["drift", "2024-08"],
    ]


# ------------------------------------------------------------------------------------------------- first champion


@pytest.mark.parametrize(("mature", "action"), [(2, Action.SKIP), (3, Action.RETRAIN)])
def test_the_first_champion_waits_for_enough_mature_months(mature: int, action: Action) -> None:
    decided = decide(Facts(months(1, mature + 1), tables(mature), PARAMS, None), LIMITS)
    assert decided.action is action
    assert ("2 of 3 months are mature" in decided.why) == (mature == 2)


def test_a_first_champion_that_fell_short_of_the_floors_is_tried_with_each_further_month() -> None:
    facts = Facts(months(1, 4), tables(3), PARAMS, None)
    first = decide(facts, LIMITS)
    causes = tuple(cause.key for cause in first.causes)
    kept = Attempt("a", str(first.learned), 1, month(4), None, causes, Ended.KEPT)
    assert decide(replace(facts, attempts=(kept,)), LIMITS).action is Action.SKIP
    later = replace(facts, batches=months(1, 5), mature=tables(4), attempts=(kept,) * LIMITS.breaker)
    assert decide(later, LIMITS).action is Action.RETRAIN


def test_without_a_mature_month_there_is_nothing_to_learn_from() -> None:
    facts = replace(standing(7, drift(7)), mature={})
    assert decide(facts, LIMITS) == Decision(Action.SKIP, "no month is mature: there is nothing to learn from")


# ---------------------------------------------------------------------------------------------------- corrections


def test_a_correction_of_what_the_champion_learned_retrains() -> None:
    facts = replace(standing(7), mature=tables(6, **{"2024_03": "corrected"}))
    decided = decide(facts, LIMITS)
    assert decided.action is Action.RETRAIN
    assert decided.why == "2024-03 changed since the champion learned up to 2024-05"


def test_a_month_that_matures_late_or_is_gone_is_a_correction_too() -> None:
    late = replace(champion(), inputs={k: v for k, v in tables(5).items() if k != month(4)})
    assert "2024-04 changed" in decide(replace(standing(7), champion=late), LIMITS).why
    gone = {batch: digest for batch, digest in tables(6).items() if batch != month(2)}
    assert "2024-02 changed" in decide(replace(standing(7), mature=gone), LIMITS).why


def test_a_correction_of_a_month_that_the_champion_never_saw_is_none() -> None:
    assert decide(replace(standing(7), mature=tables(6, **{"2024_06": "corrected"})), LIMITS).action is Action.SKIP


@pytest.mark.parametrize(("digest", "action"), [("a part", Action.SKIP), ("labelled 2024-03", Action.RETRAIN)])
def test_labels_withheld_are_a_correction_only_where_the_champion_learned_just_them(
    digest: str, action: Action
) -> None:
    without = {batch: labels for batch, labels in tables(6).items() if batch != month(3)}
    withheld = (Withheld(month(3), digest, "126 of 391 customers have an outcome"),)
    assert decide(replace(standing(7), mature=without, withheld=withheld), LIMITS).action is action


def test_a_champion_of_unknown_origin_is_not_corrected() -> None:
    unknown = replace(champion(), inputs={})
    assert decide(replace(standing(7), champion=unknown), LIMITS).action is Action.SKIP


def test_a_further_correction_is_a_cause_of_its_own() -> None:
    once = replace(standing(9), mature=tables(8, **{"2024_03": "corrected"}))
    kept = replace(attempt(7, Ended.KEPT, key_of(once)), batch=month(6))
    assert decide(replace(once, attempts=(kept,)), LIMITS).action is Action.SKIP
    twice = replace(once, mature=tables(8, **{"2024_03": "corrected again"}), attempts=(kept,))
    assert decide(twice, LIMITS).action is Action.RETRAIN


# ------------------------------------------------------------------------------------------- open, closed, spent


@pytest.mark.parametrize("ended", sorted(DECIDED))
def test_a_cause_is_closed_by_a_decision_about_it(ended: Ended) -> None:
    facts = standing(7, drift(7))
    done = replace(attempt(7, ended, key_of(facts)), champion="another")
    later = replace(facts, batches=months(1, 20), mature=tables(19), attempts=(done,))
    assert decide(later, LIMITS).why == "nothing asks for a training"


@pytest.mark.parametrize("ended", sorted(set(Ended) - DECIDED - {Ended.RUNNING}))
def test_a_cause_stays_open_without_a_decision_though_the_next_month_is_green(ended: Ended) -> None:
    facts = standing(7, drift(7), drift(8, Verdict.PASS))
    tried = attempt(7, ended, key_of(facts))
    decided = decide(replace(facts, batches=months(1, 10), mature=tables(9), attempts=(tried,)), LIMITS)
    assert (decided.action, decided.as_of) == (Action.RETRAIN, month(9))
    assert [cause.key for cause in decided.causes] == [key_of(facts)]


def test_nothing_new_to_learn_is_skipped_and_said_until_outcomes_mature() -> None:
    facts = standing(7, drift(7), attempts=(attempt(7, Ended.UNKNOWN),))
    decided = decide(facts, LIMITS)
    assert decided.action is Action.SKIP
    assert decided.why == (
        "nothing new to learn since 7:1; taken up again when outcomes mature: drift of 2024-07 fails: charges up 24 %"
    )
    assert [cause.key for cause in decided.causes] == [key_of(facts)]
    assert decide(replace(facts, mature=tables(7)), LIMITS).action is Action.RETRAIN


def test_what_the_champion_itself_learned_is_nothing_new() -> None:
    facts = standing(7, drift(7), mature=5)
    assert "since the champion" in decide(facts, LIMITS).why
    assert decide(replace(facts, params="other parameters"), LIMITS).action is Action.RETRAIN


def test_an_unknown_spends_nothing() -> None:
    tried = tuple(attempt(number, Ended.UNKNOWN) for number in (7, 8, 9, 10))
    facts = replace(standing(11, drift(7)), attempts=tried)
    assert decide(facts, replace(LIMITS, budget=1, breaker=1, cooldown_batches=9)).action is Action.RETRAIN


@pytest.mark.parametrize(("newest", "action"), [(8, Action.SKIP), (9, Action.RETRAIN)])
def test_the_cooldown_counts_batches_after_a_decision(newest: int, action: Action) -> None:
    decided = decide(standing(newest, drift(newest), attempts=(attempt(7, Ended.KEPT),)), LIMITS)
    assert decided.action is action
    assert ("cooldown for 1 more batch: drift" in decided.why) == (action is Action.SKIP)
    assert decided.causes


def test_the_cooldown_counts_batches_that_came_and_not_months() -> None:
    facts = standing(9, drift(9), attempts=(attempt(7, Ended.KEPT),))
    late = replace(facts, batches=tuple(batch for batch in facts.batches if batch != month(8)))
    assert "cooldown for 1 more batch:" in decide(late, LIMITS).why


def test_the_budget_counts_decisions_in_the_newest_batches_and_says_when_it_is_free() -> None:
    done = tuple(attempt(n, Ended.PROMOTED, against="none") for n in (7, 9, 11))
    facts = standing(13, drift(13), attempts=done)
    decided = decide(facts, LIMITS)
    assert decided.action is Action.SKIP
    assert "3 trainings in 8 batches, 3 are allowed; the next in 2 more batches: drift" in decided.why
    assert decide(facts, replace(LIMITS, budget=4)).action is Action.RETRAIN
    almost = replace(facts, batches=months(1, 14), mature=tables(13))
    assert "the next in 1 more batch:" in decide(almost, LIMITS).why
    assert decide(replace(facts, batches=months(1, 15), mature=tables(14)), LIMITS).action is Action.RETRAIN


def test_an_overdrawn_budget_says_when_enough_of_it_is_free() -> None:
    done = tuple(attempt(n, Ended.PROMOTED, against="none") for n in (7, 8, 9, 10))
    facts = standing(12, drift(12), attempts=done)
    assert "the next in 4 more batches" in decide(facts, LIMITS).why
    assert decide(replace(facts, batches=months(1, 16), mature=tables(15)), LIMITS).action is Action.RETRAIN


# ------------------------------------------------------------------------------------- waiting for months to mature


def asked_about(facts: Facts, ended: Ended = Ended.UNKNOWN, *, against: str = "one") -> Facts:
    """The facts after a training for the causes that are open in them, asked for when month 7 was the newest."""
    keys = tuple(cause.key for cause in open_causes(facts, LIMITS.min_months))
    return replace(facts, attempts=(*facts.attempts, attempt(7, ended, *keys, against=against)))


def in_month(newest: int, *judgements: Judgement, began: int = 7) -> Facts:
    """Facts when month `newest` has landed, a change since month `began` was asked about at once, and is UNKNOWN."""
    first = asked_about(standing(began, drift(began)))
    return replace(standing(newest, drift(began), *judgements), attempts=first.attempts)


def test_a_first_failure_trains_at_once_though_promotion_cannot_decide() -> None:
    assert decide(standing(7, drift(7)), LIMITS).action is Action.RETRAIN


@pytest.mark.parametrize(("newest", "have"), [(7, 0), (8, 1), (9, 2)])
def test_a_question_waits_for_months_since_the_change_and_says_how_many_are_mature(newest: int, have: int) -> None:
    decided = decide(in_month(newest, *map(drift, range(8, newest + 1))), FREE)
    assert decided.action is Action.SKIP
    assert decided.why.startswith(
        f"{have} of 3 months since 2024-07 are mature; trained again when promotion can decide"
    )
    assert [cause.key.split(":")[1] for cause in decided.causes] == list(months(7, newest))


def test_when_promotion_can_decide_it_trains_again_for_all_that_failed_meanwhile() -> None:
    decided = decide(in_month(10, drift(8), drift(9, Verdict.PASS), drift(10)), LIMITS)
    assert (decided.action, decided.as_of) == (Action.RETRAIN, month(9))
    assert [cause.key.split(":")[1] for cause in decided.causes] == [month(7), month(8), month(10)]


def test_of_a_harmless_change_two_trainings_are_made_until_it_is_decided() -> None:
    facts, trained = standing(7, drift(7)), list[int]()
    for newest in range(7, 11):
        facts = replace(standing(newest, *map(drift, range(7, newest + 1))), attempts=facts.attempts)
        if (decided := decide(facts, LIMITS)).action is Action.RETRAIN:
            trained.append(newest)
            keys = tuple(cause.key for cause in decided.causes)
            done = replace(attempt(newest, Ended.UNKNOWN, *keys), learned=str(decided.learned))
            facts = replace(facts, attempts=(*facts.attempts, done))
    assert trained == [7, 10]


def test_if_promotion_still_cannot_tell_each_further_mature_month_trains_again() -> None:
    facts = in_month(10)
    again = replace(attempt(10, Ended.UNKNOWN, facts.attempts[0].causes[0]), learned=learnable(tables(9), PARAMS))
    facts = replace(facts, attempts=(*facts.attempts, again))
    assert "nothing new to learn" in decide(facts, LIMITS).why
    assert decide(replace(facts, batches=months(1, 11), mature=tables(10)), LIMITS).action is Action.RETRAIN


@pytest.mark.parametrize("ended", sorted(FAULTS))
def test_a_fault_answered_nothing_and_holds_no_question_back(ended: Ended) -> None:
    first = asked_about(standing(7, drift(7)), ended)
    facts = replace(standing(8, drift(7)), attempts=first.attempts)
    assert decide(facts, LIMITS).action is Action.RETRAIN


def test_what_another_champion_was_asked_about_holds_nothing_back() -> None:
    first = asked_about(standing(7, drift(7)), against="another")
    assert decide(replace(standing(8, drift(7)), attempts=first.attempts), LIMITS).action is Action.RETRAIN


def test_a_new_change_after_a_decision_trains_at_once_while_older_months_are_mature() -> None:
    done = asked_about(standing(7, drift(7)), Ended.KEPT)
    facts = replace(standing(12, drift(7), drift(12)), attempts=done.attempts)
    assert decide(facts, LIMITS).why == "drift of 2024-12 fails: charges up 24 %"


def test_a_correction_is_trained_for_while_a_change_waits_and_waits_with_it_once_it_was() -> None:
    corrected = tables(7, **{"2024_03": "corrected"})
    facts = replace(in_month(8), mature=corrected)
    decided = decide(facts, LIMITS)
    assert decided.action is Action.RETRAIN
    carried = tuple(cause.key for cause in decided.causes)
    assert [key.partition(":")[0] for key in carried] == ["corrections", "drift"]
    tried = replace(attempt(8, Ended.UNKNOWN, *carried), learned=str(decided.learned))
    later = replace(facts, batches=months(1, 9), mature={**corrected, month(8): "8"}, attempts=(*facts.attempts, tried))
    assert decide(later, LIMITS).why.startswith("2 of 3 months since 2024-07 are mature")


def test_a_correction_alone_never_waits_for_months() -> None:
    facts = replace(standing(7), mature=tables(6, **{"2024_03": "corrected"}))
    tried = asked_about(facts)
    later = replace(tried, batches=months(1, 8), mature={**facts.mature, month(7): "7"})
    assert decide(later, LIMITS).action is Action.RETRAIN


def test_months_that_the_champion_learned_from_do_not_count_as_months_since_the_change() -> None:
    assert decide(in_month(9, began=6), LIMITS).action is Action.RETRAIN
    late = replace(in_month(9, began=6), champion=champion(6))
    assert decide(late, LIMITS).action is Action.SKIP  # month 6 is no cause any more: it was learned


# ------------------------------------------------------------------------------------------------ accepted changes


def test_what_an_acceptance_has_answered_is_no_cause_and_what_a_gate_says_later_of_the_month_is() -> None:
    facts = standing(8, drift(7), drift(7, gate="outcomes"), drift(8))
    before, late, after = (cause.key for cause in open_causes(facts, 3))
    left = open_causes(replace(facts, normal=frozenset({before})), 3)
    assert [cause.key for cause in left] == [late, after]
    assert open_causes(replace(facts, normal=frozenset({before, late, after})), 3) == ()


def test_an_accepted_change_closes_its_causes_and_does_not_count_towards_the_breaker() -> None:
    facts = standing(20, drift(20), attempts=tuple(attempt(n, Ended.ACCEPTED) for n in (7, 9, 11)))
    assert decide(facts, LIMITS).action is Action.RETRAIN
    assert decide(asked_about(standing(7, drift(7)), Ended.ACCEPTED), LIMITS).why == "nothing asks for a training"


# ------------------------------------------------------------------------------------------------- breaker opens


def three_kept() -> Facts:
    """Three challengers without gain, and a month that fails again long after."""
    return standing(20, drift(20), attempts=tuple(attempt(n, Ended.KEPT) for n in (7, 9, 11)))


def test_challengers_without_gain_open_the_breaker_and_call_a_person() -> None:
    decided = decide(three_kept(), LIMITS)
    assert (decided.action, decided.call) == (Action.CALL, "breaker:11:1")
    assert "3 challengers in a row without gain" in decided.why
    assert decide(three_kept(), replace(LIMITS, breaker=4)).action is Action.RETRAIN


def test_the_breaker_calls_though_nothing_is_open() -> None:
    assert decide(replace(three_kept(), judgements=()), LIMITS).action is Action.CALL


@pytest.mark.parametrize("ended", [Ended.UNKNOWN, Ended.OUTAGE, Ended.FAILED])
def test_what_was_not_decided_neither_counts_for_the_breaker_nor_closes_it(ended: Ended) -> None:
    facts = three_kept()
    between = replace(facts, attempts=(*facts.attempts[:2], attempt(10, ended), facts.attempts[2]))
    assert decide(between, LIMITS).action is Action.CALL
    instead = replace(facts, attempts=(*facts.attempts[:2], attempt(11, ended)))
    assert decide(instead, LIMITS).action is Action.RETRAIN


def test_a_new_champion_closes_the_breaker() -> None:
    facts = three_kept()
    new = replace(champion(12), digest="two")
    judged = (replace(drift(20), champion="two"),)
    assert decide(replace(facts, champion=new, judgements=judged), LIMITS).action is Action.RETRAIN
    promoted = (*facts.attempts[:1], attempt(9, Ended.PROMOTED), *facts.attempts[1:])
    assert decide(replace(facts, attempts=promoted), LIMITS).action is Action.RETRAIN


def test_a_reset_forgives_what_was_before_it_and_nothing_after() -> None:
    facts = replace(three_kept(), forgiven="9:1")
    assert decide(facts, LIMITS).action is Action.RETRAIN
    assert decide(facts, replace(LIMITS, breaker=1)).action is Action.CALL
    assert decide(replace(facts, forgiven="11:1"), replace(LIMITS, breaker=1)).action is Action.RETRAIN
    assert decide(replace(facts, forgiven="nobody knows"), LIMITS).action is Action.CALL


def test_a_proven_challenger_that_waits_for_approval_holds_the_loop() -> None:
    facts = standing(20, drift(20), attempts=(attempt(7, Ended.APPROVAL),))
    decided = decide(facts, LIMITS)
    assert (decided.action, decided.call) == (Action.CALL, "approval:7:1")
    followed = replace(facts, attempts=(*facts.attempts, attempt(9, Ended.KEPT)))
    assert decide(followed, LIMITS).action is Action.RETRAIN
    signed = replace(facts, champion=replace(champion(), digest="two"), judgements=())
    assert decide(signed, LIMITS).action is Action.SKIP


def test_the_first_champion_too_may_wait_for_approval() -> None:
    waiting = replace(attempt(5, Ended.APPROVAL), champion=None)
    assert decide(Facts(months(1, 6), tables(5), PARAMS, None, attempts=(waiting,)), LIMITS).action is Action.CALL


# --------------------------------------------------------------------------------------------- holding back, faults


def test_everything_holds_back_while_something_runs_or_waits() -> None:
    for facts in (standing(7, drift(7)), three_kept(), standing(7)):
        decided = decide(replace(facts, busy=("score of 2024-08 runs", "2 files wait")), LIMITS)
        assert decided == Decision(Action.WAIT, "held back: 2 files wait, score of 2024-08 runs")


def test_an_attempt_that_runs_holds_back() -> None:
    facts = standing(7, drift(7), attempts=(attempt(7, Ended.RUNNING),))
    assert decide(facts, LIMITS) == Decision(Action.WAIT, "held back: 7:1 runs")


@pytest.mark.parametrize("ended", sorted(FAULTS))
def test_a_fault_is_tried_again_under_the_next_key_until_a_person_must_look(ended: Ended) -> None:
    facts = standing(7, drift(7), attempts=(attempt(7, ended),))
    again = decide(facts, LIMITS)
    assert (again.action, again.number, str(again.run_key)[-2:]) == (Action.RETRAIN, 2, ":2")
    thrice = replace(facts, attempts=tuple(attempt(7, ended, number=n) for n in (1, 2, 3)))
    decided = decide(thrice, LIMITS)
    assert (decided.action, decided.call) == (Action.CALL, f"attempts:{str(again.learned)[:12]}")
    assert "3 attempts failed or met an outage, the last was 7:3" in decided.why
    assert decide(replace(thrice, mature=tables(7)), LIMITS).number == 1


def test_attempts_that_nobody_remembers_do_not_lower_the_number() -> None:
    decided = decide(standing(7, drift(7), attempts=(attempt(7, Ended.FAILED, number=2),)), LIMITS)
    assert decided.number == 3


def test_a_training_by_hand_that_failed_uses_up_no_attempt() -> None:
    by_hand = tuple(attempt(7, Ended.FAILED, number=0) for _ in range(5))
    assert decide(standing(7, drift(7), attempts=by_hand), LIMITS).number == 1


@pytest.mark.parametrize(("number", "pause"), [(0, 60), (1, 60), (2, 120)])
def test_after_a_fault_it_waits_twice_as_long_each_time(number: int, pause: float) -> None:
    def after(seconds: float) -> Decision:
        return decide(standing(7, drift(7), attempts=(attempt(7, Ended.FAILED, number=number, ago=seconds),)), LIMITS)

    assert after(pause - 1).action is Action.WAIT
    assert after(pause - 1).why == f"7:{number} failed; again after {pause} s"
    assert after(pause).action is Action.RETRAIN


def test_a_fault_of_another_training_is_no_reason_to_wait() -> None:
    tried = attempt(6, Ended.FAILED, number=3, ago=0.0)
    assert decide(standing(7, drift(7), attempts=(tried,)), LIMITS).number == 1


# ------------------------------------------------------------------------------------------------------------ laws

numbers = st.integers(1, 9)
judgement = st.builds(
    Judgement,
    st.sampled_from(["drift", "outcomes"]),
    numbers.map(month),
    st.sampled_from(Verdict),
    st.sampled_from(["one", "two"]),
    st.sampled_from(["r1", "r2"]),
    st.just(""),
    st.booleans(),
)
mature = st.dictionaries(numbers.map(month), st.sampled_from(["a", "b"]), max_size=6)
tried = st.builds(
    lambda of, number, newest, against, causes, ended, ago: Attempt(
        f"{of}:{number}", learnable(of, PARAMS), number, month(newest), against, tuple(causes), ended, ago
    ),
    mature,
    st.integers(0, 3),
    numbers,
    st.sampled_from([None, "one", "two"]),
    st.lists(st.sampled_from(["drift:2024-06:r1", "outcomes:2024-05:r2", "corrections:x"]), max_size=2),
    st.sampled_from(Ended),
    st.sampled_from([0.0, 90.0, float("inf")]),
)
facts = st.builds(
    Facts,
    st.sets(numbers.map(month)).map(lambda found: tuple(sorted(found))),
    mature,
    st.just(PARAMS),
    st.none() | st.builds(Champion, st.sampled_from(["one", "two"]), numbers.map(month), mature, st.just(PARAMS)),
    st.lists(judgement, max_size=5).map(tuple),
    st.lists(tried, max_size=5).map(tuple),
    st.lists(st.sampled_from(["score runs"]), max_size=1).map(tuple),
    st.none() | st.just("any"),
)
limits = st.builds(
    Limits,
    min_months=st.integers(1, 4),
    cooldown_batches=st.integers(0, 3),
    budget=st.integers(1, 4),
    budget_batches=st.integers(1, 8),
    breaker=st.integers(1, 4),
    attempts=st.integers(1, 4),
    backoff_seconds=st.sampled_from([0.0, 60.0]),
)


@given(facts=facts, limits=limits, order=st.integers(0, 99))
def test_the_same_facts_in_any_order_give_the_same_decision(facts: Facts, limits: Limits, order: int) -> None:
    dealt = random.Random(order)  # noqa: S311 - an order, no secret
    other = replace(
        facts,
        batches=tuple(dealt.sample(facts.batches, len(facts.batches))),
        mature=dict(dealt.sample(sorted(facts.mature.items()), len(facts.mature))),
        judgements=tuple(dealt.sample(facts.judgements, len(facts.judgements))),
    )
    assert decide(other, limits) == decide(facts, limits)


@given(facts=facts, limits=limits)
def test_a_decision_to_retrain_is_complete_and_any_other_asks_for_no_run(facts: Facts, limits: Limits) -> None:
    decided = decide(facts, limits)
    wanted = (decided.run_key, decided.as_of, decided.learned, decided.number)
    assert (None not in wanted) == (decided.action is Action.RETRAIN)
    assert wanted == (None,) * 4 or decided.action is Action.RETRAIN
    assert (decided.call is not None) == (decided.action is Action.CALL)
    assert decided.why
    assert decided.causes or decided.action is not Action.RETRAIN


@given(facts=facts, limits=limits)
def test_nothing_is_trained_while_something_runs(facts: Facts, limits: Limits) -> None:
    is_running = facts.busy or any(attempt.ended is Ended.RUNNING for attempt in facts.attempts)
    assert not is_running or decide(facts, limits).action is Action.WAIT


@given(facts=facts, limits=limits)
def test_a_broken_pipe_never_starts_a_training(facts: Facts, limits: Limits) -> None:
    decided = decide(facts, limits)
    pipes = {told.batch for told in facts.judgements if told.is_pipe and told.verdict is Verdict.FAIL}
    assert not {cause.key.split(":")[1] for cause in decided.causes} & pipes
    without = replace(facts, judgements=tuple(told for told in facts.judgements if told.batch not in pipes))
    assert decided.causes == decide(without, limits).causes


@given(facts=facts, limits=limits)
def test_what_was_learned_to_an_end_is_not_learned_again(facts: Facts, limits: Limits) -> None:
    decided = decide(facts, limits)
    ended = {attempt.learned for attempt in facts.attempts if attempt.ended not in FAULTS}
    assert decided.action is not Action.RETRAIN or decided.learned not in ended


@given(facts=facts, limits=limits)
def test_a_key_is_new_and_its_number_bounded(facts: Facts, limits: Limits) -> None:
    decided = decide(facts, limits)
    if decided.number is not None:
        used = [attempt.number for attempt in facts.attempts if attempt.learned == decided.learned]
        assert max(used, default=0) < decided.number <= limits.attempts


@given(facts=facts, limits=limits)
def test_only_what_can_be_learned_and_how_often_it_was_tried_makes_the_key(facts: Facts, limits: Limits) -> None:
    decided = decide(facts, limits)
    if decided.action is Action.RETRAIN:
        learned = learnable(facts.mature, facts.params)
        number = 1 + max((a.number for a in facts.attempts if a.learned == learned), default=0)
        assert decided.run_key == f"retrain:{max(facts.mature)}:{learned[:12]}:{number}"


# ------------------------------------------------------------------------------------------------- the loop, lived


class Loop(RuleBasedStateMachine):
    """Months land, mature, are corrected and judged in any order; trainings end in any way; the rule is asked often."""

    def __init__(self) -> None:
        """A loop in which nothing has landed yet."""
        super().__init__()
        self.limits = LIMITS
        self.facts = Facts((), {}, PARAMS, None)
        self.keys: list[str] = []
        self.version = 0
        self.asked: Decision | None = None

    @initialize(limits=limits)
    def limit(self, limits: Limits) -> None:
        """Any limits at all."""
        self.limits = limits

    @rule(verdict=st.sampled_from(Verdict), is_pipe=st.booleans())
    def land(self, verdict: Verdict, *, is_pipe: bool) -> None:
        """A month is scored and judged."""
        batch = month(len(self.facts.batches) + 1)
        self.facts = replace(self.facts, batches=(*self.facts.batches, batch))
        self.judge("drift", batch, verdict, is_pipe=is_pipe)

    def judge(self, gate: str, batch: str, verdict: Verdict, *, is_pipe: bool = False) -> None:
        """A gate has its last word on a batch."""
        if self.facts.champion is None:
            return
        self.version += 1
        told = Judgement(gate, batch, verdict, self.facts.champion.digest, f"{self.version}", "", is_pipe)
        others = tuple(j for j in self.facts.judgements if (j.gate, j.batch) != (gate, batch))
        self.facts = replace(self.facts, judgements=(*others, told))

    @precondition(lambda self: len(self.facts.mature) < len(self.facts.batches))
    @rule(verdict=st.sampled_from(Verdict))
    def mature(self, verdict: Verdict) -> None:
        """The outcomes of the oldest month without them land."""
        batch = month(len(self.facts.mature) + 1)
        self.facts = replace(self.facts, mature={**self.facts.mature, batch: "first"})
        self.judge("outcomes", batch, verdict)

    @precondition(lambda self: self.facts.mature)
    @rule(data=st.data())
    def correct(self, data: st.DataObject) -> None:
        """A mature month is delivered again with other bytes."""
        batch = data.draw(st.sampled_from(sorted(self.facts.mature)))
        self.version += 1
        self.facts = replace(self.facts, mature={**self.facts.mature, batch: f"corrected {self.version}"})

    @rule()
    def ask(self) -> None:
        """The sensor is evaluated, twice; a training it asks for starts."""
        decided = decide(self.facts, self.limits)
        assert decided == decide(self.facts, self.limits)
        if decided.action is Action.RETRAIN:
            self.hold(decided)
            self.keys.append(str(decided.run_key))
            newest, facing = max(self.facts.batches, default=""), self.facts.champion
            causes = tuple(cause.key for cause in decided.causes)
            started = Attempt(
                str(decided.run_key), str(decided.learned), int(decided.number or 0), newest,
                facing.digest if facing else None, causes, Ended.RUNNING, 0.0,
            )  # fmt: skip
            self.facts = replace(self.facts, attempts=(*self.facts.attempts, started))

    def hold(self, decided: Decision) -> None:
        """Holds what must be true of a training, said from what happened and not from what the rule computes."""
        attempts, newest = self.facts.attempts, len(self.facts.batches)
        assert decided.run_key not in self.keys
        assert not any(attempt.ended is Ended.RUNNING for attempt in attempts)
        if self.facts.champion is None:
            return
        spent = [newest - self.facts.batches.index(a.batch) - 1 for a in attempts if a.ended in DECIDED]
        assert all(old >= self.limits.cooldown_batches for old in spent)
        assert sum(old < self.limits.budget_batches for old in spent) < self.limits.budget
        in_a_row = [a.ended for a in attempts if a.champion == self.facts.champion.digest and a.ended in DECIDED]
        assert in_a_row[-self.limits.breaker :] != [Ended.KEPT] * self.limits.breaker

    @precondition(lambda self: any(a.ended is Ended.RUNNING for a in self.facts.attempts))
    @rule(ended=st.sampled_from([Ended.PROMOTED, Ended.KEPT, Ended.UNKNOWN, Ended.FAILED, Ended.OUTAGE]))
    def end(self, ended: Ended) -> None:
        """The training ends; with a PASS it is champion and what it has not learned is judged afresh."""
        *before, last = self.facts.attempts
        done = replace(last, ended=ended, ended_seconds_ago=float("inf"))
        self.facts = replace(self.facts, attempts=(*before, done))
        if ended is Ended.PROMOTED:
            inputs = dict(self.facts.mature)
            self.facts = replace(self.facts, champion=Champion(done.run_key, max(inputs), inputs, PARAMS))

    @invariant()
    def a_cause_that_may_be_answered_is(self) -> None:
        """Nothing is forgotten: an open cause is trained for, or a limit, a person or a lack of news is named."""
        decided = decide(self.facts, self.limits)
        if open_causes(self.facts, self.limits.min_months) and decided.action is Action.SKIP:
            assert decided.why.startswith(("nothing new to learn", "cooldown", "no month is mature")) or any(
                words in decided.why for words in ("are allowed", "trained again when promotion can decide")
            )

    @invariant()
    def no_key_is_used_twice(self) -> None:
        """A key that Dagster has seen is dropped without a word."""
        assert len(self.keys) == len(set(self.keys))


TestLoop = Loop.TestCase
TestLoop.settings = settings(max_examples=60, stateful_step_count=40)


def test_a_cause_is_known_by_gate_batch_and_report() -> None:
    assert open_causes(standing(7, drift(7)), 3) == (
        Cause("drift:2024-07:report of 7", "drift of 2024-07 fails: charges up 24 %"),
    )
