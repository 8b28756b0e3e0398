"""How the system stands: which model scores and why, what each gate said last, what waits, and what needs a person."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg

from mlops_assets import acceptances, alerts, loop, ringing
from mlops_assets.gates import retraining
from mlops_assets.gates.alarms import Alert, Kind
from mlops_assets.gates.attempts import Facts
from mlops_assets.gates.retraining import Decision
from mlops_assets.history import Accepted, Crowned, Judged, Signed, Unrecorded, is_rolled_back
from mlops_assets.landing import Inbox
from mlops_assets.params import Params
from mlops_assets.storage import Layers

NEEDS = frozenset(
    {
        Kind.RUN,
        Kind.CALL,
        Kind.PIPE,
        Kind.OVERDUE,
        Kind.QUARANTINE,
        Kind.SENSOR,
        Kind.APPROVAL,
        Kind.OUTAGE,
        Kind.COVERAGE,
    }
)
"""Alerts that somebody has to do something about; the others only tell."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Everything `mlops status` shows.

    `needs`: what a person must do; `undelivered`: messages about what still stands that a channel did not take.
    """

    champion: dict[str, Any] | None
    gates: dict[str, dict[str, Any] | None]
    waits: tuple[str, ...]
    needs: tuple[Alert, ...]
    undelivered: int

    @property
    def is_calling(self) -> bool:
        """Whether a person must do something; a message that reached nobody is one of the things."""
        return bool(self.needs or self.undelivered)


def standing_of(
    inbox: Inbox, layers: Layers, history: Unrecorded, instance: dg.DagsterInstance, params: Params
) -> Standing:
    """How the system stands now."""
    facts = loop.facts(layers, history, instance, params)
    decision = retraining.decide(facts, loop.limits(params))
    ledger = alerts.Ledger(layers.root / "history").read()
    found = list(ringing.alerts_of(inbox, layers, history, instance, params, lambda _: False))
    standing = {alert.cause for alert in found}
    is_idle = layers.is_simulated  # nobody need tick there
    needs = [alert for alert in found if alert.kind in NEEDS and not (is_idle and alert.kind is Kind.SENSOR)]
    return Standing(
        champion=champion_of(history),
        gates={**last_words(facts), "promotion": last_verdict(history)},
        waits=tuple(waits_of(facts, decision)),
        needs=tuple({alert.cause: alert for alert in needs}.values()),
        undelivered=sum(line.cause in standing for line in alerts.undelivered(ledger)),
    )


def champion_of(history: Unrecorded) -> dict[str, Any] | None:
    """The model that scores now: since when, why, and what it was trained on."""
    crowned = history.read(Crowned)
    if not crowned:
        return None
    now, record = crowned[-1], history.find(crowned[-1].model_md5)
    signature = signatures(history).get(now.verdict_md5)
    return {
        "version": now.version,
        "candidate": now.candidate,
        "model_md5": now.model_md5,
        "since": now.when,
        "why": now.why,
        "signed_by": signature.actor if signature else None,
        "is_rolled_back": is_rolled_back(history.read(Signed), crowned),
        "as_of": now.as_of,
        "months": sorted(record.inputs) if record else [],
        "training_set": record.training_set if record else None,
        "git_commit": record.made_with.get("git_commit") if record else None,
        "git_dirty": record.made_with.get("git_dirty") if record else None,
        "verdict_md5": now.verdict_md5,
        "accepted": [accepted_in_words(one) for one in acceptances.accepted_changes(history, now.model_md5)],
    }


def accepted_in_words(record: Accepted) -> str:
    """A change that is accepted, in a line."""
    months = f"{len(record.batches)} month{'s' if len(record.batches) > 1 else ''}"
    return f"change since {record.batch} by {record.actor}, {months}: {record.reason}"


def signatures(history: Unrecorded) -> dict[str | None, Signed]:
    """What persons signed, by the verdict it made."""
    return {signed.verdict_md5: signed for signed in history.read(Signed)}


def last_words(facts: Facts) -> dict[str, dict[str, Any] | None]:
    """The last verdict of each monitoring gate about the champion."""
    words: dict[str, dict[str, Any] | None] = {"drift": None, "outcomes": None}
    for told in sorted(facts.judgements, key=lambda told: told.batch):
        if facts.champion and told.champion == facts.champion.digest:
            words[told.gate] = {"batch": told.batch, "verdict": str(told.verdict), "why": told.moved}
    return words


def last_verdict(history: Unrecorded) -> dict[str, Any] | None:
    """The last verdict of the promotion gate."""
    judged = history.read(Judged)
    if not judged:
        return None
    last = judged[-1]
    return {"batch": last.batch, "verdict": last.verdict, "why": last.why, "waits": last.waits}


def waits_of(facts: Facts, decision: Decision) -> Iterator[str]:
    """What is due or held back, in words."""
    withheld = [labels.batch for labels in facts.withheld]
    due = [batch for batch in facts.batches if batch not in {*facts.mature, *withheld}]
    if due:
        yield f"outcomes of {', '.join(due)} are due"
    if withheld:
        yield f"outcomes of {', '.join(withheld)} are no evidence unless a person accepts them"
    yield f"retraining: {decision.action}: {decision.why}"


def before(history: Unrecorded) -> int | None:
    """Version of the champion to go back to; None where there is none.

    A rollback takes back what came after the one it went to: two in a row go back twice, not to and fro.
    """
    rollbacks = {signed.verdict_md5 for signed in history.read(Signed) if signed.action == "rollback"}
    reigns: list[Crowned] = []
    for crowned in history.read(Crowned):
        known = [one.model_md5 for one in reigns]
        if crowned.verdict_md5 in rollbacks and crowned.model_md5 in known:
            del reigns[len(known) - known[::-1].index(crowned.model_md5) - 1 :]
        reigns.append(crowned)
    earlier = [one.version for one in reigns if one.model_md5 != reigns[-1].model_md5]
    return earlier[-1] if earlier else None


def why_not_sign(action: str, version: int, history: Unrecorded) -> str | None:
    """Why a person cannot make `version` champion by this action; None if nothing is against it."""
    known = {record.version for record in history.versions()}
    crowned = history.read(Crowned)
    if version not in known:
        listed = f"known are 1 to {max(known)}" if known else "none is known"
        return f"there is no version {version}; {listed}. `mlops versions churn_model` lists them."
    if crowned and crowned[-1].version == version:
        return f"version {version} scores already."
    if action == "rollback" and version not in {one.version for one in crowned}:
        return f"version {version} was never champion, so nothing rolls back to it: `mlops promote {version}` makes it."
    return None


def past(history: Unrecorded) -> list[dict[str, Any]]:
    """Every champion there ever was, oldest first; `signed`: the person's action, None of one that a gate made."""
    signed = signatures(history)
    return [
        {
            "version": crowned.version,
            "candidate": crowned.candidate,
            "as_of": crowned.as_of,
            "model_md5": crowned.model_md5,
            "since": crowned.when,
            "signed": signed[crowned.verdict_md5].action if crowned.verdict_md5 in signed else None,
            "actor": signed[crowned.verdict_md5].actor if crowned.verdict_md5 in signed else None,
            "why": crowned.why,
        }
        for crowned in history.read(Crowned)
    ]
