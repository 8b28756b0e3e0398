"""Predictions: what the champion says of each customer, and why. Trains nothing and needs no registry."""

import dagster as dg
import pandas as pd

from mlops_assets import checks
from mlops_assets.assets.champion import champion
from mlops_assets.champions import read_champion
from mlops_assets.churn import features, offers, schemas
from mlops_assets.learning import explanation, training
from mlops_assets.params import Params
from mlops_assets.storage import Layers


@checks.table_asset("predictions", "catboost", deps=[champion])
def predictions(
    context: dg.AssetExecutionContext,
    customer_features: pd.DataFrame,
    layers: dg.ResourceParam[Layers],
    params: dg.ResourceParam[Params],
) -> checks.Published:
    """Score, decision, assignment and three reasons for each customer of the batch, by the champion."""
    batch = context.partition_key
    model = read_champion(layers)
    if model is None:
        yield from checks.abstain("predictions", "there is no champion yet; run learn and retrain first")
        return
    inputs = features.model_inputs(customer_features)
    score = pd.Series(training.load(model.model)(inputs), index=inputs.index)
    decision = score >= model.threshold
    lots = offers.assign(customer_features.customer_id, decision, batch=batch, **params.offers.model_dump())
    reasons = explanation.top_reasons(explanation.shap_values(model.model, inputs), inputs, count=3)
    facts = {"customer_id": customer_features.customer_id, "score": score, "decision": decision}
    table = pd.DataFrame(facts).join(lots).join(reasons)
    table = table.assign(model_md5=model.model_md5, is_in_sample=batch <= model.as_of)[
        schemas.fields(schemas.Predictions)
    ]
    chosen = int(decision.sum())
    seen = [("customer_features", str(name)) for name in inputs.columns]
    origin = dict.fromkeys(("score", "decision", "reason_1", "reason_2", "reason_3"), seen)
    origin["customer_id"] = [("customer_features", "customer_id")]
    yield from checks.publish(
        "predictions",
        table,
        note=f"{len(table)} customers scored, {chosen} pass the threshold {model.threshold:.3f}",
        model_md5=model.model_md5,
        threshold=round(model.threshold, 4),
        mean_score=round(float(score.mean()), 4),
        decisions=chosen,
        is_in_sample=bool(batch <= model.as_of),
        **checks.lineage(origin),
        top=checks.records(table.nlargest(8, "score").drop(columns=["model_md5", "is_in_sample"])),
    )
