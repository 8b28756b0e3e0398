"""Where everything of a running system lies, and which one is meant; here and in `resources` the environment is read.

Apart from `resources`, so that a command which only looks things up need not load what runs the graph.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from mlops_assets.history import History
from mlops_assets.provenance import PRODUCTION
from mlops_assets.remote import S3
from mlops_assets.store import Store

PROJECT = Path(__file__).resolve().parents[1]
SHIPPED_SETTINGS = frozenset({"dagster.yaml", "dagster.production.yaml"})


class WrongEnvironmentError(OSError):
    """A home was made for another environment than the one in force."""


@dataclass(frozen=True, slots=True)
class Home:
    """Where everything of a running system lies: one folder to back up, to mount, or to make in a test."""

    root: Path

    @property
    def dagster(self) -> Path:
        """DAGSTER_HOME."""
        return self.root / "dagster"

    @property
    def landing(self) -> Path:
        """The inbox."""
        return self.root / "landing"

    @property
    def layers(self) -> Path:
        """The six layers."""
        return self.root

    @property
    def mlflow(self) -> Path:
        """MLflow's database and artifacts."""
        return self.root / "mlflow"

    @property
    def store(self) -> Path:
        """Every version of everything, laid out as a DVC remote."""
        return self.root / "store"

    @property
    def history(self) -> Path:
        """What a registry forgets."""
        return self.root / "history"

    @property
    def pages(self) -> Path:
        """Evidently's pages, one per batch."""
        return self.root / "reports"

    @property
    def exports(self) -> Path:
        """Lists for marketing, one per batch."""
        return self.root / "exports"


def home_from_environment() -> Home:
    """The home named by MLOPS_HOME; `var/` in the project when it is not set."""
    return Home(Path(os.environ.get("MLOPS_HOME") or PROJECT / "var").resolve())


def settings_for(environment: str) -> Path:
    """Dagster's settings in an environment: on Postgres in production, on SQLite in the home anywhere else."""
    return PROJECT / "deploy" / ("dagster.production.yaml" if environment == PRODUCTION else "dagster.yaml")


def link_settings(home: Home, environment: str) -> None:
    """Link Dagster's settings into a home that has none; those that are there stay, whoever wrote them.

    Raises WrongEnvironmentError when they are those of another environment: a shell that lacks a variable would else
    look at another database than the daemon does.
    """
    settings, wanted = home.dagster / "dagster.yaml", settings_for(environment)
    if not settings.exists():
        settings.unlink(missing_ok=True)  # a link whose target moved away
        settings.symlink_to(wanted)
    elif settings.is_symlink() and settings.resolve().name in SHIPPED_SETTINGS - {wanted.name}:
        message = (
            f"{settings} links to {settings.resolve().name}, and MLOPS_ENVIRONMENT says {environment}. Set it to what "
            f"this home was made for, or remove the link: the home then starts with the other database, and without "
            f"the runs in this one."
        )
        raise WrongEnvironmentError(message)


def s3_from_environment(part: str) -> S3 | None:
    """Where `part` of a home is kept besides: below MLOPS_S3 (`s3://bucket/prefix`), None when that is not set.

    The server is AWS, or the one in AWS_ENDPOINT_URL. Raises ValueError when MLOPS_S3 is no such address.
    """
    url = os.environ.get("MLOPS_S3")
    return S3(f"{url.rstrip('/')}/{part}", os.environ.get("AWS_ENDPOINT_URL")) if url else None


def history_of(home: Home) -> History:
    """The home's history, and its store with the remote in force."""
    return History(home.history, Store(home.store, s3_from_environment("store")))
