"""Rows with keys tell as much as their persons do: a person who comes again adds no evidence, and no name matters."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.gates import estimates
from mlops_assets.gates.drift import DriftAssessment, assess_drift
from mlops_assets.gates.estimates import Estimate
from mlops_assets.gates.floors import FloorsJudgement, judge_floors
from mlops_assets.gates.outcomes import OutcomeAssessment, assess_outcomes
from mlops_assets.gates.persons import Floats, codes_of, effective_rows, persons_of, summed
from mlops_assets.gates.promotion import Comparison, compare
from mlops_assets.gates.recalibration import difference_p_value, recalibrate
from mlops_assets.gates.verdict import Verdict

Keys = npt.NDArray[np.object_]

ROWS = 400
seeds = st.integers(0, 10**6)


def world(seed: int, rows: int = ROWS) -> dict[str, Floats]:
    """Labels, the scores of two models that know about the same, and weights."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(-1, 1.5, rows)
    noisy = [1 / (1 + np.exp(-(logit + rng.normal(0, noise, rows)))) for noise in (0.8, 0.3)]
    labels = (rng.random(rows) < 1 / (1 + np.exp(-logit))).astype(float)
    return {"labels": labels, "champion": noisy[0], "challenger": noisy[1], "weights": rng.uniform(0.5, 2, rows)}


def repeated(rows: dict[str, Floats]) -> dict[str, Floats]:
    """Every row twice."""
    return {name: np.concatenate([values, values]) for name, values in rows.items()}


def alone(count: int) -> Keys:
    """Keys of persons of whom each has one row."""
    return np.array([f"person {number}" for number in range(count)], dtype=object)


def segments_of(rows: dict[str, Floats]) -> npt.NDArray[np.str_]:
    return np.where(rows["weights"] < 1.2, "a", "b")


def compared(rows: dict[str, Floats], keys: Keys | None) -> Comparison:
    scores = rows["champion"], rows["challenger"]
    return compare(*scores, rows["labels"], weights=rows["weights"], segments=segments_of(rows), keys=keys)


def judged(rows: dict[str, Floats], keys: Keys | None) -> FloorsJudgement:
    return judge_floors(
        rows["labels"],
        rows["champion"],
        rows["challenger"],
        weights=rows["weights"],
        keys=keys,
        described=True,
        reproducible=True,
        min_gain_over_prevalence=0.1,
        max_calibration_error=0.1,
        max_loss_behind_baseline=0.01,
    )


def assessed(
    rows: dict[str, Floats], keys: Keys | None, then: dict[str, Floats], known: Keys | None
) -> OutcomeAssessment:
    return assess_outcomes(
        then["champion"],
        then["labels"],
        rows["champion"],
        rows["labels"],
        weights=rows["weights"],
        reference_weights=then["weights"],
        segments=segments_of(rows),
        reference_segments=segments_of(then),
        keys=keys,
        reference_keys=known,
        alpha=0.01,
    )


def figures(told: Comparison | FloorsJudgement | OutcomeAssessment) -> dict[tuple[str, ...], float]:
    """Every figure of a verdict, by what it is about."""
    ends = "lower", "value", "upper"
    found: dict[tuple[str, ...], float | None] = {}
    if isinstance(told, OutcomeAssessment):
        for one in told.findings:
            found[one.window, one.subject] = one.p_value
            for when, performance in (("then", one.then), ("now", one.now)):
                for name in ("auc", "gap", "slope") if performance else ():
                    figure = getattr(performance, name)
                    found |= {(one.window, one.subject, when, name, end): getattr(figure, end) for end in ends}
    else:
        asked = (*told.by_metric, *told.by_segment) if isinstance(told, Comparison) else told.floors
        found = {(one.subject, end): getattr(one, end) for one in asked for end in ends}
    return {name: figure for name, figure in found.items() if figure is not None}


