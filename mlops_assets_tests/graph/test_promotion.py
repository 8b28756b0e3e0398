"""A challenger that is proven better on months that neither model learned from replaces the champion, by weighted rows.

The champion here is a real but feeble model of the first two months; the challengers are the demonstration's, and the
months that both are judged on the three after that. Some rows weigh more than others, as where most got an offer.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from mlops_assets import operate
from mlops_assets.assets import promotion
from mlops_assets.assets.model import labelled, recipes
from mlops_assets.champions import Champion, crown, read_champion
from mlops_assets.churn import features
from mlops_assets.files import md5
from mlops_assets.gates.succession import Succession
from mlops_assets.gates.verdict import Verdict
from mlops_assets.history import Crowned, Judged, Unrecorded
from mlops_assets.home import Home
from mlops_assets.learning import training
from mlops_assets.learning.candidates import BASELINE
from mlops_assets.operate import Ran, System
from mlops_assets.params import Params
from mlops_assets.storage import Bundle, Layers, bytes_table, table_bytes

LEARNED, AFTER = ["2024-01", "2024-02"], ["2024-03", "2024-04", "2024-05"]
CHALLENGER, RECENT = "all_history", "recency_weighted"


def rows_of(layers: Layers, batches: list[str]) -> pd.DataFrame:
    return pd.concat([layers.read("labelled_customers", batch) for batch in batches], ignore_index=True)


def scores_of(layers: Layers) -> pd.DataFrame:
    """The candidates' out-of-sample scores, of which one in eight stands for four others and half count half."""
    digest = layers.read("churn_model").scores_md5.iloc[0]
    scores = bytes_table(layers.file("churn_model", f"{digest}.parquet"))
    number = scores.customer_id.map(lambda key: int(md5(key.encode())[:8], 16) % 8)
    return scores.assign(weight=np.select([number == 0, number < 5], [4.0, 0.5], 1.0))


@pytest.fixture(scope="module")
def feeble(layers: Layers, params: Params) -> bytes:
    """A model of four small trees that learned from the first two months."""
    rows = rows_of(layers, LEARNED)
    known = labelled(rows)
    recipe = recipes(params)[0]
    few = type(recipe)(**{**{name: getattr(recipe, name) for name in recipe.__slots__}, "iterations": 4, "depth": 1})
    return training.fit(known.X, known.y, weights=known.weights, batches=rows.batch, recipe=few)


@pytest.fixture(scope="module")
def incumbent(layers: Layers, feeble: bytes) -> Champion:
    """The feeble model as the champion."""
    there = read_champion(layers)
    assert there is not None
    return Champion("feeble", md5(feeble), feeble, there.threshold, LEARNED[-1], there.verdict_md5, there.reference)


@dataclass(frozen=True)
class Contest:
    """What a comparison in a running system came to."""

    ran: tuple[Ran, Ran]
    running: System
    findings: pd.DataFrame
    scores: pd.DataFrame


@pytest.fixture(scope="module")
def contest(
    copy_home: Callable[[Path], Home],
    tmp_path_factory: pytest.TempPathFactory,
    params: Params,
    incumbent: Champion,
) -> Iterator[Contest]:
    """The demonstration's candidates against the feeble champion: verdict and champion are materialized."""
    home = copy_home(tmp_path_factory.mktemp("contest") / "home")
    with operate.system(home, params) as running:
        layers = running.resources["layers"]
        scores = scores_of(layers)
        content = table_bytes(scores)
        table = layers.read("churn_model").assign(scores_md5=md5(content))
        models = {f"{digest}.cbm": layers.file("churn_model", f"{digest}.cbm") for digest in table.model_md5}
        layers.write("churn_model", Bundle(table, {**models, f"{md5(content)}.parquet": content}))
        row = table.iloc[0].copy()
        row[["candidate", "model_md5", "as_of"]] = "feeble", incumbent.model_md5, incumbent.as_of
        verdict = b'{"winner": "feeble"}'
        known = incumbent.reference
        bundle = crown(row, model=incumbent.model, scores=content, reference=known, verdict=verdict)
        layers.write("champion", bundle)
        ran = running.materialize("promotion_verdict"), running.materialize("champion")
        yield Contest(ran, running, layers.read("promotion_verdict"), scores)


