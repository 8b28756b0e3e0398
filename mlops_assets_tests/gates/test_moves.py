"""Each test of a column gives the p-value that its definition gives."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2_contingency, ks_2samp

from mlops_assets.gates import moves
from mlops_assets.gates.drift import assess_drift


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


def test_new_levels_are_as_surprising_as_the_mass_that_a_sample_leaves_unseen_makes_them() -> None:
    one_row_of_fifty, levels = moves.unseen_move(counts((100, 49), (1, 0), (0, 1)))

    unseen_mass = (1 + 1) / (101 + 1)
    assert levels == ("level 002",)
    assert one_row_of_fifty.p_value == pytest.approx(1 - np.exp(-50 * unseen_mass))


def test_new_levels_are_named_by_their_frequency() -> None:
    assert moves.unseen_move(counts((9, 9), (0, 2), (0, 5)))[1] == ("level 002", "level 001")


def test_a_column_pays_for_each_test_that_it_is_put_to() -> None:
    rng = np.random.default_rng(6)
    then, now = (pd.DataFrame({"x": np.append(rng.normal(by, 1, rows), np.nan)}) for by, rows in ((0, 300), (0.3, 200)))

    (finding,) = assess_drift(then, now, alpha=0.01).findings

    alone = ks_2samp(then.x.dropna(), now.x.dropna(), method="asymp").pvalue
    assert finding.p_value == pytest.approx(2 * alone)


def test_the_effect_of_numbers_is_in_standard_deviations() -> None:
    values = np.random.default_rng(9).normal(size=500)

    move = moves.distribution_move(values, values + values.std() / 2)

    assert move.effect == pytest.approx(0.5)


def test_a_share_below_a_tenth_is_told_with_a_decimal() -> None:
    assert [moves.percent(share) for share in (0, 0.004, 0.099, 0.1, 1)] == ["0 %", "0.4 %", "9.9 %", "10 %", "100 %"]
