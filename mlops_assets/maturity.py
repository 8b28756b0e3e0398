"""Which batches may be learned from: those with labels, but for those that came through a broken pipe.

A month in cents would teach a model that prices rose a hundredfold, and stand in its reference as the newest normal.
It is left out as long as the drift gate's word about it stands; landed again and judged anew, it comes in.
"""

from mlops_assets.gates import findings
from mlops_assets.gates.attribution import Cause
from mlops_assets.storage import Layers


def mature(layers: Layers) -> list[str]:
    """Batches that may be learned from, oldest first."""
    return [batch for batch in layers.batches("labelled_customers") if not is_broken(layers, batch)]


def is_broken(layers: Layers, batch: str) -> bool:
    """Whether the drift gate's last word about the batch is that its pipe is broken."""
    return layers.exists("drift_report", batch) and findings.cause_of(layers.read("drift_report", batch)) is Cause.PIPE
