"""Features, the labels joined to them, whether those are evidence, and the list of what a training may see.

`labelled_customers` makes a batch mature: materialized means that it may be learned from, unless `coverage_report`
says that the customers with an outcome are a selected part and nobody has accepted that. The report comes first and
names the labels that it is about, so that a run killed between the two leaves no labels that nobody has judged.
`training_set` depends on it
as a whole and lists what it found in storage, with digests: a mapping over a changing subset of batches is nothing
Dagster offers, and its hash over all of them would call the model stale at every landing.
"""

import dagster as dg
import numpy as np
import pandas as pd

from mlops_assets import checks
from mlops_assets.acceptances import accepted_outcomes
from mlops_assets.churn import features, schemas
from mlops_assets.files import md5
from mlops_assets.gates import coverage, coverage_findings
from mlops_assets.gates.persons import effective_rows
from mlops_assets.history import Unrecorded
from mlops_assets.maturity import Accepted, mature
from mlops_assets.params import Params
from mlops_assets.storage import Layers, table_bytes

GATE = "The customers with an outcome stand for their month; warns and never blocks, a person may accept them."


@checks.table_asset("customer_features", "pandas")
def customer_features(validated_customers: pd.DataFrame) -> checks.Published:
    """What the model sees of each customer of the batch, in the order of validated_customers."""
    origin = {name: [("validated_customers", name)] for name in validated_customers.columns}
    origin["num_optional_services"] = [("validated_customers", name) for name in schemas.ADD_ONS]
    table = features.build_features(validated_customers)
    yield from checks.publish("customer_features", table, **checks.lineage(origin))


# The scores of the month are read where there are any, and are no dependency: in `dvc repro` they come later.
@checks.table_asset(
    "coverage_report", "pandas", checks=(checks.warning("coverage_report", "coverage", GATE),), blocking=False
)
def coverage_report(
    context: dg.AssetExecutionContext,
    customer_features: pd.DataFrame,
    validated_outcomes: pd.DataFrame,
    layers: dg.ResourceParam[Layers],
    params: dg.ResourceParam[Params],
    history: dg.ResourceParam[Unrecorded],
) -> checks.Published:
    """Whether the customers with an outcome stand for their month, by column, score and label, and a verdict."""
    batch = context.partition_key
    labelled = features.label_customers(customer_features, validated_outcomes, batch=batch)
    known = labelled.set_index("customer_id")
    knobs = params.coverage.model_dump()
    assessment = coverage.assess_coverage(
        features.model_inputs(customer_features),
        customer_features.customer_id.isin(validated_outcomes.customer_id).to_numpy(),
        labels=customer_features.customer_id.map(known.label).to_numpy(float),
        weights=customer_features.customer_id.map(known.weight).to_numpy(float),
        scores=unseen_scores(batch, customer_features, layers),
        earlier=earlier_batches(batch, layers, accepted_outcomes(history), months=knobs.pop("months")),
        **knobs,
    )
    table = coverage_findings.findings_table(assessment).assign(labelled_md5=md5(table_bytes(labelled)))
    shown = checks.records(table.loc[1:, ["subject", "verdict", "p_value", "effect", "moved"]], limit=30)
    gate = checks.gate("coverage_report", "coverage", assessment.verdict, assessment.reason, findings=shown)
    yield from checks.publish(
        "coverage_report",
        table,
        gate,
        verdict=str(assessment.verdict),
        covered=f"{assessment.covered} of {assessment.rows} customers have an outcome",
        why=assessment.reason,
        findings=shown,
    )


def unseen_scores(batch: str, customers: pd.DataFrame, layers: Layers) -> np.ndarray | None:
    """The champion's score of each customer, NaN where it gave none; None where it gave none or had seen the month."""
    if not layers.exists("predictions", batch):
        return None
    predicted = layers.read("predictions", batch)
    if predicted.is_in_sample.any():
        return None
    scores: np.ndarray = customers.customer_id.map(predicted.set_index("customer_id").score).to_numpy(float)
    return scores


def earlier_batches(batch: str, layers: Layers, accepted: Accepted, *, months: int) -> list[coverage.EarlierBatch]:
    """The newest batches before this one that are evidence, oldest first."""
    found = []
    for before in [earlier for earlier in mature(layers, accepted) if earlier < batch][-months:]:
        customers = layers.read("customer_features", before).customer_id
        outcomes = layers.read("validated_outcomes", before).customer_id
        labelled = layers.read("labelled_customers", before)
        found.append(
            coverage.EarlierBatch(
                coverage=float(customers.isin(outcomes).mean()),
                rate=float(np.average(labelled.label, weights=labelled.weight)),
                rows=float(effective_rows(labelled.weight.to_numpy(float))),
            )
        )
    return found


@checks.table_asset("labelled_customers", "pandas", deps=[coverage_report])
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
    context: dg.AssetExecutionContext,
    config: Training,
    layers: dg.ResourceParam[Layers],
    history: dg.ResourceParam[Unrecorded],
) -> checks.Published:
    """Which labelled batches up to as_of a training may see, with digest, rows and weight: a list, not a copy."""
    known = mature(layers, accepted_outcomes(history))
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
