"""Decides which candidate, if any, is to score: the first champion by the floors alone, every later one by proof.

The floors hold for every champion. Without one, they alone decide about the first candidate, the one that weights all
history alike. With one, a candidate must besides be better on the same rows, out of sample for both; of several, the
one with the larger gain. A challenger that is the champion's own model has nothing to prove and is kept out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from mlops_assets.gates.promotion import Comparison, FloorsJudgement, comparison_findings, floors_findings
from mlops_assets.gates.verdict import Verdict, all_of


@dataclass(frozen=True, slots=True)
class Contender:
    """A candidate by name and digest, with what the gates say of it; `comparison` is None without a champion."""

    candidate: str
    model_md5: str
    floors: FloorsJudgement
    comparison: Comparison | None


@dataclass(frozen=True, slots=True)
class Succession:
    """The verdict, the winner's digest on PASS, the reason in a sentence, and `PromotionFindings` of all contenders."""

    verdict: Verdict
    winner: str | None
    why: str
    findings: pd.DataFrame


def decide(contenders: Sequence[Contender], *, champion: str | None) -> Succession:
    """Who is to score; `champion` is the digest of the model that scores now, None when there is none.

    Raises ValueError when there is no contender.
    """
    if not contenders:
        message = "a succession needs at least one candidate. Run churn_model first."
        raise ValueError(message)
    findings = pd.concat([table for contender in contenders for table in told(contender)], ignore_index=True)
    news = [contender for contender in contenders if contender.model_md5 != champion]
    if not news:
        return Succession(Verdict.FAIL, None, "the challenger is the champion's own model: nothing new", findings)
    if champion is None:
        return first(news[0], findings)
    return challenge(news, findings)


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
        return Succession(Verdict.PASS, best.model_md5, f"{best.candidate}: {meaning(best)}", findings)
    verdicts = [overall(c) for c in contenders]
    # UNKNOWN only where nobody can be told: one clear answer closes the question.
    verdict = Verdict.FAIL if Verdict.FAIL in verdicts else Verdict.UNKNOWN
    reasons = "; ".join(f"{c.candidate}: {meaning(c)}" for c in contenders)
    return Succession(verdict, None, f"the champion stays. {reasons}", findings)


def too_few_months(have: int, need: int) -> Comparison:
    """UNKNOWN: the two models cannot be compared yet."""
    missing = f"{need - have} more must mature"
    return Comparison(Verdict.UNKNOWN, f"{have} of {need} months newer than the champion's as_of are mature; {missing}")


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
