"""What `dvc metrics` and `dvc plots` compare between commits: a few numbers of each layer, and the curves of the model.

Small and rounded, so that git can hold them and a clone shows them without a remote. The curves and the importances are
those of the champion where it comes of this training, and otherwise, since nobody has won, of the candidate with the
smallest log-loss on the newest months (`profiles.ranked`); on rows it never saw, under the scheme that speaks for it.
The figures of all candidates are out of fold, so that they can be compared: they are of the same rows.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlops_assets.files import write_atomically
from mlops_assets.learning import profiles
from mlops_assets.params import Params
from mlops_assets.storage import Layers, bytes_table

DIGITS = 4
POINTS = 200  # of a curve: more are not seen
KINDS = ("customers", "outcomes")


def write_compared(layer: str, layers: Layers, params: Params) -> None:
    """Write `metrics/<layer>.json` and, for the model, `plots/` below the root of the layers."""
    metrics = {
        "raw": raw,
        "validated": validated,
        "features": features,
        "model": model,
        "predictions": predictions,
        "drift": drift,
    }
    write_json(layers.root / "metrics" / f"{layer}.json", metrics[layer](layers))
    if layer == "model":
        write_plots(layers.root / "plots", layers, params)


def raw(layers: Layers) -> dict[str, Any]:
    """What landed."""
    return {
        kind: {"batches": len(layers.batches(f"raw_{kind}")), "rows": rows(layers, f"raw_{kind}")} for kind in KINDS
    }


def validated(layers: Layers) -> dict[str, Any]:
    """What kept its contract, and what did not."""
    sorts = ("validated", "quarantined")
    return {kind: {sort: rows(layers, f"{sort}_{kind}") for sort in sorts} for kind in KINDS}


def features(layers: Layers) -> dict[str, Any]:
    """What can be scored and what can be learned from; `churn_rate` is the share that left."""
    listed = layers.read("training_set")
    return {
        "customers": {"rows": rows(layers, "customer_features"), "labelled": rows(layers, "labelled_customers")},
        "training": {
            "batches": len(listed),
            "rows": int(listed.rows.sum()),
            "churn_rate": rounded(listed.positives.sum() / listed.rows.sum()),
        },
    }


def model(layers: Layers) -> dict[str, Any]:
    """The figures of each candidate and of the baseline, out of fold; of the champion, those that speak for it."""
    evaluated = layers.read("model_evaluation")
    table = evaluated[evaluated.cut.eq("overall") & evaluated.scheme.eq(profiles.OUT_OF_FOLD)]
    figures: dict[str, Any] = {}
    for candidate, metric, value in table[["candidate", "metric", "value"]].itertuples(index=False):
        figures.setdefault(candidate, {})[metric] = rounded(value)
    if (winner := champion(layers)) is not None:
        own = profiles.profile(evaluated, str(winner.candidate))
        headline = {name: rounded(value) for name, value in own.headline.items()}
        figures["champion"] = {"candidate": own.candidate, "scheme": own.scheme, **headline}
    return figures


def champion(layers: Layers) -> pd.Series | None:
    """The row of `Candidates` that became champion, None where the champion is of another training or there is none."""
    if not layers.exists("champion"):
        return None
    candidates = layers.read("churn_model")
    own = candidates[candidates.model_md5.eq(layers.read("champion").model_md5.iloc[0])]
    return None if own.empty else own.iloc[0]


def predictions(layers: Layers) -> dict[str, Any]:
    """What the champion says of the month it scored; nothing is scored where there is no champion."""
    for batch in layers.batches("predictions"):
        table = layers.read("predictions", batch)
        return {"scored": len(table), "decisions": int(table.decision.sum()), "mean_score": rounded(table.score.mean())}
    return {"scored": 0}


def drift(layers: Layers) -> dict[str, Any]:
    """Whether that month still looks like what the champion learned from; no verdict where it cannot be compared."""
    for batch in layers.batches("drift_report"):
        table = layers.read("drift_report", batch)
        whole, columns = table.iloc[0], table.iloc[1:]
        moved = int(columns.verdict.eq("FAIL").sum())
        return {"verdict": str(whole.verdict), "p_value": float(f"{whole.p_value:.3g}"), "moved": moved}
    return {"verdict": "none"}


def shown(layers: Layers, scores: pd.DataFrame) -> pd.Series:
    """The row of `Candidates` whose curves are drawn: the champion's, otherwise that of the first of `ranked`."""
    if (winner := champion(layers)) is not None:
        return winner
    candidates = layers.read("churn_model")
    return candidates[candidates.candidate.eq(profiles.ranked(scores)[0])].iloc[0]


