"""The test of a column's shape gives the p-value that its definition gives."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2_contingency, ks_2samp

from mlops_assets.gates import moves
from mlops_assets.gates.drift import BY_NEWS, BY_SHAPE, assess_drift
from mlops_assets.gates.news import missing_move


def counts(*pairs: tuple[int, int]) -> pd.DataFrame:
    levels = [f"level {number:03}" for number in range(len(pairs))]
    return pd.DataFrame(pairs, columns=["reference", "current"], index=levels, dtype=float)


def test_levels_are_compared_as_scipy_compares_a_contingency_table() -> None:
    table = counts((100, 30), (50, 30), (60, 20))

    move, expected = moves.level_move(table), chi2_contingency(table)

    assert (move.statistic, move.p_value) == pytest.approx((expected.statistic, expected.pvalue))


def test_the_effect_of_levels_is_the_share_of_rows_that_changed_level() -> None:
    assert moves.level_move(counts((50, 20), (50, 80))).effect == pytest.approx(0.3)


def test_levels_too_thin_to_count_are_judged_together() -> None:
    thin = [(1, 0)] * 200 + [(0, 1)] * 100

    assert moves.level_move(counts(*thin)).p_value == 1
    assert moves.level_move(counts((100, 50), *thin)).p_value == 1


def test_a_column_pays_for_each_test_by_the_share_that_its_question_has() -> None:
    rng = np.random.default_rng(6)
    samples = [np.append(rng.normal(by, 1, rows), np.nan) for by, rows in ((0, 300), (0.4, 200))]

    shape = ks_2samp(samples[0][:-1], samples[1][:-1], method="asymp").pvalue
    missing = missing_move(*samples).p_value
    findings = assess_drift(*(pd.DataFrame({"x": side}) for side in samples), alpha=0.01).findings

    (finding,) = (one for one in findings if one.column == "x")
    # Two tests of news that may have any p: what is missing, and what is beyond the range. Fractions pay apart.
    assert finding.p_value == pytest.approx(min(shape / BY_SHAPE, 2 * missing / BY_NEWS))


def test_the_effect_of_numbers_is_in_standard_deviations() -> None:
    values = np.random.default_rng(9).normal(size=500)

    move = moves.distribution_move(values, values + values.std() / 2)

    assert move.effect == pytest.approx(0.5)


def test_a_share_below_a_tenth_is_told_with_a_decimal() -> None:
    assert [moves.percent(share) for share in (0, 0.004, 0.099, 0.1, 1)] == ["0 %", "0.4 %", "9.9 %", "10 %", "100 %"]


def test_a_change_is_told_as_a_person_would_and_not_where_it_means_nothing() -> None:
    told = [moves.changed(*pair) for pair in ((50, 62), (50, 46), (-50, -46), (50, 50.1), (0, 5), (1, 100))]

    assert told == ["up 24 %, ", "down 8 %, ", "up 8 %, ", "", "", ""]
