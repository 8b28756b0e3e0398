"""A broken pipe leaves a mark that no change of customers leaves: repaired, never learned from."""

import numpy as np
import pandas as pd
import pytest

from mlops_assets.gates.attribution import pipe_reason
from mlops_assets.gates.columns import compared
from mlops_assets.gates.drift import Cause, assess_drift

RNG = np.random.default_rng(3)
PRICES = RNG.uniform(18, 120, size=1200).round(2)
MONTHS = RNG.integers(0, 72, size=1200).astype(float)
KINDS = RNG.choice(["Month-to-month", "One year", "Two year"], p=[0.55, 0.2, 0.25], size=1200)


def cause(then: object, now: object) -> tuple[Cause, str]:
    """Cause and words of the finding on one column."""
    frames = pd.DataFrame({"fact": then}), pd.DataFrame({"fact": now})
    found = next(one for one in assess_drift(*frames, alpha=0.01).findings if one.column == "fact")
    return found.cause, found.moved


def some(values: np.ndarray, value: object, every: int = 10) -> pd.Series:
    """Each `every`th value replaced."""
    column = pd.Series(values).astype(object)
    column.iloc[::every] = value
    return column.infer_objects()


BEFORE, AFTER = slice(0, 800), slice(800, 1200)
SCALED = np.where(np.arange(400) % 10 == 0, PRICES[AFTER] * 100, PRICES[AFTER])


@pytest.mark.parametrize(
    ("then", "now", "why"),
    [
        (PRICES[BEFORE], PRICES[AFTER] * 100, "all values times 100"),
        (PRICES[BEFORE], PRICES[AFTER] / 1000, "all values times 0.001"),
        (PRICES[BEFORE], SCALED, "10 % of the values times 100"),
        (PRICES[BEFORE], some(PRICES[AFTER], np.nan), "values got lost"),
        (PRICES[BEFORE], np.full(400, 50.0), "constant"),
        (MONTHS[BEFORE], MONTHS[AFTER] + 0.5, "fractions among whole numbers"),
        (KINDS[BEFORE], np.full(400, "One year"), "constant"),
        (KINDS[BEFORE], np.char.lower(KINDS[AFTER]), "another spelling"),
        (KINDS[BEFORE], some(KINDS[AFTER], "two  YEAR"), "another spelling of 'Two year'"),
        (KINDS[BEFORE], np.char.replace(KINDS[AFTER], "Two year", "24 m"), "'24 m' stands where 'Two year' stood"),
        (KINDS[BEFORE], np.where(KINDS[AFTER] == "One year", "b", "a"), "most levels are unknown"),
        (KINDS[BEFORE], some(KINDS[AFTER], None), "values got lost"),
        (PRICES[BEFORE], PRICES[AFTER].astype(str) + " EUR", "another type"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_pipe_is_told_by_its_mark(then: object, now: object, why: str) -> None:
    told, moved = cause(then, now)

    assert told is Cause.PIPE
    assert why in moved


@pytest.mark.parametrize(
    ("then", "now"),
    [
        (PRICES[BEFORE], PRICES[AFTER] * 1.25),
        (PRICES[BEFORE], PRICES[AFTER] * 2),
        (PRICES[BEFORE], np.append(PRICES[AFTER][:350], np.full(50, 150.0))),
        (MONTHS[BEFORE], MONTHS[AFTER] // 2),
        (MONTHS[BEFORE], np.where(np.arange(400) % 3 == 0, 0.0, MONTHS[AFTER])),
        (KINDS[BEFORE], some(KINDS[AFTER], "Half year", every=5)),
        (KINDS[BEFORE], some(KINDS[AFTER], "Two year", every=3)),
        (some(PRICES[BEFORE], np.nan, every=4), PRICES[AFTER]),
    ],
    ids=["dearer", "twice as dear", "a dear plan", "younger", "new ones", "a contract", "a mix", "gaps filled"],
)
def test_customers_and_prices_that_changed_are_no_broken_pipe(then: object, now: object) -> None:
    assert cause(then, now)[0] is Cause.POPULATION


def test_a_column_that_did_not_move_has_no_reason() -> None:
    assert pipe_reason(compared("fact", pd.Series(PRICES[BEFORE]), pd.Series(PRICES[AFTER])), ()) == ""
