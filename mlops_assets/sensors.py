"""The sensors: what landed is processed, a failing gate rematerializes the model, a champion re-scores, people hear.

Each reads what lies there and asks a rule; none remembers anything that a lost cursor would lose. A cursor only spares
a tick the work where nothing has happened since the last.
"""

import json
import time
from typing import Any

import dagster as dg

from mlops_assets import acceptances, alerts, delivered, loop, ringing, trainings
from mlops_assets.automation import JOBS
from mlops_assets.champions import read_champion
from mlops_assets.delivered import Delivery
from mlops_assets.followups import FollowUp, followups
from mlops_assets.gates import retraining
from mlops_assets.gates.retraining import Action, Decision
from mlops_assets.history import Crowned, Made, Unrecorded
from mlops_assets.landing import Inbox
from mlops_assets.params import Params
from mlops_assets.partitions import BATCHES
from mlops_assets.storage import Layers
from mlops_assets.tracking import Untracked

JOB_OF = {"customers": "score", "outcomes": "learn"}
RUNNING = dg.DefaultSensorStatus.RUNNING


@dg.sensor(
    name="landing",
    jobs=[JOBS["score"], JOBS["learn"], JOBS["rescore"]],
    minimum_interval_seconds=10,
    default_status=RUNNING,
    description="New and changed files in the inbox: score customers, learn outcomes, and what follows from a change.",
)
def landing(
    context: dg.SensorEvaluationContext,
    inbox: dg.ResourceParam[Inbox],
    layers: dg.ResourceParam[Layers],
    history: dg.ResourceParam[Unrecorded],
    params: dg.ResourceParam[Params],
) -> dg.SensorResult:
    """Ask for score and learn of what was delivered, at most `loop.runs_per_tick` at once, oldest month first."""
    known = remembered(context.cursor)
    running = loop.busy(context.instance)
    scoring = {run.batch for run in running if run.job == "score"}

    def is_ready(kind: str, batch: str) -> bool:
        return kind == "customers" or (batch not in scoring and layers.exists("customer_features", batch))

    look = delivered.Look(
        digest=lambda name: delivered.digest_of(inbox, name),
        made=lambda: delivered.became_raw(history.read(Made)),
        is_ready=is_ready,
        is_torn=lambda name: delivered.ends_torn(inbox, name),
    )
    turn = delivered.take(
        known.get("taken"),
        delivered.listed(inbox),
        look,
        now=time.time(),
        settle=0 if layers.is_simulated else params.loop.settle_seconds,
        limit=params.loop.runs_per_tick,
    )
    told = known.get("told")
    again: list[FollowUp] = []
    if not running and not turn.deliveries and told != (told := history.sizes()):
        standing = acceptances.standing(history, acceptances.OUTCOMES)
        again = followups(history.read(Made), standing, loop.changes_accepted(history, read_champion(layers)))
    requests = [of_delivery(delivery) for delivery in turn.deliveries] + [of_followup(follow) for follow in again]
    batches = sorted({delivery.batch for delivery in turn.deliveries} - set(partitions(context)))
    waits = [*(f"{name} is still being written" for name in turn.growing)]
    waits += [f"{turn.left} more files wait for the next ticks or for their customers"] if turn.left else []
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=dg.SkipReason("; ".join(waits) or "nothing new in the inbox") if not requests else None,
        cursor=json.dumps({"taken": turn.cursor, "told": told}),
        dynamic_partitions_requests=[BATCHES.build_add_request(batches)] if batches else [],
    )


def remembered(cursor: str | None) -> dict[str, Any]:
    """What a cursor of ours holds; nothing, where it is lost or none of ours."""
    try:
        known = json.loads(cursor or "{}")
    except ValueError:
        return {}
    return known if isinstance(known, dict) else {}


def partitions(context: dg.SensorEvaluationContext) -> list[str]:
    """The batches that the instance knows."""
    return list(context.instance.get_dynamic_partitions(str(BATCHES.name)))


def of_delivery(delivery: Delivery) -> dg.RunRequest:
    """The run that processes a delivery."""
    tags = {"mlops/delivery": delivery.md5, "mlops/delivery_number": str(delivery.number)}
    return dg.RunRequest(delivery.run_key, job_name=JOB_OF[delivery.kind], partition_key=delivery.batch, tags=tags)


def of_followup(follow: FollowUp) -> dg.RunRequest:
    """The run that makes something again after a batch changed."""
    return dg.RunRequest(follow.run_key, job_name=follow.job, partition_key=follow.batch)


