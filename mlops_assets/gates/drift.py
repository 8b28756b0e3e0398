"""Decides whether the current batch still looks like what the champion learned from, and if not, whose doing it is.

Three questions share the chance of a false alarm: do all columns together differ (`joint`, half of it), does the shape
of one (`moves`, three tenths), does one show what the reference never showed (`news`, a fifth). Each sees what the
others don't. A count of moved columns, as drift presets use, waits until half the table has moved. With enough rows any
difference is significant, so that a move of fewer rows than `min_effect` is none.

Where persons come again, each question is asked of persons: what a customer was in six snapshots is known of one
customer, and what all have in common with their own past says how little chance there is in the difference.

A gate that is run every month is `monthly`'s subject. No outcome is needed, so a FAIL is no proof that
the model is worse: it starts a challenger, and only outcomes promote it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlops_assets.gates.attribution import Cause, pipe_reason
from mlops_assets.gates.columns import SCORE, Compared, Steps, is_missing, pair
from mlops_assets.gates.findings import (
    BATCH,
    JOINT,
    NO_MOVE,
    DriftAssessment,
    DriftFindings,
    Finding,
    cause_of,
    findings_table,
    verdict_of,
)
from mlops_assets.gates.joint import JointMove, joint_move
from mlops_assets.gates.moves import Move, shape_move
from mlops_assets.gates.news import news_moves
from mlops_assets.gates.persons import Persons, effective_rows, persons_of
from mlops_assets.gates.verdict import Verdict
from mlops_assets.gates.whereabouts import where_most

__all__ = [
    "BATCH",
    "JOINT",
    "NO_MOVE",
    "SCORE",
    "Cause",
    "DriftAssessment",
    "DriftFindings",
    "Finding",
    "assess_drift",
    "cause_of",
    "findings_table",
    "verdict_of",
]

JOINTLY, BY_SHAPE, BY_NEWS, BY_COUNT = 0.5, 0.3, 0.1, 0.1
"""Shares of the false alarms that each question may raise; news twice, by tests of any and of few outcomes."""

NEWS_PER_EFFECT = 20
"""News matter from so many times fewer rows on than moves of a known shape: a broken pipe begins small."""

ROUNDING = 1e-9
"""Two chances that differ by less than this share are the same one."""

NAMED_LEVELS = 20
"""New levels that a finding names: a column of keys has a new one in each row."""


def assess_drift(
    reference: pd.DataFrame,
    current: pd.DataFrame,
    *,
    reference_scores: npt.ArrayLike | None = None,
    current_scores: npt.ArrayLike | None = None,
    reference_keys: npt.ArrayLike | None = None,
    current_keys: npt.ArrayLike | None = None,
    steps: Steps | None = None,
    changes: Steps | None = None,
    alpha: float,
    min_rows: int = 100,
    min_effect: float = 0.02,
    permutations: int = 399,
    seed: int = 7,
    segments: Sequence[str] | None = None,
) -> DriftAssessment:
    """Verdict on `current`, shape (n, >= k), against `reference`, shape (m, k): FAIL if p <= `alpha`.

    A move of fewer rows than the share `min_effect`, or that far in standard deviations, has p 1; news from a twentieth
    of it on count.

    UNKNOWN if a side has fewer than `min_rows` effective rows, or there is nothing to compare. Columns that only
    `current` has are not judged. Keys, shapes (m,) and (n,), name the person of each row; None: each row is another.
    `steps`: how ageing columns grew (`ageing`); of these the growth is judged. `changes`: what became of the values of
    persons since the batch before. Scores, in [0, 1] and NaN where missing,
    are judged as one more column; the reference's must be out-of-sample. `permutations` and `seed` are those of the
    joint test. `segments` are the columns in whose levels is looked for where it moved most; None: all that have few.
    Raises ValueError when `current` lacks a column, or only one side has scores.
    """
    persons = persons_of(reference_keys, current_keys)
    columns = pair(reference, current, reference_scores, current_scores, persons=persons, steps=steps, changes=changes)
    shapes = {name: shape_move(column) for name, column in columns.items()}
    news = {name: news_moves(column) for name, column in columns.items()}
    is_told = bool(columns) and _smaller(persons, len(reference), len(current)) >= min_rows
    together = None
    if is_told:
        is_current = np.arange(len(reference) + len(current)) >= len(reference)
        # Dealt among strangers, "his row of the month before is known" would tell the samples apart.
        pooled = {name: column.pooled for name, column in columns.items() if persons or not column.is_ageing}
        codes = None if persons is None else persons.pooled
        together = joint_move(
            pooled, is_current, score=SCORE, permutations=permutations, seed=seed, persons=codes, grown=set(steps or ())
        )
        shapes |= {
            name: replace(shapes[name], p_value=p_value)
            for name, p_value in together.by_column.items()
            if not columns[name].retyped
        }
    cut = {name: column for name, column in columns.items() if segments is None or name in segments}

    findings = []
    asked = [test for tests in news.values() for test in tests]
    for name, column in columns.items():
        shape = shapes[name]
        corrected = [(len(columns) * shape.p_value / BY_SHAPE if shape.share >= min_effect else 1.0, shape)]
        corrected += [
            (_corrected(test, asked) if NEWS_PER_EFFECT * test.share >= min_effect else 1.0, test)
            for test in news[name]
        ]
        findings.append(_finding(column, corrected, alpha=alpha, is_told=is_told, segments=cut))
    if together is not None:
        if together.size < min_effect:
            together = replace(together, p_value=1.0)
        findings.append(_joint_finding(together, columns, shapes, news, alpha=alpha))
    return conclude(findings, len(reference), len(current), is_told=is_told)


def _smaller(persons: Persons | None, reference: int, current: int) -> float:
    """Effective rows of the smaller side."""
    if persons is None:
        return min(reference, current)
    return min(effective_rows(np.ones(len(side)), side) for side in (persons.reference, persons.current))


def _corrected(test: Move, asked: Sequence[Move]) -> float:
    """The p of a test of news corrected for all that were asked: the chance that any of them is as surprising."""
    if test.p_value >= 1:  # of a test of few outcomes none of those counted: their chances say nothing of it
        return 1.0
    if test.attainable is None:
        return sum(other.attainable is None for other in asked) * test.p_value / BY_NEWS
    limit = test.p_value * (1 + ROUNDING)
    return sum(chance for other in asked for chance in other.attainable or () if chance <= limit) / BY_COUNT


def conclude(findings: list[Finding], reference: int, current: int, *, is_told: bool) -> DriftAssessment:
    """The verdict that follows from the findings: FAIL exactly if one of them is; what columns say themselves first."""
    ordered = sorted(findings, key=_importance)
    p_value = min([1.0, *(finding.p_value for finding in findings)])
    failed = [finding for finding in ordered if finding.verdict is Verdict.FAIL]
    verdict = Verdict.UNKNOWN if not is_told else Verdict.FAIL if failed else Verdict.PASS
    batches = failed[0].batches if failed else 1
    return DriftAssessment(verdict, p_value, tuple(ordered), reference, current, _cause(failed), batches)


def _importance(one: Finding) -> tuple[bool, bool, float, float, str]:
    # What columns say by themselves explains what they say together, however small the p of that is.
    return one.verdict is not Verdict.FAIL, one.kind == "joint", one.p_value, -abs(one.effect or 0), one.column


def _cause(failed: list[Finding]) -> Cause:
    """Of all findings that failed: what is broken comes first, what columns say by themselves before their relation."""
    causes = {finding.cause for finding in failed if finding.kind != "joint"} or {finding.cause for finding in failed}
    return next((cause for cause in (Cause.PIPE, Cause.POPULATION, Cause.RELATION) if cause in causes), Cause.NONE)


def _finding(
    column: Compared,
    corrected: list[tuple[float, Move]],
    *,
    alpha: float,
    is_told: bool,
    segments: Mapping[str, Compared],
) -> Finding:
    """Finding on one column from its tests (that of the shape first), each with its p corrected for all tests."""
    p_value = min(1.0, *(p for p, _ in corrected))
    failed = is_told and p_value <= alpha
    rang = [test for p, test in sorted(corrected, key=lambda pair: pair[0]) if p <= alpha]
    # What alone would be news is told too, though it is no alarm.
    told = rang or [test for _, test in corrected if len(corrected) * test.p_value <= alpha]
    reason = pipe_reason(column, rang) if failed else ""
    shape = corrected[0][1]
    where = where_most(column, _leading(rang, shape), segments) if failed and not column.retyped else ""
    told.sort(key=lambda test: test is not shape)  # what a person knows the column by comes first
    words = [*(test.words for test in told), where, reason and f"looks broken: {reason}"]
    return Finding(
        column=column.name,
        kind=column.kind,
        moved="; ".join(filter(None, words)) or NO_MOVE,
        statistic=shape.statistic,
        effect=shape.effect,
        p_value=p_value,
        missing_reference=_missing_share(column.reference),
        missing_current=_missing_share(column.current),
        new_categories=_unseen(column, corrected)[:NAMED_LEVELS],
        verdict=_verdict(failed=failed, is_told=is_told),
        cause=Cause.NONE if not failed else Cause.PIPE if reason else Cause.POPULATION,
    )


def _leading(rang: list[Move], shape: Move) -> Move:
    """Of the tests that rang, the one whose move is looked for in segments: the shape's, or the most surprising."""
    return shape if shape in rang else rang[0]


