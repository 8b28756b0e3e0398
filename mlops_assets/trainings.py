"""What became of every training: read from the verdicts in the history, and from runs that came to none."""

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import dagster as dg

from mlops_assets.acceptances import CHANGE, standing
from mlops_assets.gates.attempts import Attempt, Ended
from mlops_assets.gates.verdict import Verdict
from mlops_assets.history import Crowned, Judged, Signed, Unrecorded

JOB, CAUSES, NUMBER = "mlops/job", "mlops/causes", "mlops/number"
REPEATED_WITHIN_SECONDS = 120.0
RUNS_SEEN = 50  # trainings: more than any limit of the loop looks back


def attempts_of(history: Unrecorded, instance: dg.DagsterInstance) -> list[Attempt]:
    """Every training, oldest first: those that promotion has judged, and runs that came to no verdict."""
    trainings = dg.RunsFilter(tags={JOB: "retrain"})
    runs = {record.dagster_run.run_id: record for record in instance.get_run_records(trainings, limit=RUNS_SEEN)}
    roots = {run_id: record.dagster_run.root_run_id or run_id for run_id, record in runs.items()}
    signed = {signature.model_md5: signature.action for signature in history.read(Signed)}
    crowned = {champion.verdict_md5 for champion in history.read(Crowned)}
    accepted = {record.figures.get("verdict_md5") for record in standing(history, CHANGE)}
    unfinished = {run_id for run_id, record in runs.items() if not record.dagster_run.is_finished}
    found: dict[str, tuple[float, Attempt]] = {}
    for told in history.read(Judged):  # of a run that Dagster repeated, the last, unless an earlier one promoted
        at, root = moment(told.when), roots.get(told.run_id, told.run_id)
        if root not in found or found[root][1].ended is not Ended.PROMOTED:
            attempt = of_verdict(told, crowned, signed, unfinished, seconds_ago=time.time() - at)
            is_accepted = attempt.ended is Ended.KEPT and told.verdict_md5 in accepted
            found[root] = at, replace(attempt, ended=Ended.ACCEPTED) if is_accepted else attempt
    judged = frozenset(found)
    for run_id, record in reversed(runs.items()):  # oldest first
        if roots[run_id] not in judged:
            found[roots[run_id]] = record.end_time or time.time(), of_run(record)
    return [attempt for _, attempt in sorted(found.values(), key=lambda timed: timed[0])]


def moment(when: str) -> float:
    """Seconds since 1970 of a time in the history."""
    return datetime.fromisoformat(when).timestamp()


def of_verdict(
    told: Judged, crowned: set[str], signed: Mapping[str | None, str], unfinished: set[str], *, seconds_ago: float
) -> Attempt:
    """The attempt that ended in a verdict."""
    name = f"training {told.run_id[:8]} of {told.batch}"
    verdict = Verdict(told.verdict)
    ended = {Verdict.FAIL: Ended.KEPT, Verdict.UNKNOWN: Ended.OUTAGE if told.is_outage else Ended.UNKNOWN}.get(verdict)
    if ended is None and told.verdict_md5 in crowned:
        ended = Ended.PROMOTED
    elif ended is None and told.waits:
        answer = signed.get(told.winner)
        ended = {"promote": Ended.PROMOTED, "decline": Ended.KEPT}.get(answer or "", Ended.APPROVAL)
    elif ended is None:  # PASS, and no champion was made of it: the run has yet to, or never will
        ended = Ended.RUNNING if told.run_id in unfinished else Ended.FAILED
    return Attempt(
        name, told.learned, told.number, told.batch, told.judged.get("champion"), tuple(told.causes), ended, seconds_ago
    )


def of_run(record: dg.RunRecord) -> Attempt:
    """The attempt that came to no verdict: it runs, will be repeated, or failed."""
    run = record.dagster_run
    tags = run.tags
    return Attempt(
        run_key=f"training {run.run_id[:8]} of {tags.get('mlops/batch', 'an unknown batch')}",
        learned=tags.get("mlops/learned", ""),
        number=int(tags.get(NUMBER, 0)),
        batch=tags.get("mlops/batch", ""),
        champion=tags.get("mlops/champion") or None,
        causes=tuple(tags.get(CAUSES, "").split()),
        ended=Ended.FAILED if run.is_finished and not will_be_repeated(record) else Ended.RUNNING,
        ended_seconds_ago=max(0.0, time.time() - (record.end_time or 0.0)),
    )


def will_be_repeated(record: dg.RunRecord) -> bool:
    """Whether Dagster is about to repeat a failed run: it says so, and has had little time to.

    A daemon that starts for the first time repeats nothing of what failed before, and would be waited for for ever.
    """
    tags = record.dagster_run.tags
    is_promised = tags.get("dagster/will_retry") == "true" and "dagster/auto_retry_run_id" not in tags
    return is_promised and time.time() - (record.end_time or 0.0) < REPEATED_WITHIN_SECONDS
