"""What the monitoring gates said last of each batch, and so which may be learned from; each report is read once."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import pandas as pd

from mlops_assets.champions import Champion
from mlops_assets.gates import findings, outcome_findings
from mlops_assets.gates.attempts import Judgement, Withheld
from mlops_assets.gates.attribution import Cause
from mlops_assets.maturity import Accepted, of_report
from mlops_assets.storage import Layers, bytes_table

REPORTS = {"drift": "drift_report", "outcomes": "outcome_report"}


def judgements(layers: Layers, champion: Champion, accepted: Accepted) -> list[Judgement]:
    """The last word of both gates on each batch that the champion never learned from.

    What was said of outcomes that are no evidence is left out.
    """
    found = []
    unheard = {labels.batch for labels in withheld(layers, accepted)}
    for gate, asset in REPORTS.items():
        for batch, digest in digests(layers, asset).items():
            if batch > champion.as_of and (gate != "outcomes" or batch not in unheard):
                found.append(read_report(Reading(layers, gate, batch, digest)))
    return found


def mature(layers: Layers, accepted: Accepted) -> dict[str, str]:
    """Digest of each batch that may be learned from, as `maturity.mature` names them, each report read once."""
    reports = digests(layers, REPORTS["drift"])
    broken = {
        batch for batch, digest in reports.items() if read_report(Reading(layers, "drift", batch, digest)).is_pipe
    }
    unheard = {labels.batch for labels in withheld(layers, accepted)}
    labelled = digests(layers, "labelled_customers")
    return {batch: digest for batch, digest in labelled.items() if batch not in broken | unheard}


def withheld(layers: Layers, accepted: Accepted) -> Iterator[Withheld]:
    """Labels that are no evidence, oldest batch first, as `maturity.withheld` tells them, each report read once."""
    labelled = digests(layers, "labelled_customers")
    for batch, digest in digests(layers, "coverage_report").items():
        if batch in labelled:
            report = first_row(Reading(layers, "coverage", batch, digest))
            if found := of_report(report, batch, labelled[batch], accepted):
                yield found


def digests(layers: Layers, name: str) -> dict[str, str]:
    """Digest of each batch of a table, hashed once."""
    batches = layers.batches(name)
    listed = layers.listing(name) if batches else {}
    return {batch: listed[f"{batch}.parquet"] for batch in batches}


@dataclass(frozen=True)
class Reading:
    """A version of a gate's report; alike by its digest, wherever it lies and whichever batch it is of."""

    layers: Layers
    gate: str
    batch: str
    digest: str

    def __eq__(self, other: object) -> bool:
        """Alike by the digest."""
        return isinstance(other, Reading) and (self.gate, self.digest) == (other.gate, other.digest)

    def __hash__(self) -> int:
        """By the digest."""
        return hash((self.gate, self.digest))


def read_report(reading: Reading) -> Judgement:
    """What a report tells of its batch; a version of it is read once by each process."""
    # Two months may have the same report, byte by byte: what is remembered of the bytes is of neither.
    return replace(told_by(reading), batch=reading.batch)


@lru_cache(maxsize=2000)
def told_by(reading: Reading) -> Judgement:
    """What the bytes of a report tell, of no batch."""
    table = bytes_table(reading.layers.content(REPORTS[reading.gate], reading.batch))
    is_drift = reading.gate == "drift"
    return Judgement(
        reading.gate,
        "",
        findings.verdict_of(table) if is_drift else outcome_findings.verdict_of(table),
        champion=str(table.model_md5.iloc[0]),
        digest=reading.digest,
        moved=str(table.moved.iloc[0]),
        is_pipe=is_drift and findings.cause_of(table) is Cause.PIPE,
    )


@lru_cache(maxsize=2000)
def first_row(reading: Reading) -> pd.DataFrame:
    """What a coverage report says of the batch as a whole; nothing of it depends on which batch that is."""
    return bytes_table(reading.layers.content("coverage_report", reading.batch)).iloc[:1]
