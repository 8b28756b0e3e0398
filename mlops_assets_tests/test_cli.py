"""The `mlops` command says what it did and what comes next, and ends with the exit code it promises."""

import csv
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.cli import FORMULA, formula_safe, main
from mlops_assets.home import Home
from mlops_assets.landing import KINDS

PROJECT = Path(__file__).parents[1]
SAMPLE = PROJECT / "data" / "landing"
BATCH = "2024-01"
Mlops = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home in which nothing has happened yet."""
    return Home(tmp_path / "home")


@pytest.fixture
def mlops(home: Home) -> Mlops:
    """Calls the command in this process."""
    runner = CliRunner()
    return lambda *arguments: runner.invoke(main, list(map(str, arguments)), env={"MLOPS_HOME": str(home.root)})


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mlops]:
    """Calls the command in the home of a month that was landed and scored with it."""
    runner, home = CliRunner(), tmp_path_factory.mktemp("scored")

    def call(*arguments: object) -> Result:
        return runner.invoke(main, list(map(str, arguments)), env={"MLOPS_HOME": str(home)})

    assert call("land", SAMPLE / "customers" / f"{BATCH}.csv", "--batch", BATCH).exit_code == 0
    yield call
    assert (home / "2_validated").is_dir()


def lines(result: Result) -> list[str]:
    """What went to stdout."""
    return result.stdout.splitlines()


def in_one_file(tmp_path: Path) -> Path:
    """Customers and outcomes of the month in one file."""
    customers, outcomes = (
        pd.read_csv(SAMPLE / kind / f"{BATCH}.csv", dtype=str, keep_default_na=False) for kind in KINDS
    )
    path = tmp_path / "export of march.csv"
    customers.merge(outcomes, on="customer_id").to_csv(path, index=False)
    return path


# ------------------------------------------------------------------------------------------------------------- land


def test_land_says_what_landed_where_and_what_comes_next(mlops: Mlops, home: Home) -> None:
    result = mlops("land", SAMPLE / "customers" / f"{BATCH}.csv", "--batch", BATCH)
    assert result.exit_code == 0
    assert lines(result) == [f"landed customers of {BATCH} in {home.landing}", f"next: mlops score {BATCH}"]


def test_land_keeps_the_bytes_of_a_file_with_one_kind(mlops: Mlops, home: Home) -> None:
    source = SAMPLE / "customers" / f"{BATCH}.csv"
    mlops("land", source, "--batch", "2031-12")
    assert (home.landing / "customers" / "2031-12.csv").read_bytes() == source.read_bytes()


def test_land_splits_a_file_with_both_kinds(mlops: Mlops, home: Home, tmp_path: Path) -> None:
    result = mlops("land", in_one_file(tmp_path), "--batch", BATCH)
    assert lines(result)[0].startswith(f"landed customers and outcomes of {BATCH}")
    assert lines(result)[1] == f"next: mlops score {BATCH}, then mlops learn {BATCH}"
    assert all((home.landing / kind / f"{BATCH}.csv").is_file() for kind in KINDS)


@pytest.mark.parametrize("batch", ["2024-13", "2024-1", "../2024-01", "today", "2024-01/../../x", ""])
def test_land_refuses_a_batch_that_is_no_month(mlops: Mlops, home: Home, batch: str) -> None:
    result = mlops("land", SAMPLE / "customers" / f"{BATCH}.csv", "--batch", batch)
    assert result.exit_code == 2
    assert f"refused: {batch!r} is no batch: a batch is a month written YYYY-MM, such as 2024-07." in result.stderr
    assert not home.landing.exists()


def link(path: Path) -> None:
    """A link to a good file."""
    path.symlink_to(SAMPLE / "customers" / f"{BATCH}.csv")


def nothing(_: Path) -> None:
    """There is no file."""


def oversized(path: Path) -> None:
    """One byte over the limit of params.yaml; sparse, so it takes no room."""
    with path.open("wb") as file:
        file.truncate((64 << 20) + 1)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (nothing, "there is no such file"),
        (Path.mkdir, "it is no regular file. Give a CSV file."),
        (os.mkfifo, "it is no regular file. Give a CSV file."),
        (link, "it is a symbolic link. Give the file itself"),
        (oversized, "it is larger than 64 MiB (landing.max_megabytes in params.yaml)"),
        (lambda path: path.write_bytes(b""), "it is empty"),
        (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n\0"), "it is no CSV but binary data"),
        (lambda path: path.write_text("<html></html>"), "is no header of such a table: '<html></html>'"),
        (lambda path: path.write_text("customer_id;tenure\nC1;3\n"), "separated by semicolons. Export it with commas"),
        (lambda path: path.write_text("customer_id,churned\n"), "it has a header and no rows"),
        (lambda path: path.write_text("customer_id,tenure\nC1,3\n"), "columns are missing: female (or gender)"),
    ],
    ids=["missing", "folder", "pipe", "link", "size", "empty", "PNG", "HTML", "semicolons", "no rows", "columns"],
)
def test_land_refuses_a_file_by_its_path_and_leaves_the_inbox_as_it_was(
    mlops: Mlops, home: Home, tmp_path: Path, make: Callable[[Path], object], said: str
) -> None:
    path = tmp_path / "drop.csv"
    make(path)
    result = mlops("land", path, "--batch", BATCH)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"refused: {path}: ")
    assert said in result.stderr
    assert result.stdout == ""
    assert not home.landing.exists()


# ---------------------------------------------------------------------------------------------------- inbox and deal


def test_inbox_lists_months_and_kinds_and_names_strangers(mlops: Mlops, home: Home) -> None:
    for month, kind in (
        ("2024-02", "customers"),
        ("2024-01", "customers"),
        ("2024-01", "outcomes"),
        ("2024-03", "outcomes"),
    ):
        mlops("land", SAMPLE / kind / f"{month}.csv", "--batch", month)
    result = mlops("inbox")
    assert lines(result) == ["2024-01  customers  outcomes", "2024-02  customers", "2024-03  outcomes"]
    assert (result.exit_code, result.stderr) == (0, "")

    (home.landing / "customers" / "january.csv").write_bytes(b"x")
    result = mlops("inbox")
    assert result.exit_code == 1
    assert "left alone: customers/january.csv: its name is no month. Rename it to YYYY-MM.csv" in result.stderr


def test_deal_lands_the_next_month_and_the_outcomes_of_the_one_before(mlops: Mlops, home: Home) -> None:
    mlops("land", SAMPLE / "customers" / "2024-06.csv", "--batch", "2024-06")
    assert lines(mlops("deal")) == ["landed 2024-07; next: mlops score 2024-07"]
    assert lines(mlops("inbox")) == ["2024-06  customers  outcomes", "2024-07  customers"]
    ids = [
        pd.read_csv(home.landing / kind / f"{month}.csv").customer_id.tolist()
        for kind, month in (("customers", "2024-06"), ("outcomes", "2024-06"), ("customers", "2024-07"))
    ]
    assert sorted(ids[0]) == sorted(ids[1])
    assert not set(ids[0]) & set(ids[2])


def test_dealing_month_by_month_and_all_at_once_is_the_same(mlops: Mlops, home: Home) -> None:
    dealt: list[dict[str, bytes]] = []
    for months in ([3], [1, 2]):
        shutil.rmtree(home.landing, ignore_errors=True)
        mlops("land", SAMPLE / "customers" / "2024-06.csv", "--batch", "2024-06")
        for count in months:
            mlops("deal", "--months", count, "--rows", 50)
        dealt.append({str(path.relative_to(home.landing)): path.read_bytes() for path in home.landing.rglob("*.csv")})
    assert dealt[0] == dealt[1]
    assert len(dealt[0]) == 4 + 3


@pytest.mark.parametrize("option", [("--months", 0), ("--rows", 0), ("--months", "many")])
def test_deal_refuses_what_is_no_count(mlops: Mlops, option: tuple[str, object]) -> None:
    assert mlops("deal", *option).exit_code == 2


# ------------------------------------------------------------------------------------------------------------ running


def test_score_gives_a_line_per_table_and_says_what_abstains(scored: Mlops) -> None:
    result = scored("score", BATCH)
    assert result.exit_code == 0
    tables = ["raw_customers", "quarantined_customers", "validated_customers", "customer_features"]
    assert [line.partition(":")[0] for line in lines(result)][:5] == [*tables, "predictions"]
    assert "predictions: abstains: there is no champion yet" in result.stdout


def test_a_month_that_never_landed_stops_with_the_command_that_lands_it(scored: Mlops) -> None:
    result = scored("score", "2024-05")
    assert result.exit_code == 1
    assert "stopped: raw_customers: refused: customers/2024-05.csv: there is no such file." in result.stderr
    assert "mlops land FILE --batch 2024-05" in result.stderr


@pytest.mark.parametrize("command", ["score", "learn", "rescore", "export", "report"])
def test_every_command_refuses_a_batch_that_is_no_month(scored: Mlops, command: str) -> None:
    result = scored(command, "2024-13")
    assert result.exit_code == 2
    assert "refused: '2024-13' is no batch" in result.stderr


def test_parameters_that_cannot_be_used_are_refused_by_key(tmp_path: Path, home: Home) -> None:
    path = tmp_path / "params.yaml"
    path.write_text((PROJECT / "params.yaml").read_text().replace("max_megabytes: 64", "max_megabytes: 0"))
    env = {"MLOPS_HOME": str(home.root), "MLOPS_PARAMS": str(path)}
    result = CliRunner().invoke(main, ["inbox"], env=env)
    assert result.exit_code == 2
    assert "landing.max_megabytes" in result.stderr


# ------------------------------------------------------------------------------------------------------------- export


def test_export_without_predictions_says_what_to_do(scored: Mlops) -> None:
    result = scored("export", BATCH)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: predictions of batch {BATCH} is not there")
    assert "Materialize it first" in result.stderr


@pytest.mark.parametrize("start", FORMULA)
def test_a_cell_that_starts_like_a_formula_is_made_text(start: str) -> None:
    header, row = csv.reader(
        io.StringIO(formula_safe(["reason"], [[f"{start}cmd|' /C calc'!A0"]]).decode(), newline="")
    )
    assert header == ["reason"]
    assert row == [f"'{start}cmd|' /C calc'!A0"]


@given(rows=st.lists(st.lists(st.one_of(st.text(max_size=8), st.floats(0, 1)), min_size=2, max_size=2), max_size=5))
def test_no_cell_of_an_export_is_run_by_a_spreadsheet(rows: list[list[object]]) -> None:
    _, *written = csv.reader(io.StringIO(formula_safe(["a", "b"], rows).decode(), newline=""))
    assert [len(row) for row in written] == [2] * len(rows)
    assert not [cell for row in written for cell in row if cell.startswith(FORMULA)]


# --------------------------------------------------------------------------------------------------- as a real process

SCRIPT = shutil.which("mlops", path=str(Path(sys.executable).parent))


@pytest.mark.skipif(SCRIPT is None, reason="the package is not installed, so it has no console script")
def test_the_installed_command_lands_and_scores_in_processes_of_its_own(home: Home, tmp_path: Path) -> None:
    def call(*arguments: object) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "MLOPS_HOME": str(home.root)}
        command = [str(SCRIPT), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=env, cwd=tmp_path, timeout=120)

    assert call("land", in_one_file(tmp_path), "--batch", BATCH).returncode == 0
    scored = call("score", BATCH)
    assert (scored.returncode, scored.stderr) == (0, "")
    assert "validated_customers: 392 rows" in scored.stdout
    refused = call("land", "/dev/zero", "--batch", BATCH)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == "refused: /dev/zero: it is no regular file. Give a CSV file.\n"
