"""What the graph costs beside a plain script: `python -m benchmarks.graph --cold`, ten minutes, a Markdown table.

Whole processes are measured, interpreter and imports included, since that is what a run costs. Graph and script take
turns (A B A B) and each starts from the same home, so that a busy machine slows both and every run does the same; a
ratio is the median of the paired ratios. The first round warms the disk's cache and is not counted; it also holds
both to the same model and the same predictions, for costs compare only where results are equal.

`--demo` adds `make demo` in a clone of the project, `--cold` besides the same from a bare clone with empty caches.
"""

# ruff: noqa: PLC0415 - this process stays small, since a child's peak memory begins with what its parent holds

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import click

ROOT = Path(__file__).parent.parent
AS_OF, NEXT = "2024-05", "2024-07"
MLOPS = (sys.executable, "-c", "from mlops_assets.cli import main; main()")
PLAIN = (sys.executable, "-m", "benchmarks.script")
EMPTY = (sys.executable, "-c", "from benchmarks.graph import empty; empty()")
LOCATION = (sys.executable, "-c", "import mlops_assets.definitions")
LIBRARIES = (sys.executable, "-c", "import dagster, pandas, pandera.pandas")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cost:
    """What a process and its children took: CPU and wall seconds, and the memory of the largest of them in MB."""

    cpu: float
    wall: float
    peak: float


Found = list[tuple[Cost, ...]]
"""A round each: the cost of the graph, and of what stands beside it if anything does."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure of a round in `unit`, the cost it is made of, and its `limit`; None where it only informs."""

    name: str
    figure: Callable[..., float]
    shown: Callable[[Cost], float]
    unit: str
    limit: float | None


CPU = partial(Goal, "CPU s", lambda graph, plain: graph.cpu / plain.cpu, lambda cost: cost.cpu, "x")
WALL = partial(Goal, "wall s", lambda graph, plain: graph.wall - plain.wall, lambda cost: cost.wall, " s more")
PEAK = partial(Goal, "peak MB", lambda graph, _: graph.peak, lambda cost: cost.peak, " MB")
DEMO = partial(Goal, "wall s", lambda graph: graph.wall, lambda cost: cost.wall, " s")


@dataclass(frozen=True, slots=True)
class Case:
    """Two commands, the home each starts from, what both must agree on, and the goals."""

    name: str
    graph: tuple[str, ...]
    plain: tuple[str, ...]
    goals: tuple[Goal, ...]
    template: Path | None = None
    results: Callable[[Path], tuple[object, object]] | None = None


def cases(work: Path) -> list[Case]:
    """What is measured, and how dear it may be; `work` is the folder of the homes."""
    home = str(work / "home")
    retrain = (*MLOPS, "retrain", "--as-of", AS_OF), (*PLAIN, "retrain", home, "--as-of", AS_OF)
    score = (*MLOPS, "score", NEXT), (*PLAIN, "score", home, NEXT)
    return [
        Case("retrain", *retrain, (CPU(1.4), WALL(None), PEAK(600)), work / "learned", models),
        Case("score a month", *score, (CPU(1.5), WALL(2), PEAK(None)), work / "crowned", predictions),
        Case("six empty assets, beside the script's score", EMPTY, score[1], (CPU(None),), work / "crowned"),
        Case("load the code location, beside its libraries", LOCATION, LIBRARIES, (CPU(1.3), PEAK(None))),
    ]


# ------------------------------------------------------------------------------------------------------- processes


def environment(home: Path) -> dict[str, str]:
    """As `make` sets it: the home, one BLAS thread, and .pyc files, without which each start costs seconds more."""
    kept = {name: value for name, value in os.environ.items() if name not in {"PYTHONDONTWRITEBYTECODE", "MAKEFLAGS"}}
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return {**kept, **one, "MLOPS_HOME": str(home), "DAGSTER_HOME": str(home / "dagster"), "PYTHONWARNINGS": "ignore"}


def measure(command: tuple[str, ...], *, home: Path, cwd: Path = ROOT, **more: str) -> Cost:
    """Cost of a command and of the processes it waits for; `more` is added to its environment.

    Raises RuntimeError with the command's last words when it fails.
    """
    with tempfile.TemporaryFile() as log:
        begin = time.perf_counter()
        process = subprocess.Popen(command, cwd=cwd, env={**environment(home), **more}, stdout=log, stderr=log)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            log.seek(0)
            message = f"{' '.join(command)} ended with {process.returncode}:\n{log.read().decode()[-3000:]}"
            raise RuntimeError(message)
    return Cost(used.ru_utime + used.ru_stime, wall, used.ru_maxrss * 1024 / 1e6)


