"""A table that breaks its contract is never yielded, and every check is answered in any case."""

import warnings
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandera.errors import SchemaErrors

from mlops_assets import checks
from mlops_assets.gates.verdict import Verdict
from mlops_assets.history import Unrecorded
from mlops_assets.io_manager import LayersIOManager
from mlops_assets.partitions import BATCHES
from mlops_assets.storage import Bundle, Layers

MD5 = "0123456789abcdef" * 2
GOOD = pd.DataFrame(
    {
        "batch": ["2024-01", "2024-02"],
        "md5": [MD5, MD5],
        "rows": [392, 392],
        "positives": [98, 112],
        "weight": [392.0] * 2,
    }
)
BROKEN = GOOD.assign(batch="2024-01", rows=[0, 392], weight=[-1.0, -2.0])
OTHER = dg.AssetCheckResult(asset_key="training_set", check_name="other", passed=True)


def told(*arguments: Any, **more: Any) -> tuple[list[dg.MaterializeResult[Any]], list[dg.AssetCheckResult]]:
    """What `publish` yields: tables, and answers of checks."""
    events = list(checks.publish(*arguments, **more))
    tables = [event for event in events if isinstance(event, dg.MaterializeResult)]
    return tables, [event for event in events if isinstance(event, dg.AssetCheckResult)]


def test_a_table_that_keeps_its_contract_is_published() -> None:
    (table,), (contract,) = told("training_set", GOOD, note="two months", as_of="2024-02")
    assert table.value is GOOD
    assert dict(table.metadata or {}) == {"as_of": "2024-02"}
    assert (contract.check_name, contract.passed, contract.description) == ("contract", True, "two months")


@pytest.mark.parametrize("value", [BROKEN, Bundle(BROKEN, {})], ids=["table", "bundle"])
def test_a_table_that_breaks_its_contract_is_not_published(value: object) -> None:
    tables, (contract,) = told("training_set", value)
    assert tables == []
    assert not contract.passed
    assert contract.severity is dg.AssetCheckSeverity.ERROR


def test_other_checks_are_answered_whether_the_contract_holds_or_not() -> None:
    for table in (GOOD, BROKEN):
        assert [answer.check_name for answer in told("training_set", table, OTHER)[1]] == ["contract", "other"]


def test_the_failed_check_says_which_rules_broke_and_that_the_last_good_table_stays() -> None:
    (contract,) = told("training_set", BROKEN)[1]
    said = str(contract.description)
    assert "the last good table stays" in said
    assert all(rule in said for rule in ("rows: greater_than_or_equal_to(1)", "weight: greater_than(0)", "batch:"))


def test_the_failed_check_shows_each_rule_once_with_a_value_the_count_and_the_first_rows() -> None:
    (contract,) = told("training_set", BROKEN)[1]
    shown = contract.metadata["failure_cases"]
    assert isinstance(shown, dg.TableMetadataValue)
    by_column = {record.data["column"]: dict(record.data) for record in shown.records}
    assert by_column["weight"] == {
        "rule": "greater_than(0)",
        "column": "weight",
        "failing_value": "-1.0",
        "count": 2,
        "first_rows": "0, 1",
    }
    assert (by_column["rows"]["count"], by_column["rows"]["first_rows"]) == (1, "0")


def test_a_missing_column_is_shown_like_any_other_failure() -> None:
    (contract,) = told("training_set", GOOD.drop(columns="weight"))[1]
    assert "weight" in str(contract.metadata["failure_cases"])


class Crossed(pa.DataFrameModel):
    """A table with a rule across its columns."""

    low: int
    high: int

    @pa.dataframe_check
    @classmethod
    def low_is_below_high(cls, table: pd.DataFrame) -> "pd.Series[bool]":
        """Low is below high."""
        return table["low"] < table["high"]


def test_a_rule_across_columns_is_shown_with_its_rows() -> None:
    with pytest.raises(SchemaErrors) as raised:
        Crossed.validate(pd.DataFrame({"low": [1, 5], "high": [2, 3]}), lazy=True)
    shown = [dict(record.data) for record in checks.failure_cases(raised.value).records]
    assert {case["rule"] for case in shown} == {"low_is_below_high"}
    assert all(case["first_rows"] == "1" for case in shown)


def test_as_many_failure_cases_are_shown_as_a_person_reads() -> None:
    wide = {f"column_{number}": pa.Column(int, pa.Check.gt(0)) for number in range(60)}
    with pytest.raises(SchemaErrors) as raised:
        pa.DataFrameSchema(wide).validate(pd.DataFrame({name: [0] for name in wide}), lazy=True)
    assert len(checks.failure_cases(raised.value).records) == checks.CASES_SHOWN


def test_a_refusal_answers_every_check_and_publishes_nothing() -> None:
    answers = list(checks.refuse("training_set", "no month is mature yet", OTHER))
    assert [(a.check_name, a.passed) for a in answers if isinstance(a, dg.AssetCheckResult)] == [
        ("contract", False),
        ("other", True),
    ]
    assert len(answers) == 2