def alike(told: Mapping[Any, float], other: Mapping[Any, float]) -> bool:
    """Whether both have the same figures but for rounding."""
    return len(told) > 2 and dict(told) == pytest.approx(dict(other), rel=1e-6, abs=1e-9)


# --------------------------------------------------------------------------------------------- how much persons tell


@given(counts=st.lists(st.integers(1, 6), min_size=1, max_size=40), seed=seeds)
@settings(max_examples=60)
def test_rows_tell_as_much_as_one_row_at_least_and_as_all_persons_at_most(counts: list[int], seed: int) -> None:
    persons = np.repeat(np.arange(len(counts)), counts)
    weights = np.random.default_rng(seed).uniform(0.01, 10, len(persons))

    worth = effective_rows(weights, persons)

    by_person = [weights[persons == person].sum() for person in range(len(counts))]
    assert worth == pytest.approx(sum(by_person) ** 2 / sum(np.square(by_person)))
    assert 1 - 1e-9 <= worth <= len(counts) + 1e-9


@given(rows=st.integers(1, 500), weight=st.floats(1e-6, 1e6))
def test_rows_of_one_weight_and_of_different_persons_tell_exactly_as_much_as_their_number(
    rows: int, weight: float
) -> None:
    assert effective_rows(np.full(rows, weight)) == rows
    assert effective_rows(np.full(rows, weight), np.arange(rows)) == rows
    assert effective_rows(np.full(3 * rows, weight), np.tile(np.arange(rows), 3)) == rows


def test_nobody_tells_nothing() -> None:
    assert effective_rows(np.array([])) == 0


@given(keys=st.lists(st.sampled_from(["a", "b", "c", "10", "9", None]), min_size=1, max_size=12), seed=seeds)
def test_a_code_is_a_person_and_a_missing_key_a_person_of_its_own(keys: list[str | None], seed: int) -> None:
    codes = codes_of(np.array(keys, dtype=object))

    for one, key in enumerate(keys):
        for other, another in enumerate(keys):
            assert (codes[one] == codes[other]) == (one == other or (key is not None and key == another))
    assert set(codes) == set(range(codes.max() + 1))
    order = np.random.default_rng(seed).permutation(len(keys))
    known = np.array([key is not None for key in keys])
    moved = codes_of(np.array(keys, dtype=object)[order])
    assert (moved[known[order]] == codes[order][known[order]]).all()


def test_rows_are_each_their_own_person_where_no_key_comes_twice() -> None:
    assert persons_of(["a", "b"], np.array(["c", None], dtype=object)) is None
    assert persons_of(None, None) is None
    both = persons_of(["a", "b"], ["b", "d"])
    assert both is not None
    assert (both.count, both.reference.tolist(), both.current.tolist()) == (3, [0, 1], [1, 2])
    assert both.pooled.tolist() == [0, 1, 1, 2]


def test_of_what_is_new_each_snapshot_of_a_customer_tells_and_each_other_customer() -> None:
    # Five of six and one: that what they show once is of the last month has the chance of one in seven.
    all_came_again = persons_of(np.tile(np.arange(5), 6), np.arange(5))
    nobody_did = persons_of(np.tile(np.arange(30), 6), np.arange(100, 110))
    # Two who came again, of one in three, and one of three persons who is new.
    mixed = persons_of([1, 1, 2, 2], [1, 2, 3])
    assert all_came_again is not None
    assert nobody_did is not None
    assert mixed is not None

    assert all_came_again.reference_in_persons == pytest.approx(30)
    assert nobody_did.reference_in_persons == pytest.approx(30)
    chance = (1 / 3 + 1 / 3 + 3 / 5) / 3
    assert 3 / (mixed.reference_in_persons + 3) == pytest.approx(chance)


def test_keys_of_one_side_only_are_refused() -> None:
    with pytest.raises(ValueError, match="reference without, current with"):
        persons_of(None, ["a"])
    with pytest.raises(ValueError, match="reference with, current without"):
        persons_of(["a"], None)


