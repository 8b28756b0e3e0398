"""Every tenth customer of the shipped table, as the learning room takes them, in ten months; and a model of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from mlops_assets.learning.training import Recipe, fit

SOURCE = pd.read_csv(Path(__file__).parents[2] / "data" / "source" / "telco_churn.csv").iloc[::10]
MONTHS = [f"2024-{month:02d}" for month in range(1, 11)]


@pytest.fixture(scope="session")
def inputs() -> pd.DataFrame:
    """Shape (705, 19), index not 0 to n - 1."""
    source = SOURCE.drop(columns="churn")
    return source.astype(dict.fromkeys(source.select_dtypes("number"), "float64"))


@pytest.fixture(scope="session")
def labels() -> NDArray[np.int64]:
    """Shape (705,), 1 for a customer who left."""
    return np.asarray(SOURCE.churn == "Yes", dtype=np.int64)


@pytest.fixture(scope="session")
def known() -> dict[str, NDArray[Any]]:
    """Weights of 1, and batches: ten months in order of the table."""
    return {"weights": np.ones(len(SOURCE)), "batches": np.array(MONTHS)[np.arange(len(SOURCE)) * 10 // len(SOURCE)]}


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    """The kind of recipe in `params.yaml`, with fewer trees."""
    return Recipe("small", 40, 3, 0.1, 3.0, 10, 7, None)


@pytest.fixture(scope="session")
def model(inputs: pd.DataFrame, labels: NDArray[np.int64], known: dict[str, NDArray[Any]], recipe: Recipe) -> bytes:
    """A model of all of them."""
    return fit(inputs, labels, **known, recipe=recipe)
