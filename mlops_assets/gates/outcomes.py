"""Decides whether scores still keep their word, once it is known what became of those scored.

What the champion promised (labels and out-of-sample scores of what it learned from) is held against the matured batch:
each is recalibrated (`recalibration`), and the two may differ by no more than chance. So a relation that changed while
no input moved is seen, and inputs that moved under the same relation are not. Asked are the newest batch alone, which
answers soon, and all batches handed over together, which see a small change; and each segment, every month, because a
model that became unfair to few is hidden by the many. All these tests share one alpha.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlops_assets.gates.evidence import Rows, bareness_of, column_of, cuts_of, fault_of, read_rows, shortage_of
from mlops_assets.gates.persons import persons_of
from mlops_assets.gates.recalibration import (
    Performance,
    Recalibration,
    difference_p_value,
    harm,
    measure,
    recalibrate,
    standard_errors_apart,
)
from mlops_assets.gates.verdict import Verdict

ALL, WHOLE = "*", "all"
"""Subject of the assessment as a whole, and of all rows of a window."""

NEWEST, POOLED = "newest", "pooled"
"""Windows: the newest batch alone, and all batches together."""

SEGMENTS_SHARE = 0.3
"""Part of alpha that the segments share; all rows have the rest."""

FEW_IN_A_SEGMENT = 50
"""Effective rows below which nothing is said of a segment."""

NEWS = 2.0
"""Standard errors from which a difference is put into words."""

KEPT = "kept their word"


@dataclass(frozen=True, slots=True)
class OutcomeFinding:
    """How scores of one part of the rows kept their word, `then` in the reference and `now`; None where none can tell.

    `p_value` in [0, 1] is corrected for all tests of the assessment, so FAIL means p_value <= alpha.
    """

    window: str
    subject: str
    verdict: Verdict
    p_value: float | None
    moved: str
    then: Performance | None = None
    now: Performance | None = None


@dataclass(frozen=True, slots=True)
class OutcomeAssessment:
    """Verdict on the newest batch, how all its rows fared `then` and `now`, and every finding, the worst first."""

    verdict: Verdict
    p_value: float | None
    moved: str
    then: Performance | None
    now: Performance | None
    findings: tuple[OutcomeFinding, ...]


def assess_outcomes(
    reference_scores: npt.ArrayLike,
    reference_labels: npt.ArrayLike,
    current_scores: npt.ArrayLike,
    current_labels: npt.ArrayLike,
    *,
    alpha: float,
    min_effect: float = 0.002,
    segments: pd.DataFrame | npt.ArrayLike | None = None,
    reference_segments: pd.DataFrame | npt.ArrayLike | None = None,
    batches: npt.ArrayLike | None = None,
    weights: npt.ArrayLike | None = None,
    reference_weights: npt.ArrayLike | None = None,
    keys: npt.ArrayLike | None = None,
    reference_keys: npt.ArrayLike | None = None,
    interval: float = 0.95,
    min_rows: int = 100,
) -> OutcomeAssessment:
    """Verdict on the newest batch: FAIL if, corrected for all tests, p <= `alpha`.

    A difference that costs less than the share `min_effect` of the prevalence's log-loss has p 1, since with enough
    rows any is significant.

    Reference of shape (m,): out-of-sample scores of the champion in [0, 1], labels 0 or 1. Current of shape (n,): those
    of the batch, or of several that the champion never learned from; then `batches`, shape (n,), names each row's, and
    the greatest is the newest. `segments`: one cut or a frame with a column each, on both sides or on neither. `keys`
    and `reference_keys`, shapes (n,) and (m,): the person of each row, on both sides or on neither (each row another).
    UNKNOWN if a side has fewer than `min_rows` rows (of a pooled window that can tell, the newest batch may) or 20 of
    either label, counted in effective rows, or a value is missing or impossible. Raises ValueError when shapes or cuts
    differ.
    """
    persons = persons_of(reference_keys, keys)
    known = (None, None) if persons is None else (persons.reference, persons.current)
    then = read_rows(reference_labels, reference_weights, {"champion": reference_scores}, known[0])
    now = read_rows(current_labels, weights, {"champion": current_scores}, known[1])
    cuts = cuts_of(reference_segments, then), cuts_of(segments, now)
    _refuse_unequal(cuts)
    windows = _windows(now, batches)
    if fault := fault_of(then) or fault_of(now):
        return OutcomeAssessment(Verdict.UNKNOWN, None, fault, None, None, ())
    findings = [
        _judge(window, subject, known, _look("now", now.only(member & is_in), least, interval), interval, min_effect)
        for subject, before, member, least in _subjects(then, now, cuts, min_rows)
        for known in [_look("then", then.only(before), least, interval)]
        for window, is_in in windows.items()
    ]
    return _conclude(_share_alpha(findings, alpha))


def _windows(now: Rows, batches: npt.ArrayLike | None) -> dict[str, npt.NDArray[np.bool_]]:
    """Which rows each window holds, shape (n,); the pooled one only where there is more than one batch."""
    everything = np.ones(len(now.labels), dtype=bool)
    if batches is None or not everything.any():
        return {NEWEST: everything}
    names = pd.Series(column_of(batches, now)).astype(str)
    newest = names.eq(names.max()).to_numpy()
    return {NEWEST: newest} | ({} if newest.all() else {POOLED: everything})


def _subjects(
    then: Rows, now: Rows, cuts: tuple[Mapping[str, pd.Series], Mapping[str, pd.Series]], min_rows: int
) -> Iterator[tuple[str, npt.NDArray[np.bool_], npt.NDArray[np.bool_], int]]:
    """All rows and each segment: name, which rows of the reference and of now it holds, and the least it needs."""
    yield WHOLE, np.ones(len(then.labels), dtype=bool), np.ones(len(now.labels), dtype=bool), min_rows
    for cut in cuts[0]:
        known, levels = (side[cut].to_numpy(dtype=str) for side in cuts)
        for level in sorted({*known, *levels}):
            yield f"{cut}={level}", known == level, levels == level, FEW_IN_A_SEGMENT


def _look(when: str, rows: Rows, min_rows: int, interval: float) -> tuple[Recalibration, Performance] | str:
    """How scores of these rows kept their word, or why nobody can tell."""
    if reason := bareness_of(rows) or shortage_of(rows, min_rows):
        return f"{when}: {reason}"
    columns = rows.labels, rows.scores["champion"], rows.weights
    if (found := recalibrate(*columns, rows.persons)) is None:
        return f"{when}: cannot tell: the scores are all alike, or part the labels without an error"
    return found, measure(*columns, found, interval=interval)


def _judge(
    window: str,
    subject: str,
    then: tuple[Recalibration, Performance] | str,
    now: tuple[Recalibration, Performance] | str,
    interval: float,
    min_effect: float,
) -> OutcomeFinding:
    """One test, its p-value not yet corrected; UNKNOWN with the reason where it cannot be made."""
    if isinstance(then, str):
        return OutcomeFinding(window, subject, Verdict.UNKNOWN, None, then)
    if isinstance(now, str):
        return OutcomeFinding(window, subject, Verdict.UNKNOWN, None, now)
    moved = in_words(then[1], now[1], interval)
    rate = now[1].observed
    matters = harm(then[0], now[0]) >= -min_effect * (rate * np.log(rate) + (1 - rate) * np.log1p(-rate))
    p_value = difference_p_value(then[0], now[0]) if matters else 1.0
    return OutcomeFinding(window, subject, Verdict.PASS, p_value, moved, then[1], now[1])


def _share_alpha(findings: Sequence[OutcomeFinding], alpha: float) -> list[OutcomeFinding]:
    """The findings with p-values corrected for all tests that could be made (Bonferroni), and their verdicts.

    The windows share alike; of a window's part all rows have the most, its segments share the rest.
    """
    made = [finding for finding in findings if finding.p_value is not None]
    windows = Counter(finding.window for finding in made)
    segments = Counter(finding.window for finding in made if finding.subject != WHOLE)
    corrected = []
    for finding in findings:
        if finding.p_value is None:
            corrected.append(finding)
            continue
        among = segments[finding.window]
        rest = (1 - SEGMENTS_SHARE) if among else 1.0
        share = (rest if finding.subject == WHOLE else SEGMENTS_SHARE / among) / len(windows)
        p_value = min(1.0, finding.p_value / share)
        verdict = Verdict.FAIL if p_value <= alpha else Verdict.PASS
        corrected.append(replace(finding, p_value=p_value, verdict=verdict))
    return corrected


def _conclude(findings: Sequence[OutcomeFinding]) -> OutcomeAssessment:
    """The verdict of all findings: one that fails decides, and PASS needs a window whose rows were all judged."""
    worst = sorted(findings, key=lambda f: (f.p_value is None, f.p_value or 0.0, f.subject != WHOLE))
    failed = [finding for finding in worst if finding.verdict is Verdict.FAIL]
    newest = findings[0]
    if failed:
        others = ", ".join(f"{f.subject} ({f.window})" for f in failed[1:])
        moved = f"{failed[0].subject} ({failed[0].window}): {failed[0].moved}" + (f"; also {others}" if others else "")
        verdict = Verdict.FAIL
    elif any(f.verdict is Verdict.PASS for f in findings if f.subject == WHOLE):
        verdict, moved = Verdict.PASS, KEPT
    else:
        verdict, moved = Verdict.UNKNOWN, newest.moved
    return OutcomeAssessment(verdict, worst[0].p_value, moved, newest.then, newest.now, tuple(worst))


def in_words(then: Performance, now: Performance, interval: float) -> str:
    """How the promise is kept now against then; what differs by less than two standard errors is not told."""
    level, slope, auc = (
        standard_errors_apart(getattr(then, name), getattr(now, name), interval=interval)
        for name in ("gap", "slope", "auc")
    )
    told = []
    if abs(level) >= NEWS:
        told.append(
            f"{'more' if level > 0 else 'less'} than promised: {now.observed:.1%} where scores said {now.promised:.1%} "
            f"(before {then.observed:.1%} where {then.promised:.1%})"
        )
    if abs(slope) >= NEWS or abs(auc) >= NEWS:
        told.append(
            f"scores tell {'more' if (slope if abs(slope) >= NEWS else auc) > 0 else 'less'}: "
            f"slope {now.slope.value:.2f} (before {then.slope.value:.2f}), "
            f"ROC AUC {now.auc.value:.3f} (before {then.auc.value:.3f})"
        )
    return "; ".join(told) or KEPT


def _refuse_unequal(cuts: tuple[Mapping[str, pd.Series], Mapping[str, pd.Series]]) -> None:
    """Raises ValueError when one side is cut otherwise than the other."""
    if set(cuts[0]) != set(cuts[1]):
        message = (
            f"reference is cut by {sorted(cuts[0])}, current by {sorted(cuts[1])}. "
            "Hand over the same segments on both sides, or none."
        )
        raise ValueError(message)
