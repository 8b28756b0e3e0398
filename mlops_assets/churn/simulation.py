"""Decides which customers make up which month, and how further customers are made when the real ones run out.

The source is one table without dates, so months are dealt from it: every row once, by lot. The world is therefore
stable by construction, and a gate that sees drift between dealt months rings falsely. Tables are text throughout
(`dtype=str, keep_default_na=False`): no number passes through a float on its way from the source to a landed file,
so each cell keeps its spelling.

A larger or longer future needs customers that do not exist. They are recombined from real ones (`synthesise`) instead
of drawn from a fitted model: the rules between columns then hold without being written a second time, and no model
under test has shaped the rows that test it. Their ids begin with S for ever. They show how the system runs, not how
good a model is: docs/data.md measures by how much they flatter one. Drift is not simulated here.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

FIRST_BATCH = "2024-01"
SAMPLE_MONTHS = 6
HELD_BACK_MONTHS = 12

LABEL = "churn"
# What a household goes with: it moves only between customers who are alike in these, and in the band of tenure. With
# tenure left out, long-standing customers had too few partners, and the drift gate rang in quiet months.
ALIKE = ["contract", "internet_service", "online_security", "senior_citizen", LABEL]
TENURE_BANDS = [1, 6, 12, 24, 36, 48, 60, 72]  # months in which a band begins; the first is of month 0
HOUSEHOLD = ["female", "partner", "dependents"]

CENTS_PER_STEP = 5  # every charge in the source is a multiple of five cents
PRICE_STEPS = 10  # a synthetic monthly charge moves by 1 to this many steps, up or down
TENURE_MONTHS = 2  # a synthetic tenure moves by at most so many months
# New customers (their first bill is their only one) and those at the cap: three spikes that a move would smear.
FIXED_TENURES = [0, 1, 72]


@dataclass(frozen=True, slots=True)
class Month:
    """The files of one batch, as text.

    `customers`, shape (n, 20): customer_id and the source's columns but the label, in the source's order. `outcomes`,
    shape (n, 2): customer_id and churned, "Yes" or "No", of the same customers in the same order.
    """

    batch: str
    customers: pd.DataFrame
    outcomes: pd.DataFrame


def batches(first: str, months: int) -> list[str]:
    """Names, YYYY-MM, of `months` consecutive batches from `first` on."""
    return [str(month) for month in pd.period_range(first, periods=months, freq="M")]


def deal(source: pd.DataFrame, *, seed: int) -> tuple[Month, ...]:
    """All rows of `source`, shape (n, k) of text, dealt by lot into eighteen months that differ by at most one row.

    A customer's id is C and the 1-based number of its row. Rows stand in the order dealt, so that the first rows of a
    month are a fair sample of it. Raises ValueError when a column is not text or the label is missing.
    """
    _check_source(source)
    ids = pd.Series([f"C{number:05d}" for number in range(1, len(source) + 1)])
    lots = np.array_split(_rng(seed).permutation(len(source)), SAMPLE_MONTHS + HELD_BACK_MONTHS)
    names = batches(FIRST_BATCH, len(lots))
    return tuple(_month(name, ids.iloc[lot], source.iloc[lot]) for name, lot in zip(names, lots, strict=True))


def sample_months(source: pd.DataFrame, *, seed: int) -> tuple[Month, ...]:
    """The first six dealt months: the sample in git."""
    return deal(source, seed=seed)[:SAMPLE_MONTHS]


def held_back_months(source: pd.DataFrame, *, seed: int) -> tuple[Month, ...]:
    """The other twelve dealt months: the real customers that a simulated operation meets."""
    return deal(source, seed=seed)[SAMPLE_MONTHS:]


def future(
    source: pd.DataFrame, *, seed: int, months: int, rows: int | None = None, order: int | None = None
) -> Iterator[Month]:
    """The months after the sample: the twelve held back, then synthetic ones, `months` in all.

    `rows` is the size of every month: a real month is cut to its first rows, or topped up with synthetic customers.
    None leaves real months as dealt, and makes synthetic ones as large as the smallest of them. `order` deals the
    customers held back to the twelve months anew, by a lot of its own; none of the sample is among them.
    """
    held_back = held_back_months(source, seed=seed)
    if order is not None:
        held_back = _dealt_again(held_back, order)
    size = min(len(month.customers) for month in held_back) if rows is None else rows
    for month in held_back[:months]:
        yield month if rows is None else _resized(month, source, rows=rows, seed=seed)
    for batch in batches(FIRST_BATCH, SAMPLE_MONTHS + months)[SAMPLE_MONTHS + HELD_BACK_MONTHS :]:
        yield synthesise(source, rows=size, batch=batch, seed=seed)


def synthesise(source: pd.DataFrame, *, rows: int, batch: str, seed: int) -> Month:
    """`rows` synthetic customers of `batch`, recombined from real ones; chance depends on `seed` and `batch` alone.

    A real row, drawn with replacement, is the base and keeps its services, contract, payment, age group and outcome.
    The household (`HOUSEHOLD`) comes, as a whole, from a row that is `ALIKE` and of the same band of tenure. The
    monthly charge moves by .05 to .50, the tenure by up to two months (not from 0, 1 or 72), and the total is billed
    anew: base total times the change of tenure x monthly charge; empty at tenure 0. So rules between columns hold as
    they do in the source, and a row is no copy of its base; but it tells nothing new, and a model that learned from
    `source` looks better on it than on a new customer. Raises ValueError when a column is not text or the label is
    missing.
    """
    _check_source(source)
    rng = _rng(seed, *(int(part) for part in batch.split("-")))
    base = rng.integers(len(source), size=rows)
    donor = _neighbours(source, base, rng)
    made = source.iloc[base].reset_index(drop=True)
    made[HOUSEHOLD] = source[HOUSEHOLD].iloc[donor].to_numpy()
    return _month(batch, pd.Series([f"S{batch}-{number:05d}" for number in range(1, rows + 1)]), _rebilled(made, rng))


def is_synthetic(customer_id: pd.Series) -> pd.Series:
    """Whether a customer was made by `synthesise`; bool, the shape and index of `customer_id`."""
    return customer_id.str.startswith("S")


def _dealt_again(months: tuple[Month, ...], order: int) -> tuple[Month, ...]:
    """The same customers in months of the same sizes, by another lot."""
    customers, outcomes = (
        pd.concat([getattr(month, kind) for month in months], ignore_index=True) for kind in ("customers", "outcomes")
    )
    sizes = np.cumsum([len(month.customers) for month in months])[:-1]
    lots = np.split(_rng(order, len(customers)).permutation(len(customers)), sizes)
    return tuple(
        Month(month.batch, *(table.iloc[lot].reset_index(drop=True) for table in (customers, outcomes)))
        for month, lot in zip(months, lots, strict=True)
    )


def _rng(*seeds: int) -> np.random.Generator:
    # Named, because numpy may change what its default generator is.
    return np.random.Generator(np.random.PCG64(seeds))


def _check_source(source: pd.DataFrame) -> None:
    if LABEL not in source:
        message = f"source table lacks {LABEL!r}, it has {list(source)}. Read data/source/telco_churn.csv."
        raise ValueError(message)
    if typed := [str(name) for name, column in source.items() if not pd.api.types.is_string_dtype(column)]:
        message = (
            f"source columns {typed} are not text, so numbers may have lost their spelling or blanks become NaN. "
            "Read the file with dtype=str, keep_default_na=False."
        )
        raise ValueError(message)


def _month(batch: str, ids: pd.Series, rows: pd.DataFrame) -> Month:
    """`rows`, shape (n, k) with the label, as the two files that land; `ids`, shape (n,), in the same order."""
    customers = rows.drop(columns=LABEL)
    customers.insert(0, "customer_id", ids.to_numpy())
    outcomes = pd.DataFrame({"customer_id": ids.to_numpy(), "churned": rows[LABEL].to_numpy()})
    return Month(batch, customers.reset_index(drop=True), outcomes)


def _resized(month: Month, source: pd.DataFrame, *, rows: int, seed: int) -> Month:
    """`month` with exactly `rows` customers: its first ones, then synthetic ones where it has too few."""
    extra = synthesise(source, rows=max(0, rows - len(month.customers)), batch=month.batch, seed=seed)
    return Month(
        month.batch,
        pd.concat([month.customers.head(rows), extra.customers], ignore_index=True),
        pd.concat([month.outcomes.head(rows), extra.outcomes], ignore_index=True),
    )


def _neighbours(source: pd.DataFrame, base: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For each row number in `base`, shape (n,), that of a row drawn from its stratum; it may be the base itself.

    All rows of a stratum are equally likely, so each household is drawn as often as its own row: what goes with what
    defines a stratum, and how often a household occurs, stays as it is in `source`.
    """
    bands = np.digitize(source["tenure"].astype(int), TENURE_BANDS)
    stratum = source.groupby([*(source[name] for name in ALIKE), bands]).ngroup().to_numpy()
    by_stratum = np.argsort(stratum, kind="stable")
    sizes = np.bincount(stratum)
    first = sizes.cumsum() - sizes
    of_base = stratum[base]
    drawn: np.ndarray = by_stratum[first[of_base] + rng.integers(sizes[of_base])]
    return drawn


