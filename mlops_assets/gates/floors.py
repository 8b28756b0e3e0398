"""Decides whether a model may score at all, compared with no other champion: the floors, which hold for the first too.

It must tell more than the prevalence does, mean what its scores say, stay close to a baseline that anybody could fit,
be described in words, and come out the same when it is trained again. Every limit is a share: of the log-loss of the
prevalence, which is .58 where a quarter leaves and .03 where one in two hundred does, or of the spread of the labels.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlops_assets.gates.estimates import Estimate, calibration_gap, loss_gain, row_losses
from mlops_assets.gates.evidence import Rows, bareness_of, fault_of, read_rows, shortage_of
from mlops_assets.gates.persons import codes_of
from mlops_assets.gates.requirements import Requirement, conclude, findings_of, held_to
from mlops_assets.gates.verdict import Verdict


@dataclass(frozen=True, slots=True)
class FloorsJudgement:
    """Whether a model may score at all; `meaning` says why in a sentence."""

    verdict: Verdict
    meaning: str
    floors: tuple[Requirement, ...]


def judge_floors(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    baseline_scores: npt.ArrayLike,
    *,
    weights: npt.ArrayLike | None = None,
    keys: npt.ArrayLike | None = None,
    described: bool,
    reproducible: bool,
    min_gain_over_prevalence: float,
    max_calibration_error: float,
    max_loss_behind_baseline: float,
    interval: float = 0.95,
    calibration_bins: int = 10,
    min_rows: int = 300,
) -> FloorsJudgement:
    """Verdict on a model alone, by out-of-sample scores; all arrays of shape (n,), labels 0 or 1, scores in [0, 1].

    `min_gain_over_prevalence` and `max_loss_behind_baseline` are shares of the prevalence's log-loss on these rows.
    The gain over prevalence counts by the lower end of its interval; behind the baseline is who loses more than the
    limit and is proven to lose at all. `max_calibration_error` is held to `estimates.calibration_gap`: a share of the
    labels' standard deviation, chance taken off. `keys`: the person of each row (None: each row another). UNKNOWN with
    fewer than `min_rows` effective rows, 20 of either label, or a value that is missing or impossible. Raises
    ValueError when the shapes differ.
    """
    persons = None if keys is None else codes_of(keys)
    rows = read_rows(labels, weights, {"candidate": scores, "baseline": baseline_scores}, persons)
    told = (
        _flag("described", described, "has a written description"),
        _flag("reproducible", reproducible, "is the same when trained again"),
    )
    if fault := fault_of(rows) or bareness_of(rows):
        return FloorsJudgement(Verdict.UNKNOWN, fault, told)
    limits = (min_gain_over_prevalence, max_calibration_error, max_loss_behind_baseline)
    floors = (*_measured_floors(rows, *limits, interval=interval, bins=calibration_bins), *told)
    verdict, meaning = conclude(floors, shortage_of(rows, min_rows), "every floor holds")
    return FloorsJudgement(verdict, meaning, floors)


def _measured_floors(
    rows: Rows, min_gain: float, max_error: float, max_behind: float, *, interval: float, bins: int
) -> tuple[Requirement, ...]:
    """The floors that are measured on rows."""
    scores, labels, weights = rows.scores["candidate"], rows.labels, rows.weights
    # The prevalence of these very rows, which no constant score can beat: a little harder than the one known before.
    prevalence = np.full(len(labels), np.average(labels, weights=weights))
    loss = float(np.average(row_losses(labels, prevalence), weights=weights))
    gain = _share(loss_gain(labels, prevalence, scores, weights, interval=interval, persons=rows.persons), loss)
    error = calibration_gap(labels, scores, weights, bins=bins, persons=rows.persons)
    baseline = rows.scores["baseline"]
    behind = _share(loss_gain(labels, scores, baseline, weights, interval=interval, persons=rows.persons), loss)
    return (
        held_to(
            "gain_over_prevalence",
            gain,
            min_gain,
            gain.lower >= min_gain,
            "of the prevalence's log-loss saved, lower end counts",
        ),
        Requirement(
            "calibration_error",
            error,
            None,
            None,
            max_error,
            error <= max_error,
            f"scores are off by {error:.3f} standard deviations of the label beyond chance, at most {max_error:g}",
        ),
        held_to(
            "loss_behind_baseline",
            behind,
            max_behind,
            behind.value <= max_behind or behind.lower <= 0,
            "of the prevalence's log-loss behind the baseline, if its lower end is above 0",
        ),
    )


def _share(figure: Estimate, of: float) -> Estimate:
    return Estimate(figure.value / of, figure.lower / of, figure.upper / of)


def _flag(subject: str, holds: bool, meaning: str) -> Requirement:  # noqa: FBT001
    """A thing that is so or not; 1 is asked for."""
    return Requirement(subject, float(holds), None, None, 1.0, holds, meaning if holds else f"not so: {meaning}")


def floors_findings(candidate: str, judgement: FloorsJudgement) -> pd.DataFrame:
    """The judgement as rows of `PromotionFindings`."""
    return findings_of(candidate, "floors", judgement.verdict, judgement.meaning, judgement.floors)
