"""Unchanged bytes leave what is made from them fresh: Dagster compares data versions, and these are digests."""

import dagster as dg
import pandas as pd
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from mlops_assets.definitions import defs
from mlops_assets.operate import System

BATCH = "2024-06"


def status(running: System, asset: str) -> StaleStatus:
    """What the UI says of the asset's partition."""
    graph = defs.resolve_asset_graph()
    resolver = CachingStaleStatusResolver(running.instance, graph, LoadingContextForTest(running.instance))
    return resolver.get_status(dg.AssetKey(asset), BATCH)


@pytest.fixture
def remade(copied: System) -> System:
    """The newest month, made again from the same file."""
    assert copied.materialize("raw_customers", BATCH).is_success
    return copied


def test_the_same_file_again_leaves_the_tables_made_from_it_fresh(remade: System) -> None:
    assert status(remade, "quarantined_customers") is StaleStatus.FRESH
    assert status(remade, "customer_features") is StaleStatus.FRESH


def test_another_file_makes_the_tables_made_from_it_stale(copied: System) -> None:
    rows = pd.read_csv(copied.inbox.root / "customers" / f"{BATCH}.csv", dtype=str, keep_default_na=False)
    copied.inbox.put(BATCH, {"customers": rows.iloc[:-1].to_csv(index=False).encode()})
    assert copied.materialize("raw_customers", BATCH).is_success
    assert status(copied, "quarantined_customers") is StaleStatus.STALE