def _rebilled(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """`rows` with tenure, monthly and total charges moved as `synthesise` says; text in, text out."""
    tenure = rows["tenure"].astype(int).to_numpy()
    monthly = steps(rows["monthly_charges"])
    total = steps(rows["total_charges"])  # NaN where not billed yet
    later = _moved_tenure(tenure, rng)
    dearer = monthly + rng.integers(1, PRICE_STEPS + 1, size=len(rows)) * rng.choice([-1, 1], size=len(rows))
    billed = total * (later * dearer) / np.maximum(tenure * monthly, 1)
    return rows.assign(tenure=later.astype(str), monthly_charges=spelled(dearer), total_charges=spelled(billed))


def _moved_tenure(tenure: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Whole months, shape (n,); folded back at the ends, so that what is evenly spread stays so."""
    low, high = FIXED_TENURES[1] + 1, FIXED_TENURES[-1] - 1
    moved = tenure + rng.integers(-TENURE_MONTHS, TENURE_MONTHS + 1, size=len(tenure))
    moved = np.where(moved < low, 2 * low - 1 - moved, moved)
    moved = np.where(moved > high, 2 * high + 1 - moved, moved)
    return np.where(np.isin(tenure, FIXED_TENURES), tenure, moved)


def steps(charges: pd.Series) -> np.ndarray:
    """Charges in steps of five cents, shape (n,); NaN where the text is empty."""
    return (pd.to_numeric(charges) * 100 / CENTS_PER_STEP).round().to_numpy(dtype=float)


def spelled(steps: np.ndarray) -> list[str]:
    """Charges as the source spells them: "29.85", "56.9", "100", and "" for NaN."""
    amounts = np.round(steps) * CENTS_PER_STEP / 100
    return ["" if np.isnan(amount) else f"{amount:.2f}".rstrip("0").rstrip(".") for amount in amounts]
