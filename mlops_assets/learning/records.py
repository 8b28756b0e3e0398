"""The tables that say what was trained, from what, and which of it scores: one contract each.

They hold digests, batches and figures only: a run id or a clock in them would make equal models look different.
"""

import pandera.pandas as pa

MD5 = r"^[0-9a-f]{32}$"
MONTH = r"^\d{4}-\d{2}$"


class TrainingSet(pa.DataFrameModel):
    """Which labelled batches a training may see: a list, not a copy; one row per batch, oldest first."""

    batch: str = pa.Field(unique=True, str_matches=MONTH, description="mature month, not newer than as_of")
    md5: str = pa.Field(str_matches=MD5, description="digest of the batch's labelled_customers")
    rows: int = pa.Field(ge=1, description="labelled customers of the batch")
    positives: int = pa.Field(ge=0, description="of which left")
    weight: float = pa.Field(gt=0, description="sum of the weights its rows learn with")

    class Config:
        """Closed: a column that is not named here is a mistake."""

        strict = True


class Candidates(pa.DataFrameModel):
    """The challengers: each candidate's model, fitted on everything up to as_of; one row per candidate."""

    candidate: str = pa.Field(unique=True, description="name of the recipe")
    model_md5: str = pa.Field(str_matches=MD5, description="digest of the model; its file is <digest>.cbm")
    scores_md5: str = pa.Field(str_matches=MD5, description="digest of the out-of-sample scores, <digest>.parquet")
    training_md5: str = pa.Field(str_matches=MD5, description="digest of the training_set")
    params_md5: str = pa.Field(str_matches=MD5, description="digest of the parameters that shape a model")
    as_of: str = pa.Field(str_matches=MONTH, description="newest batch learned from")
    batches: int = pa.Field(ge=1, description="batches learned from")
    rows: int = pa.Field(ge=2, description="customers learned from")
    threshold: float = pa.Field(gt=0, lt=1, description="score from which an offer pays, probability")
    is_reproducible: bool = pa.Field(description="a second fit gave the same bytes")
    description: str = pa.Field(str_length={"min_value": 20}, description="what it is, in words")

    class Config:
        """Closed: a column that is not named here is a mistake."""

        strict = True


class Champions(Candidates):
    """The model that scores in production; one row."""

    reference_md5: str = pa.Field(str_matches=MD5, description="digest of the drift reference, <digest>.parquet")
    verdict_md5: str = pa.Field(str_matches=MD5, description="digest of the verdict that promoted it")


class PageColumns(pa.DataFrameModel):
    """What Evidently's page says of each column of a batch; one row per column."""

    column: str = pa.Field(unique=True, description="feature or score")
    method: str = pa.Field(description="Evidently's test or distance")
    value: float = pa.Field(description="its p-value or distance")
    limit: float = pa.Field(description="where Evidently calls it drift")
    is_drifted: bool = pa.Field(description="Evidently's opinion; the gate decides")

    class Config:
        """Closed: a column that is not named here is a mistake."""

        strict = True
