"""Decides whether a column shows what the reference never showed: values beyond its range, gaps, unknown levels.

A few rows of this are invisible to a test of the column's shape, yet nearly impossible under no change, and that can
be counted exactly. Here most broken pipes are seen first.
"""

import numpy as np
import pandas as pd

from mlops_assets.gates.columns import SCORE, Column, Compared, Floats, is_missing, known
from mlops_assets.gates.moves import MISSING, RANGE, UNSEEN, Move, count_levels, fisher, percent

LARGEST_UNSEEN = 0.05
"""Share of values that the reference holds once, up to which numbers are counted like levels (months, not prices)."""

NAMED = 3


def news_moves(column: Compared) -> list[Move]:
    """The tests that the column can be put to; which ones depends on the reference and on what is missing anywhere."""
    tests = []
    if is_missing(column.reference).any() or is_missing(column.current).any():
        tests.append(missing_move(column.reference, column.current))
    if column.retyped or column.kind == SCORE:
        return tests  # another model's scores may reach a little further: that is no news
    if column.is_levels:
        return [*tests, unseen_move(count_levels(column))]
    sides = [np.asarray(known(side), dtype=float) for side in (column.reference, column.current)]
    tests.append(range_move(*sides))
    if is_countable(sides[0]):
        tests.append(unseen_move(count_levels(column)))
    return tests


def is_countable(reference: Floats) -> bool:
    """Whether nearly all numbers occur again and again, so that a new one is news."""
    _, counts = np.unique(reference, return_counts=True)
    return bool(reference.size) and (counts == 1).sum() <= LARGEST_UNSEEN * reference.size


def missing_move(reference: Column, current: Column) -> Move:
    """Fisher's exact test (hypergeometric) of the share of missing values; shapes (m,) and (n,)."""
    missing = [is_missing(side) for side in (reference, current)]
    counts = np.array([[gone.sum(), gone.size - gone.sum()] for gone in missing], dtype=float)
    if not (counts.sum(axis=1).all() and counts[:, 0].any()):
        return Move(1.0, "", MISSING)
    then, now = counts[:, 0] / counts.sum(axis=1)
    return Move(fisher(counts), f"missing {percent(then)} -> {percent(now)}", MISSING, effect=float(now - then))


def range_move(reference: Floats, current: Floats) -> Move:
    """Test of the values beyond the reference's largest and smallest; shapes (m,) and (n,), no NaN.

    That the r largest of all m + n are the batch's has the chance C(n, r) / C(m + n, r), likewise at the lower end; the
    smaller of both counts twice. Exact without ties, conservative with them.
    """
    if not (reference.size and current.size):
        return Move(1.0, "", RANGE)
    low, high = reference.min(), reference.max()
    counts = [int((current < low).sum()), int((current > high).sum())]
    chances = [_all_current(count, reference.size, current.size) for count in counts]
    beyond = ", ".join(
        f"{percent(count / current.size)} {where} {limit:.4g}"
        for count, where, limit in zip(counts, ("below", "above"), (low, high), strict=True)
        if count
    )
    return Move(min(1.0, 2 * min(chances)), beyond, RANGE)


def _all_current(extreme: int, reference: int, current: int) -> float:
    """Chance that the `extreme` first of `reference` + `current` rows in random order are all current ones."""
    before = np.arange(extreme)
    return float(np.prod((current - before) / (reference + current - before)))


def unseen_move(counts: pd.DataFrame) -> Move:
    """Test of the rows with levels that the reference does not hold; `levels` are those, most frequent first.

    With f levels held once by m rows, the mass unseen is about gamma distributed, of shape f + 1 and rate m + 1, so the
    rows that show it among n are negative binomial; if f = 0, r of them have the chance (n / (m + n + 1)) ** r. So a
    column of names, new in every row, is no news. Source: Good (1953), The population frequencies of species.
    """
    from scipy.stats import nbinom

    unseen = counts.loc[counts["reference"] == 0, "current"].sort_values(ascending=False, kind="stable")
    rows, held, total = float(unseen.sum()), counts["reference"].sum(), counts["current"].sum()
    levels = tuple(map(str, unseen.index))
    if not (rows and held):
        return Move(1.0, "", UNSEEN, levels=levels)
    once = int((counts["reference"] == 1).sum())
    p_value = float(nbinom.sf(rows - 1, once + 1, (held + 1) / (held + 1 + total)))
    names = ", ".join(f"'{level}'" for level in levels[:NAMED]) + (", ..." if len(levels) > NAMED else "")
    return Move(p_value, f"new: {names} ({percent(rows / total)} of the rows)", UNSEEN, levels=levels)
