"""Every asset's table: its layer, its contract, and whether it comes by batch; one row per asset, in graph order."""

from dataclasses import dataclass

import pandera.pandas as pa

from mlops_assets.churn import schemas
from mlops_assets.gates.coverage_findings import CoverageFindings
from mlops_assets.gates.findings import DriftFindings
from mlops_assets.gates.outcome_findings import OutcomeFindings
from mlops_assets.gates.promotion import PromotionFindings
from mlops_assets.learning.evaluation import Metrics
from mlops_assets.learning.records import Candidates, Champions, PageColumns, TrainingSet

LAYERS = ("raw", "validated", "features", "model", "predictions", "drift")


MODEL = pa.Field(str_matches=r"^[0-9a-f]{32}$", description="digest of the champion that was judged")


class DriftReport(DriftFindings):
    """How each column of the batch and the score moved against the champion's reference, and the verdict."""

    model_md5: str = MODEL


class OutcomeReport(OutcomeFindings):
    """How the champion's scores of a mature batch kept what it promised, overall and by segment, and the verdict."""

    model_md5: str = MODEL


class CoverageReport(CoverageFindings):
    """Whether the customers with an outcome stand for their batch, by column, score and label, and the verdict."""

    labelled_md5: str = pa.Field(
        str_matches=r"^[0-9a-f]{32}$", description="digest of the labelled_customers that it is about"
    )


@dataclass(frozen=True, slots=True)
class Table:
    """What is fixed about an asset's table."""

    name: str
    layer: str
    contract: type[pa.DataFrameModel]
    is_by_batch: bool = True

    @property
    def folder(self) -> str:
        """Where it lies below the root of the layers, such as `3_features/customer_features`."""
        return f"{LAYERS.index(self.layer) + 1}_{self.layer}/{self.name}"


TABLES = {
    table.name: table
    for table in (
        Table("raw_customers", "raw", schemas.RawCustomers),
        Table("raw_outcomes", "raw", schemas.RawOutcomes),
        Table("validated_customers", "validated", schemas.ValidatedCustomers),
        Table("quarantined_customers", "validated", schemas.QuarantinedRows),
        Table("validated_outcomes", "validated", schemas.ValidatedOutcomes),
        Table("quarantined_outcomes", "validated", schemas.QuarantinedRows),
        Table("customer_features", "features", schemas.CustomerFeatures),
        Table("coverage_report", "features", CoverageReport),
        Table("labelled_customers", "features", schemas.LabelledCustomers),
        Table("training_set", "features", TrainingSet, is_by_batch=False),
        Table("churn_model", "model", Candidates, is_by_batch=False),
        Table("model_evaluation", "model", Metrics, is_by_batch=False),
        Table("promotion_verdict", "model", PromotionFindings, is_by_batch=False),
        Table("champion", "model", Champions, is_by_batch=False),
        Table("predictions", "predictions", schemas.Predictions),
        Table("drift_report", "drift", DriftReport),
        Table("outcome_report", "drift", OutcomeReport),
        Table("evidently_report", "drift", PageColumns),
    )
}
