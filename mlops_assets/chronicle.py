"""What happened in a simulated month, told from what the history got in it: verdicts, trainings, champions, alerts."""

from collections.abc import Sequence
from dataclasses import dataclass

from mlops_assets import alerts
from mlops_assets.gates import findings, outcome_findings
from mlops_assets.history import Crowned, Judged, Made
from mlops_assets.operate import System
from mlops_assets.storage import bytes_table

KINDS: tuple[type, ...] = (Made, Judged, Crowned)


@dataclass(frozen=True, slots=True)
class Trained:
    """One training: why it was asked for, and what promotion said of it."""

    causes: tuple[str, ...]
    verdict: str
    why: str
    winner: int | None


@dataclass(frozen=True, slots=True)
class MonthTold:
    """What happened in a month. `drift`: of its customers, before any re-scoring; `outcomes`: of the batch they are of.

    `trained`: the causes of each training; `promoted`: version that became champion in it, `champion`: at its end.
    """

    batch: str
    landed: tuple[str, ...] = ()
    drift: str | None = None
    drift_why: str = ""
    outcomes: str | None = None
    outcomes_of: str | None = None
    outcomes_why: str = ""
    trained: tuple[str, ...] = ()
    trainings: tuple[Trained, ...] = ()
    promoted: int | None = None
    champion: int | None = None
    alerts: tuple[str, ...] = ()


def counts(running: System) -> dict[str, int]:
    """How much the history holds."""
    history = running.resources["history"]
    told = {kind.__name__: len(history.read(kind)) for kind in KINDS}
    return {**told, "alerts": len(alerts.Ledger(running.home.history).read())}


def month_told(running: System, batch: str, landed: Sequence[str], marks: dict[str, int]) -> MonthTold:
    """What the history tells of the month since its beginning."""
    history = running.resources["history"]
    made, judged, crowned = (history.read(kind)[marks[kind.__name__] :] for kind in KINDS)
    drift = next((one for one in made if one.asset == "drift_report" and one.batch == batch), None)
    outcomes = next((one for one in made if one.asset == "outcome_report"), None)
    report = bytes_table(history.kept(drift.md5)) if drift else None
    kept = bytes_table(history.kept(outcomes.md5)) if outcomes else None
    trainings = tuple(
        Trained(
            tuple(one.causes),
            one.verdict,
            one.why,
            record.version if (record := history.find(one.winner or "")) else None,
        )
        for one in judged
    )
    told = alerts.Ledger(running.home.history).read()[marks["alerts"] :]
    return MonthTold(
        batch=batch,
        landed=tuple(landed),
        drift=str(findings.verdict_of(report)) if report is not None else None,
        drift_why=str(report.moved.iloc[0]) if report is not None else "",
        outcomes=str(outcome_findings.verdict_of(kept)) if kept is not None else None,
        outcomes_of=outcomes.batch if outcomes else None,
        outcomes_why=str(kept.moved.iloc[0]) if kept is not None else "",
        trained=tuple(cause for training in trainings for cause in training.causes),
        trainings=trainings,
        promoted=crowned[-1].version if crowned else None,
        champion=champion_of(running),
        alerts=tuple(line.title for line in told if line.fault is None),
    )


def champion_of(running: System) -> int | None:
    """Version of the champion."""
    crowned = running.resources["history"].read(Crowned)
    return crowned[-1].version if crowned else None


def in_short(told: MonthTold) -> str:
    """A month in a line."""
    parts = [f"{told.batch}: drift {told.drift or '-'}, outcomes {told.outcomes or '-'}"]
    parts += [f"trained, {training.verdict}" for training in told.trainings]
    parts += [f"version {told.promoted} promoted"] if told.promoted else []
    return ", ".join([*parts, f"champion {told.champion}"])
