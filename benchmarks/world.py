"""The worlds in which gates are tried: tables whose truth is known, with customers who are new each month or come back.

The truth of a table is the mean of the recipe and the spline logistic regression fitted on all its rows: it gives the
log-odds of any row, so that right and wrong can be counted and a model's expected loss computed without sampling. It is
smooth, and so a little easier than life. In the *fresh* world each month draws its rows anew, with replacement, and
every row is another person. In the *panel* world persons stay: those with label 1 leave for good and others by lot,
until a fifth of the next month is new; the rest age, and one in a hundred changes a category.

| table | rows | source | licence |
| --- | --- | --- | --- |
| churn | 7,043 | the shipped one | docs/data.md |
| affairs | 6,366 | `fair` of statsmodels (Fair 1978, A theory of extramarital affairs) | public domain |
| tumours | 569 | `load_breast_cancer` of scikit-learn (Wolberg, Street & Mangasarian, UCI 1995) | CC BY 4.0 |

Licences are those that the packages state. Of tumours three columns become levels by quartile, since a gate must judge
levels too, and the log-odds are shrunk until their ROC AUC is .85: the table as it is can be told almost without an
error, and no model of customers can.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.telco import params, recipe, table
from mlops_assets.learning.inputs import Scorer
from mlops_assets.learning.metrics import roc_auc
from mlops_assets.learning.training import catboost_fitter, out_of_fold, spline_logistic_fitter

Floats = NDArray[np.float64]
Shift = Callable[[pd.DataFrame, Floats], Floats]
"""What a change adds to the log-odds, shape (n,), of the rows, shape (n, k)."""

KNOWN, YEAR, SETTLED = 6, 12, 24  # months learned from, months of operation, months before the first of a panel
RENEWED, CHANGES = 0.2, 0.01  # shares of a month's persons
AT, WITHIN = 3, 3  # month of a change, counted from 0, and months in which it may be seen
DRAWS = 2000  # batches that an oracle judges
AUC = 0.85


@dataclass(frozen=True, slots=True)
class Marks:
    """Columns that changes are made to: `part` and `few` are levels (column, value), `grid` the step of `number`."""

    number: str
    grid: float
    gap: str
    category: str
    constant: str
    spelled: str
    part: tuple[str, object]
    few: tuple[str, object]
    cuts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class World:
    """Rows, shape (n, k), their log-odds as a function, what a month more makes of rows, and columns to change."""

    name: str
    X: pd.DataFrame
    odds: Callable[[pd.DataFrame], Floats]
    age: Callable[[pd.DataFrame], pd.DataFrame]
    marks: Marks

    @property
    def levels(self) -> list[str]:
        """Columns of text."""
        return [name for name in self.X if not pd.api.types.is_numeric_dtype(self.X[name])]


@dataclass(frozen=True, slots=True)
class Month:
    """A month's rows, shape (n, k), with persons' keys, true log-odds and labels, shape (n,), and its name."""

    X: pd.DataFrame
    keys: NDArray[np.intp]
    odds: Floats
    y: Floats
    name: str


class Customers:
    """Those of a world, month after month; `renewed`: the share of a month that is new in the next, None: all."""

    def __init__(self, world: World, size: int, rng: np.random.Generator, renewed: float | None = None) -> None:
        """A settled population of `size`."""
        self.world, self.size, self.rng, self.renewed = world, size, rng, renewed
        self.shift: Shift = still
        self.X, self.keys, self.number = self._drawn(size), np.arange(size), 0
        for _ in range(0 if renewed is None else SETTLED):
            self.month()
        self.number = 0

    def fork(self) -> Self:
        """The same customers, to whom something else can happen, by the same luck."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin.rng = np.random.default_rng()
        twin.rng.bit_generator.state = self.rng.bit_generator.state
        return twin

    def months(self, count: int) -> list[Month]:
        """The next months."""
        return [self.month() for _ in range(count)]

    def month(self) -> Month:
        """The next month; who left in it is not in the one after."""
        odds = self.world.odds(self.X)
        odds = odds + self.shift(self.X, odds)
        y = np.asarray(self.rng.random(self.size) < expit(odds), dtype=np.float64)
        now = Month(self.X, self.keys, odds, y, str(np.datetime64("2020-01") + self.number))
        stays = self._who_stays(y)
        new = self.size - int(stays.sum())
        older = self._changed(self.world.age(self.X[stays].reset_index(drop=True)))
        self.X = pd.concat([older, self._drawn(new)], ignore_index=True)
        self.keys = np.concatenate([self.keys[stays], self.keys.max() + 1 + np.arange(new)])
        self.number += 1
        return now

    def _who_stays(self, y: Floats) -> NDArray[np.bool_]:
        if self.renewed is None:
            return np.zeros(self.size, dtype=bool)
        stays = y == 0
        leave = max(0, round(self.renewed * self.size) - int(y.sum()))
        stays[self.rng.choice(np.flatnonzero(stays), size=min(leave, int(stays.sum())), replace=False)] = False
        return np.asarray(stays)

    def _drawn(self, count: int) -> pd.DataFrame:
        return self.world.X.iloc[self.rng.integers(len(self.world.X), size=count)].reset_index(drop=True)

    def _changed(self, X: pd.DataFrame) -> pd.DataFrame:
        """One in a hundred persons with another level of one category."""
        which = self.rng.integers(len(self.world.levels), size=len(X))
        which[self.rng.random(len(X)) >= CHANGES] = -1
        drawn = self._drawn(len(X))
        return X.assign(**{name: X[name].where(which != at, drawn[name]) for at, name in enumerate(self.world.levels)})


