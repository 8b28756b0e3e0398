"""What was made when, from what, and who used it: on the demonstration, and by rule on histories made up."""

import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.files import md5
from mlops_assets.history import Crowned, History, Made, Registered
from mlops_assets.home import Home, history_of
from mlops_assets.partitions import parse_batch
from mlops_assets.storage import Layers
from mlops_assets.store import Store
from mlops_assets.tables import TABLES
from mlops_assets.versions import Past, UnknownVersionError, node


@pytest.fixture(scope="module")
def past(demo_home: Home) -> Past:
    """The past of the demonstration."""
    return Past(history_of(demo_home))


@pytest.fixture
def history(tmp_path: Path) -> History:
    """A history that is empty."""
    return History(tmp_path / "history", Store(tmp_path / "store"))


def make(history: History, name: str, digest: str, inputs: dict[str, str] | None = None, **files: str) -> None:
    """Tell that a version was made; `name` as inputs are named."""
    asset, _, batch = name.partition("@")
    history.add(Made(asset, batch or None, digest, 1, 1, files, f"{digest}.dir", inputs or {}, "run", "job"))


def crown(history: History, model: str, verdict: str) -> None:
    """Tell that a model became champion by a verdict."""
    history.add(Crowned(model, "all", "2024-05", f"table of {model}", verdict, "better", "run"))


def train(history: History, model: str, **batches: str) -> None:
    """Tell of a training on batches, `m1` for 2024-01, and of the verdict by which its model became champion."""
    inputs = {f"2024-0{month[1]}": digest for month, digest in batches.items()}
    learned = {f"labelled_customers@{batch}": digest for batch, digest in inputs.items()}
    parts = (f"list of {model}", f"scores of {model}", inputs)
    history.register(Registered("all", model, "2024-05", f"candidate {model}", *parts, "", "", {}, "run", None))
    make(history, "training_set", f"list of {model}", learned)
    make(history, "churn_model", f"candidate {model}", {"training_set": f"list of {model}"})
    judged = {"churn_model": f"candidate {model}", "champion": "table of first"}
    make(history, "promotion_verdict", f"findings on {model}", judged, document=f"verdict on {model}")
    crown(history, model, f"verdict on {model}")


def used_by(history: History, model: str) -> set[tuple[str, str]]:
    """Versions that the champion with this model used."""
    (used,) = [used for crowned, used in Past(history).used if crowned.model_md5 == model]
    return used


def test_every_table_on_disk_is_the_version_of_its_batch_that_was_made_last(past: Past, layers: Layers) -> None:
    for asset in past.assets():
        last = {version.batch: version.md5 for version in past.versions(asset)}
        batches = layers.batches(asset) if TABLES[asset].is_by_batch else [None]
        assert last == {batch: layers.digest(asset, batch) for batch in batches}


def test_a_version_knows_its_size_rows_and_files(past: Past, layers: Layers) -> None:
    (version,) = past.versions("churn_model")
    made, folder = version.made[-1], layers.path("churn_model").parent
    assert made.size_bytes == layers.path("churn_model").stat().st_size
    assert made.rows == len(layers.read("churn_model"))
    assert made.files == {p.name: md5(p.read_bytes()) for p in folder.iterdir() if p != layers.path("churn_model")}


def test_a_version_knows_the_versions_it_was_made_from(past: Past, layers: Layers) -> None:
    (version,) = past.versions("labelled_customers", "2024-03")
    inputs = ("customer_features", "validated_outcomes")
    assert version.made[-1].inputs == {f"{name}@2024-03": layers.digest(name, "2024-03") for name in inputs}


def test_versions_come_in_the_order_in_which_they_were_last_made(past: Past) -> None:
    times = [version.made[-1].when for version in past.versions("customer_features")]
    assert times == sorted(times)
    assert len(times) == 6


def test_the_champion_used_every_month_it_learned_from_and_no_other(past: Past) -> None:
    used = {
        asset: {version.batch for version in past.versions(asset) if version.champions}
        for asset in ("raw_customers", "validated_customers", "customer_features", "raw_outcomes", "labelled_customers")
    }
    assert set(map(frozenset, used.values())) == {frozenset(f"2024-0{month}" for month in range(1, 6))}


def test_what_comes_after_a_champion_was_not_used_by_it(past: Past) -> None:
    assert {v.champions for name in ("predictions", "drift_report") for v in past.versions(name)} == {()}


def test_the_champion_used_its_landed_files(past: Past, demo_home: Home) -> None:
    landed = md5((demo_home.landing / "customers" / f"{parse_batch('2024-01')}.csv").read_bytes())
    (user,) = past.users(("customers/2024-01.csv", landed))
    assert user.candidate == "all_history"


def test_a_quarantine_beside_the_way_to_a_model_was_not_used(past: Past) -> None:
    assert {version.champions for version in past.versions("quarantined_customers")} == {()}


def test_of_the_registered_versions_one_is_champion(past: Past, layers: Layers) -> None:
    champions = [model.registered.model_md5 for model in past.models() if model.is_champion]
    assert champions == [layers.read("champion").model_md5.iloc[0]]
    assert [model.registered.version for model in past.models()] == [1, 2]