def _unseen(column: Compared, corrected: list[tuple[float, Move]]) -> tuple[str, ...]:
    return next((test.levels for _, test in corrected[1:] if test.levels), ()) if column.is_levels else ()


def _missing_share(values: npt.NDArray[np.float64] | npt.NDArray[np.object_]) -> float:
    return float(is_missing(values).mean()) if values.size else 0.0


def _verdict(*, failed: bool, is_told: bool) -> Verdict:
    return Verdict.UNKNOWN if not is_told else Verdict.FAIL if failed else Verdict.PASS


def _joint_finding(
    together: JointMove,
    columns: Mapping[str, Compared],
    shapes: Mapping[str, Move],
    news: Mapping[str, list[Move]],
    *,
    alpha: float,
) -> Finding:
    """Finding of the joint test; a single column that it points at is looked at for a broken pipe too."""
    p_value = min(1.0, together.p_value / JOINTLY)
    failed = p_value <= alpha
    words, cause = NO_MOVE, Cause.NONE
    if failed:
        words, cause = f"{together.words} moved by {together.statistic:.1f} standard errors", Cause.RELATION
    if failed and len(together.columns) == 1:
        (name,) = together.columns
        rang = [test for test in (shapes[name], *news[name]) if test.p_value <= alpha]
        cause = Cause.PIPE if pipe_reason(columns[name], rang) else Cause.POPULATION
    return Finding(
        JOINT,
        "joint",
        words,
        together.statistic,
        None,
        p_value,
        None,
        None,
        (),
        _verdict(failed=failed, is_told=True),
        cause,
    )
