"""Decides how a score is explained: SHAP values, in log-odds, of the model that gave it.

They are exact for trees, come from CatBoost itself, and add up to the score, so that a reason given to a person is
what the model did and not a second model's guess. They say why the model scored as it did, not what would make a
customer stay: a customer on a month-to-month contract is not kept by being told so.
"""

import numpy as np
import pandas as pd
import pandera.pandas as pa

from mlops_assets.learning.inputs import MISSING, as_inputs, select
from mlops_assets.learning.training import booster


class Importances(pa.DataFrameModel):
    """How much each feature moves the scores of a candidate, most important first."""

    candidate: str = pa.Field(description="name of the recipe")
    feature: str = pa.Field(description="column the model learned from")
    mean_abs_shap: float = pa.Field(ge=0, description="mean size of its contribution to a score, in log-odds")
    share: float = pa.Field(ge=0, le=1, description="of all features' mean_abs_shap")

    class Config:
        """A closed table, one row for each feature of a candidate."""

        strict = True
        coerce = False
        unique = ["candidate", "feature"]  # noqa: RUF012 - pandera reads a plain list

    @pa.dataframe_check
    @classmethod
    def shares_add_up(cls, table: pd.DataFrame) -> bool:
        """To 1 for each candidate, or to 0 for one that no feature moves."""
        totals = table.groupby("candidate").share.sum()
        return bool((np.isclose(totals, 1) | (totals == 0)).all())


def shap_values(model: bytes, X: pd.DataFrame) -> pd.DataFrame:
    """What each feature adds to the log-odds of each row, shape, index and column order of `X`.

    With the model's constant, which is left out, a row adds up to the log-odds of its score. `X` has exactly the
    model's columns, in any order; ValueError names those that lack or are too many.
    Source: Lundberg et al. (2020), From local explanations to global understanding with explainable AI for trees.
    """
    import catboost

    trees = booster(model)
    features = list(trees.feature_names_)
    categorical = [features[i] for i in trees.get_cat_feature_indices()]
    inputs = as_inputs(select(X, features), categorical)
    if inputs.empty:
        return pd.DataFrame(index=X.index, columns=X.columns, dtype=np.float64)
    pool = catboost.Pool(inputs, cat_features=categorical)
    values = trees.get_feature_importance(pool, type="ShapValues", thread_count=1)
    return pd.DataFrame(values[:, :-1], index=X.index, columns=features)[list(X)]


def importances(shap: pd.DataFrame, *, candidate: str) -> pd.DataFrame:
    """`Importances` from SHAP values, shape (n, k): k rows, largest first, ties by name."""
    sizes = shap.abs().mean().rename("mean_abs_shap").rename_axis("feature").reset_index()
    table = sizes.sort_values(["mean_abs_shap", "feature"], ascending=[False, True], ignore_index=True)
    total = table.mean_abs_shap.sum()
    share = table.mean_abs_shap / total if total > 0 else table.mean_abs_shap
    return table.assign(candidate=candidate, share=share)[list(Importances.to_schema().columns)]


def top_reasons(shap: pd.DataFrame, X: pd.DataFrame, *, count: int) -> pd.DataFrame:
    """`reason_1` to `reason_<count>` for each row, such as "contract = Month-to-month (+0.52)"; index of `X`.

    The features that move the row's score most, either way, largest first, ties in column order; + raises the log-odds
    of leaving. Same rows and columns in both; ValueError when they differ or there are fewer features than `count`.
    """
    if list(shap) != list(X) or not shap.index.equals(X.index) or len(shap.columns) < count:
        message = (
            f"{count} reasons need the SHAP values of the same rows and columns: {shap.shape} is not {X.shape}, "
            "or names differ. Take both from `shap_values` of the same features."
        )
        raise ValueError(message)
    values = shap.to_numpy(np.float64)
    # Rounded, or contributions that are equal but for the order of additions would swap from run to run.
    order = np.argsort(-np.abs(values).round(9), axis=1, kind="stable")[:, :count]
    facts, names = X.to_numpy(dtype=object), list(X)
    reasons = [
        [f"{names[i]} = {_shown(facts[row, i])} ({values[row, i]:+.2f})" for i in largest]
        for row, largest in enumerate(order)
    ]
    return pd.DataFrame(reasons, index=X.index, columns=[f"reason_{place + 1}" for place in range(count)], dtype=object)


def _shown(value: object) -> str:
    if pd.isna(value):  # type: ignore[call-overload]
        return MISSING
    return f"{value:.6g}" if isinstance(value, float) else str(value)
