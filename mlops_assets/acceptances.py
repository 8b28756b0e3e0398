"""What was accepted against a gate's objection: outcomes as evidence, and a lasting change as the new normal.

Read from the history, where the last record about the same thing counts: what was accepted can be taken back. Both are
accepted as they lie, by digest: outcomes by that of the labelled table, the months of a change by those of their
features, and of their outcomes where they were known. Delivered again with other bytes they are judged anew.
"""

from collections.abc import Iterable, Iterator, Mapping

from mlops_assets.history import Accepted, Unrecorded
from mlops_assets.storage import Layers

OUTCOMES, CHANGE = "outcomes", "change"
"""What is accepted: the outcomes of a batch, or a change first seen in a batch."""

KINDS = (OUTCOMES, CHANGE)
FEATURES, LABELLED = "customer_features", "labelled_customers"

ANSWERED = "answered"
"""The name in `Accepted.figures` of the keys of causes that it answers."""

GATE = "promotion gate"
"""The actor where no person accepted it."""


def last_words(history: Unrecorded, what: str) -> list[Accepted]:
    """The last record about each thing, taken back or not; oldest batch first."""
    known = [record for record in history.read(Accepted) if record.what == what]
    # A change is one for each champion: after a rollback the older model's acceptance holds again.
    last = {(record.batch, record.champion if what == CHANGE else None): record for record in known}
    return sorted(last.values(), key=lambda record: record.batch)


def standing(history: Unrecorded, what: str) -> list[Accepted]:
    """The records of this kind that hold: of each thing the last, unless that took it back; oldest batch first."""
    return [record for record in last_words(history, what) if not record.is_taken_back]


def accepted_outcomes(history: Unrecorded) -> frozenset[tuple[str, str]]:
    """Batch and digest of `labelled_customers` of each batch whose outcomes are accepted as evidence."""
    return frozenset((record.batch, record.md5 or "") for record in standing(history, OUTCOMES))


def accepted_changes(history: Unrecorded, champion: str) -> list[Accepted]:
    """The changes that are the new normal of the champion with this model digest, oldest first."""
    return [record for record in standing(history, CHANGE) if record.champion == champion]


def accepted_months(history: Unrecorded, champion: str) -> tuple[str, ...]:
    """The batches that belong to the reference of the champion with this model digest, though it never learned them."""
    return tuple(sorted({batch for record in accepted_changes(history, champion) for batch in record.batches}))


def months_as_accepted(
    layers: Layers,
    history: Unrecorded,
    champion: str,
    *,
    judged: str | None = None,
    table: str = FEATURES,
) -> list[str]:
    """`accepted_months` that lie there with the bytes they were accepted with, oldest first.

    `judged`: the batch that is compared with them; a change that came after it is not its normal. `table`: with
    LABELLED those whose outcomes were known, and are as they were; outcomes that came later were never accepted.
    """
    found = set()
    for record in accepted_changes(history, champion):
        if judged is None or record.batch <= judged:
            found |= {batch for batch in record.batches if is_as_accepted(record, batch, layers, table)}
    return sorted(found)


def is_as_accepted(record: Accepted, batch: str, layers: Layers, table: str = FEATURES) -> bool:
    """Whether that table of the batch is the one that was accepted."""
    is_there = layers.exists(table, batch)
    return is_there and layers.digest(table, batch) == record.figures.get(f"{table}@{batch}")


def digests(layers: Layers, batches: Iterable[str], mature: Mapping[str, str]) -> dict[str, str]:
    """Digests of the months of a change as they lie there, as `Accepted.figures` holds them.

    `mature`: digest of the labelled table of each batch whose outcomes may be learned from.
    """
    months = tuple(batches)
    features = {f"{FEATURES}@{batch}": layers.digest(FEATURES, batch) for batch in months}
    return features | {f"{LABELLED}@{batch}": mature[batch] for batch in months if batch in mature}


def answered(records: Iterable[Accepted]) -> set[str]:
    """Keys of causes that these acceptances have answered: what gates had said of the months of the changes."""
    return {key for record in records for key in record.figures.get(ANSWERED, "").split()}


def taken_back_by(history: Unrecorded, champion: str) -> str | None:
    """Who took back an acceptance for this champion that has not been accepted again since; None if nobody did."""
    return next(iter(actors_of_take_backs(history, champion)), None)


def actors_of_take_backs(history: Unrecorded, champion: str) -> Iterator[str]:
    """Who took back what, newest batch first."""
    for record in reversed(last_words(history, CHANGE)):
        if record.champion == champion and record.is_taken_back:
            yield record.actor