def test_a_number_and_its_text_are_the_same_person() -> None:
    assert codes_of(np.array([7, "7"], dtype=object)).tolist() == [0, 0]


@given(counts=st.lists(st.integers(1, 4), min_size=1, max_size=10), seed=seeds)
def test_values_are_summed_by_person(counts: list[int], seed: int) -> None:
    persons = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    values = np.random.default_rng(seed).normal(size=(len(persons), 2))

    by_hand = pd.DataFrame(values).groupby(persons).sum().to_numpy()
    assert summed(values, persons) == pytest.approx(by_hand)
    assert summed(values[:, 0], persons) == pytest.approx(by_hand[:, 0])
    assert summed(values, None) is values


# ------------------------------------------------------------------------------------------ a row each changes nothing


@given(seed=seeds)
@settings(max_examples=10)
def test_keys_of_which_none_comes_twice_change_no_figure(seed: int) -> None:
    rows, then = world(seed), world(seed + 1)
    keys, known = alone(2 * ROWS)[:ROWS], alone(2 * ROWS)[ROWS:]

    for ask in (compared, judged):
        with_keys, without = ask(rows, keys), ask(rows, None)
        assert (with_keys.verdict, with_keys.meaning) == (without.verdict, without.meaning)
        assert alike(figures(with_keys), figures(without))
    assert assessed(rows, keys, then, known) == assessed(rows, None, then, None)


def test_keys_of_which_none_comes_twice_change_no_verdict_on_drift() -> None:
    then, now = (pd.DataFrame(world(seed)) for seed in (1, 2))
    keys = alone(2 * ROWS)

    told = assess_drift(then, now, reference_keys=keys[:ROWS], current_keys=keys[ROWS:], alpha=0.01)

    assert told == assess_drift(then, now, alpha=0.01)


# ------------------------------------------------------------------------------------ the same rows again tell nothing


@given(seed=seeds)
@settings(max_examples=10)
def test_every_row_of_everybody_twice_changes_no_interval_and_without_keys_narrows_each(seed: int) -> None:
    rows, keys = world(seed), alone(ROWS)
    twice, both = repeated(rows), np.concatenate([keys, keys])

    for ask in (compared, judged):
        once, again, unknown = ask(rows, keys), ask(twice, both), ask(twice, None)
        assert once.verdict is again.verdict
        first, second, third = (
            {name: value for name, value in figures(one).items() if "calibration_error" not in name}
            for one in (once, again, unknown)
        )
        assert alike(first, second)
        for subject in {subject for subject, end in first if end == "lower"}:
            width, narrower = (figure[subject, "upper"] - figure[subject, "lower"] for figure in (first, third))
            assert narrower == pytest.approx(width / 2**0.5, rel=0.02)


@given(seed=seeds, by=st.floats(0, 0.5))
@settings(max_examples=10)
def test_every_row_of_everybody_twice_changes_no_p_value_of_outcomes_and_without_keys_lowers_it(
    seed: int, by: float
) -> None:
    rows, then = world(seed), world(seed + 1)
    rows["champion"] = 1 / (1 + np.exp(-(np.log(rows["champion"] / (1 - rows["champion"])) + by)))
    keys, known = alone(2 * ROWS)[:ROWS], alone(2 * ROWS)[ROWS:]

    once = assessed(rows, keys, then, known)
    both = [np.concatenate([side, side]) for side in (keys, known)]
    again = assessed(repeated(rows), both[0], repeated(then), both[1])
    unknown = assessed(repeated(rows), None, repeated(then), None)

    assert once.verdict is again.verdict
    assert alike(figures(once), figures(again))
    assert unknown.p_value is not None
    assert once.p_value is not None
    assert unknown.p_value < once.p_value or once.p_value == 1


