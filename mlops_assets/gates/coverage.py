"""Decides whether the rows of a batch that have an outcome stand for all of it, before anything is learned from them.

Outcomes that name the leavers and hardly anybody else teach a model that everybody leaves, and every later gate agrees
with it, since all of them look at labelled rows only. So three questions come first. Do rows with an outcome look like
those without, by column and by score (`drift` compares them)? Where the share of rows with an outcome is another than
it used to be: is their label as frequent as earlier batches, or the scores of these very rows, lead to expect? Is a
label missing that was to be expected? A batch that fails is no evidence of anything: UNKNOWN, never FAIL, and a person
may know better.

Rows left out by chance pass whatever their number: each question spends its part of `alpha`. The two sides of the
first question belong to one batch, in which each person stands once; under chance they are exchangeable. A label is as
frequent as earlier batches say up to chance, to their own uncertainty and to what differs between ordinary batches.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlops_assets.gates.columns import SCORE
from mlops_assets.gates.drift import assess_drift
from mlops_assets.gates.findings import JOINT, Finding
from mlops_assets.gates.persons import Floats, effective_rows
from mlops_assets.gates.verdict import Verdict

BATCH, LABELS = "*", "(labels)"
"""Subjects of `CoverageFinding` beside columns: the batch as a whole, and how frequent each label is."""

BY_COLUMNS, BY_LABELS = 0.5, 0.5
"""Shares of the false alarms that the question about columns and scores, and those about labels, may raise."""

SPREAD = 0.1
"""Standard deviation, in log-odds, by which label rates of ordinary batches differ at the least: a tenth of the odds.

Earlier batches may show more, which then counts; a few alike ones must not make every further one look selected.
"""

NODES = 41
"""Points at which the difference between batches is integrated over (Gauss-Hermite); more change no digit shown."""

NAMED = 2
"""Columns that the words for the whole batch repeat."""


@dataclass(frozen=True, slots=True)
class EarlierBatch:
    """A batch that is evidence: `coverage`, the share of its rows with an outcome; `rate` of label 1 among the learned.

    Both in [0, 1]. `rows`: how many rows of one weight tell as much as the learned ones.
    """

    coverage: float
    rate: float
    rows: float


@dataclass(frozen=True, slots=True)
class CoverageFinding:
    """What tells rows with an outcome from those without: a column, all jointly, the score, or the labels.

    `p_value` in [0, 1] is corrected for all questions: the finding is UNKNOWN if it is at most alpha. `effect`: of a
    column as in `findings.Finding`, of labels in log-odds; None where there is none.
    """

    subject: str
    verdict: Verdict
    p_value: float
    effect: float | None
    moved: str


@dataclass(frozen=True, slots=True)
class CoverageAssessment:
    """Verdict on a batch, PASS or UNKNOWN, and why in words; the finding that says most first.

    `rows`: all of the batch; `covered`: those with an outcome; `usual`: share of earlier batches' rows that had one,
    None without any. `observed`, `expected`: shares of label 1; expected is None where nothing leads to expect one.
    `score_covered`, `score_others`: mean scores, None without scores and where nothing is compared: a report of whole
    outcomes does not depend on whether the batch was ever scored.
    """

    verdict: Verdict
    reason: str
    rows: int
    covered: int
    usual: float | None
    observed: float | None
    expected: float | None
    score_covered: float | None
    score_others: float | None
    p_value: float
    findings: tuple[CoverageFinding, ...]


def assess_coverage(
    inputs: pd.DataFrame,
    covered: npt.ArrayLike,
    *,
    labels: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    scores: npt.ArrayLike | None = None,
    earlier: Sequence[EarlierBatch] = (),
    alpha: float,
    max_missing: float,
    min_rows: int,
) -> CoverageAssessment:
    """Whether the rows of a batch with an outcome stand for all of it.

    `inputs`, shape (n, k): what a model sees of each row. `covered`, shape (n,), bool: rows with an outcome. `labels`,
    shape (n,): 0, 1, and NaN where there is nothing to learn from; `weights`, shape (n,), >= 0, looked at where there
    is a label. `scores`, shape (n,), in [0, 1] or NaN: out-of-sample ones. `earlier`: batches that are evidence.

    Up to the share `max_missing` of rows without an outcome nothing is compared; nor are columns where fewer than
    `min_rows` have none. Fewer than `min_rows` with an outcome among others without: UNKNOWN. `alpha`: chance of an
    UNKNOWN where the rest is missing by chance. Raises ValueError when shapes differ.
    """
    rows = _rows(len(inputs), covered, labels, weights, scores)
    missing = int((~rows.covered).sum())
    is_partial = missing > max_missing * len(inputs)
    findings: list[CoverageFinding] = []
    reasons: list[str] = []
    if is_partial and rows.covered.sum() < min_rows:
        reasons.append(f"{min_rows} are needed to see whether they stand for all")
    elif is_partial and missing >= min_rows:
        findings = list(_column_findings(inputs, rows, alpha=alpha, min_rows=min_rows))
        if any(finding.verdict is Verdict.UNKNOWN for finding in findings):
            reasons += _selection_words(findings, rows)
    usual = float(np.median([batch.coverage for batch in earlier])) if earlier else None
    observed = rows.rate
    expected = None
    changed = is_partial and abs(rows.covered.mean() - (1.0 if usual is None else usual)) > max_missing
    if observed is not None and (changed or observed in (0.0, 1.0)):
        told = _label_finding(rows, earlier, alpha=alpha)
        expected = told.expected
        findings.append(told.finding)
        if told.finding.verdict is Verdict.UNKNOWN:
            reasons.append(told.finding.moved)
    elif observed is None:
        reasons.append("none of them can be learned from")
    findings.sort(key=lambda finding: (finding.p_value, finding.subject))
    count = f"{rows.covered.sum()} of {len(inputs)} customers have an outcome"
    if not reasons and is_partial:
        count += "; nothing tells them from the others" if missing >= min_rows else "; the others are few"
    return CoverageAssessment(
        verdict=Verdict.UNKNOWN if reasons else Verdict.PASS,
        reason="; ".join([count, *reasons]),
        rows=len(inputs),
        covered=int(rows.covered.sum()),
        usual=usual,
        observed=observed,
        expected=expected,
        score_covered=rows.mean_score(rows.covered) if is_partial else None,
        score_others=rows.mean_score(~rows.covered) if is_partial else None,
        p_value=min([1.0, *(finding.p_value for finding in findings)]),
        findings=tuple(findings),
    )


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of a batch, each array of shape (n,); `learned`: those with a label and a weight."""

    covered: npt.NDArray[np.bool_]
    labels: Floats
    weights: Floats
    scores: Floats | None

    @property
    def learned(self) -> npt.NDArray[np.bool_]:
        return self.covered & ~np.isnan(self.labels) & (self.weights > 0)

    @property
    def rate(self) -> float | None:
        """Weighted share of label 1; None without a label."""
        used = self.learned
        if not used.any():
            return None
        labels = self.labels[used]
        # Rounding must not make two labels of one.
        return float(labels[0]) if np.ptp(labels) == 0 else float(np.average(labels, weights=self.weights[used]))

    @property
    def alike(self) -> float:
        """How many rows of one weight tell as much as the learned ones."""
        return effective_rows(self.weights[self.learned])

    def mean_score(self, which: npt.NDArray[np.bool_]) -> float | None:
        """Mean score of some rows; None without one."""
        if self.scores is None:
            return None
        known = self.scores[which]
        known = known[~np.isnan(known)]
        return float(known.mean()) if len(known) else None


