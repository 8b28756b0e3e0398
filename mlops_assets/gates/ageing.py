"""Decides which columns age: the same person's number grows from batch to batch, as tenure and totals do.

How far such a number has come says how old the customers are, and the oldest are older every month: a test of its range
or its mean rings for the calendar. What would be news is another growth. So of an ageing column the step since the
person's row of the batch before is judged, and of customers who are new in it nothing. It takes the reference's own
months to know an ageing column: were the batch asked, a price that rises for everybody would be age.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlops_assets.gates.persons import Floats

NEARLY_ALL = 0.9
"""Share of the steps in the reference that rise, from which on a column ages."""

FEW_PAIRS = 50
"""Pairs of rows of the same person in successive batches below which nobody can say that a column ages."""


@dataclass(frozen=True, slots=True)
class Snapshots:
    """Rows with the person, shape (n,), and the batch, shape (n,), of each; `table`, shape (n, k)."""

    table: pd.DataFrame
    keys: npt.NDArray[np.object_]
    batches: npt.NDArray[np.str_]


def stacked(parts: Sequence[tuple[pd.DataFrame, npt.ArrayLike, npt.ArrayLike]]) -> Snapshots:
    """Tables with their keys and batches as one."""
    tables, keys, batches = zip(*parts, strict=True)
    return Snapshots(
        pd.concat(tables, ignore_index=True),
        np.concatenate([np.asarray(part, dtype=object) for part in keys]),
        np.concatenate([np.asarray(part, dtype=str) for part in batches]),
    )


def steps_of(snapshots: Snapshots, learned: int, seen: int | None = None) -> dict[str, Floats]:
    """Of each ageing column the step since the same person's row in the batch before, shape (n,), NaN where none is.

    Whether a column ages is read from the first `learned` rows, those of the reference; where nobody comes twice in it,
    from the first `seen`, those before the batch; and where there are none either, from the batch, if the step is the
    same for nearly all. Batches stand in their order as text. A batch that follows at more than the usual distance,
    since one between was never delivered, has no steps.
    """
    before = _row_before(snapshots)
    known = before >= 0
    found = {}
    for name in snapshots.table:
        if not pd.api.types.is_numeric_dtype(snapshots.table[name]):
            continue
        values = snapshots.table[name].to_numpy(dtype=float, na_value=np.nan)
        step = np.full(len(values), np.nan)
        step[known] = values[known] - values[before[known]]
        if _ages(step, learned, seen or learned):
            found[str(name)] = step
    return found


def _ages(step: Floats, learned: int, seen: int) -> bool:
    """Whether the steps are those of an ageing column, by the oldest rows that can tell."""
    for end in (learned, seen):
        told = step[:end][~np.isnan(step[:end])]
        if len(told) >= FEW_PAIRS:
            return bool((told > 0).mean() >= NEARLY_ALL)
    told = step[~np.isnan(step)]
    values, counts = np.unique(told, return_counts=True)
    return len(told) >= FEW_PAIRS and bool(values[counts.argmax()] > 0 and counts.max() >= NEARLY_ALL * len(told))


CHANGED, LOST = 1.0, 2.0
"""What became of a value since the same person's row in the batch before: another one; none any more."""


def changes_of(snapshots: Snapshots) -> dict[str, Floats]:
    """Of each column what became of the value since the same person's row in the batch before, shape (n,).

    0 where it is the same, `CHANGED` or `LOST`; NaN where there is no such row, or it held no value.
    """
    before = _row_before(snapshots)
    known = np.flatnonzero(before >= 0)
    found = {}
    for name in snapshots.table:
        codes = pd.factorize(snapshots.table[name])[0]
        was, now = codes[before[known]], codes[known]
        told = np.full(len(codes), np.nan)
        told[known] = np.where(was < 0, np.nan, np.where(now < 0, LOST, np.where(now != was, CHANGED, 0.0)))
        found[str(name)] = told
    return found


def _row_before(snapshots: Snapshots) -> npt.NDArray[np.intp]:
    """Position of the same person's row in the batch before, shape (n,); -1 where there is none."""
    names, number = np.unique(snapshots.batches, return_inverse=True)
    follows = _follows(names)
    keys, code = np.unique(snapshots.keys.astype(str), return_inverse=True)
    place = number * len(keys) + code
    order = np.argsort(place, kind="stable")
    wanted = place - len(keys)
    at = np.minimum(np.searchsorted(place[order], wanted), len(place) - 1)
    row = order[at]
    has = (place[row] == wanted) & follows[number]
    return np.where(has, row, -1)


def _follows(names: npt.NDArray[np.str_]) -> npt.NDArray[np.bool_]:
    """Whether each batch comes at the usual distance after the one before; where names are months, the next month."""
    try:
        months = names.astype("datetime64[M]").astype(np.int64)
    except ValueError:
        return np.arange(len(names)) > 0
    gaps = np.diff(months, prepend=months[:1] - 10**6)
    return np.asarray(gaps == gaps[1:].min(initial=10**6))
