"""The jobs: which assets a month, its outcomes, a training and a new champion materialize."""

import dagster as dg

PREDICTED = ("predictions", "drift_report", "evidently_report")
JOB_ASSETS = {
    "score": (
        "raw_customers",
        "quarantined_customers",
        "validated_customers",
        "customer_features",
        *PREDICTED,
    ),
    "learn": (
        "raw_outcomes",
        "quarantined_outcomes",
        "validated_outcomes",
        "coverage_report",
        "labelled_customers",
        "outcome_report",
    ),
    "retrain": ("training_set", "churn_model", "model_evaluation", "promotion_verdict", "champion"),
    "rescore": PREDICTED,
    "promote": ("champion",),
}
TOLD = {
    "score": "A month's customers, from the landed file to scores and a drift report.",
    "learn": "A month's outcomes, from the landed file to labels, which make the month mature, and two reports.",
    "retrain": "Challengers from every mature month up to as_of, their evaluation, the verdict, and the champion.",
    "rescore": "A month's scores and drift report again, after the champion or an earlier month changed.",
    "promote": "Another version as champion, signed by a person: for `mlops promote` and `mlops rollback`.",
}
# Of a run whose process died; a run that its checks or its code stopped is not repeated (deploy/dagster.yaml).
REPEATED = {"dagster/max_retries": "2", "dagster/retry_strategy": "ALL_STEPS"}


JOBS = {
    name: dg.define_asset_job(
        name,
        # Keys and not strings: a selection given as text needs an antlr that DVC may not leave us.
        selection=dg.AssetSelection.assets(*assets),
        description=TOLD[name],
        tags={"mlops/job": name, **REPEATED},
    )
    for name, assets in JOB_ASSETS.items()
}