def test_a_lost_registry_and_a_lost_orchestrator_change_nothing(copied_home: Home) -> None:
    def everything() -> list[object]:
        past = Past(history_of(copied_home))
        found = [asdict(version) for asset in past.assets() for version in past.versions(asset)]
        return [*found, *(asdict(model) for model in past.models())]

    before = everything()
    shutil.rmtree(copied_home.mlflow)
    shutil.rmtree(copied_home.dagster)
    assert everything() == before


def test_an_asset_of_which_nothing_was_made_is_refused_with_those_that_there_are(past: Past) -> None:
    with pytest.raises(UnknownVersionError, match=r"no version of 'customers' .*: raw_customers, .*drift_report"):
        past.versions("customers")


def test_the_same_bytes_made_twice_are_one_version_made_twice(history: History) -> None:
    for digest in ("a", "b", "a"):
        make(history, "features@2024-01", digest)
    assert [(version.md5, len(version.made)) for version in Past(history).versions("features")] == [("b", 1), ("a", 2)]


def test_the_same_bytes_of_two_batches_are_two_versions(history: History) -> None:
    for batch in ("2024-01", "2024-02"):
        make(history, f"quarantine@{batch}", "empty")
    assert [version.batch for version in Past(history).versions("quarantine")] == ["2024-01", "2024-02"]


def test_a_corrected_delivery_that_changes_no_later_table_is_used_by_the_champion_that_came_after_it(
    history: History,
) -> None:
    make(history, "labelled_customers@2024-01", "same", {"raw@2024-01": "first delivery"})
    train(history, "before", m1="same")
    make(history, "labelled_customers@2024-01", "same", {"raw@2024-01": "second delivery"})
    train(history, "after", m1="same")
    make(history, "labelled_customers@2024-01", "same", {"raw@2024-01": "third delivery"})

    raw = {model: {d for name, d in used_by(history, model) if name == "raw@2024-01"} for model in ("before", "after")}
    assert raw == {"before": {"first delivery"}, "after": {"second delivery"}}


def test_what_the_champion_before_was_made_from_is_no_ingredient_of_the_next(history: History) -> None:
    train(history, "first", m1="january")
    make(history, "champion", "table of first", {"churn_model": "candidate first"})
    train(history, "second", m2="february")
    assert ("labelled_customers@2024-01", "january") in used_by(history, "first")
    assert ("labelled_customers@2024-01", "january") not in used_by(history, "second")
    assert ("promotion_verdict", "findings on second") in used_by(history, "second")


def test_a_champion_that_comes_back_is_one_user_and_champion_twice(history: History) -> None:
    train(history, "first", m1="january")
    train(history, "second", m1="january")
    crown(history, "first", "verdict on first")
    make(history, "labelled_customers@2024-01", "january")

    past = Past(history)
    (version,) = past.versions("labelled_customers")
    assert [user.model_md5 for user in version.champions] == ["first", "second"]
    assert [(m.is_champion, len(m.crowned)) for m in past.models()] == [(True, 2), (False, 1)]


def test_a_champion_whose_registration_is_lost_used_what_its_table_was_made_from(history: History) -> None:
    make(history, "training_set", "list", {"labelled_customers@2024-01": "january"})
    make(history, "champion", "table of first", {"training_set": "list"})
    crown(history, "first", "verdict")
    assert ("labelled_customers@2024-01", "january") in used_by(history, "first")


graphs = st.lists(st.sets(st.integers(0, 11), max_size=3), min_size=1, max_size=12)


@settings(max_examples=50)
@given(graphs, st.data())
def test_where_each_version_was_made_once_origins_are_all_that_leads_to_it(
    graph: list[set[int]], data: st.DataObject
) -> None:
    names = [(f"asset{place}", str(place)) for place in range(len(graph))]
    earlier = [{source for source in sources if source < place} for place, sources in enumerate(graph)]
    with tempfile.TemporaryDirectory() as folder:
        history = History(Path(folder), Store(Path(folder)))
        for place, sources in enumerate(earlier):
            make(history, *names[place], dict(names[source] for source in sources))
        past = Past(history)
        assert len(past.made) == len(graph)
    wanted = data.draw(st.sets(st.sampled_from(range(len(graph)))))
    leads = set(wanted)
    for place in reversed(range(len(graph))):
        leads |= earlier[place] if place in leads else set()

    assert past.origins([names[place] for place in wanted]) == {names[place] for place in leads}


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 2)), max_size=10), st.data())
def test_however_often_things_were_made_every_origin_has_its_own_origins(
    makings: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        history = History(Path(folder), Store(Path(folder)))
        for asset, digest, source in makings:
            make(history, f"asset{asset}", str(digest), {f"asset{asset + 1}": str(source)})
        past = Past(history)
        assert len(past.made) == len(makings)
    start = (f"asset{data.draw(st.integers(0, 3))}", str(data.draw(st.integers(0, 2))))
    reached = past.origins([start])

    assert start in reached
    for version in reached & set(past.makings):
        sources = [set(past.made[position].inputs.items()) for position in past.makings[version]]
        assert any(source <= reached for source in sources)


def test_a_making_is_called_as_inputs_are() -> None:
    made = Made("features", "2024-01", "a", 1, 1, {}, "", {}, "", "")
    assert node(made) == ("features@2024-01", "a")
