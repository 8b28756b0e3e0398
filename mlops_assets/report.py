"""Status and history as a person reads them."""

from collections.abc import Sequence
from typing import Any

from mlops_assets.standing import Standing
from mlops_assets.timeline import cut


def status(told: Standing) -> str:
    """Which model scores and why, the last verdicts, what waits, what needs a person."""
    return "\n".join([*champion(told.champion), *gates(told.gates), *waits(told), *needs(told)])


def champion(facts: dict[str, Any] | None) -> list[str]:
    """The champion in a few lines."""
    if facts is None:
        return ["champion   none: nothing is scored yet"]
    months = facts["months"]
    learned = f"{months[0]} to {months[-1]}, {len(months)} months" if months else f"up to {facts['as_of']}"
    dirty = {"true": ", from a tree that is not a commit", "false": ""}.get(facts["git_dirty"] or "", "")
    return [
        f"champion   version {facts['version']}, {facts['candidate']}, model {facts['model_md5']}",
        f"  since    {facts['since']}{', after a rollback' if facts['is_rolled_back'] else ''}",
        f"  why      {facts['why']}",
        f"  verdict  {facts['verdict_md5']}",
        f"  learned  {learned}, training set {facts['training_set']}",
        f"  code     {facts['git_commit']}{dirty}",
        *(cut(f"  accepted {change}") for change in facts["accepted"]),
    ]


def gates(words: dict[str, dict[str, Any] | None]) -> list[str]:
    """The last word of each gate."""
    lines = []
    for name, word in words.items():
        said = f"{word['verdict']:8} {word['batch']}: {word['why']}" if word else "has not spoken about this champion"
        lines.append(cut(f"{name:10} {said}"))
    return lines


def waits(told: Standing) -> list[str]:
    """What is due or held back."""
    return [cut(f"waits      {wait}") for wait in told.waits]


def needs(told: Standing) -> list[str]:
    """What a person must do."""
    lines = []
    for alert in told.needs:
        lines += [cut(f"NEEDS YOU  {alert.title}: {first_line(alert.body)}"), f"           {alert.next_step}"]
    if told.undelivered:
        lines.append(f"NEEDS YOU  {told.undelivered} messages could not be delivered, and are tried again")
        lines.append("           Look at the addresses in MLOPS_ALERT_URLS; the log of the daemon has the messages.")
    return lines or ["needs      nobody"]


def first_line(text: str) -> str:
    """The first line of what may be a whole traceback."""
    return next(iter(text.strip().splitlines()), "")


def history(champions: Sequence[dict[str, Any]]) -> str:
    """A line for each champion, and why."""
    if not champions:
        return "there was never a champion"
    lines = []
    for one in champions:
        by = f"{one['signed']} signed by {one['actor']}" if one["signed"] else "by the promotion gate"
        lines.append(f"{one['since']}  version {one['version']}, {one['candidate']} as of {one['as_of']}, {by}")
        lines.append(cut(f"  {one['why']}"))
    return "\n".join(lines)
