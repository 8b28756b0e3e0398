"""The changes on which the drift gate is tried: of moderate strength, some near the limit of what can be seen.

Each is made to persons, and lasts: whoever it hits is hit in the months after, too. So each takes two uniform numbers
of every row, which are its person's. Beside each stands the cause that the gate should name.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.world import Floats, World
from mlops_assets.gates.attribution import Cause

Move = Callable[[World, pd.DataFrame, Floats, Floats], pd.DataFrame]


def put(X: pd.DataFrame, name: str, where: NDArray[np.bool_], value: object) -> pd.DataFrame:
    """`X` with other values of a column in some rows."""
    column = X[name].astype(object).where(~where, value)
    return X.assign(**{name: column.infer_objects() if column.notna().all() else column.astype(X[name].dtype)})


def dearer(by: float) -> Move:
    """A number times `by` in one part of the rows, on its grid."""

    def move(world: World, X: pd.DataFrame, *_: Floats) -> pd.DataFrame:
        name, grid, (cut, level) = world.marks.number, world.marks.grid, world.marks.part
        return X.assign(**{name: X[name].where(X[cut] != level, (X[name] * by / grid).round() * grid)})

    return move


def gap(world: World, X: pd.DataFrame, u: Floats, _: Floats) -> pd.DataFrame:
    """A number missing in one row of twenty."""
    return X.assign(**{world.marks.gap: X[world.marks.gap].where(u >= 0.05)})


def other_unit(world: World, X: pd.DataFrame, u: Floats, _: Floats) -> pd.DataFrame:
    """A number in hundredths in one row of twenty."""
    return X.assign(**{world.marks.number: X[world.marks.number].where(u >= 0.05, X[world.marks.number] * 100)})


def new_level(share: float) -> Move:
    """A level that nobody knows in a share of the rows."""
    return lambda world, X, u, _: put(X, world.marks.category, u < share, "Brand new")


def shuffled(world: World, X: pd.DataFrame, u: Floats, v: Floats) -> pd.DataFrame:
    """Three categories in ten dealt anew: no column moves by itself."""
    known = np.sort(world.X[world.marks.category].to_numpy(dtype=str))
    anew = known[(v * len(known)).astype(int)]
    return put(X, world.marks.category, u < 0.3, pd.Series(anew, index=X.index))


def more_of_one(world: World, X: pd.DataFrame, u: Floats, _: Floats) -> pd.DataFrame:
    """The commonest level of a category ten points commoner: others changed to it."""
    level, share = most(world)
    return put(X, world.marks.category, (X[world.marks.category] != level).to_numpy() & (u < 0.1 / (1 - share)), level)


def most(world: World) -> tuple[str, float]:
    """The commonest level of the category, and its share."""
    shares = world.X[world.marks.category].value_counts(normalize=True)
    return str(shares.index[0]), float(shares.iloc[0])


def constant(world: World, X: pd.DataFrame, *_: Floats) -> pd.DataFrame:
    """A column has one value everywhere."""
    return X.assign(**{world.marks.constant: world.X[world.marks.constant].mode().iloc[0]})


def spelled(world: World, X: pd.DataFrame, u: Floats, _: Floats) -> pd.DataFrame:
    """A category in lower case in one row of twenty."""
    return put(X, world.marks.spelled, u < 0.05, X[world.marks.spelled].str.lower())


MOVES: dict[str, tuple[Cause, Move]] = {
    "a number 10 % up in one segment": (Cause.POPULATION, dearer(1.1)),
    "a number 24 % up in one segment": (Cause.POPULATION, dearer(1.24)),
    "5 % of a number missing": (Cause.PIPE, gap),
    "5 % of a number times 100": (Cause.PIPE, other_unit),
    "a new category in 5 %": (Cause.POPULATION, new_level(0.05)),
    "a new category in 2 %": (Cause.POPULATION, new_level(0.02)),
    "30 % of a category shuffled": (Cause.RELATION, shuffled),
    "a category's share + 10 points": (Cause.POPULATION, more_of_one),
    "a column constant": (Cause.PIPE, constant),
    "5 % of a category in lower case": (Cause.PIPE, spelled),
}


def moved(world: World, X: pd.DataFrame, keys: NDArray[np.intp], name: str, seed: int) -> pd.DataFrame:
    """The rows after a change; the same persons are hit whenever they are handed over."""
    lots = np.random.default_rng([seed, list(MOVES).index(name)]).random((int(keys.max()) + 1, 2))[keys]
    return MOVES[name][1](world, X, lots[:, 0], lots[:, 1])