@dg.sensor(
    name="retrain",
    job=JOBS["retrain"],
    minimum_interval_seconds=15,
    default_status=RUNNING,
    description="A failing gate, corrected months or a missing champion: rematerialize the model, within its limits.",
)
def retrain(
    context: dg.SensorEvaluationContext,
    inbox: dg.ResourceParam[Inbox],
    layers: dg.ResourceParam[Layers],
    history: dg.ResourceParam[Unrecorded],
    params: dg.ResourceParam[Params],
    tracking: dg.ResourceParam[Untracked],
) -> dg.SensorResult | dg.SkipReason:
    """Ask for a training where the rule says so; otherwise say why not."""
    stamp = loop.stamp(history, context.instance, params)
    known = remembered(context.cursor)
    if known.get("stamp") == stamp and (why := known.get("why")):
        return dg.SkipReason(why)
    decision = decision_of(layers, history, context.instance, params)
    if decision.action is Action.RETRAIN and (waits := loop.waiting(inbox, layers, history, context.instance)):
        return dg.SkipReason(f"held back: {', '.join(waits[:3])}")
    # Tried before: an attempt while the registry is still down would come to no verdict again, and be spent.
    if decision.action is Action.RETRAIN and (decision.number or 1) > 1 and (down := tracking.why_unreadable()):
        return dg.SkipReason(f"held back: {down}")
    if decision.action is Action.WAIT:
        return dg.SkipReason(decision.why)
    if decision.action is not Action.RETRAIN:
        told = json.dumps({"stamp": stamp, "why": f"{decision.action}: {decision.why}"})
        return dg.SensorResult(skip_reason=dg.SkipReason(f"{decision.action}: {decision.why}"), cursor=told)
    return dg.SensorResult(run_requests=[of_decision(decision, layers)])


def decision_of(layers: Layers, history: Unrecorded, instance: dg.DagsterInstance, params: Params) -> Decision:
    """What the rule says now."""
    return retraining.decide(loop.facts(layers, history, instance, params), loop.limits(params))


def of_decision(decision: Decision, layers: Layers) -> dg.RunRequest:
    """The training that the rule asks for; its tags say why, for whoever reads the run and for `trainings`."""
    champion = read_champion(layers)
    tags = {
        "mlops/learned": decision.learned or "",
        trainings.NUMBER: str(decision.number),
        "mlops/batch": loop.newest(layers, "customer_features") or "",
        "mlops/champion": champion.model_md5 if champion else "",
        trainings.CAUSES: " ".join(cause.key for cause in decision.causes),
        "mlops/why": decision.why[:500],
    }
    config = {"ops": {"training_set": {"config": {"as_of": decision.as_of}}}}
    return dg.RunRequest(decision.run_key, run_config=config, tags={name: text for name, text in tags.items() if text})


@dg.sensor(
    name="promoted",
    job=JOBS["rescore"],
    minimum_interval_seconds=15,
    default_status=RUNNING,
    description="A new champion: score and judge the newest month again.",
)
def promoted(
    context: dg.SensorEvaluationContext,
    inbox: dg.ResourceParam[Inbox],
    layers: dg.ResourceParam[Layers],
    history: dg.ResourceParam[Unrecorded],
) -> dg.RunRequest | dg.SkipReason:
    """Ask for the newest month to be scored by the champion, if another has scored it, or none."""
    champion, newest = read_champion(layers), loop.newest(layers, "customer_features")
    if champion is None or newest is None:
        return dg.SkipReason("there is no champion yet" if champion is None else "no month has landed yet")
    if running := loop.busy(context.instance):
        return dg.SkipReason(f"held back: {', '.join(run.in_words for run in running)}")
    if layers.exists("predictions", newest):
        table = layers.read("predictions", newest)
        if table.empty or table.model_md5.iloc[0] == champion.model_md5:
            return dg.SkipReason(f"{newest} is scored by the champion")
    if waits := loop.waiting(inbox, layers, history, context.instance):
        return dg.SkipReason(f"held back: {', '.join(waits[:3])}")
    number = len(history.read(Crowned))
    key = f"rescore:{newest}:{champion.model_md5[:12]}:{number}"
    return dg.RunRequest(key, partition_key=newest, tags={"mlops/champion": champion.model_md5})


@dg.sensor(
    name="alert",
    minimum_interval_seconds=30,
    default_status=RUNNING,
    description="Tells a person what needs one, once for each cause, and a watchdog outside that the loop is alive.",
    jobs=[JOBS["retrain"]],
)
def alert(
    context: dg.SensorEvaluationContext,
    inbox: dg.ResourceParam[Inbox],
    layers: dg.ResourceParam[Layers],
    history: dg.ResourceParam[Unrecorded],
    params: dg.ResourceParam[Params],
) -> dg.SkipReason:
    """Tell what is new, by every channel that has not told it yet."""
    ledger = alerts.Ledger(layers.root / "history")
    known = frozenset(line.cause for line in ledger.read() if line.fault is None)
    # After a pause of the daemon every sensor was silent, and is so no more; the watchdog outside has told of it.
    before = context.last_tick_completion_time
    is_awake = before is not None and time.time() - before < ringing.SILENT_SECONDS
    told_before = known.__contains__
    found = list(ringing.alerts_of(inbox, layers, history, context.instance, params, told_before, is_awake=is_awake))
    told = alerts.tell(found, ledger, alerts.channels_from_environment())
    alerts.beat()
    failed = [line.channel for line in told if line.fault]
    trouble = f"; {', '.join(sorted(set(failed)))} failed and is tried again" if failed else ""
    return dg.SkipReason(f"told {len(told) - len(failed)} of {len(found)} that stand{trouble}")


SENSORS = [landing, retrain, promoted, alert]