def drift(then: pd.DataFrame, now: pd.DataFrame, known: Keys | None, keys: Keys | None, **more: Any) -> DriftAssessment:
    return assess_drift(then, now, reference_keys=known, current_keys=keys, **{"alpha": 0.01, **more})


def returning(seed: int, months: int, rows: int = 200, moved: float = 0.0) -> tuple[pd.DataFrame, Keys]:
    """The same customers in as many snapshots, of whom hardly anything changes; by `moved` dearer."""
    rng = np.random.default_rng(seed)
    first = pd.DataFrame({"price": rng.normal(60, 10, rows), "plan": rng.choice(["a", "b", "c"], rows)})
    snapshots = [first.assign(price=first.price + moved + rng.normal(0, 1, rows)) for _ in range(months)]
    return pd.concat(snapshots, ignore_index=True), np.tile([f"{seed}-{number}" for number in range(rows)], months)


def test_a_sample_of_few_customers_in_many_snapshots_is_a_sample_of_few() -> None:
    # Other customers: by chance 200 have a mean price that lies a standard error or two beside that of 200 others.
    rings = {"with": 0, "without": 0}
    for seed in range(20):
        (then, known), (now, keys) = returning(2 * seed, 6), returning(2 * seed + 1, 6)
        rings["with"] += drift(then, now, known, keys, permutations=99).verdict is Verdict.FAIL
        rings["without"] += drift(then, now, None, None, permutations=99).verdict is Verdict.FAIL

    assert rings["with"] <= 2
    assert rings["without"] >= 10


def test_a_small_change_of_the_same_customers_is_seen_against_their_own_past() -> None:
    then, known = returning(1, 6)
    dearer = then.iloc[:200].assign(price=then.price.iloc[:200] + 1.5)

    assert drift(then, dearer, known, known[:200]).verdict is Verdict.FAIL
    assert drift(then, dearer, None, None).verdict is Verdict.PASS


def test_too_few_persons_cannot_tell_however_many_rows() -> None:
    then, known = returning(1, 6, rows=90)
    now, keys = returning(2, 6, rows=90)

    assert drift(then, now, known, keys).verdict is Verdict.UNKNOWN
    assert drift(then, now, None, None).verdict is not Verdict.UNKNOWN


def test_too_few_persons_cannot_promise_however_many_rows() -> None:
    rows = {name: np.tile(values, 2) for name, values in world(3, 299).items()}
    keys = np.tile(alone(299), 2)

    assert compared(rows, keys).verdict is Verdict.UNKNOWN
    assert judged(rows, keys).verdict is Verdict.UNKNOWN
    assert "598 rows that tell as much as" in judged(rows, keys).meaning


# ------------------------------------------------------------------------------------------- names and order are none


def several(seed: int) -> tuple[dict[str, Floats], Keys]:
    """Rows of which three belong to a person, in any order."""
    rows = world(seed, 3 * ROWS)
    return rows, np.random.default_rng(seed).permutation(np.repeat(alone(ROWS), 3))


def renamed(keys: Keys, salt: str = "") -> Keys:
    """Other names, in another order."""
    return np.array([f"{salt}{name[::-1]}" for name in keys], dtype=object)


@given(seed=seeds)
@settings(max_examples=8)
def test_neither_the_order_of_rows_nor_the_names_of_persons_change_a_figure(seed: int) -> None:
    (rows, keys), (then, known) = several(seed), several(seed + 1)
    order = np.random.default_rng(seed).permutation(3 * ROWS)
    shuffled = {name: values[order] for name, values in rows.items()}

    for other, names in ((shuffled, keys[order]), (rows, renamed(keys))):
        assert alike(figures(compared(rows, keys)), figures(compared(other, names)))
        assert alike(figures(judged(rows, keys)), figures(judged(other, names)))
    told = assessed(rows, keys, then, known)
    assert alike(figures(told), figures(assessed(shuffled, keys[order], then, known)))
    assert alike(figures(told), figures(assessed(rows, renamed(keys), then, renamed(known))))


