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

from mlops_assets.gates.verdict import Verdict

Question = Mapping[str, str | None]
"""Digests of what a verdict was about, by name; `champion` is the model's that scored then."""


@dataclass(frozen=True, slots=True)
class Window:
    """The months to compare on, oldest first; `missing`: how many more must mature, 0 when these will do."""

    months: tuple[str, ...]
    missing: int


def months_to_compare(rows: Mapping[str, int], *, after: str, months: int, min_rows: int) -> Window:
    """The newest `months` months later than `after`, and as many before them as `min_rows` rows take.

    `rows`: labelled rows of each mature month, by name 'YYYY-MM'. Where all there are don't suffice, `missing` supposes
    months of their mean size.
    """
    newer = sorted(month for month, count in rows.items() if month > after and count > 0)
    total = sum(rows[month] for month in newer)
    lacking_rows = ceil(max(0, min_rows - total) * len(newer) / total) if total else 0
    if missing := max(months - len(newer), lacking_rows, 0):
        return Window(tuple(newer), missing)
    taken = months
    while sum(rows[month] for month in newer[-taken:]) < min_rows:
        taken += 1
    return Window(tuple(newer[-taken:]), 0)


def attempt_of(question: Question, earlier: Iterable[tuple[Question, Verdict]]) -> int:
    """The number of `question` among those answered about its champion, from 1 on; `earlier` oldest first."""
    answered: list[Question] = []
    for other, verdict in earlier:
        is_about_it = other.get("champion") == question.get("champion")
        if is_about_it and verdict is not Verdict.UNKNOWN and other not in answered:
            answered.append(other)
    return answered.index(question) + 1 if question in answered else len(answered) + 1
