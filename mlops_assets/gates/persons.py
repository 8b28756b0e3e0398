"""Decides which rows are one person, and how many rows' worth of evidence rows with common persons are.

In operation nearly every customer is in every snapshot. Six snapshots of one person are not six customers: counted as
such they make an interval too narrow and a value that only that person has too common. So figures are summed by person
before their spread is taken (the sandwich, clustered), and "too few" counts persons. Where no person occurs twice all
of it comes to the same as rows do.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Persons:
    """Who the rows of both sides are: codes from 0 to `count` - 1, shapes (m,) and (n,), the same on both sides."""

    reference: Codes
    current: Codes
    count: int

    @property
    def pooled(self) -> Codes:
        """The codes of the reference's rows, then of the current ones."""
        return np.concatenate([self.reference, self.current])

    @property
    def reference_in_persons(self) -> float:
        """How many other persons the reference would have to hold to say as much of what is new, > 0.

        What a customer of m snapshots in the reference and n now shows for the first time shows now with the chance
        n / (m + n); of one who was never there it is that of all persons there are. The mean of these is the chance of
        a batch beside so many others. So six months of the same customers are more than one, and where nobody comes
        again it is the number of persons.
        """
        before, now = (np.bincount(side, minlength=self.count) for side in (self.reference, self.current))
        then, here = int((before > 0).sum()), int((now > 0).sum())
        fresh = here / max(1, then + here)
        chances = np.where(before > 0, now / np.maximum(1, before + now), fresh)[now > 0]
        return float(here * (1 / chances.mean() - 1)) if here else float(then)


def persons_of(reference_keys: npt.ArrayLike | None, current_keys: npt.ArrayLike | None) -> Persons | None:
    """Who the rows with these keys are; None where no key is known or none occurs twice: each row is its own person.

    A missing key is a person of its own. Raises ValueError when only one side has keys.
    """
    if reference_keys is None and current_keys is None:
        return None
    if reference_keys is None or current_keys is None:
        message = (
            f"keys of persons: reference {'without' if reference_keys is None else 'with'}, "
            f"current {'without' if current_keys is None else 'with'}. Hand over those of both sides, or of none."
        )
        raise ValueError(message)
    sides = [np.asarray(keys, dtype=object) for keys in (reference_keys, current_keys)]
    codes = codes_of(np.concatenate(sides))
    count = int(codes.max(initial=-1)) + 1
    if count == codes.size:
        return None
    return Persons(codes[: sides[0].size], codes[sides[0].size :], count)


def codes_of(keys: npt.ArrayLike) -> Codes:
    """A whole number for each person, shape (n,), from 0 on in the order of the keys as text.

    A missing key is a person of its own. The order of rows changes nobody's number but theirs.
    """
    given = np.asarray(keys, dtype=object)
    missing = np.asarray(pd.isna(given), dtype=bool)
    codes = np.zeros(len(given), dtype=np.intp)
    codes[~missing], known = pd.factorize(given[~missing].astype(str), sort=True)
    codes[missing] = len(known) + np.arange(int(missing.sum()))
    return np.asarray(codes, dtype=np.intp)


def summed(values: Floats, persons: Codes | None) -> Floats:
    """`values`, shape (n,) or (n, k), summed by person; as they are where each row is its own person."""
    if persons is None:
        return values
    if values.ndim == 1:
        return np.bincount(persons, weights=values).astype(np.float64)
    sums = np.zeros((int(persons.max(initial=-1)) + 1, values.shape[1]))
    np.add.at(sums, persons, values)
    return sums


def effective_rows(weights: Floats, persons: Codes | None = None) -> float:
    """How many rows of one weight and of different persons tell at least as much as these; shape (n,), weights > 0.

    Kish's effective sample size by person, (sum w)^2 / sum over persons of (sum w)^2 (Kish 1965, Survey Sampling,
    11.7): between 1 and the number of persons. It takes further rows of a person to tell nothing new, so it is the
    cautious count.
    """
    if not len(weights):
        return 0.0
    shares = summed(weights / weights.max(), persons)
    shares = shares[shares > 0]
    # Rounding must not make less than all of persons that do weigh alike.
    return float(len(shares)) if np.ptp(shares) == 0 else float(shares.sum() ** 2 / (shares**2).sum())
