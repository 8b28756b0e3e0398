"""One protocol through Dagster's jobs and through `dvc repro` ends in the same files: the digest is the identity."""

from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.home import Home
from mlops_assets.storage import Layers

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops_assets_tests.graph.conftest import Clone


def made_by_jobs(layers: Layers) -> dict[str, bytes]:
    """Every file of the layers in a home, by path; but for Evidently's, which no two runs draw alike."""
    files = [path for path in layers.root.glob("[1-6]_*/**/*") if path.is_file() and not path.name.startswith(".")]
    named = {str(path.relative_to(layers.root)): path.read_bytes() for path in files}
    return {name: content for name, content in named.items() if "evidently" not in name}


def made_by_dvc(clone: "Clone") -> dict[str, bytes]:
    """Every file of the layers in a clone, by path."""
    return {name: content for name, content in clone.files().items() if name[0].isdigit()}


def test_every_file_of_every_layer_is_the_same_through_both_doors(layers: Layers, clone: "Clone") -> None:
    by_jobs, by_dvc = made_by_jobs(layers), made_by_dvc(clone)
    assert sorted(by_jobs) == sorted(by_dvc)
    assert [name for name in by_jobs if by_jobs[name] != by_dvc[name]] == []


def test_what_a_run_made_dvc_pull_finds(
    demo_home: Home, clone: "Clone", git_clone: "Callable[[Path], Clone]", tmp_path: Path
) -> None:
    fresh = git_clone(tmp_path / "fresh")
    for done in (fresh.dvc("remote", "add", "--local", "-d", "home", str(demo_home.store)), fresh.dvc("pull")):
        assert done.returncode == 0, done.stdout
    assert fresh.files() == clone.files()
    assert fresh.status == ""
