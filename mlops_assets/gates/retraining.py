"""Decides whether the model is rematerialized now, and under which key, from facts alone.

A sensor may be evaluated twice, lose its cursor or meet a restarted daemon. So nothing is remembered here: what was
tried before comes in as `Attempt`s, and the same facts give the same decision. Time is counted in batches, since a
month that lands late is late for every limit too; only the pause after a fault is in seconds: outages know no months.

The order of the questions is the rule: hold back while something runs; call a person where only one can go on; then is
there a cause (`attempts` says what is one), can promotion decide about it, can anything new be learned, do the limits
allow it. What fails first trains at once, so that a challenger is there; then the question waits until enough months
since the change are mature, since a training in between could only end in UNKNOWN again.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from mlops_assets.gates.attempts import (
    DECIDED,
    FAULTS,
    Attempt,
    Cause,
    Ended,
    Facts,
    changed_since,
    learnable,
    open_causes,
)
from mlops_assets.gates.verdict import Verdict


class Action(StrEnum):
    """What the sensor does."""

    RETRAIN = "RETRAIN"
    WAIT = "WAIT"
    """Hold back, cursor unmoved: the facts are about to change."""
    SKIP = "SKIP"
    CALL = "CALL"
    """Only a person can go on."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a loop may do by itself, in batches; `attempts` at the same key, `backoff_seconds` after the first fault.

    `months`: mature months since a change that promotion needs to decide.
    """

    min_months: int
    months: int
    cooldown_batches: int
    budget: int
    budget_batches: int
    breaker: int
    attempts: int
    backoff_seconds: float


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do and why; `causes`, `run_key`, `as_of`, `learned` and `number` are those of the training to ask for.

    `call` names what a person is called for, the same as long as it is the same thing; only with CALL.
    """

    action: Action
    why: str
    causes: tuple[Cause, ...] = ()
    run_key: str | None = None
    as_of: str | None = None
    learned: str | None = None
    number: int | None = None
    call: str | None = None


def decide(facts: Facts, limits: Limits) -> Decision:
    """Whether to retrain now; the first rule that has something to say decides."""
    held = busy(facts)
    if held:
        return Decision(Action.WAIT, f"held back: {held}")
    return next(answers(facts, limits))


def answers(facts: Facts, limits: Limits) -> Iterator[Decision]:
    """What each rule says, most important first; the last always says something."""
    yield from stopped(facts, limits)
    if not facts.mature:
        yield Decision(Action.SKIP, "no month is mature: there is nothing to learn from")
    causes = open_causes(facts, limits.min_months)
    if not causes:
        yield idle(facts, limits)
    as_of = max(facts.mature)
    learned = learnable(facts.mature, facts.params)
    yield from undecidable(facts, limits, causes)
    yield from nothing_new(facts, learned, causes)
    if facts.champion is not None:
        yield from spent(facts, limits, causes)
    yield from faulty(facts, limits, learned, causes)
    number = max((a.number for a in facts.attempts if a.learned == learned), default=0) + 1
    key = f"retrain:{as_of}:{learned[:12]}:{number}"
    why = "; ".join(cause.why for cause in causes)
    yield Decision(Action.RETRAIN, why, causes, key, as_of, learned, number)


def busy(facts: Facts) -> str:
    """What runs or waits, in words; empty if nothing does."""
    running = tuple(f"{a.run_key} runs" for a in facts.attempts if a.ended is Ended.RUNNING)
    return ", ".join(sorted({*facts.busy, *running}))


def stopped(facts: Facts, limits: Limits) -> Iterator[Decision]:
    """Calls for a person where the loop must not go on by itself."""
    decided = [a for a in facts.attempts if a.ended in DECIDED]
    last = decided[-1] if decided else None
    present = facts.champion.digest if facts.champion else None
    if last and last.ended is Ended.APPROVAL and last.champion == present:
        why = f"the challenger of {last.run_key} is proven better and waits for a person's approval"
        yield Decision(Action.CALL, why, call=f"approval:{last.run_key}")
    # Without a champion nothing scores, and the floors, which alone decide then, may hold with a month more.
    if present and last and (without := streak(facts)) >= limits.breaker:
        why = f"{without} challengers in a row without gain over the champion: the breaker is open"
        yield Decision(Action.CALL, why, call=f"breaker:{last.run_key}")


def streak(facts: Facts) -> int:
    """Challengers without gain in a row, against the present champion and since the breaker was last reset."""
    keys = [attempt.run_key for attempt in facts.attempts]
    start = len(keys) - keys[::-1].index(facts.forgiven) if facts.forgiven in keys else 0
    present = facts.champion.digest if facts.champion else None
    count = 0
    for attempt in (a for a in reversed(facts.attempts[start:]) if a.ended in DECIDED):
        if attempt.ended is not Ended.KEPT or attempt.champion != present:
            break
        count += 1
    return count


