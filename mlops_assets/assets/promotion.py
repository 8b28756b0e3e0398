"""Promotion: whether a candidate may score, on proof, and bound to the digests of everything that was judged.

Nothing here makes a champion; `assets.champion` does, and refuses a verdict that was about something else.
"""

import json
from typing import Any

import dagster as dg
import pandas as pd

from mlops_assets import changes, checks
from mlops_assets.assets import profile
from mlops_assets.assets.model import learned_rows, model_evaluation, recipes
from mlops_assets.champions import Champion, read_champion
from mlops_assets.churn import features
from mlops_assets.files import md5
from mlops_assets.gates import asking, promotion, succession
from mlops_assets.gates.attempts import changed_since, learnable
from mlops_assets.gates.verdict import Verdict
from mlops_assets.history import Crowned, Judged, Signed, Unrecorded, is_rolled_back
from mlops_assets.learning import candidates as making
from mlops_assets.learning import profiles, training
from mlops_assets.params import MODEL_SECTIONS, Params
from mlops_assets.partitions import next_batch
from mlops_assets.storage import Bundle, Layers, bytes_table, json_bytes
from mlops_assets.tracking import Untracked
from mlops_assets.trainings import CAUSES, NUMBER

VERDICT_SECTIONS = (*MODEL_SECTIONS, "floors", "promotion", "evaluation")
GATE = "A candidate may be champion: it keeps the floors, and is proven better than the champion, if there is one."
KEYS = ["customer_id", "batch"]


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
    tracking: dg.ResourceParam[Untracked],
) -> checks.Published:
    """PASS, FAIL or UNKNOWN, the winner's digest and the digests of what was judged; the first by floors alone."""
    scores = bytes_table(layers.file("churn_model", f"{churn_model.scores_md5.iloc[0]}.parquet"))
    rows = learned_rows(layers, training_set)
    champion = read_champion(layers)
    bound_to = subject(layers, champion, params)
    since = changed_since(causes_of(context))
    if context.run.parent_run_id and (before := verdict_that_made(champion, bound_to, layers)):
        why = "the run was cut off after it had made the champion, and is repeated"
        gate = checks.gate("promotion_verdict", "promotion", Verdict.PASS, why)
        yield from checks.publish("promotion_verdict", before, gate, verdict=str(Verdict.PASS), why=why)
        return
    judged = judge(
        churn_model,
        scores,
        champion,
        rows,
        params,
        history=history,
        question=bound_to,
        since=since,
    )
    outage = tracking.why_unregistered(churn_model.model_md5)
    if outage and judged.verdict is not Verdict.FAIL:
        judged = succession.withheld(judged, outage)
    told: dict[str, Any] = {
        "verdict": str(judged.verdict),
        "winner": judged.winner,
        "why": judged.why,
        "waits": judged.waits,
    }
    document = json_bytes({**told, "judged": bound_to})
    attempt = attempt_facts(context, training_set, params)
    change = "nothing was compared"
    if champion:
        # Before the verdict: whoever reads that it failed must know what it means.
        months = window_of(scores[scores.candidate.eq(churn_model.candidate.iloc[0])], champion, params, since).months
        asked = changes.Question(causes_of(context), months, md5(document))
        change = changes.accept_judged(judged, asked, champion, layers, history, params).why
    history.add(
        Judged(
            **told,
            **attempt,
            judged=bound_to,
            verdict_md5=md5(document),
            run_id=context.run.run_id,
            is_outage=outage is not None and judged.verdict is Verdict.UNKNOWN,
        )
    )
    shown = checks.records(judged.findings[["candidate", "subject", "holds", "meaning", "value", "limit"]], limit=40)
    why = f"{judged.why}; {judged.waits}" if judged.waits else judged.why
    gate = checks.gate("promotion_verdict", "promotion", judged.verdict, why, findings=shown)
    won = churn_model[churn_model.model_md5.isin([judged.winner])]

    def winners() -> tuple[profiles.Profile, profile.Pictures]:
        row = won.iloc[0]
        model = layers.file("churn_model", f"{row.model_md5}.cbm")
        drawn = profile.pictures(row, scores, rows, model, params)
        return profiles.profile(layers.read("model_evaluation"), str(row.candidate)), drawn

    yield from checks.publish(
        "promotion_verdict",
        Bundle(judged.findings, {"verdict.json": document}),
        gate,
        verdict=str(judged.verdict),
        why=why,
        winner=judged.winner or "none",
        change=change,
        findings=shown,
        judged=bound_to,
        **(profile.or_why_not(context, winners) if len(won) else {}),
    )


def verdict_that_made(champion: Champion | None, bound_to: dict[str, str | None], layers: Layers) -> Bundle | None:
    """The verdict that lies there, if it has made the champion and is about the same training; None otherwise.

    Asked again, with a champion that is the challenger itself, the gate would answer another question.
    """
    if champion is None or not layers.exists("promotion_verdict"):
        return None
    document = layers.named("promotion_verdict", "verdict.json")
    judged = json.loads(document)["judged"]
    if md5(document) != champion.verdict_md5 or {**judged, "champion": bound_to["champion"]} != bound_to:
        return None
    return Bundle(layers.read("promotion_verdict"), {"verdict.json": document})