@dataclass(frozen=True)
class Champion:
    """A model, what it learned from with out-of-fold scores, and how it scores."""

    score: Scorer
    X: pd.DataFrame
    keys: NDArray[np.intp]
    batches: NDArray[np.str_]
    y: Floats
    promised: Floats


def crowned(months: Sequence[Month], seed: int) -> Champion:
    """The recipe fitted on months, as in operation: out-of-fold scores by person."""
    X, keys, batches, y = stacked(months)
    fitter, told = catboost_fitter(recipe(seed=seed)), {"weights": np.ones(len(y)), "batches": batches}
    held_out = out_of_fold(X, y, **told, fitter=fitter, folds=params().model.folds, seed=seed, groups=keys)
    return Champion(fitter(X, y, told["weights"], batches), X, keys, batches, y, held_out.score.to_numpy())


def stacked(months: Sequence[Month]) -> tuple[pd.DataFrame, NDArray[np.intp], NDArray[np.str_], Floats]:
    """Rows, keys, names of months and labels of several months."""
    return (
        pd.concat([month.X for month in months], ignore_index=True),
        np.concatenate([month.keys for month in months]),
        np.repeat([month.name for month in months], [len(month.y) for month in months]),
        np.concatenate([month.y for month in months]),
    )


def expit(odds: Floats) -> Floats:
    """Chance of log-odds."""
    return np.asarray(1 / (1 + np.exp(-odds)))


def power(untouched: Floats, changed: Floats, size: int, alpha: float, seed: int) -> float:
    """Share of batches of `size` changed rows whose sum is one that `alpha` of the untouched batches reach."""
    rng = np.random.default_rng([seed, size])
    sums = [rows[rng.integers(len(rows), size=(DRAWS, size))].sum(axis=1) for rows in (untouched, changed)]
    return float((sums[1] > np.quantile(sums[0], 1 - alpha)).mean())


def still(_: pd.DataFrame, odds: Floats) -> Floats:
    """Nothing changes."""
    return 0 * odds


def customers(name: str, kind: str, size: int, seed: int) -> Customers:
    """Those of a table's fresh or panel world."""
    rng = np.random.default_rng([seed, size, list(MAKERS).index(name), kind == "panel"])
    return Customers(world(name), size, rng, RENEWED if kind == "panel" else None)


@cache
def world(name: str) -> World:
    """A table's world."""
    return MAKERS[name]()


