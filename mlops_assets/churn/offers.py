"""Decides who gets an offer, who is held out by lot, and with what weight each customer may be learned from.

An offer that works makes a churner stay, and a model that learns from such rows unlearns what it knew. So a share of
those whose score passed the threshold gets none (`control`); they stand for all who passed, and offer against control
gives the return of the campaign. The lot is a hash of seed, batch and customer, not a draw from a generator: a row that
is added, lost or moved in the batch changes nobody else's lot, and a rescored batch gives each customer the same one.
"""

import hashlib

import numpy as np
import pandas as pd

OFFER, CONTROL, NONE = "offer", "control", "none"


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


def _lot(customer: str, *, batch: str, seed: int) -> float:
    """Uniform in [0, 1) over customers; the same for the same three arguments, on any machine."""
    digest = hashlib.blake2b(f"{seed}|{batch}|{customer}".encode(), digest_size=8).digest()
    # 53 bits fit a float exactly; 64 would round the largest lots up to 1.
    return (int.from_bytes(digest, "big") >> 11) / 2**53
