"""A question has one number for ever, and months that cannot answer say how many more are needed."""

from collections.abc import Mapping
from math import ceil
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.gates.asking import Question, Window, attempt_of, months_to_compare
from mlops_assets.gates.verdict import Verdict

names = st.sampled_from([f"2024-{month:02d}" for month in range(1, 13)])
Sizes = Mapping[str, tuple[int, int]]
"""Of each month the rows that stayed and those that left."""

sizes = st.dictionaries(names, st.tuples(st.integers(0, 300), st.integers(0, 60)))
questions = st.builds(
    lambda champion, data: {"champion": champion, "data": data}, st.sampled_from("ab"), st.text("xyz", max_size=1)
)
histories = st.lists(st.tuples(questions, st.sampled_from(list(Verdict))), max_size=8)
FEW = 20  # of the rarer label


def asked(data: str, champion: str = "a") -> Question:
    return {"champion": champion, "data": data}


def window(sizes: Sizes, *, after: str = "2023-12", **knobs: Any) -> Window:
    """The months to compare on, of so many rows; each is another person unless `keys` says otherwise."""
    batches = np.repeat(list(sizes), [sum(counts) for counts in sizes.values()])
    labels = np.concatenate([[], *(np.repeat([0.0, 1.0], counts) for counts in sizes.values())])
    return months_to_compare(batches, labels, after=after, **{"months": 3, "min_rows": 300, **knobs})


def suffice(sizes: Sizes, months: tuple[str, ...], min_rows: int) -> bool:
    stayed, left = (sum(sizes[month][label] for month in months) for label in (0, 1))
    return stayed + left >= min_rows and min(stayed, left) >= FEW


# ------------------------------------------------------------------------------------------------------- which months


@given(rows=sizes, after=names, months=st.integers(1, 4), min_rows=st.integers(0, 900))
@settings(max_examples=60)
def test_the_months_are_newer_than_the_champion_enough_and_no_more_than_needed(
    rows: Sizes, after: str, months: int, min_rows: int
) -> None:
    newer = tuple(sorted(month for month in rows if month > after and rows[month] != (0, 0)))

    told = window(rows, after=after, months=months, min_rows=min_rows)

    assert told.months == newer[len(newer) - len(told.months) :]
    if told.missing == 0:
        assert len(told.months) >= months
        assert suffice(rows, told.months, min_rows)
        fewer = told.months[1:]
        assert len(fewer) < months or not suffice(rows, fewer, min_rows)
    else:
        assert told.months == newer
        assert len(newer) < months or not suffice(rows, newer, min_rows)


@given(rows=sizes, after=names, months=st.integers(1, 4))
@settings(max_examples=40)
def test_so_many_months_more_as_are_missing_are_enough(rows: Sizes, after: str, months: int) -> None:
    missing = window(rows, after=after, months=months, min_rows=0).missing

    later = {f"2025-{month:02d}": (80, 20) for month in range(1, missing + 1)}
    assert window({**rows, **later}, after=after, months=months, min_rows=0).missing == 0


@given(stayed=st.integers(20, 200), left=st.integers(1, 12), count=st.integers(3, 5), min_rows=st.integers(0, 900))
@settings(max_examples=40)
def test_as_many_months_are_missing_as_months_alike_take_and_not_one_more(
    stayed: int, left: int, count: int, min_rows: int
) -> None:
    rows = {f"2024-{month:02d}": (stayed, left) for month in range(1, count + 1)}
    needed = max(3, ceil(min_rows / (stayed + left)), ceil(FEW / left))

    assert window(rows, min_rows=min_rows).missing == max(0, needed - count)


@pytest.mark.parametrize(("months", "missing"), [(0, 3), (1, 2), (2, 1), (3, 0)])
def test_one_month_too_few_is_one_missing(months: int, missing: int) -> None:
    rows = {f"2024-0{month}": (290, 101) for month in range(1, months + 1)}

    assert window(rows).missing == missing


