"""The store keeps what it is given under the digest that DVC gives it, and gives back nothing else.

Compared with the real `dvc`: its digests of files and folders, its lists of folders, and its `pull`.
"""

import os
import random
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets import store as stored
from mlops_assets.files import DamagedError, md5
from mlops_assets.store import Findings, MissingObjectError, Store

PROJECT = Path(__file__).parents[1]
# Sorted part by part these come in another order than sorted as text: "-" and "." come before "/".
AWKWARD = [
    "a/b",
    "a-b",
    "a.c",
    "a/ü",
    "a b/c",
    "é",
    "Z",
    "z",
    "a/b-/c",
    "a/b/c d",
    "0/1/2/3/4",
    "日本/語",
    'q"uote',
    "e\u0301",
]
Dvc = Callable[..., str]


def tree(names: list[str]) -> dict[str, bytes]:
    """Files of a folder by relative path, each with bytes of its own."""
    return {name: f"content of {name}\n".encode() for name in names}


FOLDERS = {
    "one": tree(["deep/below/only.csv"]),
    "ten": tree([f"2024-{month:02}.parquet" for month in range(1, 11)]),
    "awkward": tree([name for name in AWKWARD if name != "a/b"]),
    "thousand": tree([f"{n % 7}/{n % 13}-x/{n}.csv" if n % 2 else f"{n % 7}-{n}.csv" for n in range(1000)]),
}
FILES = {"empty.bin": b"", "text.csv": b"a,b\r\n1,2\r\n", "large.bin": random.Random(1).randbytes(3_000_000)}  # noqa: S311


@pytest.fixture(scope="module")
def dvc(tmp_path_factory: pytest.TempPathFactory) -> Dvc:
    """Runs the real `dvc` in a folder; returns what it printed."""
    site = tmp_path_factory.mktemp("site")

    def run(folder: Path, *arguments: str) -> str:
        environment = {**os.environ, "DVC_SITE_CACHE_DIR": str(site), "DVC_NO_ANALYTICS": "1"}
        command = [sys.executable, "-m", "dvc", *arguments]
        ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    return run


