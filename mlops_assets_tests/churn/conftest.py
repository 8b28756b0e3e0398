"""A month of the shipped sample as it lands, for tests that spoil it."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from mlops_assets.churn.cleaning import Cleaned, clean_customers
from mlops_assets.churn.reading import read_landed
from mlops_assets.churn.schemas import Customers, fields

LANDING = Path(__file__).parents[2] / "data" / "landing"
FILE = "customers/2024-03.csv"


@pytest.fixture(scope="session")
def lines() -> list[str]:
    """The header and the first thirty customers of 2024-03, three of them with tenure 0, as lines without ends."""
    header, *rows = (LANDING / FILE).read_text().splitlines()
    new = [row for row in rows if row.split(",")[5] == "0"]
    return [header, *new, *[row for row in rows if row not in new][: 30 - len(new)]]


@pytest.fixture(scope="session")
def clean() -> Callable[[bytes | list[str]], Cleaned]:
    """Reads bytes, or lines, as the month's customers and sorts them."""

    def run(content: bytes | list[str]) -> Cleaned:
        whole = content if isinstance(content, bytes) else "\n".join(content).encode()
        return clean_customers(read_landed(whole, file=FILE, columns=fields(Customers)).rows)

    return run


@pytest.fixture(scope="session")
def customers(lines: list[str], clean: Callable[[bytes | list[str]], Cleaned]) -> pd.DataFrame:
    """Those thirty customers, validated."""
    return clean(lines).good
