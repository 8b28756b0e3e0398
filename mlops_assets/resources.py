"""What the graph runs on, by environment: only here is the process environment read.

`local` is the running system below `MLOPS_HOME`; `reproduction` is `data/` whatever MLOPS_HOME says, with no registry,
so that reproducing a run never touches the running system.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_assets.landing import Inbox
from mlops_assets.params import Params, load_params
from mlops_assets.storage import Layers, LayersIOManager
from mlops_assets.tracking import Tracking, Untracked

PROJECT = Path(__file__).resolve().parents[1]
MEBIBYTE = 2**20


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


def params_from_environment() -> Params:
    """The parameters in the file named by MLOPS_PARAMS; `params.yaml` in the project when it is not set."""
    return load_params(Path(os.environ.get("MLOPS_PARAMS") or PROJECT / "params.yaml"))


def resources_for(environment: str, home: Home | None = None, params: Params | None = None) -> dict[str, Any]:
    """Resources of `local` or `reproduction`. Raises ValueError for another name, ParamsError for bad parameters."""
    params = params or params_from_environment()
    if environment == "local":
        home = home or home_from_environment()
        layers, inbox, pages = Layers(home.layers), home.landing, home.pages
        tracking: Untracked = Tracking(home.mlflow, PROJECT)
    elif environment == "reproduction":
        data = PROJECT / "data"
        layers, inbox, pages, tracking = Layers(data), data / "landing", data / "reports", Untracked()
    else:
        message = f"environment {environment!r} is unknown: local or reproduction."
        raise ValueError(message)
    return {
        "io_manager": LayersIOManager(layers),
        "layers": layers,
        "inbox": Inbox(inbox, params.landing.max_megabytes * MEBIBYTE),
        "params": params,
        "tracking": tracking,
        "pages": pages,
    }
