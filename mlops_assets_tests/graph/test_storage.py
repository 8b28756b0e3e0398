"""What Dagster calls an asset's data version is the digest of the file on disk, so that DVC and Dagster agree.

`set_data_version` on the step context is no documented call of Dagster's: this is the contract test that holds it.
"""

import dagster as dg
import pytest

from mlops_assets.operate import System
from mlops_assets.storage import Layers
from mlops_assets.tables import TABLES

VERSION, INPUT = "dagster/data_version", "dagster/input_data_version"


def newest(running: System, name: str) -> dict[str | None, dg.AssetMaterialization]:
    """The newest materialization of each batch of a table."""
    records = running.instance.fetch_materializations(dg.AssetKey(name), limit=100, ascending=True).records
    return {record.partition_key: record.asset_materialization for record in records if record.asset_materialization}


MADE = [name for name in TABLES if name != "evidently_report"]


@pytest.mark.parametrize("name", MADE)
def test_the_data_version_of_a_table_is_the_md5_of_its_file(name: str, demo: System, layers: Layers) -> None:
    made = newest(demo, name)
    on_disk = layers.batches(name) if TABLES[name].is_by_batch else [None]
    assert sorted(map(str, made)) == sorted(map(str, on_disk))
    for batch, event in made.items():
        assert (event.tags or {})[VERSION] == layers.digest(name, batch)


@pytest.mark.parametrize("name", MADE)
def test_a_materialization_says_digest_place_size_and_rows(name: str, demo: System, layers: Layers) -> None:
    for batch, event in newest(demo, name).items():
        facts = {key: value.value for key, value in event.metadata.items()}
        assert facts["dvc_md5"] == layers.digest(name, batch)
        assert facts["path"] == str(layers.path(name, batch))
        assert facts["size_bytes"] == len(layers.content(name, batch))
        assert facts["dagster/row_count"] == len(layers.read(name, batch))


def test_predictions_remember_which_champion_made_them(demo: System, layers: Layers) -> None:
    (event,) = newest(demo, "predictions").values()
    assert (event.tags or {})[f"{INPUT}/champion"] == layers.digest("champion")
