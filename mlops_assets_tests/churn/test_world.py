"""The world is fair to the table it was fitted on, repeats itself, and its chance belongs to one customer alone."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mlops_assets.churn.world import World, draw, fit_world, inputs, lots, shifted

SOURCE = pd.read_csv(
    Path(__file__).parents[2] / "data" / "source" / "telco_churn.csv", dtype=str, keep_default_na=False
)
LEFT = SOURCE.churn.eq("Yes").to_numpy()
MANY = 20_000  # customers enough for a share to be known within .015
IDS = pd.Series([f"C{number:05d}" for number in range(MANY)])
names = st.lists(st.text(alphabet="CS0123456789-", min_size=1, max_size=8), unique=True, min_size=2, max_size=20)
chances = st.floats(0.001, 0.999)


@pytest.fixture(scope="module")
def world() -> World:
    return fit_world(SOURCE)


@pytest.fixture(scope="module")
def truth(world: World) -> np.ndarray:
    """Probability of each source row."""
    return world.probability(SOURCE)


def test_every_customer_may_stay_and_may_leave(truth: np.ndarray) -> None:
    assert truth.shape == (len(SOURCE),)
    assert ((truth > 0) & (truth < 1)).all()


@pytest.mark.parametrize("column", ["contract", "internet_service", "senior_citizen", "female", "payment_method"])
def test_the_world_has_as_many_leavers_in_a_segment_as_the_table(truth: np.ndarray, column: str) -> None:
    rates = pd.DataFrame({"left": LEFT, "truth": truth}).groupby(SOURCE[column]).mean()

    assert (rates.left - rates.truth).abs().max() < 0.01


def test_the_world_is_as_uncertain_as_the_best_models_are_out_of_sample(truth: np.ndarray) -> None:
    entropy = -(truth * np.log(truth) + (1 - truth) * np.log(1 - truth)).mean()

    # docs/model.md: no model of these columns was below .41; a world far below it would be one that learned by heart.
    assert entropy == pytest.approx(0.4105, abs=0.01)


def test_the_same_table_gives_the_same_world(truth: np.ndarray) -> None:
    assert np.array_equal(fit_world(SOURCE).probability(SOURCE), truth)


def test_a_customers_truth_does_not_depend_on_the_others(world: World, truth: np.ndarray) -> None:
    assert world.probability(SOURCE.iloc[[5]])[0] == pytest.approx(truth[5], abs=1e-12)


def test_the_world_sees_the_models_columns_and_no_key_or_label() -> None:
    columns = set(inputs(SOURCE.assign(customer_id="C1")))

    assert columns == {*SOURCE.columns.drop("churn"), "num_optional_services"}


def test_a_blank_cell_is_no_value() -> None:
    X = inputs(SOURCE.head(1).assign(contract="", monthly_charges=""))

    assert X[["contract", "monthly_charges"]].isna().all(axis=None)


@given(chance=chances, by=st.floats(-3, 3))
def test_a_shift_moves_the_log_odds_by_its_size(chance: float, by: float) -> None:
    (after,) = shifted(np.array([chance]), by)

    assert np.log(after / (1 - after)) - np.log(chance / (1 - chance)) == pytest.approx(by, abs=1e-9)


@given(chance=chances)
def test_no_shift_changes_no_bit(chance: float) -> None:
    assert shifted(np.array([chance]), 0.0)[0] == chance


def test_lots_are_uniform() -> None:
    from scipy.stats import kstest

    assert kstest(lots(IDS, batch="2024-07", purpose="leaves", seed=1), "uniform").pvalue > 0.001


@settings(max_examples=50)
@given(ids=names, seed=st.integers(0, 2**32), data=st.data())
def test_a_lot_belongs_to_its_customer_whoever_stands_beside(ids: list[str], seed: int, data: st.DataObject) -> None:
    customers = pd.Series(ids)
    order = data.draw(st.permutations(range(len(ids))))[1:]
    whole = lots(customers, batch="2024-07", purpose="leaves", seed=seed)

    assert np.array_equal(
        lots(customers.iloc[np.array(order)], batch="2024-07", purpose="leaves", seed=seed), whole[order]
    )


@pytest.mark.parametrize("other", [{"batch": "2024-08"}, {"purpose": "kept"}, {"seed": 2}])
def test_another_batch_purpose_or_seed_is_other_luck(other: dict[str, str | int]) -> None:
    known = {"batch": "2024-07", "purpose": "leaves", "seed": 1}
    first, second = (lots(IDS, **chance) for chance in (known, known | other))  # type: ignore[arg-type]

    # The standard error of a correlation of independent lots is 1 / sqrt(n).
    assert abs(np.corrcoef(first, second)[0, 1]) < 4 / np.sqrt(MANY)


def test_as_many_leave_as_their_probability_says() -> None:
    leavers = (draw(np.full(MANY, 0.3), IDS, batch="2024-07", seed=1) == "Yes").mean()

    assert leavers == pytest.approx(0.3, abs=4 * np.sqrt(0.3 * 0.7 / MANY))


@given(low=chances, high=chances)
def test_whoever_leaves_at_a_lower_probability_leaves_at_a_higher_one(low: float, high: float) -> None:
    assume(low < high)
    some = IDS.head(200)
    before, after = (draw(np.full(200, p), some, batch="2024-07", seed=1) == "Yes" for p in (low, high))

    assert not (before & ~after).any()
