"""Only a challenger that is proven better becomes champion: no equal one, no lucky one, none that nobody can judge."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import log_loss, roc_auc_score

from mlops_assets.gates.promotion import (
    FEW_IN_A_SEGMENT,
    FEW_LABELS_IN_A_SEGMENT,
    Comparison,
    PromotionFindings,
    Requirement,
    compare,
    comparison_findings,
    widened,
)
from mlops_assets.gates.verdict import Verdict

Floats = npt.NDArray[np.float64]

ROWS = 1170
RNG = np.random.default_rng(29)
LOGIT = RNG.normal(-1.3, 1.6, ROWS)
LABELS = (RNG.random(ROWS) < 1 / (1 + np.exp(-LOGIT))).astype(float)


def scores(noise: float, seed: int, shift: float = 0.0) -> Floats:
    """Scores of a model that knows the truth but for `noise`, in logits."""
    logit = LOGIT + shift + np.random.default_rng(seed).normal(0, noise, ROWS) if noise else LOGIT + shift
    values: Floats = 1 / (1 + np.exp(-logit))
    return values


TRUTH, NOISY = scores(0, 0), scores(1.0, 1)
WEIGHTS = np.random.default_rng(17).choice([0.25, 1.0, 10.0], ROWS, p=[0.3, 0.6, 0.1])
pairs = st.tuples(st.floats(0.05, 1.5), st.floats(0.05, 1.5), st.integers(0, 10**6)).map(
    lambda drawn: (scores(drawn[0], drawn[2]), scores(drawn[1], drawn[2] + 1))
)


def one(comparison: Comparison, subject: str) -> Requirement:
    (found,) = (asked for asked in (*comparison.by_metric, *comparison.by_segment) if asked.subject == subject)
    return found


def held(comparison: Comparison) -> dict[str, bool]:
    return {asked.subject: asked.holds for asked in (*comparison.by_metric, *comparison.by_segment)}


def test_a_challenger_that_knows_the_truth_replaces_a_noisy_champion() -> None:
    assert compare(NOISY, TRUTH, LABELS).verdict is Verdict.PASS


def test_a_perfect_challenger_replaces_a_champion_that_guesses() -> None:
    assert compare(np.random.default_rng(0).random(ROWS), LABELS, LABELS).verdict is Verdict.PASS


def test_a_worse_challenger_is_turned_down() -> None:
    assert compare(TRUTH, NOISY, LABELS).verdict is Verdict.FAIL


@given(pair=pairs)
@settings(max_examples=20, deadline=None)
def test_a_tie_keeps_the_champion(pair: tuple[Floats, Floats]) -> None:
    comparison = compare(pair[0], pair[0], LABELS, min_relative_gain=0.0, max_auc_loss=1.0)

    assert (comparison.verdict, comparison.gain, comparison.lower) == (Verdict.FAIL, 0, 0)
    assert comparison.meaning.startswith("equal")


@given(pair=pairs)
@settings(max_examples=25, deadline=None)
def test_changing_places_negates_the_gain(pair: tuple[Floats, Floats]) -> None:
    there, back = compare(*pair, LABELS), compare(pair[1], pair[0], LABELS)

    assert there.gain == pytest.approx(-(back.gain or 0))
    assert there.lower == pytest.approx(-(back.upper or 0))
    assert there.by_metric[2].value == pytest.approx(-(back.by_metric[2].value or 0))


@given(pair=pairs)
@settings(max_examples=25, deadline=None)
def test_no_two_models_each_replace_the_other(pair: tuple[Floats, Floats]) -> None:
    verdicts = [compare(*both, LABELS).verdict for both in (pair, pair[::-1])]

    assert verdicts.count(Verdict.PASS) <= 1


@given(pair=pairs, scale=st.floats(1e-6, 1e6))
@settings(max_examples=20, deadline=None)
def test_only_the_ratios_of_weights_matter(pair: tuple[Floats, Floats], scale: float) -> None:
    weights = np.random.default_rng(5).uniform(1, 10, ROWS)

    plain, scaled = (compare(*pair, LABELS, weights=w) for w in (weights, weights * scale))

    assert (scaled.gain, scaled.lower, scaled.upper) == pytest.approx((plain.gain, plain.lower, plain.upper))


@given(pair=pairs, seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_the_order_of_the_rows_changes_nothing(pair: tuple[Floats, Floats], seed: int) -> None:
    order = np.random.default_rng(seed).permutation(ROWS)

    plain, shuffled = compare(*pair, LABELS), compare(pair[0][order], pair[1][order], LABELS[order])

    assert shuffled.verdict is plain.verdict
    assert (shuffled.gain, shuffled.lower) == pytest.approx((plain.gain, plain.lower))


@given(position=st.integers(0, ROWS - 1), where=st.sampled_from(["champion", "challenger", "labels", "weights"]))
@settings(max_examples=25, deadline=None)
def test_a_missing_value_anywhere_is_unknown(position: int, where: str) -> None:
    values = {"champion": NOISY, "challenger": TRUTH, "labels": LABELS, "weights": np.ones(ROWS)}
    values[where] = np.where(np.arange(ROWS) == position, np.nan, values[where])

    comparison = compare(values["champion"], values["challenger"], values["labels"], weights=values["weights"])

    assert (comparison.verdict, comparison.gain) == (Verdict.UNKNOWN, None)


@pytest.mark.parametrize("bad", [-0.01, 1.01, np.inf, -np.inf])
def test_a_score_that_is_no_probability_is_unknown(bad: float) -> None:
    assert compare(NOISY, np.where(np.arange(ROWS) == 0, bad, TRUTH), LABELS).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("weight", [-1.0, np.inf])
def test_an_impossible_weight_is_unknown(weight: float) -> None:
    weights = np.where(np.arange(ROWS) == 0, weight, 1.0)

    assert compare(NOISY, TRUTH, LABELS, weights=weights).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_one_class_is_unknown(label: float) -> None:
    assert compare(NOISY, TRUTH, np.full(ROWS, label)).verdict is Verdict.UNKNOWN


def test_a_handful_of_churners_is_unknown_however_large_the_gain() -> None:
    labels = np.zeros(ROWS)
    labels[:19] = 1

    assert compare(1 - 0.9 * labels, labels, labels).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(("rows", "verdict"), [(699, Verdict.UNKNOWN), (700, Verdict.PASS)])
def test_fewer_rows_than_asked_for_are_unknown(rows: int, verdict: Verdict) -> None:
    few = slice(None, rows)

    assert compare(NOISY[few], TRUTH[few], LABELS[few], min_rows=700).verdict is verdict


@pytest.mark.parametrize(("months", "verdict"), [(2, Verdict.UNKNOWN), (3, Verdict.PASS)])
def test_fewer_batches_than_asked_for_are_unknown(months: int, verdict: Verdict) -> None:
    batches = [f"2024-0{1 + row % months}" for row in range(ROWS)]

    assert compare(NOISY, TRUTH, LABELS, batches=batches, min_batches=3).verdict is verdict


def test_a_batch_whose_rows_have_no_weight_is_no_batch() -> None:
    batches = np.arange(ROWS) % 3

    comparison = compare(NOISY, TRUTH, LABELS, batches=batches, weights=(batches > 0).astype(float))

    assert comparison.verdict is Verdict.UNKNOWN


def test_too_little_evidence_still_shows_the_figures() -> None:
    assert (compare(NOISY, TRUTH, LABELS, min_rows=ROWS + 1).gain or 0) > 0


def test_a_gain_that_may_be_chance_is_turned_down_however_large() -> None:
    few = slice(None, 300)
    champion = scores(0.25, 3)[few]

    comparison = compare(champion, TRUTH[few], LABELS[few], min_relative_gain=0.0, max_auc_loss=1.0, interval=0.999999)

    assert held(comparison) == {"log_loss": False, "relative_gain": True, "roc_auc": True}
    assert comparison.verdict is Verdict.FAIL


def test_a_gain_that_is_sure_but_small_is_turned_down() -> None:
    comparison = compare(NOISY, TRUTH, LABELS, min_relative_gain=0.99)

    assert (comparison.verdict, held(comparison)["relative_gain"]) == (Verdict.FAIL, False)


def test_a_challenger_that_repairs_the_level_but_surely_ranks_worse_is_turned_down() -> None:
    comparison = compare(scores(0, 0, shift=2.5), scores(1.5, 7), LABELS)

    assert held(comparison) == {"log_loss": True, "relative_gain": True, "roc_auc": False}
    assert comparison.verdict is Verdict.FAIL


def test_a_challenger_that_only_repairs_the_level_may_pass() -> None:
    comparison = compare(scores(0, 0, shift=1.5), TRUTH, LABELS)

    assert (comparison.verdict, comparison.by_metric[2].value) == (Verdict.PASS, 0)


def test_an_equal_ranking_is_no_fall_even_without_tolerance() -> None:
    assert compare(scores(0, 0, shift=1.5), TRUTH, LABELS, max_auc_loss=0.0).verdict is Verdict.PASS


def test_a_ranking_that_fell_stops_nothing_until_it_surely_fell_by_more_than_is_allowed() -> None:
    champion = scores(0, 0, shift=2.5)
    ours = compare(champion, scores(1.5, 7), LABELS).by_metric[2]
    assert ours.value is not None
    assert ours.upper is not None
    assert ours.value < ours.upper < 0

    for allowed, holds in (((ours.value + ours.upper) / -2, True), (-ours.upper, True), (-ours.upper - 1e-9, False)):
        assert held(compare(champion, scores(1.5, 7), LABELS, max_auc_loss=allowed))["roc_auc"] is holds


def test_a_segment_that_may_be_worse_stops_nothing_until_it_surely_is() -> None:
    segments = np.arange(ROWS) % 3
    unsure = compare(TRUTH, NOISY, LABELS, segments=segments).by_segment[0]
    assert unsure.upper is not None
    assert unsure.lower is not None
    loss = log_loss(LABELS[segments == 0], TRUTH[segments == 0])

    within, beyond = (
        compare(TRUTH, NOISY, LABELS, segments=segments, segment_tolerance=-bound / loss).by_segment[0].holds
        for bound in ((unsure.upper + unsure.lower) / 2, unsure.upper + 1e-9)
    )

    assert (within, beyond) == (True, False)


def test_the_more_segments_are_asked_the_surer_each_must_be() -> None:
    one = pd.DataFrame({"all": ["a"] * ROWS})
    alone, among = (
        compare(NOISY, TRUTH, LABELS, segments=cuts).by_segment[0] for cuts in (one, one.assign(b=np.arange(ROWS) % 4))
    )

    assert alone.subject == among.subject
    assert (among.upper or 0) > (alone.upper or 0)


def test_rows_without_weight_are_left_out_whatever_they_hold() -> None:
    out = np.arange(ROWS) % 10 == 0

    comparison = compare(NOISY, np.where(out, np.nan, TRUTH), LABELS, weights=np.where(out, 0.0, 1.0))

    assert comparison.gain == compare(NOISY[~out], TRUTH[~out], LABELS[~out]).gain


def test_a_segment_that_pays_for_the_rest_turns_the_challenger_down() -> None:
    is_new = np.arange(ROWS) % 5 == 0
    challenger = np.where(is_new, scores(0, 0, shift=-2.5), TRUTH)
    champion = np.where(is_new, TRUTH, scores(0, 0, shift=2.5))
    segments = pd.DataFrame({"tenure": np.where(is_new, "new", "old")})

    assert compare(champion, challenger, LABELS, max_auc_loss=1.0).verdict is Verdict.PASS
    comparison = compare(champion, challenger, LABELS, max_auc_loss=1.0, segments=segments)

    assert comparison.verdict is Verdict.FAIL
    assert {name for name, holds in held(comparison).items() if not holds} == {"tenure=new"}


def segment_of(stayed: int, left: int) -> npt.NDArray[np.str_]:
    """A segment `few` of so many rows of either label, and the rest."""
    members = np.concatenate([np.flatnonzero(LABELS == 0)[:stayed], np.flatnonzero(LABELS == 1)[:left]])
    return np.where(np.isin(np.arange(ROWS), members), "few", "many")


@pytest.mark.parametrize(
    ("stayed", "left", "told"),
    [
        (34, 15, "cannot tell from 49 rows, 50 are needed"),
        (41, 9, "cannot tell from 9 rows of the rarer label, 10 are needed"),
        (9, 41, "cannot tell from 9 rows of the rarer label, 10 are needed"),
        (40, 10, None),
        (35, 15, None),
    ],
)
def test_a_segment_stops_from_so_many_rows_on_and_one_fewer_stops_nothing_and_is_told(
    stayed: int, left: int, told: str | None
) -> None:
    assert (FEW_IN_A_SEGMENT, FEW_LABELS_IN_A_SEGMENT) == (50, 10)
    segments = segment_of(stayed, left)
    challenger = np.where(segments == "few", 1 - LABELS, TRUTH).clip(0.1, 0.9)

    few = one(compare(NOISY, challenger, LABELS, segments=segments), "segment=few")

    assert few.holds is (told is not None)
    assert few.meaning == told or told is None
    assert (few.value is None) is (told is not None)


def test_a_segment_of_many_rows_and_few_persons_stops_nothing_and_is_told() -> None:
    segments = segment_of(68, 30)
    challenger = np.where(segments == "few", 1 - LABELS, TRUTH).clip(0.1, 0.9)
    # Two rows of each of 49 persons.
    keys = np.arange(ROWS)
    keys[segments == "few"] = np.repeat(np.arange(49), 2)

    few = one(compare(NOISY, challenger, LABELS, segments=segments, keys=keys), "segment=few")

    assert (few.holds, few.meaning) == (True, "cannot tell from 98 rows that tell as much as 49, 50 are needed")


def test_rows_without_a_segment_are_a_segment() -> None:
    segments = pd.Series(["a", None] * (ROWS // 2))

    assert {"segment=a", "segment=missing"} <= set(held(compare(NOISY, TRUTH, LABELS, segments=segments)))


def test_scores_of_other_rows_are_refused() -> None:
    with pytest.raises(ValueError, match=r"cannot be paired.*1170.*1169"):
        compare(NOISY, TRUTH[1:], LABELS)


def test_segments_of_other_rows_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Hand over one per row"):
        compare(NOISY, TRUTH, LABELS, segments=["a"])


def test_equal_challengers_are_hardly_ever_promoted() -> None:
    promoted = 0
    for seed in range(200):
        rows = np.random.default_rng(seed).integers(0, ROWS, ROWS)
        champion, challenger = scores(0.4, 2 * seed), scores(0.4, 2 * seed + 1)
        promoted += compare(champion[rows], challenger[rows], LABELS[rows]).verdict is Verdict.PASS

    # One in forty by the interval alone: 16 or more of 200 would come once in 10,000 times. A coin promotes 100.
    assert promoted < 16


@given(interval=st.floats(0.5, 0.999), attempts=st.integers(1, 500))
def test_all_attempts_about_one_champion_spend_no_more_than_is_granted(interval: float, attempts: int) -> None:
    spent = [(1 - widened(interval, attempt)) / 2 for attempt in range(1, attempts + 1)]

    assert spent[0] == pytest.approx((1 - interval) / 2)
    assert sum(spent) <= 1 - interval + 1e-9
    assert spent == sorted(spent, reverse=True)


def test_an_attempt_before_the_first_is_refused() -> None:
    with pytest.raises(ValueError, match="is attempt 1"):
        widened(0.95, 0)


@given(pair=pairs, attempt=st.integers(2, 30))
@settings(max_examples=20, deadline=None)
def test_asking_again_never_turns_no_into_yes(pair: tuple[Floats, Floats], attempt: int) -> None:
    segments = np.arange(ROWS) % 3
    first, again = (compare(*pair, LABELS, segments=segments, attempt=number) for number in (1, attempt))

    assert (first.verdict, again.verdict) != (Verdict.FAIL, Verdict.PASS)
    assert (again.lower or 0) < (first.lower or 0)
    assert first.by_segment == again.by_segment


def test_a_later_attempt_says_so() -> None:
    # 2 % of error, of which the fourth attempt has 2 / (4 x 5).
    assert "attempt 4 about this champion, interval 99.800%" in compare(NOISY, TRUTH, LABELS, attempt=4).meaning
    assert "attempt" not in compare(NOISY, TRUTH, LABELS).meaning


def test_a_proof_just_good_enough_for_the_first_attempt_is_none_for_the_second() -> None:
    champion, few = scores(0.45, 5), slice(None, 700)

    def verdict(attempt: int, interval: float) -> Verdict:
        pair = champion[few], TRUTH[few]
        return compare(*pair, LABELS[few], interval=interval, attempt=attempt, min_relative_gain=0.0).verdict

    # The widest interval that still tells the gain from none.
    proven = max(level for level in np.linspace(0.51, 0.9999, 200) if verdict(1, level) is Verdict.PASS)
    assert (verdict(1, proven), verdict(2, proven)) == (Verdict.PASS, Verdict.FAIL)


def test_missing_months_are_counted() -> None:
    batches = [f"2024-0{1 + row % 2}" for row in range(ROWS)]

    assert "1 more must mature" in compare(NOISY, TRUTH, LABELS, batches=batches, min_batches=3).meaning


@pytest.mark.parametrize("change", [{}, {"min_rows": 5000}, {"segments": np.arange(ROWS) % 3}])
@pytest.mark.parametrize("challenger", [TRUTH, NOISY, np.full(ROWS, np.nan)], ids=["better", "equal", "missing"])
def test_the_findings_keep_their_contract_and_tell_the_verdict(challenger: Floats, change: dict[str, Any]) -> None:
    comparison = compare(NOISY, challenger, LABELS, **change)

    table = PromotionFindings.validate(comparison_findings("recent", comparison), lazy=True)

    assert set(table.verdict) == {str(comparison.verdict)}
    assert table["holds"].iloc[0] == (comparison.verdict is Verdict.PASS)


def test_a_gain_that_is_just_what_is_asked_is_enough() -> None:
    gain = next(one.value for one in compare(NOISY, TRUTH, LABELS).by_metric if one.subject == "relative_gain")
    assert gain is not None

    for asked, holds in ((gain, True), (np.nextafter(gain, 1), False)):
        assert held(compare(NOISY, TRUTH, LABELS, min_relative_gain=asked))["relative_gain"] is holds


def test_a_segment_is_held_to_a_share_of_the_champions_own_loss_in_it() -> None:
    segments = np.arange(ROWS) % 3
    found = compare(TRUTH, NOISY, LABELS, segments=segments, weights=WEIGHTS).by_segment[0]
    assert found.upper is not None
    part = segments == 0
    loss = log_loss(LABELS[part], TRUTH[part], sample_weight=WEIGHTS[part])

    assert found.limit == pytest.approx(-0.05 * loss)
    for tolerance, holds in ((-found.upper / loss + 1e-9, True), (-found.upper / loss - 1e-9, False)):
        judged = compare(TRUTH, NOISY, LABELS, segments=segments, weights=WEIGHTS, segment_tolerance=tolerance)
        assert judged.by_segment[0].holds is holds


# -------------------------------------------------------------------------------------------- rows that do not weigh 1


def error_of(values: Floats, weights: Floats) -> float:
    """Standard error of a weighted mean, by the formula of the textbook."""
    shares = weights / weights.sum()
    residuals = values - (shares * values).sum()
    return float(np.sqrt(len(values) / (len(values) - 1) * (shares**2 * residuals**2).sum()))


def losses_of(chances: Floats) -> Floats:
    found: Floats = -(LABELS * np.log(chances) + (1 - LABELS) * np.log(1 - chances))
    return found


def test_the_gain_is_that_of_weighted_rows() -> None:
    comparison = compare(NOISY, TRUTH, LABELS, weights=WEIGHTS, interval=0.9)

    losses = [log_loss(LABELS, chances, sample_weight=WEIGHTS) for chances in (NOISY, TRUTH)]
    half = norm.ppf(0.95) * error_of(losses_of(NOISY) - losses_of(TRUTH), WEIGHTS)
    gain = losses[0] - losses[1]
    assert (comparison.gain, comparison.lower, comparison.upper) == pytest.approx((gain, gain - half, gain + half))
    relative = one(comparison, "relative_gain")
    assert (relative.value, relative.lower) == pytest.approx((gain / losses[0], (gain - half) / losses[0]))
    # What rows that all weigh alike would have given is another figure.
    assert gain / losses[0] != pytest.approx(gain / log_loss(LABELS, NOISY), rel=1e-3)


def test_a_champion_without_any_loss_leaves_no_share_of_it_to_gain() -> None:
    comparison = compare(LABELS, NOISY, LABELS)

    relative = one(comparison, "relative_gain")
    assert (relative.value, relative.lower, relative.upper) == (0, 0, 0)
    assert comparison.verdict is Verdict.FAIL


def test_the_gain_in_auc_is_that_of_weighted_rows() -> None:
    found = one(compare(NOISY, TRUTH, LABELS, weights=WEIGHTS, interval=0.9), "roc_auc")

    areas = [roc_auc_score(LABELS, chances, sample_weight=WEIGHTS) for chances in (NOISY, TRUTH)]
    assert found.value == pytest.approx(areas[1] - areas[0])
    # Each pair of a leaver and a stayer, counted one by one.
    left, stayed = LABELS == 1, LABELS == 0
    right = [np.sign(chances[left][:, None] - chances[stayed][None, :]) / 2 + 0.5 for chances in (NOISY, TRUTH)]
    gained = right[1] - right[0]
    weights = WEIGHTS[left], WEIGHTS[stayed]
    by_row = gained @ weights[1] / weights[1].sum(), weights[0] @ gained / weights[0].sum()
    error = sum(error_of(part, weight) ** 2 for part, weight in zip(by_row, weights, strict=True)) ** 0.5
    assert found.upper == pytest.approx(areas[1] - areas[0] + norm.ppf(0.95) * error)


def test_the_gain_of_a_segment_is_that_of_its_weighted_rows() -> None:
    segments = np.arange(ROWS) % 3

    found = one(compare(NOISY, TRUTH, LABELS, weights=WEIGHTS, segments=segments, interval=0.9), "segment=1")

    part = segments == 1
    losses = [log_loss(LABELS[part], chances[part], sample_weight=WEIGHTS[part]) for chances in (NOISY, TRUTH)]
    # A tenth of error shared by three segments, on two sides.
    half = norm.ppf(1 - 0.1 / 3 / 2) * error_of((losses_of(NOISY) - losses_of(TRUTH))[part], WEIGHTS[part])
    gain = losses[0] - losses[1]
    assert (found.value, found.lower, found.upper) == pytest.approx((gain, gain - half, gain + half))


def test_a_gain_among_light_rows_alone_does_not_pass_and_one_among_heavy_rows_does() -> None:
    better = np.arange(ROWS) % 2 == 0
    champion, challenger = NOISY, np.where(better, TRUTH, scores(1.6, 3))

    light, heavy = (
        compare(champion, challenger, LABELS, weights=np.where(better, *pair)).verdict
        for pair in ((0.05, 1.0), (1.0, 0.05))
    )

    assert (light, heavy) == (Verdict.FAIL, Verdict.PASS)


def test_heavy_rows_are_as_few_as_they_tell() -> None:
    weights = np.where(np.arange(ROWS) % 20 == 0, 30.0, 1.0)
    worth = weights.sum() ** 2 / np.square(weights).sum()

    for least, verdict in ((int(worth), Verdict.PASS), (int(worth) + 1, Verdict.UNKNOWN)):
        assert compare(NOISY, TRUTH, LABELS, weights=weights, min_rows=least).verdict is verdict
