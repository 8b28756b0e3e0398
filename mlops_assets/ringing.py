"""Looks for what a person must be told: the facts for `gates.alarms`, from layers, history, runs and sensors.

It looks at the newest months only: what is older was told when it was new, and the ledger keeps that.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import takewhile

import dagster as dg
from dagster._core.scheduler.instigation import TickStatus  # the public calls take it, and nobody exports it

from mlops_assets import acceptances, judgements, loop, trainings
from mlops_assets.acceptances import CHANGE
from mlops_assets.gates import alarms, retraining
from mlops_assets.gates.alarms import Alert, Kind, SensorState
from mlops_assets.gates.attempts import DECIDED, Ended, Facts, changed_since
from mlops_assets.gates.requirements import WHOLE
from mlops_assets.gates.retraining import Action
from mlops_assets.gates.verdict import Verdict
from mlops_assets.history import Crowned, Judged, Unrecorded
from mlops_assets.landing import Inbox
from mlops_assets.params import Params
from mlops_assets.partitions import next_batch
from mlops_assets.storage import Layers

SENSORS = ("landing", "retrain", "promoted", "alert")
RECENT = 3  # months, verdicts
RUNS = 30
SIGNED = "promote"  # whoever signs is told at once
FAILURES = 3  # ticks in a row
SILENT_SECONDS = 600.0
FAILED = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE])
SAID = frozenset({dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.ASSET_CHECK_EVALUATION})

Told = Callable[[str], bool]
"""Whether a cause was told already: what costs time is not looked up for it."""


def alerts_of(
    inbox: Inbox,
    layers: Layers,
    history: Unrecorded,
    instance: dg.DagsterInstance,
    params: Params,
    told: Told,
    *,
    is_awake: bool = True,
) -> Iterator[Alert]:
    """Everything that stands now and that a person should have heard of; most of it was told before.

    What cannot be looked at is itself told, and hides nothing else. `is_awake`: whether the daemon ran all the while;
    where it did not, a sensor that was silent tells nothing.
    """
    yield from looked_at("runs", lambda: failed_runs(instance, told))
    yield from looked_at("the loop", lambda: of_the_loop(layers, history, instance, params))
    due_day = 0 if layers.is_simulated else params.loop.snapshot_due_day
    yield from looked_at(
        "what landed", lambda: missing_files(inbox, layers, params, due_by_now(due_day, datetime.now(UTC)))
    )
    yield from looked_at("quarantines", lambda: quarantines(layers, params))
    yield from looked_at("sensors", lambda: stopped_sensors(instance, SILENT_SECONDS if is_awake else float("inf")))


def looked_at(what: str, look: Callable[[], Iterable[Alert]]) -> list[Alert]:
    """The alerts of one look; where it fails, one that says so."""
    try:
        return list(look())
    except Exception as error:  # noqa: BLE001 - whatever is damaged, the other alarms must still ring
        why = f"{type(error).__name__}: {error}"
        step = "Mend what it names; `mlops status` looks again. Until then alarms of this kind do not ring."
        return [Alert(Kind.CALL, f"blind:{what}:{type(error).__name__}", f"Nobody watches {what}", why, step)]


def of_the_loop(layers: Layers, history: Unrecorded, instance: dg.DagsterInstance, params: Params) -> Iterator[Alert]:
    """What the gates said, and what became of the trainings."""
    facts = loop.facts(layers, history, instance, params)
    yield from judged_months(facts)
    yield from selected(facts, loop.newest_batches(layers, "labelled_customers", RECENT))
    yield from trained(facts, history, params)
    if facts.champion is None and (found := left_without(layers, history, params)):
        yield found


def left_without(layers: Layers, history: Unrecorded, params: Params) -> Alert | None:
    """That the last training left no champion, and by which floors; None where it did not fail, or none was judged."""
    verdicts = history.read(Judged)
    if not verdicts or verdicts[-1].verdict != Verdict.FAIL:
        return None
    failing: list[str] = []
    if layers.exists("promotion_verdict"):
        table = layers.read("promotion_verdict")
        # The first candidate alone may become the first champion (`gates.succession`).
        own = table[table.gate.eq("floors") & table.candidate.eq(table.candidate.iloc[0]) & ~table.holds]
        failing = sorted(set(own.subject) - {WHOLE})
    known = type(params.floors).model_fields
    keys = [f"floors.{key}" for name in failing for key in known if key.endswith(name)]
    return alarms.no_champion(failing, verdicts[-1].why, keys)


def failed_runs(instance: dg.DagsterInstance, told: Told) -> Iterator[Alert]:
    """The newest failed runs of the loop, but those that Dagster repeats, and those that a later run made up for.

    A report that breaks its contract fails no run, and is told as one: the month is not judged.
    """
    for record in instance.get_run_records(FAILED, limit=RUNS):
        failed = record.dagster_run
        root, job = failed.root_run_id or failed.run_id, failed.tags.get(trainings.JOB, "")
        is_ours = job in loop.LOOP_JOBS and job != SIGNED
        if is_ours and not told(f"run:{root}") and not is_repeated(record) and is_last(failed, instance):
            yield alarms.failed_run(root, job, batch_of(failed), why_failed(failed.run_id, instance))
    for asset in judgements.REPORTS.values():
        check = instance.get_latest_asset_check_evaluation_record(dg.AssetCheckKey(dg.AssetKey(asset), "contract"))
        event = check.event.dagster_event if check and check.event else None
        is_over = event is not None and event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION
        told_by = event.asset_check_evaluation_data if event and is_over else None
        run = instance.get_run_by_id(check.run_id) if check and told_by and not told_by.passed else None
        if told_by and run and run.is_success:
            job = run.tags.get(trainings.JOB, run.job_name)
            yield alarms.failed_run(run.run_id, job, batch_of(run), f"{asset}: {told_by.description}")


def batch_of(run: dg.DagsterRun) -> str | None:
    """The batch that a run is of, None where it is of none."""
    return run.tags.get("dagster/partition")


def is_repeated(record: dg.RunRecord) -> bool:
    """Whether Dagster repeats the run, or has: then its last repetition speaks."""
    return "dagster/auto_retry_run_id" in record.dagster_run.tags or trainings.will_be_repeated(record)


def is_last(run: dg.DagsterRun, instance: dg.DagsterInstance) -> bool:
    """Whether nothing ran after it that does the same work: a later run speaks for itself, or has made up for it."""
    batch = batch_of(run)
    same = {trainings.JOB: run.tags[trainings.JOB], **({"dagster/partition": batch} if batch else {})}
    (newest,) = instance.get_runs(dg.RunsFilter(tags=same), limit=1)
    return newest.run_id == run.run_id


def why_failed(run_id: str, instance: dg.DagsterInstance) -> str:
    """What stopped a run: the check that failed, or the error."""
    reasons = []
    for record in instance.get_records_for_run(run_id, of_type=set(SAID)).records:
        event = record.event_log_entry.dagster_event
        if event and event.is_step_failure:
            error = event.step_failure_data.error
            inner = error.cause if error and error.cause else error
            reasons.append(inner.message.strip() if inner else "a step failed")
        elif event:
            check = event.asset_check_evaluation_data
            if not check.passed and check.severity is dg.AssetCheckSeverity.ERROR:
                return f"{check.asset_key.to_user_string()}: {check.description}"
    return reasons[0] if reasons else "its process ended without ending it"


def judged_months(facts: Facts) -> Iterator[Alert]:
    """What the monitoring gates said of the newest months: that they cannot tell, or that the pipe is broken."""
    recent = sorted({told.batch for told in facts.judgements})[-RECENT:]
    for told in facts.judgements:
        if told.batch not in recent or (facts.champion and told.champion != facts.champion.digest):
            continue
        if told.verdict is Verdict.FAIL and told.is_pipe:
            yield alarms.broken_pipe(told.batch, told.digest, told.moved)
        elif unknown := alarms.undecided(told.gate, told.batch, told.verdict, told.moved):
            yield unknown


def selected(facts: Facts, recent: Sequence[str]) -> Iterator[Alert]:
    """Outcomes of the newest months that are no evidence; none that are just being judged."""
    for labels in facts.withheld:
        if labels.batch in recent and not (labels.is_stale and facts.busy):
            yield alarms.no_evidence(labels)


def trained(facts: Facts, history: Unrecorded, params: Params) -> Iterator[Alert]:
    """What became of the newest trainings, and what only a person can go on with."""
    newest = max(facts.batches, default="")
    crowned = {champion.verdict_md5: champion for champion in history.read(Crowned)}
    recent = history.read(Judged)[-RECENT:]
    accepted = {record.figures.get("verdict_md5"): record for record in acceptances.standing(history, CHANGE)}
    for verdict in recent:
        champion = crowned.get(verdict.verdict_md5)
        if change := accepted.get(verdict.verdict_md5):
            told: Alert | None = alarms.change_accepted(change.batch, verdict.run_id, change.reason)
        elif verdict.verdict == Verdict.FAIL and verdict.judged.get("champion") is None:
            continue  # nothing stays: `left_without`
        elif champion or verdict.verdict == Verdict.FAIL:
            told = alarms.decided(
                Verdict(verdict.verdict), verdict.run_id, verdict.why, champion.version if champion else None
            )
        elif verdict.is_outage:
            if verdict is not recent[-1]:
                continue  # it is over
            # Another incident than a month too few, and it may follow one.
            told = alarms.outage("promotion", verdict.batch, verdict.why)
        else:
            # A change is asked about in each month until enough have matured: that is one incident.
            told = alarms.undecided("promotion", since(verdict), Verdict(verdict.verdict), verdict.why)
        if told:
            yield told
    decided = [attempt for attempt in facts.attempts if attempt.ended in DECIDED]
    waits = bool(decided) and decided[-1].ended is Ended.APPROVAL
    proven = next((verdict for verdict in history.read(Judged)[::-1] if verdict.waits), None) if waits else None
    if proven and proven.winner:
        record = history.find(proven.winner)
        yield alarms.approval_waiting(str(record.version if record else "?"), proven.why, newest)
    decision = retraining.decide(facts, loop.limits(params))
    if decision.action is Action.CALL and (call := alarms.called(decision.call or "", decision.why)):
        yield call


def since(verdict: Judged) -> str:
    """The batch of the change that a verdict is about; its own where it is about none."""
    return changed_since(verdict.causes) or verdict.batch


def missing_files(inbox: Inbox, layers: Layers, params: Params, due: Sequence[str]) -> Iterator[Alert]:
    """Months that should be here and are not; `due`: those that the calendar expects.

    A file that lies in the inbox is here: it waits for its turn, or its run has failed, which is told.
    """
    landed = sorted({*layers.batches("raw_customers"), *inbox.batches("customers")})
    expected = max([*landed[-1:], *due], default="")
    scored = layers.batches("customer_features")
    mature = {*layers.batches("labelled_customers"), *inbox.batches("outcomes")}
    for found in (
        alarms.snapshot_overdue(landed, expected=expected, allowed=0),
        alarms.outcomes_overdue(scored, mature, allowed=params.loop.overdue_outcomes),
    ):
        if found:
            yield found


def due_by_now(day: int, now: datetime) -> list[str]:
    """The newest month whose snapshot should have landed on `day` of the next; none where `day` is 0."""
    return [next_batch(f"{now:%Y-%m}", -1 if now.day >= day else -2)] if day else []


def quarantines(layers: Layers, params: Params) -> Iterator[Alert]:
    """Of each table's newest month: how near its quarantine is to the limit."""
    for kind in ("customers", "outcomes"):
        newest = loop.newest(layers, f"quarantined_{kind}")
        if newest is None or not layers.exists(f"raw_{kind}", newest):
            continue
        bad = layers.read(f"quarantined_{kind}", newest)
        rows = len(layers.read(f"raw_{kind}", newest))
        limit = params.quality.max_quarantined_share
        if found := alarms.quarantine_near(f"quarantined_{kind}", newest, quarantined=len(bad), rows=rows, limit=limit):
            yield found


