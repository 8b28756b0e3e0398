"""After CatBoost moved on, a model comes back from the environment that its own commit locks. Needs a package index."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mlops_assets import environments

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops_assets_tests.reproduce.conftest import Site

PROJECT = Path(__file__).resolve().parents[2]
OLDER = "1.2.8"
LOCK, PROJECT_FILE = "requirements.lock", "pyproject.toml"
COMPILE = "pip compile pyproject.toml --group dev --all-extras --universal --generate-hashes --no-emit-index-url"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def moved_on(empty_site: "Callable[[Path], Site]", tmp_path_factory: pytest.TempPathFactory) -> "Site":
    """A site whose models were trained with an older CatBoost; the commit after has the one of today."""
    site = empty_site(tmp_path_factory.mktemp("locked") / "site")
    today = {name: (site.repository / name).read_bytes() for name in (LOCK, PROJECT_FILE)}
    site.change(PROJECT_FILE, "catboost>=1.2.10,", f"catboost>={OLDER},")
    uv = environments.find_uv(PROJECT)
    site.execute(uv, *COMPILE.split(), "--upgrade-package", f"catboost=={OLDER}", "--output-file", LOCK)
    site.commit("Train with an older CatBoost")
    lock = (site.repository / LOCK).read_bytes()
    folder = site.home / "cache" / "environments"
    python = environments.locked(lock, python="3.11", folder=folder, project=PROJECT, tell=print)
    site.with_python(python).mlops("demo", "--sample")
    for name, content in today.items():
        (site.repository / name).write_bytes(content)
    site.commit("Move on to the newer CatBoost")
    return site


def version_one(site: "Site", *options: str) -> Any:  # noqa: ANN401 - JSON
    """What is told of version 1."""
    done = site.reproduce("1", "--json", *options)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)["versions"][0]


def test_the_recorded_environment_gives_the_recorded_bytes(moved_on: "Site") -> None:
    assert moved_on.versions[0].made_with["library.catboost"] == OLDER

    told = version_one(moved_on, "--locked")

    assert told["verdict"] == "BYTES EQUAL"
    assert told["differences"] == []


def test_the_environment_of_today_names_the_library_as_the_first_difference(moved_on: "Site") -> None:
    told = version_one(moved_on)

    first = told["differences"][0]
    assert told["verdict"] != "BYTES EQUAL"
    assert (first["kind"], first["what"], first["recorded"]) == ("library", "library.catboost", OLDER)
