"""Decides whether a column shows what the reference never showed: values beyond its range, gaps, unknown levels.

A few rows of this are invisible to a test of the column's shape, yet nearly impossible under no change, and that can
be counted exactly. Here most broken pipes are seen first. Persons are counted and not rows, where persons come again:
a value that one customer has in six snapshots is known of one customer.

Where the same persons come again, what became of their values since the batch before is news too: a price that changed
for one in twenty, where it changed for one in a hundred, is far beyond what their snapshots show side by side.

Numbers are judged as numbers, whatever repeats in them: a price that nobody paid before is none, however often the
known prices occur.
"""

import numpy as np
import pandas as pd

from mlops_assets.gates.ageing import CHANGED, LOST
from mlops_assets.gates.columns import SCORE, Column, Compared, is_missing, known
from mlops_assets.gates.moves import CHANGE, FRACTION, MISSING, RANGE, UNSEEN, Move, count_levels, fisher, percent
from mlops_assets.gates.persons import Codes, Floats, summed

NAMED = 3


def news_moves(column: Compared) -> list[Move]:
    """The tests that the column can be put to; which ones depends on the reference and on what is missing anywhere."""
    tests = []
    if is_missing(column.reference).any() or is_missing(column.current).any():
        tests.append(missing_move(column.reference, column.current, reference_worth=column.reference_worth))
    if column.changes is not None and not column.retyped:
        tests += change_moves(column)
    if column.retyped or column.kind == SCORE:
        return tests  # another model's scores may reach a little further: that is no news
    if column.is_levels:
        seen = seen_levels(column)
        held = None if column.persons is None else column.persons.reference_in_persons
        return [*tests, new_level_move(seen, held), unseen_move(seen)]
    sides = [np.asarray(known(side), dtype=float) for side in (column.reference, column.current)]
    tests.append(fraction_move(*sides, reference_worth=column.reference_worth))
    if not column.is_ageing:
        codes = [None if side is None else side[~is_missing(values)] for side, values in column.by_side]
        tests.append(range_move(*sides, *codes))
    return tests


def change_moves(column: Compared) -> list[Move]:
    """Fisher's exact tests of the values that returning persons lost, and of those that changed (not of ageing ones).

    A person who often changes counts for what he tells: the counts are divided by how much more the changes of a
    person vary in the reference than those of strangers would (the design effect; Kish 1965, 8.2).
    """
    if column.changes is None or column.persons is None:
        return []
    tests = []
    kinds = [(LOST, MISSING, "lost")] if column.is_ageing else [(LOST, MISSING, "lost"), (CHANGED, CHANGE, "changed")]
    for kind, aspect, word in kinds:
        told = [~np.isnan(side) for side in column.changes]
        hits = [(side[kept] == kind).astype(float) for side, kept in zip(column.changes, told, strict=True)]
        if not (all(side.size for side in hits) and (hits[0].any() or hits[1].any())):
            continue
        counts = np.array([[side.sum(), side.size - side.sum()] for side in hits])
        then, now = (float(side.mean()) for side in hits)
        effect = _design_effect(hits[0], column.persons.reference[told[0]])
        words = f"{word} for {percent(now)} of those who return ({percent(then)} before)"
        tests.append(Move(fisher(np.rint(counts / effect)), words, aspect, effect=now - then, share=abs(now - then)))
    return tests


def _design_effect(hits: Floats, persons: Codes) -> float:
    """How many times more the sums by person vary than independent rows would; at least 1."""
    rate = float(hits.mean())
    if rate in {0.0, 1.0}:
        return 1.0
    return max(1.0, float(np.square(summed(hits - rate, persons)).sum() / (len(hits) * rate * (1 - rate))))


def missing_move(reference: Column, current: Column, *, reference_worth: float = 1.0) -> Move:
    """Fisher's exact test (hypergeometric) of the share of missing values; shapes (m,) and (n,).

    `reference_worth`: how many rows of other persons a row of the reference tells as much as, in (0, 1].
    """
    missing = [is_missing(side) for side in (reference, current)]
    counts = np.array([[gone.sum(), gone.size - gone.sum()] for gone in missing], dtype=float)
    if not (counts.sum(axis=1).all() and counts[:, 0].any()):
        return Move(1.0, "", MISSING)
    then, now = counts[:, 0] / counts.sum(axis=1)
    p_value = fisher(np.rint(counts * [[reference_worth], [1.0]]))
    return Move(
        p_value,
        f"missing {percent(then)} -> {percent(now)}",
        MISSING,
        effect=float(now - then),
        share=abs(float(now - then)),
    )


def fraction_move(reference: Floats, current: Floats, *, reference_worth: float = 1.0) -> Move:
    """Test of the values with a fraction, where the reference holds whole numbers only; shapes (m,) and (n,), no NaN.

    That all r of them are the batch's has the chance C(n, r) / C(m + n, r), and no other outcome can fail it.
    """
    broken = int((current != np.rint(current)).sum())
    before = int((reference != np.rint(reference)).sum())
    chance = _all_current(broken + before, reference_worth * reference.size, current.size) if broken + before else 1.0
    if before or not (broken and reference.size):
        return Move(1.0, "", FRACTION, attainable=(chance,))
    words = f"fractions in {percent(broken / current.size)} of the rows, whole numbers before"
    return Move(chance, words, FRACTION, attainable=(chance,), share=broken / current.size)


