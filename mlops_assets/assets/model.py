"""The model: challengers, how good they are, whether one may be champion, and the champion.

Training learns from the labelled batches that `training_set` lists, by digest. What a candidate promises comes from
rows it never saw. A verdict is bound to the digests of what it judged, and `champion` refuses one that was about others.
"""

import json
from typing import Any

import dagster as dg
import pandas as pd

from mlops_assets import checks
from mlops_assets.champions import Champion, crown, read_champion
from mlops_assets.churn import features
from mlops_assets.gates import promotion, succession
from mlops_assets.gates.verdict import Verdict
from mlops_assets.learning import candidates as making
from mlops_assets.learning import evaluation, explanation, figures, metrics, training
from mlops_assets.learning.logistic import spline_logistic_fitter
from mlops_assets.learning.records import Candidates
from mlops_assets.params import Params
from mlops_assets.storage import Bundle, DamagedError, Layers, bytes_table, json_bytes, md5, table_bytes
from mlops_assets.tracking import Dataset, Untracked, Version

MODEL_SECTIONS = ("model", "baseline", "economics")
VERDICT_SECTIONS = (*MODEL_SECTIONS, "floors", "promotion", "evaluation")
PICTURE_DPI = 90
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
    known = params.model.model_dump(exclude={"half_life_batches", "folds", "min_rolling_batches"})
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
        seed=params.model.seed,
    )


@dg.asset(
    **checks.asset_args(
        "churn_model", "catboost", "mlflow", checks=(checks.warning("churn_model", "importances", IMPORTANCES),)
    )
)
def churn_model(
    context: dg.AssetExecutionContext,
    training_set: pd.DataFrame,
    layers: dg.ResourceParam[Layers],
    params: dg.ResourceParam[Params],
    tracking: dg.ResourceParam[Untracked],
) -> checks.Published:
    """The challengers: each candidate fitted on everything up to as_of, scored on rows it never saw, registered."""
    with tracking.run(context) as run_id:
        tracking.log_training(flat(params), datasets(layers, training_set))
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
        versions = {
            row.candidate: tracking.register(version(row, fitted[row.candidate].model), known.X)
            for row in table.itertuples()
        }
        tracking.point("challenger", str(table.model_md5.iloc[0]))
        files = {f"{row.model_md5}.cbm": fitted[row.candidate].model for row in table.itertuples()}
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
            registered_versions={name: number or "none" for name, number in versions.items()},
            **tracking.links(run_id),
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
    held_out = scores.query("candidate == @name and scheme == 'out_of_fold'")
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
        f"Out of fold: log-loss {loss:.4f}, ROC AUC {auc:.4f}. "
        f"An offer pays from a score of {facts['threshold']:.3f}."
    )


def version(row: Any, model: bytes) -> Version:  # noqa: ANN401 - a named tuple of `Candidates`
    """What is to be registered of a candidate."""
    tags = {"training_md5": row.training_md5, "params_md5": row.params_md5, "as_of": row.as_of}
    return Version(row.candidate, model, row.model_md5, float(row.threshold), row.description, tags)


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
    """Parameters that shape a model and its verdict, as `section.key`."""
    tree = params.model_dump(mode="json", include=set(VERDICT_SECTIONS))
    return {f"{section}.{key}": value for section, part in tree.items() for key, value in part.items()}


@dg.asset(**checks.asset_args("model_evaluation", "catboost", "mlflow"))
def model_evaluation(
    context: dg.AssetExecutionContext,
    churn_model: pd.DataFrame,
    training_set: pd.DataFrame,
    layers: dg.ResourceParam[Layers],
    params: dg.ResourceParam[Params],
    tracking: dg.ResourceParam[Untracked],
) -> checks.Published:
    """How good each candidate is on rows it never saw: overall, by fold and month, by segment, each with its interval."""
    scores = bytes_table(layers.file("churn_model", f"{churn_model.scores_md5.iloc[0]}.parquet"))
    rows = learned_rows(layers, training_set)
    table = evaluation.evaluate(
        scores,
        features.segments(rows),
        threshold=float(churn_model.threshold.iloc[0]),
        **params.economics.model_dump(),
        **params.evaluation.model_dump(),
    )
    pictures = draw(scores, churn_model, features.model_inputs(rows), layers, params)
    overall = table.query("cut == 'overall'")
    with tracking.run(context) as run_id:
        figures_by_name = {f"{r.candidate}.{r.scheme}.{r.metric}": float(r.value) for r in overall.itertuples()}
        tracking.log_evaluation(figures_by_name, pictures, table)
    own = overall.query("candidate == @making.ALL_HISTORY and scheme == 'out_of_fold'")
    yield from checks.publish(
        "model_evaluation",
        table,
        note=f"{len(table)} figures of {churn_model.shape[0]} candidates and the baseline",
        overall=checks.records(overall.drop(columns=["cut", "level"]), limit=60),
        segments=checks.records(weakest(table), limit=40),
        **{row.metric: round(float(row.value), 4) for row in own.itertuples()},
        **{name.removesuffix(".png"): checks.picture(png) for name, png in pictures.items()},
        **tracking.links(run_id),
    )