def pairs(contest: Contest, incumbent: Champion, layers: Layers) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """The rows compared, scored by the champion and by the challenger."""
    told = contest.scores.query("scheme == 'rolling_origin' and candidate == @CHALLENGER")
    both = told.merge(rows_of(layers, AFTER).drop(columns=["label", "weight"]), on=["customer_id", "batch"])
    return both, training.load(incumbent.model)(features.model_inputs(both)), both.score.to_numpy(float)


def test_a_proven_challenger_replaces_the_champion(contest: Contest) -> None:
    layers, history = contest.running.resources["layers"], contest.running.resources["history"]
    told = history.read(Judged)[-1]

    assert [ran.broken for ran in contest.ran] == [[], []]
    assert [ran.is_success for ran in contest.ran] == [True, True]
    assert told.verdict == str(Verdict.PASS)
    champion = read_champion(layers)
    assert champion is not None
    assert (champion.model_md5, champion.as_of) == (told.winner, "2024-05")
    assert history.read(Crowned)[-1].model_md5 == told.winner


def test_the_proof_is_a_comparison_on_the_weighted_rows_of_months_neither_had_learned_from(
    contest: Contest, incumbent: Champion, layers: Layers
) -> None:
    both, champion, challenger = pairs(contest, incumbent, layers)
    assert set(both.batch) == set(AFTER)
    losses = [log_loss(both.label, chances, sample_weight=both.weight) for chances in (champion, challenger)]
    areas = [roc_auc_score(both.label, chances, sample_weight=both.weight) for chances in (champion, challenger)]

    own = contest.findings.query("candidate == @CHALLENGER and gate == 'comparison'").set_index("subject")["value"]

    assert own["log_loss"] == pytest.approx(losses[0] - losses[1])
    assert own["relative_gain"] == pytest.approx((losses[0] - losses[1]) / losses[0])
    assert own["roc_auc"] == pytest.approx(areas[1] - areas[0])
    # Rows that all weigh alike would have told something else.
    assert own["log_loss"] != pytest.approx(log_loss(both.label, champion) - log_loss(both.label, challenger), rel=1e-3)


def test_each_segment_is_compared_on_its_weighted_rows(contest: Contest, incumbent: Champion, layers: Layers) -> None:
    both, champion, challenger = pairs(contest, incumbent, layers)
    own = contest.findings.query("candidate == @CHALLENGER and gate == 'comparison'").set_index("subject")["value"]
    levels = features.segments(both).drop(columns=["customer_id", "batch"])

    asked = [f"{cut}={level}" for cut in levels for level in levels[cut].unique()]
    assert set(asked) == {subject for subject in own.index if "=" in subject}
    measured = [subject for subject in asked if pd.notna(own[subject])]
    assert len(measured) > 5
    for subject in measured:
        cut, level = subject.split("=")
        part = levels[cut].astype(str).eq(level).to_numpy()
        losses = [
            log_loss(both.label[part], chances[part], sample_weight=both.weight[part])
            for chances in (champion, challenger)
        ]
        assert own[subject] == pytest.approx(losses[0] - losses[1]), subject


# ------------------------------------------------------------------------------------ which months prove, which weights


@pytest.fixture(scope="module")
def rolling(layers: Layers) -> pd.DataFrame:
    """The challenger's rolling-origin scores."""
    return scores_of(layers).query("scheme == 'rolling_origin' and candidate == @CHALLENGER")


