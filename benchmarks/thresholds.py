"""Does each limit mean the same where one in two hundred leaves and where most do? `python -m benchmarks.thresholds`.

A perfect model of a made-up world (log-odds normal, so that the AUC is about .84) and one that knows nothing but adds
noise are held to the shipped limits, at shares of events from .5 to 60 % and 300 to 1,000,000 rows. For each: what a
relative limit is in the unit of the figure, and how many of 40 samples pass. Takes two minutes.
"""

import numpy as np

from benchmarks.telco import params
from benchmarks.world import Floats, expit, markdown
from mlops_assets.gates.estimates import loss_gain, row_losses
from mlops_assets.gates.evidence import FEW_OF_A_LABEL
from mlops_assets.gates.floors import judge_floors
from mlops_assets.gates.promotion import compare
from mlops_assets.gates.verdict import Verdict

RATES, SIZES = (0.005, 0.03, 0.26, 0.6), (300, 2_000, 20_000, 1_000_000)
SPREAD, NOISE, REPEATS, LARGE = 1.7, 0.5, 20, 200_000


def middle(rate: float) -> float:
    """Mean of the log-odds at which events have this share."""
    draws = np.random.default_rng(1).normal(size=LARGE) * SPREAD
    low, high = -15.0, 15.0
    for _ in range(60):
        at = (low + high) / 2
        low, high = (at, high) if expit(draws + at).mean() < rate else (low, at)
    return (low + high) / 2


def sample(rate: float, rows: int, seed: int) -> tuple[Floats, Floats, Floats]:
    """Labels, the truth as scores, and scores of a model that adds noise to the share of events."""
    rng = np.random.default_rng([seed, rows, round(1000 * rate)])
    truth = expit(rng.normal(size=rows) * SPREAD + middle(rate))
    noise = expit(rng.normal(size=rows) * NOISE + np.log(rate / (1 - rate)))
    return (rng.random(rows) < truth).astype(float), truth, noise


def verdicts(found: list[Verdict]) -> str:
    """How many of the samples pass, and how many cannot tell."""
    unknown = sum(one is Verdict.UNKNOWN for one in found)
    return f"{sum(one is Verdict.PASS for one in found)}" + (f" ({unknown} cannot tell)" if unknown else "")


def line(rate: float, rows: int) -> list[str]:
    """A row of the table."""
    floors, limits = params().floors.model_dump(), params().promotion.model_dump(exclude={"months", "approval"})
    known = {"described": True, "reproducible": True, **floors}
    good, bad, better, equal = [], [], [], []
    gains = []
    for seed in range(REPEATS if rows <= SIZES[2] else 1):
        labels, truth, noise = sample(rate, rows, seed)
        good.append(judge_floors(labels, truth, truth, **known).verdict)
        bad.append(judge_floors(labels, noise, noise, **known).verdict)
        if 0 < labels.mean() < 1:
            flat = np.full(rows, labels.mean())
            gains.append(loss_gain(labels, flat, truth, np.ones(rows), interval=0.95))
        worse = expit(np.log(truth / (1 - truth)) + 0.6 * np.random.default_rng(seed).normal(size=rows))
        better.append(compare(worse, truth, labels, **limits).verdict)
        twins = [
            expit(np.log(truth / (1 - truth)) + 0.3 * np.random.default_rng([seed, k]).normal(size=rows))
            for k in (1, 2)
        ]
        equal.append(compare(*twins, labels, **limits).verdict)
    prevalence = float(-rate * np.log(rate) - (1 - rate) * np.log(1 - rate))
    loss = float(np.mean([row_losses(*sample(rate, 20_000, seed)[:2]).mean() for seed in range(3)]))
    width = f"{np.mean([(g.upper - g.lower) / 2 for g in gains]) / prevalence:.1%}" if gains else "-"
    return [
        f"{rate:.1%}",
        f"{rows:,}",
        f"{prevalence:.3f}",
        f"{floors['min_gain_over_prevalence'] * prevalence:.4f}",
        f"{np.mean([g.value for g in gains]) / prevalence:.0%} ± {width}" if gains else "-",
        f"{floors['max_calibration_error'] * (rate * (1 - rate)) ** 0.5:.4f}",
        f"{limits['min_relative_gain'] * loss:.4f}",
        f"{FEW_OF_A_LABEL / (min(rate, 1 - rate) * rows):.2g}",
        f"{verdicts(good)} / {verdicts(bad)}",
        f"{verdicts(better)} / {verdicts(equal)}",
    ]


def main() -> None:
    """Print the table."""
    head = [
        "events",
        "rows",
        "prevalence's log-loss",
        "floor of the gain, nats",
        "gain of the perfect model",
        "calibration limit, as a probability",
        "promotion's least gain, nats",
        "batches of so many rows until 20 of the rarer label",
        f"floors pass, of {REPEATS} (1 of the largest): perfect / useless",
        "promoted: better / equal",
    ]
    print(markdown(head, [line(rate, rows) for rate in RATES for rows in SIZES]))


if __name__ == "__main__":
    main()
