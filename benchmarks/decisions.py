"""How often each gate is wrong, in both worlds: `python -m benchmarks.decisions [--quick] [PART ...]`.

Each finished case is a line of `decisions.jsonl` in the folder of results, under the digest of params, gates and the
part's own code: started again, or with more cases, the command goes on from there, and what was decided by other rules
is not counted. Prints Markdown tables of all that is there, each share with Wilson's 95 % interval; progress goes to
stderr. All of it takes some twelve hours of CPU, six on two processors; `--quick` a quarter of an hour: one case of
each kind at the smallest size, and no decade.
"""

import ast
import hashlib
import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType
from typing import Any

# One processor for each process: several threads of matrix products in each would only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import click

from benchmarks import drift_gate, moves, outcome_gate, promotion_gate, replay, tables, world
from benchmarks.telco import ROOT, params
from benchmarks.world import KINDS, SIZES


class Bare(ast.NodeTransformer):
    """Leaves docstrings out of code; comments and form are no part of a tree."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        """None of a constant that stands alone."""
        return None if isinstance(node.value, ast.Constant) else node


@dataclass(frozen=True, slots=True)
class Part:
    """What is played how often: a case of each table, world and size for each seed."""

    play: Callable[[str, str, int, int], Any]
    code: tuple[ModuleType, ...]
    cases: int
    sections: Sequence[str]
    names: Sequence[str] = tuple(world.MAKERS)
    sizes: Sequence[int] = SIZES

    @property
    def digest(self) -> str:
        """Of the params and the code that its cases depend on, comments and docstrings left out; 8 hex digits."""
        files = leaned_on({Path(str(module.__file__)) for module in self.code})
        told = [params().digest(*self.sections), *(ast.unparse(Bare().visit(tree_of(file))) for file in sorted(files))]
        return hashlib.md5("\n".join(told).encode(), usedforsecurity=False).hexdigest()[:8]


def leaned_on(files: set[Path]) -> set[Path]:
    """The files, and those of `gates` and `learning` that they import, directly or not."""
    found = set(files)
    for node in (node for file in files for node in ast.walk(tree_of(file)) if isinstance(node, ast.ImportFrom)):
        package, room, *module = [*(node.module or "").split("."), ""][:3]
        if package == "mlops_assets" and room in {"gates", "learning"}:
            names = [*filter(None, module)] or [alias.name for alias in node.names]
            found |= {ROOT / package / room / f"{name}.py" for name in names}
    return found if found == files else leaned_on(found)


@cache
def source_of(file: Path) -> str:
    """Its text as it was when the command began."""
    return file.read_text()


def tree_of(file: Path) -> ast.Module:
    """Its syntax."""
    return ast.parse(source_of(file))


ANY = (0,)
FIRST = ("model", "baseline", "floors", "loop")
EVERY = ("model", "economics", "drift", "outcomes", "promotion", "loop")
DRIFT, OUTCOMES, PROMOTION = (("model", "baseline", "economics", name) for name in ("drift", "outcomes", "promotion"))
PARTS = {
    "outcomes": Part(outcome_gate.case, (world, moves, outcome_gate), 20, OUTCOMES),
    "promotion": Part(promotion_gate.case, (world, outcome_gate, promotion_gate), 60, PROMOTION),
    "drift_quiet": Part(drift_gate.quiet, (world, moves, drift_gate), 30, DRIFT),
    "drift": Part(drift_gate.changed, (world, moves, drift_gate), 10, DRIFT),
    "outcomes_oracle": Part(outcome_gate.oracle, (world, moves, outcome_gate), 1, OUTCOMES, sizes=ANY),
    "drift_oracle": Part(drift_gate.oracle, (world, moves, drift_gate), 1, DRIFT, sizes=ANY),
    "decade": Part(replay.decade, (world, moves, outcome_gate, replay), 5, EVERY, ("churn",), (390,)),
    "lasting": Part(replay.lasting, (world, moves, outcome_gate, replay), 10, EVERY, sizes=(390,)),
    "rare": Part(replay.rare, (world, replay), 10, FIRST, ("churn",), (1, 2, 3)),
    "evidently": Part(drift_gate.beside_evidently, (world, moves, drift_gate), 6, DRIFT, ("churn",), (600,)),
}

Case = tuple[str, str, str, int, int]
"""Part, table, world, size and seed."""


def cases(names: Sequence[str], most: int | None, only: Sequence[str], sizes: Sequence[int]) -> Iterator[Case]:
    """What is to be played; the first seed of everything before the second of anything."""
    chosen = {name: part for name, part in PARTS.items() if name in names}
    # Of an oracle one is enough: it judges thousands of batches.
    counts = {name: part.cases if part.sizes == ANY else most or part.cases for name, part in chosen.items()}
    for seed in range(max(counts.values())):
        for name, part in chosen.items():
            if seed >= counts[name]:
                continue
            for size in part.sizes:
                for table in part.names:
                    if table in only and (size in sizes or part.sizes is not SIZES):
                        yield from ((name, table, kind, size, seed) for kind in KINDS)


def key_of(case: Case, digests: dict[str, str]) -> str:
    """The name under which a case's result is kept."""
    return " ".join([*map(str, case), digests[case[0]]])


