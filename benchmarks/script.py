"""The steps of `retrain` and `score` as a plain script: what a graph is measured against in `benchmarks.graph`.

It reads and checks with pandas, fits with the project's own rules (churn/, learning/, gates/) and calls MLflow plainly.
There is no Dagster in it, no contract held before a table is written, no atomic write, no digest, no event. So its
distance from the graph is what those cost, and not what another algorithm would. The rule rooms import Pandera for
their contracts, hence both pay for that; none of them imports Dagster, and the script fails if one ever does.
"""

# ruff: noqa: PLC0415 - only `retrain` pays for mlflow

import hashlib
import json
import logging
import os
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import pandas as pd

from mlops_assets.churn import features, offers, schemas
from mlops_assets.gates import drift, promotion, succession
from mlops_assets.learning import candidates as making
from mlops_assets.learning import evaluation, explanation, profiles, training
from mlops_assets.learning.logistic import spline_logistic_fitter
from mlops_assets.params import Params, load_params

ROOT = Path(__file__).parent.parent
SERVED = ROOT / "mlops_assets" / "serving_model.py"
KEYS = ["customer_id", "batch"]
YES_NO = ["female", "senior_citizen", "partner", "dependents", "phone_service", "paperless_billing"]
Fitted = dict[str, making.Fitted]


@click.group()
def main() -> None:
    """The plain script; HOME is a prepared home of the system, from which the same rows are read."""


@main.command()
@click.argument("home", type=click.Path(path_type=Path))
@click.option("--as-of", required=True, metavar="YYYY-MM")
def retrain(home: Path, as_of: str) -> None:
    """Fit both candidates, judge them on rows they never saw, register them, and write the champion."""
    import mlflow

    params = load_params(ROOT / "params.yaml")
    months = [p for p in sorted((home / "3_features/labelled_customers").glob("*.parquet")) if p.stem <= as_of]
    rows = pd.concat([pd.read_parquet(path) for path in months], ignore_index=True)
    known = making.Labelled(features.model_inputs(rows), rows[KEYS], rows.label, rows.weight)
    quiet()
    mlflow.set_tracking_uri(f"sqlite:///{home}/mlflow/mlflow.db")
    mlflow.set_experiment("churn")
    with mlflow.start_run():
        log_inputs(months, params)
        scores = score_all(known, params)
        fitted = {recipe.name: making.fit_twice(known, recipe) for recipe in recipes(params)}
        threshold = evaluation.profit_threshold(**params.economics.model_dump())
        for name, made in fitted.items():
            explanation.importances(explanation.shap_values(made.model, known.X), candidate=name)
            register(name, made.model, known.X, threshold, as_of)
        log_evaluation(scores, rows, fitted, threshold, params)
    verdict = judge(fitted, scores, params)
    click.echo(f"{verdict.verdict}: {verdict.why}")
    write_champion(home / "plain" / "champion", verdict, fitted, scores, rows, threshold)


