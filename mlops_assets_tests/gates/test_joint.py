"""The joint test is exact, sees what no column shows, and depends on nothing but the rows and the seed."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom

from mlops_assets.gates.embedding import Column, embed, encode
from mlops_assets.gates.joint import deal, differences, joint_move, tail_p, worst

PERMUTATIONS = 199


def flags(ones: Sequence[int], sizes: Sequence[int]) -> tuple[dict[str, Column], np.ndarray]:
    """A column of as many yes on each side, pooled, and which rows are current."""
    sides = [["yes"] * yes + ["no"] * (size - yes) for yes, size in zip(ones, sizes, strict=True)]
    return {"flag": np.array(sides[0] + sides[1], dtype=object)}, np.arange(sum(sizes)) >= sizes[0]


def sample(seed: int, *, rows: int = 150, slope: float = 0.0) -> dict[str, Column]:
    """Numbers that are related by `slope`, and levels."""
    rng = np.random.default_rng(seed)
    first, noise = rng.normal(size=(2, rows))
    related = slope * first + np.sqrt(1 - slope**2) * noise
    return {"first": first, "second": related, "kind": rng.choice(np.array(["a", "b", "c"], dtype=object), size=rows)}


def both(then: dict[str, Column], now: dict[str, Column]) -> tuple[dict[str, Column], np.ndarray]:
    """Pooled columns, and which rows are current."""
    pooled = {name: np.concatenate([then[name], now[name]]) for name in then}
    return pooled, np.arange(len(pooled["first"])) >= len(then["first"])


@pytest.mark.parametrize("ones", [(6, 8), (4, 10), (9, 9), (3, 12)])
def test_a_flag_has_the_p_value_that_counting_all_deals_gives(ones: tuple[int, int]) -> None:
    sizes, permutations = (18, 14), 4000
    columns, current = flags(ones, sizes)

    p_value = joint_move(columns, current, permutations=permutations, seed=3).p_value

    drawn = hypergeom(sum(sizes), sum(ones), sizes[1])
    yes = np.arange(sum(ones) + 1)
    as_far = np.abs(yes - drawn.mean()) >= abs(ones[1] - drawn.mean()) - 1e-9
    exact = drawn.pmf(yes)[as_far].sum()
    assert p_value == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / permutations) + 1 / permutations)


def test_equal_rows_ring_as_often_as_the_p_value_says() -> None:
    cases = 200
    p_values = np.array(
        [
            joint_move(*both(sample(seed, rows=90), sample(10_000 + seed, rows=45)), permutations=99, seed=seed).p_value
            for seed in range(cases)
        ]
    )

    for alpha in (0.05, 0.2, 0.5):
        error = np.sqrt(alpha * (1 - alpha) / cases)
        assert (p_values <= alpha).mean() == pytest.approx(alpha, abs=4 * error)


def test_a_relation_that_turned_is_seen_and_named_though_each_column_is_as_before() -> None:
    move = joint_move(*both(sample(1, slope=0.8), sample(2, slope=-0.8)), permutations=PERMUTATIONS, seed=1)

    assert move.p_value < 1e-4
    assert set(move.columns) == {"first", "second"}
    assert move.words == "first with second"


def test_a_spread_that_grew_is_seen() -> None:
    wider = sample(2)
    wider["first"] = wider["first"] * 2

    assert joint_move(*both(sample(1), wider), permutations=PERMUTATIONS, seed=1).p_value < 0.01


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_the_order_of_rows_and_columns_changes_nothing(seed: int) -> None:
    columns, current = both(sample(1), sample(2))
    order = np.random.default_rng(seed).permutation(current.size)
    shuffled = {name: columns[name][order] for name in ("kind", "second", "first")}

    moves = [joint_move(*rows, permutations=49, seed=5) for rows in ((columns, current), (shuffled, current[order]))]

    assert moves[0] == moves[1]


@given(seed=st.integers(0, 2**32 - 1), factor=st.floats(0.01, 100), shift=st.floats(-100, 100))
@settings(max_examples=15, deadline=None)
def test_the_unit_in_which_both_samples_are_told_changes_nothing(seed: int, factor: float, shift: float) -> None:
    columns, current = both(sample(seed), sample(seed + 1))
    other = columns | {"first": columns["first"].astype(float).round(2) * factor + shift}
    columns |= {"first": columns["first"].astype(float).round(2)}

    plain, told_otherwise = (joint_move(rows, current, permutations=49, seed=5) for rows in (columns, other))

    assert plain == told_otherwise


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_a_sample_against_itself_is_as_near_as_can_be(seed: int) -> None:
    move = joint_move(*both(sample(seed), sample(seed)), permutations=49, seed=seed)

    assert move.p_value == 1
    assert move.statistic == pytest.approx(0, abs=1e-3)


@given(seed=st.integers(0, 2**32 - 1), sizes=st.tuples(st.integers(1, 40), st.integers(1, 40)))
@settings(max_examples=30, deadline=None)
def test_rows_are_dealt_as_observed_first_and_then_as_many_by_lot(seed: int, sizes: tuple[int, int]) -> None:
    current = np.arange(sum(sizes)) >= sizes[0]

    dealt = deal(current, permutations=20, seed=seed)

    assert (dealt[0] == current).all()
    assert set(dealt.sum(axis=1)) == {sizes[1]}


def test_each_row_is_dealt_equally_often() -> None:
    dealt = deal(np.arange(30) >= 20, permutations=3000, seed=2)[1:]

    assert dealt.mean(axis=0) == pytest.approx(1 / 3, abs=5 * np.sqrt(2 / 9 / 3000))


def test_differences_have_unit_variance_under_chance() -> None:
    points = np.random.default_rng(4).normal(size=(200, 3))
    points = (points - points.mean(axis=0)) / points.std(axis=0)

    distances = differences(points, deal(np.arange(200) >= 150, permutations=4000, seed=1))

    assert np.square(distances[1:]).mean(axis=0) == pytest.approx(1, abs=0.1)


def test_the_p_value_counts_the_observed_and_all_that_are_as_far() -> None:
    dealt = np.repeat(np.arange(20.0), 10)

    assert tail_p(np.append(10.0, dealt)) == (1 + 100) / 201
    assert tail_p(np.append(-1.0, dealt)) == 1


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=12, unique=True))
def test_the_further_the_observed_the_smaller_the_p_value_and_it_is_never_zero(observed: list[float]) -> None:
    dealt = np.random.default_rng(8).exponential(size=399)

    p_values = [tail_p(np.append(far, dealt)) for far in sorted(observed)]

    assert p_values == sorted(p_values, reverse=True)
    assert 0 < min(p_values) <= max(p_values) <= 1


def test_the_tail_goes_on_as_an_exponential_one_does() -> None:
    dealt = np.random.default_rng(8).exponential(size=20_000)

    assert np.log(tail_p(np.append(14.0, dealt))) == pytest.approx(-14, abs=1)


def test_no_block_drowns_another() -> None:
    rng = np.random.default_rng(5)
    small = np.abs(rng.normal(size=(400, 4)))
    small[0] = 4  # what is seen in the small block alone
    large = np.abs(rng.normal(size=(400, 300)))

    statistics = worst(np.hstack([small, large]), ["small"] * 4 + ["large"] * 300)

    assert statistics[0] > np.sort(statistics)[-2]


def test_nothing_that_could_move_is_no_surprise() -> None:
    same: Column = np.full(40, "same", dtype=object)

    for columns in ({}, {"x": same}):
        assert joint_move(columns, np.arange(40) >= 20, permutations=9, seed=1).p_value == 1
    assert joint_move({"x": np.arange(40.0)}, np.zeros(40, dtype=bool), permutations=9, seed=1).p_value == 1


def test_a_copy_of_a_column_adds_no_position() -> None:
    number = np.random.default_rng(1).normal(size=200)
    codes = {name: encode(number) for name in ("x", "y")}
    columns: dict[str, Column] = {"x": number, "y": number}

    kept = embed(codes, columns, score="", smaller=80).coordinates

    assert {one.columns for one in kept if one.block == "values"} == {("x",)}


def test_a_coordinate_that_a_handful_of_rows_would_decide_is_left_out() -> None:
    rare: Column = np.array(["rare"] * 2 + ["often"] * 198, dtype=object)

    assert embed({"x": encode(rare)}, {"x": rare}, score="", smaller=80).coordinates == ()
    assert joint_move({"x": rare}, np.arange(200) >= 120, permutations=9, seed=1).p_value == 1
