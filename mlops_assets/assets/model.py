"""The model: the challengers of a training, and how good they are on rows they never saw.

Training learns from the labelled batches that `training_set` lists, by digest; one training is one MLflow run.
"""

from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any

import dagster as dg
import pandas as pd

from mlops_assets import checks
from mlops_assets.assets import profile
from mlops_assets.churn import features
from mlops_assets.files import DamagedError, md5
from mlops_assets.history import Registered, Unrecorded
from mlops_assets.learning import candidates as making
from mlops_assets.learning import evaluation, explanation, metrics, profiles, training
from mlops_assets.learning.logistic import spline_logistic_fitter
from mlops_assets.learning.records import Candidates
from mlops_assets.params import MODEL_SECTIONS, Params
from mlops_assets.provenance import Origin
from mlops_assets.storage import Bundle, Layers, bytes_table, json_bytes, table_bytes
from mlops_assets.tracking import Dataset, Untracked, Version, forgiving, if_up

IMPORTANCES = "The mean absolute SHAP values of every candidate's features keep the contract of importances."


def learned_rows(layers: Layers, training_set: pd.DataFrame) -> pd.DataFrame:
    """The labelled rows that `training_set` lists. Raises DamagedError when a batch is not what was listed."""
    tables = []
    for batch, digest in training_set[["batch", "md5"]].itertuples(index=False):
        if layers.digest("labelled_customers", batch) != digest:
            message = f"labelled_customers of {batch} changed since training_set listed it. Run retrain again."
            raise DamagedError(message)
        tables.append(layers.read("labelled_customers", batch))
    return pd.concat(tables, ignore_index=True)


def labelled(rows: pd.DataFrame) -> making.Labelled:
    """Rows of `LabelledCustomers` in the form that learning takes."""
    return making.Labelled(features.model_inputs(rows), rows[["customer_id", "batch"]], rows.label, rows.weight)


def recipes(params: Params) -> tuple[training.Recipe, ...]:
    """The candidates' recipes under these parameters."""
    known = params.model.model_dump(
        exclude={"half_life_batches", "folds", "min_rolling_batches", "max_rolling_batches"}
    )
    base = training.Recipe(name="", half_life_batches=None, **known)
    return making.recipes(base, half_life_batches=params.model.half_life_batches)


def score_all(rows: making.Labelled, params: Params) -> pd.DataFrame:
    """Out-of-sample scores of the candidates and the baseline, on the same folds."""
    baseline = spline_logistic_fitter(**params.baseline.model_dump())
    fitters = {recipe.name: training.catboost_fitter(recipe) for recipe in recipes(params)}
    return making.out_of_sample(
        rows,
        {**fitters, making.BASELINE: baseline},
        folds=params.model.folds,
        min_batches=params.model.min_rolling_batches,
        max_scored=params.model.max_rolling_batches,
        seed=params.model.seed,
    )


