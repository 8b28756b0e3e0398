"""How often each gate is wrong, and what the loop is worth: `python -m benchmarks.decisions [--quick] [PART ...]`.

Prints Markdown tables, each figure with its 95 % interval (Wilson's for shares, over champions where decisions share
one, Student's t for means). Some twenty minutes on two processors; `--quick` shows that all of it runs, in three,
and its intervals are as wide as so few cases make them.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

# One processor for each process: several threads of matrix products in each would only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import click

from benchmarks import drift_gate, outcome_gate, promotion_gate, replay


@dataclass(frozen=True, slots=True)
class Size:
    """How many cases of each kind."""

    drift_cases: int
    drift_years: dict[int, int]
    evidently: int
    champions: int
    years_each: int
    deals: int
    quiet_years: int
    changed_years: int
    replays: int
    scenarios: tuple[str, ...]


FULL = Size(60, {300: 60, 600: 40, 2000: 12}, 12, 40, 3, 100, 40, 12, 10, replay.NAMES)
QUICK = Size(2, {300: 2, 600: 1}, 1, 2, 1, 4, 2, 1, 1, ("quiet", "cable_rival"))


def parts(size: Size) -> dict[str, list[tuple[str, Callable[[], str]]]]:
    """Tables by part, each with its title."""
    return {
        "drift": [
            ("Drift gate: single batches", lambda: drift_gate.decisions(size.drift_cases)),
            ("Drift gate: quiet years", lambda: drift_gate.years(size.drift_years)),
            ("Drift gate beside Evidently's preset", lambda: drift_gate.beside_evidently(size.evidently)),
        ],
        "outcomes": [("Outcome gate", lambda: outcome_gate.tables(size.champions, size.years_each))],
        "promotion": [
            ("Promotion gate: one question", lambda: promotion_gate.one_question(size.deals)),
            (
                "Promotion gate: asked every month for a year",
                lambda: promotion_gate.years_of_questions(size.quiet_years, size.changed_years),
            ),
        ],
        "loop": [("The loop by scenario", lambda: replay.tables(size.replays, size.scenarios))],
    }


@click.command()
@click.option("--quick", is_flag=True, help="A few cases of each kind.")
@click.option("--years", type=int, help="Simulated years of each scenario; 10 unless told.")
@click.argument("names", nargs=-1, metavar="[drift|outcomes|promotion|loop]...")
def main(names: tuple[str, ...], years: int | None, *, quick: bool) -> None:
    """Print the tables of the named parts, of all if none is named."""
    size = QUICK if quick else FULL
    if years is not None:
        size = replace(size, replays=years)
    chosen = parts(size)
    if unknown := sorted(set(names) - set(chosen)):
        message = f"{unknown} are no parts, there are {', '.join(chosen)}."
        raise click.BadParameter(message)
    for name in names or chosen:
        for title, made in chosen[name]:
            began = time.monotonic()
            click.echo(f"## {title}\n\n{made()}\n")
            click.echo(f"{title}: {time.monotonic() - began:.0f} s", err=True)


if __name__ == "__main__":
    main()
