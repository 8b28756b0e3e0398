"""Tables on disk are whole or not there, the same bytes for the same table, and held to their contract once."""

import itertools
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets import files, storage
from mlops_assets.churn.schemas import ValidatedCustomers
from mlops_assets.files import DamagedError
from mlops_assets.storage import Bundle, Layers, NotMaterializedError
from mlops_assets.tables import TABLES

OUTCOMES = pd.DataFrame(
    {"customer_id": ["a", "b", "c"], "churned": [0, 1, 0], "assignment": "none", "assignment_chance": 1.0}
)
BATCH = "2024-01"
SIZE = 3_000_000  # bytes


@pytest.fixture
def empty_layers(tmp_path: Path) -> Layers:
    """Layers with nothing in them."""
    return Layers(tmp_path)


columns: dict[str, st.SearchStrategy[Any]] = {
    "text": st.none() | st.text(st.characters(codec="utf-8"), max_size=8),
    "whole": st.none() | st.integers(-(2**63), 2**63 - 1),
    "number": st.floats(),
    "flag": st.booleans(),
    "count": st.integers(-(2**63), 2**63 - 1),
}
DTYPES: dict[str, Any] = {"text": object, "whole": "Int64", "number": "float64", "flag": "bool", "count": "int64"}
tables = st.lists(st.fixed_dictionaries(columns), max_size=6).map(
    lambda rows: pd.DataFrame({n: pd.Series([row[n] for row in rows], dtype=d) for n, d in DTYPES.items()})
)


@given(table=tables)
def test_a_table_comes_back_with_its_values_missing_values_and_types(table: pd.DataFrame) -> None:
    back = storage.bytes_table(storage.table_bytes(table))
    pd.testing.assert_frame_equal(back, table)


@given(table=tables)
def test_equal_tables_give_equal_bytes(table: pd.DataFrame) -> None:
    again = storage.bytes_table(storage.table_bytes(table))
    shuffled = table.set_axis(range(7, 7 + len(table)))  # the index is no part of a table
    assert storage.table_bytes(table) == storage.table_bytes(again) == storage.table_bytes(shuffled)


def test_a_text_column_without_any_value_comes_back_as_text() -> None:
    table = pd.DataFrame({"reason": pd.Series([None, None], dtype=object)})
    back = storage.bytes_table(storage.table_bytes(table))
    assert back.reason.dtype == object
    assert list(back.reason) == [None, None]


def test_an_empty_table_keeps_the_types_of_its_contract() -> None:
    table = ValidatedCustomers.empty()
    back = storage.bytes_table(storage.table_bytes(table))
    assert back.dtypes.to_dict() == table.dtypes.to_dict()


def test_another_process_writes_the_same_bytes(tmp_path: Path) -> None:
    script = (
        "import pandas as pd, pathlib, sys; from mlops_assets.storage import table_bytes;"
        "pathlib.Path(sys.argv[1]).write_bytes(table_bytes(pd.DataFrame({'b': [1, 2], 'a': ['x', None]})))"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "there")]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": "4711"}, cwd=Path(__file__).parents[1])
    here = storage.table_bytes(pd.DataFrame({"b": [1, 2], "a": ["x", None]}))
    assert (tmp_path / "there").read_bytes() == here


def test_the_digest_is_what_dvc_would_give(empty_layers: Layers) -> None:
    from dvc_data.hashfile.hash import file_md5
    from dvc_objects.fs.local import LocalFileSystem

    digest = empty_layers.write("validated_outcomes", OUTCOMES, BATCH)
    path = empty_layers.path("validated_outcomes", BATCH)
    assert digest == empty_layers.digest("validated_outcomes", BATCH) == file_md5(str(path), LocalFileSystem())  # type: ignore[no-untyped-call]


def write_for_ever(path: Path) -> None:
    """Write one whole version after the other."""
    for letter in itertools.cycle(b"ab"):
        files.write_atomically(path, bytes([letter]) * SIZE)


def is_whole(path: Path) -> bool:
    """Whether the file is one of the versions that are written."""
    content = path.read_bytes()
    return len(content) == SIZE and content.count(content[:1]) == SIZE


