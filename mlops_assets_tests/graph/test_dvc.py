"""`dvc.yaml` tells what each layer is made from and what it makes, no less and no more; and DVC's commands serve."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grimp
import pytest
import yaml

from mlops_assets import materialize
from mlops_assets.definitions import ASSETS
from mlops_assets.params import load_params
from mlops_assets.tables import LAYERS, TABLES

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from mlops_assets_tests.graph.conftest import Clone, Watched

PROJECT = Path(__file__).resolve().parents[2]
RULES = ("churn", "gates", "learning")  # rooms that a stage depends on whole: `tables` names every contract
CODE = "mlops_assets"
# Asks everything of one process, since DVC takes a second to start; a line between what two of them say.
ASK = """
import sys
from dvc.cli import main
for line in sys.argv[1:]:
    print("\\x1e", end="", flush=True)
    code = main(line.split())
    print("\\x1f", code, sep="", end="", flush=True)
"""


@pytest.fixture(scope="module")
def stages() -> dict[str, dict[str, Any]]:
    """The stages of `dvc.yaml`."""
    tree: dict[str, dict[str, Any]] = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]
    return tree


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """What imports what in the package."""
    return grimp.build_graph(CODE, cache_dir=None)


def folder(name: str) -> str:
    """Where DVC finds a table."""
    return f"data/{TABLES[name].folder}"


def paths(entries: list[Any]) -> set[str]:
    """Paths of outs or metrics, with or without settings."""
    return {next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries}


def ask(clone: "Clone", *lines: str) -> list[tuple[int, str]]:
    """Exit code of each of DVC's commands, and what it said."""
    said = clone.run("python", "-c", ASK, *lines).stdout.split("\x1e")[1:]
    return [(int(code.split("\n")[0]), text) for text, code in (one.split("\x1f") for one in said)]


def test_there_is_a_stage_for_each_layer_by_its_name(stages: dict[str, dict[str, Any]]) -> None:
    assert list(stages) == list(LAYERS)
    assert all(stage["desc"] for stage in stages.values())


@pytest.mark.parametrize("layer", LAYERS)
def test_a_stage_has_one_out_for_each_asset_of_its_layer(layer: str, stages: dict[str, dict[str, Any]]) -> None:
    never = {"evidently_report", "outcome_report"}  # a page; and what the newest sample month has no outcomes for
    tables = {folder(name) for name, table in TABLES.items() if table.layer == layer and name not in never}
    assert {out for out in paths(stages[layer]["outs"]) if not out.startswith("data/plots/")} == tables
    assert {folder(name) for name in materialize.tables_of(layer)} == tables


def test_metrics_and_plots_are_kept_by_git(stages: dict[str, dict[str, Any]]) -> None:
    shown = [entry for stage in stages.values() for entry in [*stage["outs"], *stage["metrics"]]]
    cached = {next(iter(entry)): entry for entry in shown if isinstance(entry, dict)}
    assert all(settings == {"cache": False} for entry in cached.values() for settings in entry.values())
    assert {path for path in cached if "metrics" in path} == {f"data/metrics/{layer}.json" for layer in LAYERS}


@pytest.mark.parametrize("layer", LAYERS)
def test_a_stage_depends_on_every_asset_that_its_assets_depend_on(
    layer: str, stages: dict[str, dict[str, Any]]
) -> None:
    own = materialize.tables_of(layer)
    needed = {
        key.to_user_string()
        for asset in ASSETS
        for spec in asset.specs
        if spec.key.to_user_string() in own
        for key in (dep.asset_key for dep in spec.deps)
    }
    assert {folder(name) for name in needed - own} - {"data/landing"} <= set(stages[layer]["deps"])


@pytest.mark.parametrize("layer", LAYERS)
def test_a_stage_depends_on_just_the_files_that_it_reads(
    layer: str, stages: dict[str, dict[str, Any]], watched: "Watched"
) -> None:
    written = {*paths(stages[layer]["outs"]), "data/metrics", "data/plots", CODE}
    read = {
        name for name in watched.read[layer]["files"] if not any(Path(name).is_relative_to(path) for path in written)
    }
    declared = {name for name in stages[layer]["deps"] if not name.startswith(f"{CODE}/")}
    undeclared = {name for name in read if not any(Path(name).is_relative_to(path) for path in declared)}
    unread = {path for path in declared if not any(Path(name).is_relative_to(path) for name in read)}
    assert (undeclared, unread - {"requirements.lock"}) == (set(), set())


@pytest.mark.parametrize("layer", LAYERS)
def test_a_stage_depends_on_just_the_code_that_it_loads(
    layer: str, stages: dict[str, dict[str, Any]], graph: grimp.ImportGraph
) -> None:
    start = ["materialize", *(f"assets.{name}" for name in materialize.MODULES.get(layer, (layer,)))]
    modules = {f"{CODE}.{name}" for name in start}
    modules |= {module for begin in list(modules) for module in graph.find_upstream_modules(begin)}
    rooms = {f"{CODE}/{room}" for room in RULES if any(module.startswith(f"{CODE}.{room}.") for module in modules)}
    files = {module.replace(".", "/") + ".py" for module in modules if module.split(".")[1] not in RULES}
    packages = {f"{CODE}/__init__.py", f"{CODE}/assets/__init__.py"}
    assert {name for name in stages[layer]["deps"] if name.startswith(f"{CODE}/")} == rooms | files | packages
    assert "requirements.lock" in stages[layer]["deps"]


