"""Decides whether two samples of rows differ in any way, what single columns don't show included.

How far the means of the two samples lie apart in each coordinate of `embedding` is judged against the same rows dealt
anew by lot: this holds for any table, whatever the distribution of its columns and however they are related. One
difference that is large and many that are small are both looked for, in each block of coordinates.

Where persons come again, rows are not dealt, since a customer's snapshots belong together: a person in both samples
moves them by what is new about him, and one in all months by nothing. Each person's part of the difference is turned
over by lot (a wild bootstrap by person; Cameron, Gelbach & Miller 2008, Bootstrap-based improvements for inference with
clustered errors), which asks only that the difference of the two samples be zero but for chance.

Coordinates are rounded to whole numbers small enough that a float32 adds them without error, in whatever order: the
same rows give the same p-value with any number of threads and on any processor.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mlops_assets.gates.embedding import GROWTH, ROWS_IN_FORCE, SCORES, Column, embed, encode
from mlops_assets.gates.persons import Codes, Floats, effective_rows, summed

Bools = npt.NDArray[np.bool_]

TAIL = 0.1
"""Share of the permutations that the exponential tail is fitted to."""

MOST_ROWS = 50_000
"""Rows of both samples that are dealt at the most: 399 deals of a million would take gigabytes."""

COUNTED = 10
"""From so many permutations beyond the observed one on, they are counted; below, the tail says how rare it is."""

HALF = 0.5

FLOAT32_WHOLE = 2**23
"""Whole numbers up to twice this are exact in a float32."""


@dataclass(frozen=True, slots=True)
class JointMove:
    """Result of the joint test: p in (0, 1], and the coordinate that moved most, by `statistic` standard errors.

    `size`: the same in standard deviations. `columns` are those that it looks at, `words` tell what it says; empty,
    with p 1, where nothing could move.
    `by_column`: p of each column alone, where persons come again and no test of rows can give it.
    """

    p_value: float
    statistic: float = 0.0
    columns: tuple[str, ...] = ()
    words: str = ""
    by_column: Mapping[str, float] = field(default_factory=dict)
    size: float = 0.0


def joint_move(
    columns: Mapping[str, Column],
    is_current: Bools,
    *,
    score: str = "",
    permutations: int,
    seed: int,
    persons: Codes | None = None,
    grown: Collection[str] = (),
) -> JointMove:
    """Test by lot of whether the pooled rows of `columns` and `is_current`, all of shape (n,), are independent.

    A column holds numbers (float, NaN is missing) or levels (object, None is missing); `score` names the one that is a
    block of its own, `grown` those that hold how far an ageing column grew. `persons`, shape (n,): who each row is;
    None: each is another, and rows are dealt anew. Otherwise persons' parts are turned over.
    """
    current = int(is_current.sum())
    if not columns or not min(current, is_current.size - current):
        return JointMove(1.0)
    if persons is not None:
        return _by_person(columns, is_current, persons, score, grown, permutations=permutations, seed=seed)
    smaller = min(current, is_current.size - current)
    if is_current.size > MOST_ROWS:
        return joint_move(*_some(columns, is_current, seed), score=score, permutations=permutations, seed=seed)
    codes = {name: encode(columns[name]) for name in sorted(columns)}
    # What is dealt must not depend on the order in which rows were handed over.
    order = np.lexsort([is_current, *codes.values()])
    sorted_codes = {name: code[order] for name, code in codes.items()}
    embedding = embed(sorted_codes, {name: columns[name][order] for name in codes}, score=score, smaller=smaller)
    if not embedding.coordinates:
        return JointMove(1.0)
    distances = differences(embedding.points, deal(is_current[order], permutations=permutations, seed=seed))
    p_value = tail_p(worst(distances, [one.block for one in embedding.coordinates]))
    most = int(distances[0].argmax())
    told = embedding.coordinates[most]
    size = float(distances[0].max()) * (1 / current + 1 / (is_current.size - current)) ** 0.5
    return JointMove(p_value, float(distances[0, most]), tuple(dict.fromkeys(told.columns)), told.words, size=size)


def _some(columns: Mapping[str, Column], is_current: Bools, seed: int) -> tuple[dict[str, Column], Bools]:
    """`MOST_ROWS` of the rows, by lot, as many of each sample as it has: more find moves that nobody minds."""
    rng = np.random.Generator(np.random.PCG64(seed))
    kept = np.sort(rng.choice(is_current.size, size=MOST_ROWS, replace=False))
    return {name: column[kept] for name, column in columns.items()}, is_current[kept]


def _by_person(
    columns: Mapping[str, Column],
    is_current: Bools,
    persons: Codes,
    score: str,
    grown: Collection[str],
    *,
    permutations: int,
    seed: int,
) -> JointMove:
    """The test of persons: of all columns together, and of each."""
    untold = {name: 1.0 for name in columns if name != score}
    codes = {name: encode(columns[name]) for name in sorted(columns)}
    sides = [effective_rows(np.ones(int(side.sum())), persons[side]) for side in (is_current, ~is_current)]
    embedding = embed(codes, columns, score=score, smaller=min(sides), grown=grown)
    if not embedding.coordinates:
        return JointMove(1.0, by_column=untold)
    everybody = np.ones(len(persons), dtype=bool)
    known = np.column_stack(
        [~np.isnan(codes[one.columns[0]]) if one.block == GROWTH else everybody for one in embedding.coordinates]
    )
    parts = person_parts(embedding.points, known, is_current, persons)
    # Of a person in both samples the reference's score is of a model that never saw him, the current one of a model
    # that did: that difference is no chance, and no news. Scores are compared as if nobody came twice (`moves`).
    is_input = np.array([one.block != SCORES for one in embedding.coordinates])
    embedding = embedding.take(kept := np.flatnonzero(is_input & (_in_force(parts) >= ROWS_IN_FORCE)))
    if not embedding.coordinates:
        return JointMove(1.0, by_column=untold)
    distances = turned(parts[:, kept], permutations=permutations, seed=seed)
    places: dict[str, list[int]] = {}
    for place, one in enumerate(embedding.coordinates):
        if len(one.columns) == 1:
            places.setdefault(one.columns[0], []).append(place)
    by_column = {name: tail_p(np.square(distances[:, at]).max(axis=1)) for name, at in places.items()}
    p_value = tail_p(worst(distances, [one.block for one in embedding.coordinates]))
    most = int(distances[0].argmax())
    told = embedding.coordinates[most]
    columns_told = tuple(dict.fromkeys(told.columns))
    size = float(np.abs(parts[:, kept].sum(axis=0)).max())
    return JointMove(p_value, float(distances[0, most]), columns_told, told.words, untold | by_column, size)


def person_parts(points: Floats, known: Bools, is_current: Bools, persons: Codes) -> Floats:
    """Each person's part of the difference of the two means, shape (persons, coordinates).

    `points` and `known`, shape (n, coordinates): the means are those of the known points, which have a mean of 0.
    """
    counts = np.vstack([(known & ~is_current[:, None]).sum(axis=0), (known & is_current[:, None]).sum(axis=0)])
    weights: Floats = np.array([[-1.0], [1.0]]) / np.maximum(counts, 1) * (counts.min(axis=0) > 0)
    middle = np.where(known, points, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return summed(np.where(known, points - middle, 0) * weights[is_current.astype(np.intp)], persons)


def _in_force(parts: Floats) -> Floats:
    """How many persons alike would tell as much of each coordinate, shape (coordinates,); 0 where none tells any."""
    squares = np.square(parts)
    fourth: Floats = np.square(squares).sum(axis=0)
    return np.asarray(np.square(squares.sum(axis=0)) / np.where(fourth > 0, fourth, np.inf))


def turned(parts: Floats, *, permutations: int, seed: int) -> Floats:
    """Size of the sum of the parts in standard errors, shape (1 + permutations, coordinates): as it is, then by lot."""
    rng = np.random.Generator(np.random.PCG64(seed))
    is_turned = rng.random((1 + permutations, len(parts)), dtype=np.float32) < HALF
    is_turned[0] = False
    # Whole numbers whose sums a float32 holds exactly, in whatever order they are added.
    whole = np.rint(parts * (FLOAT32_WHOLE / 2 / np.abs(parts).sum(axis=0))).astype(np.float32)
    sums = (np.where(is_turned, -1, 1).astype(np.float32) @ whole).astype(float)
    errors = np.sqrt(np.square(whole.astype(float)).sum(axis=0))
    return np.asarray(np.abs(sums) / errors)


def deal(is_current: Bools, *, permutations: int, seed: int) -> Bools:
    """Which rows are current, shape (1 + permutations, n): as observed first, then by lot, each time as many."""
    rng = np.random.Generator(np.random.PCG64(seed))
    lots = rng.random((permutations, is_current.size), dtype=np.float32)
    size = int(is_current.sum())
    dealt = np.zeros((1 + permutations, is_current.size), dtype=bool)
    dealt[0] = is_current
    np.put_along_axis(dealt[1:], lots.argpartition(size - 1, axis=1)[:, :size], values=True, axis=1)
    return dealt


def differences(points: Floats, dealt: Bools) -> Floats:
    """Distance of the current rows' mean from that of all, in standard errors, shape (deals, coordinates), >= 0.

    Points, shape (n, coordinates), have a standard deviation of 1 in each; the standard error is that of a sample of so
    many rows drawn without replacement.
    """
    rows, size = points.shape[0], int(dealt[0].sum())
    scale = FLOAT32_WHOLE >> int(rows).bit_length()
    whole = np.rint(points * scale).astype(np.float32)
    sums = (dealt.astype(np.float32) @ whole).astype(float)
    total = whole.sum(axis=0, dtype=float)
    error = scale * np.sqrt(size * (rows - size) / max(1, rows - 1))
    return np.asarray(np.abs(sums - size / rows * total) / error)


def worst(distances: Floats, blocks: list[str]) -> Floats:
    """The most surprising of each block's largest and mean square, shape (deals,); larger is more surprising.

    Each is measured in the spread of its own upper half, so that none drowns the others.
    """
    squares = np.square(distances)
    names = np.array(blocks)
    parts = [squares[:, names == name] for name in sorted(set(blocks))]
    told = np.column_stack([summary for part in parts for summary in (part.max(axis=1), part.mean(axis=1))])
    # Quantiles of all deals, the observed one among them: it must not be treated otherwise than the others.
    middle, high = np.quantile(told, [0.5, 0.95], axis=0)
    return np.asarray(((told - middle) / np.maximum(high - middle, 1e-12)).max(axis=1))


def tail_p(statistics: Floats) -> float:
    """Share of the deals, the observed (first) one included, that are as surprising; in (0, 1].

    Where too few are to be counted, the exponential tail fitted to the most surprising `TAIL` of the others goes on.
    """
    observed, dealt = statistics[0], statistics[1:]
    beyond = int((dealt >= observed).sum())
    counted = (1 + beyond) / statistics.size
    start = float(np.quantile(dealt, 1 - TAIL)) if dealt.size else observed
    tail = dealt[dealt > start]
    if beyond >= COUNTED or not tail.size:
        return counted
    scale = float((tail - start).mean())
    extrapolated = tail.size / statistics.size * np.exp(-(observed - start) / scale)
    return float(np.clip(extrapolated, np.finfo(float).tiny, counted))
