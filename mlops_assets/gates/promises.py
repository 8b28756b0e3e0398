"""Decides which promise a champion is held to: that of all it learned from, or of what it learned since a change.

A champion that was promoted after a change promised for months before it, too, and its scores of those were better or
worse than what may be expected now. Held to the mean of both it would break its word for ever, though nothing has
happened since. So where the matured month fails, it is asked again against the newest months of the reference that keep
their word alike. What was poor then and is no worse now is no news; whether a challenger is better, promotion tells.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlops_assets.gates.outcomes import OutcomeAssessment, assess_outcomes
from mlops_assets.gates.verdict import Verdict

Bools = npt.NDArray[np.bool_]


def assess_promises(
    reference: pd.DataFrame,
    current: pd.DataFrame,
    *,
    alpha: float,
    min_effect: float = 0.002,
    segments: pd.DataFrame | None = None,
    reference_segments: pd.DataFrame | None = None,
    interval: float = 0.95,
    min_rows: int = 100,
) -> OutcomeAssessment:
    """`assess_outcomes` of `current`, and on FAIL against the part of `reference` since it last changed, which counts.

    Both have the columns `score` in [0, 1], `label` 0 or 1, `weight` and `batch`, shapes (m, >= 4) and (n, >= 4), and
    both or neither `key`, the person of each row. `segments` and `reference_segments` stand in the same order of rows.
    So the second look can take an alarm back, and never raise one.
    """
    knobs = {"alpha": alpha, "min_effect": min_effect, "interval": interval, "min_rows": min_rows}
    judged = _assess(reference, current, segments, reference_segments, knobs)
    if judged.verdict is not Verdict.FAIL:
        return judged
    part = since_last_change(reference, alpha=alpha, min_effect=min_effect, min_rows=min_rows)
    if part.all():
        return judged
    cut = None if reference_segments is None else reference_segments[part]
    return _assess(reference[part], current, segments, cut, knobs)


def since_last_change(reference: pd.DataFrame, *, alpha: float, min_effect: float = 0.002, min_rows: int) -> Bools:
    """Which rows of `reference` came since its scores last kept their word otherwise; shape (m,).

    Months are taken from the newest backwards, each held at `alpha` against all later ones, up to the first that fails.
    """
    names = reference["batch"].astype(str).to_numpy()
    knobs = {"alpha": alpha, "min_effect": min_effect, "min_rows": min_rows}
    part = np.zeros(len(names), dtype=bool)
    for month in sorted(set(names), reverse=True):
        older = names == month
        if part.any() and _assess(reference[part], reference[older], None, None, knobs).verdict is Verdict.FAIL:
            break
        part = part | older
    return part


def _assess(
    then: pd.DataFrame,
    now: pd.DataFrame,
    segments: pd.DataFrame | None,
    reference_segments: pd.DataFrame | None,
    knobs: dict[str, float],
) -> OutcomeAssessment:
    return assess_outcomes(
        then["score"],
        then["label"],
        now["score"],
        now["label"],
        segments=segments,
        reference_segments=reference_segments,
        batches=now["batch"],
        weights=now["weight"],
        reference_weights=then["weight"],
        keys=now.get("key"),
        reference_keys=then.get("key"),
        **knobs,  # type: ignore[arg-type]
    )
