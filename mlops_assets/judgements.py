"""What the monitoring gates said last of each batch, and so which may be learned from; each report is read once."""

from dataclasses import dataclass, replace
from functools import lru_cache

from mlops_assets.champions import Champion
from mlops_assets.gates import findings, outcome_findings
from mlops_assets.gates.attempts import Judgement
from mlops_assets.gates.attribution import Cause
from mlops_assets.storage import Layers, bytes_table

REPORTS = {"drift": "drift_report", "outcomes": "outcome_report"}


def judgements(layers: Layers, champion: Champion) -> list[Judgement]:
    """The last word of both gates on each batch that the champion never learned from."""
    found = []
    for gate, asset in REPORTS.items():
        for batch, digest in digests(layers, asset).items():
            if batch > champion.as_of:
                found.append(read_report(Reading(layers, gate, batch, digest)))
    return found


def mature(layers: Layers) -> dict[str, str]:
    """Digest of each batch that may be learned from, as `maturity.mature` names them, each report read once."""
    reports = digests(layers, REPORTS["drift"])
    broken = {
        batch for batch, digest in reports.items() if read_report(Reading(layers, "drift", batch, digest)).is_pipe
    }
    return {batch: digest for batch, digest in digests(layers, "labelled_customers").items() if batch not in broken}


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
