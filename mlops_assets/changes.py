"""Accepts a lasting change as the new normal of the champion, and takes that back: for the promotion gate and persons.

The gate accepts what `gates.acceptance` says, from what promotion just judged. A person may accept a change that a gate
has seen at once, whatever promotion will say, and may take back what was accepted; then the gate accepts no other for
this champion until a person has accepted one. Nothing is judged here: the landing sensor asks for that (`followups`).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from mlops_assets import acceptances
from mlops_assets.acceptances import ANSWERED, CHANGE
from mlops_assets.champions import Champion, read_champion
from mlops_assets.gates import acceptance
from mlops_assets.gates.attempts import Judgement, key_of
from mlops_assets.gates.succession import Succession
from mlops_assets.gates.verdict import Verdict
from mlops_assets.history import Accepted, Unrecorded
from mlops_assets.judgements import judgements, mature
from mlops_assets.params import Params
from mlops_assets.storage import Layers

NAMED = 3
"""Months that a refusal names."""


class NotAcceptableError(ValueError):
    """A person's acceptance, or taking one back, is refused; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Question:
    """What promotion was asked: the keys of the training's causes, the months compared, and the verdict's digest."""

    causes: Collection[str]
    window: Sequence[str]
    verdict_md5: str


def accept_judged(
    judged: Succession, question: Question, champion: Champion, layers: Layers, history: Unrecorded, params: Params
) -> acceptance.Acceptance:
    """What the rule says of the change that promotion has judged; if it is accepted, the history knows it, once."""
    said, known_outcomes = of_champion(layers, champion, history), evidence(layers, history)
    told = acceptance.judge_change(
        question.causes,
        judged,
        question.window,
        {one.batch: one.verdict for one in said if one.gate == "outcomes"},
        mature=known_outcomes,
        months=params.promotion.months,
        taken_back_by=acceptances.taken_back_by(history, champion.model_md5),
    )
    if told.since is not None:
        known_by = {
            **acceptances.digests(layers, told.months, known_outcomes),
            ANSWERED: answered_by(told.months, said),
        }
        record = Accepted(
            CHANGE,
            told.since,
            acceptances.GATE,
            told.why,
            batches=told.months,
            champion=champion.model_md5,
            figures={**told.figures, **known_by, "verdict_md5": question.verdict_md5},
        )
        known = [replace(one, when="", batches=tuple(one.batches)) for one in history.read(Accepted)]
        if record not in known:  # the step of a run that Dagster repeats has told it before
            history.add(record)
    return told


def accept(batch: str, *, actor: str, reason: str, layers: Layers, history: Unrecorded) -> Accepted:
    """A person accepts the change first seen in `batch`; returns the record. Raises NotAcceptableError."""
    return signed(acceptable(batch, layers, history), actor, reason, history)


def take_back(batch: str, *, actor: str, reason: str, layers: Layers, history: Unrecorded) -> Accepted:
    """A person takes back that the change first seen in `batch` was accepted. Raises NotAcceptableError."""
    return signed(retractable(batch, layers, history), actor, reason, history)


def signed(record: Accepted, actor: str, reason: str, history: Unrecorded) -> Accepted:
    """The record with who and why, in the history."""
    told = replace(record, actor=actor, reason=reason)
    history.add(told)
    return told


def acceptable(batch: str, layers: Layers, history: Unrecorded) -> Accepted:
    """The record, but for who and why, that accepts the change first seen in `batch`.

    All months from there on join the champion's reference, without those that came through a broken pipe. Raises
    NotAcceptableError.
    """
    champion = the_champion(layers)
    told = of_champion(layers, champion, history)
    refuse_unseen(batch, told, champion)
    if before := accepted_already(batch, champion, layers, history):
        message = f"{batch} belongs to the change since {before.batch}, accepted by {before.actor} on {before.when}."
        raise NotAcceptableError(message)
    broken = {one.batch for one in told if is_broken(one)}
    months = tuple(one for one in layers.batches("customer_features") if one >= batch and one not in broken)
    said = {f"{one.gate}@{one.batch}": f"{one.verdict}: {one.moved}" for one in told if one.batch == batch}
    known = acceptances.digests(layers, months, evidence(layers, history))
    figures = {**said, **known, ANSWERED: answered_by(months, told)}
    return Accepted(CHANGE, batch, "", "", batches=months, champion=champion.model_md5, figures=figures)