@checks.table_asset(
    "churn_model",
    "catboost",
    "mlflow",
    checks=(checks.warning("churn_model", "importances", IMPORTANCES),),
    pool=checks.TRAINING,
)
def churn_model(
    context: dg.AssetExecutionContext,
    training_set: pd.DataFrame,
    layers: dg.ResourceParam[Layers],
    params: dg.ResourceParam[Params],
    tracking: dg.ResourceParam[Untracked],
    history: dg.ResourceParam[Unrecorded],
    origin: dg.ResourceParam[Origin],
) -> checks.Published:
    """The challengers: each candidate fitted on everything up to as_of, scored on rows it never saw, registered."""
    with if_up(tracking, context, origin) as (tracker, run_id):
        tracker.log_training(flat(params), datasets(layers, training_set))
        rows = learned_rows(layers, training_set)
        known = labelled(rows)
        context.log.info(f"scoring {len(rows)} rows out of fold and by rolling origin, then fitting on all of them")
        scores = score_all(known, params)
        fitted = {recipe.name: making.fit_twice(known, recipe) for recipe in recipes(params)}
        table = describe(fitted, scores, training_set, layers.digest("training_set"), params)
        importances = pd.concat(
            [
                explanation.importances(explanation.shap_values(f.model, known.X), candidate=name)
                for name, f in fitted.items()
            ],
            ignore_index=True,
        )
        # In the store before they have a number: a version that is known can always be had.
        for content in (table_bytes(scores), table_bytes(table), *(made.model for made in fitted.values())):
            history.keep(content)
        records = registrations(table, training_set, params=history.keep(parameters(params)), origin=origin)
        records = [replace(record, run_id=context.run.run_id, mlflow_run_id=run_id) for record in records]
        numbers = {record.candidate: history.register(record) for record in records}
        fitted_md5 = dict(zip(table.candidate, table.model_md5, strict=True))
        versions = [
            version(row, fitted[row["candidate"]].model, history.find(row["model_md5"]))
            for row in table.to_dict("records")
        ]
        with forgiving(context):
            for made in versions:
                tracker.register(made, known.X)
            tracker.point("challenger", fitted_md5[profiles.ranked(scores)[0]])
        files = {f"{md5(made.model)}.cbm": made.model for made in fitted.values()}
        files[f"{table.scores_md5.iloc[0]}.parquet"] = table_bytes(scores)
        explanation.Importances.validate(importances, lazy=True)
        shown = checks.records(importances.sort_values("share", ascending=False), limit=12)
        weighed = dg.AssetCheckResult(check_name="importances", passed=True, metadata={"importances": shown})
        yield from checks.publish(
            "churn_model",
            Bundle(table, files),
            weighed,
            note=f"{len(table)} candidates learned from {len(rows)} customers up to {table.as_of.iloc[0]}",
            candidates=checks.records(table.drop(columns=["scores_md5", "training_md5", "params_md5"])),
            importances=shown,
            registered_versions={name: number or "none" for name, number in numbers.items()},
            **tracker.links(run_id),
        )


def describe(
    fitted: dict[str, making.Fitted],
    scores: pd.DataFrame,
    training_set: pd.DataFrame,
    training_md5: str,
    params: Params,
) -> pd.DataFrame:
    """`Candidates`: one row per fitted candidate, with what it is in words."""
    threshold = evaluation.profit_threshold(**params.economics.model_dump())
    facts = {
        "scores_md5": md5(table_bytes(scores)),
        "training_md5": training_md5,
        "params_md5": params.digest(*MODEL_SECTIONS),
        "as_of": training_set.batch.max(),
        "batches": len(training_set),
        "rows": int(training_set.rows.sum()),
        "threshold": threshold,
    }
    return pd.DataFrame(
        [
            {
                "candidate": name,
                "model_md5": md5(made.model),
                **facts,
                "is_reproducible": made.is_reproducible,
                "description": in_words(name, scores, facts, params),
            }
            for name, made in fitted.items()
        ]
    )[list(Candidates.to_schema().columns)]


def in_words(name: str, scores: pd.DataFrame, facts: dict[str, Any], params: Params) -> str:
    """The candidate's written description, for the registry and whoever opens it in a year."""
    held_out = profiles.speaking(scores, name).query("candidate == @name")
    held_out_how = profiles.IN_WORDS[held_out.scheme.iloc[0]].capitalize()
    loss, auc = (
        float(measure(held_out.label.to_numpy(float), held_out.score.to_numpy(), held_out.weight.to_numpy()))
        for measure in (metrics.log_loss, metrics.roc_auc)
    )
    model = params.model
    weighting = (
        "every month weighs alike"
        if name == making.ALL_HISTORY
        else f"a month weighs half as much as one {model.half_life_batches:g} months newer"
    )
    return (
        f"CatBoost, {model.iterations} trees of depth {model.depth} at rate {model.learning_rate:g}; {weighting}. "
        f"Learned from {facts['rows']} customers of {facts['batches']} months up to {facts['as_of']}. "
        f"{held_out_how}: log-loss {loss:.4f}, ROC AUC {auc:.4f}. "
        f"An offer pays from a score of {facts['threshold']:.3f}."
    )


def parameters(params: Params) -> bytes:
    """All parameters as the YAML file that `MLOPS_PARAMS` may name; JSON is YAML."""
    return json_bytes(params.model_dump(mode="json"))


