"""Decides what is true in the simulated operation: each customer's probability of leaving.

Real rows tell an outcome and not its probability, so that nothing exact could be said of a model's loss or profit, and
no outcome could be drawn once a scenario changes what makes customers leave. The world is therefore a model: the
average of the spline logistic regression and shallow trees, fitted once on the whole source table, held-back months
included. No better one of these columns was found (docs/model.md). It is smooth, so retraining looks a little easier in
it than in life, and no champion may ever learn from it: it knows the months to come.

Chance is a lot for each customer, batch and purpose, a hash and no draw from a generator: a row added, lost or moved
changes nobody else's fate, and no two purposes share their luck.
"""

import hashlib
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.churn import features
from mlops_assets.churn.schemas import CustomerFeatures
from mlops_assets.learning.inputs import Scorer
from mlops_assets.learning.logistic import spline_logistic_fitter
from mlops_assets.learning.training import Recipe, catboost_fitter

Floats = NDArray[np.float64]

LABEL = "churn"
# The world's own, and no knobs: with other numbers the scenarios would be others, and their figures would not compare.
TREES = Recipe("world", 200, 3, 0.05, 3.0, 10, seed=7, half_life_batches=None)
INVERSE_REGULARISATION, KNOTS = 0.05, 6
ONE_BATCH = "2024-01"  # the source knows no months


class Truth(Protocol):
    """What knows each customer's true probability of leaving: the world itself, or the law of a panel."""

    def probability(self, customers: pd.DataFrame) -> Floats:
        """True probability of leaving in the next month, shape (n,), in (0, 1), of customers as text (`Month`)."""
        ...


@dataclass(frozen=True, slots=True)
class World:
    """What makes customers leave while nothing changes; made by `fit_world`."""

    scorers: tuple[Scorer, ...]

    def probability(self, customers: pd.DataFrame) -> Floats:
        """True probability of leaving in the next month, shape (n,), in (0, 1), of customers as text (`Month`)."""
        X = inputs(customers)
        return np.asarray(np.mean([scorer(X) for scorer in self.scorers], axis=0), dtype=np.float64)


def fit_world(source: pd.DataFrame) -> World:
    """The world of `source`, shape (n, k) of text with the label; the same rows give the same world. Takes a second."""
    X, y = inputs(source), source[LABEL].eq("Yes").astype("int64")
    fitters = (
        spline_logistic_fitter(inverse_regularisation=INVERSE_REGULARISATION, knots=KNOTS),
        catboost_fitter(TREES),
    )
    return World(tuple(fitter(X, y, np.ones(len(X)), np.full(len(X), ONE_BATCH)) for fitter in fitters))


def inputs(customers: pd.DataFrame) -> pd.DataFrame:
    """What a model sees of customers as text, a blank cell as no value; shape (n, 20), other columns left out."""
    columns = CustomerFeatures.to_schema().columns
    typed = {
        str(name): pd.to_numeric(column)
        if str(columns[name].dtype) == "float64"
        else column.astype(object).mask(column.eq(""))
        for name, column in customers.items()
        if name in columns
    }
    table = pd.DataFrame(typed, index=customers.index)
    return features.model_inputs(features.build_features(table.assign(customer_id="")))


def shifted(probability: Floats, by: Floats | float) -> Floats:
    """`probability`, shape (n,), in (0, 1), with its log-odds moved by `by`; 0 changes nothing."""
    odds = probability / (1 - probability) * np.exp(by)
    return np.where(np.asarray(by) == 0, probability, odds / (1 + odds))


def lots(customer_id: pd.Series, *, batch: str, purpose: str, seed: int) -> Floats:
    """A lot for each customer, shape (n,), uniform in [0, 1); the same for the same four arguments, on any machine."""
    digests = (
        hashlib.blake2b(f"{seed}|{purpose}|{batch}|{customer}".encode(), digest_size=8).digest()
        for customer in customer_id
    )
    # 53 bits fit a float exactly; 64 would round the largest lots up to 1.
    return np.array([(int.from_bytes(digest, "big") >> 11) / 2**53 for digest in digests], dtype=np.float64)


def draw(probability: Floats, customer_id: pd.Series, *, batch: str, seed: int) -> NDArray[np.object_]:
    """Outcomes, "Yes" for those who leave, shape (n,): each customer's lot of this batch below the probability."""
    leaves = lots(customer_id, batch=batch, purpose="leaves", seed=seed) < probability
    return np.where(leaves, "Yes", "No").astype(object)
