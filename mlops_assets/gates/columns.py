"""Decides how a column is compared: as numbers or as levels, the same way on both sides.

The kind comes from the values, not from a list of names, so that a gate judges any table. A column that held numbers
and now holds text (or the reverse) cannot be compared at all, and is told apart from one that moved.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlops_assets.gates.persons import Codes, Floats, Persons, effective_rows

Column = npt.NDArray[np.float64] | npt.NDArray[np.object_]

SCORE = "score"
"""Name of the column that holds the champion's scores."""

FEW_LEVELS = 10
"""A flag (at most two values in the reference) is judged by levels, if it now has at most so many."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Both sides of a column, shapes (m,) and (n,): numbers (float, NaN missing) or levels (text, None missing).

    `kind` is numeric, categorical or score; `retyped` tells in words what it was and is, empty where it is the same.
    `persons`: who the rows are, None where each is its own person. `steps`, shapes (m,) and (n,): of an ageing column,
    by how much each row grew since the same person's row of the batch before, NaN where there is none. `changes`, the
    same shapes: what became of the value since (`ageing.changes_of`).
    """

    name: str
    kind: str
    reference: Column
    current: Column
    retyped: str = ""
    persons: Persons | None = None
    steps: tuple[Floats, Floats] | None = None
    changes: tuple[Floats, Floats] | None = None

    @property
    def is_levels(self) -> bool:
        """Whether the column is judged by its levels."""
        return self.reference.dtype == object

    @property
    def is_ageing(self) -> bool:
        """Whether the same person's value grows from batch to batch: then the growth is judged, and not how far."""
        return self.steps is not None

    @property
    def judged(self) -> tuple[Column, Column]:
        """What of both sides is compared: the values, or how they grew."""
        return self.steps or (self.reference, self.current)

    @property
    def pooled(self) -> Column:
        """What is compared: the reference's, then the current ones."""
        return np.concatenate(self.judged)  # type: ignore[return-value]

    @property
    def by_side(self) -> tuple[tuple[Codes | None, Column], tuple[Codes | None, Column]]:
        """Persons (None: each row is its own) and values of the reference, and of the current rows."""
        if self.persons is None:
            return (None, self.reference), (None, self.current)
        return (self.persons.reference, self.reference), (self.persons.current, self.current)

    @property
    def reference_worth(self) -> float:
        """How many rows of other persons a row of the reference tells as much as, in (0, 1]."""
        if self.persons is None or not len(self.reference):
            return 1.0
        return effective_rows(np.ones(len(self.reference)), self.persons.reference) / len(self.reference)


def is_numeric(column: pd.Series) -> bool | None:
    """Whether a column holds numbers, by its values where the dtype is open; None if it holds nothing."""
    if column.isna().all():
        return None
    if pd.api.types.is_numeric_dtype(column):
        return True
    numbers = {"integer", "floating", "mixed-integer-float", "boolean", "decimal"}
    return pd.api.types.infer_dtype(column, skipna=True) in numbers


def is_flag(reference: Floats, current: Floats) -> bool:
    """Whether numbers are but two levels, such as 0 and 1: ranks would see less of them than counts do."""
    levels = [np.unique(side[~np.isnan(side)]).size for side in (reference, current)]
    return levels[0] <= 2 and levels[1] <= FEW_LEVELS  # noqa: PLR2004


def is_missing(values: Column) -> npt.NDArray[np.bool_]:
    """Which values are missing, the shape of `values`."""
    return np.asarray(pd.isna(values), dtype=bool)


def known(values: Column) -> Column:
    """The values that are not missing."""
    return values[~is_missing(values)]


def compared(name: str, reference: pd.Series, current: pd.Series) -> Compared:
    """Both sides of a column, made comparable."""
    then, now = is_numeric(reference), is_numeric(current)
    if None not in {then, now} and then != now:
        was, has = ("numeric", "text") if then else ("text", "numeric")
        kind = "numeric" if then else "categorical"
        return Compared(name, kind, levels_of(reference), levels_of(current), f"was {was}, is {has}")
    if not (then or now):
        return Compared(name, "categorical", levels_of(reference), levels_of(current))
    before, after = (side.to_numpy(dtype=float, na_value=np.nan) for side in (reference, current))
    if name == SCORE:
        return Compared(name, SCORE, before, after)
    if is_flag(before, after):
        return Compared(name, "categorical", levels_of(pd.Series(before)), levels_of(pd.Series(after)))
    return Compared(name, "numeric", before, after)


def levels_of(column: pd.Series) -> npt.NDArray[np.object_]:
    """Values as text, None where missing; a number with as many digits as tell two apart, so that 1 and 1.0 are one."""
    codes, values = pd.factorize(column)
    is_float = pd.api.types.is_float_dtype(column)
    names = np.array([*(f"{value:.15g}" if is_float else str(value) for value in values), None], dtype=object)
    return np.asarray(names[codes])  # a missing value has the code -1: the last


Steps = Mapping[str, tuple[Floats, Floats]]
"""By column what both sides did since the batch before, shapes (m,) and (n,): how they grew, or what became of them."""


def pair(
    reference: pd.DataFrame,
    current: pd.DataFrame,
    then: npt.ArrayLike | None,
    now: npt.ArrayLike | None,
    *,
    persons: Persons | None = None,
    steps: Steps | None = None,
    changes: Steps | None = None,
) -> Mapping[str, Compared]:
    """Each column of `reference` with that of `current`, by name, the scores last.

    Raises ValueError when `current` lacks a column, only one side has scores, or a column has the scores' name.
    """
    if missing := sorted(str(name) for name in set(reference) - set(current)):
        message = (
            f"current batch lacks {missing}, which the reference has. "
            "Materialize the features of this batch again, or retrain without these columns."
        )
        raise ValueError(message)
    pairs = {
        name: replace(
            column,
            persons=persons,
            steps=(steps or {}).get(name) if column.kind == "numeric" else None,
            changes=(changes or {}).get(name) if persons is not None else None,
        )
        for name, column in ((str(name), compared(str(name), reference[name], current[name])) for name in reference)
    }
    if then is None and now is None:
        return pairs
    if then is None or now is None or SCORE in pairs:
        message = (
            f"scores cannot be judged: reference {'without' if then is None else 'with'}, current "
            f"{'without' if now is None else 'with'}, columns {sorted(pairs)}. "
            f"Hand over the scores of both sides, and no column named '{SCORE}' beside them."
        )
        raise ValueError(message)
    scores = [pd.Series(np.asarray(side, dtype=float)) for side in (then, now)]
    return pairs | {SCORE: replace(compared(SCORE, *scores), persons=persons)}
