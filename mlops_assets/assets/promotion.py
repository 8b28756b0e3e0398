"""Promotion: whether a candidate may score, and the champion, which only a PASS can make.

A verdict is bound to the digests of everything it judged, and `champion` refuses one that was about something else.
"""

import json
from typing import Any

import dagster as dg
import pandas as pd

from mlops_assets import checks
from mlops_assets.assets.model import MODEL_SECTIONS, learned_rows, model_evaluation, version
from mlops_assets.champions import Champion, crown, read_champion
from mlops_assets.churn import features
from mlops_assets.files import md5
from mlops_assets.gates import promotion, succession
from mlops_assets.gates.verdict import Verdict
from mlops_assets.history import Crowned, Judged, Unrecorded
from mlops_assets.learning import candidates as making
from mlops_assets.learning import training
from mlops_assets.params import Params
from mlops_assets.provenance import Origin
from mlops_assets.storage import Bundle, Layers, bytes_table, json_bytes
from mlops_assets.tracking import Untracked

VERDICT_SECTIONS = (*MODEL_SECTIONS, "floors", "promotion", "evaluation")
GATE = "A candidate may be champion: it keeps the floors, and is proven better than the champion, if there is one."


@checks.table_asset(
    "promotion_verdict",
    "pandas",
    checks=(checks.warning("promotion_verdict", "promotion", GATE),),
    deps=[model_evaluation],
)
def promotion_verdict(
    context: dg.AssetExecutionContext,
    churn_model: pd.DataFrame,
    training_set: pd.DataFrame,
    layers: dg.ResourceParam[Layers],
    params: dg.ResourceParam[Params],
    history: dg.ResourceParam[Unrecorded],
) -> checks.Published:
    """PASS, FAIL or UNKNOWN, the winner's digest and the digests of what was judged; the first by floors alone."""
    scores = bytes_table(layers.file("churn_model", f"{churn_model.scores_md5.iloc[0]}.parquet"))
    champion = read_champion(layers)
    judged = judge(churn_model, scores, champion, learned_rows(layers, training_set), params)
    bound_to = subject(layers, champion, params)
    told: dict[str, Any] = {"verdict": str(judged.verdict), "winner": judged.winner, "why": judged.why}
    document = json_bytes({**told, "judged": bound_to})
    history.add(Judged(**told, judged=bound_to, verdict_md5=md5(document), run_id=context.run.run_id))
    shown = checks.records(judged.findings[["candidate", "subject", "holds", "meaning", "value", "limit"]], limit=40)
    gate = checks.gate("promotion_verdict", "promotion", judged.verdict, judged.why, findings=shown)
    yield from checks.publish(
        "promotion_verdict",
        Bundle(judged.findings, {"verdict.json": document}),
        gate,
        verdict=str(judged.verdict),
        why=judged.why,
        winner=judged.winner or "none",
        findings=shown,
        judged=bound_to,
    )


def judge(
    churn_model: pd.DataFrame, scores: pd.DataFrame, champion: Champion | None, rows: pd.DataFrame, params: Params
) -> succession.Succession:
    """Floors of every candidate, and its comparison with the champion on the newest months neither had learned from."""
    held_out = scores[scores.scheme.eq("out_of_fold")]
    baseline = held_out[held_out.candidate.eq(making.BASELINE)].reset_index(drop=True)
    contenders = []
    for row in churn_model.to_dict("records"):
        name = str(row["candidate"])
        own = held_out[held_out.candidate.eq(name)].reset_index(drop=True)
        floors = promotion.judge_floors(
            own.label,
            own.score,
            baseline.score,
            weights=own.weight,
            described=bool(row["description"]),
            reproducible=bool(row["is_reproducible"]),
            **params.floors.model_dump(),
            interval=params.evaluation.interval,
            calibration_bins=params.evaluation.calibration_bins,
        )
        rolling = scores[scores.scheme.eq("rolling_origin") & scores.candidate.eq(name)]
        comparison = compare(rolling, champion, rows, params) if champion else None
        contenders.append(succession.Contender(name, str(row["model_md5"]), floors, comparison))
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


@checks.table_asset("champion", "catboost", "mlflow", deps=[promotion_verdict])
def champion(
    context: dg.AssetExecutionContext,
    churn_model: pd.DataFrame,
    training_set: pd.DataFrame,
    layers: dg.ResourceParam[Layers],
    params: dg.ResourceParam[Params],
    tracking: dg.ResourceParam[Untracked],
    history: dg.ResourceParam[Unrecorded],
    origin: dg.ResourceParam[Origin],
) -> checks.Published:
    """The model that scores: made only by a PASS whose digests match what is there; the registry's alias follows it."""
    verdict = layers.named("promotion_verdict", "verdict.json")
    document = json.loads(verdict)
    current = read_champion(layers)
    is_done = current is not None and current.verdict_md5 == md5(verdict)
    if is_done or document["verdict"] != Verdict.PASS:
        if current is not None:
            with tracking.run(context, origin):
                republish(context, current, layers, tracking, history)
        told = f"the verdict is {document['verdict']}: {document['why']}"
        yield from checks.abstain("champion", "its verdict has made it already" if is_done else told)
        return
    if differs := differences(document["judged"], subject(layers, current, params)):
        why = f"the verdict was about something else ({', '.join(differs)} changed since). Run retrain again."
        yield from checks.refuse("champion", why)
        return
    row = churn_model.set_index("model_md5", drop=False).loc[document["winner"]]
    record = history.find(row.model_md5)
    if record and (refusal := origin.why_not_promote(record.made_with)):
        yield from checks.refuse("champion", f"{row.candidate} {row.model_md5} may not score: {refusal}")
        return
    scores = layers.file("churn_model", f"{row.scores_md5}.parquet")
    bundle = crown(
        row,
        model=layers.file("churn_model", f"{row.model_md5}.cbm"),
        scores=scores,
        reference=reference(learned_rows(layers, training_set), bytes_table(scores), row, params),
        verdict=verdict,
    )
    yield from checks.publish(
        "champion",
        bundle,
        note=f"{row.candidate} as of {row.as_of} scores from now on",
        candidate=row.candidate,
        model_md5=row.model_md5,
        as_of=row.as_of,
        why=document["why"],
    )
    # After the table: history and alias follow the champion, and never run ahead of it.
    told_of(context, layers, history, why=document["why"])
    tracking.point("champion", row.model_md5)


def republish(
    context: dg.AssetExecutionContext, current: Champion, layers: Layers, tracking: Untracked, history: Unrecorded
) -> None:
    """Let history and registry say again what scores: a registry that was lost gets the champion anew."""
    row = layers.read("champion").to_dict("records")[0]
    told_of(context, layers, history, why="found scoring: the run that made it champion was cut off")
    tracking.register(
        version(row, current.model, history.find(current.model_md5)), features.model_inputs(current.reference)
    )
    tracking.point("champion", current.model_md5)


def told_of(context: dg.AssetExecutionContext, layers: Layers, history: Unrecorded, *, why: str) -> None:
    """Tell the history which champion lies there, unless it knows."""
    row = layers.read("champion").iloc[0]
    version_of = history.find(str(row.model_md5))
    names = ("model_md5", "candidate", "as_of", "verdict_md5")
    facts = {name: str(row[name]) for name in names}
    number = version_of.version if version_of else None
    history.add(
        Crowned(**facts, champion=layers.digest("champion"), why=why, run_id=context.run.run_id, version=number)
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
