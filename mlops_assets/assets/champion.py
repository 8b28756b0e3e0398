"""The champion: the model that scores, made by a PASS whose digests match what is there, or by a person who signs.

What a person signs (`mlops promote`, `mlops rollback`) is taken from the store, so that any version that was ever
registered can score again, and is marked as signed for ever: by whom, when and why.
"""

import json
from typing import Any

import dagster as dg
import pandas as pd

from mlops_assets import checks
from mlops_assets.assets import profile
from mlops_assets.assets.model import learned_rows, version
from mlops_assets.assets.promotion import promotion_verdict, subject
from mlops_assets.champions import Champion, crown, evaluation_of, read_champion
from mlops_assets.churn import features
from mlops_assets.files import md5
from mlops_assets.gates.verdict import Verdict
from mlops_assets.history import Crowned, Registered, Signed, Unrecorded
from mlops_assets.learning import profiles
from mlops_assets.params import Params
from mlops_assets.provenance import Origin
from mlops_assets.storage import Bundle, Layers, bytes_table, json_bytes
from mlops_assets.tracking import Untracked, forgiving, if_up

Portrait = tuple[profiles.Profile, profile.Pictures]
PROMOTE, ROLLBACK = "promote", "rollback"


class Signature(dg.Config):
    """A person's decision; nothing is signed where `version` is None."""

    version: int | None = None
    action: str = PROMOTE
    actor: str = ""
    reason: str = ""


@checks.table_asset("champion", "catboost", "mlflow", deps=[promotion_verdict], pool=checks.TRAINING)
def champion(
    context: dg.AssetExecutionContext,
    config: Signature,
    churn_model: pd.DataFrame,
    training_set: pd.DataFrame,
    layers: dg.ResourceParam[Layers],
    params: dg.ResourceParam[Params],
    tracking: dg.ResourceParam[Untracked],
    history: dg.ResourceParam[Unrecorded],
    origin: dg.ResourceParam[Origin],
) -> checks.Published:
    """The model that scores: made by a PASS whose digests match what is there, or signed; the alias follows it."""
    current = read_champion(layers)
    if config.version is not None:
        refusal, bundle, why = signed(config, current, params, history, origin)
    else:
        verdict = layers.named("promotion_verdict", "verdict.json")
        if told := why_none(verdict, current):
            with if_up(tracking, context, origin) as (tracker, _):
                republish(context, current, layers, tracker, history)
                tell_outcome(context, json.loads(verdict), tracker)
            yield from checks.abstain("champion", told)
            return
        refusal, bundle, why = judged(verdict, current, churn_model, training_set, layers, params, history, origin)
    if bundle is None:
        yield from checks.refuse("champion", refusal)
        return
    row = bundle.table.iloc[0]
    shown: list[Portrait] = []

    def portrait() -> Portrait:
        is_signed = config.version is not None
        shown.append(portrait_of(bundle, None if is_signed else training_set, layers, params, history))
        return shown[0]

    yield from checks.publish(
        "champion",
        bundle,
        note=f"{row.candidate} as of {row.as_of} scores from now on",
        candidate=str(row.candidate),
        model_md5=str(row.model_md5),
        as_of=str(row.as_of),
        why=why,
        **profile.or_why_not(context, portrait),
    )
    # After the table: history and alias follow the champion, and never run ahead of it.
    told_of(context, layers, history, why=why)
    with if_up(tracking, context, origin) as (tracker, _):
        republish(context, read_champion(layers), layers, tracker, history)
        with forgiving(context):
            for own, pictures in shown:
                tracker.log_winner(own.candidate, own.intervals, pictures, trained_in(row, history))


def portrait_of(
    bundle: Bundle, training_set: pd.DataFrame | None, layers: Layers, params: Params, history: Unrecorded
) -> Portrait:
    """Figures, segments and pictures of the champion in `bundle`; `training_set` is None for what a person signed.

    They are then those of its own training, from history and store. Raises as `Store.get` does, and LookupError where
    nobody knows how it was evaluated.
    """
    row = bundle.table.iloc[0]
    record = history.find(str(row.model_md5))
    if training_set is not None:
        rows, table = learned_rows(layers, training_set), layers.read("model_evaluation")
    elif record and (known := evaluation_of(record, layers, history)) is not None:
        rows, table = learned_by(record, history), known
    else:
        message = f"no evaluation of the training that made {row.model_md5} is known."
        raise LookupError(message)
    scores = bytes_table(bundle.files[f"{row.scores_md5}.parquet"])
    drawn = profile.pictures(row, scores, rows, bundle.files[f"{row.model_md5}.cbm"], params)
    return profiles.profile(table, str(row.candidate)), drawn


def learned_by(record: Registered, history: Unrecorded) -> pd.DataFrame:
    """The labelled rows that a registered version learned from. Raises as `Store.get` does."""
    digests = record.inputs.values()
    return pd.concat([bytes_table(history.kept(digest)) for digest in digests], ignore_index=True)


def trained_in(row: pd.Series, history: Unrecorded) -> str | None:
    """The MLflow run of the training that made the champion, a row of `Candidates`; None where nobody knows."""
    record = history.find(str(row.model_md5))
    return record.mlflow_run_id if record else None