def weakest(table: pd.DataFrame) -> pd.DataFrame:
    """Log-loss, AUC and calibration error by segment of the first candidate, the worst AUC first."""
    own = table[table.candidate.eq(making.ALL_HISTORY) & ~table.cut.isin(["overall", "fold"])]
    wide = own.pivot_table(index=["cut", "level", "rows", "positives"], columns="metric", values="value").reset_index()
    kept = ["cut", "level", "rows", "positives", "roc_auc", "log_loss", "calibration_error", "expected_profit"]
    return wide[kept].sort_values("roc_auc").reset_index(drop=True)


def draw(
    scores: pd.DataFrame, churn_model: pd.DataFrame, X: pd.DataFrame, layers: Layers, params: Params
) -> dict[str, bytes]:
    """The pictures of an evaluation, PNG by file name: the first candidate's out-of-fold scores beside the baseline's."""
    held_out = scores[scores.scheme.eq("out_of_fold") & scores.candidate.isin([making.ALL_HISTORY, making.BASELINE])]
    model = layers.file("churn_model", f"{churn_model.model_md5.iloc[0]}.cbm")
    threshold = float(churn_model.threshold.iloc[0])
    own = {"candidate": making.ALL_HISTORY}
    drawn = {
        "roc.png": figures.roc(held_out, **own),
        "precision_recall.png": figures.precision_recall(held_out, **own),
        "calibration.png": figures.calibration(held_out, **own, bins=params.evaluation.calibration_bins),
        "confusion.png": figures.confusion(held_out, **own, threshold=threshold),
        "gain.png": figures.gain(held_out, **own),
        "shap_summary.png": figures.shap_summary(explanation.shap_values(model, X), X),
    }
    return {name: figures.to_png(figure, dpi=PICTURE_DPI) for name, figure in drawn.items()}


@dg.asset(
    **checks.asset_args(
        "promotion_verdict",
        "pandas",
        checks=(
            checks.warning(
                "promotion_verdict", "promotion", "A candidate may be champion: floors, and proof against the champion."
            ),
        ),
    )
)
def promotion_verdict(
    churn_model: pd.DataFrame,
    model_evaluation: pd.DataFrame,
    training_set: pd.DataFrame,
    layers: dg.ResourceParam[Layers],
    params: dg.ResourceParam[Params],
) -> checks.Published:
    """PASS, FAIL or UNKNOWN, the winner's digest and the digests of what was judged; the first by floors alone."""
    scores = bytes_table(layers.file("churn_model", f"{churn_model.scores_md5.iloc[0]}.parquet"))
    champion = read_champion(layers)
    judged = judge(churn_model, scores, champion, learned_rows(layers, training_set), params)
    document = json_bytes(
        {
            "verdict": str(judged.verdict),
            "winner": judged.winner,
            "why": judged.why,
            "judged": subject(layers, champion, params),
        }
    )
    shown = checks.records(judged.findings, limit=40)
    gate = checks.gate("promotion_verdict", "promotion", judged.verdict, judged.why, findings=shown)
    yield from checks.publish(
        "promotion_verdict",
        Bundle(judged.findings, {"verdict.json": document}),
        gate,
        verdict=str(judged.verdict),
        why=judged.why,
        winner=judged.winner or "none",
        findings=shown,
        judged=json.loads(document)["judged"],
    )


