"""The code location: every asset, job and resource, listed by hand, so that a reader finds them all here."""

import dagster as dg

from mlops_assets.assets import (
    champion,
    drift,
    features,
    model,
    outcomes,
    predictions,
    promotion,
    raw,
    validated,
)
from mlops_assets.automation import JOBS
from mlops_assets.resources import environment_from_environment, resources_for
from mlops_assets.sensors import SENSORS

ASSETS = [
    raw.raw_customers,
    raw.raw_outcomes,
    validated.clean_customers,
    validated.clean_outcomes,
    features.customer_features,
    features.coverage_report,
    features.labelled_customers,
    features.training_set,
    model.churn_model,
    model.model_evaluation,
    promotion.promotion_verdict,
    champion.champion,
    predictions.predictions,
    drift.drift_report,
    outcomes.outcome_report,
    drift.evidently_report,
]

defs = dg.Definitions(
    assets=ASSETS,
    jobs=list(JOBS.values()),
    sensors=SENSORS,
    resources=resources_for(environment_from_environment()),
    # A run is a process of its own already; one per step costs 3.8 times the CPU, since each imports everything again.
    executor=dg.in_process_executor,
)
