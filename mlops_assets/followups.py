"""Decides what must be made again after a batch changed or came late, or a lasting change was accepted.

After a batch: its labels, and the judgement of those after it. After an acceptance, or taking one back: the judgement
of the newest batch, and of those after the change that do not belong to it, since what they are compared with is other
than it was (`references`).

Told from what was made, in the order in which it was, so that a lost cursor asks for the same. A key counts how often
the batch changed: the same change asks once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mlops_assets.history import Accepted, Made

AFFECTED = 2
"""Batches after a changed one that are judged together with it (`gates.monthly.WINDOW`, less itself)."""


@dataclass(frozen=True, slots=True)
class FollowUp:
    """A job to run for a batch, and the key by which it is asked for once."""

    job: str
    batch: str
    run_key: str


@dataclass(frozen=True, slots=True)
class Changes:
    """Of one batch's table: how many versions there were in turn, the newest, and where in the record it came."""

    count: int
    digest: str
    position: int


def followups(
    made: Sequence[Made], accepted: Sequence[Accepted] = (), changes_accepted: Sequence[Accepted] = ()
) -> list[FollowUp]:
    """What is to be run again; `made`: everything, oldest first; `accepted`: outcomes that hold as evidence.

    Outcomes that were accepted after they were judged are learned again, so that the champion is judged by them.
    `changes_accepted`: all records about changes as the normal of the present champion, oldest first.
    """
    features = changes(made, "customer_features")
    reports = {record.batch: position for position, record in enumerate(made) if record.asset == "drift_report"}
    labelled = {record.batch: record for record in made if record.asset == "labelled_customers"}
    found = [
        FollowUp("learn", batch, f"learn:{batch}:again:{change.count}:{change.digest[:12]}")
        for batch, change in sorted(features.items())
        if batch in labelled and labelled[batch].inputs.get(f"customer_features@{batch}") != change.digest
    ]
    judged = {record.batch: record for record in made if record.asset == "coverage_report"}
    found += [
        FollowUp("learn", record.batch, f"learn:{record.batch}:accepted:{record.when}")
        for record in accepted
        if (labels := labelled.get(record.batch))
        and labels.md5 == record.md5
        and record.batch in judged
        and judged[record.batch].when < record.when
    ]
    batches = sorted(features)
    for batch, change in sorted(features.items()):
        after = batches[batches.index(batch) + 1 :][:AFFECTED]
        found += [
            FollowUp("rescore", later, f"rescore:{later}:after:{batch}:{change.count}")
            for later in after
            if reports.get(later, change.position) < change.position
        ]
    asked = {follow.batch for follow in found if follow.job == "rescore"}
    return found + [follow for follow in to_judge_anew(made, changes_accepted) if follow.batch not in asked]


def to_judge_anew(made: Sequence[Made], changes_accepted: Sequence[Accepted]) -> list[FollowUp]:
    """The batches whose newest report is older than the last record about a change that they came with or after."""
    reports = {record.batch: record.when for record in made if record.asset == "drift_report" and record.batch}
    last = {record.batch: (number, record) for number, record in enumerate(changes_accepted, start=1)}
    found: dict[str, FollowUp] = {}
    for number, record in last.values():
        for batch in with_or_after(record, sorted(reports)):
            if reports[batch] < record.when:
                key = f"rescore:{batch}:accepted:{record.batch}:{number}"
                found[batch] = FollowUp("rescore", batch, key)
    return [found[batch] for batch in sorted(found)]


def with_or_after(record: Accepted, judged: Sequence[str]) -> list[str]:
    """Of the judged batches, oldest first, those that a record about a change makes look otherwise.

    The newest one; and where the change is accepted, those that came since and do not belong to it.
    """
    since = [batch for batch in judged if batch >= record.batch]
    others = [] if record.is_taken_back else [batch for batch in since if batch not in record.batches]
    return sorted({*others, *since[-1:]})


def changes(made: Sequence[Made], asset: str) -> dict[str, Changes]:
    """How often each batch of an asset changed; the same bytes again are no change."""
    found: dict[str, Changes] = {}
    for position, record in enumerate(made):
        if record.asset != asset or record.batch is None:
            continue
        before = found.get(record.batch)
        if before is None or before.digest != record.md5:
            found[record.batch] = Changes(before.count + 1 if before else 1, record.md5, position)
    return found
