"""The loop as it stands: what landed and was scored, what is open, what runs. Facts for sensors, nothing decided.

Everything is read from what lies there (layers, history, the instance's runs), so that a lost cursor, a restarted
daemon and a sensor evaluated twice come to the same.
"""

import json
from dataclasses import dataclass

import dagster as dg

from mlops_assets import acceptances, delivered
from mlops_assets.champions import Champion, read_champion
from mlops_assets.followups import to_judge_anew
from mlops_assets.gates import attempts
from mlops_assets.gates.attempts import Facts
from mlops_assets.gates.retraining import Limits
from mlops_assets.history import Accepted, Made, Signed, Unrecorded
from mlops_assets.judgements import judgements, mature, withheld
from mlops_assets.landing import Inbox
from mlops_assets.params import MODEL_SECTIONS, Params
from mlops_assets.storage import Layers
from mlops_assets.trainings import JOB, attempts_of

LOOP_JOBS = ("score", "learn", "retrain", "rescore", "promote")
UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dataclass(frozen=True, slots=True)
class Busy:
    """A run of the loop that is queued or running."""

    job: str
    batch: str | None
    run_id: str

    @property
    def in_words(self) -> str:
        """The run in a few words."""
        return f"{self.job}{f' of {self.batch}' if self.batch else ''} runs"


def busy(instance: dg.DagsterInstance) -> list[Busy]:
    """The runs of the loop that have not ended, whatever else the instance is asked to run."""
    runs = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED, tags={JOB: LOOP_JOBS}))
    return [Busy(run.tags[JOB], run.tags.get("dagster/partition"), run.run_id) for run in runs]


def newest(layers: Layers, name: str) -> str | None:
    """The newest batch of a table."""
    return next(iter(newest_batches(layers, name, 1)), None)


def newest_batches(layers: Layers, name: str, count: int) -> list[str]:
    """At most so many batches of a table, the newest, oldest first."""
    return layers.batches(name)[-count:]


def facts(layers: Layers, history: Unrecorded, instance: dg.DagsterInstance, params: Params) -> Facts:
    """Everything the retraining rule decides by, but for files that wait in the inbox (`waiting`)."""
    champion = read_champion(layers)
    accepted = acceptances.accepted_outcomes(history)
    resets = [signature.attempt for signature in history.read(Signed) if signature.action == "reset"]
    return Facts(
        batches=tuple(layers.batches("customer_features")),
        mature=mature(layers, accepted),
        params=params.digest(*MODEL_SECTIONS),
        champion=learned_by(champion, history) if champion else None,
        judgements=tuple(judgements(layers, champion, accepted)) if champion else (),
        attempts=tuple(attempts_of(history, instance)),
        busy=tuple(run.in_words for run in busy(instance)),
        forgiven=resets[-1] if resets else None,
        withheld=tuple(withheld(layers, accepted)),
        normal=normal(layers, history, champion) if champion else frozenset(),
    )


def limits(params: Params) -> Limits:
    """The limits of the retraining rule."""
    own = params.loop.model_dump(include=set(Limits.__dataclass_fields__))
    return Limits(**own, months=params.promotion.months)


def changes_accepted(history: Unrecorded, champion: Champion | None) -> list[Accepted]:
    """Every record about a change as the normal of the champion, oldest first; none without one."""
    if champion is None:
        return []
    return [
        record
        for record in history.read(Accepted)
        if (record.what, record.champion) == (acceptances.CHANGE, champion.model_md5)
    ]


def normal(layers: Layers, history: Unrecorded, champion: Champion) -> frozenset[str]:
    """Keys of causes that accepted changes have answered, and of what is yet to be judged anew because of them."""
    accepted = acceptances.accepted_changes(history, champion.model_md5)
    if not accepted:  # as a rule; the rest reads all that was ever made
        return frozenset()
    anew = {follow.batch for follow in to_judge_anew(history.read(Made), accepted)}
    told = judgements(layers, champion, acceptances.accepted_outcomes(history))
    stale = {attempts.key_of(one) for one in told if one.gate == "drift" and one.batch in anew}
    return frozenset({*acceptances.answered(accepted), *stale})


def learned_by(champion: Champion, history: Unrecorded) -> attempts.Champion:
    """The champion as the rule knows it; without inputs where the history does not know the model."""
    record = history.find(champion.model_md5)
    inputs, params = (record.inputs, record.params_md5) if record else ({}, "")
    return attempts.Champion(champion.model_md5, champion.as_of, inputs, params)


def waiting(inbox: Inbox, layers: Layers, history: Unrecorded, instance: dg.DagsterInstance) -> list[str]:
    """Files in the inbox that the loop has yet to take: not made into a table, and no run was asked for as they lie.

    Outcomes without customers wait for nobody: they may never come.
    """
    made = delivered.became_raw(history.read(Made))
    found = []
    for name, stamp in delivered.listed(inbox).items():
        kind, batch = delivered.parts(name)
        digest = delivered.digest_of(inbox, name)
        if digest is None or made.get(name, [])[-1:] == [digest]:
            continue
        if kind == "outcomes" and not layers.exists("customer_features", batch):
            continue
        key = delivered.run_key(name, digest, stamp.short)
        if not instance.get_runs(dg.RunsFilter(tags={"dagster/run_key": key}), limit=1):
            found.append(f"{name} waits")
    return found


def stamp(history: Unrecorded, instance: dg.DagsterInstance, params: Params) -> str:
    """A short text that is the same as long as nothing happened that `facts` would tell."""
    runs = [run.run_id for run in busy(instance)]
    last = instance.get_runs(dg.RunsFilter(tags={JOB: "retrain"}), limit=1)
    trained = [(run.run_id, run.status.value, len(run.tags)) for run in last]
    return json.dumps([history.sizes(), runs, trained, params.digest()], sort_keys=True)
