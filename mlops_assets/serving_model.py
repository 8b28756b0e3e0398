"""The registered model, from code: MLflow runs this file wherever the model is served, without our package.

It answers with score and decision; CatBoost's own flavour would answer 0 or 1 at .5, which is nobody's threshold.
Nothing is pickled: the model is CatBoost's native file, the threshold a number in a JSON file beside it.
"""

import json
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd


class ChurnModel(mlflow.pyfunc.PythonModel):  # type: ignore[name-defined,misc] # a lazy module
    """Customer features in, score and decision out."""

    def load_context(self, context: Any) -> None:  # noqa: ANN401 - mlflow's PythonModelContext
        """Load the model and its threshold from the artifacts."""
        from catboost import CatBoostClassifier

        self.model = CatBoostClassifier().load_model(context.artifacts["model"])
        self.threshold = json.loads(Path(context.artifacts["decision"]).read_text(encoding="utf-8"))["threshold"]
        names = self.model.feature_names_
        self.categorical = [names[position] for position in self.model.get_cat_feature_indices()]

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:  # noqa: ANN401, ARG002
        """Score and decision, shape (n, 2), for features of shape (n, k)."""
        inputs = model_input[self.model.feature_names_].copy()
        for name in inputs:
            if name in self.categorical:
                inputs[name] = inputs[name].astype(object).where(inputs[name].notna(), "(missing)").astype(str)
            else:
                inputs[name] = inputs[name].astype("float64")
        score = self.model.predict_proba(inputs, thread_count=1)[:, 1]
        return pd.DataFrame({"score": score, "decision": score >= self.threshold}, index=model_input.index)


mlflow.models.set_model(ChurnModel())
