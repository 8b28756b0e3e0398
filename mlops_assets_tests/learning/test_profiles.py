"""A candidate is shown by the scores that speak for it, beside nobody who won."""

import numpy as np
import pandas as pd
import pytest

from mlops_assets.learning import profiles
from mlops_assets.learning.candidates import ALL_HISTORY, BASELINE, RECENCY_WEIGHTED
from mlops_assets.learning.evaluation import METRICS, Metrics
from mlops_assets.learning.profiles import OUT_OF_FOLD, ROLLING_ORIGIN

NAMES = (ALL_HISTORY, RECENCY_WEIGHTED, BASELINE)
SCHEMES = (OUT_OF_FOLD, ROLLING_ORIGIN)


def value(candidate: str, scheme: str, level: str, metric: str) -> float:
    """A value in (0, 1) that no other figure has."""
    places = NAMES.index(candidate), SCHEMES.index(scheme), ("all", "a", "b").index(level), list(METRICS).index(metric)
    return 0.1 + float(np.dot(places, [0.2, 0.1, 0.02, 0.001]))


@pytest.fixture
def metrics() -> pd.DataFrame:
    """`Metrics` of two candidates and the baseline: overall and two segments, under both schemes."""
    rows = [
        {"candidate": candidate, "scheme": scheme, "cut": cut, "level": level, "metric": metric}
        for candidate in NAMES
        for scheme in SCHEMES
        for cut, level in (("overall", "all"), ("plan", "a"), ("plan", "b"))
        for metric in METRICS
    ]
    table = pd.DataFrame(rows)
    found = [value(row.candidate, row.scheme, row.level, row.metric) for row in table.itertuples()]  # type: ignore[arg-type]
    table = table.assign(value=found, lower=np.array(found) - 0.05, upper=np.array(found) + 0.05, rows=9, positives=3)
    return Metrics.validate(table, lazy=True)


def scores(losses: dict[tuple[str, str], float]) -> pd.DataFrame:
    """`OutOfSampleScores` of two leavers, with the log-loss given to each candidate and scheme."""
    return pd.DataFrame(
        [
            {"candidate": candidate, "scheme": scheme, "label": 1, "weight": 1.0, "score": float(np.exp(-loss))}
            for (candidate, scheme), loss in losses.items()
            for _ in range(2)
        ]
    )


@pytest.mark.parametrize(("candidate", "scheme"), [(ALL_HISTORY, OUT_OF_FOLD), (RECENCY_WEIGHTED, ROLLING_ORIGIN)])
def test_the_newest_months_speak_for_a_model_of_recent_months_and_all_rows_for_one_of_all(
    candidate: str, scheme: str, metrics: pd.DataFrame
) -> None:
    shown = profiles.profile(metrics, candidate)
    assert (shown.candidate, shown.scheme) == (candidate, scheme)
    assert shown.headline == pytest.approx({m: value(candidate, scheme, "all", m) for m in METRICS})
    assert list(shown.figures.baseline) == pytest.approx([value(BASELINE, scheme, "all", m) for m in METRICS])
    worst = shown.segments.iloc[0]
    assert (worst.level, worst.roc_auc) == ("a", pytest.approx(value(candidate, scheme, "a", "roc_auc")))


def test_a_young_history_without_a_rolling_origin_is_shown_out_of_fold(metrics: pd.DataFrame) -> None:
    shown = profiles.profile(metrics[metrics.scheme.eq(OUT_OF_FOLD)], RECENCY_WEIGHTED)
    assert shown.scheme == OUT_OF_FOLD
    assert shown.headline["roc_auc"] == pytest.approx(value(RECENCY_WEIGHTED, OUT_OF_FOLD, "all", "roc_auc"))


def test_an_earlier_evaluation_that_cut_no_rolling_origin_still_has_segments(metrics: pd.DataFrame) -> None:
    earlier = metrics[metrics.scheme.eq(OUT_OF_FOLD) | metrics.cut.eq("overall")]
    shown = profiles.profile(earlier, RECENCY_WEIGHTED)
    assert shown.scheme == ROLLING_ORIGIN
    assert list(shown.segments.level) == ["a", "b"]


def test_a_figure_without_meaning_is_no_headline(metrics: pd.DataFrame) -> None:
    metrics.loc[metrics.metric.eq("f1"), ["value", "lower", "upper"]] = np.nan
    shown = profiles.profile(metrics, ALL_HISTORY)
    assert "f1" not in shown.headline
    assert set(shown.intervals) == {f"{m}{end}" for m in set(METRICS) - {"f1"} for end in ("", ".lower", ".upper")}


def test_a_candidate_that_was_not_evaluated_is_refused_by_name(metrics: pd.DataFrame) -> None:
    with pytest.raises(LookupError, match=r"nothing of 'stranger', but of all_history, recency_weighted, spline"):
        profiles.profile(metrics, "stranger")


@pytest.mark.parametrize(
    ("rolling", "first"), [((0.5, 0.4), RECENCY_WEIGHTED), ((0.4, 0.5), ALL_HISTORY), ((0.4, 0.4), ALL_HISTORY)]
)
def test_candidates_are_ranked_on_the_newest_months_and_ties_by_name(rolling: tuple[float, float], first: str) -> None:
    losses = {(ALL_HISTORY, ROLLING_ORIGIN): rolling[0], (RECENCY_WEIGHTED, ROLLING_ORIGIN): rolling[1]}
    misleading = {(ALL_HISTORY, OUT_OF_FOLD): 1 - rolling[0], (RECENCY_WEIGHTED, OUT_OF_FOLD): 1 - rolling[1]}
    ranked = profiles.ranked(scores({(BASELINE, ROLLING_ORIGIN): 0.1, **misleading, **losses}))
    assert ranked[0] == first
    assert set(ranked) == {ALL_HISTORY, RECENCY_WEIGHTED}


def test_without_a_rolling_origin_of_each_they_are_ranked_out_of_fold() -> None:
    losses = {(ALL_HISTORY, OUT_OF_FOLD): 0.5, (RECENCY_WEIGHTED, OUT_OF_FOLD): 0.4, (ALL_HISTORY, ROLLING_ORIGIN): 0.1}
    assert profiles.ranked(scores(losses)) == [RECENCY_WEIGHTED, ALL_HISTORY]


def test_the_baseline_speaks_beside_a_candidate_on_the_same_rows() -> None:
    table = scores({(name, scheme): 0.5 for name in NAMES for scheme in SCHEMES})
    shown = profiles.speaking(table, RECENCY_WEIGHTED)
    assert set(shown.candidate) == {RECENCY_WEIGHTED, BASELINE}
    assert set(shown.scheme) == {ROLLING_ORIGIN}
