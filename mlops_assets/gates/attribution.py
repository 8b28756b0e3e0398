"""Decides why a column moved: a broken pipe, or customers who are others than before.

A broken pipe is repaired, never learned from: a model taught on cents for dollars is wrong twice. So it must leave a
mark that no change of a population leaves: a factor of ten, a spelling, a gap, a column without any spread. Prices that
rise, a mix that shifts and a new product leave none of these, however large they are.
"""

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from mlops_assets.gates.columns import Column, Compared, known
from mlops_assets.gates.moves import MISSING, TYPE, Move, percent
from mlops_assets.gates.persons import Floats

Bools = npt.NDArray[np.bool_]


class Cause(StrEnum):
    """Why a batch or a column moved; the value is what is stored and shown."""

    PIPE = "pipe"
    """The data is broken: units, gaps, spelling, a constant. Repair and deliver again; never learn from it."""

    POPULATION = "population"
    """The customers, their contracts or prices are others than before."""

    RELATION = "relation"
    """No column moved by itself; columns are related otherwise than before."""

    NONE = "none"
    """Nothing moved, or the gate cannot tell."""


FAR = 3.0
"""A value so many times the reference's largest, or that part of its smallest, is beyond any plausible change."""

WHOLE_FACTOR = 5.0
"""A factor common to all values from which on it is a unit and not a price."""

SAME_FACTOR = 1.5
"""Ratio of the largest to the smallest factor over the quantiles, up to which it is one factor."""

NEARLY_ALL, MOST = 0.9, 0.5
FEW_ROWS = 20
"""Rows below which nothing is said of a share or of quantiles."""


def pipe_reason(column: Compared, tests: Sequence[Move]) -> str:
    """Why the column, of which `tests` rang, looks broken, in words; empty if it looks like another population."""
    rang = {test.aspect: test for test in tests}
    if TYPE in rang:
        return "another type"
    if MISSING in rang and (rang[MISSING].effect or 0) > 0:
        return "values got lost"
    then, now = known(column.reference), known(column.current)
    if not (then.size and now.size):
        return ""
    if is_constant(then, now):
        return "constant"
    if column.is_levels:
        return spelling_reason(then.astype(str), now.astype(str))
    return unit_reason(then.astype(float), now.astype(float))


def is_constant(reference: Column, current: Column) -> bool:
    """Whether one value is all that is left of a column that had at least two common ones."""
    values, counts = np.unique(reference.astype(str), return_counts=True)
    return bool(values.size > 1 and counts.max() < NEARLY_ALL * reference.size and (current == current[0]).all())


def spelling_reason(reference: npt.NDArray[np.str_], current: npt.NDArray[np.str_]) -> str:
    """Why the levels of `current` look like other spellings of those of `reference`; empty if they don't."""
    levels = set(reference)
    plain = {_plain(level): level for level in sorted(levels)}
    unseen, rows = np.unique(current[~np.isin(current, list(levels))], return_counts=True)
    if respelled := [level for level in unseen if _plain(level) in plain]:
        return f"'{respelled[0]}' is another spelling of '{plain[_plain(respelled[0])]}'"
    if rows.sum() > MOST * current.size:
        # Not a column of keys, which is new in every row by its nature.
        return "most levels are unknown" if len(levels) < MOST * reference.size else ""
    return _renamed(reference, current, unseen, rows)


def _renamed(
    reference: npt.NDArray[np.str_],
    current: npt.NDArray[np.str_],
    unseen: npt.NDArray[np.str_],
    rows: npt.NDArray[np.int_],
) -> str:
    """Whether a new level has the rows that a vanished one had, within three standard errors."""
    for level, count in zip(*np.unique(reference, return_counts=True), strict=True):
        share = count / reference.size
        error = np.sqrt(share * (1 - share) * (1 / reference.size + 1 / current.size))
        if share * current.size < FEW_ROWS or (current == level).any():
            continue
        if same := [new for new, has in zip(unseen, rows, strict=True) if abs(has / current.size - share) <= 3 * error]:
            return f"'{same[0]}' stands where '{level}' stood"
    return ""


def _plain(level: str) -> str:
    """A level without case, blanks, signs and letters that an encoding may have broken; numbers by their value."""
    try:
        return f"{float(level):.15g}"
    except ValueError:
        return "".join(sign for sign in level.casefold() if sign.isascii() and sign.isalnum()) or level


def unit_reason(reference: Floats, current: Floats) -> str:
    """Why the numbers look like another unit or no numbers of this kind at all; empty if they look plausible."""
    factor = common_factor(reference, current)
    if factor is not None and not 1 / WHOLE_FACTOR < factor < WHOLE_FACTOR:
        return f"all values times {_rounded(factor):.3g}"
    far = is_far(reference, current)
    if not far.any():
        whole = (reference == np.rint(reference)).all()
        return "fractions among whole numbers" if whole and (current != np.rint(current)).any() else ""
    power = power_of_ten(reference, current[far])
    if power:
        return f"{percent(float(far.mean()))} of the values times {10.0**power:g}"
    return f"{percent(float(far.mean()))} of the values beyond any plausible one" if far.mean() > MOST else ""


def _rounded(factor: float) -> float:
    """The power of ten that a factor is within the chance of two samples; otherwise itself."""
    power = float(10.0 ** np.round(np.log10(factor)))
    return power if 1 / SAME_FACTOR < factor / power < SAME_FACTOR else factor


def common_factor(reference: Floats, current: Floats) -> float | None:
    """By what the whole distribution was multiplied, by the quantiles of positive values; None if not by one factor."""
    sides = [side[(side > 0) & np.isfinite(side)] for side in (reference, current)]
    if min(side.size for side in sides) < FEW_ROWS:
        return None
    then, now = (np.log10(np.quantile(side, np.arange(1, 10) / 10)) for side in sides)
    powers = np.clip(now - then, -300, 300)
    return float(10 ** np.median(powers)) if np.ptp(powers) <= np.log10(SAME_FACTOR) else None


def is_far(reference: Floats, current: Floats) -> Bools:
    """Which values no plausible change explains: far above the largest, or far below a smallest that is positive."""
    finite = reference[np.isfinite(reference)]
    if not finite.size:
        return np.zeros(current.size, dtype=bool)
    low, high = float(finite.min()), float(finite.max())
    if low > 0:
        return np.asarray((current / FAR > high) | (current < low / FAR))
    # The width by halves: that of 1e308 and -1e308 is beyond all floats.
    reach = min(2 * (high / 2 - low / 2), float(np.finfo(float).max) / (2 * FAR)) * (FAR - 1)
    return np.asarray((current - reach > high) | (current + reach < low))


def power_of_ten(reference: Floats, far: Floats) -> int:
    """Exponent of the factor without which nearly all far values lie where the reference does; 0 if there is none."""
    low, high = reference.min(), reference.max()
    for power in (2, -2, 3, -3, 1, -1, 6, -6, 4, -4, 5, -5):
        with np.errstate(over="ignore"):  # what leaves the floats lies beyond the reference, as it should
            back = far / 10.0**power
        if ((back >= low) & (back <= high)).mean() >= NEARLY_ALL:
            return power
    return 0
