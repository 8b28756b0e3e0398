"""A question has one number for ever, and months that cannot answer say how many more are needed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.gates.asking import Question, attempt_of, months_to_compare
from mlops_assets.gates.verdict import Verdict

names = st.sampled_from([f"2024-{month:02d}" for month in range(1, 13)])
sizes = st.dictionaries(names, st.integers(0, 500))
questions = st.builds(
    lambda champion, data: {"champion": champion, "data": data}, st.sampled_from("ab"), st.text("xyz", max_size=1)
)
histories = st.lists(st.tuples(questions, st.sampled_from(list(Verdict))), max_size=8)


def asked(data: str, champion: str = "a") -> Question:
    return {"champion": champion, "data": data}


# ------------------------------------------------------------------------------------------------------- which months


@given(rows=sizes, after=names, months=st.integers(1, 4), min_rows=st.integers(0, 900))
def test_the_months_are_newer_than_the_champion_enough_and_no_more_than_needed(
    rows: dict[str, int], after: str, months: int, min_rows: int
) -> None:
    window = months_to_compare(rows, after=after, months=months, min_rows=min_rows)

    assert all(month > after and rows[month] > 0 for month in window.months)
    if window.missing == 0:
        assert len(window.months) >= months
        assert sum(rows[month] for month in window.months) >= min_rows
        fewer = window.months[1:]
        assert len(fewer) < months or sum(rows[month] for month in fewer) < min_rows


@given(rows=sizes, after=names, months=st.integers(1, 4))
def test_so_many_months_more_as_are_missing_are_enough(rows: dict[str, int], after: str, months: int) -> None:
    window = months_to_compare(rows, after=after, months=months, min_rows=0)

    later = {f"2025-{month:02d}": 100 for month in range(1, window.missing + 1)}
    assert months_to_compare(rows | later, after=after, months=months, min_rows=0).missing == 0


@pytest.mark.parametrize(("months", "missing"), [(2, 1), (3, 0)])
def test_one_month_too_few_is_one_missing(months: int, missing: int) -> None:
    rows = {f"2024-0{month}": 391 for month in range(1, months + 1)}

    assert months_to_compare(rows, after="2023-12", months=3, min_rows=300).missing == missing


@pytest.mark.parametrize(("min_rows", "missing"), [(300, 0), (301, 1), (400, 1), (401, 2)])
def test_small_months_are_missing_by_their_size(min_rows: int, missing: int) -> None:
    rows = {"2024-01": 100, "2024-02": 100, "2024-03": 100}

    assert months_to_compare(rows, after="2023-12", months=3, min_rows=min_rows).missing == missing


def test_older_months_are_taken_along_where_the_newest_are_small() -> None:
    rows = {"2024-01": 391, "2024-02": 250, "2024-03": 40, "2024-04": 40}

    window = months_to_compare(rows, after="2023-12", months=2, min_rows=300)

    assert window.months == ("2024-02", "2024-03", "2024-04")


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
