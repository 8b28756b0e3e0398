"""Decides what a row is, as a point: where it stands in each column, and how its columns stand to each other.

The products of positions are what moves when columns are related otherwise than before and none has moved by itself.
All of it is computed from the pooled rows of both samples: if a coordinate knew which row is of which sample, dealing
the rows anew by lot (`joint`) would no longer be fair and the test would ring falsely.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Column = npt.NDArray[np.float64] | npt.NDArray[np.object_]

QUANTILES = np.arange(1, 10) / 10
"""At which shares of a numeric column a coordinate tells whether the row lies below."""

ROWS_IN_FORCE = 5.0
"""A coordinate is left out when fewer rows than this of the smaller sample (by kurtosis) would decide its mean."""

MULTIPLIED = 48
"""So many coordinates are multiplied with each other; a wider table uses those with the least kurtosis."""

VALUES, SCORES, PRODUCTS, GROWTH = "values", "scores", "products", "growth"


@dataclass(frozen=True, slots=True)
class Coordinate:
    """One coordinate: the block that it belongs to, the columns it looks at, and what it tells, in words."""

    block: str
    columns: tuple[str, ...]
    words: str


@dataclass(frozen=True, slots=True)
class Embedding:
    """Points, shape (n, k), each coordinate with mean 0 and standard deviation 1, and what the coordinates mean."""

    points: Floats
    coordinates: tuple[Coordinate, ...]

    def take(self, kept: Iterable[int]) -> "Embedding":
        """The coordinates at the positions `kept`, in that order."""
        places = list(kept)
        return Embedding(self.points[:, places], tuple(self.coordinates[place] for place in places))


def encode(column: Column) -> Floats:
    """Mid-ranks of numbers from 1 on, or the place of a level among the sorted levels; NaN where missing."""
    from scipy.stats import rankdata

    codes = np.full(len(column), np.nan)
    if column.dtype == object:
        known = np.array([value is not None for value in column], dtype=bool)
        codes[known] = np.unique(column[known].astype(str), return_inverse=True)[1]
    else:
        known = ~np.isnan(column.astype(float))
        codes[known] = rankdata(column[known])
    return codes


def embed(
    codes: Mapping[str, Floats],
    columns: Mapping[str, Column],
    *,
    score: str,
    smaller: float,
    grown: Collection[str] = (),
) -> Embedding:
    """Points of the pooled rows with `codes` (of `columns`, for the names of levels); `smaller` rows in one sample.

    Columns in `grown` hold how far an ageing column grew: that no earlier row of the person is known tells nothing.
    """
    single = [
        pair
        for name, code in codes.items()
        for pair in (
            _levels(name, code, columns[name], smaller)
            if columns[name].dtype == object
            else _numbers(name, code, SCORES if name == score else GROWTH if name in grown else VALUES)
        )
    ]
    positions = _distinct(_usable(_standardised(single, rows=len(next(iter(codes.values())))), smaller))
    return _joined(positions, _distinct(_usable(_products(positions), smaller)))


def _numbers(name: str, ranks: Floats, block: str) -> list[tuple[Coordinate, Floats]]:
    """Normal score (0 where missing), its square, whether below each of nine quantiles, whether missing.

    Of scores neither the square nor products: the reference's are out-of-sample, from models that learned from a part
    of the rows, so they spread and follow the columns a little otherwise than those of the champion, though nothing
    moved.
    """
    from scipy.special import ndtri

    missing = np.isnan(ranks)
    count = max(1, int((~missing).sum()))
    share = (np.where(missing, (count + 1) / 2, ranks) - 0.5) / count
    normal = ndtri(share)
    told = {name: normal, f"spread of {name}": np.where(missing, 1.0, normal**2), f"{name} missing": missing}
    if block == SCORES:
        del told[f"spread of {name}"]
    if block == GROWTH:
        del told[f"{name} missing"]
    told |= {f"lowest {quantile:.0%} of {name}": (share <= quantile) & ~missing for quantile in QUANTILES}
    return [(Coordinate(block, (name,), words), values.astype(float)) for words, values in told.items()]


def _levels(name: str, codes: Floats, column: Column, smaller: float) -> list[tuple[Coordinate, Floats]]:
    """Whether the row has each of the levels, those too thin to be counted taken as one, and whether it has none."""
    missing = np.isnan(codes)
    places, first, counts = np.unique(codes[~missing], return_index=True, return_counts=True)
    names = column[~missing][first].astype(str)
    thick = counts * smaller >= ROWS_IN_FORCE * codes.size
    told = {f"{name}={level}": codes == place for level, place in zip(names[thick], places[thick], strict=True)}
    rest = ~missing & ~np.isin(codes, places[thick])
    told |= {f"{name} rare": rest, f"{name} missing": missing}
    return [(Coordinate(VALUES, (name,), words), values.astype(float)) for words, values in told.items()]


def _standardised(single: list[tuple[Coordinate, Floats]], *, rows: int) -> Embedding:
    """Columns of points with mean 0 and standard deviation 1; those without spread are 0."""
    points = np.column_stack([values for _, values in single]) if single else np.empty((rows, 0))
    return Embedding(_scaled(points), tuple(coordinate for coordinate, _ in single))


def _scaled(points: Floats) -> Floats:
    centred = points - points.mean(axis=0)
    spread = centred.std(axis=0)
    return np.asarray(centred / np.where(spread > 1e-9, spread, np.inf))  # noqa: PLR2004


def _usable(embedding: Embedding, smaller: float) -> Embedding:
    """Without coordinates that have no spread, or whose mean a handful of rows would decide."""
    kurtosis = np.square(np.square(embedding.points)).mean(axis=0)
    return embedding.take(np.flatnonzero((kurtosis > 0) & (smaller >= ROWS_IN_FORCE * kurtosis)))


def _distinct(embedding: Embedding) -> Embedding:
    """Without coordinates that say the same as an earlier one, or its opposite.

    Tables are full of them (six add-ons all say "no internet"), and each would count once more in the mean square.
    """
    seen: dict[bytes, int] = {}
    rounded = np.rint(embedding.points * 1024).astype(np.int32)
    for place, values in enumerate(rounded.T):
        sign = values[np.flatnonzero(values)[:1]]
        seen.setdefault((values * np.sign(sign)).tobytes(), place)
    return embedding.take(seen.values())


def _products(positions: Embedding) -> Embedding:
    """Products of coordinates of different columns: of numbers their normal score, of levels each."""
    main = [
        place
        for place, one in enumerate(positions.coordinates)
        if one.block == VALUES and (one.words == one.columns[0] or "=" in one.words)
    ]
    kurtosis = np.square(np.square(positions.points)).mean(axis=0).round(6)
    main = sorted(sorted(main, key=lambda place: kurtosis[place])[:MULTIPLIED])
    pairs = [
        (i, j) for at, i in enumerate(main) for j in main[at + 1 :] if _columns(positions, i) != _columns(positions, j)
    ]
    left, right = ([pair[side] for pair in pairs] for side in (0, 1))
    told = tuple(
        Coordinate(
            PRODUCTS,
            (*_columns(positions, i), *_columns(positions, j)),
            f"{positions.coordinates[i].words} with {positions.coordinates[j].words}",
        )
        for i, j in pairs
    )
    return Embedding(_scaled(positions.points[:, left] * positions.points[:, right]), told)


def _columns(embedding: Embedding, place: int) -> tuple[str, ...]:
    return embedding.coordinates[place].columns


def _joined(first: Embedding, second: Embedding) -> Embedding:
    return Embedding(np.hstack([first.points, second.points]), first.coordinates + second.coordinates)