def test_a_writer_killed_at_any_moment_leaves_a_whole_version(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    path.write_bytes(b"a" * SIZE)
    moments = np.random.default_rng(5).uniform(0.01, 0.1, size=12)
    for moment in moments:
        writer = multiprocessing.get_context("fork").Process(target=write_for_ever, args=(path,))
        writer.start()
        try:
            until = time.monotonic() + moment
            while time.monotonic() < until:
                assert is_whole(path)  # for a reader beside the writer
        finally:
            writer.kill()
            writer.join()
        assert is_whole(path)
    assert list(tmp_path.glob(".*.tmp"))  # at least one was killed while it wrote, or nothing was shown here


def test_what_a_killed_writer_leaves_behind_is_no_batch(empty_layers: Layers) -> None:
    empty_layers.write("validated_outcomes", OUTCOMES, BATCH)
    left = empty_layers.path("validated_outcomes", BATCH).with_name(f".{BATCH}.parquet.x1.tmp")
    left.write_bytes(b"half")
    assert empty_layers.batches("validated_outcomes") == [BATCH]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    files.write_atomically(path, b"old")
    with pytest.raises(TypeError):
        files.write_atomically(path, "no bytes")  # type: ignore[arg-type]
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"table.parquet": b"old"}


def test_a_written_file_can_be_read_by_others(tmp_path: Path) -> None:
    files.write_atomically(tmp_path / "table.parquet", b"whole")
    assert (tmp_path / "table.parquet").stat().st_mode & 0o777 == 0o644


def test_the_same_table_is_not_written_again(empty_layers: Layers) -> None:
    empty_layers.write("validated_outcomes", OUTCOMES, BATCH)
    path = empty_layers.path("validated_outcomes", BATCH)
    before = path.stat().st_ino
    empty_layers.write("validated_outcomes", OUTCOMES, BATCH)
    assert path.stat().st_ino == before


def test_batches_are_listed_oldest_first(empty_layers: Layers) -> None:
    for batch in ("2024-10", "2023-12", "2024-02"):
        empty_layers.write("validated_outcomes", OUTCOMES, batch)
    assert empty_layers.batches("validated_outcomes") == ["2023-12", "2024-02", "2024-10"]


def test_a_table_that_was_never_made_has_no_batches(empty_layers: Layers) -> None:
    assert empty_layers.batches("predictions") == []
    assert not empty_layers.exists("champion")


@pytest.mark.parametrize(("name", "batch"), [("predictions", BATCH), ("champion", None)])
def test_a_missing_table_is_named_with_its_place_and_what_to_do(
    empty_layers: Layers, name: str, batch: str | None
) -> None:
    with pytest.raises(NotMaterializedError) as raised:
        empty_layers.read(name, batch)
    said = str(raised.value)
    assert said.startswith(name)
    assert str(empty_layers.path(name, batch)) in said
    assert said.endswith("Materialize it first.")


@pytest.mark.parametrize(
    "content", [b"", b"PAR1", b"customer_id,churned\n", None], ids=["empty", "head only", "another format", "cut"]
)
def test_damaged_bytes_are_named_by_path_with_what_to_do(empty_layers: Layers, content: bytes | None) -> None:
    empty_layers.write("validated_outcomes", OUTCOMES, BATCH)
    path = empty_layers.path("validated_outcomes", BATCH)
    path.write_bytes(path.read_bytes()[:-9] if content is None else content)
    with pytest.raises(DamagedError) as raised:
        empty_layers.read("validated_outcomes", BATCH)
    assert str(path) in str(raised.value)
    assert "restore it, or remove it" in str(raised.value)


def test_a_table_that_breaks_its_contract_on_disk_is_refused_and_named(empty_layers: Layers) -> None:
    path = empty_layers.path("validated_outcomes", BATCH)
    files.write_atomically(path, storage.table_bytes(OUTCOMES.assign(churned=2)))
    with pytest.raises(DamagedError, match=r"breaks the contract of validated_outcomes: restore it") as raised:
        empty_layers.read("validated_outcomes", BATCH)
    assert str(path) in str(raised.value)


