"""A champion is held to what it promised since the last change that it learned, and to no more than that."""

import numpy as np
import pandas as pd
import pytest

from mlops_assets.gates.promises import assess_promises, since_last_change
from mlops_assets.gates.verdict import Verdict

ALPHA, ROWS = 0.01, 400
MONTHS = [f"2025-{number:02d}" for number in range(1, 8)]


def month(batch: str, by: float = 0.0) -> pd.DataFrame:
    """Rows whose log-odds are by so much higher than their scores say."""
    rng = np.random.default_rng(int(batch[-2:]))
    odds = rng.normal(-1, 1.2, size=ROWS)
    label = (rng.random(ROWS) < 1 / (1 + np.exp(-(odds + by)))).astype(int)
    region = rng.choice(["n", "s"], size=ROWS)
    columns = {"score": 1 / (1 + np.exp(-odds)), "label": label, "weight": 1.0, "batch": batch, "region": region}
    return pd.DataFrame(columns)


def months(*by: float) -> pd.DataFrame:
    """Several months, one for each shift."""
    return pd.concat([month(batch, shift) for batch, shift in zip(MONTHS, by, strict=False)], ignore_index=True)


def verdict(reference: pd.DataFrame, current: pd.DataFrame) -> Verdict:
    cuts = [side[["region"]] for side in (current, reference)]
    return assess_promises(reference, current, alpha=ALPHA, segments=cuts[0], reference_segments=cuts[1]).verdict


def test_a_word_that_is_kept_passes() -> None:
    assert verdict(months(0, 0, 0, 0), month("2025-07")) is Verdict.PASS


def test_a_change_is_red_until_it_is_learned_and_green_from_then_on() -> None:
    changed = month("2025-07", 1)

    assert verdict(months(0, 0, 0, 0), changed) is Verdict.FAIL
    assert verdict(months(0, 0, 1, 1), changed) is Verdict.PASS


@pytest.mark.parametrize("by", [0, 2])
def test_what_is_neither_as_promised_nor_as_last_learned_is_news(by: float) -> None:
    assert verdict(months(0, 0, 1, 1), month("2025-07", by)) is Verdict.FAIL


def test_months_since_the_last_change_are_those_that_keep_their_word_alike() -> None:
    reference = months(0, 1, 0, 1, 1).sample(frac=1, random_state=1)

    part = since_last_change(reference, alpha=ALPHA, min_rows=100)

    assert sorted(set(reference.batch[part])) == ["2025-04", "2025-05"]


def test_a_reference_that_never_changed_is_kept_whole() -> None:
    assert since_last_change(months(0, 0, 0, 0), alpha=ALPHA, min_rows=100).all()


def test_too_few_rows_are_unknown() -> None:
    assert verdict(months(0, 0), month("2025-07").head(50)) is Verdict.UNKNOWN
