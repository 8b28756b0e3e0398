"""Decides how far the shape of one column moved between two samples, and how surprising that is.

Kolmogorov-Smirnov for numbers, chi-square for levels: tests that need no assumption about what moved. Missing values
are left out, and what the reference never showed is asked about separately (`news`), since a shape says little of a
few rows; what several columns say together is `joint`'s work.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlops_assets.gates.columns import SCORE, Compared, known
from mlops_assets.gates.persons import Floats, effective_rows

THIN = 5.0
"""Expected rows below which the chi-square approximation of a level is not trusted (Cochran 1954)."""

SMALL_EFFECT = 0.2
"""Standardised mean difference (Cohen 1988) under which the words tell the spread too: the mean is not what moved."""

STRANGERS = 0.1
"""Share of rows of persons whom the champion learned from, above which scores are not compared with its promise."""

MEAN, LEVEL, MISSING, UNSEEN, RANGE, TYPE = "mean", "level", "missing", "unseen", "range", "type"
FRACTION, CHANGE = "fraction", "change"
"""What of a column a test looks at."""


@dataclass(frozen=True, slots=True)
class Move:
    """One test of one column: `p_value` in [0, 1], `words` for a person, `aspect` it looks at, `levels` it is about.

    `statistic` and `effect` where the test has them. `attainable`: of a test that few outcomes can fail, the p-values
    that it may have, each with the chance of its outcome; None where any p-value may occur. `share`: of the rows that
    moved, in [0, 1]: the largest distance of the two distributions, or what is news.
    """

    p_value: float
    words: str
    aspect: str
    statistic: float | None = None
    effect: float | None = None
    levels: tuple[str, ...] = ()
    attainable: tuple[float, ...] | None = None
    share: float = 1.0


def shape_move(column: Compared) -> Move:
    """The test of a column's shape that suits its kind; p is 1 if a side holds nothing, 0 if they can't be compared."""
    if column.retyped:
        return Move(0.0, column.retyped, TYPE)
    if column.is_levels:
        return level_move(count_levels(column))
    told = distribution_move(*(np.asarray(known(side), dtype=float) for side in column.judged))
    if column.kind == SCORE and column.persons is not None and told.statistic is not None:
        then, now = column.persons.reference, column.persons.current
        if np.isin(now, then).mean() > STRANGERS:
            # The reference's scores are of models that never saw the person, the current ones of one that did.
            return replace(told, p_value=1.0, words="")
        worth = [effective_rows(np.ones(len(side)), side) for side in (then, now)]
        told = replace(told, p_value=_as_strangers(told.statistic, *worth))
    return replace(told, words=f"growth from batch to batch: {told.words}") if column.is_ageing and told.words else told


def _as_strangers(statistic: float, reference: float, current: float) -> float:
    """The p of Kolmogorov-Smirnov's D as if so many effective rows of each side were of different persons: cautious."""
    from scipy.stats import kstwo

    return float(np.clip(kstwo.sf(statistic, max(1, round(reference * current / (reference + current)))), 0, 1))


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
        return Move(1.0, "", MEAN)
    # The asymptotic p: the exact one costs a hundred times more and differs little from 100 rows on.
    test = ks_2samp(reference, current, method="asymp")
    effect, words = _mean_move(np.sort(reference), np.sort(current))
    distance = float(test.statistic)
    return Move(float(np.clip(test.pvalue, 0, 1)), words, MEAN, distance, effect, share=distance)


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
    words.insert(0, f"{changed(then, now)}mean {then * scale:.3g} -> {now * scale:.3g}")
    if effect is not None and abs(effect) < SMALL_EFFECT:
        words.append(f"standard deviation {spreads[0] * scale:.3g} -> {spreads[1] * scale:.3g}")
    return effect, ", ".join(words)


def changed(then: float, now: float) -> str:
    """`up 24 %, ` or `down 8 %, `; empty where the change is below half a percent or above thousand, or has no base."""
    relative = 100 * (now - then) / abs(then) if then else np.inf
    if not 0.5 <= abs(relative) < 1000:  # noqa: PLR2004
        return ""
    return f"{'up' if relative > 0 else 'down'} {abs(relative):.0f} %, "


def count_levels(column: Compared) -> pd.DataFrame:
    """Rows of each level, columns `reference` and `current`, ordered by level; missing values are left out."""
    sides = {"reference": column.reference, "current": column.current}
    counted = {side: pd.Series(known(values)).astype(str).value_counts() for side, values in sides.items()}
    return pd.DataFrame(counted).fillna(0.0).sort_index()


def level_move(counts: pd.DataFrame) -> Move:
    """Chi-square test of homogeneity over the levels of `count_levels`, thin ones pooled; Fisher's exact with two.

    `statistic` is Pearson's chi-square, `effect` the total variation distance in [0, 1]; p is 1 if a side is empty.
    """
    from scipy.stats import chi2

    if not (counts.sum() > 0).all():
        return Move(1.0, "", LEVEL)
    pooled = _pool_thin(counts.to_numpy(dtype=float))
    expected = np.outer(pooled.sum(axis=1), pooled.sum(axis=0)) / pooled.sum()
    statistic = float(((pooled - expected) ** 2 / expected).sum())
    p_value = float(chi2.sf(statistic, len(pooled) - 1)) if len(pooled) > 2 else fisher(pooled)  # noqa: PLR2004
    distance = float(np.abs(np.diff(pooled / pooled.sum(axis=0), axis=1)).sum() / 2)
    shares = counts.to_numpy(dtype=float) / counts.to_numpy(dtype=float).sum(axis=0)
    most = int(np.abs(shares[:, 1] - shares[:, 0]).argmax())
    level = str(counts.index[most])
    words = f"share of '{level}' {percent(shares[most, 0])} -> {percent(shares[most, 1])}"
    return Move(p_value, words, LEVEL, statistic, distance, (level,), share=distance)


def _pool_thin(counts: Floats) -> Floats:
    """Counts, shape (levels, 2), with levels that expect fewer than `THIN` rows on a side made one."""
    expected = counts.sum(axis=1) * counts.sum(axis=0).min() / counts.sum()
    thin: npt.NDArray[np.bool_] = expected < THIN
    if thin.any() and not thin.all() and expected[thin].sum() < THIN and len(counts) - thin.sum() > 1:
        thin[np.where(thin, np.inf, expected).argmin()] = True  # too thin even together: the next one joins them
    pooled: Floats = np.vstack([counts[~thin], counts[thin].sum(axis=0, keepdims=True)]) if thin.any() else counts
    return pooled


def fisher(counts: Floats) -> float:
    """Two-sided p of Fisher's exact test, counts of shape (<= 2, 2); 1 with a single level."""
    from scipy.stats import fisher_exact

    if len(counts) < 2:  # noqa: PLR2004
        return 1.0
    return float(np.clip(fisher_exact(counts.astype(np.int64)).pvalue, 0, 1))
