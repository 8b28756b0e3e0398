"""Makes a registered model again, from what was recorded and nothing else, and compares the two.

The recorded commit's own code runs, in a worktree of its own, on inputs and parameters from the store, in a process
of its own that knows no home: neither the user's tree nor the running system is touched. What was recorded is found
by `recorded`, and how equal two trainings are is the decision of `gates.equality`.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets import environments, recorded, worktrees
from mlops_assets.files import md5
from mlops_assets.gates.equality import Grade, Training, grade
from mlops_assets.history import Registered
from mlops_assets.home import PROJECT, Home, history_of
from mlops_assets.learning.training import booster, load
from mlops_assets.provenance import LOCK
from mlops_assets.recorded import NotReproducibleError
from mlops_assets.restoring import Archive
from mlops_assets.storage import Layers, bytes_table
from mlops_assets.versions import Past

ENTRY = "mlops_assets/materialize.py"
FACTS = (
    "import json, pathlib; from mlops_assets.provenance import Origin; "
    "print(json.dumps(Origin(pathlib.Path.cwd(), 'reproduction').facts()))"
)
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
TAIL = 15  # lines of a failed training's output that are shown

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Reproduction:
    """What came of making a version again; `is_locked` says whether in the recorded environment."""

    version: Registered
    grade: Grade
    is_locked: bool


@dataclass(frozen=True, slots=True)
class Remade:
    """What a training left below `layers`, and what it was made with."""

    candidates: pd.DataFrame
    layers: Layers
    facts: Mapping[str, str]


def reproduce(which: str, home: Home, *, is_locked: bool, tell: Tell, project: Path = PROJECT) -> list[Reproduction]:
    """Make again what `which` names, as `recorded.find` takes it; `tell` gets a line before each step.

    Raises NotReproducibleError, CommitError, EnvironmentNotBuiltError, MissingObjectError or DamagedError.
    """
    history = history_of(home)
    versions = recorded.find(which, history, Layers(home.layers))
    version = versions[0]  # all are of one training: one commit, one set of inputs
    commit = recorded.commit(version)
    archive = Archive(Past(history), home.root)
    files = recorded.inputs(version, archive)
    worktrees.require(project, commit, ENTRY)
    with worktrees.worktree(project, commit) as tree:
        tell(f"worktree: commit {commit} in {tree}")
        python = locked(version, tree, home, project, tell) if is_locked else Path(sys.executable)
        remade = train(python, tree, files, tell)
        tell("comparing with what was recorded")
        return [Reproduction(one, compare(one, remade, archive, files), is_locked) for one in versions]


def locked(version: Registered, tree: Path, home: Home, project: Path, tell: Tell) -> Path:
    """The interpreter of the environment that the commit locks. Raises EnvironmentNotBuiltError."""
    if not (tree / LOCK).is_file():
        message = f"commit {recorded.commit(version)} has no {LOCK}. Leave --locked out."
        raise NotReproducibleError(message)
    folder = home.root / "cache" / "environments"
    lock, python = (tree / LOCK).read_bytes(), version.made_with["python"]
    return environments.locked(lock, python=python, folder=folder, project=project, tell=tell)


def train(python: Path, tree: Path, files: Mapping[str, bytes], tell: Tell) -> Remade:
    """Run the tree's own training on those files. Raises NotReproducibleError when it makes no model."""
    facts = run(python, ["-c", FACTS], tree)  # before the inputs come in: they are no change of the code
    if facts.returncode:
        raise NotReproducibleError(failure(facts))
    parameters = tree.parent / "params.yaml"
    paths = {name: parameters if name == recorded.PARAMS else tree / name for name in files}
    for folder in {path.parent for path in paths.values()} - {tree.parent}:
        shutil.rmtree(folder, ignore_errors=True)  # what a commit may have there is not what was learned from
        folder.mkdir(parents=True)
    for name, content in files.items():
        paths[name].write_bytes(content)
    tell(f"inputs: {len(files)} objects restored from the store")
    tell(f"training with {python}")
    done = run(python, ["-m", "mlops_assets.materialize", "model"], tree, MLOPS_PARAMS=str(parameters))
    layers = Layers(tree / "data")
    # It may have made the model and stopped later: what came back is compared, what did not is different.
    if not layers.exists("churn_model"):
        raise NotReproducibleError(failure(done))
    return Remade(bytes_table(layers.content("churn_model")), layers, json.loads(facts.stdout))


