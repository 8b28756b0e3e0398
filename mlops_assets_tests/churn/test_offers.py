"""The lot is fair, belongs to one customer alone, and is undone by the weights."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mlops_assets.churn.offers import CampaignReturn, assign, campaign_return, learning_weight

MANY = 20_000  # customers enough for a share to be known within .015
IDS = pd.Series([f"C{number:05d}" for number in range(MANY)])
ALL = pd.Series(data=True, index=IDS.index)

names = st.lists(st.text(alphabet="CS0123456789-", min_size=1, max_size=8), unique=True, min_size=1, max_size=30)
shares = st.floats(0.01, 0.99)
seeds = st.integers(0, 2**32)


def offered(customer_id: pd.Series, decision: pd.Series, *, batch: str = "2024-07", **knobs: float) -> pd.DataFrame:
    """Assignments with offers on."""
    return assign(
        customer_id,
        decision,
        batch=batch,
        enabled=True,
        control_share=knobs.get("control_share", 0.1),
        seed=int(knobs.get("seed", 11)),
    )


def customers(ids: list[str], decisions: int) -> tuple[pd.Series, pd.Series]:
    """Ids and a decision each, from the bits of `decisions`."""
    passed = [bool(decisions >> place & 1) for place in range(len(ids))]
    return pd.Series(ids), pd.Series(passed, dtype=bool)


# ---------------------------------------------------------------------------------------------- who gets what


@given(ids=names, decisions=st.integers(0, 2**30 - 1), share=shares, seed=seeds)
def test_with_offers_off_nobody_is_assigned_and_every_weight_is_1(
    ids: list[str], decisions: int, share: float, seed: int
) -> None:
    off = assign(*customers(ids, decisions), batch="2024-07", enabled=False, control_share=share, seed=seed)

    assert off.assignment.eq("none").all()
    assert learning_weight(off.assignment, off.assignment_chance).eq(1).all()


@given(ids=names, decisions=st.integers(0, 2**30 - 1), share=shares, seed=seeds)
def test_those_below_the_threshold_get_none_and_those_above_an_offer_or_control(
    ids: list[str], decisions: int, share: float, seed: int
) -> None:
    customer_id, decision = customers(ids, decisions)
    dealt = offered(customer_id, decision, control_share=share, seed=seed)

    assert dealt.assignment.isin(["offer", "control"]).equals(decision)


@given(ids=names, decisions=st.integers(0, 2**30 - 1), share=shares)
def test_a_chance_is_that_of_the_assignment_given_the_decision(ids: list[str], decisions: int, share: float) -> None:
    dealt = offered(*customers(ids, decisions), control_share=share)

    chance = dealt.assignment.map({"control": share, "offer": 1 - share, "none": 1.0})
    assert dealt.assignment_chance.tolist() == chance.tolist()


@given(ids=names, decisions=st.integers(0, 2**30 - 1), seed=seeds, data=st.data())
def test_a_lot_does_not_depend_on_the_order_of_rows(
    ids: list[str], decisions: int, seed: int, data: st.DataObject
) -> None:
    customer_id, decision = customers(ids, decisions)
    order = data.draw(st.permutations(customer_id.index.tolist()))
    shuffled = offered(customer_id[order], decision[order], control_share=0.5, seed=seed)

    pd.testing.assert_frame_equal(shuffled.sort_index(), offered(customer_id, decision, control_share=0.5, seed=seed))


@given(ids=names, decisions=st.integers(0, 2**30 - 1), others=st.integers(0, 2**30 - 1), seed=seeds)
def test_a_lot_does_not_depend_on_other_customers(ids: list[str], decisions: int, others: int, seed: int) -> None:
    customer_id, decision = customers(ids, decisions)
    _, kept = customers(ids, others)
    assume(kept.any())
    alone = offered(customer_id[kept], decision[kept], control_share=0.5, seed=seed)

    pd.testing.assert_frame_equal(alone, offered(customer_id, decision, control_share=0.5, seed=seed)[kept])


@given(low=shares, high=shares)
def test_who_is_control_stays_so_when_the_share_grows(low: float, high: float) -> None:
    low, high = sorted((low, high))
    few, many = (offered(IDS[:200], ALL[:200], control_share=share).assignment.eq("control") for share in (low, high))

    assert many[few].all()


@pytest.mark.parametrize("share", [0.05, 0.1, 0.5])
def test_the_share_held_out_is_the_one_asked_for(share: float) -> None:
    control = offered(IDS, ALL, control_share=share).assignment.eq("control").mean()

    assert abs(control - share) < 4 * np.sqrt(share * (1 - share) / MANY)


@pytest.mark.parametrize("changed", [{"seed": 12}, {"batch": "2024-08"}])
def test_lots_of_another_batch_or_seed_are_independent(changed: dict[str, object]) -> None:
    here = offered(IDS, ALL, control_share=0.5).assignment.eq("control")
    there = offered(IDS, ALL, control_share=0.5, **changed).assignment.eq("control")  # type: ignore[arg-type]

    assert abs((here & there).mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / MANY)


@pytest.mark.parametrize(("share", "everyone"), [(0.0, "offer"), (1.0, "control")])
def test_a_share_of_nobody_or_everybody_leaves_nothing_to_chance(share: float, everyone: str) -> None:
    dealt = offered(IDS, ALL, control_share=share)

    assert dealt.assignment.eq(everyone).all()
    assert dealt.assignment_chance.eq(1).all()


def test_an_empty_batch_gives_an_empty_table() -> None:
    dealt = offered(IDS[:0], ALL[:0])

    assert list(dealt) == ["assignment", "assignment_chance"]
    assert dealt.empty


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_control_share_that_is_no_share_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match=r"batch 2024-07: control_share .* must lie in \[0, 1\]"):
        offered(IDS[:5], ALL[:5], control_share=share)


def test_decisions_of_other_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="batch 2024-07: decisions are not indexed as the customers are"):
        offered(IDS[:5], ALL[5:10])


# ------------------------------------------------------------------------------------------------ what is learned


@given(chance=shares)
def test_who_got_an_offer_teaches_nothing(chance: float) -> None:
    assert learning_weight(pd.Series(["offer"]), pd.Series([chance])).tolist() == [0]


@given(ids=names, decisions=st.integers(0, 2**30 - 1), share=shares)
def test_a_held_out_customer_weighs_the_inverse_of_their_chance(ids: list[str], decisions: int, share: float) -> None:
    dealt = offered(*customers(ids, decisions), control_share=share)
    weight = learning_weight(dealt.assignment, dealt.assignment_chance)

    assert (weight * dealt.assignment_chance)[dealt.assignment.eq("control")].to_numpy() == pytest.approx(1)


def test_weights_restore_the_churn_that_would_have_been_without_offers() -> None:
    # given: everybody who passed would leave, nobody else; an offer keeps all who get one
    passed = IDS.index.to_series() % 4 == 0
    dealt = offered(IDS, passed, control_share=0.2)
    churned = passed & dealt.assignment.ne("offer")

    weight = learning_weight(dealt.assignment, dealt.assignment_chance)

    assert churned.mean() < 0.1
    # The weighted size of the control group varies with its number, a binomial of 5,000 and .2: 4 standard errors.
    assert np.average(churned, weights=weight) == pytest.approx(0.25, abs=0.025)


def test_an_unknown_assignment_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"assignments \['ofer'\] are unknown"):
        learning_weight(pd.Series(["none", "ofer"]), pd.Series([1.0, 1.0]))


@pytest.mark.parametrize("chance", [0.0, -1.0, 1.5, float("nan")])
def test_an_impossible_chance_is_refused(chance: float) -> None:
    with pytest.raises(ValueError, match=r"assignment chances .* are outside \(0, 1\]"):
        learning_weight(pd.Series(["control"]), pd.Series([chance]))


def test_weights_keep_the_index_of_their_rows() -> None:
    weight = learning_weight(pd.Series(["none", "control"], index=[7, 3]), pd.Series([1.0, 0.5], index=[7, 3]))

    assert weight.to_dict() == {7: 1, 3: 2}


# ------------------------------------------------------------------------------------------------- what it brought


def campaign(
    offers: int, controls: int, *, leave: tuple[float, float] = (0.4, 0.6), seed: int = 0, interval: float = 0.95
) -> CampaignReturn:
    """A campaign whose customers leave with these chances, with an offer and without."""
    assignment = pd.Series(["offer"] * offers + ["control"] * controls + ["none"] * 50)
    chance = pd.Series([0.9] * offers + [0.1] * controls + [1.0] * 50)
    risk = np.repeat([*leave, 0.1], [offers, controls, 50])
    label = pd.Series((np.random.default_rng(seed).random(len(risk)) < risk).astype(int))
    return campaign_return(assignment, chance, label, kept_customer_value=100.0, offer_cost=10.0, interval=interval)


def test_an_offer_that_keeps_a_fifth_earns_a_fifth_of_a_customer_less_its_cost() -> None:
    brought = campaign(20_000, 20_000)

    assert brought.kept is not None
    assert brought.per_offer is not None
    assert brought.total is not None
    assert brought.kept.value == pytest.approx(0.2, abs=0.02)
    assert brought.per_offer.value == pytest.approx(100 * brought.kept.value - 10)
    assert brought.total.lower == pytest.approx(20_000 * brought.per_offer.lower)


@given(offers=st.integers(10, 60), controls=st.integers(10, 60), seed=seeds, rate=st.floats(0, 1))
def test_an_interval_holds_its_value_and_has_a_width_even_if_all_stay(
    offers: int, controls: int, seed: int, rate: float
) -> None:
    brought = campaign(offers, controls, leave=(rate, round(rate)), seed=seed)

    assert brought.kept is not None
    assert -1 <= brought.kept.lower <= brought.kept.value <= brought.kept.upper <= 1
    assert brought.kept.lower < brought.kept.upper


def test_the_interval_holds_the_truth_as_often_as_it_says_with_few_controls() -> None:
    held = 0
    for seed in range(400):
        kept = campaign(110, 12, leave=(0.38, 0.55), seed=seed).kept
        assert kept is not None
        held += kept.lower <= 0.17 <= kept.upper

    # 380 are due; fewer than 365 would come once in a thousand times.
    assert held >= 365


def test_chances_that_differ_between_months_are_weighted_away() -> None:
    # given: in a bad month, when everybody leaves, half are held out; in a good one, when all stay, a tenth; no effect
    assignment = pd.Series((["offer"] * 500 + ["control"] * 500) + (["offer"] * 900 + ["control"] * 100))
    chance = pd.Series([0.5] * 1000 + [0.9] * 900 + [0.1] * 100)
    label = pd.Series([1] * 1000 + [0] * 1000)

    brought = campaign_return(assignment, chance, label, kept_customer_value=100.0, offer_cost=10.0)

    assert brought.kept is not None
    assert brought.kept.value == pytest.approx(0)


@pytest.mark.parametrize(("offers", "controls", "told"), [(10, 10, True), (10, 9, False), (9, 10, False)])
def test_too_few_on_either_side_give_no_figure_and_say_so(offers: int, controls: int, told: bool) -> None:  # noqa: FBT001
    brought = campaign(offers, controls)

    assert (brought.kept is not None, brought.per_offer is not None) == (told, told)
    assert ("cannot tell" in brought.meaning) != told
    assert (brought.offers, brought.controls) == (offers, controls)


def test_without_offers_there_is_no_return() -> None:
    assert campaign(0, 40) == CampaignReturn(0, 40, "no offers were made")


def test_customers_outside_the_campaign_change_nothing() -> None:
    assignment, chance = pd.Series(["offer"] * 20 + ["control"] * 20), pd.Series([0.5] * 40)
    label = pd.Series([0, 1] * 20)
    table = pd.DataFrame({"assignment": assignment, "chance": chance, "label": label})
    others = pd.DataFrame({"assignment": ["none"] * 30, "chance": 1.0, "label": 1})

    def brought(rows: pd.DataFrame) -> CampaignReturn:
        columns = rows["assignment"], rows["chance"], rows["label"]
        return campaign_return(*columns, kept_customer_value=100.0, offer_cost=10.0)

    assert brought(pd.concat([table, others], ignore_index=True)) == brought(table)


def test_a_label_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"labels \[2\] are neither 0 nor 1"):
        campaign_return(pd.Series(["offer"]), pd.Series([0.5]), pd.Series([2]), kept_customer_value=1, offer_cost=1)
