"""A figure says its finding, is small, and is the same bytes each time; pyplot has no part in it."""

import io
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from mlops_assets.learning import figures
from mlops_assets.learning.explanation import shap_values

Draw = Callable[..., Figure]


@pytest.fixture(scope="module")
def scores() -> pd.DataFrame:
    """400 customers, scored by the truth, and by a baseline that knows half of it."""
    rng = np.random.default_rng(5)
    score = rng.beta(0.8, 2.2, 400).clip(0.001, 0.999)
    label = (rng.random(400) < score).astype(int)
    table = pd.DataFrame({"scheme": "out_of_fold", "label": label, "weight": 1.0})
    half = rng.permutation(score)
    return pd.concat(
        [table.assign(candidate="a", score=score), table.assign(candidate="baseline", score=(score + half) / 2)],
        ignore_index=True,
    )


FIGURES: dict[str, Draw] = {
    "roc": figures.roc,
    "precision_recall": figures.precision_recall,
    "calibration": partial(figures.calibration, bins=10),
    "confusion": partial(figures.confusion, threshold=1 / 3),
    "gain": figures.gain,
}
each = pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES.keys())


@each
def test_a_figure_is_a_small_picture_480_pixels_wide_and_always_the_same(draw: Draw, scores: pd.DataFrame) -> None:
    first, second = (figures.to_png(draw(scores, candidate="a"), dpi=100) for _ in range(2))

    assert first == second
    assert len(first) < 50_000
    assert matplotlib.image.imread(io.BytesIO(first), format="png").shape[1] == 480


@pytest.mark.parametrize("name", ["roc", "precision_recall", "calibration", "gain"])
def test_rivals_are_drawn_beside_the_candidate(name: str, scores: pd.DataFrame) -> None:
    (axes,) = FIGURES[name](scores, candidate="a").axes

    told = [label.split()[0] for label in axes.get_legend_handles_labels()[1]]
    assert told == ["a", "baseline"]


def test_the_title_of_the_roc_is_the_auc(scores: pd.DataFrame) -> None:
    from sklearn.metrics import roc_auc_score

    own = scores[scores.candidate == "a"]
    title = figures.roc(scores, candidate="a").get_suptitle()

    assert title == f"A leaver outranks a stayer {roc_auc_score(own.label, own.score):.1%} of the time"


def test_the_confusion_counts_every_customer_once(scores: pd.DataFrame) -> None:
    (axes,) = figures.confusion(scores, candidate="a", threshold=1 / 3).axes

    assert sum(int(text.get_text().split("\n")[0]) for text in axes.texts) == 400


@each
def test_one_outcome_alone_can_be_drawn_and_claims_nothing(draw: Draw, scores: pd.DataFrame) -> None:
    title = draw(scores.assign(label=0), candidate="a").get_suptitle()

    assert title.startswith(("One outcome only", "Outcomes bear out the score in"))


@each
def test_two_schemes_in_one_figure_are_refused(draw: Draw, scores: pd.DataFrame) -> None:
    both = pd.concat([scores, scores.assign(scheme="rolling_origin")])

    with pytest.raises(ValueError, match="a figure of 'a' needs its scores under one scheme"):
        draw(both, candidate="a")


@each
def test_a_candidate_without_scores_is_refused(draw: Draw, scores: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match=r"figure of 'b'.*given are"):
        draw(scores, candidate="b")


def test_the_effects_of_features_are_drawn_largest_on_top(model: bytes, inputs: pd.DataFrame) -> None:
    shap = shap_values(model, inputs)
    figure = figures.shap_summary(shap, inputs)

    told = [text.get_text().split("\n")[0] for text in figure.axes[0].get_yticklabels()]
    assert told == shap.abs().mean().nlargest(12).index[::-1].tolist()
    assert len(figures.to_png(figure, dpi=100)) < 50_000


def test_drawing_loads_no_pyplot() -> None:
    code = "import sys, pandas as pd; from mlops_assets.learning import figures; "
    code += "t = pd.DataFrame({'candidate': 'a', 'scheme': 's', 'label': [0, 1], 'score': [.1, .9], 'weight': 1.0}); "
    code += "figures.to_png(figures.roc(t, candidate='a'), dpi=50); print('matplotlib.pyplot' in sys.modules)"
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )

    assert said.stdout.strip() == "False"


def test_importing_the_room_loads_no_slow_library() -> None:
    code = (
        "import sys; from mlops_assets.learning import evaluation, explanation, figures, training; "
        "print(sorted({'catboost', 'sklearn', 'scipy', 'matplotlib'} & set(sys.modules)))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )

    assert said.stdout.strip() == "[]"
