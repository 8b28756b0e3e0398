"""Decides which part of what a champion learned from is what it last learned: the months since the last change.

A champion that was promoted after a change learned months from before it, too. Against all of them the new normal would
be drift for ever: the champion is good, no challenger beats it, and nothing would turn the light green. So a batch that
does not look like all of it may look like the newest months that look alike; if it does, it is no news to the champion.
Only a batch that fails is asked about twice, so that the second look can take an alarm back and never raise one.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlops_assets.gates.drift import assess_drift
from mlops_assets.gates.persons import Floats
from mlops_assets.gates.verdict import Verdict

Bools = npt.NDArray[np.bool_]


def since_last_change(
    reference: pd.DataFrame,
    batches: npt.ArrayLike,
    *,
    scores: npt.ArrayLike | None = None,
    keys: npt.ArrayLike | None = None,
    steps: Mapping[str, Floats] | None = None,
    changes: Mapping[str, Floats] | None = None,
    alpha: float,
    min_rows: int = 100,
    min_effect: float = 0.02,
    permutations: int = 399,
    seed: int = 7,
) -> Bools:
    """Which rows of `reference`, shape (m, k), came since it last changed; shape (m,), at least `min_rows` if it has.

    `batches`, shape (m,): the month of each row; `keys`: its person; `scores` as in `assess_drift`; `steps`, shapes
    (m,): how ageing columns grew; `changes`: what became of the values of persons. Months are taken from the newest
    backwards, each held at `alpha` against all later ones, up to the first that fails. The order of rows matters not.
    """
    names = pd.Series(np.asarray(batches)).astype(str).to_numpy()
    told = None if scores is None else np.asarray(scores, dtype=float)
    known = None if keys is None else np.asarray(keys, dtype=object)
    part = np.zeros(len(names), dtype=bool)
    for month in sorted(set(names), reverse=True):
        older = names == month
        if part.sum() >= min_rows:
            judged = assess_drift(
                reference[part],
                reference[older],
                reference_scores=None if told is None else told[part],
                current_scores=None if told is None else told[older],
                reference_keys=None if known is None else known[part],
                current_keys=None if known is None else known[older],
                steps={name: (step[part], step[older]) for name, step in (steps or {}).items()},
                changes={name: (told[part], told[older]) for name, told in (changes or {}).items()},
                alpha=alpha,
                min_rows=min_rows,
                min_effect=min_effect,
                permutations=permutations,
                seed=seed,
                segments=(),
            )
            if judged.verdict is Verdict.FAIL:
                break
        part = part | older
    return part
