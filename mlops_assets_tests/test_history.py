"""The history: appended to and never changed, by many processes at once, some of which are killed."""

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.files import md5
from mlops_assets.history import FILES, Crowned, History, Judged, Made, Registered, Unrecorded
from mlops_assets.store import Store

texts = st.text(max_size=12)
digests = st.from_regex(r"[0-9a-f]{32}", fullmatch=True)
makings = st.builds(
    Made,
    asset=texts,
    batch=st.none() | texts,
    md5=digests,
    size_bytes=st.integers(0, 2**60),
    rows=st.integers(0, 2**40),
    files=st.dictionaries(texts, digests, max_size=3),
    folder=digests,
    inputs=st.dictionaries(texts, digests, max_size=3),
    run_id=texts,
    job=texts,
    when=st.just(""),
)

WRITER = """
import sys
from pathlib import Path
from mlops_assets.files import md5
from mlops_assets.history import History, Made, Registered
from mlops_assets.store import Store

history, writer, count = History(Path(sys.argv[1]), Store(Path(sys.argv[1]))), sys.argv[2], int(sys.argv[3])
for turn in range(count):
    digest = md5(f"{writer} {turn}".encode())
    history.add(Made(writer, None, digest, turn, 0, {}, "", {"a": "b" * 9000}, "", ""))
    history.register(Registered("all", digest, "", "", "", "", {}, "", "", {}, "", None))
    print(turn, flush=True)
"""


@contextmanager
def fresh() -> Iterator[History]:
    """A history that is empty; hypothesis wants one for each example."""
    with tempfile.TemporaryDirectory() as folder:
        yield History(Path(folder), Store(Path(folder)))


@pytest.fixture
def history(tmp_path: Path) -> History:
    """A history that is empty."""
    return History(tmp_path / "history", Store(tmp_path / "store"))


