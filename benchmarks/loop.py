"""What the loop costs: `python -m benchmarks.loop`, about ten minutes, a Markdown table.

A simulated year by scenario; one drift decision at 600 rows; a tick of each sensor with nothing new, in a home of ten
months and in one of two hundred. The two hundred are the ten under other names: files, history and runs' records are as
many as they would be.
"""

import json
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import dagster as dg

from benchmarks.graph import MLOPS, ROOT, environment
from mlops_assets import operate, sensors
from mlops_assets.churn import simulation
from mlops_assets.churn.world import inputs
from mlops_assets.deliveries import source_table
from mlops_assets.gates import drift
from mlops_assets.history import FILES, Made
from mlops_assets.home import Home
from mlops_assets.partitions import next_batch
from mlops_assets.resources import params_from_environment
from mlops_assets.tables import TABLES

MANY = 200
TICKS, DECISIONS = 15, 9
YEARS = ("quiet", "cable_rival@5")


def year(scenario: str, work: Path) -> Iterator[str]:
    """Seconds of a simulated year in an empty home, beside the goal; the sample months and the first champion too."""
    home = work / scenario.replace("@", "-")
    command = [*MLOPS, "simulate", "--months", "12", "--scenario", scenario, "--json"]
    start = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, env=environment(home), capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - start
    months = json.loads(done.stdout)["months"]
    trainings = sum(len(month["trainings"]) for month in months)
    yield f"| a simulated year, {scenario}: {trainings} trainings | {seconds:.0f} s | 60 s |"


def decision(rows: int) -> Iterator[str]:
    """Milliseconds of one drift decision."""
    source = source_table()
    months = list(simulation.future(source, seed=1, months=2, rows=rows))
    reference, current = (inputs(month.customers) for month in months)
    took = timed(lambda: drift.assess_drift(reference, current, alpha=0.01), DECISIONS)
    yield f"| a drift decision at {rows} rows | {took * 1000:.0f} ms | 300 ms |"


def timed(call: Callable[[], object], times: int) -> float:
    """Median seconds of a call; the first, which imports, is left out."""
    call()
    found = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return statistics.median(found)


def grown(home: Home, to: Home) -> Home:
    """The home with its batches again and again under the names of further months, `MANY` in all."""
    shutil.copytree(home.root, to.root, symlinks=True)
    batches = sorted(path.stem for path in (to.landing / "customers").glob("*.csv"))
    last, renamed = batches[-1], {}
    for number in range(MANY - len(batches)):
        last = next_batch(last)
        renamed[last] = batches[number % len(batches)]
    renamed[last] = batches[-1]  # the champion's own, or the newest month would be scored anew
    folders = [to.layers / table.folder for table in TABLES.values() if table.is_by_batch]
    for folder, suffix in [
        *((folder, ".parquet") for folder in folders),
        *((to.landing / k, ".csv") for k in ("customers", "outcomes")),
    ]:
        for batch, like in renamed.items():
            if (folder / f"{like}{suffix}").is_file():
                shutil.copy(folder / f"{like}{suffix}", folder / f"{batch}{suffix}")
    with_history(to, renamed)
    return to


def with_history(home: Home, renamed: dict[str, str]) -> None:
    """Tell the history of the further months as of those they are copies of."""
    path = home.history / FILES[Made]
    told = [json.loads(line) for line in path.read_text().splitlines()]
    with path.open("a") as file:
        for batch, like in renamed.items():
            for record in told:
                if record["batch"] == like:
                    text = json.dumps({**record, "batch": like}).replace(like, batch)
                    file.write(text + "\n")


def ticks(home: Home) -> Iterator[tuple[str, float]]:
    """Median milliseconds of a tick of each sensor, with the cursor that its last tick left."""
    with operate.system(home, params_from_environment()) as running:
        for sensor in sensors.SENSORS:
            wanted = {name: running.resources[name] for name in sensor.required_resource_keys}
            yield sensor.name, tick(sensor, running.instance, wanted) * 1000


def tick(sensor: dg.SensorDefinition, instance: dg.DagsterInstance, resources: dict[str, object]) -> float:
    """Median seconds of a tick with nothing new."""
    cursor = None
    for _ in range(3):
        context = dg.build_sensor_context(instance=instance, cursor=cursor, resources=resources, definitions=defs())
        cursor = sensor.evaluate_tick(context).cursor or cursor

    def once() -> None:
        context = dg.build_sensor_context(instance=instance, cursor=cursor, resources=resources, definitions=defs())
        sensor.evaluate_tick(context)

    return timed(once, TICKS)


def defs() -> dg.Definitions:
    """The code location."""
    from mlops_assets.definitions import defs as definitions  # noqa: PLC0415 - bound to the home in force

    return definitions


@click.command()
def main() -> None:
    """Print the table; progress goes to stderr."""
    with tempfile.TemporaryDirectory(prefix="loop-") as folder:
        work = Path(folder)
        rows = ["| what | measured | goal |", "| --- | --- | --- |"]
        for scenario in YEARS:
            rows += year(scenario, work)
            click.echo(rows[-1], err=True)
        rows += decision(600)
        click.echo(rows[-1], err=True)
        small = Home(work / "quiet")
        few, many = dict(ticks(small)), dict(ticks(grown(small, Home(work / "grown"))))
        for name, took in few.items():
            rows.append(
                f"| a tick of {name}, {MANY} months beside 18 | {many[name]:.0f} beside {took:.0f} ms | 50 ms |"
            )
    click.echo("\n".join(rows))


if __name__ == "__main__":
    main()
