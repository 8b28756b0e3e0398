"""Decides where a column moved most: in which level of which other column, if anywhere more than elsewhere.

"Charges up 10 %" starts a search; "most in fiber, up 24 %" ends it. The level must have moved more than the rest of the
rows by so many standard errors that the best of a table's levels does not reach it by chance.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from mlops_assets.gates.columns import Column, Compared, is_missing, known
from mlops_assets.gates.moves import CHANGE, FRACTION, LEVEL, MEAN, MISSING, RANGE, UNSEEN, Move, changed, percent
from mlops_assets.gates.persons import Floats

Bools = npt.NDArray[np.bool_]

SURE = 4.0
"""Standard errors by which a segment must have moved more than the rest to be named."""

MIN_SEGMENT_ROWS = 20
MAX_SEGMENT_LEVELS = 10


def where_most(column: Compared, test: Move, segments: Mapping[str, Compared]) -> str:
    """The level of another column whose rows moved most, in words; empty where the move is much the same everywhere.

    Named only if it moved more than the rest of the rows by `SURE` standard errors, the largest such.
    """
    sides = column.judged if test.aspect == MEAN else (column.reference, column.current)
    then, now = (_measure(side, test, column.reference) for side in sides)
    best, words = SURE, ""
    for name, segment in segments.items():
        if name == column.name or not segment.is_levels or segment.retyped:
            continue
        levels = sorted(set(known(segment.reference).tolist()))
        for level in levels if len(levels) <= MAX_SEGMENT_LEVELS else []:
            inside, outside = (
                (then[_at(segment.reference, level, is_in)], now[_at(segment.current, level, is_in)])
                for is_in in (True, False)
            )
            contrast = _contrast(inside, outside)
            if contrast > best:
                best, words = contrast, f"most in {name}={level}{_told(test, *inside)}"
    return words


def _at(values: Column, level: str, is_in: bool) -> Bools:  # noqa: FBT001
    return np.asarray((values == level) == is_in)


def _measure(values: Column, test: Move, reference: Column) -> Floats:
    """What of each row the test looks at, as a number; NaN where the row does not count."""
    gone = is_missing(values)
    if test.aspect == MISSING:
        return gone.astype(float)
    if test.aspect == CHANGE:
        return np.full(len(values), np.nan)  # whose value changed is known of pairs of rows
    if test.aspect in {LEVEL, UNSEEN}:
        names = np.array([("" if value is None else f"{value}") for value in values])
        return np.where(gone, np.nan, np.isin(names, test.levels))
    numbers = values.astype(float)
    if test.aspect == FRACTION:
        return np.where(gone, np.nan, numbers != np.rint(numbers))
    if test.aspect == RANGE:
        held = known(reference).astype(float)
        return np.where(gone, np.nan, (numbers < held.min()) | (numbers > held.max()))
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _contrast(inside: tuple[Floats, Floats], outside: tuple[Floats, Floats]) -> float:
    """By how many standard errors the inside moved further than the outside; 0 where too few rows tell."""
    sides = [[values[~np.isnan(values)] for values in pair] for pair in (inside, outside)]
    if min(values.size for pair in sides for values in pair) < MIN_SEGMENT_ROWS:
        return 0.0
    (within, without) = (float(now.mean() - then.mean()) for then, now in sides)
    if abs(within) <= abs(without):
        return 0.0
    error = np.sqrt(sum(values.var() / values.size for pair in sides for values in pair))
    return float(abs(within - without) / error) if error > 0 else np.inf


def _told(test: Move, then: Floats, now: Floats) -> str:
    """By how much the segment moved, in brackets."""
    before, after = float(np.nanmean(then)), float(np.nanmean(now))
    if test.aspect == MEAN:
        change = changed(before, after).removesuffix(", ")
        return f" ({change})" if change else ""
    return f" ({percent(before)} -> {percent(after)})"