def write(history: History, writer: str, count: int) -> "subprocess.Popen[str]":
    """A process that appends and registers, and prints the turns it has done."""
    command: list[Any] = [sys.executable, "-c", WRITER, history.root, writer, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def made(asset: str = "a", **more: Any) -> Made:
    return replace(Made(asset, None, md5(asset.encode()), 1, 1, {}, "", {}, "", ""), **more)


def registered(content: str) -> Registered:
    return Registered("all", md5(content.encode()), "2024-05", "", "", "", {}, "", "", {}, "", None)


def crowned(champion: str) -> Crowned:
    return Crowned("m", "all", "2024-05", champion, "", "", "")


@settings(max_examples=40)  # every one is flushed to the disk
@given(st.lists(makings, max_size=5))
def test_what_is_told_comes_back_in_order_whatever_its_text(told: list[Made]) -> None:
    with fresh() as history:
        for record in told:
            history.add(record)
        assert [replace(record, when="") for record in history.read(Made)] == told


@settings(max_examples=40)  # every one is flushed to the disk
@given(st.lists(makings, min_size=1, max_size=4))
def test_what_was_written_is_never_changed(told: list[Made]) -> None:
    with fresh() as history:
        before = b""
        for record in told:
            history.add(record)
            after = (history.root / FILES[Made]).read_bytes()
            assert after.startswith(before)
            before = after


@settings(max_examples=40)  # every one is flushed to the disk
@given(st.lists(makings, min_size=1, max_size=3), st.data())
def test_a_file_cut_anywhere_keeps_the_whole_records_and_takes_the_next(told: list[Made], data: st.DataObject) -> None:
    with fresh() as history:
        for record in told:
            history.add(record)
        path = history.root / FILES[Made]
        content = path.read_bytes()
        at = data.draw(st.integers(0, len(content)))
        # A line that lacks nothing but its end is whole.
        whole = history.read(Made)[: content[: at + 1].count(b"\n")]
        path.write_bytes(content[:at])
        kept = history.read(Made)
        history.add(told[0])

        assert kept == whole
        assert history.read(Made)[:-1] == kept
        assert replace(history.read(Made)[-1], when="") == told[0]


def test_zeros_that_a_power_cut_left_are_no_record(history: History) -> None:
    history.add(made("before"))
    with (history.root / FILES[Made]).open("ab") as file:
        file.write(b"\0" * 100)
    history.add(made("after"))
    assert [record.asset for record in history.read(Made)] == ["before", "after"]


def test_a_field_that_a_later_version_writes_is_ignored(history: History) -> None:
    history.add(made())
    path = history.root / FILES[Made]
    path.write_text(json.dumps({**json.loads(path.read_text()), "colour": "red"}) + "\n")
    assert [record.asset for record in history.read(Made)] == ["a"]


def test_a_record_has_the_time_in_utc(history: History) -> None:
    history.add(made())
    assert history.read(Made)[0].when.endswith("+00:00")


def test_an_empty_history_is_read_as_empty_and_not_made_by_that(history: History) -> None:
    assert not any((history.read(Made), history.read(Registered), history.read(Judged), history.read(Crowned)))
    assert not history.root.exists()


def test_versions_count_from_one_and_a_model_keeps_its_number(history: History) -> None:
    assert [history.register(registered(model)) for model in ("a", "b", "a", "c", "b")] == [1, 2, 1, 3, 2]


def test_a_registered_model_is_found_by_its_digest_and_another_is_not(history: History) -> None:
    history.register(registered("a"))
    found = history.find(md5(b"a"))
    assert found is not None
    assert found.version == 1
    assert history.find(md5(b"b")) is None


def test_a_torn_registration_leaves_no_gap_and_no_number_twice(history: History) -> None:
    history.register(registered("a"))
    with (history.root / FILES[Registered]).open("ab") as file:
        file.write(b'{"version": 2, "model_md5": "')
    assert [history.register(registered(model)) for model in ("b", "c")] == [2, 3]


def test_a_champion_is_told_once_while_it_scores_and_again_when_it_comes_back(history: History) -> None:
    for champion in ("a", "a", "b", "a"):
        history.add(crowned(champion))
    assert [record.champion for record in history.read(Crowned)] == ["a", "b", "a"]


def test_ten_processes_at_once_lose_and_tear_no_line_and_share_no_number(history: History) -> None:
    processes = [write(history, f"writer{place}", 20) for place in range(10)]
    assert [process.wait(60) for process in processes] == [0] * 10

    raw = (history.root / FILES[Made]).read_bytes().splitlines()
    by_writer = {f"writer{place}": list(range(20)) for place in range(10)}
    seen = {writer: [m.size_bytes for m in history.read(Made) if m.asset == writer] for writer in by_writer}
    assert len(raw) == len([json.loads(line) for line in raw]) == 200
    assert seen == by_writer
    assert [version.version for version in history.read(Registered)] == list(range(1, 201))


@pytest.mark.parametrize("turns", [1, 4, 9, 25])
def test_a_process_killed_while_it_appends_leaves_a_history_that_is_read_and_written_on(
    history: History, turns: int
) -> None:
    process = write(history, "killed", 100_000)
    assert process.stdout
    for _ in range(turns):
        done = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.wait()

    kept = [record.size_bytes for record in history.read(Made)]
    history.add(made("after"))
    assert kept == list(range(len(kept)))
    assert len(kept) > done
    assert history.read(Made)[-1].asset == "after"
    assert history.register(registered("after")) == len(history.read(Registered))


def test_a_disk_that_fills_up_in_the_middle_of_a_line_is_an_error_and_harms_no_other_record(history: History) -> None:
    history.add(made("before"))
    limit = (history.root / FILES[Made]).stat().st_size + 1000
    full = f"import resource, signal; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
    ignore = "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    command: list[Any] = [sys.executable, "-c", full + ignore + WRITER, history.root, "full", "1"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    torn = (history.root / FILES[Made]).stat().st_size == limit
    history.add(made("after"))

    assert "OSError" in ran.stderr
    assert torn
    assert [record.asset for record in history.read(Made)] == ["before", "after"]


def test_nothing_is_kept_where_there_is_no_history() -> None:
    nowhere = Unrecorded()
    nowhere.add(made())
    assert (nowhere.read(Made), nowhere.register(registered("a")), nowhere.find("a"), nowhere.keep(b"")) == (
        [],
        None,
        None,
        None,
    )


def test_a_history_is_a_door_of_the_same_form_as_none() -> None:
    doors = {name for name in vars(Unrecorded) if not name.startswith("_")}
    assert doors - {"find", "versions"} <= set(vars(History))