def _rows(
    count: int,
    covered: npt.ArrayLike,
    labels: npt.ArrayLike,
    weights: npt.ArrayLike | None,
    scores: npt.ArrayLike | None,
) -> _Rows:
    """What is known of each row, as arrays; raises ValueError when shapes differ."""
    rows = _Rows(
        np.asarray(covered, dtype=bool),
        np.asarray(labels, dtype=float),
        np.ones(count) if weights is None else np.nan_to_num(np.asarray(weights, dtype=float)),
        None if scores is None else np.asarray(scores, dtype=float),
    )
    shapes = {"covered": rows.covered.shape, "labels": rows.labels.shape, "weights": rows.weights.shape}
    shapes |= {} if rows.scores is None else {"scores": rows.scores.shape}
    if set(shapes.values()) != {(count,)}:
        message = (
            f"the batch has {count} rows, but shapes are {shapes}. Hand over one value for each row, in its order."
        )
        raise ValueError(message)
    return rows


def _column_findings(inputs: pd.DataFrame, rows: _Rows, *, alpha: float, min_rows: int) -> Iterator[CoverageFinding]:
    """What tells rows with an outcome from those without, a finding for each column that `drift` judges."""
    has_scores = rows.scores is not None and bool((~np.isnan(rows.scores)).any())
    compared = assess_drift(
        inputs[~rows.covered].reset_index(drop=True),
        inputs[rows.covered].reset_index(drop=True),
        reference_scores=rows.scores[~rows.covered] if has_scores and rows.scores is not None else None,
        current_scores=rows.scores[rows.covered] if has_scores and rows.scores is not None else None,
        alpha=alpha * BY_COLUMNS,
        min_rows=min_rows,
    )
    for finding in compared.findings:
        verdict = Verdict.UNKNOWN if finding.verdict is Verdict.FAIL else Verdict.PASS
        p_value = min(1.0, finding.p_value / BY_COLUMNS)
        yield CoverageFinding(finding.column, verdict, p_value, finding.effect, _words(finding))


def _words(finding: Finding) -> str:
    """A finding in words, the first sentence: where it moved most, and whose doing that is, are drift's subjects."""
    return finding.moved.split("; ")[0]


def _selection_words(findings: Sequence[CoverageFinding], rows: _Rows) -> Iterator[str]:
    """How those with an outcome differ, in words: by score where there are scores, then by column."""
    ours, others = rows.mean_score(rows.covered), rows.mean_score(~rows.covered)
    if ours is not None and others is not None:
        yield f"those who do score {ours:.2f} on average, the others {others:.2f}"
    failed = [finding for finding in findings if finding.verdict is Verdict.UNKNOWN and finding.subject != SCORE]
    failed.sort(key=lambda finding: (finding.subject == JOINT, finding.p_value, finding.subject))
    named = ", ".join(f"{finding.subject} {finding.moved}" for finding in failed[:NAMED])
    if named:
        more = len(failed) - NAMED
        yield f"from the others to them: {named}" + (f", and {more} more" if more > 0 else "")