def quiet() -> None:
    """No notices of migrations and no progress bars, as in the graph."""
    for name in ("mlflow.store.db.utils", "mlflow.utils.environment", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"


def recipes(params: Params) -> tuple[training.Recipe, ...]:
    """The two candidates' recipes."""
    known = params.model.model_dump(exclude={"half_life_batches", "folds", "min_rolling_batches"})
    base = training.Recipe(name="", half_life_batches=None, **known)
    return making.recipes(base, half_life_batches=params.model.half_life_batches)


def score_all(rows: making.Labelled, params: Params) -> pd.DataFrame:
    """Out-of-sample scores of the candidates and the baseline, on the same folds."""
    fitters = {recipe.name: training.catboost_fitter(recipe) for recipe in recipes(params)}
    return making.out_of_sample(
        rows,
        {**fitters, making.BASELINE: spline_logistic_fitter(**params.baseline.model_dump())},
        folds=params.model.folds,
        min_batches=params.model.min_rolling_batches,
        seed=params.model.seed,
    )


def log_inputs(months: list[Path], params: Params) -> None:
    """Parameters and datasets to the run in progress."""
    import mlflow
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.data.sources import LocalArtifactDatasetSource  # type: ignore[attr-defined] # made at import

    tree = params.model_dump(mode="json")
    mlflow.log_params({f"{section}.{key}": value for section, part in tree.items() for key, value in part.items()})
    for path in months:
        digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        dataset = MetaDataset(LocalArtifactDatasetSource(str(path)), name=path.stem, digest=digest)  # type: ignore[abstract]
        mlflow.log_input(dataset, context="training")


def register(name: str, model: bytes, sample: pd.DataFrame, threshold: float, as_of: str) -> None:
    """A candidate as a registered version: a pyfunc from code, with signature and pinned requirements."""
    import mlflow
    from mlflow.models import infer_signature

    answer = pd.DataFrame({"score": [0.5], "decision": [True]})
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "model.cbm").write_bytes(model)
        Path(folder, "decision.json").write_text(json.dumps({"threshold": threshold}), encoding="utf-8")
        logged = mlflow.pyfunc.log_model(
            name=name,
            python_model=str(SERVED),
            artifacts={"model": f"{folder}/model.cbm", "decision": f"{folder}/decision.json"},
            signature=infer_signature(sample.head(), answer),
            pip_requirements=[
                f"{package}=={version(package)}" for package in ("mlflow", "catboost", "pandas", "numpy")
            ],
        )
    made = mlflow.register_model(logged.model_uri, "churn", tags={"candidate": name, "as_of": as_of})
    mlflow.MlflowClient().set_registered_model_alias("churn", name, made.version)


