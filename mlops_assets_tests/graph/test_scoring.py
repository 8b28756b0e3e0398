"""Scoring trains nothing and leans on nothing but the champion on disk: it works with the registry gone."""

import json
import shutil
import subprocess
from collections.abc import Callable

from mlops_assets.home import Home
from mlops_assets.operate import System
from mlops_assets.storage import Layers

RESCORE = """
import json, sys
from mlops_assets.operate import system
from mlops_assets.home import home_from_environment
from mlops_assets.resources import params_from_environment
with system(home_from_environment(), params_from_environment()) as running:
    ran = running.run("rescore", "2024-06")
loaded = [name for name in ("mlflow", "dagster_mlflow") if name in sys.modules]
print(json.dumps({"is_success": ran.is_success, "loaded": loaded}))
"""


def test_scoring_works_with_the_registry_gone_and_imports_no_mlflow(
    copied_home: Home, layers: Layers, python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    shutil.rmtree(copied_home.mlflow)
    there = Layers(copied_home.layers)
    there.path("predictions", "2024-06").unlink()
    done = python(copied_home, "-c", RESCORE)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"is_success": True, "loaded": []}
    assert not copied_home.mlflow.exists()
    assert there.digest("predictions", "2024-06") == layers.digest("predictions", "2024-06")


def test_a_champion_whose_model_was_tampered_with_scores_nobody(copied: System, layers: Layers) -> None:
    there = copied.resources["layers"]
    (model,) = there.path("champion").parent.glob("*.cbm")
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    ran = copied.run("rescore", "2024-06")
    assert not ran.is_success
    assert str(model) in ran.broken[0]
    assert there.digest("predictions", "2024-06") == layers.digest("predictions", "2024-06")


def test_a_customers_score_and_reasons_do_not_depend_on_the_order_of_the_file(copied: System, layers: Layers) -> None:
    header, *rows = copied.inbox.read("customers", "2024-06").splitlines(keepends=True)
    copied.inbox.put("2024-07", {"customers": header + b"".join(reversed(rows))})
    assert copied.run("score", "2024-07").is_success
    turned = copied.resources["layers"].read("predictions", "2024-07")
    assert turned[::-1].reset_index(drop=True).equals(layers.read("predictions", "2024-06"))
