"""Every asset tells a colleague what it is, whose it is and what it holds, and the code location loads quickly."""

import subprocess
from collections.abc import Callable

import dagster as dg
import pytest

from mlops_assets.automation import JOB_ASSETS
from mlops_assets.definitions import ASSETS, defs
from mlops_assets.home import Home
from mlops_assets.partitions import BATCHES
from mlops_assets.tables import LAYERS, TABLES

SPECS = {spec.key.to_user_string(): spec for asset in ASSETS for spec in asset.specs}
CHECKS = {
    asset: [spec for a in ASSETS for spec in a.check_specs if spec.asset_key == dg.AssetKey(asset)] for asset in SPECS
}
HEAVY = ("catboost", "mlflow", "dagster_mlflow", "evidently", "sklearn", "dvc", "scipy", "matplotlib")


def test_the_tables_are_the_assets() -> None:
    assert set(SPECS) == set(TABLES)


@pytest.mark.parametrize("name", TABLES)
def test_every_asset_holds_a_contract(name: str) -> None:
    (contract,) = (check for check in CHECKS[name] if check.name == "contract")
    assert contract.description == TABLES[name].contract.__doc__


@pytest.mark.parametrize("name", TABLES)
def test_a_contract_carries_the_batch_where_the_table_has_one_and_a_gate_never_does(name: str) -> None:
    carried = {check.name: check.partitions_def for check in CHECKS[name]}
    assert carried.pop("contract") == (BATCHES if TABLES[name].is_by_batch else None)
    assert set(carried.values()) <= {None}


@pytest.mark.parametrize("name", TABLES)
def test_every_check_says_what_it_is_about(name: str) -> None:
    assert all(check.description for check in CHECKS[name])


@pytest.mark.parametrize("name", TABLES)
def test_every_asset_has_a_description_of_whole_sentences(name: str) -> None:
    description = str(SPECS[name].description)
    assert len(description.split()) >= 5
    assert description.endswith(".")


@pytest.mark.parametrize("name", TABLES)
def test_every_asset_has_an_owner_its_layers_group_and_a_kind(name: str) -> None:
    spec = SPECS[name]
    assert spec.owners == ["team:churn"]
    assert spec.group_name == TABLES[name].layer
    assert spec.kinds > {"python"}


@pytest.mark.parametrize("name", TABLES)
def test_every_asset_shows_the_columns_of_its_contract_each_with_a_description(name: str) -> None:
    shown = SPECS[name].metadata["dagster/column_schema"]
    assert isinstance(shown, dg.TableSchema)
    assert [column.name for column in shown.columns] == list(TABLES[name].contract.to_schema().columns)
    assert all(column.description for column in shown.columns)


@pytest.mark.parametrize("name", TABLES)
def test_what_comes_by_batch_is_partitioned_by_batch(name: str) -> None:
    assert SPECS[name].partitions_def == (BATCHES if TABLES[name].is_by_batch else None)


def test_the_groups_are_the_layers() -> None:
    assert {spec.group_name for spec in SPECS.values()} == set(LAYERS)


@pytest.mark.parametrize("job", JOB_ASSETS)
def test_a_job_materializes_what_it_names_and_nothing_else(job: str) -> None:
    selected = defs.resolve_job_def(job).asset_layer.executable_asset_keys
    assert {key.to_user_string() for key in selected} == set(JOB_ASSETS[job])


def test_the_jobs_together_materialize_everything() -> None:
    assert {asset for assets in JOB_ASSETS.values() for asset in assets} == set(TABLES)


def test_nothing_that_scores_depends_on_a_training_of_the_same_run() -> None:
    assert not {"training_set", "churn_model", "champion"} & set(JOB_ASSETS["score"])


def upstream(name: str) -> set[str]:
    """Everything that an asset is made from, directly or not."""
    direct = {dep.asset_key.to_user_string() for dep in SPECS[name].deps}
    return direct.union(*(upstream(other) for other in direct)) if direct else direct


def test_a_verdict_never_depends_on_predictions_which_depend_on_it() -> None:
    assert "predictions" not in upstream("promotion_verdict")
    assert "promotion_verdict" in upstream("predictions")


def test_labels_never_depend_on_predictions() -> None:
    assert "predictions" not in upstream("labelled_customers")


@pytest.mark.parametrize("name", ["validated_customers", "customer_features", "labelled_customers"])
def test_a_table_says_of_each_column_what_it_is_made_from(name: str, demo: object) -> None:
    event = demo.instance.get_latest_materialization_event(dg.AssetKey(name))  # type: ignore[attr-defined]
    lineage = event.asset_materialization.metadata["dagster/column_lineage"].value
    columns = set(TABLES[name].contract.to_schema().columns)
    made = {"batch"}  # from the partition, not from a column
    assert set(lineage.deps_by_column) >= columns - made


LOAD = f"""
import sys, warnings
warnings.filterwarnings("error", module="mlops_assets")
import mlops_assets.definitions
print(*sorted({{name.partition(".")[0] for name in sys.modules}} & set({HEAVY!r})))
"""


def test_the_code_location_loads_without_slow_libraries_and_without_a_warning_of_our_own(
    tmp_path_factory: pytest.TempPathFactory, python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = python(Home(tmp_path_factory.mktemp("load")), "-c", LOAD)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_loading_the_code_location_makes_nothing_on_disk(
    tmp_path_factory: pytest.TempPathFactory, python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    home = Home(tmp_path_factory.mktemp("load"))
    python(home, "-c", "import mlops_assets.definitions")
    assert {path.relative_to(home.root).parts[0] for path in home.root.rglob("*")} == {"dagster"}
