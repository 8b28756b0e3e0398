"""The commands that look back: versions, restoring them, and the care of the store.

They need the history and the store only, take no lock, and load neither Dagster nor MLflow: they answer at once, beside
a run that is going on, and when the rest of the home is gone. Exit codes: 0 done, 1 something is missing or damaged,
2 a wrong call or a refusal.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from mlops_assets.files import DamagedError
from mlops_assets.history import FILES, damaged
from mlops_assets.home import history_of, home_from_environment
from mlops_assets.listings import full, full_model, model_row, row, table
from mlops_assets.placing import OccupiedError
from mlops_assets.remote import S3, RemoteError
from mlops_assets.restoring import Archive
from mlops_assets.store import Store
from mlops_assets.versions import CHAMPION, MODEL, Past, UnknownVersionError

REFUSED = 2


@contextmanager
def looking_back() -> Iterator[Archive]:
    """The archive of the home in force; what is wrong becomes a message and an exit code."""
    home = home_from_environment()
    try:
        history = history_of(home)
    except ValueError as error:  # MLOPS_S3 is no address
        click.echo(f"refused: {error}", err=True)
        sys.exit(REFUSED)
    try:
        if not any((home.history / name).is_file() for name in FILES.values()):
            message = (
                f"there is no history in {home.root}: nothing was made there yet, or MLOPS_HOME names another home. "
                "`mlops demo` fills one."
            )
            raise FileNotFoundError(message)
        yield Archive(Past(history), home.root)
    except (UnknownVersionError, OccupiedError) as error:
        click.echo(f"refused: {error}", err=True)
        sys.exit(REFUSED)
    except BrokenPipeError:  # whoever read our output has left; click ends quietly
        raise
    except (DamagedError, RemoteError, OSError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)


@click.command()
@click.argument("asset")
@click.option("--batch", default=None, metavar="YYYY-MM", help="of this month only")
@click.option("--json", "as_json", is_flag=True, help="everything that is known, for a program")
def versions(asset: str, batch: str | None, *, as_json: bool) -> None:
    """List every version of ASSET that was ever made, the newest last; of a model, every registered version too."""
    with looking_back() as archive:
        found = archive.past.versions(asset, batch)
        models = archive.past.models() if asset in {CHAMPION, MODEL} else []
        if as_json:
            tree = {"asset": asset, "versions": [full(v) for v in found], "registered": [full_model(m) for m in models]}
            click.echo(json.dumps(tree, indent=1))
            return
        if not found:
            click.echo(
                f"there is no version of {asset} of batch {batch}: `mlops versions {asset}` lists all.", err=True
            )
            sys.exit(1)
        click.echo(table([row(version) for version in found]))
        if models:
            click.echo()
            click.echo(table([model_row(model) for model in models]))


@click.command()
@click.argument("version", metavar="ASSET@MD5")
@click.argument("path", type=click.Path(path_type=Path))
def restore(version: str, path: Path) -> None:
    """Bring a version back to PATH: a table, a file that belongs to one, or a folder (MD5.dir) as it stood.

    MD5 may be cut off after 4 digits. churn_model@v3 is the model of registered version 3. What lies at PATH already is
    never overwritten.
    """
    asset, at, digest = version.partition("@")
    if not at:
        message = f"{version!r} is no ASSET@MD5: `mlops versions {asset}` lists the md5 of each version."
        raise click.UsageError(message)
    with looking_back() as archive:
        oid = archive.resolve(asset, digest)
        what = f"{archive.known(oid)[0].text}, md5 {oid}"
        if archive.restore(oid, path):
            click.echo(f"restored {what} to {path}")
        else:
            click.echo(f"{path} is that already: {what}")


@click.group()
def store() -> None:
    """Look after the store, which holds every version of everything."""


@store.command()
@click.option("--mend", is_flag=True, help="put back what a layer, the inbox or the history still has")
def check(*, mend: bool) -> None:
    """Hash every object again, and look for all that the history names; exit code 1 if any is damaged or missing."""
    with looking_back() as archive:
        found = archive.check()
        left = 0
        for state, oids in (("damaged", found.damaged), ("missing", found.missing)):
            for oid in oids:
                told = archive.explain(oid)
                mended = archive.mend(oid) if mend else None
                left += mended is None
                click.echo(f"{state}: object {oid} ({archive.store.path(oid)})")
                click.echo(f"  mended from {mended}" if mended else told)
        put_back = len(found.damaged) + len(found.missing) - left
        for path in sorted(archive.past.history.root.glob("*.jsonl")):
            for number in damaged(path.read_bytes()):
                left += 1
                click.echo(f"damaged: line {number} of {path}\n  again    bring the line from a backup of the history")
        click.echo(f"{found.checked} objects, {len(found.damaged)} damaged, {len(found.missing)} missing", nl=False)
        click.echo(f", {put_back} mended" if mend else "")
        sys.exit(1 if left else 0)


@store.command()
@click.option("--older-than", "hours", default=24.0, show_default=True, type=click.FloatRange(0), metavar="HOURS")
def sweep(hours: float) -> None:
    """Remove temporary files that killed processes left in the store; never an object."""
    with looking_back() as archive:
        left = archive.store.sweep(hours * 3600)
        for path in left:
            click.echo(f"removed {path}")
        click.echo(f"{len(left)} temporary files older than {hours:g} h removed")


@store.command()
def push() -> None:
    """Push to the remote what it has not got yet."""
    with looking_back() as archive:
        remote = remote_of(archive.store)
        pushed = archive.store.push(archive.store.objects())
        click.echo(f"{pushed} objects pushed to {remote.url}, {archive.store.behind()} wait")


@store.command()
def pull() -> None:
    """Bring from the remote what is missing or damaged of all that the history names."""
    with looking_back() as archive:
        remote = remote_of(archive.store)
        brought, nowhere = archive.pull()
        for oid in nowhere:
            click.echo(f"lost: object {oid}\n{archive.explain(oid)}")
        click.echo(f"{brought} objects brought from {remote.url}, {len(nowhere)} lost there too")
        sys.exit(1 if nowhere else 0)


def remote_of(there: Store) -> S3:
    """The store's remote; says what to do where it has none, and ends."""
    if there.remote is None:
        click.echo(
            f"error: no remote is configured: {there.root} is all. MLOPS_S3=s3://bucket/prefix names one.", err=True
        )
        sys.exit(1)
    return there.remote
