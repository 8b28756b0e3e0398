"""Decides whether a challenger replaces the champion; whether it may score at all is asked in `floors`.

Both are held against the same rows, pair by pair: "the higher AUC wins" promotes half of the equally good. It asks for
a gain in log-loss that an interval tells from none, and that is worth the change, since with enough rows any difference
is significant. The AUC must not be proven to fall by much; it need not rise, or a challenger that only repairs the
level of the scores after a change of prevalence could never pass, nor, where events are rare and the AUC is vague, any
at all. No segment may pay for the rest. A tie keeps the champion. Each limit is a share of the champion's own loss on
the rows it is about, so that it means the same whether 1 or 30 of 100 leave; rows of one person count as one where they
repeat. Which rows are fair to both (out of sample, several batches) is the caller's to choose; nothing is moved here.

Who asks every month would be told yes by chance one day. So each attempt about the same champion has a smaller part of
the chance of error than the last (`widened`), and all of them together, however many, no more than 1 - `interval`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlops_assets.gates.estimates import Estimate, auc_gain, loss_gain, mean_with_interval, row_losses
from mlops_assets.gates.evidence import Rows, bareness_of, column_of, cuts_of, fault_of, read_rows, shortage_of
from mlops_assets.gates.floors import FloorsJudgement, floors_findings, judge_floors
from mlops_assets.gates.persons import codes_of
from mlops_assets.gates.requirements import PromotionFindings, Requirement, conclude, findings_of, held_to
from mlops_assets.gates.verdict import Verdict

__all__ = [
    "Comparison",
    "FloorsJudgement",
    "PromotionFindings",
    "Requirement",
    "compare",
    "comparison_findings",
    "floors_findings",
    "judge_floors",
]

FEW_IN_A_SEGMENT, FEW_LABELS_IN_A_SEGMENT = 50, 10
"""Effective rows, and those of the rarer label, below which a segment cannot stop a challenger."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Challenger against champion; `gain`, `lower`, `upper` in nats of log-loss, positive if the challenger is better.

    None where the rows cannot be compared. `by_metric`: log_loss, relative_gain (share of the champion's log-loss),
    roc_auc; `by_segment`: the gain in log-loss of each segment. `meaning` says why in a sentence.
    """

    verdict: Verdict
    meaning: str
    gain: float | None = None
    lower: float | None = None
    upper: float | None = None
    by_metric: tuple[Requirement, ...] = ()
    by_segment: tuple[Requirement, ...] = ()


def compare(
    champion_scores: npt.ArrayLike,
    challenger_scores: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    segments: pd.DataFrame | npt.ArrayLike | None = None,
    weights: npt.ArrayLike | None = None,
    batches: npt.ArrayLike | None = None,
    keys: npt.ArrayLike | None = None,
    interval: float = 0.98,
    attempt: int = 1,
    min_relative_gain: float = 0.03,
    max_auc_loss: float = 0.01,
    segment_tolerance: float = 0.05,
    min_batches: int = 3,
    min_rows: int = 300,
) -> Comparison:
    """Verdict on the challenger, by scores of the same rows that neither model has seen; arrays of shape (n,).

    PASS if the lower end of the gain in log-loss is above 0, the gain is at least `min_relative_gain` of the champion's
    log-loss, the upper end of the gain in AUC is at least -`max_auc_loss`, and no segment is worse for certain by more
    than `segment_tolerance` of the champion's log-loss in it (its interval is widened for their number). `segments`:
    one cut, or a frame with a column for each, shape (n, cuts). `batches`: the batch of each row; `keys`: its person
    (None: each row another). `attempt`: the number of this question among those about the champion (`asking`); it
    widens the interval of log-loss, not the others', which would then stop less. UNKNOWN with fewer than `min_batches`
    batches (if handed over), `min_rows` effective rows or 20 of either label, or a value that is missing or impossible.
    Raises ValueError when the shapes differ.
    """
    persons = None if keys is None else codes_of(keys)
    rows = read_rows(labels, weights, {"champion": champion_scores, "challenger": challenger_scores}, persons)
    known = None if batches is None else pd.Series(column_of(batches, rows))
    cuts = cuts_of(segments, rows)
    if fault := fault_of(rows) or bareness_of(rows):
        return Comparison(Verdict.UNKNOWN, fault)
    champion, challenger = rows.scores["champion"], rows.scores["challenger"]
    wide = widened(interval, attempt)
    gain = loss_gain(rows.labels, champion, challenger, rows.weights, interval=wide, persons=rows.persons)
    by_metric = _by_metric(rows, gain, interval, min_relative_gain, max_auc_loss)
    by_segment = _by_segment(rows, cuts, interval, segment_tolerance)
    shortage = shortage_of(rows, min_rows)
    if known is not None and known.nunique() < min_batches:
        missing = min_batches - known.nunique()
        shortage = f"cannot tell from {known.nunique()} batches, {min_batches} are needed: {missing} more must mature"
    verdict, meaning = conclude((*by_metric, *by_segment), shortage, by_metric[0].meaning)
    if attempt > 1:
        meaning += f" (attempt {attempt} about this champion, interval {wide:.3%})"
    if verdict is Verdict.FAIL and np.array_equal(champion, challenger):
        meaning = "equal: both give every row the same score, and a tie keeps the champion"
    return Comparison(verdict, meaning, gain.value, gain.lower, gain.upper, by_metric, by_segment)


def widened(interval: float, attempt: int) -> float:
    """The interval of an attempt, in [interval, 1): 1 - (1 - interval) x 2 / (k (k + 1)) for the k-th.

    The first has the interval as it is. The one-sided chances of error, (1 - interval) / (k (k + 1)), add up to
    1 - interval for ever, whatever the attempts have in common (Bonferroni). They fall slowly: halved each time, the
    tenth attempt would need 4 standard errors instead of 3.3. Raises ValueError when `attempt` is below 1.
    """
    if attempt < 1:
        message = f"attempt is {attempt}, the first verdict about a champion is attempt 1."
        raise ValueError(message)
    return 1 - (1 - interval) * 2 / (attempt * (attempt + 1))


def _by_metric(
    rows: Rows, gain: Estimate, interval: float, min_relative_gain: float, max_auc_loss: float
) -> tuple[Requirement, ...]:
    """What is asked of all rows together."""
    champion, challenger = rows.scores["champion"], rows.scores["challenger"]
    loss = float(np.average(row_losses(rows.labels, champion), weights=rows.weights))
    relative = Estimate(gain.value / loss, gain.lower / loss, gain.upper / loss) if loss else Estimate(0.0, 0.0, 0.0)
    auc = auc_gain(rows.labels, champion, challenger, rows.weights, interval=interval, persons=rows.persons)
    return (
        held_to("log_loss", gain, 0.0, gain.lower > 0, "gain in log-loss, lower end counts"),
        held_to(
            "relative_gain",
            relative,
            min_relative_gain,
            relative.value >= min_relative_gain,
            "gain as a share of the champion's log-loss",
        ),
        held_to("roc_auc", auc, -max_auc_loss, auc.upper >= -max_auc_loss, "gain in ROC AUC, upper end counts"),
    )


def _by_segment(
    rows: Rows, cuts: Mapping[str, pd.Series], interval: float, tolerance: float
) -> tuple[Requirement, ...]:
    """The gain in each level of each cut; too small a segment is told and stops nothing."""
    members = {
        f"{cut}={level}": (levels == level).to_numpy()
        for cut, levels in cuts.items()
        for level in sorted(levels.unique())
    }
    losses, rivals = (row_losses(rows.labels, rows.scores[name]) for name in ("champion", "challenger"))
    wider = 1 - (1 - interval) / max(1, len(members))
    found = []
    for subject, member in members.items():
        part = rows.only(member)
        if reason := shortage_of(part, FEW_IN_A_SEGMENT, few=FEW_LABELS_IN_A_SEGMENT):
            found.append(Requirement(subject, None, None, None, None, holds=True, meaning=reason))
            continue
        gain = mean_with_interval((losses - rivals)[member], part.weights, interval=wider, persons=part.persons)
        limit = -tolerance * float(np.average(losses[member], weights=part.weights))
        meaning = f"gain in log-loss of {len(part.labels)} rows, upper end counts"
        found.append(held_to(subject, gain, limit, gain.upper >= limit, meaning))
    return tuple(found)


def comparison_findings(candidate: str, comparison: Comparison) -> pd.DataFrame:
    """The comparison as rows of `PromotionFindings`; the deciding gain stands in the first."""
    gain, lower, upper = comparison.gain, comparison.lower, comparison.upper
    deciding = None if gain is None or lower is None or upper is None else Estimate(gain, lower, upper)
    asked = (*comparison.by_metric, *comparison.by_segment)
    return findings_of(candidate, "comparison", comparison.verdict, comparison.meaning, asked, deciding)
