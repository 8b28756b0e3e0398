"""Decides which candidate, if any, is to score: the first champion by the floors alone, every later one by proof.

The floors hold for every champion. Without one, they alone decide about the first candidate, the one that weights all
history alike. With one, a candidate must besides be better on the same rows, out of sample for both; of several, the
one with the larger gain. A challenger that is the champion's own model has nothing to prove and is kept out, and so is
one that a person has rolled back: figures made it champion once, and would again. After a rollback, or where params ask
for it, a PASS is an offer that a person signs; `waits` says so. What may be asked, and how often, is in `asking`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from mlops_assets.gates.promotion import Comparison, FloorsJudgement, comparison_findings, floors_findings
from mlops_assets.gates.verdict import Verdict, all_of

AUTOMATIC, MANUAL = "automatic", "manual"
"""Who makes a champion of a PASS: the system, or a person who signs."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A candidate by name and digests, with what the gates say of it; `comparison` is None without a champion."""

    candidate: str
    model_md5: str
    floors: FloorsJudgement
    comparison: Comparison | None
    training_md5: str | None = None


@dataclass(frozen=True, slots=True)
class Succession:
    """The verdict, the winner's digest on PASS, the reason in a sentence, and `PromotionFindings` of all contenders.

    `waits` says why the winner must not score before a person has signed; None if it may at once, or there is none.
    `compared`: the contenders whose comparison with the champion decided; empty where something else did.
    """

    verdict: Verdict
    winner: str | None
    why: str
    findings: pd.DataFrame
    waits: str | None = None
    compared: tuple[Contender, ...] = ()


def decide(
    contenders: Sequence[Contender],
    *,
    champion: str | None,
    refused: Collection[str] = frozenset(),
    approval: str = AUTOMATIC,
    after_rollback: bool = False,
) -> Succession:
    """Who is to score; `champion` is the digest of the model that scores now, None when there is none.

    `refused`: digests of models that were rolled back, and of what they were trained on; either is enough, since the
    same rows learned anew under another library are other bytes and the same faults. `approval`: `automatic` or
    `manual`. `after_rollback`: whether the last change of champion was a rollback. Raises ValueError when there is no
    contender, or `approval` is another word.
    """
    if not contenders:
        message = "a succession needs at least one candidate. Run churn_model first."
        raise ValueError(message)
    if approval not in {AUTOMATIC, MANUAL}:
        message = f"approval is {approval!r}, it must be {AUTOMATIC!r} or {MANUAL!r}. Correct promotion.approval."
        raise ValueError(message)
    findings = pd.concat([table for contender in contenders for table in told(contender)], ignore_index=True)
    news = [contender for contender in contenders if contender.model_md5 != champion]
    if not news:
        return Succession(Verdict.FAIL, None, "the challenger is the champion's own model: nothing new", findings)
    admitted = [contender for contender in news if not is_refused(contender, refused)]
    if not admitted:
        why = f"{', '.join(c.candidate for c in news)}: rolled back by a person, and not proposed again"
        return Succession(Verdict.FAIL, None, f"{why}; `mlops promote` can", findings)
    judged = first(admitted[0], findings) if champion is None else challenge(admitted, findings)
    return signed(judged, approval=approval, after_rollback=after_rollback)


def is_refused(contender: Contender, refused: Collection[str]) -> bool:
    """Whether its model, or another of the same training, was rolled back."""
    return contender.model_md5 in refused or (contender.training_md5 is not None and contender.training_md5 in refused)


def signed(judged: Succession, *, approval: str, after_rollback: bool) -> Succession:
    """The decision, and on PASS whether a person must sign it."""
    if judged.verdict is not Verdict.PASS:
        return judged
    if after_rollback:
        return replace(judged, waits="the last champion was rolled back: a person signs the next")
    if approval == MANUAL:
        return replace(judged, waits="promotion.approval is manual: a person signs")
    return judged


def withheld(judged: Succession, why: str) -> Succession:
    """UNKNOWN instead of the decision, because something it needs is down; the same again may tell."""
    return replace(judged, verdict=Verdict.UNKNOWN, winner=None, waits=None, why=f"{why}; the same is tried again")


def first(contender: Contender, findings: pd.DataFrame) -> Succession:
    """The first champion: the floors alone decide about the first candidate."""
    floors = contender.floors
    winner = contender.model_md5 if floors.verdict is Verdict.PASS else None
    return Succession(floors.verdict, winner, f"first champion, by the floors: {floors.meaning}", findings)


def challenge(contenders: Sequence[Contender], findings: pd.DataFrame) -> Succession:
    """A successor: the contender with the largest proven gain that keeps the floors; otherwise why there is none."""
    proven = [c for c in contenders if overall(c) is Verdict.PASS]
    if proven:
        best = max(proven, key=gain)
        why = f"{best.candidate}: {meaning(best)}"
        return Succession(Verdict.PASS, best.model_md5, why, findings, compared=tuple(contenders))
    verdicts = [overall(c) for c in contenders]
    # FAIL closes the question, so it is said only when it has been answered for each of them.
    verdict = Verdict.UNKNOWN if Verdict.UNKNOWN in verdicts else Verdict.FAIL
    reasons = "; ".join(f"{c.candidate}: {meaning(c)}" for c in contenders)
    return Succession(verdict, None, f"the champion stays. {reasons}", findings, compared=tuple(contenders))


def too_few_months(have: int, need: int, *, after: str) -> Comparison:
    """UNKNOWN: the two models cannot be compared yet; `after`: only newer months prove anything."""
    missing = f"{need - have} more must mature"
    return Comparison(Verdict.UNKNOWN, f"{have} of {need} months newer than {after} are mature; {missing}")


def told(contender: Contender) -> list[pd.DataFrame]:
    """The contender's rows of `PromotionFindings`."""
    tables = [floors_findings(contender.candidate, contender.floors)]
    if contender.comparison is not None:
        tables.append(comparison_findings(contender.candidate, contender.comparison))
    return tables


def overall(contender: Contender) -> Verdict:
    """Floors and proof together: FAIL before UNKNOWN before PASS."""
    return all_of(contender.floors.verdict, contender.comparison.verdict if contender.comparison else Verdict.UNKNOWN)


def gain(contender: Contender) -> float:
    """Gain in log-loss, nats; minus infinity where there is none."""
    return (
        contender.comparison.gain if contender.comparison and contender.comparison.gain is not None else float("-inf")
    )


def meaning(contender: Contender) -> str:
    """Why, in words: the floors where they are what failed, otherwise the comparison."""
    if contender.floors.verdict is not Verdict.PASS or contender.comparison is None:
        return contender.floors.meaning
    return contender.comparison.meaning
