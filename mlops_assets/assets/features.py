"""Features, the labels joined to them, and the list of what a training may see.

`labelled_customers` makes a batch mature: materialized means that it may be learned from. `training_set` depends on it
as a whole and lists what it found in storage, with digests: a mapping over a changing subset of batches is nothing
Dagster offers, and its hash over all of them would call the model stale at every landing.
"""

import dagster as dg
import pandas as pd

from mlops_assets import checks
from mlops_assets.churn import features, schemas
from mlops_assets.maturity import mature
from mlops_assets.storage import Layers


@checks.table_asset("customer_features", "pandas")
def customer_features(validated_customers: pd.DataFrame) -> checks.Published:
    """What the model sees of each customer of the batch, in the order of validated_customers."""
    origin = {name: [("validated_customers", name)] for name in validated_customers.columns}
    origin["num_optional_services"] = [("validated_customers", name) for name in schemas.ADD_ONS]
    table = features.build_features(validated_customers)
    yield from checks.publish("customer_features", table, **checks.lineage(origin))


@checks.table_asset("labelled_customers", "pandas")
def labelled_customers(
    context: dg.AssetExecutionContext, customer_features: pd.DataFrame, validated_outcomes: pd.DataFrame
) -> checks.Published:
    """Features joined with outcomes and the weight each row learns with; once it is there, the batch is mature."""
    table = features.label_customers(customer_features, validated_outcomes, batch=context.partition_key)
    if table.empty:
        yield from checks.refuse("labelled_customers", "no customer of the batch has an outcome to learn from")
        return
    origin = {name: [("customer_features", name)] for name in customer_features.columns}
    origin["label"] = [("validated_outcomes", "churned")]
    origin["weight"] = [("validated_outcomes", "assignment"), ("validated_outcomes", "assignment_chance")]
    yield from checks.publish(
        "labelled_customers",
        table,
        note=f"{len(table)} of {len(customer_features)} customers have an outcome; {table.label.mean():.1%} left",
        **checks.lineage(origin),
        churn_rate=round(float(table.label.mean()), 4),
        unlabelled_rows=len(customer_features) - len(table),
    )


class Training(dg.Config):
    """What a training may see."""

    as_of: str | None = None


@checks.table_asset("training_set", "pandas", deps=[labelled_customers])
def training_set(
    context: dg.AssetExecutionContext, config: Training, layers: dg.ResourceParam[Layers]
) -> checks.Published:
    """Which labelled batches up to as_of a training may see, with digest, rows and weight: a list, not a copy."""
    known = mature(layers)
    if not known:
        yield from checks.refuse("training_set", "no month is mature yet: run learn for a month whose outcomes landed")
        return
    as_of = config.as_of or known[-1]
    if as_of not in known:
        yield from checks.refuse("training_set", f"as_of {as_of} is not mature; mature are {', '.join(known)}")
        return
    rows = []
    for batch in (batch for batch in known if batch <= as_of):
        table = layers.read("labelled_customers", batch)
        facts = {"rows": len(table), "positives": int(table.label.sum()), "weight": float(table.weight.sum())}
        rows.append({"batch": batch, "md5": layers.digest("labelled_customers", batch), **facts})
    listed = pd.DataFrame(rows)
    context.log.info(f"learning from {len(listed)} months up to {as_of}, {listed.rows.sum()} customers")
    yield from checks.publish(
        "training_set",
        listed,
        note=f"{len(listed)} mature months up to {as_of}, {listed.rows.sum()} customers",
        inputs=checks.records(listed, limit=60),
        as_of=as_of,
    )
