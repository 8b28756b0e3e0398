"""The champion as it lies on disk: its row, its model, what it promised and what it learned from.

The folder `4_model/champion/` is the authority for scoring; the registry's alias is its published copy. Nothing here
imports a tracker, so that scores go out when the registry is down.
"""

from dataclasses import dataclass

import pandas as pd

from mlops_assets.files import DamagedError, md5
from mlops_assets.history import Made, Registered, Unrecorded
from mlops_assets.storage import Bundle, Layers, bytes_table, table_bytes


@dataclass(frozen=True, slots=True)
class Champion:
    """The model that scores; `reference`: features, score and label of the training months that drift compares with."""

    candidate: str
    model_md5: str
    model: bytes
    threshold: float
    as_of: str
    verdict_md5: str
    reference: pd.DataFrame


def read_champion(layers: Layers) -> Champion | None:
    """The champion, None when there is none yet. Raises DamagedError when its files are not what its row says."""
    for attempt in (1, 2):
        if not layers.exists("champion"):
            return None
        row = layers.read("champion").iloc[0]
        try:
            return Champion(
                candidate=str(row.candidate),
                model_md5=str(row.model_md5),
                model=layers.file("champion", f"{row.model_md5}.cbm"),
                threshold=float(row.threshold),
                as_of=str(row.as_of),
                verdict_md5=str(row.verdict_md5),
                reference=bytes_table(layers.file("champion", f"{row.reference_md5}.parquet")),
            )
        except DamagedError:  # it was replaced between the two reads: read the new one
            if attempt == 2:  # noqa: PLR2004
                raise
    return None


def crown(candidate: pd.Series, *, model: bytes, scores: bytes, reference: pd.DataFrame, verdict: bytes) -> Bundle:
    """The champion's table and files, made from a row of `Candidates` and the verdict that promoted it."""
    known = table_bytes(reference)
    row = {**candidate.to_dict(), "reference_md5": md5(known), "verdict_md5": md5(verdict)}
    files = {
        f"{candidate.model_md5}.cbm": model,
        f"{candidate.scores_md5}.parquet": scores,
        f"{md5(known)}.parquet": known,
        f"{md5(verdict)}.json": verdict,
    }
    return Bundle(pd.DataFrame([row]), files)


def evaluation_md5(version: Registered, history: Unrecorded) -> str | None:
    """Digest of the evaluation of the version's training, of the same run if there were several; None without one."""
    evaluations = [
        made
        for made in history.read(Made)
        if made.asset == "model_evaluation" and made.inputs.get("churn_model") == version.churn_model
    ]
    own = [made.md5 for made in evaluations if made.run_id == version.run_id]
    return next(iter([*own, *(made.md5 for made in evaluations)]), None)


def evaluation_of(version: Registered | None, layers: Layers, history: Unrecorded) -> pd.DataFrame | None:
    """`Metrics` of the training that made the version, None where nobody knows them.

    What lies there may be of a later challenger that was kept out, so it counts only where it is of the same training,
    or nothing is recorded at all. Raises as `Store.get` does.
    """
    if version and (digest := evaluation_md5(version, history)):
        return bytes_table(history.kept(digest))
    is_own = version is None or layers.digest("churn_model") == version.churn_model
    return layers.read("model_evaluation") if is_own else None
