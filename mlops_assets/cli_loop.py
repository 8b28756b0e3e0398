"""Commands about the loop: how it stands, what it did, and what a person decides in its place."""

import getpass
import json
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import click

from mlops_assets import trainings
from mlops_assets.opening import running

NEEDED = 1


def json_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """For machines."""
    return click.option("--json", "as_json", is_flag=True, help="one JSON document, for machines")(function)


def said(_context: click.Context, _option: click.Parameter, text: str | None) -> str | None:
    """What a person said, on one line; it must not be blank, since it stands in the history for ever."""
    if text is None:
        return None
    plain = on_one_line(text)
    if not plain:
        message = "it must not be blank."
        raise click.BadParameter(message)
    return plain


def on_one_line(text: str) -> str:
    """The text without line breaks and a terminal's control signs, which could fake another entry of a list."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def signature(function: Callable[..., Any]) -> Callable[..., Any]:
    """Who decides, and why."""
    function = click.option("--reason", required=True, callback=said, help="why; it is kept for ever")(function)
    return click.option("--by", "actor", default=None, callback=said, help="who; your login if not given")(function)


@click.command()
@json_option
def status(*, as_json: bool) -> None:
    """Say which model scores and why, what the gates said last, what waits, and what needs a person (exit code 1)."""
    from dataclasses import asdict

    from mlops_assets import report, standing
    from mlops_assets.storage import Layers

    with running() as opened:
        layers, kept = Layers(opened.home.layers), opened.resources["history"]
        told = standing.standing_of(opened.inbox, layers, kept, opened.instance, opened.params)
        click.echo(json.dumps(asdict(told), indent=1) if as_json else report.status(told))
        sys.exit(NEEDED if told.is_calling else 0)


@click.command()
@json_option
def history(*, as_json: bool) -> None:
    """List every champion there ever was: since when, made by a gate or signed by whom, and why."""
    from mlops_assets import report, standing

    with running() as opened:
        past = standing.past(opened.resources["history"])
        click.echo(json.dumps(past, indent=1) if as_json else report.history(past))


@click.command()
@click.argument("version", type=click.IntRange(min=1))
@signature
def promote(version: int, actor: str | None, reason: str) -> None:
    """Make VERSION champion by a person's signature; it is marked as such for ever."""
    sign("promote", version, actor, reason)


@click.command()
@click.option("--to", "version", type=click.IntRange(min=1), default=None, help="the champion before, if not given")
@signature
def rollback(version: int | None, actor: str | None, reason: str) -> None:
    """Let an earlier version score again; the gate will not propose the present one again by itself."""
    sign("rollback", version, actor, reason)


def sign(action: str, version: int | None, actor: str | None, reason: str) -> None:
    """Run the promote job with a signature, and say what came of it."""
    from mlops_assets import standing

    with running() as opened:
        kept = opened.resources["history"]
        number = version or standing.before(kept)
        if number is None:
            refuse("there is no champion before this one to go back to. `mlops history` lists them.")
        if refusal := standing.why_not_sign(action, number, kept):
            refuse(refusal)
        config = {"version": number, "action": action, "actor": actor or getpass.getuser(), "reason": reason}
        ran = opened.run("promote", None, {"ops": {"champion": {"config": config}}})
        if not ran.is_success:
            for line in ran.broken:
                click.echo(f"refused: {line}", err=True)
            sys.exit(1)
        click.echo(f"version {number} scores from now on: {action} signed by {config['actor']}: {reason}")
        click.echo("the newest month is scored anew by the promoted sensor, or now: mlops rescore YYYY-MM")
        if why := opened.resources["tracking"].why_down():
            click.echo(f"warning: {why}; its alias follows with the next training", err=True)


def refuse(why: str) -> NoReturn:
    """End with why the call is refused."""
    click.echo(f"refused: {why}", err=True)
    sys.exit(2)


@click.command()
@signature
def decline(actor: str | None, reason: str) -> None:
    """Say no to the challenger that waits for approval; the champion stays."""
    from mlops_assets.history import Judged, Signed

    with running() as opened:
        kept = opened.resources["history"]
        judged = kept.read(Judged)
        last = judged[-1] if judged else None
        if last is None or not last.waits or any(one.model_md5 == last.winner for one in kept.read(Signed)):
            refuse("no challenger waits for approval.")
        record = kept.find(last.winner)
        number = record.version if record else None
        kept.add(Signed("decline", actor or getpass.getuser(), reason, version=number, model_md5=last.winner))
        click.echo(f"version {number} is declined; the champion stays")


@click.command()
@signature
def reset(actor: str | None, reason: str) -> None:
    """Close the breaker: let the loop train again after challengers without gain."""
    from mlops_assets import loop
    from mlops_assets.gates.retraining import streak
    from mlops_assets.history import Signed
    from mlops_assets.storage import Layers

    with running() as opened:
        kept = opened.resources["history"]
        attempts = trainings.attempts_of(kept, opened.instance)
        if not attempts:
            refuse("nothing was ever trained here.")
        layers = Layers(opened.home.layers)
        facts = loop.facts(layers, kept, opened.instance, opened.params)
        if streak(facts) < opened.params.loop.breaker:
            refuse("the breaker is not open. `mlops status` says what the loop waits for.")
        kept.add(Signed("reset", actor or getpass.getuser(), reason, attempt=attempts[-1].run_key))
        click.echo("the breaker is closed; the next cause starts a training")


