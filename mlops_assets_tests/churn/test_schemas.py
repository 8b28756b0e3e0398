"""The contracts hold on every published row, and refuse what cannot be."""

import inspect
from pathlib import Path

import pandas as pd
import pandera.pandas as pa
import pytest
from pandera.errors import SchemaErrors

from mlops_assets.churn import schemas
from mlops_assets.churn.schemas import ADD_ONS, NO_INTERNET, NO_PHONE, PUBLIC_EXPORT, Customers, ValidatedCustomers

SOURCE = pd.read_csv(
    Path(__file__).parents[2] / "data" / "source" / "telco_churn.csv", dtype=str, keep_default_na=False
)
CONTRACTS = [
    contract
    for _, contract in inspect.getmembers(schemas, inspect.isclass)
    if issubclass(contract, pa.DataFrameModel) and contract is not pa.DataFrameModel
]
TEXT = [name for name in schemas.fields(Customers) if schemas.levels(name)]


def broken(table: pd.DataFrame) -> set[tuple[str, int | None]]:
    """Rule and row of everything in `table` that breaks the contract."""
    try:
        ValidatedCustomers.validate(table, lazy=True)
    except SchemaErrors as errors:
        cases = errors.failure_cases
        return {(str(rule).partition("(")[0], row) for rule, row in zip(cases["check"], cases["index"], strict=True)}
    return set()


def test_a_valid_month_keeps_the_contract(customers: pd.DataFrame) -> None:
    assert broken(customers) == set()


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.__name__)
def test_every_contract_and_each_of_its_columns_says_what_it_is(contract: type[pa.DataFrameModel]) -> None:
    assert contract.__doc__
    assert [name for name, column in contract.to_schema().columns.items() if not column.description] == []


def test_every_column_and_the_label_have_their_name_in_the_public_export() -> None:
    assert list(PUBLIC_EXPORT) == [*schemas.fields(Customers), "churned"]


@pytest.mark.parametrize("column", TEXT)
def test_the_known_levels_are_those_of_the_source(column: str) -> None:
    assert set(schemas.levels(column)) == set(SOURCE[column])


def test_quarantine_can_show_the_columns_of_every_rule_across_columns() -> None:
    rules = {check.name for check in ValidatedCustomers.to_schema().checks}
    assert set(schemas.SPANS) == rules
    assert {name for names in schemas.SPANS.values() for name in names} <= set(schemas.fields(Customers))


@pytest.mark.parametrize("add_on", ADD_ONS)
def test_an_add_on_without_internet_is_impossible(customers: pd.DataFrame, add_on: str) -> None:
    row = customers.index[customers.internet_service == "No"][0]
    customers = customers.copy()
    customers.loc[row, add_on] = "Yes"
    assert broken(customers) == {("add_ons_need_internet", row)}


@pytest.mark.parametrize("add_on", ADD_ONS)
def test_internet_whose_add_on_says_there_is_none_is_impossible(customers: pd.DataFrame, add_on: str) -> None:
    row = customers.index[customers.internet_service == "DSL"][0]
    customers = customers.copy()
    customers.loc[row, add_on] = NO_INTERNET
    assert broken(customers) == {("add_ons_need_internet", row)}


@pytest.mark.parametrize(("phone", "said"), [(0, "Yes"), (0, "No"), (1, NO_PHONE)])
def test_lines_and_telephone_must_agree(customers: pd.DataFrame, phone: int, said: str) -> None:
    assert broken(customers.assign(phone_service=pd.array([phone] * 30, dtype="Int64"), multiple_lines=said)) == {
        ("lines_need_a_phone", row) for row in range(30)
    }


@pytest.mark.parametrize("column", [name for name in schemas.fields(Customers) if name != "customer_id"])
def test_no_missing_value_but_the_key_breaks_the_contract(customers: pd.DataFrame, column: str) -> None:
    blank = customers.copy()
    blank[column] = pd.Series([None] * len(blank)).astype(blank[column].dtype)
    assert broken(blank) == set()


@pytest.mark.parametrize("column", TEXT)
def test_an_unseen_level_does_not_break_the_contract(customers: pd.DataFrame, column: str) -> None:
    online = customers[customers.internet_service.ne("No") & customers.phone_service.eq(1)].reset_index(drop=True)
    assert broken(online.assign(**{column: "never seen"})) == set()


def test_a_column_that_the_contract_does_not_name_is_a_mistake(customers: pd.DataFrame) -> None:
    assert broken(customers.assign(churned=0)) == {("column_in_schema", None)}


@pytest.mark.parametrize("identity", ["", "=1+1", "-1", "a b", "é", "C1\n", "../C1", "C" * 65])
def test_a_key_is_short_and_plain(customers: pd.DataFrame, identity: str) -> None:
    assert broken(customers.assign(customer_id=[identity, *customers.customer_id[1:]])) == {("str_matches", 0)}


def test_a_landed_file_may_have_foreign_columns_and_must_have_rows() -> None:
    source = {"source_file": "a.csv", "source_md5": "0" * 32, "source_line": 2, "source_text": None}
    cells = dict.fromkeys(schemas.fields(Customers), "x") | {"loyalty": "gold"}
    landed = pd.DataFrame([{**cells, **source}])
    schemas.RawCustomers.validate(landed, lazy=True)
    with pytest.raises(SchemaErrors, match="has_rows"):
        schemas.RawCustomers.validate(landed.iloc[:0], lazy=True)
