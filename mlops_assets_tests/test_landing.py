"""The inbox: a delivery is there whole or not at all, whatever is killed; and nothing but plain files comes out."""

import csv
import io
import multiprocessing
import os
import shutil
import socket
import sys
from collections.abc import Callable, Mapping
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pandas as pd
import pytest

from mlops_assets import operate
from mlops_assets.churn.cleaning import clean_customers, clean_outcomes
from mlops_assets.churn.reading import FileRefused, read_landed
from mlops_assets.churn.schemas import OUTCOME_COLUMNS, PUBLIC_EXPORT, Customers, fields
from mlops_assets.deliveries import csv_bytes, split
from mlops_assets.home import Home
from mlops_assets.landing import ACCEPTED, KINDS, Inbox, read_plain
from mlops_assets.params import Params

BATCH = "2024-03"  # three of its customers have tenure 0, so no total yet
SAMPLE = Path(__file__).parents[1] / "data" / "landing"
DELIVERY = {kind: (SAMPLE / kind / f"{BATCH}.csv").read_bytes() for kind in KINDS}
FORK = multiprocessing.get_context("fork")


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    """An empty inbox."""
    return Inbox(tmp_path / "landing", 1 << 20)


def landed(inbox: Inbox) -> dict[str, bytes]:
    """What a reader finds of the batch, by kind."""
    return {kind: inbox.read(kind, BATCH) for kind in KINDS}


def hidden(inbox: Inbox) -> list[str]:
    """What lies in the inbox beside the two folders."""
    return sorted(path.name for path in inbox.root.iterdir() if path.name not in KINDS)


def refusal(read: Callable[[], object]) -> str:
    """Why reading is refused."""
    with pytest.raises(FileRefused) as refused:
        read()
    return str(refused.value)


# ----------------------------------------------------------------------------------------------- whole or not at all


def test_a_delivery_comes_out_as_it_went_in_and_leaves_nothing_else(inbox: Inbox) -> None:
    paths = inbox.put(BATCH, DELIVERY)
    assert [path.read_bytes() for path in paths] == list(DELIVERY.values())
    assert landed(inbox) == DELIVERY
    assert hidden(inbox) == []


def test_landing_twice_leaves_the_second(inbox: Inbox) -> None:
    inbox.put(BATCH, DELIVERY)
    second = {kind: content + b"C00000\n" for kind, content in DELIVERY.items()}
    inbox.put(BATCH, second)
    assert landed(inbox) == second
    assert inbox.batches("customers") == [BATCH]


def test_one_kind_alone_leaves_the_other_as_it_was(inbox: Inbox) -> None:
    inbox.put(BATCH, DELIVERY)
    inbox.put(BATCH, {"customers": b"new"})
    assert landed(inbox) == {**DELIVERY, "customers": b"new"}


@pytest.mark.parametrize("moved", [[], ["customers"], ["outcomes"]])
def test_a_delivery_cut_off_on_its_way_is_finished_by_the_next_look(inbox: Inbox, moved: list[str]) -> None:
    inbox.put(BATCH, dict.fromkeys(KINDS, b"old"))
    accepted = inbox.root / f"{ACCEPTED}cut"
    accepted.mkdir()
    for kind, content in DELIVERY.items():
        there = inbox.root / kind / f"{BATCH}.csv" if kind in moved else accepted / f"{kind}@{BATCH}.csv"
        there.write_bytes(content)
    assert landed(inbox) == DELIVERY
    assert hidden(inbox) == []


def test_a_delivery_that_was_never_accepted_is_ignored(inbox: Inbox) -> None:
    inbox.put(BATCH, DELIVERY)
    staged = inbox.root / ".staged-cut"
    staged.mkdir()
    (staged / f"customers@{BATCH}.csv").write_bytes(b"half")
    assert landed(inbox) == DELIVERY
    assert inbox.strangers() == []


