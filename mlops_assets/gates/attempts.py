"""Decides what is a cause to train the model anew, and whether it is still open, from what gates and trainings said.

A cause is closed when promotion has said PASS or FAIL about it, and by nothing else: an UNKNOWN, a fault or a green
month after it leave it open. What a verdict takes for a broken pipe is never a cause: a model cannot learn it away.
Everything is named by digests and batches alone, so that a cause, and what a training would learn from, have the same
name whoever asks and however often. What follows from it is the work of `retraining`.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from mlops_assets.gates.verdict import Verdict


class Ended(StrEnum):
    """How an attempt ended."""

    PROMOTED = "promoted"
    KEPT = "kept"
    """FAIL: nothing proved the challenger better, or a person declined it."""
    ACCEPTED = "accepted"
    """FAIL, and what changed is the new normal (`acceptance`): the champion is as good as ever."""
    APPROVAL = "approval"
    """PASS, and a person has not signed yet."""
    UNKNOWN = "unknown"
    """Too few months or rows: only new outcomes can tell."""
    OUTAGE = "outage"
    """UNKNOWN because something was down: the same again may tell."""
    FAILED = "failed"
    RUNNING = "running"


DECIDED = frozenset({Ended.PROMOTED, Ended.KEPT, Ended.ACCEPTED, Ended.APPROVAL})
"""Promotion has said PASS or FAIL: only these close a cause and spend cooldown, budget and breaker."""

FAULTS = frozenset({Ended.FAILED, Ended.OUTAGE})
"""Nothing was learned about the challenger: the same may be tried again."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The last word of a monitoring gate, `drift` or `outcomes`, on a batch; `digest` is that of its report.

    `champion` is the digest of the model judged; `is_pipe`: the gate takes it for a broken pipe; `moved`: in words.
    """

    gate: str
    batch: str
    verdict: Verdict
    champion: str
    digest: str
    moved: str = ""
    is_pipe: bool = False


@dataclass(frozen=True, slots=True)
class Withheld:
    """Labels that lie there and are no evidence, by batch and digest, and why; a person may accept them.

    `is_stale`: nobody knows whether they are, since they changed after their coverage was judged.
    """

    batch: str
    digest: str
    why: str
    is_stale: bool = False


@dataclass(frozen=True, slots=True)
class Cause:
    """Why the model should be trained anew; `key` is the same as long as it is the same cause."""

    key: str
    why: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One training that was asked for; of a run that Dagster repeated by itself, the last.

    `learned` is `learnable` of what it saw, `number` its place among attempts at that (0: by hand), `batch` the newest
    batch and `champion` the model in service when it was asked for, `causes` the keys of its causes.
    """

    run_key: str
    learned: str
    number: int
    batch: str
    champion: str | None
    causes: tuple[str, ...]
    ended: Ended
    ended_seconds_ago: float = float("inf")


@dataclass(frozen=True, slots=True)
class Champion:
    """The model in service; `inputs`: digests of the batches it learned from, `params`: that of its parameters.

    `inputs` is empty where nobody knows any more.
    """

    digest: str
    as_of: str
    inputs: Mapping[str, str]
    params: str


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything the decision rests on.

    `batches`: all that were scored; `mature`: digest of the labelled table by batch; `params`: digest of the parameters
    that a training reads; `judgements`: the last word of each gate on each batch; `attempts`: oldest first; `busy`:
    runs of the loop that are queued or running and accepted files that wait, in words; `forgiven`: key of the newest
    attempt when a person last reset the breaker; `withheld`: labels that are no evidence, which `mature` leaves out;
    `normal`: keys of causes that ask for nothing since a change is accepted: what gates had said of its months, and of
    months that are yet to be judged anew.
    """

    batches: tuple[str, ...]
    mature: Mapping[str, str]
    params: str
    champion: Champion | None
    judgements: tuple[Judgement, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    busy: tuple[str, ...] = ()
    forgiven: str | None = None
    withheld: tuple[Withheld, ...] = ()
    normal: frozenset[str] = frozenset()


def learnable(inputs: Mapping[str, str], params: str) -> str:
    """Digest of what a training on the labelled batches `inputs` would learn from, 32 hex digits."""
    content = json.dumps([sorted(inputs.items()), params])
    return hashlib.md5(content.encode(), usedforsecurity=False).hexdigest()


def changed_since(keys: Iterable[str]) -> str | None:
    """The batch in which the oldest of these causes, by key, was first seen; None where none is of a batch.

    Only months from there on can prove a challenger that was made because something changed.
    """
    return min((key.split(":")[1] for key in keys if key.startswith(("drift:", "outcomes:"))), default=None)


def open_causes(facts: Facts, min_months: int) -> tuple[Cause, ...]:
    """Why to train anew, oldest batch first: what promotion has not said PASS or FAIL about."""
    closed = {key for attempt in facts.attempts if attempt.ended in DECIDED for key in attempt.causes}
    return tuple(cause for cause in causes_of(facts, min_months) if cause.key not in closed)


def causes_of(facts: Facts, min_months: int) -> Iterator[Cause]:
    """Every cause there is, open or not."""
    champion = facts.champion
    if champion is None:
        if len(facts.mature) >= min_months:
            # Named by what can be learned: floors that fail today may hold when another month is mature.
            key = f"first:{learnable(facts.mature, facts.params)[:12]}"
            yield Cause(key, f"no champion yet, and {len(facts.mature)} months are mature")
        return
    yield from corrections(champion, facts.mature, facts.withheld)
    pipes = {told.batch for told in facts.judgements if told.is_pipe and told.verdict is Verdict.FAIL}
    for told in sorted(facts.judgements, key=lambda told: (told.batch, told.gate, told.digest)):
        is_ours = told.champion == champion.digest and told.batch > champion.as_of
        # Outcomes of a month whose inputs came broken fail because of the inputs.
        if told.verdict is Verdict.FAIL and is_ours and told.batch not in pipes:
            why = f"{told.gate} of {told.batch} fails" + (f": {told.moved}" if told.moved else "")
            if (key := key_of(told)) not in facts.normal:
                yield Cause(key, why)


def key_of(told: Judgement) -> str:
    """The key of the cause that a FAIL is: another report of the same batch is another cause."""
    return f"{told.gate}:{told.batch}:{told.digest[:12]}"


def corrections(champion: Champion, mature: Mapping[str, str], withheld: Iterable[Withheld] = ()) -> Iterator[Cause]:
    """At most one cause: months up to the champion's as_of that are not as it learned them.

    Other labels that are no evidence correct nothing yet: a person says first whether they hold. The same labels, which
    somebody no longer holds for evidence, do.
    """
    if not champion.inputs:  # nobody knows any more what it learned from, so nobody can say what changed
        return
    now = {batch: digest for batch, digest in mature.items() if batch <= champion.as_of}
    undecided = {labels.batch for labels in withheld if labels.digest != champion.inputs.get(labels.batch)}
    changed = sorted(b for b in {*now, *champion.inputs} - undecided if now.get(b) != champion.inputs.get(b))
    if changed:
        digest = learnable({batch: now.get(batch, "") for batch in changed}, "")
        why = f"{', '.join(changed)} changed since the champion learned up to {champion.as_of}"
        yield Cause(f"corrections:{digest[:12]}", why)
