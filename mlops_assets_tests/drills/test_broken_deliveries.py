"""Bad days of the inbox, rehearsed on a month in service: whatever is delivered, the last good tables stay.

Each drill delivers a spoiled file for a month that was landed, scored by a champion and learned, and runs the real job
again. Nothing is put right in between: what a drill finds is what the drills before it left.
"""

import gzip
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from mlops_assets import operate
from mlops_assets.churn import reading
from mlops_assets.home import Home
from mlops_assets.operate import Ran, System
from mlops_assets.params import Params
from mlops_assets.storage import Layers

BATCH = "2024-05"
KEPT = ("2_validated/validated_*", "3_features", "4_model", "5_predictions", "6_drift", "reports")
LANDING = Path(__file__).parents[2] / "data" / "landing"
LINES = {kind: (LANDING / kind / f"{BATCH}.csv").read_text().splitlines() for kind in ("customers", "outcomes")}
COLUMNS = LINES["customers"][0].split(",")
GOOD = "\n".join(LINES["customers"]).encode()
Edit = Callable[[list[str]], None]


@pytest.fixture(scope="module")
def running(
    copy_home: Callable[[Path], Home], tmp_path_factory: pytest.TempPathFactory, params: Params
) -> Iterator[System]:
    """A home in which the demonstration ran."""
    with operate.system(copy_home(tmp_path_factory.mktemp("drills") / "home"), params) as opened:
        yield opened


def digests(running: System, *below: str) -> dict[str, str]:
    """md5 of every file below those folders of the home."""
    root = running.home.root
    files = (file for pattern in below for top in root.glob(pattern) for file in top.rglob("*") if file.is_file())
    return {str(file.relative_to(root)): hashlib.md5(file.read_bytes()).hexdigest() for file in files}  # noqa: S324


def contract(ran: Ran, asset: str) -> dg.AssetCheckEvaluation:
    """The evaluation of an asset's contract."""
    (found,) = (c for c in ran.checks if (c.asset_key.to_user_string(), c.check_name) == (asset, "contract"))
    return found


def place(running: System, kind: str, put: Callable[[Path], object]) -> None:
    """Put something under the name of the month's file, in place of whatever is there."""
    path = running.home.landing / kind / f"{BATCH}.csv"
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    put(path)


def with_cell(row: int, **cells: str) -> Edit:
    """Other cells in a line."""

    def edit(lines: list[str]) -> None:
        parts = lines[row].split(",")
        for name, cell in cells.items():
            parts[COLUMNS.index(name)] = cell
        lines[row] = ",".join(parts)

    return edit


def spoiled(*edits: Edit) -> bytes:
    """The month's customers after those edits."""
    lines = list(LINES["customers"])
    for edit in edits:
        edit(lines)
    return "\n".join(lines).encode()


# --------------------------------------------------------------------------------------------------- refused as files


def nothing(_: Path) -> None:
    """No file at all."""


def link(path: Path) -> None:
    """A link to a good file."""
    path.symlink_to(LANDING / "customers" / "2024-01.csv")


def oversized(path: Path) -> None:
    """One byte over the limit."""
    with path.open("wb") as file:
        file.truncate((64 << 20) + 1)


def writes(content: bytes) -> Callable[[Path], object]:
    """A file of those bytes."""
    return lambda path: path.write_bytes(content)


def widened(column: bytes) -> bytes:
    """The good file with one more column."""
    header, rows = GOOD.split(b"\n", 1)
    return header + b"," + column + b"\n" + rows.replace(b"\n", b",1\n") + b",1"


