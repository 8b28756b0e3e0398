"""A batch is a month and nothing else: it becomes part of a path."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.partitions import next_batch, parse_batch

months = st.dates(min_value=date(1900, 1, 1), max_value=date(2200, 12, 31)).map(lambda day: f"{day:%Y-%m}")


@given(batch=months)
def test_a_month_is_a_batch(batch: str) -> None:
    assert parse_batch(batch) == batch


@pytest.mark.parametrize(
    "name",
    [
        *("2024-13", "2024-00", "2024-1", "24-01", "2024-01-01", "2024/01", "202401", "", " 2024-01", "2024-01 "),
        *("2024-01\n", "../2024-01", "2024-01/..", "..", "2024-01.csv", "２０２４-01", "٢٠٢٤-01", "2024-01\0"),  # noqa: RUF001
    ],
)
def test_anything_else_is_refused_by_name_with_an_example(name: str) -> None:
    with pytest.raises(ValueError, match="is no batch: a batch is a month written YYYY-MM, such as 2024-07") as refused:
        parse_batch(name)
    assert repr(name) in str(refused.value)


@given(text=st.text(alphabet="0123456789-./ \n", max_size=9))
def test_whatever_passes_is_a_plain_file_name(text: str) -> None:
    try:
        batch = parse_batch(text)
    except ValueError:
        return
    assert len(batch) == len("2024-07")
    assert not set(batch) & set("./ \n")


@given(batch=months, count=st.integers(0, 240))
def test_the_next_batch_is_later_by_so_many_months(batch: str, count: int) -> None:
    later = next_batch(batch, count)
    year, month = map(int, batch.split("-"))
    assert tuple(map(int, later.split("-"))) == (year + (month - 1 + count) // 12, (month - 1 + count) % 12 + 1)
    assert parse_batch(later) >= batch