@pytest.mark.parametrize("by", [0.0, 3.0])
def test_neither_order_nor_names_change_the_verdict_on_drift(by: float) -> None:
    then, known = returning(1, 4)
    now, keys = then.iloc[:200].assign(price=then.price.iloc[:200] + by), known[:200]
    verdict = Verdict.FAIL if by else Verdict.PASS

    order = np.random.default_rng(1).permutation(len(then))
    told = [
        drift(then, now, known, keys),
        drift(then.iloc[order], now, known[order], keys),
        *(drift(then, now, renamed(known, salt), renamed(keys, salt)) for salt in "xyz"),
    ]

    assert {one.verdict for one in told} == {verdict}


# --------------------------------------------------------------------------------- as wide as resampling persons makes


def clustered(seed: int, persons: int) -> dict[str, npt.NDArray[Any]]:
    """Rows of persons who come one to nine times, mostly with the same score and the same label."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(persons), rng.integers(1, 10, persons))
    own = rng.normal(-0.3, 1.3, persons)
    leaves = rng.random(persons)[who] < 1 / (1 + np.exp(-own[who]))
    labels = np.where(rng.random(len(who)) < 0.9, leaves, ~leaves).astype(float)
    scores = [1 / (1 + np.exp(-(own + rng.normal(0, noise, persons))[who])) for noise in (1.2, 0.6)]
    weights = rng.uniform(0.5, 3, len(who))
    return {"who": who, "labels": labels, "champion": scores[0], "challenger": scores[1], "weights": weights}


def taken(rows: dict[str, npt.NDArray[Any]], places: npt.NDArray[np.intp]) -> dict[str, npt.NDArray[Any]]:
    return {name: values[places] for name, values in rows.items()}


def resampled(rows: dict[str, npt.NDArray[Any]], rng: np.random.Generator) -> dict[str, npt.NDArray[Any]]:
    """As many persons drawn with replacement, each with all rows."""
    places = [np.flatnonzero(rows["who"] == person) for person in range(rows["who"].max() + 1)]
    return taken(rows, np.concatenate([places[person] for person in rng.integers(0, len(places), len(places))]))


def gain_of(name: str, rows: dict[str, npt.NDArray[Any]], persons: Any = None) -> Estimate:  # noqa: ANN401
    gain = {"loss": estimates.loss_gain, "auc": estimates.auc_gain}[name]
    scores = rows["champion"], rows["challenger"]
    return gain(rows["labels"], *scores, rows["weights"], interval=0.95, persons=persons)


@pytest.mark.parametrize("name", ["loss", "auc"])
def test_an_interval_by_person_is_as_wide_as_resampling_persons_makes_it(name: str) -> None:
    rows, rng = clustered(4, 150), np.random.default_rng(5)

    scatter = np.std([gain_of(name, resampled(rows, rng)).value for _ in range(500)])

    told, by_row = gain_of(name, rows, rows["who"]), gain_of(name, rows)
    # 500 resamples know a standard deviation to 3.2 %; three of these, and some for a small sample.
    assert (told.upper - told.lower) / 2 / 1.96 == pytest.approx(scatter, rel=0.13)
    assert (by_row.upper - by_row.lower) < 0.85 * (told.upper - told.lower)


def test_a_persons_rows_of_both_labels_cancel_in_an_area_where_they_are_ranked_alike() -> None:
    # Each person has a row of either label and one score for both: the area is a half whoever is drawn.
    scores = np.repeat(np.random.default_rng(1).random(100), 2)
    positive = np.tile([True, False], 100)
    ones, zeros = estimates.auc_components(positive, scores, np.ones(200))

    variance = estimates.auc_variance(positive, ones, zeros, np.ones(200), np.repeat(np.arange(100), 2))

    assert variance == pytest.approx(0, abs=1e-12)
    assert estimates.auc_variance(positive, ones, zeros, np.ones(200)) > 1e-4


def test_one_person_alone_has_no_spread() -> None:
    values = np.array([0.0, 1.0])

    assert estimates.mean_variance(values, np.ones(2), np.zeros(2, dtype=np.intp)) == np.inf


def test_a_mean_by_person_has_the_sandwich_of_the_textbook() -> None:
    rng = np.random.default_rng(2)
    who = np.repeat(np.arange(30), 3)
    values, weights = rng.normal(size=90) + rng.normal(size=30)[who], rng.uniform(1, 4, 90)

    sums = pd.Series(weights * (values - np.average(values, weights=weights))).groupby(who).sum()
    expected = 30 / 29 * float((sums**2).sum()) / weights.sum() ** 2

    assert estimates.mean_variance(values, weights, who) == pytest.approx(expected)


def test_chance_is_taken_off_a_calibration_gap_by_person() -> None:
    rows = world(8, 300)
    once = estimates.calibration_gap(rows["labels"], rows["champion"], np.ones(300), bins=5)
    twice = {name: np.repeat(values, 2) for name, values in rows.items()}
    who = np.repeat(np.arange(300), 2)

    by_person, by_row = (
        estimates.calibration_gap(twice["labels"], twice["champion"], np.ones(600), bins=5, persons=persons)
        for persons in (who, None)
    )

    assert by_person == pytest.approx(once, abs=1e-3)
    assert by_row > by_person


@pytest.mark.parametrize("rate", [0.02, 0.3, 0.6])
def test_a_perfect_model_has_a_calibration_gap_near_zero_and_a_wrong_one_that_of_its_error(rate: float) -> None:
    rng = np.random.default_rng(12)
    chances = np.clip(rng.normal(rate, rate / 5, 40_000), 0.002, 0.998)
    labels = (rng.random(40_000) < chances).astype(float)
    spread = (rate * (1 - rate)) ** 0.5

    perfect, off = (
        estimates.calibration_gap(labels, scores, np.ones(40_000), bins=10)
        for scores in (chances, chances + 0.2 * spread)
    )

    # So many rows leave an error of chance of about a hundredth.
    assert perfect < 0.02
    assert off == pytest.approx(0.2, abs=0.02)


def test_labels_of_one_kind_have_no_calibration_gap() -> None:
    assert estimates.calibration_gap(np.zeros(50), np.full(50, 0.1), np.ones(50), bins=5) == 0


# ------------------------------------------------------------------------------------------- persons in both samples


def habit(rng: np.random.Generator, own: Floats) -> tuple[Floats, Floats]:
    """Scores and labels of a month of these persons, of whom many do as they always do."""
    scores = 1 / (1 + np.exp(-rng.normal(-0.5, 1, len(own))))
    return scores, ((0.9 * own + 0.1 * rng.random(len(own))) < scores).astype(float)


def test_what_persons_in_both_samples_have_in_common_is_no_spread_of_the_difference() -> None:
    distances: dict[str, list[float]] = {"known": [], "unknown": []}
    for seed in range(150):
        rng = np.random.default_rng(seed)
        own, ones, who = rng.random(300), np.ones(300), np.arange(300)
        sides = [habit(rng, own) for _ in range(2)]
        scores = sides[0][0]
        # The same scores in both months, as of customers who hardly change.
        labels = [sides[0][1], ((0.9 * own + 0.1 * rng.random(300)) < scores).astype(float)]
        for name, persons in (("known", who), ("unknown", None)):
            then, now = (recalibrate(label, scores, ones, persons) for label in labels)
            assert then is not None
            assert now is not None
            distances[name].append(-2 * np.log(difference_p_value(then, now)))

    # Wald's distance is chi-square with 2 degrees of freedom, mean 2, where nothing changed: it is known to .16.
    assert np.mean(distances["known"]) == pytest.approx(2, abs=0.6)
    assert np.mean(distances["unknown"]) < 0.7
