"""What git holds of a run is what its tables say, rounded, and small whatever their size."""

import csv
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets import compared
from mlops_assets.params import Params
from mlops_assets.storage import Layers


@pytest.fixture(scope="module")
def plots(layers: Layers, params: Params, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plots of the demonstration's model."""
    folder = tmp_path_factory.mktemp("plots")
    compared.write_plots(folder, layers, params)
    return folder


def records(path: Path) -> list[dict[str, float]]:
    """Points of a curve."""
    points: list[dict[str, float]] = json.loads(path.read_text())[path.stem]
    return points


@given(count=st.integers(1, 5000))
def test_a_thinned_curve_keeps_its_ends_and_few_points(count: int) -> None:
    places = compared.thinned(count)
    assert (places[0], places[-1]) == (0, count - 1)
    assert places == sorted(set(places))
    assert len(places) == min(count, compared.POINTS)


def test_the_figures_of_a_model_are_those_of_its_evaluation(layers: Layers) -> None:
    table = layers.read("model_evaluation").query("cut == 'overall' and scheme == 'out_of_fold'")
    told = compared.model(layers)
    champion = told.pop("champion")
    assert champion == {"candidate": "all_history", "scheme": "out_of_fold", **told["all_history"]}
    assert {(c, m): told[c][m] for c in told for m in told[c]} == {
        (candidate, metric): round(float(value), 4)
        for candidate, metric, value in table[["candidate", "metric", "value"]].itertuples(index=False)
    }
    assert {len(figures) for figures in told.values()} == {7}


def test_the_roc_rises_from_corner_to_corner_and_holds_the_area_that_was_measured(layers: Layers, plots: Path) -> None:
    points = records(plots / "roc.json")
    assert len(points) <= compared.POINTS
    wrong, caught = (np.array([point[name] for point in points]) for name in ("fpr", "tpr"))
    assert (wrong[0], caught[0], wrong[-1], caught[-1]) == (0, 0, 1, 1)
    assert (np.diff(wrong) >= 0).all()
    assert (np.diff(caught) >= 0).all()
    assert np.trapezoid(caught, wrong) == pytest.approx(compared.model(layers)["all_history"]["roc_auc"], abs=2e-3)


def test_the_confusion_counts_every_customer_that_was_scored_out_of_fold(layers: Layers, plots: Path) -> None:
    with (plots / "confusion.csv").open() as file:
        rows = list(csv.DictReader(file))
    listed = layers.read("training_set")
    assert len(rows) == listed.rows.sum()
    assert sum(row["actual"] == "left" for row in rows) == listed.positives.sum()
    assert {row["predicted"] for row in rows} == {"stayed", "left"}


def test_the_calibration_rises_with_the_score(plots: Path, params: Params) -> None:
    points = records(plots / "calibration.json")
    assert len(points) <= params.evaluation.calibration_bins
    assert all(one["score"] < other["score"] for one, other in pairwise(points))


def test_the_importances_fall_and_add_up_to_one(plots: Path) -> None:
    with (plots / "importance.csv").open() as file:
        shares = [float(row["share"]) for row in csv.DictReader(file)]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1, abs=len(shares) * 10**-compared.DIGITS)


def test_what_is_kept_in_git_is_small(plots: Path) -> None:
    assert sum(path.stat().st_size for path in plots.iterdir()) < 100_000