def tell_outcome(context: dg.AssetExecutionContext, document: dict[str, Any], tracking: Untracked) -> None:
    """Let the registry say how a training ended that made no champion: with no winner, or with one that waits."""
    with forgiving(context):
        if document["verdict"] != Verdict.PASS:
            tracking.log_winner(None, {}, {}, None)
        elif document.get("waits"):
            tracking.point("challenger", document["winner"])


def why_none(verdict: bytes, current: Champion | None) -> str | None:
    """Why a verdict makes no champion; None if it does."""
    document = json.loads(verdict)
    if current is not None and current.verdict_md5 == md5(verdict):
        return "its verdict has made it already"
    if document["verdict"] != Verdict.PASS:
        return f"the verdict is {document['verdict']}: {document['why']}"
    return f"the verdict is PASS, but {document['waits']}" if document.get("waits") else None


def judged(
    verdict: bytes,
    current: Champion | None,
    churn_model: pd.DataFrame,
    training_set: pd.DataFrame,
    layers: Layers,
    params: Params,
    history: Unrecorded,
    origin: Origin,
) -> tuple[str, Bundle | None, str]:
    """The champion that a PASS makes, or why it is refused; and the verdict's reason."""
    document = json.loads(verdict)
    if differs := differences(document["judged"], subject(layers, current, params)):
        why = f"the verdict was about something else ({', '.join(differs)} changed since). Run retrain again."
        return why, None, ""
    row = churn_model.set_index("model_md5", drop=False).loc[document["winner"]]
    record = history.find(row.model_md5)
    if record and (refusal := origin.why_not_promote(record.made_with)):
        return f"{row.candidate} {row.model_md5} may not score: {refusal}", None, ""
    scores = layers.file("churn_model", f"{row.scores_md5}.parquet")
    bundle = crown(
        row,
        model=layers.file("churn_model", f"{row.model_md5}.cbm"),
        scores=scores,
        reference=reference(learned_rows(layers, training_set), bytes_table(scores), row, params),
        verdict=verdict,
    )
    return "", bundle, document["why"]


def signed(
    config: Signature, current: Champion | None, params: Params, history: Unrecorded, origin: Origin
) -> tuple[str, Bundle | None, str]:
    """The champion that a person signs, from the store, or why it is refused; and the reason."""
    versions = {record.version: record for record in history.versions()}
    record = versions.get(config.version or 0)
    if record is None:
        known = f"known are 1 to {max(versions)}" if versions else "none is known"
        return f"there is no version {config.version}; {known}. `mlops versions churn_model` lists them.", None, ""
    if not (config.actor.strip() and config.reason.strip()):
        return "a signature needs a name and a reason: `mlops promote VERSION --reason TEXT`", None, ""
    if current and current.model_md5 == record.model_md5:
        return f"version {record.version} scores already", None, ""
    if refusal := origin.why_not_promote(record.made_with):
        return f"version {record.version} may not score: {refusal}", None, ""
    why = f"{config.action} signed by {config.actor}: {config.reason}"
    number = len(history.read(Signed)) + 1
    told = {"verdict": str(Verdict.PASS), "winner": record.model_md5, "why": why, "signature": number}
    verdict = json_bytes({**told, "judged": {"champion": current.model_md5 if current else None}})
    bundle = kept(record, verdict, params, history)
    rolled = history.find(current.model_md5) if current and config.action == ROLLBACK else None
    history.add(
        Signed(
            action=config.action,
            actor=config.actor,
            reason=config.reason,
            version=record.version,
            model_md5=record.model_md5,
            refused=(rolled.model_md5, rolled.training_set) if rolled else (),
            verdict_md5=md5(verdict),
        )
    )
    return "", bundle, why


def kept(record: Registered, verdict: bytes, params: Params, history: Unrecorded) -> Bundle:
    """A registered version as champion, everything of it from the store. Raises as `Store.get` does."""
    table = bytes_table(history.kept(record.churn_model))
    row = table[table.model_md5.eq(record.model_md5)].iloc[0]
    scores = history.kept(record.scores)
    rows = learned_by(record, history)
    model = history.kept(record.model_md5)
    return crown(
        row, model=model, scores=scores, reference=reference(rows, bytes_table(scores), row, params), verdict=verdict
    )


def republish(
    context: dg.AssetExecutionContext,
    current: Champion | None,
    layers: Layers,
    tracking: Untracked,
    history: Unrecorded,
) -> None:
    """Let history and registry say again what scores: a registry that was lost gets the champion anew."""
    if current is None:
        return
    row = layers.read("champion").to_dict("records")[0]
    told_of(context, layers, history, why="found scoring: the run that made it champion was cut off")
    with forgiving(context):
        tracking.register(
            version(row, current.model, history.find(current.model_md5)), features.model_inputs(current.reference)
        )
        tracking.point("champion", current.model_md5)


def told_of(context: dg.AssetExecutionContext, layers: Layers, history: Unrecorded, *, why: str) -> None:
    """Tell the history which champion lies there, unless it knows."""
    row = layers.read("champion").iloc[0]
    record = history.find(str(row.model_md5))
    facts: dict[str, Any] = {name: str(row[name]) for name in ("model_md5", "candidate", "as_of", "verdict_md5")}
    number = record.version if record else None
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
    listed = rows[rows.batch.isin(months)]
    return listed.merge(own[[*keys, "score"]], on=keys, how="inner", validate="one_to_one")