def truth(X: pd.DataFrame, y: NDArray[np.int64]) -> Callable[[pd.DataFrame], Floats]:
    """Log-odds of any rows."""
    rows = np.ones(len(y)), np.full(len(y), "2020-01")
    fitters = catboost_fitter(recipe()), spline_logistic_fitter(**params().baseline.model_dump())
    scorers = [fitter(X, y, *rows) for fitter in fitters]

    def odds(new: pd.DataFrame) -> Floats:
        chance = np.mean([scorer(new) for scorer in scorers], axis=0)
        return np.asarray(np.log(chance) - np.log1p(-chance))

    shrunk = shrinkage(odds(X))
    return lambda new: shrunk * odds(new)


def shrinkage(odds: Floats) -> float:
    """By what the log-odds must be multiplied, 1 at most, to rank no better than `AUC`."""

    def auc(by: float) -> float:
        chance = expit(by * odds)
        labels, weights = np.repeat([1.0, 0.0], len(odds)), np.concatenate([chance, 1 - chance])
        return float(roc_auc(labels, np.tile(odds, 2), weights))

    low, high = 0.0, 1.0
    if auc(1.0) <= AUC + 0.02:
        return 1.0
    for _ in range(30):
        low, high = (low, (low + high) / 2) if auc((low + high) / 2) > AUC else ((low + high) / 2, high)
    return high


def churn() -> World:
    """The shipped table; tenure and total charges age."""
    X, y = table()
    marks = Marks(
        "monthly_charges", 0.05, "tenure", "contract", "partner", "payment_method",
        ("internet_service", "Fiber optic"), ("senior_citizen", 1.0),
        ("contract", "internet_service", "senior_citizen", "female"),
    )  # fmt: skip
    return World(
        "churn",
        X,
        truth(X, y),
        lambda rows: rows.assign(tenure=rows.tenure + 1, total_charges=rows.total_charges + rows.monthly_charges),
        marks,
    )


OCCUPATIONS = ("Student", "Farming", "White-collar", "Teaching", "Managerial", "Professional")
FAITHS = ("Not", "Mildly", "Fairly", "Strongly")


def affairs() -> World:
    """6,366 wives of 1974, 32 % with an affair; age and years married age."""
    from statsmodels.datasets import fair  # noqa: PLC0415 - a second, for one table of three

    X = fair.load_pandas().data.astype(float)
    y = np.asarray(X.pop("affairs") > 0, dtype=np.int64)
    named = {"occupation": OCCUPATIONS, "occupation_husb": OCCUPATIONS, "religious": FAITHS}
    X = X.assign(**{name: X[name].map(dict(enumerate(levels, start=1))) for name, levels in named.items()})
    marks = Marks(
        "educ", 1.0, "educ", "occupation", "rate_marriage", "occupation_husb",
        ("occupation", "White-collar"), ("religious", "Strongly"), ("occupation", "religious", "rate_marriage"),
    )  # fmt: skip
    return World(
        "affairs",
        X,
        truth(X, y),
        lambda rows: rows.assign(age=rows.age + 1 / 12, yrs_married=rows.yrs_married + 1 / 12),
        marks,
    )


def tumours() -> World:
    """569 tumours, 37 % malignant; nothing ages."""
    from sklearn.datasets import load_breast_cancer  # noqa: PLC0415

    bunch = load_breast_cancer(as_frame=True)
    X, y = bunch.data, np.asarray(bunch.target == 0, dtype=np.int64)
    cuts = ("mean texture", "mean smoothness", "mean symmetry")
    X = X.assign(**{name: pd.qcut(X[name], 4, labels=["Low", "Middle", "High", "Top"]).astype(str) for name in cuts})
    marks = Marks(
        "mean radius",
        0.001,
        "mean radius",
        cuts[0],
        "worst symmetry",
        cuts[2],
        (cuts[0], "Top"),
        (cuts[1], "Top"),
        cuts,
    )
    return World("tumours", X, truth(X, y), lambda rows: rows, marks)


MAKERS: dict[str, Callable[[], World]] = {"churn": churn, "affairs": affairs, "tumours": tumours}
KINDS = ("fresh", "panel")
SIZES = (300, 600, 2000)