def registrations(
    table: pd.DataFrame, training_set: pd.DataFrame, *, params: str | None, origin: Origin
) -> list[Registered]:
    """What the history is told of each candidate, a row of `Candidates`; `params` is the digest of `parameters`."""
    whole = md5(table_bytes(table))
    inputs = dict(zip(training_set.batch, training_set.md5, strict=True))
    return [
        Registered(
            candidate=row["candidate"],
            model_md5=row["model_md5"],
            as_of=row["as_of"],
            churn_model=whole,
            training_set=row["training_md5"],
            scores=row["scores_md5"],
            inputs=inputs,
            params=params or "",
            params_md5=row["params_md5"],
            made_with=origin.facts(),
            run_id="",
            mlflow_run_id=None,
        )
        for row in table.to_dict("records")
    ]


def version(row: Mapping[Hashable, Any], model: bytes, record: Registered | None) -> Version:
    """What is to be registered of a candidate, a row of `Candidates`, and what the history knows of it."""
    tags = {name: str(row[name]) for name in ("training_md5", "params_md5", "as_of")}
    if record:
        # The registry's own number differs from the first one after a registry was lost.
        tags |= {"first_version": str(record.version), **record.made_with}
        tags |= {f"input.labelled_customers_{batch}": digest for batch, digest in record.inputs.items()}
    return Version(row["candidate"], model, row["model_md5"], float(row["threshold"]), row["description"], tags)


def datasets(layers: Layers, training_set: pd.DataFrame) -> list[Dataset]:
    """What a training learns from: the list, and each batch in it."""
    listed = [("training_set", None, layers.digest("training_set"), int(training_set.rows.sum()))]
    listed += [
        ("labelled_customers", batch, digest, int(rows))
        for batch, digest, rows in training_set[["batch", "md5", "rows"]].itertuples(index=False)
    ]
    return [
        Dataset(f"{name}_{batch}" if batch else name, str(layers.path(name, batch)), digest, rows)
        for name, batch, digest, rows in listed
    ]


def flat(params: Params) -> dict[str, object]:
    """Parameters that shape a model and what is said of it, as `section.key`."""
    tree = params.model_dump(mode="json", include={*MODEL_SECTIONS, "floors", "promotion", "evaluation"})
    return {f"{section}.{key}": value for section, part in tree.items() for key, value in part.items()}


@checks.table_asset("model_evaluation", "catboost", "mlflow")
def model_evaluation(
    context: dg.AssetExecutionContext,
    churn_model: pd.DataFrame,
    training_set: pd.DataFrame,
    layers: dg.ResourceParam[Layers],
    params: dg.ResourceParam[Params],
    tracking: dg.ResourceParam[Untracked],
    origin: dg.ResourceParam[Origin],
) -> checks.Published:
    """How good each candidate is on rows it never saw: overall, by fold, month and segment, each with its interval."""
    scores = bytes_table(layers.file("churn_model", f"{churn_model.scores_md5.iloc[0]}.parquet"))
    rows = learned_rows(layers, training_set)
    table = evaluation.evaluate(
        scores,
        features.segments(rows),
        threshold=float(churn_model.threshold.iloc[0]),
        **params.economics.model_dump(),
        **params.evaluation.model_dump(),
    )
    shown: dict[str, Any] = {}
    drawn: dict[str, profile.Pictures] = {}
    for _, row in churn_model.sort_values("candidate").iterrows():
        own = str(row.candidate)
        drawn[own] = profile.pictures(row, scores, rows, layers.file("churn_model", f"{row.model_md5}.cbm"), params)
        shown |= profile.metadata(profiles.profile(table, own), drawn[own], prefix=f"{own}/")
    overall = table.query("cut == 'overall'")
    files = {f"{own}/{name}.png": png for own, pngs in drawn.items() for name, png in pngs.items()}
    with if_up(tracking, context, origin) as (tracker, run_id), forgiving(context):
        tracker.log_evaluation(by_name(overall, ["candidate", "scheme", "metric"]), files, table)
    yield from checks.publish(
        "model_evaluation",
        table,
        note=f"{len(table)} figures of {len(drawn)} candidates and the baseline",
        order="by name: which candidate leads is for promotion_verdict to say",
        overall=checks.records(overall.drop(columns=["cut", "level"]), limit=60),
        **shown,
        **tracker.links(run_id),
    )


def by_name(table: pd.DataFrame, keys: list[str]) -> dict[str, float]:
    """Values of `Metrics` by what names them, such as `all_history.out_of_fold.log_loss`."""
    names = table[keys].astype(str).agg(".".join, axis=1)
    return {str(name): float(value) for name, value in zip(names, table["value"], strict=True)}
