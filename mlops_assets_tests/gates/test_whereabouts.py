"""Where a column moved most is named, if it is anywhere more than elsewhere."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mlops_assets.gates.columns import Compared, pair
from mlops_assets.gates.moves import count_levels, shape_move
from mlops_assets.gates.news import missing_move, unseen_move
from mlops_assets.gates.whereabouts import where_most


def sample(seed: int, rows: int = 600) -> pd.DataFrame:
    """Prices that depend on the plan, and a region that has nothing to do with them."""
    rng = np.random.default_rng(seed)
    plan = rng.choice(["fiber", "dsl", "none"], size=rows)
    price = np.select([plan == "fiber", plan == "dsl"], [90.0, 60.0], 20.0) + rng.normal(0, 5, size=rows)
    return pd.DataFrame({"price": price, "plan": plan, "region": rng.choice(["n", "s"], size=rows)})


def columns(then: pd.DataFrame, now: pd.DataFrame) -> Mapping[str, Compared]:
    return pair(then, now, None, None)


def test_the_segment_that_became_dearer_is_named_with_its_own_change() -> None:
    now = sample(2)
    now["price"] = now.price.where(now.plan != "fiber", now.price * 1.24)
    both = columns(sample(1), now)

    assert where_most(both["price"], shape_move(both["price"]), both) == "most in plan=fiber (up 24 %)"


def test_what_moved_everywhere_alike_is_placed_nowhere() -> None:
    now = sample(2)
    both = columns(sample(1), now.assign(price=now.price + 15))

    assert where_most(both["price"], shape_move(both["price"]), both) == ""


def test_nothing_is_placed_in_a_segment_of_few_rows() -> None:
    now = sample(2)
    few = now.index < 12
    both = columns(sample(1).assign(shop="a"), now.assign(shop=np.where(few, "b", "a"), price=now.price + 500 * few))

    assert "shop=b" not in where_most(both["price"], shape_move(both["price"]), both)


def test_gaps_are_placed_where_they_are() -> None:
    now = sample(2)
    now["price"] = now.price.mask((now.region == "n") & (now.index % 4 == 0))
    both = columns(sample(1), now)

    told = where_most(both["price"], missing_move(both["price"].reference, both["price"].current), both)

    assert told.startswith("most in region=n (0 % -> 2")


def test_a_new_level_is_placed_where_it_is() -> None:
    now = sample(2)
    now["region"] = now.region.mask((now.plan == "dsl") & (now.index % 3 == 0), "abroad")
    both = columns(sample(1), now)

    told = where_most(both["region"], unseen_move(count_levels(both["region"])), both)

    assert told.startswith("most in plan=dsl (0 % -> 3")