def judge(
    churn_model: pd.DataFrame, scores: pd.DataFrame, champion: Champion | None, rows: pd.DataFrame, params: Params
) -> succession.Succession:
    """Floors of every candidate, and its comparison with the champion on the newest months neither had learned from."""
    held_out = scores[scores.scheme.eq("out_of_fold")]
    baseline = held_out[held_out.candidate.eq(making.BASELINE)].reset_index(drop=True)
    contenders = []
    for row in churn_model.itertuples():
        own = held_out[held_out.candidate.eq(row.candidate)].reset_index(drop=True)
        floors = promotion.judge_floors(
            own.label,
            own.score,
            baseline.score,
            weights=own.weight,
            described=bool(row.description),
            reproducible=bool(row.is_reproducible),
            **params.floors.model_dump(),
            calibration_bins=params.evaluation.calibration_bins,
        )
        rolling = scores[scores.scheme.eq("rolling_origin") & scores.candidate.eq(row.candidate)]
        comparison = compare(rolling, champion, rows, params) if champion else None
        contenders.append(succession.Contender(row.candidate, row.model_md5, floors, comparison))
    return succession.decide(contenders, champion=champion.model_md5 if champion else None)


def compare(rolling: pd.DataFrame, champion: Champion, rows: pd.DataFrame, params: Params) -> promotion.Comparison:
    """A candidate's rolling-origin scores against the frozen champion's, on the newest months newer than its as_of."""
    months = sorted(rolling.batch[rolling.batch.gt(champion.as_of)].unique())[-params.promotion.months :]
    if len(months) < params.promotion.months:
        return succession.too_few_months(len(months), params.promotion.months)
    keys = ["customer_id", "batch"]
    both = rolling[rolling.batch.isin(months)].merge(rows, on=keys, how="inner", suffixes=("", "_row"))
    return promotion.compare(
        training.load(champion.model)(features.model_inputs(both)),
        both.score,
        both.label,
        segments=features.segments(both).drop(columns=keys),
        weights=both.weight,
        **params.promotion.model_dump(exclude={"months"}),
    )


def subject(layers: Layers, champion: Champion | None, params: Params) -> dict[str, str | None]:
    """Digests of everything a verdict is about: it holds for these and for nothing else."""
    names = ("training_set", "churn_model", "model_evaluation")
    return {
        **{name: layers.digest(name) for name in names},
        "params": params.digest(*VERDICT_SECTIONS),
        "champion": champion.model_md5 if champion else None,
    }


@dg.asset(**checks.asset_args("champion", "catboost", "mlflow"))
def champion(
    churn_model: pd.DataFrame,
    promotion_verdict: pd.DataFrame,
    training_set: pd.DataFrame,
    layers: dg.ResourceParam[Layers],
    params: dg.ResourceParam[Params],
    tracking: dg.ResourceParam[Untracked],
) -> checks.Published:
    """The model that scores: made only by a PASS whose digests match what is there; the registry's alias follows it."""
    verdict = layers.named("promotion_verdict", "verdict.json")
    document = json.loads(verdict)
    current = read_champion(layers)
    if document["verdict"] != Verdict.PASS:
        if current is not None:
            tracking.point("champion", current.model_md5)
        yield from checks.abstain("champion", f"the verdict is {document['verdict']}: {document['why']}")
        return
    if differs := differences(document["judged"], subject(layers, current, params)):
        why = f"the verdict was about something else ({', '.join(differs)} changed since). Run retrain again."
        yield from checks.refuse("champion", why)
        return
    row = churn_model.set_index("model_md5", drop=False).loc[document["winner"]]
    scores = layers.file("churn_model", f"{row.scores_md5}.parquet")
    bundle = crown(
        row,
        model=layers.file("churn_model", f"{row.model_md5}.cbm"),
        scores=scores,
        reference=reference(learned_rows(layers, training_set), bytes_table(scores), row, params),
        verdict=verdict,
    )
    number = tracking.point("champion", row.model_md5)
    yield from checks.publish(
        "champion",
        bundle,
        note=f"{row.candidate} as of {row.as_of} scores from now on",
        candidate=row.candidate,
        model_md5=row.model_md5,
        as_of=row.as_of,
        registered_version=number or "none",
        why=document["why"],
    )


def differences(judged: dict[str, Any], there: dict[str, Any]) -> list[str]:
    """Names of what a verdict was about that is not the same any more."""
    return [name for name in sorted({*judged, *there}) if judged.get(name) != there.get(name)]


def reference(rows: pd.DataFrame, scores: pd.DataFrame, candidate: pd.Series, params: Params) -> pd.DataFrame:
    """What drift compares with: the newest months learned from, with their out-of-fold scores and labels."""
    months = sorted(rows.batch.unique())[-params.drift.reference_months :]
    own = scores[scores.candidate.eq(candidate.candidate) & scores.scheme.eq("out_of_fold")]
    keys = ["customer_id", "batch"]
    kept = rows[rows.batch.isin(months)].drop(columns="weight")
    return kept.merge(own[[*keys, "score"]], on=keys, how="inner", validate="one_to_one")
