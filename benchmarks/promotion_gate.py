"""How often is the promotion gate wrong? Cases of `benchmarks.decisions`.

A champion that learned from six months, and a challenger that learned from the next six: as many rows (equal), those of
a fifth of the persons (worse), or after a change that the champion never saw (better). Both score the three months
after, and the gate judges by the shipped params, with the persons' keys; beside it "the higher F1 wins". The oracle
knows the true odds: it promotes who is expected to lose less by the share that the gate asks for.
"""

from time import process_time
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.outcome_gate import shifts
from benchmarks.telco import params, recipe
from benchmarks.world import KNOWN, Customers, Floats, Month, customers, expit, stacked, still, world
from mlops_assets.gates import promotion
from mlops_assets.gates.verdict import Verdict
from mlops_assets.learning.inputs import Scorer
from mlops_assets.learning.metrics import f1
from mlops_assets.learning.training import catboost_fitter

KINDS = ("equal", "worse", "better")
FLIP = "flip: commonest category - 0.8, others + 1.5"
MANY = 6000  # rows on which expected losses are computed


def case(table: str, kind: str, size: int, seed: int) -> dict[str, Any]:
    """By challenger: the gate's verdict, who has the higher F1, and the true gain as a share of the champion's loss."""
    living = customers(table, kind, size, seed)
    champion = learned(living.months(KNOWN), seed)
    changed, here = living.fork(), world(table)
    changed.shift = shifts(here)[FLIP]
    told: dict[str, Any] = {}
    for names, customers_, shift in ((KINDS[:2], living, still), (KINDS[2:], changed, changed.shift)):
        history, asked = customers_.months(KNOWN), customers_.months(params().promotion.months)
        fresh = sample(customers_)
        for name in names:
            challenger = learned(history, seed + 1, share=0.2 if name == "worse" else 1.0)
            X, keys, _, y = stacked(asked)
            scores = champion(X), challenger(X)
            began = process_time()
            judged = compared(X[list(here.marks.cuts)], keys, y, *scores)
            spent = process_time() - began
            odds = here.odds(fresh)
            loss = [expected(model(fresh), expit(odds + shift(fresh, odds))) for model in (champion, challenger)]
            told[name] = {
                "promoted": judged.verdict is Verdict.PASS,
                "verdict": str(judged.verdict),
                "why": judged.meaning,
                "f1": higher_f1(y, *scores),
                "gain": 1 - loss[1] / loss[0],
                "seconds": spent,
            }
    return told


def learned(months: list[Month], seed: int, share: float = 1.0) -> Scorer:
    """The recipe fitted on months, or on a share of their persons."""
    X, keys, batches, y = stacked(months)
    kept = np.random.default_rng(seed).random(int(keys.max()) + 1)[keys] < share
    return catboost_fitter(recipe(seed=seed))(X[kept], y[kept], np.ones(int(kept.sum())), batches[kept])


def sample(living: Customers) -> pd.DataFrame:
    """Rows such as these customers are, enough to expect a loss from: the next months together."""
    months = living.fork().months(max(1, min(12, MANY // living.size)))
    return pd.concat([month.X for month in months], ignore_index=True)


def compared(
    cuts: pd.DataFrame,
    keys: Any,  # noqa: ANN401 - a column
    y: Floats,
    champion: Floats,
    challenger: Floats,
) -> promotion.Comparison:
    """The gate's answer by the shipped params."""
    rules = params().promotion.model_dump(exclude={"months", "approval"})
    return promotion.compare(champion, challenger, y, segments=cuts, keys=keys, **rules)


def higher_f1(y: Floats, champion: Floats, challenger: Floats) -> bool:
    """Whether the challenger has the higher F1 at the threshold of the economics."""
    money, ones = params().economics, np.ones(len(y))
    limit = money.offer_cost / (money.kept_customer_value * money.success_rate)
    return bool(f1(y, challenger, ones, threshold=limit) > f1(y, champion, ones, threshold=limit))


def expected(scores: Floats, chance: Floats) -> float:
    """Expected log-loss, nats."""
    return -float((chance * np.log(scores) + (1 - chance) * np.log1p(-scores)).mean())