def apart(function: Callable[..., T], *arguments: object) -> T:
    """The function's result, from a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


# ----------------------------------------------------------------------------------------------------------- homes


def prepare(work: Path) -> None:
    """Templates of the home: `learned` (six months scored, five learned) and `crowned` (a champion, a month landed).

    They are made and used at one place, `home`, for paths in the databases are absolute.
    """
    home = work / "home"
    apart(learn, home)
    shutil.copytree(home, work / "learned", symlinks=True)
    measure((*MLOPS, "retrain", "--as-of", AS_OF), home=home)
    measure((*MLOPS, "deal"), home=home)
    shutil.copytree(home, work / "crowned", symlinks=True)


def learn(home: Path) -> None:
    """Make a home whose six sample months are scored and whose five with outcomes are learned; MLflow is set up."""
    warnings.filterwarnings("ignore")
    os.environ.update(environment(home))
    from mlops_assets import deliveries, operate
    from mlops_assets.home import Home
    from mlops_assets.resources import params_from_environment
    from mlops_assets.tracking import Tracking

    files = deliveries.sample_files()
    with operate.system(Home(home), params_from_environment()) as running:
        for batch, delivery in files.items():
            running.inbox.put(batch, delivery)
        runs = [running.run("score", batch) for batch in files]
        runs += [running.run("learn", batch) for batch, delivery in files.items() if "outcomes" in delivery]
    if stopped := [line for ran in runs if not ran.is_success for line in ran.broken]:
        raise RuntimeError("\n".join(stopped))
    Tracking(Home(home).mlflow).prepare()


def fresh(template: Path | None, home: Path) -> None:
    """Put the template's state at `home`."""
    if template is not None:
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(template, home, symlinks=True)
        os.sync()  # no run pays for the copy


def models(home: Path) -> tuple[object, object]:
    """Digests of the champion made by the graph, and by the script."""
    folders = home / "4_model" / "champion", home / "plain" / "champion"
    graph, plain = ([path.name for path in folder.glob("*.cbm")] for folder in folders)
    return graph, plain


def predictions(home: Path) -> tuple[object, object]:
    """Scores, decisions, reasons and drift of a month: of the graph, and of the script, as text."""
    import pandas as pd

    paths = [
        (home / "5_predictions" / "predictions" / f"{NEXT}.parquet", home / "plain" / "predictions.parquet"),
        (home / "6_drift" / "drift_report" / f"{NEXT}.parquet", home / "plain" / "drift.parquet"),
    ]
    tables = [[pd.read_parquet(path) for path in pair] for pair in paths]
    graph, plain = ("".join(pair[side][list(pair[1])].to_csv() for pair in tables) for side in (0, 1))
    return graph, plain


def empty() -> None:
    """Run six assets that do nothing, with a check each, on the home's instance: what Dagster costs by itself."""
    import dagster as dg

    month = dg.DynamicPartitionsDefinition(name="batch")

    def asset(number: int) -> dg.AssetsDefinition:
        @dg.asset(
            name=f"empty_{number}",
            partitions_def=month,
            deps=[f"empty_{number - 1}"] if number else [],
            check_specs=[dg.AssetCheckSpec("contract", asset=f"empty_{number}")],
        )
        def nothing() -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
            yield dg.MaterializeResult()
            yield dg.AssetCheckResult(passed=True)

        return nothing

    job = dg.define_asset_job("empty", partitions_def=month)
    defs = dg.Definitions([asset(n) for n in range(6)], jobs=[job], executor=dg.in_process_executor)
    with dg.DagsterInstance.from_config(os.environ["DAGSTER_HOME"]) as instance:
        instance.add_dynamic_partitions("batch", [NEXT])
        silent = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        defs.resolve_job_def("empty").execute_in_process(silent, instance=instance, partition_key=NEXT)


# ------------------------------------------------------------------------------------------------------- measuring


def rounds(case: Case, work: Path, runs: int) -> Found:
    """Costs of graph and script, in turns; the first round is not counted, and shows that both do the same."""
    home, found = work / "home", Found()
    for number in range(runs + 1):
        fresh(case.template, home)
        graph = measure(case.graph, home=home)
        if number:
            fresh(case.template, home)
        plain = measure(case.plain, home=home)
        if number:
            found.append((graph, plain))
            click.echo(f"{case.name} {number}/{runs}: {graph.cpu:.2f} s and {plain.cpu:.2f} s of CPU", err=True)
        elif case.results is not None:
            ours, theirs = apart(case.results, home)
            if ours != theirs:
                message = f"{case.name}: graph and script do not agree, so their costs do not compare."
                raise RuntimeError(message)
    return found


