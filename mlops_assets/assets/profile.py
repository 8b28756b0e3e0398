"""What assets show of a candidate: its figures, its weakest segments and its pictures, as metadata.

The evaluation shows those of every candidate under its name; the verdict and the champion show the winner's alone. The
three run one after the other in one process, so pictures are drawn once and kept for the next that shows them.
"""

from collections.abc import Callable, Mapping
from typing import Any

import dagster as dg
import pandas as pd

from mlops_assets import checks
from mlops_assets.churn import features
from mlops_assets.learning import profiles
from mlops_assets.learning.profiles import Profile
from mlops_assets.params import Params

Pictures = Mapping[str, bytes]
DRAWN: dict[tuple[object, ...], Pictures] = {}
REMEMBERED = 4  # candidates whose pictures are kept, each about 60 kB


def pictures(candidate: pd.Series, scores: pd.DataFrame, rows: pd.DataFrame, model: bytes, params: Params) -> Pictures:
    """Pictures of a row of `Candidates`, PNG by name, with the scores and the labelled rows of its training."""
    bins, threshold = params.evaluation.calibration_bins, float(candidate.threshold)
    digests = (candidate.model_md5, candidate.scores_md5, candidate.training_md5)
    key = (candidate.candidate, *digests, threshold, bins)  # all that they depend on
    if key not in DRAWN:
        X = features.model_inputs(rows)
        drawn = profiles.pictures(scores, candidate.candidate, model=model, X=X, threshold=threshold, bins=bins)
        while len(DRAWN) >= REMEMBERED:
            DRAWN.pop(next(iter(DRAWN)))
        DRAWN[key] = drawn
    return DRAWN[key]


def metadata(profile: Profile, drawn: Pictures, *, prefix: str = "") -> dict[str, Any]:
    """A profile for the UI; `prefix`, such as `all_history/`, names whose it is where several are shown."""
    shown = {
        "figures_are": f"{profile.candidate}, {profiles.IN_WORDS[profile.scheme]}",
        "figures": checks.records(profile.figures),
        "segments": checks.records(profile.segments, limit=40),
        **{name: round(value, 4) for name, value in profile.headline.items()},
        **{name: checks.picture(png) for name, png in drawn.items()},
    }
    return {f"{prefix}{name}": value for name, value in shown.items()}


def or_why_not(context: dg.AssetExecutionContext, show: Callable[[], tuple[Profile, Pictures]]) -> dict[str, Any]:
    """Metadata of what `show` gives, or why it cannot be shown: no verdict and no rollback waits for a picture."""
    try:
        return metadata(*show())
    except Exception as error:  # noqa: BLE001 - whatever is missing or cannot be drawn decides nothing
        why = f"{type(error).__name__}: {error}"
        context.log.warning(f"the winner's figures and pictures are not shown ({why}); going on")
        return {"figures_are": f"not shown ({why})"}
