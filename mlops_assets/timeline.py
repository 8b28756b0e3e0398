"""A simulation as a person reads it: a line for each month; under it what was trained, promoted or told, and why."""

from collections.abc import Iterator, Sequence
from typing import Any

NONE = "-"
WIDTH = 150


def text(months: Sequence[dict[str, Any]]) -> str:
    """The timeline of `chronicle.MonthTold`s, as dictionaries."""
    head = f"{'month':9}{'drift':9}{'outcomes':19}{'trained':10}{'promoted':11}champion"
    return "\n".join([head, *(line for month in months for line in lines(month))])


def lines(month: dict[str, Any]) -> Iterator[str]:
    """A month: its verdicts in a line, then why."""
    outcomes = f"{month['outcomes']} ({month['outcomes_of']})" if month["outcomes"] else NONE
    verdict = month["trainings"][-1]["verdict"] if month["trainings"] else NONE
    promoted = f"version {month['promoted']}" if month["promoted"] else NONE
    drift, champion = month["drift"] or NONE, month["champion"] or NONE
    yield f"{month['batch']:9}{drift:9}{outcomes:19}{verdict:10}{promoted:11}{champion}"
    for name in ("drift", "outcomes"):
        if month[name] not in {None, "PASS"}:
            yield cut(f"         {name}: {month[f'{name}_why']}")
    for training in month["trainings"]:
        causes = ", ".join(in_words(cause) for cause in training["causes"]) or "by hand"
        yield cut(f"         trained for {causes}")
        yield cut(f"         {training['verdict']}: {training['why']}")
    for title in month["alerts"]:
        yield cut(f"         told: {title}")


def in_words(cause: str) -> str:
    """A cause's key as a person reads it: `drift:2024-09:ab12` is `drift of 2024-09`."""
    kind, _, rest = cause.partition(":")
    batch = rest.partition(":")[0]
    return {"first": "a first champion", "corrections": "corrected months"}.get(kind, f"{kind} of {batch}")


def cut(line: str) -> str:
    """The line, not longer than a wide terminal."""
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 4]} ..."