@pytest.fixture(scope="module")
def added(dvc: Dvc, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository to which the real `dvc add` added every file and folder above."""
    repository = tmp_path_factory.mktemp("added")
    dvc(repository, "init", "--no-scm")
    for name, content in FILES.items():
        (repository / name).write_bytes(content)
    for name, files in FOLDERS.items():
        write_tree(repository / name, files)
    dvc(repository, "add", *FILES, *FOLDERS)
    return repository


def write_tree(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the files of a folder."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def read_tree(folder: Path) -> dict[str, bytes]:
    """The files of a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def put_tree(store: Store, files: Mapping[str, bytes]) -> str:
    """Put the files of a folder and the folder."""
    return store.put_folder({path: store.put(content) for path, content in files.items()})


def out(repository: Path, name: str) -> dict[str, Any]:
    """What DVC says of a file or folder it added."""
    found: dict[str, Any] = yaml.safe_load((repository / f"{name}.dvc").read_text())["outs"][0]
    return found


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with nothing in it."""
    return Store(tmp_path / "store")


# ------------------------------------------------------------------------------------------------------- as DVC has it


@pytest.mark.parametrize("name", FILES)
def test_a_file_has_the_digest_that_dvc_gives_it(store: Store, added: Path, name: str) -> None:
    assert store.put(FILES[name]) == out(added, name)["md5"]


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_has_the_digest_and_the_list_that_dvc_gives_it(store: Store, added: Path, name: str) -> None:
    oid = put_tree(store, FOLDERS[name])
    assert oid == out(added, name)["md5"]
    assert store.get(oid) == (added / ".dvc" / "cache" / "files" / "md5" / oid[:2] / oid[2:]).read_bytes()


def test_the_real_pull_brings_files_and_folders_back_byte_for_byte(store: Store, dvc: Dvc, tmp_path: Path) -> None:
    digests = {name: store.put(content) for name, content in FILES.items()}
    digests |= {name: put_tree(store, files) for name, files in FOLDERS.items()}
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    dvc(fresh, "init", "--no-scm")
    dvc(fresh, "remote", "add", "--default", "store", str(store.root))
    for name, oid in digests.items():
        (fresh / f"{name}.dvc").write_text(yaml.safe_dump({"outs": [{"md5": oid, "hash": "md5", "path": name}]}))

    dvc(fresh, "pull")

    assert {name: (fresh / name).read_bytes() for name in FILES} == FILES
    assert {name: read_tree(fresh / name) for name in FOLDERS} == FOLDERS


# ---------------------------------------------------------------------------------------------------------------- laws


@given(contents=st.lists(st.binary()))
def test_what_was_put_comes_back(tmp_path_factory: pytest.TempPathFactory, contents: list[bytes]) -> None:
    store = Store(tmp_path_factory.mktemp("store"))
    assert [store.get(store.put(content)) for content in contents] == contents


@given(contents=st.lists(st.binary(max_size=2)))
def test_the_same_content_is_kept_once_however_often_it_is_put(
    tmp_path_factory: pytest.TempPathFactory, contents: list[bytes]
) -> None:
    store = Store(tmp_path_factory.mktemp("store"))
    oids = {store.put(content) for content in [*contents, *contents]}
    assert list(store.objects()) == sorted(oids)
    assert len(oids) == len(set(contents))


digests = st.binary().map(md5)
paths = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)


@given(files=st.dictionaries(paths, digests), chance=st.randoms(use_true_random=False))
def test_a_folder_is_the_same_in_whatever_order_its_files_come(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, str], chance: random.Random
) -> None:
    store = Store(tmp_path_factory.mktemp("store"))
    shuffled = chance.sample(list(files.items()), len(files))
    oid = store.put_folder(files)
    assert store.put_folder(dict(shuffled)) == oid
    assert store.folder(oid) == files


# ------------------------------------------------------------------------------------------------------------- objects


def test_an_object_is_read_only_since_dvc_trusts_such_a_one_without_hashing_it(store: Store) -> None:
    oids = store.put(b"content"), store.put_folder({"file": md5(b"content")})
    assert [store.path(oid).stat().st_mode & 0o777 for oid in oids] == [0o444, 0o444]


def test_an_object_that_is_there_is_not_written_again(store: Store) -> None:
    path = store.path(store.put(b"content"))
    before = path.stat()
    store.put(b"content")
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("damage", [b"contenT", b"", b"content and more"])
def test_putting_the_right_bytes_mends_a_damaged_object(store: Store, damage: bytes) -> None:
    path = store.path(store.put(b"content"))
    spoil(path, damage)
    store.put(b"content")
    assert path.read_bytes() == b"content"
    assert path.stat().st_mode & 0o777 == 0o444


def spoil(path: Path, content: bytes) -> None:
    """Give a file other bytes."""
    path.chmod(0o644)
    path.write_bytes(content)


def test_a_damaged_object_is_refused_and_the_error_says_which_where_and_what_next(store: Store) -> None:
    oid = store.put(b"content")
    spoil(store.path(oid), b"contenT")
    with pytest.raises(DamagedError) as caught:
        store.get(oid)
    for part in (oid, str(store.path(oid)), md5(b"contenT"), "Bring it from a backup, or make it again"):
        assert part in str(caught.value)


def test_a_damaged_folder_is_refused_before_its_list_is_read(store: Store) -> None:
    oid = store.put_folder({"file": md5(b"content")})
    spoil(store.path(oid), b"[]")
    with pytest.raises(DamagedError, match=f"object {oid} is damaged"):
        store.folder(oid)


def test_an_object_that_cannot_be_read_is_refused_with_the_reason(store: Store) -> None:
    oid = store.put(b"content")
    store.path(oid).unlink()
    store.path(oid).mkdir()
    with pytest.raises(DamagedError, match=f"object {oid} cannot be read: .*Is a directory"):
        store.get(oid)


def test_a_missing_object_is_said_to_be_missing_and_where(store: Store) -> None:
    oid = md5(b"never put")
    with pytest.raises(MissingObjectError) as caught:
        store.get(oid)
    for part in (oid, str(store.path(oid)), "Bring it from a backup, or make it again"):
        assert part in str(caught.value)


# -------------------------------------------------------------------------------------------------------- housekeeping


def test_a_check_of_a_whole_store_finds_nothing(store: Store) -> None:
    oid = put_tree(store, FOLDERS["ten"])
    assert store.check([oid, store.put(b"content")]) == Findings(checked=12, damaged=(), missing=())


def test_a_check_of_a_store_that_is_not_there_yet_finds_what_is_named_missing(store: Store) -> None:
    assert store.check([md5(b"named")]) == Findings(checked=0, damaged=(), missing=(md5(b"named"),))


def test_a_check_finds_the_damaged_and_the_missing_by_digest(store: Store) -> None:
    whole, damaged, missing = (store.put(content) for content in (b"whole", b"damaged", b"missing"))
    spoil(store.path(damaged), b"damageD")
    store.path(missing).unlink()
    assert store.check([whole, damaged, missing]) == Findings(checked=2, damaged=(damaged,), missing=(missing,))


def test_a_check_finds_what_a_folder_lists_and_nobody_put(store: Store) -> None:
    store.put_folder({"file": md5(b"never put")})
    assert store.check().missing == (md5(b"never put"),)


def test_a_check_does_not_read_a_large_object_at_once(store: Store) -> None:
    store.put(bytes(64 << 20))
    script = (
        "import resource, sys; from pathlib import Path; from mlops_assets.store import Store;"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "assert Store(Path(sys.argv[1])).check().checked == 1;"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    ran = subprocess.run([sys.executable, "-c", script, store.root], cwd=PROJECT, capture_output=True, check=True)
    assert int(ran.stdout) < 16 << 10  # KiB


def test_a_sweep_removes_old_temporary_files_and_neither_young_ones_nor_objects(store: Store, tmp_path: Path) -> None:
    oid = store.put(b"content")
    beside = store.path(oid).parent
    old, young, outside = beside / ".a.old.tmp", beside / ".a.young.tmp", tmp_path / ".outside.tmp"
    for path in (old, young, outside):
        path.write_bytes(b"torn")
    for path in (old, outside, store.path(oid)):
        os.utime(path, (0, 0))
    (store.root / "link").symlink_to(tmp_path)

    assert store.sweep(older_than_seconds=3600) == [old]

    assert young.exists()
    assert outside.exists()
    assert store.get(oid) == b"content"


def test_what_dvc_or_a_person_left_between_the_objects_is_no_object(store: Store) -> None:
    oid = store.put(b"content")
    for name in (".torn.tmp", "README", f"{oid[2:]}.bak"):
        (store.path(oid).parent / name).write_bytes(b"")
    assert list(store.objects()) == [oid]


def test_a_list_of_a_folder_is_sorted_as_text() -> None:
    ordered = yaml.safe_load(stored.folder_list(dict.fromkeys(AWKWARD, md5(b""))))
    assert [entry["relpath"] for entry in ordered] == sorted(AWKWARD)
