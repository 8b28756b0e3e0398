"""A model is back when its bytes are, or all its predictions; what differs is told in the order of suspicion."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.gates.equality import FIGURE, ROW, Equality, Kind, Training, compare, frame_distance, grade

SAME, OTHER = "a" * 32, "b" * 32
FACTS = {
    "git_commit": "c0ffee",
    "git_dirty": "false",
    "lock_md5": "1",
    "python": "3.11.7",
    "library.catboost": "1.2.8",
    "machine": "Linux x86_64",
    "thread_count": "1",
    "environment": "local",
    "data.training_set": "2",
    "params": "3",
}
probabilities = st.lists(st.floats(0, 1), min_size=1, max_size=30)


def scores_of(values: list[float]) -> pd.DataFrame:
    """Out-of-sample scores of as many customers."""
    names = [f"c{number}" for number in range(len(values))]
    return pd.DataFrame({"customer_id": names, "score": values}).assign(
        candidate="all_history", scheme="out_of_fold", batch="2024-01"
    )


def metrics_of(value: float | None) -> pd.DataFrame:
    """One figure without an interval."""
    row = {**dict.fromkeys(FIGURE, "x"), "value": value, "lower": None, "upper": None}
    return pd.DataFrame([row]).astype({"value": float, "lower": float, "upper": float})


def training(scores: list[float], **facts: str) -> Training:
    """A training whose scores, on the training rows and out of sample, are these."""
    return Training(
        SAME, SAME, SAME, {**FACTS, **facts}, scores_of(scores), metrics_of(sum(scores)), np.array(scores, dtype=float)
    )


def other_bytes(of: Training) -> Training:
    """The training with other digests of everything."""
    return replace(of, model_md5=OTHER, scores_md5=OTHER, metrics_md5=OTHER)


@given(values=probabilities)
def test_equal_digests_are_equal_bytes_and_nothing_else_is_looked_at(values: list[float]) -> None:
    bare = replace(training(values), scores=None, metrics=None, predictions=None)

    graded = grade(bare, bare)

    assert graded.verdict is Equality.BYTES
    assert graded.is_back


@pytest.mark.parametrize("part", ["model_md5", "scores_md5", "metrics_md5"])
def test_bytes_are_equal_only_if_those_of_every_part_are(part: str) -> None:
    old = training([0.2, 0.7])

    other: dict[str, Any] = {part: OTHER}
    graded = grade(old, replace(old, **other))

    assert graded.verdict is Equality.PREDICTIONS
    assert [f"{one.name}_md5" for one in graded.parts if not one.same_bytes] == [part]


@given(values=probabilities, offset=st.floats(-0.9e-9, 0.9e-9))
def test_scores_within_the_tolerance_are_the_same_predictions(values: list[float], offset: float) -> None:
    moved = [value + offset for value in values]

    assert grade(training(values), other_bytes(training(moved))).verdict is Equality.PREDICTIONS


@given(values=probabilities, offset=st.floats(2e-9, 1), data=st.data())
def test_one_score_beyond_the_tolerance_is_different_and_the_distance_is_told(
    values: list[float], offset: float, data: st.DataObject
) -> None:
    where = data.draw(st.integers(0, len(values) - 1))
    moved = [value + offset * (number == where) for number, value in enumerate(values)]

    graded = grade(training(values), other_bytes(training(moved)))

    assert graded.verdict is Equality.DIFFERENT
    assert graded.model.distance == pytest.approx(offset, abs=1e-12)
    assert graded.scores.distance == graded.model.distance


@given(values=probabilities, seed=st.integers(0, 1000))
def test_the_order_of_scored_rows_is_no_difference(values: list[float], seed: int) -> None:
    frame = scores_of(values)

    assert frame_distance(frame, frame.sample(frac=1, random_state=seed), keys=ROW, values=["score"]) == 0


def test_models_are_compared_by_their_predictions_though_their_out_of_sample_scores_are_the_same() -> None:
    old = training([0.2, 0.7])
    new = replace(old, model_md5=OTHER, predictions=np.array([0.2, 0.8]))

    assert grade(old, new).verdict is Equality.DIFFERENT


@pytest.mark.parametrize("values", [[0.2], [0.2, 0.7, 0.1], [0.2, float("nan")], [0.2, float("inf")]])
def test_scores_of_other_rows_cannot_be_compared_and_are_different(values: list[float]) -> None:
    graded = grade(training([0.2, 0.7]), other_bytes(training(values)))

    assert graded.verdict is Equality.DIFFERENT
    assert graded.scores.distance is None


def test_figures_that_had_no_meaning_and_have_none_are_the_same() -> None:
    columns = ["value", "lower", "upper"]

    assert frame_distance(metrics_of(None), metrics_of(None), keys=FIGURE, values=columns) == 0
    assert frame_distance(metrics_of(None), metrics_of(0.5), keys=FIGURE, values=columns) is None


def test_metrics_that_were_never_recorded_take_nothing_away() -> None:
    old = replace(training([0.2]), metrics_md5=None, metrics=None)

    assert grade(old, training([0.2])).verdict is Equality.BYTES


def test_metrics_that_were_not_made_again_take_the_bytes_away_and_not_the_predictions() -> None:
    old = training([0.2])

    assert grade(old, replace(old, metrics_md5=None, metrics=None)).verdict is Equality.PREDICTIONS


def test_differences_come_in_the_order_of_suspicion_whatever_the_order_of_the_facts() -> None:
    old = dict(reversed(list(FACTS.items())))
    new = {name: f"not {value}" for name, value in FACTS.items()}

    kinds = [difference.kind for difference in compare(old, new)]

    assert kinds == sorted(kinds, key=list(Kind).index)
    assert set(kinds) == set(Kind)


def test_code_that_was_never_committed_is_the_first_suspect() -> None:
    first = compare({**FACTS, "git_dirty": "true"}, {**FACTS, "git_commit": "f00d", "params": "4"})[0]

    assert str(first).startswith("code: trained with changes that were never committed")


def test_the_environment_a_graph_runs_in_and_facts_that_only_one_knows_are_no_differences() -> None:
    assert not compare({**FACTS, "library.numpy": "2"}, {**FACTS, "environment": "reproduction", "cores": "4"})


def test_a_difference_is_told_with_both_values() -> None:
    (only,) = compare(FACTS, {**FACTS, "library.catboost": "1.2.10"})

    assert str(only) == "library: library.catboost was 1.2.8, is 1.2.10"


def test_a_difference_that_nothing_known_explains_is_called_so() -> None:
    old = training([0.2])

    assert grade(old, other_bytes(training([0.3]))).is_unexplained
    assert not grade(old, other_bytes(training([0.3], params="4"))).is_unexplained
    assert not grade(old, old).is_unexplained


def test_no_row_and_no_row_are_the_same() -> None:
    none = scores_of([])

    assert frame_distance(none, none, keys=ROW, values=["score"]) == 0
