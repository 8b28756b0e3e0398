"""After a broken delivery the last good tables are still there, and the failed check shows what broke."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from mlops_assets import deliveries, operate
from mlops_assets.home import Home
from mlops_assets.operate import Ran, System
from mlops_assets.params import Params
from mlops_assets.storage import Layers

BATCH = "2024-06"
AFTER = ("validated_customers", "customer_features", "predictions", "drift_report")


@dataclass(frozen=True)
class Delivery:
    """What a landed file did to a home that had scored its month before."""

    running: System
    ran: Ran
    before: dict[str, str]

    @property
    def layers(self) -> Layers:
        """The home's layers."""
        layers: Layers = self.running.resources["layers"]
        return layers

    def check(self, asset: str, name: str = "contract") -> dg.AssetCheckEvaluation:
        """An evaluation of the run."""
        (found,) = (c for c in self.ran.checks if (c.asset_key.to_user_string(), c.check_name) == (asset, name))
        return found

    def cases(self, asset: str, entry: str = "failure_cases") -> list[dict[str, Any]]:
        """A table in the metadata of the asset's contract check."""
        shown = self.check(asset).metadata[entry]
        assert isinstance(shown, dg.TableMetadataValue)
        return [dict(record.data) for record in shown.records]


def customers(running: System) -> pd.DataFrame:
    """The month's landed customers, as text."""
    return pd.read_csv(io.BytesIO(running.inbox.read("customers", BATCH)), dtype=str, keep_default_na=False)


def deliver(running: System, content: bytes) -> Delivery:
    """Land a file for the month and score it."""
    layers = running.resources["layers"]
    before = {name: layers.digest(name, BATCH) for name in ("raw_customers", *AFTER)}
    running.inbox.put(BATCH, {"customers": content})
    return Delivery(running, running.run("score", BATCH), before)


def with_negative_charges(table: pd.DataFrame, rows: int) -> bytes:
    """The first `rows` customers owe less than nothing."""
    broken = table.copy()
    broken.loc[: rows - 1, "monthly_charges"] = "-" + broken.monthly_charges[:rows]
    return deliveries.csv_bytes(broken)


@pytest.fixture(scope="module")
def broken(
    copy_home: Callable[[Path], Home], tmp_path_factory: pytest.TempPathFactory, params: Params
) -> Iterator[Delivery]:
    """A third of the rows is impossible."""
    home = copy_home(tmp_path_factory.mktemp("broken") / "home")
    with operate.system(home, params) as running:
        yield deliver(running, with_negative_charges(customers(running), 130))


def test_the_run_fails_and_names_the_share_and_the_limit(broken: Delivery) -> None:
    assert not broken.ran.is_success
    assert "130 of 391 rows (33.2%) are quarantined, at most 5.0% may" in broken.ran.broken[0]
    assert broken.running.instance.get_run_by_id(broken.ran.run_id).status is dg.DagsterRunStatus.FAILURE  # type: ignore[union-attr]


@pytest.mark.parametrize("name", AFTER)
def test_the_last_good_table_stays_as_it_was(broken: Delivery, name: str) -> None:
    assert broken.layers.digest(name, BATCH) == broken.before[name]
    assert name not in broken.ran.materialized


def test_what_landed_and_what_is_wrong_with_it_are_published(broken: Delivery) -> None:
    assert broken.layers.digest("raw_customers", BATCH) != broken.before["raw_customers"]
    quarantined = broken.layers.read("quarantined_customers", BATCH)
    assert list(quarantined.source_line) == list(range(2, 132))
    assert set(quarantined.source_file) == {f"customers/{BATCH}.csv"}


def test_the_failed_check_shows_rule_value_count_and_lines_as_a_table(broken: Delivery) -> None:
    assert not broken.check("validated_customers").passed
    (case,) = broken.cases("validated_customers")
    assert "monthly_charges" in case["rule"]
    assert case["count"] == 130
    assert case["lines"] == "2, 3, 4, 5, 6"
    assert "-" in case["failing_value"]


def test_the_failed_check_belongs_to_the_month(broken: Delivery) -> None:
    assert broken.check("validated_customers").partition == BATCH


def test_the_corrected_file_heals_the_month_with_the_same_bytes(copied: System) -> None:
    good = copied.inbox.read("customers", BATCH)
    broken = deliver(copied, with_negative_charges(customers(copied), 130))
    healed = deliver(copied, good)
    assert healed.ran.is_success
    assert {name: healed.layers.digest(name, BATCH) for name in AFTER} == {name: broken.before[name] for name in AFTER}
    assert len(healed.layers.read("quarantined_customers", BATCH)) == 0


def test_a_few_broken_rows_are_quarantined_and_the_others_scored(copied: System) -> None:
    table = customers(copied)
    delivery = deliver(copied, with_negative_charges(table, 3))
    assert delivery.ran.is_success
    assert list(delivery.layers.read("predictions", BATCH).customer_id) == list(table.customer_id[3:])
    (case,) = delivery_rules(delivery)
    assert case["count"] == 3


def delivery_rules(delivery: Delivery) -> list[dict[str, Any]]:
    """The table of broken rules in the metadata of the month's good table."""
    return [dict(record.data) for record in delivery.ran.materialized["validated_customers"]["broken_rules"].records]


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "empty"), (b"customer_id,tenure\n", "column"), ("größe\n".encode("latin-1"), "UTF-8")],
    ids=["empty", "header of another table", "another encoding"],
)
def test_a_file_that_is_no_such_table_stops_before_raw(copied: System, content: bytes, said: str) -> None:
    delivery = deliver(copied, content)
    assert not delivery.ran.is_success
    assert delivery.ran.broken[0].startswith(f"raw_customers: refused: customers/{BATCH}.csv")
    assert said in delivery.ran.broken[0]
    assert {name: delivery.layers.digest(name, BATCH) for name in delivery.before} == delivery.before


def test_an_unseen_level_passes_as_news_and_is_scored(copied: System) -> None:
    table = customers(copied).assign(payment_method=lambda t: t.payment_method.mask(t.index < 1, "Cash"))
    delivery = deliver(copied, deliveries.csv_bytes(table))
    assert delivery.ran.is_success
    news = delivery.check("validated_customers", "news")
    assert (news.passed, news.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "Cash" in str(news.metadata["news"])
    assert len(delivery.layers.read("predictions", BATCH)) == len(table)