def idle(facts: Facts, limits: Limits) -> Decision:
    """Why there is nothing to train for; a call where the newest batch came through a broken pipe."""
    if facts.champion is None and len(facts.mature) < limits.min_months:
        return Decision(Action.SKIP, f"no champion yet: {len(facts.mature)} of {limits.min_months} months are mature")
    newest = max(facts.batches, default="")
    for told in sorted(facts.judgements, key=lambda told: (told.gate, told.digest)):
        if told.is_pipe and told.verdict is Verdict.FAIL and told.batch == newest:
            why = f"{told.batch} came through a broken pipe, which no training mends: {told.moved}"
            return Decision(Action.CALL, why, call=f"pipe:{told.batch}:{told.digest[:12]}")
    return Decision(Action.SKIP, "nothing asks for a training")


def undecidable(facts: Facts, limits: Limits, causes: tuple[Cause, ...]) -> Iterator[Decision]:
    """A skip where promotion was asked about a change and still has too few months to decide; it says how many.

    A correction that no training has carried yet is not held back: the champion learned what was wrong.
    """
    since = changed_since(cause.key for cause in causes)
    if since is None or facts.champion is None:
        return
    asked = {key for a in facts.attempts if is_unanswered(a, facts.champion.digest) for key in a.causes}
    keys = {cause.key for cause in causes}
    if not keys & asked or any(key.startswith("corrections:") for key in keys - asked):
        return
    have = sum(batch >= since and batch > facts.champion.as_of for batch in facts.mature)
    if have < limits.months:
        counted = f"{have} of {limits.months} months since {since} are mature"
        yield Decision(Action.SKIP, f"{counted}; trained again when promotion can decide: {listed(causes)}", causes)


def is_unanswered(attempt: Attempt, champion: str) -> bool:
    """Whether promotion was asked about this champion, and could not tell for want of months or rows."""
    return attempt.ended is Ended.UNKNOWN and attempt.champion == champion


def nothing_new(facts: Facts, learned: str, causes: tuple[Cause, ...]) -> Iterator[Decision]:
    """A skip where a training that ended, or the champion itself, has learned from just this."""
    ended = [a for a in facts.attempts if a.learned == learned and a.ended not in FAULTS]
    champion = facts.champion
    by = ended[-1].run_key if ended else None
    if by is None and champion and learnable(champion.inputs, champion.params) == learned:
        by = "the champion"
    if by is not None:
        again = "taken up again when outcomes mature"
        yield Decision(Action.SKIP, f"nothing new to learn since {by}; {again}: {listed(causes)}", causes)


def spent(facts: Facts, limits: Limits, causes: tuple[Cause, ...]) -> Iterator[Decision]:
    """A skip where cooldown or budget hold the training back; both counted in batches."""
    ages = sorted(age(attempt.batch, facts.batches) for attempt in facts.attempts if attempt.ended in DECIDED)
    if ages and ages[0] < limits.cooldown_batches:
        left = limits.cooldown_batches - ages[0]
        yield Decision(Action.SKIP, f"cooldown for {batches_in_words(left)}: {listed(causes)}", causes)
    recent = [old for old in ages if old < limits.budget_batches]
    if len(recent) >= limits.budget:
        left = limits.budget_batches - recent[limits.budget - 1]
        used = f"{len(recent)} trainings in {limits.budget_batches} batches, {limits.budget} are allowed"
        yield Decision(Action.SKIP, f"{used}; the next in {batches_in_words(left)}: {listed(causes)}", causes)


def faulty(facts: Facts, limits: Limits, learned: str, causes: tuple[Cause, ...]) -> Iterator[Decision]:
    """A pause after a fault, twice as long each time, and a call when it was tried often enough."""
    faults = [a for a in facts.attempts if a.learned == learned and a.ended in FAULTS]
    if not faults:
        return
    number = max(fault.number for fault in faults)
    if number >= limits.attempts:
        why = f"{number} attempts failed or met an outage, the last was {faults[-1].run_key}: {listed(causes)}"
        yield Decision(Action.CALL, why, causes, call=f"attempts:{learned[:12]}")
    pause = limits.backoff_seconds * 2 ** (max(number, 1) - 1)
    if faults[-1].ended_seconds_ago < pause:
        yield Decision(Action.WAIT, f"{faults[-1].run_key} {faults[-1].ended}; again after {pause:g} s", causes)


def age(batch: str, batches: tuple[str, ...]) -> int:
    """How many batches are newer than `batch`."""
    return sum(other > batch for other in set(batches))


def listed(causes: tuple[Cause, ...]) -> str:
    """The causes in words, those beyond three counted."""
    more = f"; and {len(causes) - 3} more" if len(causes) > 3 else ""  # noqa: PLR2004
    return "; ".join(cause.why for cause in causes[:3]) + more


def batches_in_words(count: int) -> str:
    """`1 more batch`, `2 more batches`."""
    return f"{count} more batch{'es' if count > 1 else ''}"