@dataclass(frozen=True, slots=True)
class _Labels:
    """The finding about labels, and the share of label 1 that was to be expected."""

    finding: CoverageFinding
    expected: float | None


def _label_finding(rows: _Rows, earlier: Sequence[EarlierBatch], *, alpha: float) -> _Labels:
    """Whether label 1 is as frequent as earlier batches lead to expect, or else the scores of the same rows.

    Either is enough: a batch of other people has another rate, which its scores tell; a champion that has grown stale
    is contradicted by every batch, which the earlier ones tell. That one label is missing only earlier batches excuse.
    """
    rate = rows.rate or 0.0
    is_single = rate in (0.0, 1.0)
    expectations = list(_expectations(rows, earlier, is_single=is_single))
    if not expectations:
        verdict = Verdict.UNKNOWN if is_single else Verdict.PASS
        moved = f"all of them have label {rate:.0f}" if is_single else f"{rate:.1%} of them have label 1"
        moved += ", and no earlier batch says what was to be expected"
        return _Labels(CoverageFinding(LABELS, verdict, 0.0 if is_single else 1.0, None, moved), None)
    chances = [(_chance(rate * rows.alike, rows.alike, mean, spread), mean) for mean, spread in expectations]
    chance, expected = max(chances)
    p_value = min(1.0, chance / BY_LABELS)
    verdict = Verdict.UNKNOWN if p_value <= alpha else Verdict.PASS
    seen = f"all of them have label {rate:.0f}" if is_single else f"{rate:.1%} of them have label 1"
    moved = f"{seen}, where {expected:.1%} of label 1 were to be expected"
    half = 0.5 / max(rows.alike, 1.0)
    effect = _log_odds(min(max(rate, half), 1 - half)) - _log_odds(expected)
    return _Labels(CoverageFinding(LABELS, verdict, p_value, effect, moved), expected)


def _expectations(rows: _Rows, earlier: Sequence[EarlierBatch], *, is_single: bool) -> Iterator[tuple[float, float]]:
    """Rates of label 1 that are to be expected, each with its standard deviation in log-odds."""
    if earlier:
        yield expected_rate(earlier)
    scores = None if rows.scores is None else rows.scores[rows.learned]
    if scores is not None and not is_single and (known := ~np.isnan(scores)).any():
        mean = float(np.average(scores[known], weights=rows.weights[rows.learned][known]))
        yield min(max(mean, 1e-6), 1 - 1e-6), SPREAD


def expected_rate(earlier: Sequence[EarlierBatch]) -> tuple[float, float]:
    """The rate of label 1 that earlier batches lead to expect of a further one, and its standard deviation in log-odds.

    Half a row is added to each label, so that a rate of 0 has log-odds. What differs between batches is estimated by
    moments (DerSimonian & Laird 1986), `SPREAD` at the least; the error of the mean is added to it.
    """
    ones = np.array([batch.rate * batch.rows for batch in earlier])
    rows = np.array([batch.rows for batch in earlier])
    mean = float((ones.sum() + 0.5) / (rows.sum() + 1))
    log_odds = np.log(ones + 0.5) - np.log(rows - ones + 0.5)
    within = 1 / (ones + 0.5) + 1 / (rows - ones + 0.5)
    precision = 1 / within
    centre = np.average(log_odds, weights=precision)
    excess = float((precision * (log_odds - centre) ** 2).sum()) - (len(earlier) - 1)
    scale = float(precision.sum() - (precision**2).sum() / precision.sum())
    between = max(SPREAD**2, excess / scale if scale > 0 else 0.0)
    of_mean = 1 / (ones.sum() + 0.5) + 1 / (rows.sum() - ones.sum() + 0.5)
    return mean, float(np.sqrt(between * (1 + 1 / len(earlier)) + of_mean))


def _chance(ones: float, rows: float, mean: float, spread: float) -> float:
    """Chance of `ones` among `rows` or what is as far off, both sides, in [0, 1].

    Binomial with log-odds that are normal about those of `mean`; counts need not be whole, as weighted ones are not
    (the tails by the incomplete beta function). Rows of unlike scores vary less than that: it errs to the safe side.
    """
    from scipy.special import betainc

    nodes, share = np.polynomial.hermite_e.hermegauss(NODES)
    rates = 1 / (1 + np.exp(-(_log_odds(mean) + spread * nodes)))
    share = share / share.sum()
    above = np.ones(NODES) if ones <= 0 else betainc(ones, rows - ones + 1, rates)
    below = np.ones(NODES) if ones >= rows else 1 - betainc(ones + 1, rows - ones, rates)
    return float(min(1.0, 2 * min((share * above).sum(), (share * below).sum())))


def _log_odds(rate: float) -> float:
    return float(np.log(rate / (1 - rate)))
