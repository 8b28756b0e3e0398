"""After a batch changed or came late, what depends on it is made again: once, whatever the order, and no more."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.acceptances import CHANGE
from mlops_assets.followups import AFFECTED, FollowUp, changes, followups
from mlops_assets.history import Accepted, Made

MONTHS = [f"2024-{month:02d}" for month in range(1, 7)]
LANDINGS = st.lists(
    st.tuples(st.sampled_from(["score", "learn"]), st.sampled_from(MONTHS), st.sampled_from("abc")), max_size=12
)


def made(asset: str, batch: str | None, md5: str, inputs: dict[str, str] | None = None) -> Made:
    """A materialization of which nothing matters but what it is of, and of what it was made."""
    return Made(asset, batch, md5, 1, 1, {}, "", inputs or {}, "run", "job")


class Loop:
    """The jobs as far as they leave a record: what each makes, and from what."""

    def __init__(self) -> None:
        """Nothing was made."""
        self.made: list[Made] = []

    @property
    def features(self) -> dict[str, str]:
        """The newest features of each batch."""
        return {str(one.batch): one.md5 for one in self.made if one.asset == "customer_features"}

    def score(self, batch: str, content: str) -> None:
        """Features of a month's file, and the report that judges them."""
        self.made.append(made("customer_features", batch, f"{content} of {batch}"))
        self.rescore(batch)

    def rescore(self, batch: str) -> None:
        """The report again, from all features that are there."""
        seen = [digest for month, digest in sorted(self.features.items()) if month <= batch][-AFFECTED - 1 :]
        self.made.append(made("drift_report", batch, "; ".join(seen)))

    def learn(self, batch: str) -> None:
        """Labels, from the features as they are; none without."""
        if batch in self.features:
            inputs = {f"customer_features@{batch}": self.features[batch]}
            self.made.append(made("labelled_customers", batch, "labels", inputs))

    def run(self, follow: FollowUp) -> None:
        """What a follow-up asks for."""
        (self.learn if follow.job == "learn" else self.rescore)(follow.batch)


def played(landings: Sequence[tuple[str, str, str]]) -> Loop:
    """A loop in which files landed in this order."""
    loop = Loop()
    for job, batch, content in landings:
        if job == "score":
            loop.score(batch, content)
        else:
            loop.learn(batch)
    return loop


def test_nothing_follows_from_nothing_nor_from_what_is_of_no_batch() -> None:
    assert followups([]) == []
    assert followups([made("training_set", None, "a"), made("training_set", None, "b")]) == []


@given(st.lists(st.sampled_from("abc"), min_size=len(MONTHS), max_size=len(MONTHS)))
def test_months_that_land_in_order_ask_for_nothing_more(contents: list[str]) -> None:
    loop = Loop()
    for batch, content in zip(MONTHS, contents, strict=True):
        loop.score(batch, content)
        loop.learn(batch)
        loop.score(batch, content)  # delivered again, the same bytes
    assert followups(loop.made) == []


def test_a_month_with_other_bytes_is_learned_again_and_the_two_after_it_are_judged_again() -> None:
    loop = played([("score", month, "a") for month in MONTHS] + [("learn", MONTHS[1], "")])
    loop.score(MONTHS[1], "b")
    assert [(follow.job, follow.batch) for follow in followups(loop.made)] == [
        ("learn", MONTHS[1]),
        ("rescore", MONTHS[2]),
        ("rescore", MONTHS[3]),
    ]


def test_a_month_that_comes_late_has_the_two_after_it_judged_with_it() -> None:
    late = played([("score", month, "a") for month in (MONTHS[0], *MONTHS[2:], MONTHS[1])])
    assert [(follow.job, follow.batch) for follow in followups(late.made)] == [
        ("rescore", MONTHS[2]),
        ("rescore", MONTHS[3]),
    ]


def test_a_month_without_a_report_is_not_judged_again() -> None:
    loop = played([("score", MONTHS[0], "a")])
    loop.made.append(made("customer_features", MONTHS[1], "b"))
    loop.score(MONTHS[0], "b")
    assert followups(loop.made) == []


@given(LANDINGS)
def test_the_same_record_asks_for_the_same_and_nothing_twice(landings: list[tuple[str, str, str]]) -> None:
    loop = played(landings)
    asked = followups(loop.made)
    assert asked == followups(list(loop.made))
    assert len({follow.run_key for follow in asked}) == len(asked)


@given(LANDINGS)
def test_what_is_asked_for_once_it_ran_is_not_asked_for_again(landings: list[tuple[str, str, str]]) -> None:
    loop = played(landings)
    for follow in followups(loop.made):
        loop.run(follow)
    assert followups(loop.made) == []


