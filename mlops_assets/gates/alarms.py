"""Decides what a person is told about, in which words, and what counts as the same thing told twice.

Each function takes facts and gives an `Alert`, or None where nobody need be woken. `cause` is what the ledger knows it
by: it holds what makes the incident this one (a run, a batch, a report), so that the next one rings again and this one
does not. Nothing is counted by a clock: a month that is missing is behind the months that should be there.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mlops_assets.gates.attempts import Withheld
from mlops_assets.gates.verdict import Verdict

NEAR = 0.8
"""Share of a limit from which on a person hears of it."""

NAMED = 3
"""Months that a message names one by one."""


class Kind(StrEnum):
    """What an alert is about."""

    RUN = "run"
    GATE = "gate"
    CALL = "call"
    PIPE = "pipe"
    OVERDUE = "overdue"
    QUARANTINE = "quarantine"
    SENSOR = "sensor"
    APPROVAL = "approval"
    DECISION = "decision"
    OUTAGE = "outage"
    COVERAGE = "coverage"


@dataclass(frozen=True, slots=True)
class Alert:
    """A message to a person: what, in a line; what happened; and what to do next. Told once for each `cause`."""

    kind: Kind
    cause: str
    title: str
    body: str
    next_step: str


def failed_run(run_id: str, job: str, batch: str | None, error: str) -> Alert:
    """A run failed; `run_id` is that of the first of its repetitions."""
    of = f" of {batch}" if batch else ""
    again = f"Land the file of {batch} anew, or run" if batch else "Mend the cause, then run"
    step = f"Open run {run_id[:8]} in the UI. {again} {job}{of} again. Nothing that was there before is lost."
    return Alert(Kind.RUN, f"run:{run_id}", f"{job}{of} failed", error, step)


def undecided(gate: str, subject: str, verdict: Verdict, why: str) -> Alert | None:
    """A gate cannot tell about `subject`, a batch or a training."""
    if verdict is not Verdict.UNKNOWN:
        return None
    step = f"Nothing is changed by it. If the reason does not go away by itself, see `mlops status`; gate: {gate}."
    return Alert(Kind.GATE, f"unknown:{gate}:{subject}", f"{gate} of {subject} cannot tell", why, step)


def outage(gate: str, subject: str, why: str) -> Alert:
    """A gate cannot tell because something is down: it is tried again by itself, but somebody has to mend that."""
    step = "Mend what is down; the loop tries again by itself, with pauses that double, and scores meanwhile."
    return Alert(Kind.OUTAGE, f"outage:{gate}:{subject}", f"{gate} of {subject} met an outage", why, step)


def broken_pipe(batch: str, digest: str, moved: str) -> Alert:
    """The drift gate takes what moved in a batch for a broken pipe; `digest` is that of its report."""
    step = (
        f"Ask whoever delivers the file, and land {batch} again when it is mended; it is scored anew. "
        "No training is started for it."
    )
    return Alert(Kind.PIPE, f"pipe:{batch}:{digest}", f"{batch} came through a broken pipe", moved, step)


def no_evidence(labels: Withheld) -> Alert:
    """Outcomes are those of a selected part, or of one label only: nothing is learned from them."""
    batch = labels.batch
    cause = f"coverage:{batch}:{labels.digest}"
    if labels.is_stale:
        step = f"Run `mlops learn {batch}`: it judges them again."
        return Alert(Kind.COVERAGE, f"{cause}:stale", f"The outcomes of {batch} are not judged", labels.why, step)
    step = (
        f"Land the complete outcomes with `mlops land FILE --batch {batch}`, or, if they stand for the month all the "
        f"same, `mlops accept {batch} --reason TEXT`. Until then nothing is learned from {batch}."
    )
    return Alert(Kind.COVERAGE, cause, f"The outcomes of {batch} are no evidence", labels.why, step)


CALLS = {
    "breaker": (
        "The retraining stopped itself",
        "See why the promotion verdicts failed. Then `mlops reset --reason TEXT` lets it train again.",
    ),
    "attempts": (
        "The retraining failed too often",
        "Open its last run in the UI, mend the cause, and run `mlops retrain`; the next mature month starts it too.",
    ),
}


def called(call: str, why: str) -> Alert | None:
    """A decision of the retraining rule only a person can follow; `call` is its name for the thing.

    None for what has an alert of its own: a broken pipe, and an approval that is waited for.
    """
    told = CALLS.get(call.partition(":")[0])
    return Alert(Kind.CALL, f"call:{call}", told[0], why, told[1]) if told else None


def approval_waiting(version: str, why: str, newest: str) -> Alert:
    """A challenger is proven and waits for a signature; `newest` is the newest batch, with each it is said again."""
    step = f"Sign with `mlops promote {version} --reason TEXT`, or keep the champion: `mlops decline --reason TEXT`."
    cause = f"approval:{version}:{newest}"
    return Alert(Kind.APPROVAL, cause, f"Version {version} waits for approval, batch {newest}", why, step)


def decided(verdict: Verdict, run_id: str, why: str, version: int | None) -> Alert | None:
    """What promotion said of a training, and why; None where it could not tell, which is `undecided`."""
    if verdict is Verdict.UNKNOWN:
        return None
    is_new = verdict is Verdict.PASS
    number = f"version {version}" if version is not None else "a new version"
    title = f"New champion: {number}" if is_new else "The champion stays"
    step = "Nothing to do. `mlops rollback --reason TEXT` takes it back." if is_new else "Nothing to do."
    return Alert(Kind.DECISION, f"decision:{run_id}", title, why, step)


def change_accepted(since: str, run_id: str, why: str) -> Alert:
    """Promotion has judged a change, and the champion is as good in it as before: it is the new normal."""
    step = f"Nothing to do. `mlops accept {since} --what change --take-back --reason TEXT` takes it back."
    return Alert(Kind.DECISION, f"decision:{run_id}", f"Change since {since} accepted", why, step)


def no_champion(failing: Sequence[str], why: str, keys: Sequence[str]) -> Alert:
    """The floors left no champion: nothing is scored. `failing`: names of the floors; `keys`: theirs in params.yaml.

    Told again only when other floors fail: each newly mature month is tried, and mostly says the same.
    """
    floors = ", ".join(failing) or "the floors"
    step = (
        "The next mature month is tried by itself. Look at the data first: can the outcome be told from these columns?"
    )
    if keys:
        step += f" If the limit asks too much of this table, change {', '.join(keys)} in params.yaml."
    cause = f"no_champion:{','.join(failing)}"
    return Alert(Kind.CALL, cause, f"No champion: no model passes {floors}", why, step)


def snapshot_overdue(landed: Collection[str], *, expected: str, allowed: int) -> Alert | None:
    """Customers of a month that should be here are not.

    `expected` is the month that is due at the latest now; up to `allowed` months behind it nobody is told.
    """
    if not landed:
        return None
    due = months(min(landed), expected)[: -allowed or None]
    missing = [batch for batch in due if batch not in landed]
    return overdue("customers", missing, "No month is scored without them.")


def outcomes_overdue(scored: Sequence[str], mature: Collection[str], *, allowed: int) -> Alert | None:
    """Outcomes of a scored month are not here although more than `allowed` newer months are scored."""
    due = sorted(scored)[: -allowed or None] if scored else []
    missing = [batch for batch in due if batch not in mature]
    return overdue("outcomes", missing, "Until then its scores are not checked and nothing is learned from it.")


def overdue(kind: str, missing: Sequence[str], harm: str) -> Alert | None:
    """Files of `kind` that are missing, oldest first; None when none is. Each further month is told once."""
    if not missing:
        return None
    named = ", ".join(missing[:NAMED]) + (f" and {len(missing) - NAMED} more" if len(missing) > NAMED else "")
    step = f"Ask for the {kind} of {missing[-1]} and land them with `mlops land FILE --batch {missing[-1]}`."
    return Alert(Kind.OVERDUE, f"overdue:{kind}:{missing[-1]}", f"{kind} overdue: {named}", harm, step)


def quarantine_near(table: str, batch: str, *, quarantined: int, rows: int, limit: float) -> Alert | None:
    """Rows in quarantine come near the share at which the batch is not published, or pass it.

    `rows` are all that landed; `limit` is quality.max_quarantined_share.
    """
    # In rows and not in shares: 4 of 100 are .8 of a limit of .05, which floats deny.
    if not quarantined or quarantined < NEAR * limit * rows - 1e-9:
        return None
    share = f"{quarantined} of {rows} rows ({quarantined / rows:.1%}) are in quarantine, the limit is {limit:.1%}"
    above = quarantined > limit * rows
    title = f"{table} of {batch}: quarantine {'above' if above else 'near'} its limit"
    step = f"Look at the rules they broke, in the check of {table}, and ask whoever delivers the file."
    return Alert(Kind.QUARANTINE, f"quarantine:{table}:{batch}:{quarantined}/{rows}", title, share, step)


@dataclass(frozen=True, slots=True)
class SensorState:
    """How a sensor fares; `failures` in a row up to its newest tick, `since` names the first of them.

    `silent_seconds`: since its newest tick, None if it never had one.
    """

    name: str
    is_on: bool
    failures: int
    since: str
    error: str
    last_tick: str
    silent_seconds: float | None


def sensor_stopped(state: SensorState, *, failures: int, silent_seconds: float) -> Alert | None:
    """A sensor is off, fails at least `failures` times in a row, or has not ticked for longer than `silent_seconds`."""
    name, cause = state.name, f"sensor:{state.name}"
    if not state.is_on:
        step = f"Turn {name} on in the UI, under Automation."
        return Alert(Kind.SENSOR, f"{cause}:off:{state.last_tick}", f"Sensor {name} is off", "It sees nothing.", step)
    if state.failures >= failures:
        title = f"Sensor {name} fails: {state.failures} ticks in a row"
        step = f"Open its newest tick in the UI, under Automation, {name}. It goes on by itself once that is mended."
        return Alert(Kind.SENSOR, f"{cause}:failing:{state.since}", title, state.error, step)
    if state.silent_seconds is not None and state.silent_seconds > silent_seconds:
        body = f"Its newest tick was {state.silent_seconds / 60:.0f} minutes ago."
        step = "See that the daemon runs: `mlops up`, or the log of its service."
        return Alert(Kind.SENSOR, f"{cause}:silent:{state.last_tick}", f"Sensor {name} does not tick", body, step)
    return None


def months(first: str, last: str) -> list[str]:
    """Every month from `first` to `last`, both included, written YYYY-MM; none if `last` is earlier."""
    start, end = (int(batch[:4]) * 12 + int(batch[5:]) - 1 for batch in (first, last))
    return [f"{count // 12:04d}-{count % 12 + 1:02d}" for count in range(start, end + 1)]
