"""Bad days of the store: killed writers, ten writers at once, a full disk, a flipped bit, DVC holding its lock."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mlops_assets.files import DamagedError, md5
from mlops_assets.store import Store

PROJECT = Path(__file__).parents[2]
KILLS = 30
# Contents of some megabytes, the same for the same number in whichever process.
CONTENT = """
import random, sys
from pathlib import Path
from mlops_assets.store import Store
def content(number):
    return random.Random(number).randbytes(1_000_000 + 500_000 * (number % 7))
store = Store(Path(sys.argv[1]))
"""
PUTS_ON_AND_ON = """
contents = [content(number) for number in range(int(sys.argv[2]), int(sys.argv[2]) + 6)]
print("ready", flush=True)
while True:
    for put in contents:
        oid = store.put(put)
        store.put_folder({"file": oid, "again": oid})
        path = store.path(oid)
        path.unlink()  # so that the next round writes it again
"""
PUTS_AMONG_OTHERS = """
number = int(sys.argv[2])
for put in (0, 1, 2, number):
    oid = store.put(content(put))
    store.put_folder({"file": oid})
print(store.put_folder({str(put): store.put(content(put)) for put in range(3)}))
"""
PUTS_ON_A_FULL_DISK = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then a write beyond the limit fails as one on a full disk does
resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))
store.put(content(0))
"""
HOLDS_THE_LOCK_OF_DVC = """
import sys
from dvc.repo import Repo
with Repo(sys.argv[1]).lock:
    print("held", flush=True)
    sys.stdin.read()
"""


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    """A child process that runs a script."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT)


@contextmanager
def child(script: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A child process that has said that it is ready, and is killed at the end."""
    with start(script, *arguments) as process:
        assert process.stdout
        process.stdout.readline()
        yield process
        process.send_signal(signal.SIGKILL)


def content(number: int) -> bytes:
    """What the child processes put under that number."""
    return random.Random(number).randbytes(1_000_000 + 500_000 * (number % 7))  # noqa: S311


def left_over(store: Store) -> set[Path]:
    """Every file that is no object."""
    objects = {store.path(oid) for oid in store.objects()}
    return {path for path in store.root.rglob("*") if path.is_file()} - objects


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with nothing in it."""
    return Store(tmp_path / "store")


def test_writers_killed_at_any_moment_leave_no_object_with_wrong_bytes_and_nothing_a_sweep_leaves(store: Store) -> None:
    chance = random.Random(4)  # noqa: S311
    torn = 0
    for kill in range(KILLS):
        with child(CONTENT + PUTS_ON_AND_ON, store.root, kill):
            time.sleep(chance.uniform(0, 0.08))
        assert store.check().damaged == ()
        left = left_over(store)
        assert all(path.name.endswith(".tmp") for path in left)
        torn += bool(left)

        oid = store.put(content(kill))
        assert store.get(oid) == content(kill)
        assert set(store.sweep(older_than_seconds=0)) == left
        assert left_over(store) == set()
    assert torn >= 3, "the kills missed the writes: nothing was tried"


def test_ten_writers_at_once_of_the_same_and_of_different_contents_and_folders(store: Store) -> None:
    writers = [start(CONTENT + PUTS_AMONG_OTHERS, store.root, 10 + number) for number in range(10)]
    folders = {writer.communicate()[0] for writer in writers}
    assert [writer.returncode for writer in writers] == [0] * 10
    assert len(folders) == 1

    files = [md5(content(number)) for number in (0, 1, 2, *range(10, 20))]
    lists = [store.put_folder({"file": oid}) for oid in files]
    assert sorted(store.objects()) == sorted([*files, *lists, folders.pop().strip()])
    assert store.check(files).damaged == store.check(files).missing == ()
    assert left_over(store) == set()


def test_a_write_that_fails_says_so_and_leaves_nothing_half_written(store: Store) -> None:
    command = [sys.executable, "-c", CONTENT + PUTS_ON_A_FULL_DISK, str(store.root)]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, check=False)
    said = ran.stderr.splitlines()[-1]
    assert "File too large; nothing is half-written. Make room or give access there, then run it again" in said
    assert str(store.path(md5(content(0)))) in said
    assert not [path for path in store.root.rglob("*") if path.is_file()]
    assert store.get(store.put(content(0))) == content(0)


def test_a_flipped_bit_is_found_before_the_object_is_used_and_by_a_check(store: Store) -> None:
    oids = [store.put(content(number)) for number in range(3)]
    path = store.path(oids[1])
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(700_000)
        (byte,) = file.read(1)
        file.seek(700_000)
        file.write(bytes([byte ^ 1]))

    with pytest.raises(DamagedError, match=rf"object {oids[1]} is damaged: {path}"):
        store.get(oids[1])
    assert (store.check(oids).damaged, store.check(oids).missing) == ((oids[1],), ())
    assert store.put(content(1)) == oids[1]
    assert store.check(oids).damaged == ()


def test_puts_succeed_while_somebody_holds_the_lock_of_dvc_for_which_dvc_itself_gives_up(tmp_path: Path) -> None:
    environment = {**os.environ, "DVC_SITE_CACHE_DIR": str(tmp_path / "site"), "DVC_NO_ANALYTICS": "1"}

    def dvc(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "dvc", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    dvc("init", "--no-scm")
    (tmp_path / "file").write_bytes(b"content")
    store = Store(tmp_path / ".dvc" / "store")
    with child(HOLDS_THE_LOCK_OF_DVC, tmp_path):
        oids = [store.put(bytes([number])) for number in range(20)]
        refused = dvc("add", "file")
    assert [store.get(oid) for oid in oids] == [bytes([number]) for number in range(20)]
    assert "Unable to acquire lock" in refused.stderr