def test_an_accepted_folder_moves_nothing_but_the_two_kinds(inbox: Inbox, tmp_path: Path) -> None:
    accepted = inbox.root / f"{ACCEPTED}forged"
    accepted.mkdir(parents=True)
    for name in ("..@stolen.csv", "customers@a@b.csv", "other@2024-03.csv"):
        (accepted / name).write_bytes(b"x")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / f"customers@{BATCH}.csv").write_bytes(b"not yours")
    (inbox.root / f"{ACCEPTED}link").symlink_to(outside)
    inbox.settle()
    assert not (tmp_path / "stolen.csv").exists()
    assert [path.name for path in outside.iterdir()] == [f"customers@{BATCH}.csv"]
    assert inbox.batches("customers") == []


def die_at(call: int, inbox: Inbox, delivery: Mapping[str, bytes]) -> None:
    """Put a delivery and die at so many steps into it, as in a power cut; nothing is cleaned up."""
    left = [call]

    def audit(event: str, _: object) -> None:
        if event in {"os.rename", "os.mkdir", "open", "fcntl.flock", "os.rmdir", "tempfile.mkstemp"}:
            left[0] -= 1
            if left[0] < 0:
                os._exit(9)

    # Python tells an audit hook before it opens, makes, renames or locks; a hook cannot be taken off, hence the fork.
    sys.addaudithook(audit)
    inbox.put(BATCH, delivery)
    os._exit(0)


def test_a_process_killed_at_any_step_leaves_the_old_delivery_or_the_new(inbox: Inbox) -> None:
    old, new = dict.fromkeys(KINDS, b"old"), dict.fromkeys(KINDS, b"new")
    seen: list[dict[str, bytes]] = []
    for call in range(100):
        shutil.rmtree(inbox.root, ignore_errors=True)
        inbox.put(BATCH, old)
        process = FORK.Process(target=die_at, args=(call, inbox, new))
        process.start()
        process.join()
        seen.append(landed(inbox))
        if process.exitcode == 0:
            break
    assert process.exitcode == 0, "it was killed at every step"
    turn = seen.index(new)
    assert seen == [old] * turn + [new] * (len(seen) - turn)
    assert 3 < turn < len(seen) - 3, "it was killed on both sides of the commit"


def put_often(inbox: Inbox, mark: str, rounds: int, gate: Barrier) -> None:
    """Put a delivery full of `mark`, in each round at once with the other process."""
    for number in range(rounds):
        gate.wait(20)
        inbox.put(BATCH, dict.fromkeys(KINDS, f"{mark}{number}".encode()))
        gate.wait(20)
        gate.wait(20)  # until it was looked at


def test_two_processes_that_land_at_once_leave_one_whole_delivery(inbox: Inbox) -> None:
    rounds, gate = 30, FORK.Barrier(3)
    processes = [FORK.Process(target=put_often, args=(inbox, mark, rounds, gate), daemon=True) for mark in "AB"]
    for process in processes:
        process.start()
    for number in range(rounds):
        gate.wait(20)
        gate.wait(20)
        found = landed(inbox)
        assert found["customers"] == found["outcomes"]
        assert found["customers"] in {f"A{number}".encode(), f"B{number}".encode()}
        assert hidden(inbox) == []
        gate.wait(20)
    for process in processes:
        process.join()


# ------------------------------------------------------------------------------------------------- what may be read


@pytest.mark.parametrize("batch", ["2024-13", "../2024-03", "2024-03/../../x", "2024-3", "", "2024-03\n"])
def test_a_name_that_is_no_month_is_neither_read_nor_written(inbox: Inbox, batch: str) -> None:
    with pytest.raises(ValueError, match="is no batch"):
        inbox.read("customers", batch)
    with pytest.raises(ValueError, match="is no batch"):
        inbox.put(batch, DELIVERY)
    assert hidden(inbox) == []
    assert sorted(path.name for path in inbox.root.parent.iterdir()) == ["landing"]


def test_a_missing_file_is_refused_with_the_command_that_lands_it(inbox: Inbox) -> None:
    message = refusal(lambda: inbox.read("customers", BATCH))
    assert message == f"customers/{BATCH}.csv: there is no such file. Land it with `mlops land FILE --batch {BATCH}`."


