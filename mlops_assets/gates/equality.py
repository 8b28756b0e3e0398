"""Decides whether a model that was made again is the one that was recorded, and what first to suspect if it is not.

Three grades and not two: elsewhere than on the machine of the first training the last digits of a sum may differ and
decide nothing, so a model with other bytes and the same predictions is back as well. What differs is told in the
order in which a person would look: code, library, data, parameter, machine. Making it again is `reproduction`'s work.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import pandas as pd
from numpy.typing import NDArray

ROW = ["candidate", "scheme", "batch", "customer_id"]
"""What names an out-of-sample score."""

FIGURE = ["candidate", "scheme", "cut", "level", "metric"]
"""What names a metric."""


class Equality(StrEnum):
    """How much of a model came back; the value is what is shown."""

    BYTES = "BYTES EQUAL"
    """Model, out-of-sample scores and metrics have the recorded digests."""

    PREDICTIONS = "PREDICTIONS EQUAL"
    """Some bytes differ, and no score does, out of sample or on the training rows, by more than the tolerance."""

    DIFFERENT = "DIFFERENT"
    """Scores differ, or cannot be compared."""


class Kind(StrEnum):
    """Of what sort a difference is, in the order in which to suspect them."""

    CODE = "code"
    LIBRARY = "library"
    DATA = "data"
    PARAMETER = "parameter"
    MACHINE = "machine"


PREFIXES = {
    "git_": Kind.CODE,
    "library.": Kind.LIBRARY,
    "lock_": Kind.LIBRARY,
    "data.": Kind.DATA,
    "params": Kind.PARAMETER,
}
"""Kind of a fact by how its name begins; what begins otherwise is the machine's."""

DIRTY = "git_dirty"
"""Whether code was used that is in no commit: the first thing to suspect."""

ASIDE = ("environment",)
"""Facts that shape no model: reproduction is another environment by its nature."""


@dataclass(frozen=True, slots=True)
class Training:
    """One training of a candidate: what came of it and what it was made with.

    `scores` is `learning.evaluation.OutOfSampleScores`, `metrics` its `Metrics` (None: there are none); `predictions`,
    shape (n,), the model's scores on its n training rows. Frames and predictions are looked at only where the digests
    of the two trainings differ, and may be None elsewhere. `facts` are text by name, the data's begin `data.`, the
    parameters' `params`.
    """

    model_md5: str
    scores_md5: str
    metrics_md5: str | None
    facts: Mapping[str, str]
    scores: pd.DataFrame | None = None
    metrics: pd.DataFrame | None = None
    predictions: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """One fact that was another at the recorded training; `what` names it."""

    kind: Kind
    what: str
    recorded: str
    made: str

    def __str__(self) -> str:
        """The difference in one line."""
        if self.what == DIRTY and self.recorded == "true":
            return f"{self.kind}: trained with changes that were never committed; what ran now is the commit alone"
        return f"{self.kind}: {self.what} was {self.recorded}, is {self.made}"


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that was compared; `distance` is the largest absolute difference, None where rows do not match."""

    name: str
    recorded: str | None
    made: str | None
    distance: float | None

    @property
    def same_bytes(self) -> bool:
        """Whether the digests are equal; a part that was never recorded differs in nothing."""
        return self.recorded is None or self.recorded == self.made


@dataclass(frozen=True, slots=True)
class Grade:
    """How much came back: verdict, the parts compared, and differences of their making, the first suspect first."""

    verdict: Equality
    model: Part
    scores: Part
    metrics: Part
    differences: tuple[Difference, ...]

    @property
    def parts(self) -> tuple[Part, Part, Part]:
        """Everything compared."""
        return self.model, self.scores, self.metrics

    @property
    def is_back(self) -> bool:
        """Whether the model came back, byte by byte or in every prediction."""
        return self.verdict is not Equality.DIFFERENT

    @property
    def is_unexplained(self) -> bool:
        """Whether bytes differ though nothing known does."""
        return self.verdict is not Equality.BYTES and not self.differences


def grade(recorded: Training, made: Training, *, tolerance: float = 1e-9) -> Grade:
    """How equal `made` is to `recorded`; scores within `tolerance`, a probability, are the same prediction."""
    model = Part("model", recorded.model_md5, made.model_md5, 0.0)
    if not model.same_bytes:
        model = replace(model, distance=vector_distance(recorded.predictions, made.predictions))
    scores = Part("scores", recorded.scores_md5, made.scores_md5, 0.0)
    if not scores.same_bytes:
        scores = replace(scores, distance=frame_distance(recorded.scores, made.scores, keys=ROW, values=["score"]))
    metrics = Part("metrics", recorded.metrics_md5, made.metrics_md5, 0.0)
    if not metrics.same_bytes:
        distance = frame_distance(recorded.metrics, made.metrics, keys=FIGURE, values=["value", "lower", "upper"])
        metrics = replace(metrics, distance=distance)
    differences = compare(recorded.facts, made.facts)
    return Grade(equality(model, scores, metrics, tolerance), model, scores, metrics, differences)


def equality(model: Part, scores: Part, metrics: Part, tolerance: float) -> Equality:
    """The verdict. Metrics follow from scores: they can only take the bytes, never the predictions, away."""
    if model.same_bytes and scores.same_bytes and metrics.same_bytes:
        return Equality.BYTES
    if all(part.distance is not None and part.distance <= tolerance for part in (model, scores)):
        return Equality.PREDICTIONS
    return Equality.DIFFERENT


def compare(recorded: Mapping[str, str], made: Mapping[str, str]) -> tuple[Difference, ...]:
    """Facts known of both that differ, by kind, then as they were recorded; uncommitted changes come first of all.

    A fact known of one only was not asked for when the other was made, and tells nothing.
    """
    found = [
        Difference(kind_of(name), name, recorded[name], made[name])
        for name in recorded
        if name in made and name not in ASIDE and recorded[name] != made[name]
    ]
    order = list(Kind)
    return tuple(sorted(found, key=lambda one: (one.what != DIRTY, order.index(one.kind))))


def kind_of(fact: str) -> Kind:
    """What sort of fact a name stands for."""
    return next((kind for prefix, kind in PREFIXES.items() if fact.startswith(prefix)), Kind.MACHINE)


def vector_distance(recorded: NDArray[np.float64] | None, made: NDArray[np.float64] | None) -> float | None:
    """Largest absolute difference, >= 0; None where one is lacking or longer, or no number where the other is one."""
    if recorded is None or made is None or recorded.shape != made.shape:
        return None
    differ = ~((recorded == made) | (np.isnan(recorded) & np.isnan(made)))
    distance = float(np.abs(recorded[differ] - made[differ]).max(initial=0.0))
    return distance if np.isfinite(distance) else None


def frame_distance(
    recorded: pd.DataFrame | None, made: pd.DataFrame | None, *, keys: list[str], values: list[str]
) -> float | None:
    """Largest absolute difference of `values` between rows of the same `keys`, in whatever order; None as above."""
    if recorded is None or made is None or len(recorded) != len(made):
        return None
    old, new = (frame.sort_values(keys, ignore_index=True) for frame in (recorded, made))
    if not old[keys].astype(str).equals(new[keys].astype(str)):
        return None
    return vector_distance(old[values].to_numpy(np.float64).ravel(), new[values].to_numpy(np.float64).ravel())