@pytest.mark.parametrize(("min_rows", "missing"), [(300, 0), (301, 1), (400, 1), (401, 2)])
def test_small_months_are_missing_by_their_size(min_rows: int, missing: int) -> None:
    rows = dict.fromkeys(["2024-01", "2024-02", "2024-03"], (70, 30))

    assert window(rows, min_rows=min_rows).missing == missing


def test_older_months_are_taken_along_where_the_newest_are_small() -> None:
    rows = {"2024-01": (300, 91), "2024-02": (200, 50), "2024-03": (30, 10), "2024-04": (30, 10)}

    assert window(rows, months=2).months == ("2024-02", "2024-03", "2024-04")


def test_where_few_leave_older_months_are_taken_along_until_twenty_have_left() -> None:
    rows = {f"2024-{month:02d}": (1990, 5) for month in range(1, 7)}

    assert window(rows).months == ("2024-03", "2024-04", "2024-05", "2024-06")


def test_a_month_of_one_label_is_answered_by_one_more() -> None:
    assert window({"2024-01": (400, 0), "2024-02": (400, 0), "2024-03": (400, 0)}) == Window(
        ("2024-01", "2024-02", "2024-03"), 1
    )


def test_the_same_persons_in_three_months_are_no_more_evidence_than_in_one() -> None:
    rows = dict.fromkeys(["2024-01", "2024-02", "2024-03"], (150, 50))
    same, others = np.tile(np.arange(200), 3), np.arange(600)

    assert window(rows, keys=others).missing == 0
    assert window(rows, keys=same) == Window(("2024-01", "2024-02", "2024-03"), 2)  # 200 persons in 3: 300 in 4.5


def test_heavy_rows_are_counted_for_what_they_tell() -> None:
    rows = dict.fromkeys(["2024-01", "2024-02", "2024-03"], (90, 30))
    weights = np.where(np.arange(360) % 10 == 0, 10.0, 1.0)
    worth = weights.sum() ** 2 / np.square(weights).sum()
    assert worth < 120

    assert window(rows, weights=weights).missing == ceil(3 * 300 / worth) - 3
    assert window(rows).missing == 0


def test_rows_without_weight_are_in_no_month() -> None:
    rows = dict.fromkeys(["2024-01", "2024-02", "2024-03", "2024-04"], (150, 50))

    assert window(rows, weights=(np.arange(800) < 600).astype(float)).months == ("2024-01", "2024-02", "2024-03")


# -------------------------------------------------------------------------------------------------------- which attempt


def test_the_first_question_about_a_champion_is_attempt_1() -> None:
    assert attempt_of(asked("now"), []) == 1


@given(history=histories, question=questions)
def test_a_question_keeps_its_number_whatever_was_asked_since(
    history: list[tuple[Question, Verdict]], question: Question
) -> None:
    number = attempt_of(question, history)

    later = [*history, (question, Verdict.FAIL), (asked("later", str(question["champion"])), Verdict.PASS)]
    assert attempt_of(question, later) == number


@given(history=histories, question=questions)
def test_unknown_spends_nothing(history: list[tuple[Question, Verdict]], question: Question) -> None:
    told = [(other, verdict) for other, verdict in history if verdict is not Verdict.UNKNOWN]

    assert attempt_of(question, history) == attempt_of(question, told)


@given(history=histories)
def test_each_other_question_about_the_champion_counts_once(history: list[tuple[Question, Verdict]]) -> None:
    about = {q["data"] for q, verdict in history if q["champion"] == "a" and verdict is not Verdict.UNKNOWN}

    assert attempt_of(asked("new"), history) == 1 + len(about)


@pytest.mark.parametrize("verdict", [Verdict.PASS, Verdict.FAIL])
def test_an_answer_of_either_kind_spends_one(verdict: Verdict) -> None:
    assert attempt_of(asked("now"), [(asked("before"), verdict)]) == 2


def test_another_champion_has_a_budget_of_its_own() -> None:
    assert attempt_of(asked("now", "b"), [(asked("before", "a"), Verdict.FAIL)]) == 1