@pytest.mark.parametrize(
    ("as_of", "since", "told"),
    [
        ("2024-02", None, None),
        ("2024-02", "2024-03", None),
        ("2024-02", "2023-11", None),  # before what the champion learned: nothing of it proves anything
        ("2024-02", "2024-04", "2 of 3 months newer than 2024-03 are mature; 1 more must mature"),
        ("2024-02", "2024-05", "1 of 3 months newer than 2024-04 are mature; 2 more must mature"),
        ("2024-03", "2024-02", "2 of 3 months newer than 2024-03 are mature; 1 more must mature"),
        ("2024-05", None, "0 of 3 months newer than 2024-05 are mature; 3 more must mature"),
    ],
)
def test_a_change_is_proven_by_months_from_it_on_and_a_champion_by_none_it_learned(
    rolling: pd.DataFrame,
    incumbent: Champion,
    layers: Layers,
    params: Params,
    as_of: str,
    since: str | None,
    told: str | None,
) -> None:
    champion = Champion(**{**{name: getattr(incumbent, name) for name in incumbent.__slots__}, "as_of": as_of})

    comparison = promotion.compare(
        rolling, champion, rows_of(layers, [*LEARNED, *AFTER]), params, attempt=1, since=since
    )

    assert comparison.verdict is (Verdict.UNKNOWN if told else Verdict.PASS)
    assert comparison.meaning == told or told is None


def judge(layers: Layers, scores: pd.DataFrame, champion: Champion | None, params: Params, **more: Any) -> Succession:
    return promotion.judge(
        layers.read("churn_model"),
        scores,
        champion,
        rows_of(layers, [*LEARNED, *AFTER]),
        params,
        history=Unrecorded(),
        question={"champion": champion.model_md5 if champion else None},
        **{"since": None, **more},
    )


def test_a_change_with_too_few_months_since_keeps_every_contender_unknown(
    layers: Layers, params: Params, incumbent: Champion
) -> None:
    scores = scores_of(layers)

    assert judge(layers, scores, incumbent, params).verdict is Verdict.PASS
    since = judge(layers, scores, incumbent, params, since="2024-05")

    assert since.verdict is Verdict.UNKNOWN
    asked = since.findings.query("gate == 'comparison' and subject == '*'")
    assert set(asked.verdict) == {"UNKNOWN"}
    assert asked.meaning.str.contains("newer than 2024-04").all()


def age_weights(batches: pd.Series, half_life: float) -> np.ndarray:
    """Half for each so many months before 2024-05."""
    return np.asarray(0.5 ** ((5 - batches.str[-2:].astype(int)) / half_life), dtype=float)


def test_a_candidate_keeps_its_floors_on_rows_weighted_as_it_learns_them(layers: Layers, params: Params) -> None:
    scores = scores_of(layers)

    floors = judge(layers, scores, None, params).findings.query("gate == 'floors'")

    for name, ages in ((CHALLENGER, None), (RECENT, params.model.half_life_batches)):
        own = scores[scores.scheme.eq("out_of_fold") & scores.candidate.eq(name)]
        weights = own.weight.to_numpy() * (1 if ages is None else age_weights(own.batch, ages))
        share = np.average(own.label, weights=weights)
        constant = log_loss(own.label, np.full(len(own), share), sample_weight=weights)
        saved = 1 - log_loss(own.label, own.score, sample_weight=weights) / constant
        told = floors.set_index(["candidate", "subject"])["value"]
        assert told[name, "gain_over_prevalence"] == pytest.approx(saved)


def test_a_model_of_recent_months_may_be_poor_about_old_ones_and_one_of_all_months_may_not(
    layers: Layers, params: Params
) -> None:
    scores = scores_of(layers)
    is_old = scores.batch.isin(LEARNED) & ~scores.candidate.eq(BASELINE)
    poor = scores.assign(score=scores.score.where(~is_old, 0.75 * scores.score + 0.25 * (1 - scores.score)))

    verdicts = judge(layers, poor, None, params).findings.query(
        "gate == 'floors' and subject == 'loss_behind_baseline'"
    )

    behind = verdicts.set_index("candidate")["value"]
    assert 0 < behind[RECENT] < 0.6 * behind[CHALLENGER]


def test_a_repeated_run_finds_the_verdict_that_has_made_the_champion_and_no_other(
    layers: Layers, params: Params
) -> None:
    champion = read_champion(layers)
    bound_to = promotion.subject(layers, champion, params)
    before = promotion.verdict_that_made(champion, bound_to, layers)
    assert champion is not None
    assert before is not None
    assert md5(before.files["verdict.json"]) == champion.verdict_md5
    assert promotion.verdict_that_made(champion, {**bound_to, "training_set": "0" * 32}, layers) is None
    assert promotion.verdict_that_made(None, bound_to, layers) is None