def run(python: Path, arguments: list[str], tree: Path, **more: str) -> "subprocess.CompletedProcess[str]":
    """The tree's own code, run to its end."""
    temporary = tree.parent / "temporary"  # what it leaves when it is killed goes with the worktree
    temporary.mkdir(exist_ok=True)
    here = {"MLOPS_HOME": str(tree.parent / "no-home"), "TMPDIR": str(temporary)}
    environment = {**environments.clean(os.environ), **ONE_THREAD, **here, **more}
    command = [str(python), *arguments]
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)  # noqa: S603


def failure(done: "subprocess.CompletedProcess[str]") -> str:
    """What a training said before it failed."""
    said = "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-TAIL:])
    return (
        f"the recorded code does not run here (exit code {done.returncode}). With --locked it has the libraries it was "
        f"written for; if that was given, remove the environment named above, and it is built anew. It said:\n{said}"
    )


def compare(version: Registered, remade: Remade, archive: Archive, files: Mapping[str, bytes]) -> Grade:
    """The grade of what was made again. Raises MissingObjectError and DamagedError for what is needed to compare."""
    old, new = recorded.training(version, archive.past.history), made(version, remade)

    def then(oid: str, what: str) -> bytes:
        return recorded.fetch(oid, what, version, archive)

    # What has the same digest is the same, so nothing that came back is needed from the store.
    if old.model_md5 != new.model_md5:
        rows = pd.concat(
            [bytes_table(content) for name, content in files.items() if "labelled_customers" in name], ignore_index=True
        )
        model = remade.layers.file("churn_model", f"{new.model_md5}.cbm")
        old = replace(old, predictions=predictions(then(old.model_md5, "the model"), rows))
        new = replace(new, predictions=predictions(model, rows))
    if old.scores_md5 != new.scores_md5:
        scores = remade.layers.file("churn_model", f"{new.scores_md5}.parquet")
        old = replace(old, scores=bytes_table(then(old.scores_md5, "the out-of-sample scores")))
        new = replace(new, scores=bytes_table(scores))
    if old.metrics_md5 and new.metrics_md5 and old.metrics_md5 != new.metrics_md5:
        old = replace(old, metrics=bytes_table(then(old.metrics_md5, "the evaluation")))
        new = replace(new, metrics=bytes_table(remade.layers.content("model_evaluation")))
    return grade(old, new)


def made(version: Registered, remade: Remade) -> Training:
    """The new training of the version's candidate. Raises NotReproducibleError when there is no such candidate."""
    own = remade.candidates[remade.candidates.candidate == version.candidate]
    if own.empty:
        message = f"the recorded code made {', '.join(remade.candidates.candidate)}, and no {version.candidate}."
        raise NotReproducibleError(message)
    row, layers = own.iloc[0], remade.layers
    metrics = md5(layers.content("model_evaluation")) if layers.exists("model_evaluation") else None
    facts = {**remade.facts, "data.training_set": row.training_md5, "params": row.params_md5}
    return Training(row.model_md5, row.scores_md5, metrics, facts)


def predictions(model: bytes, rows: pd.DataFrame) -> NDArray[np.float64] | None:
    """Scores of the rows, shape (n,), by a model that names the columns it takes; None where the rows lack one."""
    names = booster(model).feature_names_
    return load(model)(rows[names]) if set(names) <= set(rows) else None
