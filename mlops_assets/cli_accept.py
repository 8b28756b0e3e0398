"""The command by which a person accepts what a gate speaks against, and takes that back.

Each kind of thing that can be accepted is a finder in `FINDERS`: it looks whether something of its kind stands open
about a batch. The command asks them all, and a person only where two have something.
"""

import getpass
from collections.abc import Callable
from dataclasses import replace

import click

from mlops_assets import acceptances, changes, judgements
from mlops_assets.cli_loop import refuse, signature
from mlops_assets.history import Accepted
from mlops_assets.opening import running
from mlops_assets.operate import System
from mlops_assets.storage import Layers


class NothingOpenError(LookupError):
    """There is nothing of this kind to accept or to take back about the batch; the message says why."""


Finder = Callable[[System, str, bool], Accepted]
"""The record, but for who and why, that accepts what stands open about a batch, or that takes it back (True).

Raises NothingOpenError.
"""


def find_outcomes(opened: System, batch: str, is_taken_back: bool) -> Accepted:  # noqa: FBT001 - as `Finder` has it
    """Outcomes that are no evidence, or that were accepted as such. Raises NothingOpenError."""
    layers, history = Layers(opened.home.layers), opened.resources["history"]
    standing = {record.batch: record for record in acceptances.standing(history, acceptances.OUTCOMES)}
    if is_taken_back:
        if batch not in standing:
            message = f"no outcomes of {batch} are accepted."
            raise NothingOpenError(message)
        return replace(standing[batch], is_taken_back=True, when="")
    if not layers.exists("labelled_customers", batch):
        message = f"no outcomes of {batch} are there: `mlops learn {batch}` once they have landed."
        raise NothingOpenError(message)
    accepted = acceptances.accepted_outcomes(history)
    open_ = {labels.batch: labels for labels in judgements.withheld(layers, accepted)}
    if batch not in open_:
        why = "are accepted already" if batch in standing else "are evidence already"
        message = f"the outcomes of {batch} {why}."
        raise NothingOpenError(message)
    if open_[batch].is_stale:
        message = f"the outcomes of {batch} are not judged as they lie: `mlops learn {batch}` first."
        raise NothingOpenError(message)
    first = layers.read("coverage_report", batch).iloc[0]
    figures = {name: f"{first[name]:g}" for name in ("rows", "covered", "observed", "p_value")}
    labels = open_[batch]
    return Accepted(acceptances.OUTCOMES, batch, "", "", md5=labels.digest, figures={**figures, "why": labels.why})


def find_change(opened: System, batch: str, is_taken_back: bool) -> Accepted:  # noqa: FBT001 - as `Finder` has it
    """A change first seen in the batch, or one that was accepted. Raises NothingOpenError."""
    find = changes.retractable if is_taken_back else changes.acceptable
    try:
        return find(batch, Layers(opened.home.layers), opened.resources["history"])
    except changes.NotAcceptableError as error:
        raise NothingOpenError(str(error)) from error


FINDERS: dict[str, Finder] = {acceptances.OUTCOMES: find_outcomes, acceptances.CHANGE: find_change}
"""By what is accepted, as `--what` names it."""

NEXT = {
    acceptances.OUTCOMES: (
        "the month is mature; the landing sensor judges the champion by it, or now: mlops learn {batch}",
        "the month is no evidence any more; what learned from it is corrected by the loop",
    ),
    acceptances.CHANGE: (
        "the reference takes its months in; the landing sensor judges the newest month anew",
        "the reference is without its months again; the landing sensor judges the newest month anew",
    ),
}
"""What follows from an acceptance, and from taking it back."""


@click.command()
@click.argument("batch", metavar="BATCH")
@click.option("--what", type=click.Choice(list(acceptances.KINDS)), default=None, help="if there is more than one")
@click.option("--take-back", is_flag=True, help="what was accepted holds no longer")
@signature
def accept(batch: str, what: str | None, actor: str | None, reason: str, *, take_back: bool) -> None:
    """Accept what a gate speaks against about BATCH: outcomes of a part of its customers, or a change seen in it."""
    from mlops_assets.partitions import parse_batch

    with running() as opened:
        parse_batch(batch)
        found, faults = {}, []
        for kind, finder in FINDERS.items():
            if what in {None, kind}:
                try:
                    found[kind] = finder(opened, batch, take_back)
                except NothingOpenError as fault:
                    faults.append(str(fault))
        if not found:
            refuse(" ".join(faults) or f"nothing about {batch} is open.")
        if len(found) > 1:
            refuse(f"more than one thing about {batch} is open: say --what {' or --what '.join(found)}.")
        ((kind, record),) = found.items()
        signed = replace(record, actor=actor or getpass.getuser(), reason=reason)
        opened.resources["history"].add(signed)
        verb = "taken back" if take_back else "accepted"
        click.echo(f"{kind} of {batch} {verb} by {signed.actor}: {reason}")
        for said, figure in signed.figures.items():
            if said.startswith(("drift@", "outcomes@")):
                click.echo(f"  {said.replace('@', ' of ')}: {figure}")
        click.echo(NEXT[kind][take_back].format(batch=batch))