def test_a_refused_table_is_refused_each_time(empty_layers: Layers) -> None:
    path = empty_layers.path("validated_outcomes", BATCH)
    files.write_atomically(path, storage.table_bytes(OUTCOMES.assign(churned=2)))
    for _ in range(2):
        with pytest.raises(DamagedError):
            empty_layers.read("validated_outcomes", BATCH)


def test_a_table_is_held_to_its_contract_when_a_process_first_reads_it(empty_layers: Layers) -> None:
    digest = Layers(empty_layers.root).write("validated_outcomes", OUTCOMES, BATCH)
    assert digest not in empty_layers.checked
    empty_layers.read("validated_outcomes", BATCH)
    assert empty_layers.checked == {digest}


def test_what_was_held_to_its_contract_once_is_not_held_again(empty_layers: Layers) -> None:
    path = empty_layers.path("validated_outcomes", BATCH)
    content = storage.table_bytes(OUTCOMES.assign(churned=2))
    files.write_atomically(path, content)
    empty_layers.checked.add(files.md5(content))  # as if these bytes had passed
    assert list(empty_layers.read("validated_outcomes", BATCH).churned) == [2, 2, 2]


def test_what_a_process_wrote_is_not_held_to_its_contract_when_it_reads_it_back(empty_layers: Layers) -> None:
    digest = empty_layers.write("validated_outcomes", OUTCOMES, BATCH)
    assert empty_layers.checked == {digest}


def bundle(content: bytes) -> Bundle:
    """A training set with a file beside it."""
    row = {"batch": BATCH, "md5": files.md5(content), "rows": 3, "positives": 1, "weight": 3.0}
    return Bundle(pd.DataFrame([row]), {f"{files.md5(content)}.cbm": content})


def test_a_bundles_files_lie_beside_its_table_under_their_digest(empty_layers: Layers) -> None:
    empty_layers.write("training_set", bundle(b"model"))
    digest = empty_layers.read("training_set").md5.iloc[0]
    assert empty_layers.file("training_set", f"{digest}.cbm") == b"model"


def test_files_of_the_bundle_before_are_removed(empty_layers: Layers) -> None:
    empty_layers.write("training_set", bundle(b"old"))
    empty_layers.write("training_set", bundle(b"new"))
    there = {path.name for path in empty_layers.path("training_set").parent.iterdir()}
    assert there == {"training_set.parquet", f"{files.md5(b'new')}.cbm"}


def test_a_file_with_other_bytes_than_its_name_promises_is_refused_and_named(empty_layers: Layers) -> None:
    empty_layers.write("training_set", bundle(b"model"))
    (path,) = empty_layers.path("training_set").parent.glob("*.cbm")
    path.write_bytes(b"another model")
    with pytest.raises(DamagedError, match="not those its name promises") as raised:
        empty_layers.file("training_set", path.name)
    assert str(path) in str(raised.value)


def test_a_damaged_file_is_mended_by_the_same_bundle(empty_layers: Layers) -> None:
    empty_layers.write("training_set", bundle(b"model"))
    (path,) = empty_layers.path("training_set").parent.glob("*.cbm")
    path.write_bytes(b"another model")
    empty_layers.write("training_set", bundle(b"model"))
    assert path.read_bytes() == b"model"


def test_a_file_that_is_gone_is_refused_with_what_to_do(empty_layers: Layers) -> None:
    empty_layers.write("training_set", bundle(b"model"))
    (path,) = empty_layers.path("training_set").parent.glob("*.cbm")
    path.unlink()
    with pytest.raises(DamagedError, match="is gone, and training_set names it"):
        empty_layers.file("training_set", path.name)


def test_json_is_the_same_bytes_whatever_the_order_of_its_keys() -> None:
    assert storage.json_bytes({"b": 1, "a": "ü"}) == storage.json_bytes({"a": "ü", "b": 1})


@pytest.mark.parametrize("name", TABLES)
def test_every_table_lies_in_the_folder_of_its_layer(name: str, empty_layers: Layers) -> None:
    layer, folder = empty_layers.path(name, BATCH).relative_to(empty_layers.root).parts[:2]
    assert layer.split("_", 1)[1] == TABLES[name].layer
    assert folder == name
