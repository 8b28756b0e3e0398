"""Decides which changes the drift gate is tried on: of moderate strength, each with the cause that it should name."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.gates.drift import Cause

Rng = np.random.Generator
Move = Callable[[pd.DataFrame, Rng], pd.DataFrame]


def chosen(rows: pd.DataFrame, share: float, rng: Rng) -> NDArray[np.intp]:
    """Positions of a share of the rows, by lot."""
    return rng.choice(len(rows), size=round(share * len(rows)), replace=False)


def changed(rows: pd.DataFrame, name: str, where: NDArray[np.intp], value: object) -> pd.DataFrame:
    """`rows` with other values of a column at some positions."""
    column = rows[name].astype(object).copy()
    column.iloc[where] = value
    return rows.assign(**{name: column.infer_objects()})


def dearer_fiber(by: float) -> Move:
    """Fiber customers pay `by` times as much, in steps of five cents."""

    def move(rows: pd.DataFrame, _: Rng) -> pd.DataFrame:
        price = rows.monthly_charges.where(rows.internet_service != "Fiber optic", rows.monthly_charges * by)
        return rows.assign(monthly_charges=(price * 20).round() / 20)

    return move


def part_in_cents(rows: pd.DataFrame, rng: Rng) -> pd.DataFrame:
    """One row in twenty in cents."""
    at = chosen(rows, 0.05, rng)
    return changed(rows, "monthly_charges", at, rows.monthly_charges.iloc[at] * 100)


def other_relation(rows: pd.DataFrame, rng: Rng) -> pd.DataFrame:
    """Three contracts in ten change hands: no column moves by itself."""
    at = chosen(rows, 0.3, rng)
    return changed(rows, "contract", at, rows.contract.iloc[rng.permutation(at)].to_numpy())


def other_mix(rows: pd.DataFrame, rng: Rng) -> pd.DataFrame:
    """Month-to-month customers come half as often again, from 55 to 65 % of the rows."""
    weight = rows.contract.eq("Month-to-month").map({True: 1.5, False: 1.0})
    return rows.iloc[rng.choice(len(rows), size=len(rows), p=weight / weight.sum())].reset_index(drop=True)


MOVES: dict[str, tuple[Cause, Move]] = {
    "fiber 10 % dearer": (Cause.POPULATION, dearer_fiber(1.1)),
    "fiber 24 % dearer": (Cause.POPULATION, dearer_fiber(1.24)),
    "5 % of `tenure` missing": (Cause.PIPE, lambda rows, rng: changed(rows, "tenure", chosen(rows, 0.05, rng), None)),
    "5 % of `monthly_charges` in cents": (Cause.PIPE, part_in_cents),
    "5 % with a new contract": (
        Cause.POPULATION,
        lambda rows, rng: changed(rows, "contract", chosen(rows, 0.05, rng), "Three year"),
    ),
    "30 % of contracts shuffled": (Cause.RELATION, other_relation),
    "month-to-month 55 -> 65 %": (Cause.POPULATION, other_mix),
    "all charges in cents": (Cause.PIPE, lambda rows, _: rows.assign(monthly_charges=rows.monthly_charges * 100)),
    "one column constant": (Cause.PIPE, lambda rows, _: rows.assign(partner=0.0)),
    "5 % spelled in lower case": (
        Cause.PIPE,
        lambda rows, rng: changed(
            rows, "payment_method", (at := chosen(rows, 0.05, rng)), rows.payment_method.iloc[at].str.lower()
        ),
    ),
}
