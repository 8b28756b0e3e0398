"""What a batch is compared with: what the champion learned from, and the accepted months of a lasting change.

The accepted months are scored by the champion's frozen file, which never learned from them: out of sample like the
scores it was promoted with. They are no news any more, so that a batch after them is pooled with none of them and with
none before them. A batch that came before a change is compared without it.
"""

import pandas as pd

from mlops_assets.acceptances import LABELLED, months_as_accepted
from mlops_assets.champions import Champion
from mlops_assets.churn import features
from mlops_assets.history import Unrecorded
from mlops_assets.learning import training
from mlops_assets.storage import Layers

KEYS = ["customer_id", "batch"]


def reference_of(champion: Champion, layers: Layers, history: Unrecorded, *, judged: str | None = None) -> pd.DataFrame:
    """What batch `judged` is compared with, shape (n, columns of `champion.reference`); the newest where it is None.

    Without accepted months it is the champion's own reference. Rows of accepted months whose outcomes were not known
    when they were accepted have no label and no weight: those outcomes are held to the promise, and no part of it.
    """
    months = months_as_accepted(layers, history, champion.model_md5, judged=judged)
    months = [month for month in months if month > champion.as_of]
    if not months:
        return champion.reference
    labelled = months_as_accepted(layers, history, champion.model_md5, judged=judged, table=LABELLED)
    score = training.load(champion.model)
    taken = [of_month(month, layers, is_labelled=month in labelled) for month in months]
    rows = pd.concat(taken, ignore_index=True)
    rows = rows.assign(score=score(features.model_inputs(rows)))
    return pd.concat([champion.reference, rows.reindex(columns=list(champion.reference))], ignore_index=True)


def of_month(batch: str, layers: Layers, *, is_labelled: bool) -> pd.DataFrame:
    """All rows of a month with what is known of their outcomes."""
    rows = layers.read("customer_features", batch).assign(batch=batch)
    if not is_labelled:
        return rows.assign(label=float("nan"), weight=float("nan"))
    known = layers.read("labelled_customers", batch)
    told = [name for name in known if name not in rows]
    return rows.merge(known[[*KEYS, *told]], on=KEYS, how="left", validate="one_to_one")


def promised(reference: pd.DataFrame) -> pd.DataFrame:
    """The rows of a reference whose outcome is known: what outcomes are compared with."""
    if reference.label.notna().all():
        return reference
    return reference[reference.label.notna()].astype({"label": "int64"}).reset_index(drop=True)


def unseen_before(batch: str, batches: list[str], champion: Champion, accepted: list[str]) -> list[str]:
    """Those of `batches` before `batch` that are news to the champion, oldest first: since all it knows."""
    known = max([champion.as_of, *(month for month in accepted if month < batch)])
    return [other for other in sorted(batches) if known < other < batch]
