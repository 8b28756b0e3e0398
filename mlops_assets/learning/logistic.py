"""Decides what a champion has to be measured against: logistic regressions that anyone can refit and read.

The spline regression is the baseline. On churn it comes within a thousandth of the trees' log-loss, so that a model
which falls behind it is broken, not merely unlucky; the plain one, linear in every number, loses several thousandths
and shows what the curves are worth (docs/model.md).
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from mlops_assets.learning.inputs import Fitter, Scorer, as_inputs, categorical_columns, refuse_unlearnable, select

FEW = 10
"""A number with at most this many distinct values is a flag or a count, too coarse for a curve."""


def spline_logistic_fitter(*, inverse_regularisation: float, knots: int) -> Fitter:
    """One-hot levels, a cubic spline on each number with more than FEW distinct values, other numbers scaled to 0..1.

    `inverse_regularisation` is scikit-learn's C, > 0; `knots` (>= 2) are quantiles of the rows learned from, and fewer
    where they coincide. No value is the median; outside the known range a curve stays flat.
    """

    def numbers(inputs: pd.DataFrame, columns: list[str]) -> list[tuple[str, Any, list[str]]]:
        from sklearn.preprocessing import MinMaxScaler

        curved = [column for column in columns if inputs[column].nunique() > FEW]
        straight = [column for column in columns if column not in curved]
        curves = [(f"curve of {column}", _curve(inputs[column], knots), [column]) for column in curved]
        return [*curves, ("numbers", _imputed(MinMaxScaler(clip=True)), straight)]

    return _fitter(numbers, inverse_regularisation)


def plain_logistic_fitter() -> Fitter:
    """One-hot levels, every number standardised and linear, scikit-learn's default C of 1."""

    def numbers(_: pd.DataFrame, columns: list[str]) -> list[tuple[str, Any, list[str]]]:
        from sklearn.preprocessing import StandardScaler

        return [("numbers", _imputed(StandardScaler()), columns)]

    return _fitter(numbers, 1.0)


def _fitter(numbers: Any, inverse_regularisation: float) -> Fitter:  # noqa: ANN401 - scikit-learn has no types
    def fit(X: pd.DataFrame, y: ArrayLike, weights: ArrayLike, batches: ArrayLike) -> Scorer:
        from sklearn.compose import ColumnTransformer
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import OneHotEncoder

        refuse_unlearnable(X, y, weights=weights, batches=batches)
        features, categorical = [str(column) for column in X], categorical_columns(X)
        inputs = as_inputs(X, categorical)
        levels = ("levels", OneHotEncoder(handle_unknown="ignore", sparse_output=False), categorical)
        columns = ColumnTransformer([levels, *numbers(inputs, [c for c in features if c not in categorical])])
        regression = LogisticRegression(C=inverse_regularisation, max_iter=2000)
        regression.fit(columns.fit_transform(inputs), np.asarray(y), sample_weight=np.asarray(weights))

        def score(X: pd.DataFrame) -> NDArray[np.float64]:
            inputs = as_inputs(select(X, features), categorical)
            if inputs.empty:
                return np.empty(0)
            return np.asarray(regression.predict_proba(columns.transform(inputs))[:, 1], dtype=np.float64)

        return score

    return fit


def _imputed(scaler: Any) -> Any:  # noqa: ANN401 - scikit-learn has no types
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline

    return make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), scaler)


def _curve(values: pd.Series, knots: int) -> Any:  # noqa: ANN401 - scikit-learn has no types
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import SplineTransformer, StandardScaler

    # scikit-learn's own quantile knots may coincide where many rows share a value, and then its basis degenerates.
    places = np.unique(np.nanquantile(values, np.linspace(0, 1, knots)))
    spline = SplineTransformer(knots=places.reshape(-1, 1), extrapolation="constant")
    # Unscaled, the basis is small and the penalty flattens the curves: .002 of log-loss, all that splines may cost.
    return _imputed(make_pipeline(spline, StandardScaler()))
