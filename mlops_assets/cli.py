"""The `mlops` command: the doors by which a person uses the system.

Results go to stdout, progress and warnings to stderr. Exit codes: 0 done, 1 a run was stopped by its checks or nothing
was there to do it with, 2 a wrong call or a file that was refused.
"""

import csv
import io
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlops_assets import cli_loop
from mlops_assets.cli_accept import accept
from mlops_assets.cli_past import restore, store, versions
from mlops_assets.cli_reproduce import reproduce
from mlops_assets.opening import running

if TYPE_CHECKING:
    from mlops_assets.operate import Ran

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """A churn model that looks after itself. The home is MLOPS_HOME, var/ in the project when that is not set."""
    warnings.filterwarnings("ignore")  # foreign libraries' notices; our own are errors in the tests


LOOP = (
    cli_loop.simulate,
    cli_loop.status,
    cli_loop.history,
    cli_loop.promote,
    cli_loop.rollback,
    cli_loop.decline,
    cli_loop.reset,
    cli_loop.up,
)
for command in (accept, versions, restore, store, reproduce, *LOOP):
    main.add_command(command)


def batch_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """The batch that a file is landed as."""
    return click.option("--batch", required=True, metavar="YYYY-MM", help="the month of the snapshot")(function)


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@batch_option
def land(file: Path, batch: str) -> None:
    """Put FILE into the inbox: customers, outcomes, or both in one file; our form or the public export's."""
    from mlops_assets.landing import read_plain
    from mlops_assets.partitions import parse_batch

    with running() as opened:
        parse_batch(batch)
        content = read_plain(file, name=str(file), max_bytes=opened.inbox.max_bytes)
        kinds = opened.land(content, file=str(file), batch=batch)
        click.echo(f"landed {' and '.join(kinds)} of {batch} in {opened.inbox.root}")
        jobs = {"customers": f"mlops score {batch}", "outcomes": f"mlops learn {batch}"}
        click.echo(f"next: {', then '.join(jobs[kind] for kind in kinds)}")


@main.command()
def inbox() -> None:
    """List what waits in the inbox, and what is left alone and why."""
    from mlops_assets.landing import KINDS

    with running() as opened:
        waiting = {kind: opened.inbox.batches(kind) for kind in KINDS}
        for batch in sorted({batch for batches in waiting.values() for batch in batches}):
            click.echo("  ".join([batch, *(kind for kind in KINDS if batch in waiting[kind])]))
        strangers = opened.inbox.strangers()
        for stranger in strangers:
            click.echo(f"left alone: {stranger}", err=True)
        sys.exit(1 if strangers else 0)


@main.command()
@click.option("--months", default=1, show_default=True, type=click.IntRange(1, 600), help="how many")
@click.option(
    "--rows", default=None, type=click.IntRange(1, 10_000_000), help="customers of a month; as dealt if not given"
)
def deal(months: int, rows: int | None) -> None:
    """Land the next month of the future: real customers held back, then synthetic ones, and last month's outcomes."""
    with running() as opened:
        for batch in opened.deal(months=months, rows=rows):
            click.echo(f"landed {batch}; next: mlops score {batch}")


@main.command()
@click.argument("batch")
def score(batch: str) -> None:
    """Validate, score and judge a landed month."""
    run_job("score", batch)


@main.command()
@click.argument("batch")
def learn(batch: str) -> None:
    """Join a month's landed outcomes to its features: the month is mature then."""
    run_job("learn", batch)


@main.command()
@click.option(
    "--as-of", default=None, metavar="YYYY-MM", help="newest month learned from; the newest mature one if not given"
)
def retrain(as_of: str | None) -> None:
    """Train challengers, evaluate them, and make one champion if it is proven."""
    run_job("retrain", None, {"ops": {"training_set": {"config": {"as_of": as_of}}}})


@main.command()
@click.argument("batch")
def rescore(batch: str) -> None:
    """Score and judge a month again, after the champion changed."""
    run_job("rescore", batch)


