"""The summary says what ran, which model scores and how well, what the newest month looks like, and where to go on."""

import re
import shutil

import pytest

from mlops_assets import summary
from mlops_assets.operate import System
from mlops_assets.storage import Layers


@pytest.fixture(scope="module")
def text(demo: System) -> str:
    """The summary of the demonstration."""
    return summary.of(demo)


def line(text: str, start: str) -> str:
    """The line of the summary that starts so."""
    (found,) = (line for line in text.splitlines() if line.strip().startswith(start))
    return found


@pytest.mark.parametrize("batch", [f"2024-{month:02d}" for month in range(1, 6)])
def test_a_mature_month_has_its_rows_quarantine_labels_and_churn_rate(text: str, batch: str, layers: Layers) -> None:
    labelled = layers.read("labelled_customers", batch)
    rows = len(layers.read("validated_customers", batch))
    assert line(text, batch).split() == [batch, str(rows), "0", str(len(labelled)), f"{labelled.label.mean():.1%}"]


def test_a_month_without_outcomes_is_not_known_yet(text: str) -> None:
    assert next(row for row in text.splitlines() if row.startswith("2024-06 ")).endswith("not known yet")


def test_the_champion_is_named_by_version_candidate_and_digest(text: str, layers: Layers) -> None:
    row = layers.read("champion").iloc[0]
    assert line(text, "champion: ").startswith(f"champion: version 1, {row.candidate}, model {row.model_md5}")
    assert row.description in text


@pytest.mark.parametrize(("metric", "shown"), [("log_loss", "log-loss"), ("roc_auc", "ROC AUC")])
def test_its_figures_stand_beside_the_baselines_with_their_intervals(
    text: str, layers: Layers, metric: str, shown: str
) -> None:
    table = layers.read("model_evaluation").query("cut == 'overall' and scheme == 'out_of_fold'")
    rows = table[table.metric.eq(metric)].set_index("candidate").loc[["all_history", "spline_logistic"]]
    expected = [f"{row.value:.3f} [{row.lower:.3f}, {row.upper:.3f}]" for row in rows.itertuples()]
    assert line(text, f"{shown} ").split(maxsplit=len(shown.split()))[-1].split("  ")[0] == expected[0]
    assert line(text, f"{shown} ").endswith(expected[1])


def test_the_newest_month_has_its_decisions_and_its_drift_verdict(text: str, layers: Layers) -> None:
    scored = layers.read("predictions", "2024-06")
    assert (
        line(text, "2024-06:")
        == f"2024-06: {len(scored)} customers scored, {int(scored.decision.sum())} pass the threshold"
    )
    assert line(text, "drift:").startswith("drift: PASS")


def test_it_ends_with_the_next_steps_and_where_everything_lies(text: str, demo: System) -> None:
    steps = text[text.index("next:") :]
    assert all(step in steps for step in ("make ui", "make mlflow", "mlops export 2024-06", "mlops report 2024-06"))
    assert str(demo.home.root) in steps.splitlines()[-1]


def test_nothing_in_it_is_wider_than_a_terminal_but_the_description(text: str, layers: Layers) -> None:
    description = layers.read("champion").description.iloc[0]
    assert max(len(row) for row in text.splitlines() if description not in row) <= 120


def test_before_the_first_champion_it_says_that_there_is_none(empty: System) -> None:
    text = summary.of(empty)
    assert "champion: none" in text
    assert "2024-06: not scored" in text


def test_a_champion_that_the_registry_lost_is_still_shown(copied: System) -> None:
    shutil.rmtree(copied.home.mlflow)
    assert "champion: version 1, all_history" in summary.of(copied)


def test_a_champion_made_from_a_dirty_tree_says_so(copied: System) -> None:
    versions = copied.home.history / "versions.jsonl"
    for text, is_dirty in (("true", True), ("false", False)):
        versions.write_text(re.sub(r'"git_dirty": "\w+"', f'"git_dirty": "{text}"', versions.read_text()))
        assert ("made from a tree that is not a commit" in summary.of(copied)) is is_dirty