@click.command()
@click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--host", default="127.0.0.1", show_default=True)
def up(port: int, host: str) -> None:
    """Mend what a power cut left, then run the webserver, the daemon and the code: `dagster dev` of this home."""
    from pathlib import Path

    from mlops_assets import recovery
    from mlops_assets.home import PROJECT

    with running() as opened:
        try:
            lock = recovery.occupy(opened.home)
        except recovery.InUseError as error:
            click.echo(f"refused: {error}", err=True)
            sys.exit(2)
        mended = recovery.mend(opened.instance)
        home = opened.home
    if mended:
        click.echo(f"mended: {mended} runs that a power cut left are marked as failed, and are repeated", err=True)
    os.set_inheritable(lock, True)  # noqa: FBT003 - the lock lives as long as what we become
    dagster = str(Path(sys.executable).with_name("dagster"))
    environment = {**os.environ, "MLOPS_HOME": str(home.root), "DAGSTER_HOME": str(home.dagster)}
    arguments = [dagster, "dev", "-w", str(PROJECT / "workspace.yaml"), "-h", host, "-p", str(port)]
    os.execve(dagster, arguments, environment)  # noqa: S606


def playable(_context: click.Context, _option: click.Parameter, share: float | None) -> float | None:
    """A share of a panel that may be asked to leave in a month."""
    from mlops_assets.churn.lifetimes import HIGHEST, LOWEST

    if share is not None and not LOWEST <= share <= HIGHEST:
        message = f"{share} is not in the range {LOWEST}<=x<={HIGHEST}."
        raise click.BadParameter(message)
    return share


@click.command()
@click.option("--months", default=12, show_default=True, type=click.IntRange(1, 600))
@click.option("--scenario", default="quiet", show_default=True, metavar="NAME[@MONTH]", help="see docs/scenarios.md")
@click.option("--seed", default=7, show_default=True, type=click.IntRange(0, 2**31 - 1))
@click.option(
    "--rows", default=None, type=click.IntRange(50, 100_000), help="customers of a month; as dealt if not given"
)
@click.option(
    "--world",
    default="fresh",
    show_default=True,
    type=click.Choice(["fresh", "panel"]),
    help="fresh: each customer comes once; panel: customers stay, age and come back every month (docs/data.md)",
)
@click.option(
    "--leaving",
    default=None,
    type=float,
    callback=playable,
    help="share of a panel that leaves in an average month; .03 if not given",
)
@json_option
def simulate(
    *, months: int, scenario: str, seed: int, rows: int | None, world: str, leaving: float | None, as_json: bool
) -> None:
    """Play months of a future through the sensors and jobs, in an empty home, and tell what happened and why."""
    from mlops_assets import timeline
    from mlops_assets.simulate import LEAVING

    if world == "fresh" and leaving is not None:
        refuse("--leaving says how many of a panel leave; fresh customers leave as published. Add --world panel.")
    share = (leaving or LEAVING) if world == "panel" else None
    told = play(months=months, scenario=scenario, seed=seed, rows=rows, leaving=share)
    document = {"scenario": scenario, "seed": seed, "world": world, "leaving": share, "months": told}
    click.echo(json.dumps(document, indent=1) if as_json else timeline.text(told))


def play(
    *, months: int, scenario: str, seed: int, rows: int | None = None, leaving: float | None = None
) -> list[dict[str, Any]]:
    """Play, with progress on stderr; a wrong call ends the process with 2. `leaving`: of a panel, None: fresh ones."""
    import logging

    from mlops_assets.churn.scenarios import SCENARIOS, parse
    from mlops_assets.recovery import InUseError, occupied
    from mlops_assets.simulate import OtherHomeError, Plan, simulate

    try:
        name, at = parse(scenario)
    except ValueError as error:
        click.echo(f"refused: {error}", err=True)
        sys.exit(2)
    # Nobody is woken for what is only played.
    for variable in ("MLOPS_ALERT_URLS", "MLOPS_HEARTBEAT_URL"):
        os.environ.pop(variable, None)
    logging.getLogger("mlops_assets.alerts").setLevel(logging.ERROR)
    with running() as opened:
        if SCENARIOS[name].needs_offers and not opened.params.offers.enabled:
            refuse(f"{name} needs offers: copy params.yaml, set offers.enabled to true, and name it in MLOPS_PARAMS.")
        try:
            with occupied(opened.home):
                wanted = Plan(name, at, seed, rows, leaving=leaving)
                return simulate(opened, wanted, months=months, tell=lambda line: click.echo(line, err=True))
        except (OtherHomeError, InUseError) as error:
            click.echo(f"refused: {error}", err=True)
            sys.exit(2)