def played(case: Case) -> tuple[Case, Any, float]:
    """A case with its result and seconds of CPU."""
    began = time.process_time()
    name, *where = case
    return case, PARTS[name].play(*where), time.process_time() - began


def run(wanted: Sequence[Case], file: Path, digests: dict[str, str], seconds: float) -> None:
    """Plays what is missing on two processors; starts nothing more once `seconds` have passed."""
    known = kept(file)
    missing = [case for case in wanted if key_of(case, digests) not in known]
    began, done = time.monotonic(), 0
    click.echo(f"{len(wanted) - len(missing)} of {len(wanted)} cases are there; results in {file}", err=True)
    if not missing:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    todo = iter(missing)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool, file.open("a") as out:
        running = {pool.submit(played, case) for case in (next(todo, None) for _ in range(3)) if case}
        while running:
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for one in finished:
                case, result, took = one.result()
                out.write(json.dumps({"key": key_of(case, digests), "result": result, "seconds": took}) + "\n")
                out.flush()
                done += 1
                click.echo(f"{done}/{len(missing)} {time.monotonic() - began:.0f} s: {case} {took:.1f} s", err=True)
                if time.monotonic() - began < seconds and (case := next(todo, None)):
                    running.add(pool.submit(played, case))


def kept(file: Path) -> dict[str, Any]:
    """Results by key."""
    lines = map(json.loads, file.read_text().splitlines()) if file.exists() else ()
    return {line["key"]: line["result"] for line in lines}


def results(file: Path, digests: dict[str, str]) -> tables.Results:
    """Results of the rules in force: by part, table, world and size those of every seed."""
    found: tables.Results = defaultdict(list)
    for key, result in kept(file).items():
        part, table, kind, size, _, digest = key.split(" ")
        if digests.get(part) == digest:
            found[part, table, kind, int(size)].append(result)
    return found


@click.command()
@click.option("--quick", is_flag=True, help="One case of the smallest size of each part but decade.")
@click.option("--cases", "most", type=int, help="Seeds of each part.")
@click.option("--minutes", type=float, default=float("inf"), help="Start no case after so many.")
@click.option("--tables", "only", default=",".join(world.MAKERS), help="Tables, comma-separated.")
@click.option("--sizes", default=",".join(map(str, SIZES)), help="Persons of a month, comma-separated.")
@click.option("--results", "folder", type=click.Path(path_type=Path), help="Folder; MLOPS_HOME/benchmarks unless told.")
@click.argument("names", nargs=-1, metavar="[PART]...")
def main(
    names: tuple[str, ...], folder: Path | None, only: str, sizes: str, minutes: float, most: int | None, *, quick: bool
) -> None:
    """Play the named parts, all if none is named, and print their tables."""
    if unknown := sorted(set(names) - set(PARTS)):
        message = f"{unknown} are no parts, there are {', '.join(PARTS)}."
        raise click.BadParameter(message)
    chosen = [name for name in PARTS if not names or name in names or name.split("_")[0] in names]
    if quick and not names:
        chosen.remove("decade")
    digests = {name: PARTS[name].digest for name in PARTS}
    file = (folder or Path(os.environ.get("MLOPS_HOME", ROOT / "var")) / "benchmarks") / "decisions.jsonl"
    numbers = SIZES[:1] if quick else [int(size) for size in sizes.split(",")]
    wanted = list(cases(chosen, 1 if quick else most, only.split(","), numbers))
    run(wanted, file, digests, 60 * minutes)
    click.echo(tables.page(results(file, digests), chosen))


if __name__ == "__main__":
    main()