def test_a_link_in_the_inbox_is_refused_whatever_it_points_to(inbox: Inbox, tmp_path: Path) -> None:
    inbox.put(BATCH, DELIVERY)
    target = tmp_path / "secret.csv"
    target.write_bytes(DELIVERY["customers"])
    link = inbox.root / "customers" / f"{BATCH}.csv"
    link.unlink()
    link.symlink_to(target)
    message = refusal(lambda: inbox.read("customers", BATCH))
    assert message.startswith(f"customers/{BATCH}.csv: it is a symbolic link. Give the file itself")


def test_a_folder_of_the_inbox_that_is_a_link_is_neither_read_nor_written(inbox: Inbox, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / f"{BATCH}.csv").write_bytes(b"theirs")
    inbox.root.mkdir()
    (inbox.root / "customers").symlink_to(elsewhere)
    for look in (lambda: inbox.read("customers", BATCH), lambda: inbox.put(BATCH, DELIVERY)):
        assert "customers/: this folder of the inbox is a symbolic link. Make it a plain folder" in refusal(look)
    assert (elsewhere / f"{BATCH}.csv").read_bytes() == b"theirs"
    assert hidden(inbox) == []


def test_a_link_that_replaced_a_file_is_replaced_and_not_followed(inbox: Inbox, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_bytes(b"keep")
    inbox.put(BATCH, DELIVERY)
    link = inbox.root / "customers" / f"{BATCH}.csv"
    link.unlink()
    link.symlink_to(target)
    inbox.put(BATCH, DELIVERY)
    assert target.read_bytes() == b"keep"
    assert landed(inbox) == DELIVERY


def make_pipe(path: Path) -> None:
    """A pipe that nobody writes to: opening it plainly would wait for ever."""
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    """A socket's name."""
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(path))


@pytest.mark.parametrize("make", [make_pipe, make_socket, Path.mkdir])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "2024-03.csv"
    make(path)
    message = refusal(lambda: read_plain(path, name="drop.csv", max_bytes=10))
    assert message.startswith("drop.csv: it ")
    assert "is no regular file. Give a CSV file." in message or "cannot be opened" in message


def test_a_file_of_the_limit_is_read_and_one_byte_more_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    path.write_bytes(b"x" * (2 << 20))
    assert len(read_plain(path, name="large.csv", max_bytes=2 << 20)) == 2 << 20
    message = refusal(lambda: read_plain(path, name="large.csv", max_bytes=(2 << 20) - 1))
    assert "it is larger than 2 MiB (landing.max_megabytes in params.yaml)" in message


def test_strangers_are_named_with_what_to_do_and_left_alone(inbox: Inbox) -> None:
    inbox.put(BATCH, DELIVERY)
    for name in ("customers/2024-13.csv", "customers/march.csv", "outcomes/2024-03.CSV", "2024-03.csv"):
        (inbox.root / name).write_bytes(b"x")
    (inbox.root / "customers" / ".2024-04.csv.tmp").write_bytes(b"being written")
    strangers = inbox.strangers()
    assert [line.split(": ")[0] for line in strangers] == [
        "2024-03.csv",
        "customers/2024-13.csv",
        "customers/march.csv",
        "outcomes/2024-03.CSV",
    ]
    assert all("mlops land" in line for line in strangers)
    assert (inbox.batches("customers"), inbox.batches("outcomes")) == ([BATCH], [BATCH])


# --------------------------------------------------------------------------------- one file in either form, or for both


def text(kind: str) -> pd.DataFrame:
    """The month's landed file of a kind, as text."""
    return pd.read_csv(io.BytesIO(DELIVERY[kind]), dtype=str, keep_default_na=False)


def public_export(rows: pd.DataFrame) -> bytes:
    """Our rows as the original public export spells them."""
    words = {ours: {str(n): word for word, n in says.items()} for ours, (_, says) in PUBLIC_EXPORT.items()}
    table = pd.DataFrame({theirs: rows[ours].replace(words[ours]) for ours, (theirs, _) in PUBLIC_EXPORT.items()})
    return csv_bytes(table.assign(TotalCharges=table.TotalCharges.replace("", " ")))


def both() -> pd.DataFrame:
    """Customers with their outcomes, in our form."""
    return text("customers").merge(text("outcomes"), on="customer_id")