def stopped_sensors(instance: dg.DagsterInstance, silent_seconds: float) -> Iterator[Alert]:
    """Sensors that are off, fail, or do not tick."""
    for state in sensor_states(instance):
        if found := alarms.sensor_stopped(state, failures=FAILURES, silent_seconds=silent_seconds):
            yield found


def sensor_states(instance: dg.DagsterInstance, names: Sequence[str] = SENSORS) -> list[SensorState]:
    """How each sensor fares; one that the instance has never seen is left out."""
    found = []
    for state in instance.all_instigator_state():
        if state.instigator_name not in names:
            continue
        key = state.instigator_origin_id, state.selector_id
        ticks = [tick for tick in instance.get_ticks(*key, limit=FAILURES + 1) if tick.status is not TickStatus.STARTED]
        failed = list(takewhile(lambda tick: tick.status is TickStatus.FAILURE, ticks))
        # Which failure of how many this is changes with each tick; what went before all of them does not.
        good = instance.get_ticks(*key, limit=1, statuses=[TickStatus.SUCCESS, TickStatus.SKIPPED]) if failed else []
        last = ticks[0] if ticks else None
        found.append(
            SensorState(
                name=state.instigator_name,
                is_on=state.is_running,
                failures=len(failed),
                since=str(good[0].timestamp) if good else "the beginning",
                error=(failed[0].error.message.strip() if failed and failed[0].error else ""),
                last_tick=str(last.timestamp) if last else "",
                silent_seconds=time.time() - last.timestamp if last else None,
            )
        )
    return found
