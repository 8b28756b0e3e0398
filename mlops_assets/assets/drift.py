"""Drift: whether the batch still looks like what the champion learned from, and the page a person opens when not.

The gate decides; Evidently draws. Its page takes seconds and never has the same bytes twice, so it is rendered only
when the verdict is not PASS or somebody asks, and lies beside the layers.
"""

from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd

from mlops_assets import acceptances, checks, references
from mlops_assets.champions import Champion, read_champion
from mlops_assets.churn import features
from mlops_assets.files import write_atomically
from mlops_assets.gates import attribution, findings, monthly
from mlops_assets.gates.verdict import Verdict
from mlops_assets.history import Unrecorded
from mlops_assets.learning import training
from mlops_assets.params import Params
from mlops_assets.storage import Layers

SHOWN = ("column", "verdict", "cause", "moved", "p_value", "effect", "missing_current", "new_categories")
GATE = "The batch looks like what the champion learned from; warns and never blocks, scores still go out."


def why_not(predictions: pd.DataFrame, champion: Champion | None) -> str | None:
    """Why the batch cannot be judged against the champion; None if it can."""
    if champion is None:
        return "there is no champion"
    if predictions.model_md5.iloc[0] != champion.model_md5:
        return "another champion scored this batch; rescore it"
    if predictions.is_in_sample.any():
        return f"the champion learned from this batch (its as_of is {champion.as_of})"
    return None


# Not blocking: where predictions abstain this step is skipped, and Dagster warns of every blocking check that is.
@checks.table_asset(
    "drift_report",
    "pandas",
    checks=(checks.warning("drift_report", "drift", GATE),),
    deps=[dg.AssetKey("champion")],
    blocking=False,
)
def drift_report(
    context: dg.AssetExecutionContext,
    customer_features: pd.DataFrame,
    predictions: pd.DataFrame,
    layers: dg.ResourceParam[Layers],
    params: dg.ResourceParam[Params],
    history: dg.ResourceParam[Unrecorded],
) -> checks.Published:
    """How each feature and the score moved against the champion's own reference, and a verdict; needs no outcomes."""
    champion = read_champion(layers)
    reason = why_not(predictions, champion)
    if champion is None or reason:
        yield from checks.abstain("drift_report", reason or "", "drift")
        return
    batch = context.partition_key
    reference = references.reference_of(champion, layers, history, judged=batch)
    accepted = acceptances.months_as_accepted(layers, history, champion.model_md5, judged=batch)
    assessment = monthly.assess_month(
        features.model_inputs(reference),
        features.model_inputs(customer_features),
        earlier=unseen_before(batch, champion, layers, accepted),
        reference_scores=reference.score,
        current_scores=predictions.score,
        reference_batches=reference.batch,
        reference_keys=reference.customer_id,
        current_keys=customer_features.customer_id,
        batch=context.partition_key,
        **params.drift.model_dump(exclude={"reference_months"}),
    )
    table = findings.findings_table(assessment).assign(model_md5=champion.model_md5)
    moved = str(table.moved.iloc[0])
    shown = checks.records(table.loc[1:, list(SHOWN)], limit=30)
    figures: dict[str, Any] = {
        "p_value": float(f"{assessment.p_value:.3g}"),
        "cause": str(assessment.cause),
        "champion": champion.model_md5,
    }
    gate = checks.gate("drift_report", "drift", assessment.verdict, moved, findings=shown, **figures)
    yield from checks.publish(
        "drift_report", table, gate, verdict=str(assessment.verdict), moved=moved, findings=shown, **figures
    )


def unseen_before(batch: str, champion: Champion, layers: Layers, accepted: list[str]) -> list[monthly.Batch]:
    """The batches before this one that are news to the champion, with its scores, oldest first.

    Without those that came through a broken pipe: they would ring for two months more.
    """
    earlier = references.unseen_before(batch, layers.batches("customer_features"), champion, accepted)
    score = training.load(champion.model)
    found = []
    for before in earlier[1 - monthly.WINDOW :]:
        if layers.exists("drift_report", before):
            told = layers.read("drift_report", before)
            if findings.cause_of(told) is attribution.Cause.PIPE:
                continue
        table = layers.read("customer_features", before)
        inputs = features.model_inputs(table)
        found.append(monthly.Batch(inputs, score(inputs), table.customer_id, before))
    return found


class Page(dg.Config):
    """Whether the page is wanted whatever the verdict."""

    on_demand: bool = False


@checks.table_asset("evidently_report", "evidently")
def evidently_report(
    context: dg.AssetExecutionContext,
    config: Page,
    drift_report: pd.DataFrame,
    customer_features: pd.DataFrame,
    predictions: pd.DataFrame,
    layers: dg.ResourceParam[Layers],
    history: dg.ResourceParam[Unrecorded],
    pages: dg.ResourceParam[Path],
) -> checks.Published:
    """Evidently's page for the batch against the champion's reference; on PASS only when asked for."""
    champion = read_champion(layers)
    verdict = findings.verdict_of(drift_report)
    reason = why_not(predictions, champion)
    if champion is None or reason:
        yield from checks.abstain("evidently_report", reason or "")
        return
    if not config.on_demand and (verdict is Verdict.PASS or layers.is_simulated):
        why = "drift is PASS" if verdict is Verdict.PASS else "this is a simulation"
        yield from checks.abstain(
            "evidently_report", f"{why}; `mlops report {context.partition_key}` renders it all the same"
        )
        return
    current = features.model_inputs(customer_features).assign(score=predictions.score)
    known = references.reference_of(champion, layers, history, judged=context.partition_key)
    reference = features.model_inputs(known).assign(score=known.score)
    page, table = render(reference, current)
    path = pages / f"{context.partition_key}.html"
    write_atomically(path, page)
    yield from checks.publish(
        "evidently_report",
        table,
        note=f"{int(table.is_drifted.sum())} of {len(table)} columns moved, says Evidently; the gate says {verdict}",
        page=dg.MetadataValue.url(path.as_uri()),
        page_path=dg.MetadataValue.path(str(path)),
        columns=checks.records(table, limit=30),
    )


def render(reference: pd.DataFrame, current: pd.DataFrame) -> tuple[bytes, pd.DataFrame]:
    """Evidently's data-drift page as HTML, and what it says of each column, as `PageColumns`.

    A column without a value on either side is left out: Evidently cannot draw it.
    """
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    names = [name for name in reference if reference[name].notna().any() and current[name].notna().any()]
    numbers = [name for name in names if pd.api.types.is_numeric_dtype(reference[name])]
    definition = DataDefinition(
        numerical_columns=numbers, categorical_columns=[name for name in names if name not in numbers]
    )
    sides = [Dataset.from_pandas(side[names], data_definition=definition) for side in (current, reference)]
    snapshot = Report([DataDriftPreset()]).run(*sides)
    rows = [
        {
            "column": metric["config"]["column"],
            "method": metric["config"]["method"],
            "value": float(metric["value"]),
            "limit": float(metric["config"]["threshold"]),
        }
        for metric in snapshot.dict()["metrics"]
        if "column" in metric["config"]
    ]
    table = pd.DataFrame(rows)
    is_p_value = table.method.str.contains("p_value")
    drifted = (table.value < table.limit).where(is_p_value, table.value >= table.limit)
    return snapshot.get_html_str(as_iframe=False).encode(), table.assign(is_drifted=drifted.astype(bool))
