"""Decides who gets an offer, who is held out by lot, and with what weight each customer may be learned from.

An offer that works makes a churner stay, and a model that learns from such rows unlearns what it knew. So a share of
those whose score passed the threshold gets none (`control`); they stand for all who passed, and offer against control
gives the return of the campaign. The lot is a hash of seed, batch and customer, not a draw from a generator: a row that
is added, lost or moved in the batch changes nobody else's lot, and a rescored batch gives each customer the same one.
"""

import hashlib
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pandas as pd

from mlops_assets.gates.estimates import Estimate

OFFER, CONTROL, NONE = "offer", "control", "none"


@dataclass(frozen=True, slots=True)
class CampaignReturn:
    """What the offers brought, against the control; the figures are None where nobody can tell, and `meaning` says why.

    `offers`, `controls`: customers. `kept`: share that stays with an offer less share that stays without, in [-1, 1].
    `per_offer`: value kept less cost, for each offer, in the currency of `offer_cost`; `total`: for all offers made.
    """

    offers: int
    controls: int
    meaning: str
    kept: Estimate | None = None
    per_offer: Estimate | None = None
    total: Estimate | None = None


def assign(
    customer_id: pd.Series, decision: pd.Series, *, batch: str, enabled: bool, control_share: float, seed: int
) -> pd.DataFrame:
    """What each customer gets and how likely that was: `assignment` (offer, control, none) and `assignment_chance`.

    Shapes (n,) and (n,) of text and bool, no NaN, same index; the result, shape (n, 2), keeps it. `assignment_chance`
    is the probability, given the decision, of the assignment that came out, in (0, 1]: `control_share` for
    control, its complement for offer, 1 for none. All are none when `enabled` is false. A customer's lot is new in
    each batch. Raises ValueError when `control_share` is outside [0, 1] or the indices differ.
    """
    if not 0 <= control_share <= 1:
        message = f"batch {batch}: control_share is {control_share}, it must lie in [0, 1]. Set it in params.yaml."
        raise ValueError(message)
    if not customer_id.index.equals(decision.index):
        message = f"batch {batch}: decisions are not indexed as the customers are. Take both from one table."
        raise ValueError(message)
    lot = np.array([_lot(customer, batch=batch, seed=seed) for customer in customer_id], dtype=float)
    passed = decision.to_numpy(dtype=bool) & enabled
    held_out = passed & (lot < control_share)
    return pd.DataFrame(
        {
            "assignment": np.select([held_out, passed], [CONTROL, OFFER], NONE).astype(object),
            "assignment_chance": np.select([held_out, passed], [control_share, 1 - control_share], 1.0),
        },
        index=customer_id.index,
    )


def learning_weight(assignment: pd.Series, assignment_chance: pd.Series) -> pd.Series:
    """Weight with which a labelled row is learned and judged; float >= 0, no unit, index of `assignment`.

    none: 1. control: 1 / chance, so that the few held out stand for all who passed the threshold (inverse probability
    weighting; Horvitz & Thompson 1952). offer: 0, since the outcome is not the one that is to be predicted; a
    row of weight 0 is left out, it counts neither as a row nor as a label. Shapes (n,), no NaN: an export without
    assignments means none and 1. Raises ValueError for another word or a chance outside (0, 1].
    """
    if unknown := sorted(set(assignment.astype(str)) - {OFFER, CONTROL, NONE}):
        message = f"assignments {unknown} are unknown, only offer, control and none are. Correct the outcomes file."
        raise ValueError(message)
    if not (valid := assignment_chance.gt(0) & assignment_chance.le(1)).all():
        seen = sorted(set(assignment_chance[~valid]))[:5]
        message = f"assignment chances {seen} are outside (0, 1]. Correct the outcomes file."
        raise ValueError(message)
    weight = np.select([assignment == CONTROL, assignment == NONE], [1 / assignment_chance, 1.0], 0.0)
    return pd.Series(weight, index=assignment.index, name="weight")


def campaign_return(
    assignment: pd.Series,
    assignment_chance: pd.Series,
    label: pd.Series,
    *,
    kept_customer_value: float,
    offer_cost: float,
    interval: float = 0.95,
    min_controls: int = 10,
) -> CampaignReturn:
    """The return of the offers: offer against control, each weighted by the inverse of its chance.

    Shapes (n,), no NaN, of one batch or several; label 1 left, 0 stayed; rows of `none` are ignored. An offer is taken
    to cost `offer_cost` whether it is accepted or not. No figures without an offer, or with fewer than `min_controls`
    controls or offers. Raises ValueError for another assignment, a chance outside (0, 1] or another label.
    The interval is Agresti & Caffo's (2000), each group with one more who stays and one more who leaves: Wald's has no
    width where all the few controls stay. With unequal chances the group counts as Kish's effective number.
    """
    learning_weight(assignment, assignment_chance)  # refuses what is no assignment
    if not label.isin([0, 1]).all():
        message = f"labels {sorted(set(label) - {0, 1})[:5]} are neither 0 nor 1. Correct the outcomes file."
        raise ValueError(message)
    is_offer, is_control = assignment.eq(OFFER).to_numpy(), assignment.eq(CONTROL).to_numpy()
    offers, controls = int(is_offer.sum()), int(is_control.sum())
    if offers == 0:
        return CampaignReturn(offers, controls, "no offers were made")
    if min(offers, controls) < min_controls:
        meaning = f"cannot tell from {offers} offers against {controls} controls, {min_controls} of either are needed"
        return CampaignReturn(offers, controls, meaning)
    weight, stayed = 1 / assignment_chance.to_numpy(dtype=float), 1 - label.to_numpy(dtype=float)
    groups = [_stay_rate(stayed[group], weight[group]) for group in (is_offer, is_control)]
    (treated, near_treated, spread), (without, near_without, spread_without) = groups
    half = NormalDist().inv_cdf((1 + interval) / 2) * (spread + spread_without) ** 0.5
    value, middle = treated - without, near_treated - near_without
    # The middle of the interval lies nearer to 0 than the value; it never leaves it out, but for a rounding.
    kept = Estimate(value, min(value, max(-1.0, middle - half)), max(value, min(1.0, middle + half)))
    per_offer = Estimate(*(kept_customer_value * share - offer_cost for share in (kept.value, kept.lower, kept.upper)))
    total = Estimate(*(offers * amount for amount in (per_offer.value, per_offer.lower, per_offer.upper)))
    meaning = (
        f"{treated:.1%} of {offers} with an offer stayed, {without:.1%} of {controls} without: "
        f"{per_offer.value:+.2f} [{per_offer.lower:+.2f}, {per_offer.upper:+.2f}] for each offer"
    )
    return CampaignReturn(offers, controls, meaning, kept, per_offer, total)


def _stay_rate(stayed: np.ndarray, weight: np.ndarray) -> tuple[float, float, float]:
    """Weighted share that stayed, the share with one more of either kind, and the variance of that."""
    rate = float(np.average(stayed, weights=weight))
    number = float(weight.sum() ** 2 / np.square(weight).sum())
    near = (rate * number + 1) / (number + 2)
    return rate, near, near * (1 - near) / (number + 2)


def _lot(customer: str, *, batch: str, seed: int) -> float:
    """Uniform in [0, 1) over customers; the same for the same three arguments, on any machine."""
    digest = hashlib.blake2b(f"{seed}|{batch}|{customer}".encode(), digest_size=8).digest()
    # 53 bits fit a float exactly; 64 would round the largest lots up to 1.
    return (int.from_bytes(digest, "big") >> 11) / 2**53