def validated(files: Mapping[str, bytes]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Validated customers and outcomes of a delivery, none of it quarantined."""
    customers = clean_customers(read_landed(files["customers"], file="c", columns=fields(Customers)).rows)
    outcomes = clean_outcomes(
        read_landed(files["outcomes"], file="o", columns=OUTCOME_COLUMNS).rows, known=customers.good.customer_id
    )
    assert (len(customers.quarantined), len(outcomes.quarantined)) == (0, 0)
    return customers.good, outcomes.good


def test_the_public_export_has_its_own_names_words_and_blanks() -> None:
    header, *rows = csv.reader(io.StringIO(public_export(both()).decode()))
    assert header[:3] == ["customerID", "gender", "SeniorCitizen"]
    assert header[-2:] == ["TotalCharges", "Churn"]
    assert {row[1] for row in rows} == {"Male", "Female"}
    assert {row[-1] for row in rows} == {"Yes", "No"}
    assert sum(row[-2] == " " for row in rows) == 3


@pytest.mark.parametrize("form", [public_export, csv_bytes], ids=["public export", "our form"])
def test_a_file_with_both_is_split_into_what_our_own_two_files_say(form: Callable[[pd.DataFrame], bytes]) -> None:
    files = split(form(both()), file="export.csv")
    assert list(files) == list(KINDS)
    for ours, theirs in zip(validated(DELIVERY), validated(files), strict=True):
        pd.testing.assert_frame_equal(theirs, ours)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_with_one_kind_stays_as_it_is_byte_by_byte(kind: str) -> None:
    content = b"\xef\xbb\xbf" + DELIVERY[kind].replace(b"\n", b"\r\n")
    assert split(content, file="export.csv") == {kind: content}


def test_assignments_go_with_the_outcomes_and_foreign_columns_with_the_customers() -> None:
    rows = both().assign(assignment="control", assignment_chance="0.1", loyalty="gold")
    files = split(csv_bytes(rows), file="export.csv")
    assert files["outcomes"].splitlines()[0] == b"customer_id,churned,assignment,assignment_chance"
    assert files["customers"].splitlines()[0].endswith(b",total_charges,loyalty")


def test_a_cut_row_of_a_file_with_both_is_whole_in_neither_part_and_keeps_its_line() -> None:
    content = csv_bytes(both()).splitlines()
    content[5] = content[5].rpartition(b",")[0]  # it has every column of a customer, and lost its outcome
    files = split(b"\n".join([*content[:3], b"", *content[3:]]), file="export.csv")
    for kind, columns in (("customers", fields(Customers)), ("outcomes", OUTCOME_COLUMNS)):
        rows = read_landed(files[kind], file=kind, columns=columns).rows
        assert rows.source_line[rows.source_text.notna()].tolist() == [7]


@pytest.mark.parametrize("lost", ["tenure", "customer_id", "contract"])
def test_a_file_with_outcomes_and_some_columns_of_customers_is_refused_and_not_taken_for_outcomes(lost: str) -> None:
    content = csv_bytes(both().drop(columns=lost))
    assert f"columns are missing: {lost} (or {PUBLIC_EXPORT[lost][0]})" in refusal(lambda: split(content, file="a.csv"))


def test_a_file_of_neither_kind_is_refused() -> None:
    content = csv_bytes(text("customers")[["customer_id"]])
    assert "columns are missing: female" in refusal(lambda: split(content, file="a.csv"))


def tables_of(home: Home, params: Params, *files: bytes) -> list[str]:
    """Digests of the tables that come of landing those files as one month, scoring it and learning it."""
    with operate.system(home, params) as running:
        for content in files:
            running.land(content, file="export.csv", batch=BATCH)
        assert [running.run(job, BATCH).broken for job in ("score", "learn")] == [[], []]
        made = running.resources["layers"]
        names = ("validated_customers", "validated_outcomes", "customer_features", "labelled_customers")
        return [made.digest(name, BATCH) for name in names]


def test_the_public_export_lands_and_runs_to_the_very_tables_of_our_own_form(tmp_path: Path, params: Params) -> None:
    ours = tables_of(Home(tmp_path / "ours"), params, *DELIVERY.values())
    theirs = tables_of(Home(tmp_path / "theirs"), params, public_export(both()))
    assert theirs == ours
