"""Simulations in processes of their own, and what a home holds in the end."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.history import Crowned, Judged
from mlops_assets.home import PROJECT, Home, history_of
from mlops_assets.storage import Layers
from mlops_assets.tables import TABLES

PATIENCE = 900  # seconds: several people may share the machine
MLOPS = "from mlops_assets.cli import main; main()"


@dataclass(frozen=True, slots=True)
class End:
    """The end state of a home: the champion, every table's digest by its path, and the verdicts in turn."""

    champion: str
    tables: dict[str, str]
    verdicts: list[tuple[str, str]]
    champions: list[str]


@dataclass(frozen=True, slots=True)
class Simulated:
    """A simulation that was played to its end: its home, and what was told of each month."""

    home: Home
    months: list[dict[str, Any]]

    def verdicts(self, gate: str) -> list[str | None]:
        """What `drift` or `outcomes` said in each month."""
        return [month[gate] for month in self.months]

    @property
    def trained(self) -> list[str]:
        """The causes of all trainings."""
        return [cause for month in self.months for cause in month["trained"]]

    @property
    def promoted(self) -> list[int]:
        """The versions that became champion."""
        return [month["promoted"] for month in self.months if month["promoted"]]

    @property
    def alerts(self) -> list[str]:
        """What a person was told."""
        return [title for month in self.months for title in month["alerts"]]


Simulate = Callable[..., Simulated]


@pytest.fixture(scope="session")
def command() -> list[str]:
    """The `mlops` command of this working tree."""
    return [sys.executable, "-W", "ignore", "-c", MLOPS]


@pytest.fixture(scope="session")
def simulated(
    tmp_path_factory: pytest.TempPathFactory,
    copy_sampled: Callable[[Path], Home],
    command: list[str],
    environment: Callable[..., dict[str, str]],
) -> Simulate:
    """Plays a scenario in a home of its own, after the sample months."""

    def play(scenario: str, *, months: int, options: Sequence[str] = (), **more: str) -> Simulated:
        folder = tmp_path_factory.mktemp("simulated") / "home"
        home = Home(folder) if "panel" in options else copy_sampled(folder)  # a panel has a sample of its own
        done = subprocess.run(
            [*command, "simulate", "--scenario", scenario, "--months", str(months), "--json", *options],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
            env=environment(home, more),
            cwd=PROJECT,
        )
        assert done.returncode == 0, done.stderr
        return Simulated(home, json.loads(done.stdout)["months"])

    return play


@pytest.fixture(scope="session")
def end() -> Callable[[Home], End]:
    """The end state of a home."""

    def read(home: Home) -> End:
        layers, history = Layers(home.layers), history_of(home)
        return End(
            champion=str(layers.read("champion").model_md5.iloc[0]),
            tables={
                f"{name}/{file}": digest
                for name, table in TABLES.items()
                if (layers.root / table.folder).is_dir()
                for file, digest in layers.listing(name).items()
            },
            verdicts=[(one.batch, one.verdict_md5) for one in history.read(Judged)],
            champions=[one.model_md5 for one in history.read(Crowned)],
        )

    return read
