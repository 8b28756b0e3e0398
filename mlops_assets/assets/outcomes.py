"""Outcomes: whether the champion's scores of a month kept what it promised, once it is known who left.

The drift of concept and of model, as opposed to that of the data, which needs no outcomes. Scores are the champion's
own on months it never learned from; what it promised are its out-of-sample scores, kept with it.
"""

from typing import Any

import dagster as dg
import pandas as pd

from mlops_assets import acceptances, checks, references
from mlops_assets.acceptances import accepted_outcomes
from mlops_assets.assets.features import coverage_report
from mlops_assets.assets.predictions import predictions
from mlops_assets.champions import Champion, read_champion
from mlops_assets.churn import features, offers
from mlops_assets.gates import monthly, outcome_findings, promises
from mlops_assets.history import Unrecorded
from mlops_assets.learning import training
from mlops_assets.maturity import Accepted, mature, withheld
from mlops_assets.params import Params
from mlops_assets.storage import Layers

SHOWN = ("window", "subject", "verdict", "moved", "p_value")
GATE = "The champion's scores of the month keep what it promised, overall and by segment; warns and never blocks."
KEYS = ["batch", "customer_id"]


def why_not(batch: str, champion: Champion | None, layers: Layers, accepted: Accepted) -> str | None:
    """Why the outcomes of the batch say nothing about the champion; None if they do."""
    if champion is None:
        return "there is no champion"
    if not layers.exists("predictions", batch):
        return "the month was never scored"
    if batch <= champion.as_of:
        return f"the champion learned from this month (its as_of is {champion.as_of})"
    if labels := withheld(layers, batch, accepted):
        return f"the outcomes are no evidence: {labels.why}"
    return None


@checks.table_asset(
    "outcome_report",
    "pandas",
    checks=(checks.warning("outcome_report", "outcomes", GATE),),
    deps=[predictions, coverage_report],
    blocking=False,
)
def outcome_report(
    context: dg.AssetExecutionContext,
    labelled_customers: pd.DataFrame,
    validated_outcomes: pd.DataFrame,
    layers: dg.ResourceParam[Layers],
    params: dg.ResourceParam[Params],
    history: dg.ResourceParam[Unrecorded],
) -> checks.Published:
    """How the champion's scores of a mature month kept what it promised, overall and by segment, and a verdict."""
    batch = context.partition_key
    champion = read_champion(layers)
    accepted = accepted_outcomes(history)
    reason = why_not(batch, champion, layers, accepted)
    if champion is None or reason:
        yield from checks.abstain("outcome_report", reason or "", "outcomes")
        return
    # Outcomes that came after their month was accepted are news.
    known = {"judged": batch, "table": acceptances.LABELLED}
    normal = acceptances.months_as_accepted(layers, history, champion.model_md5, **known)
    news = references.unseen_before(batch, mature(layers, accepted), champion, normal)
    rows = mature_rows(news, layers, labelled_customers)
    reference = references.promised(references.reference_of(champion, layers, history, judged=batch))
    scored = rows.assign(score=training.load(champion.model)(features.model_inputs(rows)))
    assessment = promises.assess_promises(
        reference.assign(key=reference.customer_id),
        scored.assign(key=scored.customer_id),
        segments=features.segments(rows).drop(columns=KEYS),
        reference_segments=features.segments(reference).drop(columns=KEYS),
        **params.outcomes.model_dump(),
    )
    table = outcome_findings.findings_table(assessment).assign(model_md5=champion.model_md5)
    shown = checks.records(table[[name for name in SHOWN if name in table]], limit=30)
    figures: dict[str, Any] = {"champion": champion.model_md5, "moved": assessment.moved}
    gate = checks.gate("outcome_report", "outcomes", assessment.verdict, assessment.moved, findings=shown, **figures)
    figures |= campaign(validated_outcomes, params)
    yield from checks.publish("outcome_report", table, gate, verdict=str(assessment.verdict), findings=shown, **figures)


def campaign(validated_outcomes: pd.DataFrame, params: Params) -> dict[str, Any]:
    """What the offers of the month brought, as metadata: in words, and for each offer with its interval."""
    economics = params.economics
    returned = offers.campaign_return(
        validated_outcomes.assignment,
        validated_outcomes.assignment_chance,
        validated_outcomes.churned.astype("int64"),
        kept_customer_value=economics.kept_customer_value,
        offer_cost=economics.offer_cost,
        interval=params.evaluation.interval,
    )
    told: dict[str, Any] = {"campaign": returned.meaning}
    for name, figure in (("return_per_offer", returned.per_offer), ("return_total", returned.total)):
        if figure:
            ends = {"": figure.value, "_lower": figure.lower, "_upper": figure.upper}
            told |= {f"{name}{end}": round(value, 2) for end, value in ends.items()}
    return told


def mature_rows(news: list[str], layers: Layers, newest: pd.DataFrame) -> pd.DataFrame:
    """The labelled rows `newest`, and those of up to two mature batches before that are `news` to the champion."""
    earlier = news[1 - monthly.WINDOW :]
    return pd.concat([*(layers.read("labelled_customers", b) for b in earlier), newest], ignore_index=True)