def attempt_facts(context: dg.AssetExecutionContext, training_set: pd.DataFrame, params: Params) -> dict[str, Any]:
    """What makes this training an attempt: what it learned from, when that was in batches, and why it was asked for."""
    inputs = dict(zip(training_set.batch.astype(str), training_set.md5.astype(str), strict=True))
    return {
        "learned": learnable(inputs, params.digest(*MODEL_SECTIONS)),
        "number": int(context.run.tags.get(NUMBER, 0)),
        "batch": context.run.tags.get("mlops/batch") or max(inputs),
        "causes": causes_of(context),
    }


def causes_of(context: dg.AssetExecutionContext) -> tuple[str, ...]:
    """Keys of the causes for which the training was asked for; none of one that a person started."""
    return tuple(context.run.tags.get(CAUSES, "").split())


def judge(
    churn_model: pd.DataFrame,
    scores: pd.DataFrame,
    champion: Champion | None,
    rows: pd.DataFrame,
    params: Params,
    *,
    history: Unrecorded,
    question: dict[str, str | None],
    since: str | None,
) -> succession.Succession:
    """Floors of every candidate, and its comparison with the champion on the newest months neither had learned from.

    `since`: the batch in which a change was seen that the challenger should have learned; older months prove nothing.
    """
    held_out = scores[scores.scheme.eq("out_of_fold")]
    baseline = held_out[held_out.candidate.eq(making.BASELINE)].reset_index(drop=True)
    told = [(earlier.judged, Verdict(earlier.verdict)) for earlier in history.read(Judged)]
    attempt = asking.attempt_of(question, told)
    half_lives = {recipe.name: recipe.half_life_batches for recipe in recipes(params)}
    contenders = []
    for row in churn_model.to_dict("records"):
        name = str(row["candidate"])
        own = held_out[held_out.candidate.eq(name)].reset_index(drop=True)
        floors = promotion.judge_floors(
            own.label,
            own.score,
            baseline.score,
            # On rows weighted as it learns them: a model of recent months promises nothing about old ones.
            weights=own.weight * training.recency_weights(own.batch, half_life_batches=half_lives[name]),
            keys=own.customer_id,
            described=bool(row["description"]),
            reproducible=bool(row["is_reproducible"]),
            **params.floors.model_dump(),
            interval=params.evaluation.interval,
            calibration_bins=params.evaluation.calibration_bins,
        )
        rolling = scores[scores.scheme.eq("rolling_origin") & scores.candidate.eq(name)]
        comparison = compare(rolling, champion, rows, params, attempt=attempt, since=since) if champion else None
        digests = str(row["model_md5"]), str(row["training_md5"])
        contenders.append(succession.Contender(name, digests[0], floors, comparison, digests[1]))
    signed = history.read(Signed)
    return succession.decide(
        contenders,
        champion=champion.model_md5 if champion else None,
        refused={digest for signature in signed for digest in signature.refused},
        approval=params.promotion.approval,
        after_rollback=is_rolled_back(signed, history.read(Crowned)),
    )


def compare(
    rolling: pd.DataFrame, champion: Champion, rows: pd.DataFrame, params: Params, *, attempt: int, since: str | None
) -> promotion.Comparison:
    """A candidate's rolling-origin scores against the frozen champion's, on the newest months newer than its as_of."""
    limits = params.promotion
    after = compared_after(champion, since)
    window = window_of(rolling, champion, params, since)
    if window.missing:
        return succession.too_few_months(len(window.months), len(window.months) + window.missing, after=after)
    both = rolling[rolling.batch.isin(window.months)].merge(rows, on=KEYS, how="inner", suffixes=("", "_row"))
    return promotion.compare(
        training.load(champion.model)(features.model_inputs(both)),
        both.score,
        both.label,
        segments=features.segments(both).drop(columns=KEYS),
        weights=both.weight,
        batches=both.batch,
        keys=both.customer_id,
        attempt=attempt,
        min_batches=limits.months,
        **limits.model_dump(exclude={"months", "approval"}),
    )


def compared_after(champion: Champion, since: str | None) -> str:
    """The newest month that proves nothing: the champion learned from it, or it came before the change."""
    return max(champion.as_of, next_batch(since, -1)) if since else champion.as_of


def window_of(scores: pd.DataFrame, champion: Champion, params: Params, since: str | None) -> asking.Window:
    """The months on which a candidate's scores, of whatever scheme, are compared with the champion's."""
    rolling = scores[scores.scheme.eq("rolling_origin")]
    limits = params.promotion
    return asking.months_to_compare(
        rolling.batch,
        rolling.label,
        keys=rolling.customer_id,
        weights=rolling.weight,
        after=compared_after(champion, since),
        months=limits.months,
        min_rows=limits.min_rows,
    )


def subject(layers: Layers, champion: Champion | None, params: Params) -> dict[str, str | None]:
    """Digests of everything a verdict is about: it holds for these and for nothing else."""
    names = ("training_set", "churn_model", "model_evaluation")
    return {
        **{name: layers.digest(name) for name in names},
        "params": params.digest(*VERDICT_SECTIONS),
        "champion": champion.model_md5 if champion else None,
    }
