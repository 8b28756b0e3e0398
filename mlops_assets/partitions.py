"""Batches: one month's customers each, and the partition key of everything monthly."""

import re

import dagster as dg

BATCHES = dg.DynamicPartitionsDefinition(name="batch")
MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])", re.ASCII)


class BatchNameError(ValueError):
    """A name that is no month; the message says what one looks like."""


def parse_batch(name: str) -> str:
    """`name`, if it is a month written YYYY-MM. Raises BatchNameError otherwise: it becomes part of a path."""
    if not MONTH.fullmatch(name):
        message = f"{name!r} is no batch: a batch is a month written YYYY-MM, such as 2024-07."
        raise BatchNameError(message)
    return name


def next_batch(batch: str, months: int = 1) -> str:
    """The batch `months` after `batch`."""
    year, month = map(int, parse_batch(batch).split("-"))
    count = year * 12 + month - 1 + months
    return f"{count // 12:04d}-{count % 12 + 1:02d}"
