"""Decides whether rows can tell anything about models at all, before any figure is computed from them.

A missing score, an impossible label or a single class gives no figure; too few rows give figures that prove nothing.
Both end as UNKNOWN. Rows that cannot be paired are the caller's mistake, and raise.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlops_assets.gates.estimates import Floats

FEW_OF_A_LABEL = 20
"""Rows of the rarer label below which a normal interval says too little."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows with weight, as floats: labels, weights and each model's scores, all of shape (n,)."""

    labels: Floats
    weights: Floats
    scores: Mapping[str, Floats]
    used: npt.NDArray[np.bool_]
    """Which of the rows handed over these are, shape (all,)."""


def read_rows(labels: npt.ArrayLike, weights: npt.ArrayLike | None, scores: Mapping[str, npt.ArrayLike]) -> Rows:
    """The rows as floats, those of weight 0 left out; raises ValueError when the shapes differ."""
    given = {"labels": labels, **scores, "weights": np.ones(np.shape(labels)) if weights is None else weights}
    arrays = {name: np.asarray(values, dtype=float) for name, values in given.items()}
    shapes = {name: values.shape for name, values in arrays.items()}
    if len(set(shapes.values())) > 1 or arrays["labels"].ndim != 1:
        message = f"rows cannot be paired: shapes are {shapes}. Hand over the same rows, in the same order, everywhere."
        raise ValueError(message)
    used = arrays["weights"] != 0
    kept = {name: values[used] for name, values in arrays.items()}
    return Rows(kept["labels"], kept["weights"], {name: kept[name] for name in scores}, used)


def column_of(values: npt.ArrayLike, rows: Rows) -> npt.NDArray[np.object_]:
    """What else is known of the rows with weight, shape (n,); raises ValueError when there are more or fewer."""
    column = np.asarray(values, dtype=object)
    if column.shape != rows.used.shape:
        message = f"segments or batches have shape {column.shape}, labels {rows.used.shape}. Hand over one per row."
        raise ValueError(message)
    return column[rows.used]


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
    if rarer_label(rows) < 2:  # noqa: PLR2004 - one row has no spread
        return f"cannot tell from {len(rows.labels)} rows, {rarer_label(rows)} of them of the rarer label"
    return None


def shortage_of(rows: Rows, min_rows: int) -> str | None:
    """Why the figures prove nothing; None if they may."""
    if len(rows.labels) < min_rows:
        return f"cannot tell from {len(rows.labels)} rows, {min_rows} are needed"
    if rarer_label(rows) < FEW_OF_A_LABEL:
        return f"cannot tell from {rarer_label(rows)} rows of the rarer label, {FEW_OF_A_LABEL} are needed"
    return None


def thinness_of(rows: Rows, min_rows: int) -> str | None:
    """`shortage_of`, counted in rows that weigh alike: few that stand for many tell less than the many would.

    The count is Kish's effective sample size, (sum w)^2 / sum w^2 (Kish 1965, Survey Sampling, 11.7); without weights
    it is the number of rows.
    """
    if reason := shortage_of(rows, min_rows):
        return reason
    alike = alike_rows(rows.weights)
    if alike < min_rows:
        return f"cannot tell from rows that weigh as {alike:.0f} alike, {min_rows} are needed"
    rarer = min(alike_rows(rows.weights[rows.labels == label]) for label in (0, 1))
    if rarer < FEW_OF_A_LABEL:
        return f"cannot tell from rows of a label that weigh as {rarer:.0f} alike, {FEW_OF_A_LABEL} are needed"
    return None


def alike_rows(weights: Floats) -> float:
    """How many rows of one weight tell as much as these, shape (n,), weights > 0; from 1 to n."""
    shares = weights / weights.max()
    # Rounding must not make less than all of rows that do weigh alike.
    return len(shares) if np.ptp(shares) == 0 else float(shares.sum() ** 2 / (shares**2).sum())


def rarer_label(rows: Rows) -> int:
    """Rows of the rarer label."""
    ones = int((rows.labels == 1).sum())
    return min(ones, len(rows.labels) - ones)
