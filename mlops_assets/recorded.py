"""What the history and the store know of a registered version: which ones are meant, their inputs, what came of them.

The registry is never asked: it may be lost, and would count from 1 again.
"""

from collections.abc import Mapping
from pathlib import Path

from mlops_assets.champions import evaluation_md5
from mlops_assets.files import DamagedError
from mlops_assets.gates.equality import Training
from mlops_assets.history import Crowned, History, Made, Registered
from mlops_assets.restoring import Archive
from mlops_assets.storage import Layers, bytes_table
from mlops_assets.store import MissingObjectError

CHAMPION = "champion"
SHORTEST_PREFIX = 6  # of a run's id; fewer digits are a version number
PARAMS = "params"
NO_GIT = "no git"  # as provenance says it


class NotReproducibleError(RuntimeError):
    """A model cannot be made again here; the message says why and what to do."""


def find(which: str, history: History, layers: Layers) -> list[Registered]:
    """The versions that `which` names, all of one training: `champion`, a number, or a run's id or its beginning.

    Raises NotReproducibleError listing those there are.
    """
    versions = history.versions()
    if which == CHAMPION:
        model = champion(history, layers)
        found = [version for version in versions if version.model_md5 == model]
    elif which.isdecimal() and len(which) < SHORTEST_PREFIX:
        found = [version for version in versions if version.version == int(which)]
    else:
        found = of_run(which, versions, history)
    if not found:
        listed = [f"  {v.version}: {v.candidate}, as of {v.as_of}, run {v.mlflow_run_id or v.run_id}" for v in versions]
        known = "\n".join(["There are:", *listed] if listed else ["There is none yet: run mlops retrain."])
        message = f"no registered version in {history.root} is meant by {which!r}. {known}"
        raise NotReproducibleError(message)
    return found


def of_run(which: str, versions: list[Registered], history: History) -> list[Registered]:
    """Versions of the run, of MLflow or Dagster, whose id begins so; one that made known versions again counts too."""
    if len(which) < SHORTEST_PREFIX:
        return []
    again = {made.run_id: made.md5 for made in history.read(Made) if made.asset == "churn_model"}
    named = {run: version.churn_model for version in versions for run in (version.mlflow_run_id, version.run_id) if run}
    runs = {run: training for run, training in {**again, **named}.items() if run.startswith(which)}
    if len(set(runs.values())) > 1:
        message = f"{which!r} begins the ids of {len(runs)} runs: {', '.join(sorted(runs))}. Give more of one."
        raise NotReproducibleError(message)
    return [version for version in versions if version.churn_model in runs.values()]


def champion(history: History, layers: Layers) -> str | None:
    """Digest of the model that scores: the one on disk, or the last that was crowned when that cannot be read."""
    try:
        return str(bytes_table(layers.content(CHAMPION)).model_md5.iloc[0])
    except (OSError, ValueError, AttributeError, IndexError):
        crowned = history.read(Crowned)
        return crowned[-1].model_md5 if crowned else None


def commit(version: Registered) -> str:
    """The commit whose code the version was trained with. Raises NotReproducibleError when nobody knows."""
    if (known := version.made_with.get("git_commit", NO_GIT)) == NO_GIT:
        message = (
            f"version {version.version} was trained outside of git, and nobody knows with which code. "
            f"The model itself is in the store, object {version.model_md5}."
        )
        raise NotReproducibleError(message)
    return known


def inputs(version: Registered, archive: Archive) -> dict[str, bytes]:
    """Everything the version was made from, by its path in the project; the parameters as `params`.

    Raises MissingObjectError and DamagedError, naming the input.
    """
    layers = Layers(Path("data"))
    wanted = {str(layers.path("labelled_customers", batch)): oid for batch, oid in version.inputs.items()}
    wanted |= {str(layers.path("training_set")): version.training_set, PARAMS: version.params}
    return {path: fetch(oid, path, version, archive) for path, oid in wanted.items()}


def fetch(oid: str, what: str, version: Registered, archive: Archive) -> bytes:
    """Bytes of an object of a version. Raises as `Archive.get` does, naming the version and what it is of it."""
    try:
        return archive.get(oid)
    except (MissingObjectError, DamagedError, ValueError) as error:
        message = f"{what} of version {version.version} cannot be brought back: {error}"
        raise (DamagedError if isinstance(error, ValueError) else type(error))(message) from None


def facts(version: Registered) -> Mapping[str, str]:
    """What the version was made with, in the names of `gates.equality`."""
    return {**version.made_with, "data.training_set": version.training_set, "params": version.params_md5}


def training(version: Registered, history: History) -> Training:
    """The recorded training, with the digests of what came of it."""
    return Training(version.model_md5, version.scores, evaluation_md5(version, history), facts(version))
