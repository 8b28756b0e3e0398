"""What the graph runs on, by environment.

`local` is the running system below `MLOPS_HOME`; `reproduction` is `data/` whatever MLOPS_HOME says, with no registry,
so that reproducing a run never touches the running system. `production` is `local` that promotes nothing which
could not be made again.
"""

import os
from pathlib import Path
from typing import Any

from mlops_assets.history import Unrecorded
from mlops_assets.home import PROJECT, Home, history_of, home_from_environment, s3_from_environment
from mlops_assets.io_manager import LayersIOManager
from mlops_assets.landing import Inbox
from mlops_assets.params import Params, ParamsError, load_params
from mlops_assets.provenance import PRODUCTION, Origin
from mlops_assets.storage import Layers
from mlops_assets.tracking import Tracking, Untracked

MEBIBYTE = 2**20


def params_from_environment() -> Params:
    """The parameters in the file named by MLOPS_PARAMS; `params.yaml` in the project when it is not set."""
    return load_params(Path(os.environ.get("MLOPS_PARAMS") or PROJECT / "params.yaml"))


def environment_from_environment() -> str:
    """`local` or `production`: what MLOPS_ENVIRONMENT says, `local` when it is not set."""
    named = os.environ.get("MLOPS_ENVIRONMENT") or "local"
    if named not in {"local", PRODUCTION}:
        message = f"MLOPS_ENVIRONMENT={named} is unknown: local or {PRODUCTION}."
        raise ParamsError(message)
    return named


def tracking_of(home: Home) -> Tracking:
    """The home's registry; the artifacts lie beside its database, or below MLOPS_S3."""
    s3 = s3_from_environment("mlflow")
    return Tracking(home.mlflow, s3.url if s3 else None)


def resources_for(environment: str, home: Home | None = None, params: Params | None = None) -> dict[str, Any]:
    """Resources of `local`, `production` or `reproduction`.

    Raises ValueError for another name, ParamsError for bad parameters.
    """
    params = params or params_from_environment()
    if environment in {"local", PRODUCTION}:
        home = home or home_from_environment()
        origin = Origin(PROJECT, environment, home.root)
        kept = history_of(home)
        history: Unrecorded = kept
        layers, inbox, pages = Layers(home.layers, kept.store), home.landing, home.pages
        tracking: Untracked = tracking_of(home)
    elif environment == "reproduction":
        data = PROJECT / "data"
        layers, inbox, pages = Layers(data), data / "landing", data / "reports"
        tracking, history = Untracked(), Unrecorded()
        origin = Origin(PROJECT, environment)
    else:
        message = f"environment {environment!r} is unknown: local, production or reproduction."
        raise ValueError(message)
    return {
        "io_manager": LayersIOManager(layers, history),
        "layers": layers,
        "history": history,
        "origin": origin,
        "inbox": Inbox(inbox, params.landing.max_megabytes * MEBIBYTE),
        "params": params,
        "tracking": tracking,
        "pages": pages,
    }
