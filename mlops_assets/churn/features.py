"""What the model sees of a customer: each column as a number or an open level, and the count of add-ons.

One function serves training and scoring, row by row: a feature that needed other rows (a rank, a mean of the batch)
would mean something else in a small batch. Hand-made features were measured and did not pay (`docs/features.md`).
"""

import pandas as pd

from mlops_assets.churn import offers
from mlops_assets.churn.schemas import ADD_ONS, CustomerFeatures, LabelledCustomers, fields

KEYS = ("customer_id", "batch", "label", "weight")
SEGMENTS = ("contract", "internet_service", "senior_citizen", "female")


def build_features(customers: pd.DataFrame) -> pd.DataFrame:
    """`CustomerFeatures` of `ValidatedCustomers`, shape (n, 21), in the order of its rows; missing stays missing."""
    typed = {
        name: customers[name] if customers[name].dtype == object else customers[name].astype("float64")
        for name in customers.columns
    }
    num_optional_services = customers[list(ADD_ONS)].isin(["Yes"]).sum(axis=1).astype("float64")
    return pd.DataFrame(typed).assign(num_optional_services=num_optional_services)[fields(CustomerFeatures)]


def label_customers(features: pd.DataFrame, outcomes: pd.DataFrame, *, batch: str) -> pd.DataFrame:
    """`LabelledCustomers`: the rows of `features` that have an outcome to learn from, with label and weight.

    Customers without an outcome stay unlabelled, and those who got an offer teach nothing: both are left out.
    """
    joined = features.merge(outcomes, on="customer_id", how="inner", validate="one_to_one")
    weight = offers.learning_weight(joined.assignment, joined.assignment_chance)
    labelled = joined.assign(batch=batch, label=joined.churned.astype("int64"), weight=weight)
    return labelled.loc[weight > 0, fields(LabelledCustomers)].reset_index(drop=True)


def model_inputs(table: pd.DataFrame) -> pd.DataFrame:
    """Columns of `table` that a model may see: all but the keys, the label and its weight."""
    return table[[name for name in fields(CustomerFeatures) if name not in KEYS]]


def segments(table: pd.DataFrame) -> pd.DataFrame:
    """The segments in which a weak model would hide, as text, keyed by batch and customer_id."""
    words = {"senior_citizen": {0.0: "under 65", 1.0: "65 or older"}, "female": {0.0: "men", 1.0: "women"}}
    cut = {name: table[name].map(words[name]) if name in words else table[name].astype(object) for name in SEGMENTS}
    named = {"senior_citizen": "senior", "female": "gender"}
    keys = table[["batch", "customer_id"]]
    return keys.assign(**{named.get(name, name): column.fillna("(missing)") for name, column in cut.items()})
