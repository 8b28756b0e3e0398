"""Which batches may be learned from: those with labels, but for those that came through a broken pipe or are a part.

A month in cents would teach a model that prices rose a hundredfold, and stand in its reference as the newest normal.
It is left out as long as the drift gate's word about it stands; landed again and judged anew, it comes in. A month of
which only the leavers have an outcome would teach that everybody leaves: it is withheld until it lands whole, or a
person accepts it as it lies. A month that was learned before coverage was judged at all counts as it did.
"""

from collections.abc import Collection

import pandas as pd

from mlops_assets.gates import coverage_findings, findings
from mlops_assets.gates.attempts import Withheld
from mlops_assets.gates.attribution import Cause
from mlops_assets.gates.verdict import Verdict
from mlops_assets.storage import Layers

Accepted = Collection[tuple[str, str]]
"""Batch and digest of `labelled_customers` of what persons accepted, as `acceptances.accepted_outcomes` tells it."""


def mature(layers: Layers, accepted: Accepted) -> list[str]:
    """Batches that may be learned from, oldest first."""
    labelled = layers.batches("labelled_customers")
    return [batch for batch in labelled if not is_broken(layers, batch) and not withheld(layers, batch, accepted)]


def is_broken(layers: Layers, batch: str) -> bool:
    """Whether the drift gate's last word about the batch is that its pipe is broken."""
    return layers.exists("drift_report", batch) and findings.cause_of(layers.read("drift_report", batch)) is Cause.PIPE


def withheld(layers: Layers, batch: str, accepted: Accepted) -> Withheld | None:
    """Why the labels of the batch, which are there, are no evidence; None if they are."""
    if not layers.exists("coverage_report", batch):
        return None
    digest = layers.digest("labelled_customers", batch)
    return of_report(layers.read("coverage_report", batch), batch, digest, accepted)


def of_report(report: pd.DataFrame, batch: str, digest: str, accepted: Accepted) -> Withheld | None:
    """What a coverage report says of the labels with this digest; None if they are evidence."""
    if (batch, digest) in accepted:
        return None
    first = report.iloc[0]
    if first.labelled_md5 != digest:
        return Withheld(batch, digest, "their coverage was judged when they were others", is_stale=True)
    is_unknown = coverage_findings.verdict_of(report) is Verdict.UNKNOWN
    return Withheld(batch, digest, str(first.moved)) if is_unknown else None