def test_who_abstains_answers_every_check_with_the_reason_and_fails_nothing() -> None:
    answers = list(checks.abstain("drift_report", "there is no champion", "drift"))
    assert all(isinstance(a, dg.AssetCheckResult) and a.passed for a in answers)
    assert {a.check_name: a.description for a in answers if isinstance(a, dg.AssetCheckResult)} == {
        "contract": "abstains: there is no champion",
        "drift": "abstains: there is no champion",
    }


@pytest.mark.parametrize(("verdict", "passed"), [(Verdict.PASS, True), (Verdict.FAIL, False), (Verdict.UNKNOWN, False)])
def test_a_gate_warns_unless_it_passes(verdict: Verdict, passed: bool) -> None:  # noqa: FBT001
    answer = checks.gate("drift_report", "drift", verdict, "tenure moved")
    assert (answer.passed, answer.severity) == (passed, dg.AssetCheckSeverity.WARN)
    assert answer.description == f"{verdict}: tenure moved"


def test_news_warns_and_shows_what_is_new() -> None:
    answer = checks.news("raw_customers", {"kind": ["extra column"], "column": ["loyalty"]}, "1 thing is odd")
    assert (answer.passed, answer.severity, answer.description) == (False, dg.AssetCheckSeverity.WARN, "1 thing is odd")
    assert "loyalty" in str(answer.metadata["news"])


def test_no_news_is_good_news() -> None:
    answer = checks.news("raw_customers", {}, "0 things are odd")
    assert (answer.passed, answer.description) == (True, "nothing new")


cells = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**62), 2**62), st.floats(), st.text(max_size=5), st.just(pd.NA),
    st.floats(width=32).map(np.float32), st.integers(-100, 100).map(np.int64), st.booleans().map(np.bool_),
)  # fmt: skip


@given(cell=cells)
def test_a_cell_becomes_pythons_own_type_and_stays_what_it_was(cell: Any) -> None:  # noqa: ANN401
    shown = checks.plain(cell)
    assert type(shown) in {str, int, float, bool, type(None)}
    if isinstance(cell, (bool, np.bool_)):
        assert shown is bool(cell)
    elif isinstance(cell, (int, np.integer)):
        assert shown == int(cell)
    elif isinstance(cell, (float, np.floating)):
        value = float(cell)
        assert shown is None if np.isnan(value) else shown == pytest.approx(value, rel=1e-3, abs=1e-4)


@given(rows=st.lists(cells, max_size=4))
def test_any_table_can_be_shown(rows: list[Any]) -> None:
    shown = checks.records(pd.DataFrame({"value": pd.Series(rows, dtype=object)}))
    assert len(shown.records) == len(rows)


def materialize(layers: Layers, table: pd.DataFrame) -> dg.ExecuteInProcessResult:
    """A real materialization of `table` as a batch's outcomes, with the real contract and the real IO manager."""
    with warnings.catch_warnings():
        # A partitioned contract is a preview feature; `definitions` filters its warning for the code location.
        warnings.simplefilter("ignore", dg.PreviewWarning)

        @checks.table_asset("validated_outcomes", "pandas")
        def validated_outcomes() -> checks.Published:
            """Outcomes that somebody computed."""
            yield from checks.publish("validated_outcomes", table)

    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(str(BATCHES.name), ["2024-01"])
        return dg.materialize(
            [validated_outcomes],
            instance=instance,
            resources={"io_manager": LayersIOManager(layers, Unrecorded())},
            partition_key="2024-01",
            raise_on_error=False,
        )


OUTCOMES = pd.DataFrame({"customer_id": ["a", "b"], "churned": [0, 1], "assignment": "none", "assignment_chance": 1.0})


def test_after_a_broken_table_the_last_good_one_is_on_disk_and_the_run_has_failed(tmp_path: Path) -> None:
    layers = Layers(tmp_path)
    assert materialize(layers, OUTCOMES).success
    before = layers.content("validated_outcomes", "2024-01")
    ran = materialize(layers, OUTCOMES.assign(churned=2))
    assert not ran.success
    assert ran.get_asset_materialization_events() == []
    assert layers.content("validated_outcomes", "2024-01") == before


def test_the_failed_contract_carries_the_batch(tmp_path: Path) -> None:
    (contract,) = materialize(Layers(tmp_path), OUTCOMES.assign(churned=2)).get_asset_check_evaluations()
    assert (contract.passed, contract.partition) == (False, "2024-01")


def test_a_broken_first_table_leaves_no_file(tmp_path: Path) -> None:
    materialize(Layers(tmp_path), OUTCOMES.assign(churned=2))
    assert list(tmp_path.rglob("*.parquet")) == []


def test_an_asset_without_a_materialization_is_a_success_when_it_abstains() -> None:
    @checks.table_asset("training_set", "pandas")
    def training_set() -> checks.Published:
        """Nothing."""
        yield from checks.abstain("training_set", "nothing landed")

    ran = dg.materialize([training_set], raise_on_error=False)
    assert ran.success
    assert ran.get_asset_materialization_events() == []
