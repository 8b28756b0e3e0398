"""A quiet year of customers who come back every month: what only ages, and who only returns, is no news to any gate."""

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.slow

Played = Any  # `Simulated` of the drills' conftest

MONTHS, ROWS, LEAVING = 12, 2_000, 0.03


@pytest.fixture(scope="module")
def year(simulated: Callable[..., Played]) -> Played:
    """A quiet year of a panel of which 3 % leave a month. To be read only."""
    options = ["--world", "panel", "--leaving", str(LEAVING), "--rows", str(ROWS)]
    return simulated("quiet", months=MONTHS, options=options)


@pytest.fixture(scope="module")
def served(year: Played) -> list[dict[str, Any]]:
    """The months after that of the first champion, or all if the sample had one."""
    crowned = next((number for number, month in enumerate(year.months) if month["champion"]), None)
    assert crowned is not None, [training["why"] for month in year.months for training in month["trainings"]]
    months: list[dict[str, Any]] = year.months
    return months[crowned + 1 if months[crowned]["promoted"] else crowned :]


def test_a_panel_has_a_champion_within_six_months(served: list[dict[str, Any]]) -> None:
    assert len(served) >= MONTHS - 6


def test_no_gate_rings_in_a_quiet_year_of_returning_customers(served: list[dict[str, Any]]) -> None:
    for gate in ("drift", "outcomes"):
        assert [(month["batch"], month[f"{gate}_why"]) for month in served if month[gate] == "FAIL"] == []


def test_a_quiet_year_of_returning_customers_trains_nothing_after_the_first_champion(
    served: list[dict[str, Any]],
) -> None:
    assert [month["trainings"] for month in served if month["trainings"]] == []
    assert len({month["champion"] for month in served}) == 1


def test_nobody_is_called_in_a_quiet_year_of_returning_customers(served: list[dict[str, Any]]) -> None:
    assert [title for month in served for title in month["alerts"]] == []
