"""What it costs to keep and to rebuild the past: `python -m benchmarks.versions`, about five minutes, a Markdown table.

Each figure stands beside the same work without it, in turns, so that a busy machine slows both. Clones are of the last
commit: commit first.
"""

# ruff: noqa: PLC0415 - this process stays small, as in `graph`

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks.graph import AS_OF, MLOPS, ROOT, Cost, Found, Goal, apart, environment, folder, fresh, lines, measure

if TYPE_CHECKING:
    import pandas as pd

RATIO = partial(Goal, "wall s, ratio", lambda ours, plain: ours.wall / plain.wall, lambda cost: cost.wall, "x")
MORE = partial(Goal, "wall s, more", lambda ours, plain: ours.wall - plain.wall, lambda cost: cost.wall, " s more")
ALONE = partial(Goal, "wall s", lambda cost: cost.wall, lambda cost: cost.wall, " s")
MEGABYTE = 10**6
MONTHS = 24


def main_reproduce(work: Path, runs: int) -> Iterator[str]:
    """`mlops reproduce champion` beside `mlops retrain`, both in a clone of the last commit."""
    clone, home, kept = work / "clone", work / "home", work / "kept"
    measure(("git", "clone", "--quiet", str(ROOT), str(clone)), home=work / "nowhere", cwd=work)
    measure((*MLOPS, "demo", "--sample"), home=home, cwd=clone)
    shutil.copytree(home, kept, symlinks=True)
    found = Found()
    for number in range(runs + 1):
        fresh(kept, home)
        ours = measure((*MLOPS, "reproduce", "champion"), home=home, cwd=clone)
        plain = measure((*MLOPS, "retrain", "--as-of", AS_OF), home=home, cwd=clone)
        found.append((ours, plain))
        click.echo(f"reproduce {number}/{runs}: {ours.wall:.1f} s, retrain {plain.wall:.1f} s", err=True)
    yield from lines("`mlops reproduce champion`, beside a retrain", found[1:], (RATIO(2), MORE(15)))


def table_of(megabytes: int) -> "pd.DataFrame":
    """A table whose Parquet is about that large: random numbers, which do not compress."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(5)
    return pd.DataFrame({f"c{n}": rng.random(megabytes * MEGABYTE // 80) for n in range(10)})


def versioned(work: str, megabytes: int, runs: int) -> list[tuple[float, float, float]]:
    """Seconds of writing a table of that size: with the store and the history, the same bytes again, and without."""
    from mlops_assets.history import History, Made
    from mlops_assets.storage import Layers
    from mlops_assets.store import Store

    table = table_of(megabytes)
    found = []
    for number in range(runs + 1):
        root = Path(work, f"{megabytes}-{number}")
        store = Store(root / "store")
        with_store, without = Layers(root / "with", store), Layers(root / "without")
        history = History(root / "history", store)

        def keep(layers: Layers = with_store, history: History = history, store: Store = store) -> None:
            digest = layers.write("customer_features", table, "2024-01")
            listed = store.put_folder(layers.listing("customer_features"))
            history.add(Made("customer_features", "2024-01", digest, 1, 1, {}, listed, {}, "run", "score"))

        def leave(layers: Layers = without) -> None:
            layers.write("customer_features", table, "2024-01")

        found.append((timed(keep), timed(keep), timed(leave)))
        os.sync()
        shutil.rmtree(root)
    return found[1:]


def timed(work: Callable[[], None]) -> float:
    """Seconds that it takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def materialization(work: Path, runs: int) -> Iterator[str]:
    """What a version costs beyond writing the table."""
    for megabytes, limit in ((1, None), (100, 1.2)):
        found = apart(versioned, str(work), megabytes, runs)
        pairs = {"new bytes": [(k, p) for k, _, p in found], "unchanged": [(a, p) for _, a, p in found]}
        for name, both in pairs.items():
            costs: Found = [(Cost(0, ours, 0), Cost(0, plain, 0)) for ours, plain in both]
            goal = MORE(limit if name == "new bytes" else None)
            yield from lines(f"a table of {megabytes} MB kept, {name}, beside written only", costs, (goal,))


def score_run(home: str, month: str, *, is_kept: bool) -> float:
    """Seconds of a score run in process; without store and history if not `is_kept`."""
    os.environ.update(environment(Path(home)))
    from mlops_assets import operate
    from mlops_assets.history import Unrecorded
    from mlops_assets.home import Home
    from mlops_assets.io_manager import LayersIOManager
    from mlops_assets.resources import params_from_environment
    from mlops_assets.storage import Layers

    layers, nothing = Layers(Path(home)), Unrecorded()
    bare = {"layers": layers, "history": nothing, "io_manager": LayersIOManager(layers, nothing)}
    with operate.system(Home(Path(home)), params_from_environment()) as opened:
        running = opened if is_kept else replace(opened, resources={**opened.resources, **bare})
        begin = time.perf_counter()
        ran = running.run("score", month)
        took = time.perf_counter() - begin
        if not ran.is_success:
            raise RuntimeError("\n".join(ran.broken))
        return took


