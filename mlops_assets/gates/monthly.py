"""Decides whether a batch that comes every month still looks like what the champion learned from.

A gate that is run every month rings more often than once. So it asks two questions, each at half the chance of a false
alarm: of the batch alone, which sees what broke today, and of the newest batches pooled, which sees a small shift that
stays. Pooled are only batches that the champion never learned from: in any other the shift is no news.
A change that the champion has learned is no news either, though it learned older months too (`learned`).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlops_assets.gates.ageing import changes_of, stacked, steps_of
from mlops_assets.gates.attribution import Cause
from mlops_assets.gates.drift import assess_drift, conclude
from mlops_assets.gates.findings import NO_MOVE, DriftAssessment
from mlops_assets.gates.learned import since_last_change
from mlops_assets.gates.persons import Floats
from mlops_assets.gates.verdict import Verdict

WINDOW = 3
"""Batches that are pooled at most, the current one included."""


@dataclass(frozen=True, slots=True)
class Knobs:
    """What `assess_drift` is told of chance."""

    alpha: float
    min_rows: int
    min_effect: float
    permutations: int
    seed: int


class Batch(NamedTuple):
    """A batch's rows, shape (n, k), with scores and persons' keys, shape (n,), and its name, where they are known."""

    table: pd.DataFrame
    scores: npt.ArrayLike | None = None
    keys: npt.ArrayLike | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Reference:
    """What the batches are held against: rows, shape (m, k), their scores, keys and batches, and how they aged."""

    table: pd.DataFrame
    scores: Floats | None
    keys: npt.NDArray[np.object_] | None
    steps: dict[str, Floats]
    changes: dict[str, Floats]

    def only(self, part: npt.NDArray[np.bool_]) -> "Reference":
        """The rows that `part`, shape (m,), marks."""
        scores = None if self.scores is None else self.scores[part]
        keys = None if self.keys is None else self.keys[part]
        return Reference(self.table[part], scores, keys, _at(self.steps, part), _at(self.changes, part))


def assess_month(
    reference: pd.DataFrame,
    current: pd.DataFrame,
    *,
    earlier: Sequence[Batch | tuple[pd.DataFrame, npt.ArrayLike | None]] = (),
    reference_scores: npt.ArrayLike | None = None,
    current_scores: npt.ArrayLike | None = None,
    reference_batches: npt.ArrayLike | None = None,
    reference_keys: npt.ArrayLike | None = None,
    current_keys: npt.ArrayLike | None = None,
    batch: str = "",
    alpha: float,
    min_rows: int = 100,
    min_effect: float = 0.02,
    permutations: int = 399,
    seed: int = 7,
    segments: Sequence[str] | None = None,
) -> DriftAssessment:
    """Verdict on a batch that comes every month: alone, and pooled with the newest of `earlier`, each at `alpha` / 2.

    The arguments are those of `assess_drift`. Without `earlier` the batch alone is judged, at `alpha`.

    `earlier`: the batches before this one with their scores, oldest first, of which the last two count. Only batches
    that the champion never learned from, and none whose own verdict was a broken pipe: it would ring for two months
    more. `reference_batches`, shape (m,): the month of each reference row; what fails against all of them is judged
    against those since the last change, whose answer counts. `reference_keys`, `current_keys` and those of `earlier`:
    the person of each row (`persons`); with them, and with the names of the months (`batch` is the current one's), of
    columns that age the growth is judged (`ageing`). `p_value` is corrected for both. UNKNOWN if the batch itself is
    too small, however many are pooled.
    """
    knobs = Knobs(alpha, min_rows, min_effect, permutations, seed)
    window = [*(Batch(*one) for one in earlier), Batch(current, current_scores, current_keys, batch)][-WINDOW:]
    steps, changes = _since(reference, reference_batches, reference_keys, window)
    scores = None if reference_scores is None else np.asarray(reference_scores, dtype=float)
    keys = None if reference_keys is None else np.asarray(reference_keys, dtype=object)
    ends = np.cumsum([0, len(reference), *(len(one.table) for one in window)])
    parts = [slice(start, end) for start, end in pairwise(ends)]
    learned = Reference(reference, scores, keys, _at(steps, parts[0]), _at(changes, parts[0]))
    since = [(_at(steps, part), _at(changes, part)) for part in parts[1:]]
    judged = _judge(learned, window, since, segments, knobs)
    if judged.verdict is not Verdict.FAIL or reference_batches is None:
        return judged
    part = since_last_change(
        reference,
        reference_batches,
        scores=scores,
        keys=keys,
        steps=learned.steps,
        changes=learned.changes,
        **asdict(knobs),
    )
    return judged if part.all() else _judge(learned.only(part), window, since, segments, knobs)


def _at(columns: dict[str, Floats], part: npt.NDArray[np.bool_] | slice) -> dict[str, Floats]:
    return {name: values[part] for name, values in columns.items()}


def _since(
    reference: pd.DataFrame, batches: npt.ArrayLike | None, keys: npt.ArrayLike | None, window: Sequence[Batch]
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """How ageing columns grew, and what became of all, in the reference's rows and then in those of the window.

    Nothing where nobody is known.
    """
    named = [(one.table, one.keys, one.name) for one in window if one.keys is not None and one.name]
    if batches is None or keys is None or len(named) < len(window):
        return {}, {}
    parts = [(reference, keys, batches)]
    parts += [(table[list(reference)], known, np.full(len(table), name)) for table, known, name in named]
    snapshots = stacked(parts)
    seen = len(snapshots.table) - len(window[-1].table)
    return steps_of(snapshots, len(reference), seen), changes_of(snapshots)


def _judge(
    reference: Reference,
    window: Sequence[Batch],
    since: Sequence[tuple[dict[str, Floats], dict[str, Floats]]],
    segments: Sequence[str] | None,
    knobs: Knobs,
) -> DriftAssessment:
    """The newest batch of the window alone, and pooled with those before it where there are some."""
    share = knobs if len(window) == 1 else replace(knobs, alpha=knobs.alpha / 2)

    def judge(rows: Sequence[Batch], since: Sequence[tuple[dict[str, Floats], dict[str, Floats]]]) -> DriftAssessment:
        table = pd.concat([one.table[list(reference.table)] for one in rows], ignore_index=True)
        scores = [np.asarray(one.scores, dtype=float) for one in rows if one.scores is not None]
        keys = [np.asarray(one.keys, dtype=object) for one in rows if one.keys is not None]
        return assess_drift(
            reference.table,
            table,
            reference_scores=reference.scores,
            current_scores=np.concatenate(scores) if scores else None,
            reference_keys=reference.keys,
            current_keys=np.concatenate(keys) if keys else None,
            steps=_both(reference.steps, [steps for steps, _ in since]),
            changes=_both(reference.changes, [changes for _, changes in since]),
            segments=segments,
            **asdict(share),
        )

    alone = judge(window[-1:], since[-1:])
    if len(window) == 1 or alone.verdict is Verdict.UNKNOWN:
        return alone
    return _merged(alone, judge(window, since), batches=len(window))


def _both(reference: dict[str, Floats], parts: Sequence[dict[str, Floats]]) -> dict[str, tuple[Floats, Floats]]:
    return {name: (values, np.concatenate([part[name] for part in parts])) for name, values in reference.items()}


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
