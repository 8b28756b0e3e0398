"""An evaluation keeps its contract whatever the rows, and its intervals hold the truth about as often as they say."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandera.errors import SchemaError

from mlops_assets.learning.evaluation import METRICS, Metrics, OutOfSampleScores, evaluate, profit_threshold

SETTINGS: dict[str, Any] = {
    "threshold": 1 / 3,
    "offer_cost": 10.0,
    "kept_customer_value": 100.0,
    "success_rate": 0.3,
    "interval": 0.95,
    "resamples": 60,
    "calibration_bins": 10,
    "seed": 13,
}


def scored(rows: int, *, seed: int, candidate: str = "a", scheme: str = "out_of_fold") -> pd.DataFrame:
    """Scores that are the truth, in three folds and two months."""
    rng = np.random.default_rng(seed)
    score = rng.beta(0.8, 2.2, rows).clip(0.001, 0.999)
    return pd.DataFrame(
        {
            "candidate": candidate,
            "scheme": scheme,
            "fold": [f"fold {row % 3 + 1}" for row in range(rows)],
            "customer_id": [f"C{row:05d}" for row in range(rows)],
            "batch": [f"2024-0{row % 2 + 1}" for row in range(rows)],
            "label": (rng.random(rows) < score).astype(np.int64),
            "weight": rng.choice([1.0, 2.5], rows),
            "score": score,
        }
    )


def segments(scores: pd.DataFrame) -> pd.DataFrame:
    """Two columns to cut by; in one, every fifth customer has no value."""
    rows = scores[["batch", "customer_id"]].drop_duplicates(ignore_index=True)
    plans = dict(zip("0123456789", ["red", "blue", "red", "blue", None] * 2, strict=True))
    return rows.assign(plan=rows.customer_id.str[-1].map(plans), region="north")


def measured(scores: pd.DataFrame, **changes: object) -> pd.DataFrame:
    """Metrics of `scores` with their own segments."""
    return evaluate(scores, segments(scores), **{**SETTINGS, **changes})


# ---------------------------------------------------------------------------------------------- the table


@settings(max_examples=25)
@given(rows=st.integers(1, 60), seed=st.integers(0, 2**32))
def test_the_contract_holds_for_any_scores(rows: int, seed: int) -> None:
    Metrics.validate(measured(OutOfSampleScores.validate(scored(rows, seed=seed))))


def test_every_metric_is_given_overall_by_fold_and_by_segment() -> None:
    found = measured(scored(300, seed=1)).groupby(["cut", "level"]).metric.agg(list).to_dict()

    levels = [("overall", "all"), *(("fold", f"fold {n}") for n in (1, 2, 3))]
    levels += [("plan", "blue"), ("plan", "red"), ("plan", "(missing)"), ("region", "north")]
    assert found == {level: list(METRICS) for level in levels}


def test_the_rows_of_a_cut_are_all_rows() -> None:
    table = measured(scored(300, seed=1))
    rows = table[table.metric == "log_loss"].groupby("cut")[["rows", "positives"]].sum()

    assert (rows == rows.loc["overall"]).all(axis=None)


def test_a_rolling_origin_is_cut_as_out_of_fold_scores_are() -> None:
    cuts = [set(measured(scored(300, seed=1, scheme=scheme)).cut) for scheme in ("rolling_origin", "out_of_fold")]
    assert cuts[0] == cuts[1]
    assert len(cuts[0]) > 2


def test_each_candidate_is_measured_on_its_own() -> None:
    first, second = scored(200, seed=1), scored(200, seed=2, candidate="b")
    together = measured(pd.concat([first, second], ignore_index=True))

    alone = measured(second)
    pd.testing.assert_frame_equal(together[together.candidate == "b"].reset_index(drop=True), alone)


def test_segments_may_be_keyed_by_their_index() -> None:
    scores = scored(50, seed=1)
    keyed = segments(scores).set_index(["batch", "customer_id"])

    pd.testing.assert_frame_equal(evaluate(scores, keyed, **SETTINGS), measured(scores))


def test_a_scored_row_without_segment_is_refused_by_name() -> None:
    scores = scored(50, seed=1)

    with pytest.raises(ValueError, match=r"1 scored rows have no segment, the first is \['2024-02', 'C00049'\]"):
        evaluate(scores, segments(scores)[:-1], **SETTINGS)


def test_no_scores_have_no_metrics() -> None:
    Metrics.validate(measured(scored(0, seed=1).astype(scored(1, seed=1).dtypes)))


def test_what_has_no_meaning_is_null_and_not_a_number_made_up() -> None:
    stayed = scored(40, seed=1).assign(label=0)
    table = measured(stayed).query("cut == 'overall'").set_index("metric")

    ranking = ["roc_auc", "average_precision", "f1", "lift_at_10"]
    assert table.loc[ranking, ["value", "lower", "upper"]].isna().all(axis=None)
    assert (
        table.loc[["log_loss", "calibration_error", "expected_profit"], ["value", "lower", "upper"]]
        .notna()
        .all(axis=None)
    )


@pytest.mark.parametrize(
    "fault", [{"score": 1.2}, {"weight": 0.0}, {"label": 2}, {"scheme": "in_sample"}, {"customer_id": "C1"}]
)
def test_scores_that_cannot_be_are_refused(fault: dict[str, Any]) -> None:
    with pytest.raises(SchemaError):
        OutOfSampleScores.validate(scored(6, seed=1).assign(**fault))


def test_an_interval_that_does_not_hold_its_value_is_refused() -> None:
    with pytest.raises(SchemaError, match="the_interval_holds_the_value"):
        Metrics.validate(measured(scored(50, seed=1)).assign(upper=-1e9))


# ---------------------------------------------------------------------------------------------- the interval


def test_the_same_seed_gives_the_same_intervals() -> None:
    scores = scored(100, seed=1)

    pd.testing.assert_frame_equal(measured(scores), measured(scores.sample(frac=1, random_state=3)))


def test_four_times_the_rows_halve_the_interval() -> None:
    widths = []
    for rows in (500, 2000):
        table = measured(scored(rows, seed=1).assign(weight=1.0), resamples=400).query("cut == 'overall'")
        widths.append((table.upper - table.lower).set_axis(table.metric))

    ratio = widths[0] / widths[1]
    assert ratio[["log_loss", "roc_auc", "average_precision", "f1", "expected_profit"]].between(1.5, 2.7).all()


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    def overall(rows: int, seed: int, resamples: int) -> pd.DataFrame:
        scores = scored(rows, seed=seed).assign(weight=1.0)
        keys = scores[["batch", "customer_id"]]
        table = evaluate(scores, keys, **{**SETTINGS, "resamples": resamples}).query("cut == 'overall'")
        return table.set_index("metric").loc[["log_loss", "roc_auc", "average_precision", "expected_profit"]]

    true = overall(100_000, seed=1, resamples=2).value
    held = [(found.lower <= true) & (true <= found.upper) for found in (overall(300, seed, 60) for seed in range(60))]

    # .95 is promised; of 60 tries .86 is three standard errors below it.
    assert (pd.DataFrame(held).mean() > 0.86).all()


def test_the_interval_of_a_perfect_models_calibration_error_often_begins_at_nothing() -> None:
    tables = [measured(scored(300, seed=seed).assign(weight=1.0)) for seed in range(20)]
    found = pd.concat(tables).query("cut == 'overall' and metric == 'calibration_error'")

    assert (found.value > 0.02).all()  # chance alone: these scores are the truth
    assert (found.lower == 0).mean() > 0.3


# ---------------------------------------------------------------------------------------------- the threshold

money = st.floats(0.01, 1000)


@given(cost=money, value=money, rate=st.floats(0.01, 1), score=st.floats(0, 1))
def test_an_offer_pays_exactly_above_the_threshold(cost: float, value: float, rate: float, score: float) -> None:
    if cost >= value * rate:
        with pytest.raises(ValueError, match="it never pays"):
            profit_threshold(offer_cost=cost, kept_customer_value=value, success_rate=rate)
        return
    threshold = profit_threshold(offer_cost=cost, kept_customer_value=value, success_rate=rate)

    if abs(score - threshold) > 1e-9:
        assert (score * rate * value > cost) == (score > threshold)