@given(LANDINGS)
def test_whatever_the_order_the_end_is_that_of_the_same_months_in_order(landings: list[tuple[str, str, str]]) -> None:
    loop = played(landings)
    for follow in followups(loop.made):
        loop.run(follow)
    in_order = Loop()
    for batch, digest in sorted(loop.features.items()):
        in_order.score(batch, digest.split()[0])
    reports, expected = (
        {one.batch: one.md5 for one in each.made if one.asset == "drift_report"} for each in (loop, in_order)
    )
    assert reports == expected
    labels = {one.batch: one.inputs for one in loop.made if one.asset == "labelled_customers"}
    assert labels == {batch: {f"customer_features@{batch}": loop.features[str(batch)]} for batch in labels}


@given(LANDINGS)
def test_a_job_that_failed_is_asked_for_under_the_key_it_had(landings: list[tuple[str, str, str]]) -> None:
    loop = played(landings)
    before = followups(loop.made)
    loop.made.append(made("raw_customers", MONTHS[0], "another run's"))
    assert followups(loop.made) == before


@given(st.lists(st.sampled_from("ab"), min_size=1))
def test_a_batch_changed_as_often_as_its_bytes_did(contents: list[str]) -> None:
    found = changes([made("customer_features", MONTHS[0], content) for content in contents], "customer_features")
    assert found[MONTHS[0]].count == 1 + sum(one != other for one, other in pairwise(contents))
    assert found[MONTHS[0]].digest == contents[-1]
    assert changes([made("raw_customers", MONTHS[0], "a")], "customer_features") == {}


def accepted_labels(md5: str, when: str) -> Accepted:
    """A person holds outcomes of the first month for evidence."""
    return Accepted("outcomes", MONTHS[0], "ada", "checked", md5=md5, when=when)


def test_accepted_outcomes_are_learned_again_once_so_that_the_champion_is_judged_by_them() -> None:
    judged = [
        replace(made("coverage_report", MONTHS[0], "report"), when="1"),
        replace(made("labelled_customers", MONTHS[0], "labels"), when="2"),
    ]
    (asked,) = followups(judged, [accepted_labels("labels", "3")])
    assert (asked.job, asked.batch) == ("learn", MONTHS[0])
    assert followups([*judged, replace(judged[0], when="4")], [accepted_labels("labels", "3")]) == []
    assert followups(judged, [accepted_labels("other labels", "3")]) == []


# ------------------------------------------------------------------------------------------------- accepted changes


def judged_at(batch: str, when: str) -> Made:
    """The report of a batch, made at that time."""
    return replace(made("drift_report", batch, f"report of {batch} at {when}"), when=when)


def accepted(since: str, *batches: str, when: str, is_taken_back: bool = False) -> Accepted:
    """A record about the change since a batch."""
    return Accepted(CHANGE, since, "ann", "why", batches=batches, is_taken_back=is_taken_back, when=when)


REPORTS = [judged_at(month, f"1{number}") for number, month in enumerate(MONTHS, start=1)]


def test_after_an_acceptance_the_months_since_that_do_not_belong_to_it_are_judged_anew_once() -> None:
    record = accepted(MONTHS[1], MONTHS[2], when="20")
    asked = followups(REPORTS, changes_accepted=[record])
    assert [(follow.job, follow.batch) for follow in asked] == [
        ("rescore", month) for month in (MONTHS[1], MONTHS[3], MONTHS[4], MONTHS[5])
    ]
    assert followups(REPORTS, changes_accepted=[record]) == asked
    assert followups([*REPORTS, *(judged_at(follow.batch, "21") for follow in asked)], changes_accepted=[record]) == []


def test_the_newest_month_is_judged_anew_though_it_belongs_to_the_change() -> None:
    asked = followups(REPORTS, changes_accepted=[accepted(MONTHS[3], *MONTHS[3:], when="20")])
    assert [follow.batch for follow in asked] == [MONTHS[5]]


def test_a_month_that_was_judged_after_the_acceptance_is_not_judged_anew() -> None:
    assert followups(REPORTS, changes_accepted=[accepted(MONTHS[1], MONTHS[1], when="10")]) == []


def test_after_taking_back_the_newest_month_is_judged_anew_and_after_accepting_again_under_another_key() -> None:
    first = accepted(MONTHS[4], MONTHS[4], when="20")
    back = replace(first, is_taken_back=True, when="30")
    (once,) = followups(REPORTS, changes_accepted=[first])
    (twice,) = followups([*REPORTS, judged_at(MONTHS[5], "21")], changes_accepted=[first, back])
    (thrice,) = followups(
        [*REPORTS, judged_at(MONTHS[5], "31")], changes_accepted=[first, back, replace(first, when="40")]
    )
    assert {once.batch, twice.batch, thrice.batch} == {MONTHS[5]}
    assert len({once.run_key, twice.run_key, thrice.run_key}) == 3


def test_a_month_that_is_judged_again_for_another_reason_is_not_asked_for_twice() -> None:
    loop = played([("score", month, "a") for month in MONTHS])
    loop.score(MONTHS[4], "b")
    asked = followups(loop.made, changes_accepted=[accepted(MONTHS[1], MONTHS[1], when="20")])
    assert [follow.batch for follow in asked].count(MONTHS[5]) == 1
