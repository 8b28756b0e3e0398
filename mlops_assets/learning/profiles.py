"""What is shown of a candidate: the figures that speak for it, its weakest segments, and its pictures.

Which scores speak for a model depends on how it learned. One that weighs all history alike is described best by the
out-of-fold scores, which are the most rows; of one that weighs recent months more, old months say nothing, so that the
rolling origin speaks, which scores only the newest. The rule stands here, and whoever shows a model asks for it.

Every candidate has its profile, and none leads: which one won is promotion's decision. Until it is known, candidates
stand in the order of their names, and where one has to be taken (an alias, a curve), it is the first of `ranked`.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlops_assets.learning import explanation, figures
from mlops_assets.learning.candidates import BASELINE, RECENCY_WEIGHTED
from mlops_assets.learning.metrics import log_loss

OUT_OF_FOLD, ROLLING_ORIGIN = "out_of_fold", "rolling_origin"
IN_WORDS = {
    OUT_OF_FOLD: "out of fold",
    ROLLING_ORIGIN: "newest months, each scored from those before it",
}
"""Each scheme as a person reads it."""

DPI = 90
WEAKEST = ["roc_auc", "log_loss", "calibration_error", "expected_profit"]


@dataclass(frozen=True, slots=True)
class Profile:
    """The figures of a candidate under the scheme that speaks for it.

    `figures`: metric, value, lower and upper (95 % interval, or whatever was asked for), and the baseline's value on
    the same rows, NaN without one. `segments`: one row for each level of each cut, the worst ROC AUC first.
    """

    candidate: str
    scheme: str
    figures: pd.DataFrame
    segments: pd.DataFrame

    @property
    def headline(self) -> dict[str, float]:
        """Value of each metric that has one, by its name."""
        known = self.figures[self.figures.value.notna()]
        return dict(zip(known.metric.astype(str), known.value.astype(float), strict=True))

    @property
    def intervals(self) -> dict[str, float]:
        """The headline, and both ends of each interval as `<metric>.lower` and `<metric>.upper`."""
        ends = {
            f"{row.metric}.{end}": float(getattr(row, end))
            for row in self.figures.itertuples()
            for end in ("lower", "upper")
        }
        return {**self.headline, **{name: value for name, value in ends.items() if np.isfinite(value)}}


def scheme_of(candidate: str, known: Collection[str]) -> str:
    """The scheme whose scores speak for the candidate, `known` being those there are.

    A young history has no rolling origin; out of fold is then all that can be said.
    """
    own = ROLLING_ORIGIN if candidate == RECENCY_WEIGHTED else OUT_OF_FOLD
    return own if own in known else OUT_OF_FOLD


def speaking(scores: pd.DataFrame, candidate: str) -> pd.DataFrame:
    """The candidate's `OutOfSampleScores` that speak for it, and the baseline's on the same rows."""
    scheme = scheme_of(candidate, set(scores.scheme[scores.candidate.eq(candidate)]))
    return scores[scores.scheme.eq(scheme) & scores.candidate.isin([candidate, BASELINE])]


def profile(metrics: pd.DataFrame, candidate: str) -> Profile:
    """The candidate's profile from `Metrics`. Raises LookupError when they say nothing of it."""
    own = metrics[metrics.candidate.eq(candidate)]
    if own.empty:
        known = ", ".join(sorted(metrics.candidate.unique())) or "nobody"
        message = f"the evaluation says nothing of {candidate!r}, but of {known}. Run model_evaluation of its training."
        raise LookupError(message)
    scheme = scheme_of(candidate, set(own.scheme))
    overall = metrics[metrics.cut.eq("overall") & metrics.scheme.eq(scheme)]
    rival = overall[overall.candidate.eq(BASELINE)].set_index("metric").value
    shown = overall.loc[overall.candidate.eq(candidate), ["metric", "value", "lower", "upper", "rows"]]
    shown = shown.assign(baseline=shown.metric.map(rival).astype(float)).reset_index(drop=True)
    return Profile(candidate, scheme, shown, _weakest(own, scheme))


def _weakest(own: pd.DataFrame, scheme: str) -> pd.DataFrame:
    """Log-loss, AUC, calibration error and profit by segment, the worst AUC first."""
    cuts = own[~own.cut.isin(["overall", "fold"])]
    # An evaluation of an earlier version cut only the out-of-fold scores.
    cuts = cuts[cuts.scheme.eq(scheme if scheme in set(cuts.scheme) else OUT_OF_FOLD)]
    keys = ["cut", "level", "rows", "positives"]
    wide = cuts.pivot_table(index=keys, columns="metric", values="value").reset_index()
    return wide.reindex(columns=[*keys, *WEAKEST]).sort_values("roc_auc", ignore_index=True)


def ranked(scores: pd.DataFrame) -> list[str]:
    """The candidates without the baseline, the smallest log-loss on the same rows first, ties by name.

    On the newest months where all have them, since a champion serves the months after; otherwise out of fold.
    """
    own = scores[scores.candidate.ne(BASELINE)]
    names = sorted(own.candidate.unique())
    rolling = own[own.scheme.eq(ROLLING_ORIGIN)]
    compared = rolling if rolling.candidate.nunique() == len(names) else own[own.scheme.eq(OUT_OF_FOLD)]

    def loss(name: str) -> float:
        rows = compared[compared.candidate.eq(name)]
        y, score, weight = (rows[column].to_numpy(np.float64) for column in ("label", "score", "weight"))
        return float(log_loss(y, score, weight))

    return sorted(names, key=loss)  # stable: equal ones stay in the order of their names


def pictures(
    scores: pd.DataFrame, candidate: str, *, model: bytes, X: pd.DataFrame, threshold: float, bins: int
) -> dict[str, bytes]:
    """Six pictures of the candidate, PNG by name without suffix: the scores that speak for it, and its SHAP values.

    `scores` is `OutOfSampleScores`, `X` the rows it learned from, shape (n, k), and `bins` those of the calibration.
    """
    shown = speaking(scores, candidate)
    drawn = {
        "roc": figures.roc(shown, candidate=candidate),
        "precision_recall": figures.precision_recall(shown, candidate=candidate),
        "calibration": figures.calibration(shown, candidate=candidate, bins=bins),
        "confusion": figures.confusion(shown, candidate=candidate, threshold=threshold),
        "gain": figures.gain(shown, candidate=candidate),
        "shap_summary": figures.shap_summary(explanation.shap_values(model, X), X),
    }
    return {name: figures.to_png(figure, dpi=DPI) for name, figure in drawn.items()}
