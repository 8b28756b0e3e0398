"""Decides whether rows can tell anything about models at all, before any figure is computed from them.

A missing score, an impossible label or a single class gives no figure; too few rows give figures that prove nothing.
Both end as UNKNOWN. Rows that cannot be paired are the caller's mistake, and raise.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlops_assets.gates.persons import Codes, Floats, effective_rows

FEW_OF_A_LABEL = 20
"""Effective rows of the rarer label below which a normal interval says too little."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows with weight, as floats: labels, weights and each model's scores, all of shape (n,)."""

    labels: Floats
    weights: Floats
    scores: Mapping[str, Floats]
    used: npt.NDArray[np.bool_]
    """Which of the rows handed over these are, shape (all,)."""
    persons: Codes | None = None
    """Who each row is; None where each is its own person."""

    def only(self, member: npt.NDArray[np.bool_]) -> "Rows":
        """The rows that `member`, shape (n,), marks."""
        scores = {name: values[member] for name, values in self.scores.items()}
        persons = None if self.persons is None else self.persons[member]
        return Rows(self.labels[member], self.weights[member], scores, member, persons)


def read_rows(
    labels: npt.ArrayLike,
    weights: npt.ArrayLike | None,
    scores: Mapping[str, npt.ArrayLike],
    persons: Codes | None = None,
) -> Rows:
    """The rows as floats, those of weight 0 left out; raises ValueError when the shapes differ.

    `persons`, shape (n,): who each row is, as `persons.codes_of` gives it; None: each row is another.
    """
    given = {"labels": labels, **scores, "weights": np.ones(np.shape(labels)) if weights is None else weights}
    arrays = {name: np.asarray(values, dtype=float) for name, values in given.items()}
    shapes = {name: values.shape for name, values in arrays.items()}
    if len(set(shapes.values())) > 1 or arrays["labels"].ndim != 1:
        message = f"rows cannot be paired: shapes are {shapes}. Hand over the same rows, in the same order, everywhere."
        raise ValueError(message)
    used = arrays["weights"] != 0
    kept = {name: values[used] for name, values in arrays.items()}
    codes = None if persons is None else _per_row(persons, used.shape)[used].astype(np.intp)
    return Rows(kept["labels"], kept["weights"], {name: kept[name] for name in scores}, used, codes)


def column_of(values: npt.ArrayLike, rows: Rows) -> npt.NDArray[np.object_]:
    """What else is known of the rows with weight, shape (n,); raises ValueError when there are more or fewer."""
    return _per_row(values, rows.used.shape)[rows.used]


def _per_row(values: npt.ArrayLike, shape: tuple[int, ...]) -> npt.NDArray[np.object_]:
    column = np.asarray(values, dtype=object)
    if column.shape != shape:
        message = f"segments, batches or keys have shape {column.shape}, labels {shape}. Hand over one per row."
        raise ValueError(message)
    return column


def cuts_of(segments: pd.DataFrame | npt.ArrayLike | None, rows: Rows) -> dict[str, pd.Series]:
    """The segment of each row in words, by cut."""
    if segments is None:
        return {}
    given = dict(segments.items()) if isinstance(segments, pd.DataFrame) else {"segment": segments}
    columns = {str(cut): column_of(values, rows) for cut, values in given.items()}
    return {cut: pd.Series(np.where(pd.isna(column), "missing", column)).astype(str) for cut, column in columns.items()}


def fault_of(rows: Rows) -> str | None:
    """Why no figure can be computed; None if it can. A NaN makes every comparison false, hence the negations."""
    for name, values in rows.scores.items():
        if count := int((~((values >= 0) & (values <= 1))).sum()):
            return f"cannot tell: {count} of {len(values)} scores of the {name} are missing or no probability"
    if not np.isin(rows.labels, [0, 1]).all():
        return "cannot tell: a label is neither 0 nor 1"
    if not (np.isfinite(rows.weights) & (rows.weights > 0)).all():
        return "cannot tell: a weight is missing, infinite or negative"
    return None


def bareness_of(rows: Rows) -> str | None:
    """Why no interval can be computed: one row of a label has no spread; None if it can."""
    if rarer_label(rows) < 2:  # noqa: PLR2004
        return f"cannot tell from {len(rows.labels)} rows, {rarer_label(rows)} of them of the rarer label"
    return None


def shortage_of(rows: Rows, min_rows: int, *, few: int = FEW_OF_A_LABEL) -> str | None:
    """Why the figures prove nothing; None if they may. Counted in effective rows: persons that weigh alike."""
    if reason := _short(rows.weights, rows.persons, min_rows, "rows"):
        return reason
    rarer = min((0, 1), key=lambda label: effective_rows(*_of_label(rows, label)))
    return _short(*_of_label(rows, rarer), few, "rows of the rarer label")


def _short(weights: Floats, persons: Codes | None, least: int, what: str) -> str | None:
    """Why so many rows are too few; None if they are not."""
    if (worth := effective_rows(weights, persons)) >= least:
        return None
    if len(weights) < least:
        return f"cannot tell from {len(weights)} {what}, {least} are needed"
    return f"cannot tell from {len(weights)} {what} that tell as much as {worth:.0f}, {least} are needed"


def _of_label(rows: Rows, label: int) -> tuple[Floats, Codes | None]:
    member = rows.labels == label
    return rows.weights[member], None if rows.persons is None else rows.persons[member]


def rarer_label(rows: Rows) -> int:
    """Rows of the rarer label."""
    ones = int((rows.labels == 1).sum())
    return min(ones, len(rows.labels) - ones)
