"""Decides how far one column moved between two samples, and how surprising that is.

Each question has a test of its own, because a single one is blind to the others: the shape (Kolmogorov-Smirnov, or
chi-square over levels), the share of missing values, and levels that the reference never held. Missing values are
asked about only once: the other two tests leave them out. What several columns say together is `drift`'s work.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]

THIN = 5.0
"""Expected rows below which the chi-square approximation of a level is not trusted (Cochran 1954)."""

SMALL_EFFECT = 0.2
"""Standardised mean difference (Cohen 1988) under which the words tell the spread too: the mean is not what moved."""


FEW_LEVELS = 10
"""A flag (at most two values in the reference) is judged by levels, if it now has at most so many."""


@dataclass(frozen=True, slots=True)
class Move:
    """One test of one column: `p_value` in [0, 1], `words` for a person; the rest where the test has it."""

    p_value: float
    words: str
    statistic: float | None = None
    effect: float | None = None


def is_numeric(column: pd.Series) -> bool | None:
    """Whether a column holds numbers, by its values where the dtype is open; None if it holds nothing."""
    if column.isna().all():
        return None
    if pd.api.types.is_numeric_dtype(column):
        return True
    numbers = {"integer", "floating", "mixed-integer-float", "boolean", "decimal"}
    return pd.api.types.infer_dtype(column, skipna=True) in numbers


def numbers_of(column: pd.Series) -> Floats:
    """The values that are not missing, as floats."""
    return column.dropna().to_numpy(dtype=float)


def is_flag(reference: Floats, current: Floats) -> bool:
    """Whether numbers are but two levels, such as 0 and 1: ranks would see less of them than counts do."""
    return len(np.unique(reference)) <= 2 and len(np.unique(current)) <= FEW_LEVELS  # noqa: PLR2004


def missing_share(column: pd.Series) -> float:
    """Share of missing values, in [0, 1]; 0 without rows."""
    return float(column.isna().mean()) if len(column) else 0.0


def percent(share: float) -> str:
    """`share` in words: whole percents from 10 % on, tenths below."""
    return f"{100 * share:.0f} %" if share == 0 or share >= 0.1 else f"{100 * share:.1f} %"  # noqa: PLR2004


def distribution_move(reference: Floats, current: Floats) -> Move:
    """Two-sample Kolmogorov-Smirnov test of numbers, shapes (m,) and (n,), no NaN; infinite ones count as extreme.

    `statistic` is D in [0, 1]; `effect` is the standardised mean difference of the finite values, None where they have
    no spread; p is 1 if a side is empty. Ties make it conservative. Source: Hodges (1958), as scipy's `ks_2samp`.
    """
    from scipy.stats import ks_2samp

    if not (reference.size and current.size):
        return Move(1.0, "")
    # The asymptotic p: the exact one costs a hundred times more and differs little from 100 rows on.
    test = ks_2samp(reference, current, method="asymp")
    effect, words = _mean_move(np.sort(reference), np.sort(current))
    return Move(float(np.clip(test.pvalue, 0, 1)), words, float(test.statistic), effect)


def _mean_move(reference: Floats, current: Floats) -> tuple[float | None, str]:
    """Standardised mean difference of the finite values, shapes (m,) and (n,), and the move in words."""
    finite = [values[np.isfinite(values)] for values in (reference, current)]
    infinite = [1 - kept.size / values.size for kept, values in zip(finite, (reference, current), strict=True)]
    words = [f"infinite {percent(infinite[0])} -> {percent(infinite[1])}"] if any(infinite) else []
    if not all(kept.size for kept in finite):
        return None, ", ".join(words)
    # Divided by the largest value, so that 1e308 has a mean and a variance too.
    scale = max(float(np.abs(np.concatenate(finite)).max()), np.finfo(float).tiny)
    then, now = (float((kept / scale).mean()) for kept in finite)
    spreads = [float((kept / scale).std()) for kept in finite]
    spread = float(np.sqrt(np.mean(np.square(spreads))))
    effect = (now - then) / spread if spread > 0 else None
    relative = 100 * (now - then) / abs(then) if then else np.inf
    change = f" ({relative:+.0f} %)" if abs(relative) < 1000 else ""  # noqa: PLR2004
    words.insert(0, f"mean {then * scale:.3g} -> {now * scale:.3g}{change}")
    if effect is not None and abs(effect) < SMALL_EFFECT:
        words.append(f"standard deviation {spreads[0] * scale:.3g} -> {spreads[1] * scale:.3g}")
    return effect, ", ".join(words)


def count_levels(reference: pd.Series, current: pd.Series) -> pd.DataFrame:
    """Rows of each level, columns `reference` and `current`, ordered by level; missing values are left out."""
    counts = {"reference": reference.value_counts(), "current": current.value_counts()}
    return pd.DataFrame(counts).fillna(0.0).sort_index()


def level_move(counts: pd.DataFrame) -> Move:
    """Chi-square test of homogeneity over the levels of `count_levels`, thin ones pooled; Fisher's exact with two.

    `statistic` is Pearson's chi-square, `effect` the total variation distance in [0, 1]; p is 1 if a side is empty.
    """
    from scipy.stats import chi2

    if not (counts.sum() > 0).all():
        return Move(1.0, "")
    pooled = _pool_thin(counts.to_numpy(dtype=float))
    expected = np.outer(pooled.sum(axis=1), pooled.sum(axis=0)) / pooled.sum()
    statistic = float(((pooled - expected) ** 2 / expected).sum())
    p_value = float(chi2.sf(statistic, len(pooled) - 1)) if len(pooled) > 2 else _fisher(pooled)  # noqa: PLR2004
    distance = float(np.abs(np.diff(pooled / pooled.sum(axis=0), axis=1)).sum() / 2)
    return Move(p_value, _share_move(counts), statistic, distance)


def _share_move(counts: pd.DataFrame) -> str:
    """The level whose share moved most, in words."""
    shares = counts.to_numpy(dtype=float) / counts.to_numpy(dtype=float).sum(axis=0)
    most = int(np.abs(shares[:, 1] - shares[:, 0]).argmax())
    return f"share of '{counts.index[most]}' {percent(shares[most, 0])} -> {percent(shares[most, 1])}"


def _pool_thin(counts: Floats) -> Floats:
    """Counts, shape (levels, 2), with levels that expect fewer than `THIN` rows on a side made one."""
    expected = counts.sum(axis=1) * counts.sum(axis=0).min() / counts.sum()
    thin: npt.NDArray[np.bool_] = expected < THIN
    if thin.any() and not thin.all() and expected[thin].sum() < THIN and len(counts) - thin.sum() > 1:
        thin[np.where(thin, np.inf, expected).argmin()] = True  # too thin even together: the next one joins them
    pooled: Floats = np.vstack([counts[~thin], counts[thin].sum(axis=0, keepdims=True)]) if thin.any() else counts
    return pooled


def _fisher(counts: Floats) -> float:
    """Two-sided p of Fisher's exact test, counts of shape (<= 2, 2); 1 with a single level."""
    from scipy.stats import fisher_exact

    if len(counts) < 2:  # noqa: PLR2004
        return 1.0
    return float(np.clip(fisher_exact(counts.astype(np.int64)).pvalue, 0, 1))


