"""What the reference never showed is as surprising as counting says."""

from itertools import combinations
from math import comb

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import fisher_exact

from mlops_assets.gates import news
from mlops_assets.gates.columns import compared


def counts(*pairs: tuple[int, int]) -> pd.DataFrame:
    levels = [f"level {number:03}" for number in range(len(pairs))]
    return pd.DataFrame(pairs, columns=["reference", "current"], index=levels, dtype=float)


def test_values_above_the_range_are_as_rare_as_all_ways_to_deal_the_rows_say() -> None:
    values = np.arange(9.0)
    current = [8, 7, 2]  # the two largest of nine are of the batch

    move = news.range_move(np.delete(values, current), values[current])

    deals = [set(deal) for deal in combinations(range(9), 3)]
    at_the_top = np.mean([{8, 7} <= deal for deal in deals])
    assert move.p_value == pytest.approx(2 * at_the_top)
    assert move.words == "67 % above 6"


@given(reference=st.integers(1, 60), inside=st.integers(0, 30), beyond=st.integers(1, 30))
def test_values_below_the_range_have_the_chance_that_binomials_give(reference: int, inside: int, beyond: int) -> None:
    then, now = np.arange(1.0, reference + 1), np.append(np.full(inside, 1.0), np.arange(-beyond, 0.0))

    chance = comb(inside + beyond, beyond) / comb(reference + inside + beyond, beyond)
    assert news.range_move(then, now).p_value == pytest.approx(min(1, 2 * chance))


def test_values_at_the_edge_of_the_range_are_inside_it() -> None:
    assert news.range_move(np.array([1.0, 5.0]), np.array([1.0, 5.0, 5.0])).p_value == 1


def test_a_known_range_is_no_news_for_a_batch_without_values() -> None:
    assert news.range_move(np.array([1.0]), np.array([])).p_value == 1


def test_missing_values_are_judged_by_fishers_exact_test() -> None:
    then, now = np.array([np.nan] * 2 + [1.0] * 98), np.array([np.nan] * 5 + [1.0] * 45)

    move = news.missing_move(then, now)

    assert move.p_value == pytest.approx(fisher_exact([[2, 98], [5, 45]]).pvalue)
    assert move.words == "missing 2.0 % -> 10 %"
    assert move.effect == pytest.approx(0.08)


@given(known=st.integers(2, 500), rows=st.integers(0, 100), new=st.integers(1, 30))
def test_levels_unknown_to_a_closed_list_have_the_chance_to_be_all_of_the_batch(
    known: int, rows: int, new: int
) -> None:
    move = news.unseen_move(counts((known, rows), (0, new)))

    assert move.p_value == pytest.approx(((rows + new) / (known + rows + new + 1)) ** new)
    assert move.levels == ("level 001",)


def test_new_levels_are_less_of_a_surprise_the_more_levels_the_reference_holds_once() -> None:
    p_values = [news.unseen_move(counts((100, 45), *[(1, 0)] * once, (0, 5))).p_value for once in (0, 1, 5, 20)]

    assert p_values == sorted(p_values)
    assert p_values[0] < 0.01
    assert p_values[-1] > 0.5


def test_new_levels_are_named_by_their_frequency() -> None:
    assert news.unseen_move(counts((9, 9), (0, 2), (0, 5))).levels == ("level 002", "level 001")


def test_whole_months_that_became_fractions_are_news_though_they_are_in_range() -> None:
    then, now = np.arange(400.0) % 60, np.append(np.arange(190.0) % 60, np.arange(10) / 10 + 30.05)

    aspects = {move.aspect: move.p_value for move in news.news_moves(compared("tenure", *map(pd.Series, (then, now))))}

    # That the ten of 600 rows are all of the batch's 200.
    assert aspects["fraction"] == pytest.approx(comb(200, 10) / comb(600, 10))
    assert aspects["range"] == 1


def test_fractions_that_the_reference_holds_too_are_no_news() -> None:
    then, now = np.append(np.arange(399.0), 0.5), np.arange(200.0) + 0.5

    assert news.fraction_move(then, now).p_value == 1


@pytest.mark.parametrize("often", [1, 6, 50])
def test_numbers_are_never_counted_like_levels_however_often_each_occurs(often: int) -> None:
    price = compared("price", pd.Series(np.repeat(np.arange(100.0), often)), pd.Series(np.arange(98.0) + 0.5))

    assert {move.aspect for move in news.news_moves(price)} == {"range", "fraction"}
