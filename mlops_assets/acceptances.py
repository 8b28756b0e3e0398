"""What was accepted against a gate's objection: outcomes as evidence, and a lasting change as the new normal.

Read from the history, where the last record about the same thing counts: what was accepted can be taken back. Outcomes
are accepted as they lie, by the digest of the labelled table: delivered again with other bytes they are judged anew.
"""

from mlops_assets.history import Accepted, Unrecorded

OUTCOMES, CHANGE = "outcomes", "change"
"""What is accepted: the outcomes of a batch, or a change first seen in a batch."""

KINDS = (OUTCOMES, CHANGE)


def standing(history: Unrecorded, what: str) -> list[Accepted]:
    """The records of this kind that hold: of each batch the last, unless that took it back; oldest batch first."""
    last = {record.batch: record for record in history.read(Accepted) if record.what == what}
    return [last[batch] for batch in sorted(last) if not last[batch].is_taken_back]


def accepted_outcomes(history: Unrecorded) -> frozenset[tuple[str, str]]:
    """Batch and digest of `labelled_customers` of each batch whose outcomes are accepted as evidence."""
    return frozenset((record.batch, record.md5 or "") for record in standing(history, OUTCOMES))


def accepted_months(history: Unrecorded, champion: str) -> tuple[str, ...]:
    """The batches that belong to the reference of the champion with this model digest, though it never learned them."""
    changes = (record for record in standing(history, CHANGE) if record.champion == champion)
    return tuple(sorted({batch for record in changes for batch in record.batches}))