def share_of_a_run(work: Path, runs: int) -> Iterator[str]:
    """A month scored with and without versions kept: the share of the run that they cost."""
    template, home = work / "scored", work / "home"
    shutil.rmtree(home, ignore_errors=True)
    measure((*MLOPS, "demo", "--sample"), home=home)
    measure((*MLOPS, "deal"), home=home)
    shutil.copytree(home, template, symlinks=True)
    found = Found()
    for number in range(runs + 1):
        costs = []
        for is_kept in (True, False):
            fresh(template, home)
            costs.append(Cost(0, apart(partial(score_run, is_kept=is_kept), str(home), "2024-07"), 0))
        found.append((costs[0], costs[1]))
        click.echo(f"score {number}/{runs}: {costs[0].wall:.2f} s and {costs[1].wall:.2f} s", err=True)
    yield from lines("a month scored, versions kept, beside without", found[1:], (RATIO(1.05),))


def idle_repro(work: Path, runs: int) -> Iterator[str]:
    """`dvc repro` on a fresh clone, and again with nothing to do."""
    clone = work / "repro"
    measure(("git", "clone", "--quiet", str(ROOT), str(clone)), home=work / "nowhere", cwd=work)
    dvc = (str(Path(sys.executable).with_name("dvc")), "repro")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    more = {"PATH": path, "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(work / "site")}
    first = measure(dvc, home=work / "nowhere", cwd=clone, **more)
    yield from lines("`dvc repro`, everything", [(first,)], (ALONE(None),))
    again: Found = [(measure(dvc, home=work / "nowhere", cwd=clone, **more),) for _ in range(runs)]
    yield from lines("`dvc repro`, nothing to do", again, (ALONE(None),))


def growth(work: Path) -> Iterator[str]:
    """What the store holds after two years, beside the bytes of the tables and files that were ever made."""
    home = work / "home"
    months = MONTHS - 6
    shutil.rmtree(home, ignore_errors=True)
    measure((*MLOPS, "demo", "--sample"), home=home)
    before = sizes(home)
    apart(operate_on, str(home), months)
    after = sizes(home)
    grown = {kind: (after[kind] - before[kind]) / months / 1e3 for kind in after}
    rows = [
        (f"store after {MONTHS} months, MB", after["stored"] / MEGABYTE, after["made"] / MEGABYTE),
        ("a month adds to the store, kB", grown["stored"], grown["made"]),
        ("of it indexes of folders, kB", grown["indexes"], None),
        ("and to the history, kB", grown["history"], None),
    ]
    for name, ours, made in rows:
        beside = ("", "") if made is None else (f"{made:.1f} of versions made", f"{ours / made:.2f}x")
        yield f"| {' | '.join([name, f'{ours:.1f}', *beside, '', ''])} |"


def operate_on(home: str, months: int) -> None:
    """Land, score and learn that many months more."""
    os.environ.update(environment(Path(home)))
    from mlops_assets import operate
    from mlops_assets.home import Home
    from mlops_assets.resources import params_from_environment

    with operate.system(Home(Path(home)), params_from_environment()) as running:
        before = running.inbox.batches("customers")[-1]
        for _ in range(months):
            (batch,) = running.deal(months=1)
            runs = [running.run("learn", before), running.run("score", batch)]
            if stopped := [line for ran in runs for line in ran.broken if not ran.is_success]:
                raise RuntimeError("\n".join(stopped))
            before = batch


def sizes(home: Path) -> dict[str, int]:
    """Bytes of the store, of the indexes in it, of the history, and of all different versions that were made."""
    objects = [path for path in (home / "store" / "files").rglob("*") if path.is_file()]
    made: dict[str, int] = {}
    for line in (home / "history" / "datasets.jsonl").read_text().splitlines():
        record: dict[str, Any] = json.loads(line)
        stored = [record["md5"], *record["files"].values(), *record["inputs"].values()]
        for digest in stored:
            path = home / "store" / "files" / "md5" / digest[:2] / digest[2:]
            made[digest] = path.stat().st_size if path.is_file() else 0
    return {
        "stored": sum(path.stat().st_size for path in objects),
        "indexes": sum(path.stat().st_size for path in objects if path.name.endswith(".dir")),
        "history": sum(path.stat().st_size for path in (home / "history").iterdir()),
        "made": sum(made.values()),
    }


@click.command()
@click.option("--runs", default=5, show_default=True, type=click.IntRange(1), help="counted rounds")
@click.option("--only", default="", metavar="TEXT", help="parts whose name contains it")
@click.option("--work", type=click.Path(path_type=Path), default=None, help="a new folder to work in, kept")
def main(*, runs: int, only: str, work: Path | None) -> None:
    """Print what versions cost, beside the goals."""
    parts: dict[str, Callable[[Path], Iterator[str]]] = {
        "reproduce": partial(main_reproduce, runs=max(2, runs // 2)),
        "materialization": partial(materialization, runs=runs),
        "share": partial(share_of_a_run, runs=runs),
        "repro": partial(idle_repro, runs=max(2, runs // 2)),
        "growth": growth,
    }
    click.echo("| what | versions | beside it | figure | goal | |\n" + "| --- " * 6 + "|")
    with folder(work) as place:
        for name, part in parts.items():
            if only in name:
                for line in part(place):
                    click.echo(line)


if __name__ == "__main__":
    main()
