"""Decides whether a batch that comes every month still looks like what the champion learned from.

A gate that is run every month rings more often than once. So it asks two questions, each at half the chance of a false
alarm: of the batch alone, which sees what broke today, and of the newest batches pooled, which sees a small shift that
stays. Pooled are only batches that the champion never learned from: in any other the shift is no news.
A change that the champion has learned is no news either, though it learned older months too (`learned`).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlops_assets.gates.attribution import Cause
from mlops_assets.gates.drift import assess_drift, conclude
from mlops_assets.gates.findings import NO_MOVE, DriftAssessment
from mlops_assets.gates.learned import since_last_change
from mlops_assets.gates.verdict import Verdict

WINDOW = 3
"""Batches that are pooled at most, the current one included."""


@dataclass(frozen=True, slots=True)
class Knobs:
    """What `assess_drift` is told of chance."""

    alpha: float
    min_rows: int
    permutations: int
    seed: int


def assess_month(
    reference: pd.DataFrame,
    current: pd.DataFrame,
    *,
    earlier: Sequence[tuple[pd.DataFrame, npt.ArrayLike | None]] = (),
    reference_scores: npt.ArrayLike | None = None,
    current_scores: npt.ArrayLike | None = None,
    reference_batches: npt.ArrayLike | None = None,
    alpha: float,
    min_rows: int = 100,
    permutations: int = 399,
    seed: int = 7,
    segments: Sequence[str] | None = None,
) -> DriftAssessment:
    """Verdict on a batch that comes every month: alone, and pooled with the newest of `earlier`, each at `alpha` / 2.

    The arguments are those of `assess_drift`. Without `earlier` the batch alone is judged, at `alpha`.

    `earlier`: the batches before this one with their scores, oldest first, of which the last two count. Only batches
    that the champion never learned from, and none whose own verdict was a broken pipe: it would ring for two months
    more. `reference_batches`, shape (m,): the month of each reference row; what fails against all of them is judged
    against those since the last change, whose answer counts. `p_value` is corrected for both. UNKNOWN if the batch
    itself is too small, however many are pooled.
    """
    knobs = Knobs(alpha, min_rows, permutations, seed)
    window = [*earlier, (current, current_scores)][-WINDOW:]
    judged = _judge(reference, reference_scores, window, segments, knobs)
    if judged.verdict is not Verdict.FAIL or reference_batches is None:
        return judged
    part = since_last_change(reference, reference_batches, scores=reference_scores, **asdict(knobs))
    if part.all():
        return judged
    scores = None if reference_scores is None else np.asarray(reference_scores, dtype=float)[part]
    return _judge(reference[part], scores, window, segments, knobs)


def _judge(
    reference: pd.DataFrame,
    reference_scores: npt.ArrayLike | None,
    window: Sequence[tuple[pd.DataFrame, npt.ArrayLike | None]],
    segments: Sequence[str] | None,
    knobs: Knobs,
) -> DriftAssessment:
    """The newest batch of the window alone, and pooled with those before it where there are some."""
    current, current_scores = window[-1]
    share = knobs if len(window) == 1 else replace(knobs, alpha=knobs.alpha / 2)
    known = {"reference_scores": reference_scores, "segments": segments, **asdict(share)}
    alone = assess_drift(reference, current, current_scores=current_scores, **known)
    if len(window) == 1 or alone.verdict is Verdict.UNKNOWN:
        return alone
    rows = pd.concat([frame[list(reference)] for frame, _ in window], ignore_index=True)
    told = [np.asarray(scores, dtype=float) for _, scores in window if scores is not None]
    pooled = assess_drift(reference, rows, current_scores=np.concatenate(told) if told else None, **known)
    return _merged(alone, pooled, batches=len(window))


def _merged(alone: DriftAssessment, pooled: DriftAssessment, *, batches: int) -> DriftAssessment:
    """Both as one: each column by the more surprising of its findings, p doubled; today's pipe before anything else."""
    others = {finding.column: finding for finding in pooled.findings}
    findings = []
    for finding in alone.findings:
        other = others[finding.column]
        is_pooled = other.p_value < finding.p_value and finding.cause is not Cause.PIPE
        chosen = finding if not is_pooled else replace(other, batches=batches, new_categories=finding.new_categories)
        if is_pooled:
            words = chosen.moved if chosen.moved == NO_MOVE else f"{chosen.moved}, in {batches} batches together"
            chosen = replace(chosen, moved=words, missing_current=finding.missing_current)
        findings.append(replace(chosen, p_value=min(1.0, 2 * chosen.p_value)))
    return conclude(findings, alone.reference_rows, alone.current_rows, is_told=True)