def log_evaluation(scores: pd.DataFrame, rows: pd.DataFrame, fitted: Fitted, threshold: float, params: Params) -> None:
    """Metrics with intervals, and six pictures of each candidate, to the run in progress."""
    import mlflow

    table = evaluation.evaluate(
        scores,
        features.segments(rows),
        threshold=threshold,
        **params.economics.model_dump(),
        **params.evaluation.model_dump(),
    )
    overall = table[table.cut == "overall"]
    names = overall.candidate + "." + overall.scheme + "." + overall.metric
    mlflow.log_metrics(dict(zip(names, overall.value.tolist(), strict=True)))
    drawn = {
        f"{own}/{name}": png
        for own, made in fitted.items()
        for name, png in profiles.pictures(
            scores,
            own,
            model=made.model,
            X=features.model_inputs(rows),
            threshold=threshold,
            bins=params.evaluation.calibration_bins,
        ).items()
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, png in drawn.items():
            Path(folder, name).parent.mkdir(exist_ok=True)
            Path(folder, f"{name}.png").write_bytes(png)
        table.to_csv(Path(folder, "metrics.csv"), index=False)
        mlflow.log_artifacts(folder, "evaluation")


def judge(fitted: Fitted, scores: pd.DataFrame, params: Params) -> succession.Succession:
    """The verdict on a first champion: the floors."""
    held_out = scores[scores.scheme.eq("out_of_fold")]
    baseline = held_out[held_out.candidate.eq(making.BASELINE)]
    contenders = []
    for name, made in fitted.items():
        own = held_out[held_out.candidate.eq(name)]
        floors = promotion.judge_floors(
            own.label,
            own.score,
            baseline.score,
            weights=own.weight,
            described=True,
            reproducible=made.is_reproducible,
            **params.floors.model_dump(),
            calibration_bins=params.evaluation.calibration_bins,
        )
        digest = hashlib.md5(made.model, usedforsecurity=False).hexdigest()
        contenders.append(succession.Contender(name, digest, floors, None))
    return succession.decide(contenders, champion=None)


def write_champion(
    folder: Path, verdict: succession.Succession, fitted: Fitted, scores: pd.DataFrame, rows: pd.DataFrame, at: float
) -> None:
    """The winner's model, scores, drift reference and verdict; the alias follows."""
    import mlflow

    names = {hashlib.md5(made.model, usedforsecurity=False).hexdigest(): name for name, made in fitted.items()}
    name = names[verdict.winner or ""]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{verdict.winner}.cbm").write_bytes(fitted[name].model)
    scores.to_parquet(folder / "scores.parquet")
    own = scores[scores.candidate.eq(name) & scores.scheme.eq("out_of_fold")]
    rows.merge(own[[*KEYS, "score"]], on=KEYS, validate="one_to_one").to_parquet(folder / "reference.parquet")
    verdict.findings.to_parquet(folder / "findings.parquet")
    (folder / "verdict.json").write_text(json.dumps({"verdict": str(verdict.verdict), "at": at}), encoding="utf-8")
    client = mlflow.MlflowClient()
    client.set_registered_model_alias("churn", "champion", client.get_model_version_by_alias("churn", name).version)


@main.command()
@click.argument("home", type=click.Path(path_type=Path))
@click.argument("batch")
def score(home: Path, batch: str) -> None:
    """Read a landed month, check it, score it with reasons, test it for drift, and write both tables."""
    params = load_params(ROOT / "params.yaml")
    customers = check(pd.read_csv(home / "landing" / "customers" / f"{batch}.csv"))
    table = features.build_features(customers)
    inputs = features.model_inputs(table)
    champion = pd.read_parquet(home / "4_model/champion/champion.parquet").iloc[0]
    model = (home / "4_model/champion" / f"{champion.model_md5}.cbm").read_bytes()
    reference = pd.read_parquet(home / "4_model/champion" / f"{champion.reference_md5}.parquet")
    scores = pd.Series(training.load(model)(inputs), index=inputs.index)
    decision = scores >= champion.threshold
    lots = offers.assign(table.customer_id, decision, batch=batch, **params.offers.model_dump())
    reasons = explanation.top_reasons(explanation.shap_values(model, inputs), inputs, count=3)
    facts = {"customer_id": table.customer_id, "score": scores, "decision": decision}
    out = home / "plain"
    out.mkdir(exist_ok=True)
    pd.DataFrame(facts).join(lots).join(reasons).to_parquet(out / "predictions.parquet")
    assessment = drift.assess_drift(
        features.model_inputs(reference),
        inputs,
        reference_scores=reference.score,
        current_scores=scores,
        alpha=params.drift.alpha,
        min_rows=params.drift.min_rows,
    )
    drift.findings_table(assessment).to_parquet(out / "drift.parquet")
    click.echo(f"{len(table)} customers scored; drift {assessment.verdict}")


def check(customers: pd.DataFrame) -> pd.DataFrame:
    """`customers` if they could be used; what a careful script asserts."""
    names = schemas.fields(schemas.Customers)
    rules: dict[str, Any] = {
        "columns": set(names) <= set(customers),
        "customer_id": customers.customer_id.is_unique and customers.customer_id.notna().all(),
        "0 or 1": customers[YES_NO].isin([0, 1]).all(axis=None),
        "ranges": (customers[["tenure", "monthly_charges", "total_charges"]].fillna(0) >= 0).all(axis=None),
        "internet": all(
            (customers[name].eq(schemas.NO_INTERNET) == customers.internet_service.eq("No")).all()
            for name in schemas.ADD_ONS
        ),
        "lines": (customers.multiple_lines.eq(schemas.NO_PHONE) == customers.phone_service.eq(0)).all(),
    }
    if broken := [rule for rule, holds in rules.items() if not holds]:
        message = f"broken: {', '.join(broken)}"
        raise ValueError(message)
    return customers[names]


if __name__ == "__main__":
    main(standalone_mode=False)
    if "dagster" in sys.modules:
        sys.exit("the plain script has imported dagster: it is no measure of it any more.")
