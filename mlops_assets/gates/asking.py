"""Decides when a challenger may be judged at all, and how often that was asked before.

Months that the champion learned from prove nothing about it, and few months or rows prove nothing about anybody; then
the answer is how many more must mature. Each answer spends some of the chance of error that one champion is granted
(`promotion.widened`), so questions are counted: by what was judged, not by run. The same question asked again, by a
restarted daemon or a second evaluation, is no new one and has its old number, hence its old answer. UNKNOWN told
nothing, and spends nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt

from mlops_assets.gates.evidence import FEW_OF_A_LABEL, Rows, rarer_label, read_rows, shortage_of
from mlops_assets.gates.persons import codes_of, effective_rows
from mlops_assets.gates.verdict import Verdict

Question = Mapping[str, str | None]
"""Digests of what a verdict was about, by name; `champion` is the model's that scored then."""


@dataclass(frozen=True, slots=True)
class Window:
    """The months to compare on, oldest first; `missing`: how many more must mature, 0 when these will do."""

    months: tuple[str, ...]
    missing: int


def months_to_compare(
    batches: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    keys: npt.ArrayLike | None = None,
    weights: npt.ArrayLike | None = None,
    after: str,
    months: int,
    min_rows: int,
) -> Window:
    """The newest `months` months later than `after`, and as many before them as evidence takes.

    `batches`, shape (n,), the month 'YYYY-MM' of each labelled row; `labels`, its label; `keys`, its person. Evidence
    are `min_rows` effective rows and 20 of either label (`evidence.shortage_of`): where events are rare it takes more
    months. Where all there are don't suffice, `missing` supposes further months like them.
    """
    names = np.asarray(batches, dtype=str)
    rows = read_rows(labels, weights, {}, None if keys is None else codes_of(keys))
    names = names[rows.used]
    newer = sorted({str(name) for name in names if name > after})
    for taken in range(months, len(newer) + 1):
        if shortage_of(rows.only(np.isin(names, newer[-taken:])), min_rows) is None:
            return Window(tuple(newer[-taken:]), 0)
    lacking = months - len(newer)
    if lacking > 0 or not newer:
        return Window(tuple(newer), max(1, lacking))
    return Window(tuple(newer), _more_months(rows.only(np.isin(names, newer)), len(newer), min_rows))


def _more_months(rows: Rows, months: int, min_rows: int) -> int:
    """How many more months like these `months` give enough rows, and enough of the rarer label; at least 1."""
    rarer = rarer_label(rows)
    by_label = ceil(months * FEW_OF_A_LABEL / rarer) - months if rarer else 1
    by_rows = ceil(months * min_rows / effective_rows(rows.weights, rows.persons)) - months
    return max(1, by_label, by_rows)


def attempt_of(question: Question, earlier: Iterable[tuple[Question, Verdict]]) -> int:
    """The number of `question` among those answered about its champion, from 1 on; `earlier` oldest first."""
    answered: list[Question] = []
    for other, verdict in earlier:
        is_about_it = other.get("champion") == question.get("champion")
        if is_about_it and verdict is not Verdict.UNKNOWN and other not in answered:
            answered.append(other)
    return answered.index(question) + 1 if question in answered else len(answered) + 1