REFUSED = {
    "missing": (nothing, "there is no such file. Land it with `mlops land FILE --batch 2024-05`"),
    "empty": (writes(b""), "it is empty. Export it again"),
    "header only": (writes(GOOD.partition(b"\n")[0]), "it has a header and no rows. Export it again"),
    "latin-1": (
        writes(GOOD.replace(b"Mailed check", "Überweisung".encode("latin-1"))),
        "it is not UTF-8 (byte",
    ),
    "UTF-16": (writes(GOOD.decode().encode("utf-16")), "it is UTF-16. Save it as UTF-8"),
    "semicolons": (writes(GOOD.replace(b",", b";")), "separated by semicolons. Export it with commas"),
    "tabs": (writes(GOOD.replace(b",", b"\t")), "separated by tabs. Export it with commas"),
    "bars": (writes(GOOD.replace(b",", b"|")), "separated by bars. Export it with commas"),
    "missing column": (writes(GOOD.replace(b"tenure", b"months", 1)), "columns are missing: tenure"),
    "duplicate column": (writes(widened(b"tenure")), "columns appear twice: 'tenure'. Leave one of each"),
    "column in both forms": (writes(widened(b"gender")), "columns appear twice: 'female'. Leave one of each"),
    "over the limit": (oversized, "it is larger than 64 MiB (landing.max_megabytes in params.yaml)"),
    "link": (link, "it is a symbolic link. Give the file itself"),
    "folder": (Path.mkdir, "it is no regular file. Give a CSV file"),
    "pipe": (os.mkfifo, "it is no regular file. Give a CSV file"),
    "PNG": (writes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), "it is no CSV but binary data. Export it as comma-separated"),
    "JSON": (writes(json.dumps([{"customer_id": "C1"}]).encode()), "is no header of such a table"),
    "HTML": (writes(b"<!DOCTYPE html>\n<html>404</html>"), "is no header of such a table: '<!DOCTYPE html>'"),
    "gzip": (writes(gzip.compress(GOOD, mtime=0)), "Export it as comma-separated text in UTF-8"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_a_file_that_is_no_such_table_is_refused_and_nothing_changes(running: System, fault: str) -> None:
    put, said = REFUSED[fault]
    before = digests(running, "1_raw", "2_validated", *KEPT)
    place(running, "customers", put)
    ran = running.run("score", BATCH)
    check = contract(ran, "raw_customers")
    assert (ran.is_success, check.passed, ran.materialized) == (False, False, {})
    assert str(check.description).startswith(f"refused: customers/{BATCH}.csv: ")
    assert said in str(check.description)
    assert digests(running, "1_raw", "2_validated", *KEPT) == before


def test_a_folder_of_the_inbox_that_is_a_link_is_refused_and_nothing_changes(running: System, tmp_path: Path) -> None:
    before = digests(running, "1_raw", "2_validated", *KEPT)
    folder = running.home.landing / "customers"
    folder.rename(tmp_path / "moved")
    folder.symlink_to(tmp_path / "moved")
    ran = running.run("score", BATCH)
    folder.unlink()
    (tmp_path / "moved").rename(folder)
    assert "this folder of the inbox is a symbolic link. Make it a plain folder" in ran.broken[0]
    assert digests(running, "1_raw", "2_validated", *KEPT) == before


@pytest.mark.parametrize("batch", ["2024-13", "..", "../2024-05", "2024-05/../../x"])
def test_a_batch_that_is_no_month_is_refused_before_anything_runs(running: System, batch: str) -> None:
    before = digests(running, "1_raw", "2_validated", *KEPT)
    with pytest.raises(ValueError, match="is no batch"):
        running.run("score", batch)
    with pytest.raises(ValueError, match="is no batch"):
        running.land(GOOD, file="good.csv", batch=batch)
    assert digests(running, "1_raw", "2_validated", *KEPT) == before


def test_a_stranger_in_the_inbox_is_left_alone_and_hinders_nobody(running: System) -> None:
    (running.home.landing / "customers" / "2024-13.csv").write_bytes(GOOD)
    assert "2024-13" not in running.inbox.batches("customers")
    assert any(line.startswith("customers/2024-13.csv: its name is no month") for line in running.inbox.strangers())


@pytest.mark.parametrize("fault", ["empty", "semicolons", "missing column", "PNG"])
def test_refused_outcomes_leave_the_month_as_mature_as_it_was(running: System, fault: str) -> None:
    before = digests(running, "1_raw", "2_validated", *KEPT)
    content = {
        "empty": b"",
        "semicolons": b"customer_id;churned\nC1;No\n",
        "missing column": b"customer_id,left\nC1,No\n",
        "PNG": b"\x89PNG\r\n\x1a\n\0",
    }[fault]
    place(running, "outcomes", writes(content))
    ran = running.run("learn", BATCH)
    assert str(contract(ran, "raw_outcomes").description).startswith(f"refused: outcomes/{BATCH}.csv: ")
    assert digests(running, "1_raw", "2_validated", *KEPT) == before


# --------------------------------------------------------------------------------------------- too many broken rows


def each(rows: range, edit: Callable[[int], Edit]) -> list[Edit]:
    """An edit for each of the rows."""
    return [edit(row) for row in rows]


def doubled(lines: list[str]) -> None:
    """A tenth of the month is delivered twice."""
    lines += lines[1:41]


def torn(lines: list[str]) -> None:
    """Every ninth line begins with a quote that never ends."""
    lines[1::9] = [f'"{line}' for line in lines[1::9]]


def without_internet(lines: list[str]) -> None:
    """Nobody has internet access any more, but all keep their add-ons."""
    at = COLUMNS.index("internet_service")
    lines[1:] = [",".join([*cells[:at], "No", *cells[at + 1 :]]) for cells in (line.split(",") for line in lines[1:])]


TOO_BROKEN: dict[str, tuple[list[Edit], str, int | None]] = {
    "duplicate ids": ([doubled], "customer_id: appears more than once in the file", 80),
    "text for numbers": (
        each(range(1, 41), lambda row: with_cell(row, tenure="twelve")),
        "tenure: not a whole number",
        40,
    ),
    "negative charges": (
        each(range(1, 41), lambda row: with_cell(row, monthly_charges="-5")),
        "monthly_charges: not greater than or equal to 0",
        40,
    ),
    "services without internet": ([without_internet], "add ons need internet", None),
    "stray quotes": ([torn], "row: does not have as many fields as the header", None),
    "all rows": (
        each(range(1, len(LINES["customers"])), lambda row: with_cell(row, female="unknown")),
        "female: not a whole number",
        len(LINES["customers"]) - 1,
    ),
}


@pytest.mark.parametrize("fault", TOO_BROKEN)
def test_above_the_limit_the_last_good_tables_stay_and_quarantine_says_why(running: System, fault: str) -> None:
    edits, rule, count = TOO_BROKEN[fault]
    before = digests(running, *KEPT)
    place(running, "customers", writes(spoiled(*edits)))
    ran = running.run("score", BATCH)
    assert not ran.is_success
    assert "at most 5.0% may (quality.max_quarantined_share). The last good table stays." in ran.broken[0]
    assert digests(running, *KEPT) == before

    layers: Layers = running.resources["layers"]
    quarantined = layers.read("quarantined_customers", BATCH)
    assert set(quarantined.rules) == {rule}
    assert set(quarantined.source_file) == {f"customers/{BATCH}.csv"}
    raw = layers.read("raw_customers", BATCH).set_index("source_line")
    assert raw.loc[quarantined.source_line].customer_id.tolist() == quarantined.customer_id.tolist()
    assert count in (None, len(quarantined))


def test_a_cut_last_line_is_quarantined_and_the_rest_is_scored(running: System) -> None:
    def cut(lines: list[str]) -> None:
        lines[-1] = lines[-1][:50]

    place(running, "customers", writes(spoiled(cut)))
    ran = running.run("score", BATCH)
    layers: Layers = running.resources["layers"]
    (row,) = layers.read("quarantined_customers", BATCH).to_dict("records")
    assert ran.is_success
    assert (row["source_line"], row["row"]) == (len(LINES["customers"]), LINES["customers"][-1][:50])
    assert len(layers.read("predictions", BATCH)) == len(LINES["customers"]) - 2


# --------------------------------------------------------------------------------------------------------------- news


def test_news_of_every_kind_passes_with_a_warning_and_is_scored(running: System) -> None:
    edits = [with_cell(1, payment_method="Crypto"), with_cell(2, tenure="")]
    edits += each(range(1, len(LINES["customers"])), lambda row: with_cell(row, contract=""))
    lines = spoiled(*edits).decode().splitlines()
    wide = [f"{lines[0]},loyalty", *(f"{line},gold" for line in lines[1:])]
    place(running, "customers", writes(b"\xef\xbb\xbf" + "\r\n".join(wide).encode()))
    ran = running.run("score", BATCH)
    layers: Layers = running.resources["layers"]
    shown = {
        str(record["kind"])
        for check in ran.checks
        if check.check_name == "news" and not check.passed and check.severity is dg.AssetCheckSeverity.WARN
        for table in [check.metadata["news"]]
        if isinstance(table, dg.TableMetadataValue)
        for record in (row.data for row in table.records)
    }
    assert ran.is_success
    assert shown == {"byte order mark", "CRLF line ends", "extra column", "unseen level", "missing values"}
    assert len(layers.read("predictions", BATCH)) == len(lines) - 1
    assert layers.read("customer_features", BATCH).payment_method[0] == "Crypto"


# ----------------------------------------------------------------------------------------------------------- outcomes


def test_outcomes_of_strangers_are_quarantined_and_customers_without_one_stay_unlabelled(running: System) -> None:
    place(running, "customers", writes(GOOD))
    assert running.run("score", BATCH).is_success
    rows = LINES["outcomes"]
    place(running, "outcomes", writes("\n".join([*rows[:200], "C99999,Yes", "S2030-01-00001,No"]).encode()))
    ran = running.run("learn", BATCH)
    layers: Layers = running.resources["layers"]
    quarantined = layers.read("quarantined_outcomes", BATCH)
    assert ran.is_success
    assert quarantined.customer_id.tolist() == ["C99999", "S2030-01-00001"]
    assert set(quarantined.rules) == {"customer_id: no validated customer of this batch"}
    labelled = layers.read("labelled_customers", BATCH)
    assert set(labelled.customer_id) == {row.split(",")[0] for row in rows[1:200]}


def test_the_outcomes_of_another_month_are_refused_as_a_whole(running: System) -> None:
    before = digests(running, *KEPT)
    place(running, "outcomes", writes((LANDING / "outcomes" / "2024-01.csv").read_bytes()))
    ran = running.run("learn", BATCH)
    assert "(100.0%) are quarantined" in ran.broken[0]
    assert digests(running, *KEPT) == before


def test_the_good_files_heal_the_month_with_the_bytes_it_had_at_first(running: System, layers: Layers) -> None:
    for kind in LINES:
        place(running, kind, writes((LANDING / kind / f"{BATCH}.csv").read_bytes()))
    assert [running.run(job, BATCH).broken for job in ("score", "learn")] == [[], []]
    healed: Layers = running.resources["layers"]
    for name in ("raw_customers", "validated_customers", "customer_features", "labelled_customers"):
        assert healed.digest(name, BATCH) == layers.digest(name, BATCH)


def test_a_refusal_reaches_whoever_lands_the_file_by_hand_too(running: System) -> None:
    before = digests(running, "landing", "1_raw", "2_validated", *KEPT)
    with pytest.raises(reading.FileRefused, match=r"mail\.csv: its fields are separated by semicolons"):
        running.land(GOOD.replace(b",", b";"), file="mail.csv", batch=BATCH)
    assert digests(running, "landing", "1_raw", "2_validated", *KEPT) == before
