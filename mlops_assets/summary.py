"""The summary that `make demo` ends with: what ran, which model scores and how well, and where to look next."""

from typing import TYPE_CHECKING

from mlops_assets.champions import evaluation_of, read_champion
from mlops_assets.gates import findings as drift_findings
from mlops_assets.learning.candidates import BASELINE
from mlops_assets.learning.profiles import scheme_of
from mlops_assets.storage import Layers

if TYPE_CHECKING:
    import pandas as pd

    from mlops_assets.operate import System

SCHEMES = {
    "out_of_fold": "out of fold, with 95 % intervals",
    "rolling_origin": "newest months, 95 % intervals",
}
DIRTY = ", made from a tree that is not a commit"


def of(running: "System") -> str:
    """The summary of a home, as text."""
    layers = Layers(running.home.layers)
    batch = (layers.batches("predictions") or [running.params.sample.score_batch])[-1]
    parts = [batches(layers), champion(running, layers), newest(layers, batch), next_steps(running, batch)]
    return "\n\n".join(parts)


def batches(layers: Layers) -> str:
    """A line for each batch: rows, quarantined, labelled, churn rate."""
    lines = ["batch     customers  quarantined  labelled  left"]
    for batch in layers.batches("validated_customers"):
        good, bad = len(layers.read("validated_customers", batch)), len(layers.read("quarantined_customers", batch))
        if layers.exists("labelled_customers", batch):
            labelled = layers.read("labelled_customers", batch)
            known = f"{len(labelled):8}  {labelled.label.mean():.1%}"
        else:
            known = "       -  not known yet"
        lines.append(f"{batch} {good:11} {bad:12}  {known}")
    return "\n".join(lines)


def champion(running: "System", layers: Layers) -> str:
    """The champion: what it is, its figures with their intervals beside the baseline's."""
    model = read_champion(layers)
    if model is None:
        return "champion: none"
    record = running.resources["history"].find(model.model_md5)
    row = layers.read("champion").iloc[0]
    version = f"version {record.version}" if record else "not registered"
    is_clean = record is None or record.made_with["git_dirty"] == "false"
    lines = [
        f"champion: {version}, {model.candidate}, model {model.model_md5}{'' if is_clean else DIRTY}",
        f"  {row.description}",
    ]
    evaluated = evaluation_of(record, layers, running.resources["history"])
    if evaluated is None:
        return "\n".join([*lines, "  nobody knows how its training was evaluated"])
    scheme = scheme_of(model.candidate, set(evaluated.scheme[evaluated.candidate.eq(model.candidate)]))
    lines.append(f"  {SCHEMES[scheme]:34}{'champion':>24}{'spline logistic':>24}")
    table = evaluated.query("cut == 'overall' and scheme == @scheme")
    names = {
        "log_loss": "log-loss",
        "roc_auc": "ROC AUC",
        "average_precision": "average precision",
        "calibration_error": "calibration error",
        "lift_at_10": "lift at 10 %",
        "expected_profit": "profit per 1,000 customers",
    }
    for metric, name in names.items():
        cells = [figure(table, candidate, metric) for candidate in (model.candidate, BASELINE)]
        lines.append(f"  {name:34}{cells[0]:>24}{cells[1]:>24}")
    return "\n".join(lines)


def figure(table: "pd.DataFrame", candidate: str, metric: str) -> str:
    """`value [lower, upper]` of a metric."""
    row = table[table.candidate.eq(candidate) & table.metric.eq(metric)].iloc[0]
    digits = 0 if metric == "expected_profit" else 2 if metric == "lift_at_10" else 3
    return f"{row.value:.{digits}f} [{row.lower:.{digits}f}, {row.upper:.{digits}f}]"


def newest(layers: Layers, batch: str) -> str:
    """What was said of the newest batch."""
    if not layers.exists("predictions", batch):
        return f"{batch}: not scored"
    table = layers.read("predictions", batch)
    lines = [f"{batch}: {len(table)} customers scored, {int(table.decision.sum())} pass the threshold"]
    if layers.exists("drift_report", batch):
        findings = layers.read("drift_report", batch)
        whole = findings.iloc[0]
        lines.append(f"drift: {drift_findings.verdict_of(findings)} (p = {whole.p_value:.2g}), {whole.moved}")
    return "\n".join(lines)


def next_steps(running: "System", batch: str) -> str:
    """Where to look next."""
    return "\n".join(
        [
            "next:",
            "  make ui                            the graph, checks, pictures and tables of this run: http://127.0.0.1:3000",
            "  make mlflow                        the training run and the registered model: http://127.0.0.1:5000/#/models/churn",
            f"  .venv/bin/mlops export {batch}     the list that marketing gets",
            f"  .venv/bin/mlops report {batch}     Evidently's page of the month",
            "  .venv/bin/mlops deal               land the next month",
            f"everything lies in {running.home.root}",
        ]
    )