def write_plots(folder: Path, layers: Layers, params: Params) -> None:
    """The curves of `shown`: ROC, calibration, confusion at the threshold, and the importance of each feature."""
    from sklearn.metrics import roc_curve

    from mlops_assets.learning.metrics import quantile_bin

    scores = bytes_table(layers.file("churn_model", f"{layers.read('churn_model').scores_md5.iloc[0]}.parquet"))
    candidate = shown(layers, scores)
    own = profiles.speaking(scores, str(candidate.candidate)).query("candidate == @candidate.candidate")
    wrong, caught, _ = roc_curve(own.label, own.score, sample_weight=own.weight)
    curve = pd.DataFrame({"fpr": wrong, "tpr": caught}).iloc[thinned(len(wrong))]
    bins = quantile_bin(own.score.to_numpy(float), params.evaluation.calibration_bins)
    calibration = own.groupby(bins).apply(
        lambda part: pd.Series(
            {
                "score": np.average(part.score, weights=part.weight),
                "left": np.average(part.label, weights=part.weight),
            }
        )
    )
    names = np.array(["stayed", "left"])
    said = (own.score >= candidate.threshold).astype(int)
    confusion = pd.DataFrame({"actual": names[own.label], "predicted": names[said]})
    write_json(folder / "roc.json", {"roc": points(curve)})
    write_json(folder / "calibration.json", {"calibration": points(calibration)})
    write_csv(folder / "confusion.csv", confusion)
    write_csv(folder / "importance.csv", importance(layers, candidate))


def importance(layers: Layers, candidate: pd.Series) -> pd.DataFrame:
    """Share of each feature in what moves the candidate's scores, largest first."""
    from mlops_assets.churn.features import model_inputs
    from mlops_assets.learning.explanation import importances, shap_values

    learned = [layers.read("labelled_customers", batch) for batch in layers.read("training_set").batch]
    X = model_inputs(pd.concat(learned, ignore_index=True))
    weighed = importances(
        shap_values(layers.file("churn_model", f"{candidate.model_md5}.cbm"), X), candidate=candidate.candidate
    )
    return weighed[["feature", "share"]].round(DIGITS)


def thinned(count: int) -> list[int]:
    """At most POINTS places among `count`, evenly spread, the first and the last among them."""
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, POINTS))})


def points(table: pd.DataFrame) -> list[dict[str, float]]:
    """Rows as JSON holds them, rounded."""
    return [{str(k): rounded(v) for k, v in row.items()} for row in table.to_dict("records")]


def rows(layers: Layers, name: str) -> int:
    """Rows of a table over all its batches."""
    return sum(len(layers.read(name, batch)) for batch in layers.batches(name))


def rounded(value: float) -> float:
    """A number as git shall hold it."""
    return round(float(value), DIGITS)


def write_json(path: Path, tree: dict[str, Any]) -> None:
    """Write numbers in the order in which they are told."""
    write_atomically(path, (json.dumps(tree, indent=1, ensure_ascii=False) + "\n").encode())


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table with plain line ends."""
    write_atomically(path, table.to_csv(index=False, lineterminator="\n").encode())