def lines(name: str, found: Found, goals: tuple[Goal, ...]) -> Iterator[str]:
    """A row of the table for each goal."""
    for goal in goals:
        figures = [goal.figure(*costs) for costs in found]
        shown = [spread([goal.shown(cost) for cost in side]) for side in zip(*found, strict=True)]
        cells = [f"{name}: {goal.name}", *shown, *[""] * (2 - len(shown)), spread(figures, goal.unit)]
        yield f"| {' | '.join([*cells, *judged(goal, statistics.median(figures))])} |"


def judged(goal: Goal, median: float) -> tuple[str, str]:
    """The goal, and whether it is held or by how much not."""
    if goal.limit is None:
        return "", ""
    missed = f"missed by {median - goal.limit:.2f}{goal.unit.removesuffix(' more')}"
    return f"{goal.limit:g}{goal.unit}", "held" if median <= goal.limit else missed


def spread(values: list[float], unit: str = "") -> str:
    """`median (least to greatest)`, or the value if there is one only."""
    digits = 0 if min(values) > 100 else 1 if min(values) > 10 else 2
    middle = f"{statistics.median(values):.{digits}f}{unit}"
    return f"{middle} ({min(values):.{digits}f} to {max(values):.{digits}f})" if len(values) > 1 else middle


# ------------------------------------------------------------------------------------------------------- make demo


def demo(source: str, work: Path, runs: int, *, cold: bool) -> Iterator[str]:
    """Rows for `make demo`: from a bare clone of `source` if `cold`, and in a clone that is set up."""
    clone, home = work / "clone", work / "demo"
    empty = {"UV_CACHE_DIR": str(work / "caches/uv"), "PIP_CACHE_DIR": str(work / "caches/pip")} if cold else {}
    cloned = measure(("git", "clone", "--quiet", source, str(clone)), home=home, cwd=work)
    made = measure(("make", "demo" if cold else "setup"), home=home, cwd=clone, **empty)
    if cold:
        both = Cost(cloned.cpu + made.cpu, cloned.wall + made.wall, made.peak)
        yield from lines("`make demo` from a bare clone, empty caches", [(both,)], (DEMO(180),))
    found = Found()
    for number in range(runs + 1):
        shutil.rmtree(home, ignore_errors=True)
        cost = measure(("make", "demo"), home=home, cwd=clone)
        click.echo(f"make demo {number}/{runs}: {cost.wall:.1f} s, {cost.cpu:.1f} s of CPU", err=True)
        found.append((cost,))
    yield from lines("`make demo`, warm", found[1:], (DEMO(150),))


@contextmanager
def folder(kept: Path | None) -> Iterator[Path]:
    """An empty folder to work in, removed afterwards unless one is named."""
    if kept is not None:
        kept.mkdir(parents=True)
        yield kept.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="mlops-cost-", ignore_cleanup_errors=True) as name:
        yield Path(name).resolve()


@click.command()
@click.option("--runs", default=5, show_default=True, type=click.IntRange(1), help="counted rounds")
@click.option("--demo", "with_demo", is_flag=True, help="measure make demo as well, in a clone that is set up first")
@click.option("--cold", is_flag=True, help="and from a bare clone: downloads every package anew")
@click.option("--source", default=str(ROOT), help="what is cloned; the project's last commit if not given")
@click.option("--only", default="", metavar="TEXT", help="cases whose name contains it")
@click.option("--work", type=click.Path(path_type=Path), default=None, help="a new folder to work in, kept")
def main(*, runs: int, with_demo: bool, cold: bool, source: str, only: str, work: Path | None) -> None:
    """Print what the graph costs, beside the goals."""
    click.echo("| what | graph | beside it | figure | goal | |\n" + "| --- " * 6 + "|")
    with folder(work) as place:
        wanted = [case for case in cases(place) if only in case.name]
        if any(case.template for case in wanted):
            prepare(place)
        for case in wanted:
            for line in lines(case.name, rounds(case, place, runs), case.goals):
                click.echo(line)
        if with_demo or cold:
            for line in demo(source, place, runs, cold=cold):
                click.echo(line)


if __name__ == "__main__":
    main()