def run_job(job: str, batch: str | None, config: dict[str, Any] | None = None) -> None:
    """Run a job and say what came of it."""
    with running() as opened:
        report(opened.run(job, batch, config))


def report(ran: "Ran") -> None:
    """One line per asset, then the warnings; exit code 1 when the run was stopped."""
    for name, facts in ran.materialized.items():
        click.echo(f"{name}: {facts['dagster/row_count']} rows, md5 {facts['dvc_md5']}")
    if covered := ran.materialized.get("coverage_report", {}).get("covered"):
        click.echo(covered)
    for check in ran.checks:
        if check.metadata.get("abstains") and check.check_name == "contract":
            click.echo(f"{check.asset_key.to_user_string()}: {check.description}")
    for line in ran.warnings:
        click.echo(f"warning: {line}", err=True)
    for line in ran.broken if not ran.is_success else []:
        click.echo(f"stopped: {line}", err=True)
    sys.exit(0 if ran.is_success else 1)


@main.command()
@click.argument("batch")
@click.option(
    "--out", type=click.Path(path_type=Path), default=None, help="where to; exports/BATCH.csv in the home if not given"
)
def export(batch: str, out: Path | None) -> None:
    """Write the list that marketing gets: who passed the threshold, the highest score first."""
    from mlops_assets.files import write_atomically
    from mlops_assets.partitions import parse_batch
    from mlops_assets.storage import Layers

    with running() as opened:
        table = Layers(opened.home.layers).read("predictions", parse_batch(batch))
        chosen = table[table.decision].sort_values(["score", "customer_id"], ascending=[False, True])
        columns = ["customer_id", "score", "assignment", "assignment_chance", "reason_1", "reason_2", "reason_3"]
        path = out or opened.home.exports / f"{batch}.csv"
        write_atomically(path, formula_safe(columns, chosen[columns].to_dict("split")["data"]))
        click.echo(f"{len(chosen)} of {len(table)} customers of {batch} are in {path}")


def formula_safe(header: list[str], rows: list[list[object]]) -> bytes:
    """CSV bytes in which no cell is run by a spreadsheet: text that starts like a formula gets a quote before it."""
    out = io.StringIO()
    # With these line ends (RFC 4180) csv also quotes a lone CR, after which a spreadsheet would begin a new row.
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow(
            [f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else shown(cell) for cell in row]
        )
    return out.getvalue().encode()


def shown(cell: object) -> object:
    """A number as a person reads it."""
    return f"{cell:.4f}" if isinstance(cell, float) else cell


@main.command(name="report")
@click.argument("batch")
def report_page(batch: str) -> None:
    """Render Evidently's page of a month, whatever the drift verdict."""
    from mlops_assets.partitions import parse_batch

    with running() as opened:
        ran = opened.materialize("evidently_report", parse_batch(batch), {"on_demand": True})
        if "evidently_report" in ran.materialized:
            click.echo(ran.materialized["evidently_report"]["page_path"])
        report(ran)


@main.command()
@click.option("--sample", "is_sample_only", is_flag=True, help="only the six sample months, job by job")
def demo(*, is_sample_only: bool) -> None:
    """Play the sample and six months after it through the sensors: a rival comes, and a better model takes over."""
    from mlops_assets import operate, summary, timeline
    from mlops_assets.home import home_from_environment
    from mlops_assets.simulate import DEMO, demo_told

    told = []
    if not is_sample_only:
        told = demo_told(home_from_environment().root)
        told = told or cli_loop.play(months=DEMO.until, scenario=f"{DEMO.scenario}@{DEMO.at}", seed=DEMO.seed)
    with running() as opened:
        stopped = operate.demo(opened, lambda line: click.echo(line, err=True)) if is_sample_only else []
        for line in stopped:
            click.echo(f"stopped: {line}", err=True)
        if stopped:
            sys.exit(1)
        click.echo(f"{timeline.text(told)}\n\n{summary.of(opened)}" if told else summary.of(opened))