def retractable(batch: str, layers: Layers, history: Unrecorded) -> Accepted:
    """The record, but for who and why, that takes back that the change first seen in `batch` was accepted.

    Raises NotAcceptableError where none such was accepted for the champion.
    """
    champion = the_champion(layers)
    accepted = acceptances.accepted_changes(history, champion.model_md5)
    if (before := next((one for one in accepted if one.batch == batch), None)) is None:
        known = ", ".join(one.batch for one in accepted)
        hint = f"accepted are those since {known}" if known else "none is accepted"
        message = f"no change since {batch} is accepted for the champion; {hint}."
        raise NotAcceptableError(message)
    months = tuple(before.batches)
    return Accepted(CHANGE, batch, "", "", batches=months, champion=champion.model_md5, is_taken_back=True)


def answered_by(months: Collection[str], said: Sequence[Judgement]) -> str:
    """Keys of the causes that accepting these months answers; what a gate says of them later is not answered."""
    return " ".join(sorted(key_of(one) for one in said if one.batch in months and one.verdict is Verdict.FAIL))


def the_champion(layers: Layers) -> Champion:
    """The champion. Raises NotAcceptableError when there is none."""
    champion = read_champion(layers)
    if champion is None:
        message = "there is no champion, so that nothing changed for it. `mlops status` says what the loop waits for."
        raise NotAcceptableError(message)
    return champion


def of_champion(layers: Layers, champion: Champion, history: Unrecorded) -> list[Judgement]:
    """What the monitoring gates said last of each month about this champion."""
    told = judgements(layers, champion, acceptances.accepted_outcomes(history))
    return [one for one in told if one.champion == champion.model_md5]


def evidence(layers: Layers, history: Unrecorded) -> dict[str, str]:
    """Digest of the labelled table of each batch whose outcomes may be learned from."""
    return mature(layers, acceptances.accepted_outcomes(history))


def is_broken(told: Judgement) -> bool:
    """Whether the gate takes the month for one that came through a broken pipe."""
    return told.is_pipe and told.verdict is Verdict.FAIL


def refuse_unseen(batch: str, told: Sequence[Judgement], champion: Champion) -> None:
    """Raise NotAcceptableError where no gate has seen a change in the batch, or takes it for a broken pipe."""
    if batch <= champion.as_of:
        message = f"the champion learned from {batch} (its as_of is {champion.as_of}): it is no news to it."
        raise NotAcceptableError(message)
    own = [one for one in told if one.batch == batch and one.verdict is Verdict.FAIL]
    if any(is_broken(one) for one in own):
        message = f"{batch} came through a broken pipe, which is no new normal. Land the mended file."
        raise NotAcceptableError(message)
    if not own:
        failing = sorted({one.batch for one in told if one.verdict is Verdict.FAIL and not is_broken(one)})
        hint = f"a gate fails in {', '.join(failing[:NAMED])}" if failing else "no gate fails in any month"
        message = f"no gate has seen a change in {batch}; {hint}. `mlops status` has their last words."
        raise NotAcceptableError(message)


def accepted_already(batch: str, champion: Champion, layers: Layers, history: Unrecorded) -> Accepted | None:
    """The accepted change to which the batch belongs, as it lies there; None where there is none."""
    for record in acceptances.accepted_changes(history, champion.model_md5):
        if batch in record.batches and acceptances.is_as_accepted(record, batch, layers):
            return record
    return None