@pytest.mark.parametrize("layer", LAYERS)
def test_a_stage_names_just_the_parameters_that_it_asks_for(
    layer: str, stages: dict[str, dict[str, Any]], watched: "Watched"
) -> None:
    tree = load_params(PROJECT / "params.yaml").model_dump()
    named = {
        f"{section}.{key}" for name in stages[layer]["params"] for section, key in keys(*name.split("."), tree=tree)
    }
    # The inbox is made for every layer, and knows its limit; only raw opens it.
    by_inbox = {"landing.max_megabytes"} if layer == "raw" else set()
    assert named == {*watched.read[layer]["params"]} | by_inbox


def keys(section: str, *key: str, tree: dict[str, Any]) -> list[tuple[str, str]]:
    """A parameter, or all of a section."""
    return [(section, name) for name in (key or tree[section])]


def test_repro_ends_well_and_leaves_the_committed_lock_as_it_is(clone: "Clone", reproduced: tuple[int, str]) -> None:
    code, said = reproduced
    assert code == 0, said
    assert clone.status == "", clone.run("git", "diff", "--stat").stdout


def test_a_home_in_the_environment_is_not_touched(clone: "Clone", reproduced: tuple[int, str]) -> None:
    assert reproduced[0] == 0
    assert clone.is_home_untouched()


@pytest.fixture(scope="session")
def asked(
    shared: Path, once: "Callable[[Path], AbstractContextManager[bool]]", clone: "Clone", reproduced: tuple[int, str]
) -> dict[str, tuple[int, str]]:
    """What DVC says in a copy of the clone: with nothing to do, with a parameter turned, after an experiment."""
    assert reproduced[0] == 0
    with once(shared / "asked") as to_do:
        if to_do:
            told = ask_all(clone.copy(shared / "asked" / "tree"))
            (shared / "asked" / "told.json").write_text(json.dumps(told))
    return {
        name: (code, said) for name, (code, said) in json.loads((shared / "asked" / "told.json").read_text()).items()
    }


def ask_all(copy: "Clone") -> dict[str, tuple[int, str]]:
    """Everything that the tests below ask of DVC, in an order in which one does not spoil the next."""
    params = copy.root / "params.yaml"
    kept = params.read_text()
    (nothing,) = ask(copy, "repro")
    params.write_text(kept.replace("alpha: 0.002", "alpha: 0.02"))
    (turned,) = ask(copy, "repro --dry")
    params.write_text(kept)
    lines = {
        "experiment": "exp run -S sample.score_batch=2024-05",
        "params": "params diff --json",
        "metrics": "metrics show --json",
        "metrics diff": "metrics diff --json",
        "plots": "plots show --json",
        "plots diff": "plots diff -o drawn",
        "dag": "dag --dot",
    }
    return {"nothing": nothing, "turned": turned, **dict(zip(lines, ask(copy, *lines.values()), strict=True))}


Asked = dict[str, tuple[int, str]]


def test_again_nothing_runs(asked: Asked) -> None:
    code, said = asked["nothing"]
    assert (code, "Running stage" in said) == (0, False)
    assert "up to date" in said


def test_a_parameter_runs_just_what_depends_on_it(asked: Asked) -> None:
    code, said = asked["turned"]
    assert code == 0
    assert [layer for layer in LAYERS if f"Running stage '{layer}'" in said] == ["drift"]


def test_an_experiment_runs_what_its_parameter_touches(asked: Asked) -> None:
    code, said = asked["experiment"]
    assert code == 0, said
    assert [layer for layer in LAYERS if f"Running stage '{layer}'" in said] == ["predictions", "drift"]


def test_params_diff_names_the_parameter_that_was_turned(asked: Asked) -> None:
    code, said = asked["params"]
    turned = json.loads(said[said.index("{") :])["params.yaml"]
    assert (code, turned) == (0, {"sample.score_batch": {"old": "2024-06", "new": "2024-05"}})


def test_metrics_show_has_the_figures_of_every_layer(asked: Asked, clone: "Clone") -> None:
    code, said = asked["metrics"]
    shown = json.loads(said[said.index("{") :])[""]["data"]
    assert (code, set(shown)) == (0, {f"data/metrics/{layer}.json" for layer in LAYERS})
    kept = json.loads((clone.root / "data/metrics/model.json").read_text())
    assert shown["data/metrics/model.json"]["data"] == kept


def test_metrics_diff_tells_what_moved(asked: Asked) -> None:
    code, said = asked["metrics diff"]
    moved = json.loads(said[said.index("{") :])
    assert (code, set(moved)) == (0, {"data/metrics/predictions.json", "data/metrics/drift.json"})


def test_plots_are_the_four_that_are_named(asked: Asked) -> None:
    code, said = asked["plots"]
    shown = json.loads(said[said.index("{") :])["data"]
    assert (code, sorted(shown)) == (0, ["ROC", "calibration", "confusion", "importance"])
    assert asked["plots diff"][0] == 0


def test_the_dag_has_the_layers(asked: Asked) -> None:
    code, said = asked["dag"]
    assert code == 0
    assert '"model" -> "predictions"' in said


def test_a_broken_file_fails_its_stage_and_says_why(copied_clone: "Clone") -> None:
    landed = copied_clone.root / "data" / "landing" / "customers" / "2024-03.csv"
    landed.write_bytes(landed.read_bytes().replace(b"tenure", b"tenor", 1))
    done = copied_clone.dvc("repro", "raw")
    assert done.returncode != 0
    assert "raw_customers of 2024-03: refused: customers/2024-03.csv" in done.stdout
    assert "exited with 1" in done.stdout


def test_a_clone_shows_metrics_and_plots_without_a_remote(git_clone: "Callable[[Path], Clone]", tmp_path: Path) -> None:
    fresh = git_clone(tmp_path / "fresh")
    (code, said), (drawn, _) = ask(fresh, "metrics show --json", "plots show --json")
    assert (code, drawn) == (0, 0)
    assert json.loads(said[said.index("{") :])[""]["data"]["data/metrics/model.json"]["data"]