def missing_move(reference: pd.Series, current: pd.Series) -> Move:
    """Fisher's exact test of the share of missing values; shapes (m,) and (n,), True is missing."""
    counts = np.array([[values.sum(), values.size - values.sum()] for values in (reference, current)], dtype=float)
    if not (counts.sum(axis=1).all() and counts[:, 0].any()):
        return Move(1.0, "")
    then, now = counts[:, 0] / counts.sum(axis=1)
    return Move(_fisher(counts), f"missing {percent(then)} -> {percent(now)}")


def unseen_move(counts: pd.DataFrame) -> tuple[Move, tuple[str, ...]]:
    """Test of the rows with levels that the reference does not hold, and those levels, most frequent first.

    Under no change their number is about Poisson, n times the mass that a sample of m has not seen: (f1 + 1) / (m + 1),
    with f1 the levels that it holds once. So a column of names, new in every row, is no news.
    Source: Good (1953), The population frequencies of species; the + 1 keeps the mass from being 0.
    """
    from scipy.stats import poisson

    unseen = counts.loc[counts["reference"] == 0, "current"].sort_values(ascending=False, kind="stable")
    rows, known, total = float(unseen.sum()), counts["reference"].sum(), counts["current"].sum()
    if not (rows and known):
        return Move(1.0, ""), tuple(unseen.index)
    mass = ((counts["reference"] == 1).sum() + 1) / (known + 1)
    names = ", ".join(f"'{level}'" for level in unseen.index[:3]) + (", ..." if len(unseen) > 3 else "")  # noqa: PLR2004
    words = f"new: {names} ({percent(rows / total)} of the rows)"
    return Move(float(poisson.sf(rows - 1, total * mass)), words), tuple(unseen.index)