def range_move(
    reference: Floats, current: Floats, reference_persons: Codes | None = None, persons: Codes | None = None
) -> Move:
    """Test of the values beyond the reference's largest and smallest; shapes (m,) and (n,), no NaN.

    That the r largest of all m + n are the batch's has the chance C(n, r) / C(m + n, r), likewise at the lower end; the
    smaller of both counts twice. Exact without ties, conservative with them; counted in persons where they are known.
    """
    if not (reference.size and current.size):
        return Move(1.0, "", RANGE)
    low, high = reference.min(), reference.max()
    sizes = [_persons(side, codes) for side, codes in ((reference, reference_persons), (current, persons))]
    beyond_it = current < low, current > high
    counts = [_persons(current[out], None if persons is None else persons[out]) for out in beyond_it]
    chances = [_all_current(count, *sizes) for count in counts]
    beyond = ", ".join(
        f"{percent(float(out.mean()))} {where} {limit:.4g}"
        for out, where, limit in zip(beyond_it, ("below", "above"), (low, high), strict=True)
        if out.any()
    )
    share = float(np.mean((current < low) | (current > high)))
    return Move(min(1.0, 2 * min(chances)), beyond, RANGE, share=share)


def _persons(values: Floats, codes: Codes | None) -> int:
    return int(values.size) if codes is None else int(np.unique(codes).size)


def _all_current(extreme: int, reference: float, current: float) -> float:
    """Chance that the `extreme` first of `reference` + `current` rows in random order are all current ones."""
    if extreme > current:
        return 0.0
    before = np.arange(extreme)
    return float(np.prod((current - before) / (reference + current - before)))


def seen_levels(column: Compared) -> pd.DataFrame:
    """Persons (rows, where each row is its own) that show each level, columns `reference` and `current`."""
    if column.persons is None:
        return count_levels(column)
    counted = {}
    for name, (codes, values) in zip(("reference", "current"), column.by_side, strict=True):
        kept = ~is_missing(values)
        place, levels = pd.factorize(values[kept].astype(str), sort=True)
        persons = np.zeros(0, dtype=np.intp) if codes is None else codes[kept]
        pairs = np.unique(place * column.persons.count + persons)
        counted[name] = pd.Series(np.bincount(pairs // column.persons.count, minlength=len(levels)), index=levels)
    return pd.DataFrame(counted).fillna(0.0).sort_index()


def new_level_move(seen: pd.DataFrame, reference: float | None = None) -> Move:
    """Test of the most frequent level that the reference does not hold, of the table `seen_levels`.

    That all r persons with a level are the batch's has the chance C(n, r) / C(m + n, r). No other outcome fails the
    test of a level, so only levels that are as thin add to the chance of a false alarm (Tarone 1990, A modified
    Bonferroni method for discrete data): a column of names cannot fail, and a column of few large levels costs nothing.
    `reference`: m where persons come again, `Persons.reference_in_persons`.
    """
    held, total = float(seen["reference"].sum()), float(seen["current"].sum())
    held = held if reference is None or not held else reference
    chances = tuple(_all_current(int(count), held, total) for count in seen.sum(axis=1))
    unseen = seen.loc[seen["reference"] == 0, "current"].sort_values(ascending=False, kind="stable")
    if unseen.empty or not held:
        return Move(1.0, "", UNSEEN, attainable=chances)
    words = f"new: '{unseen.index[0]}' ({percent(float(unseen.iloc[0]) / total)} of the rows)"
    p_value = _all_current(int(unseen.iloc[0]), held, total)
    share = float(unseen.iloc[0]) / total
    return Move(p_value, words, UNSEEN, levels=tuple(map(str, unseen.index)), attainable=chances, share=share)


def unseen_move(seen: pd.DataFrame) -> Move:
    """Test of all rows together with levels that the reference does not hold; `levels`: those, most frequent first.

    With f levels held once by m rows, the mass unseen is about gamma distributed, of shape f + 1 and rate m + 1, so the
    rows that show it among n are negative binomial; if f = 0, r of them have the chance (n / (m + n + 1)) ** r. So a
    column of names, new in every row, is no news. Source: Good (1953), The population frequencies of species.
    """
    from scipy.stats import nbinom

    unseen = seen.loc[seen["reference"] == 0, "current"].sort_values(ascending=False, kind="stable")
    rows, held, total = float(unseen.sum()), float(seen["reference"].sum()), float(seen["current"].sum())
    levels = tuple(map(str, unseen.index))
    if not (rows and held):
        return Move(1.0, "", UNSEEN, levels=levels)
    once = int((seen["reference"] == 1).sum())
    p_value = float(nbinom.sf(rows - 1, once + 1, (held + 1) / (held + 1 + total)))
    names = ", ".join(f"'{level}'" for level in levels[:NAMED]) + (", ..." if len(levels) > NAMED else "")
    words = f"new: {names} ({percent(rows / total)} of the rows)"
    return Move(p_value, words, UNSEEN, levels=levels, share=rows / total)
