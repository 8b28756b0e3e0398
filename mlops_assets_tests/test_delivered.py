"""What is a new delivery: other bytes, or bytes that come back; never a touch, and never the same twice."""

import itertools
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mlops_assets import delivered
from mlops_assets.delivered import Delivery, Look, Stamp, Turn, became_raw, digest_of, ends_torn, listed, take
from mlops_assets.files import md5
from mlops_assets.history import Made
from mlops_assets.landing import Inbox

FILE = "customers/2024-03.csv"
LATER = 2e9  # seconds: every file of these tests is old by then


class World:
    """An inbox that is only thought of: bytes by name, each with the moment they got there, and what became tables."""

    def __init__(self) -> None:
        """Nothing has landed."""
        self.files: dict[str, tuple[bytes, int]] = {}
        self.made: dict[str, list[str]] = {}
        self.clock = 0
        self.read: list[str] = []
        self.asked = 0
        self.cursor: str | None = None

    def put(self, content: bytes, name: str = FILE) -> None:
        """Land bytes, or touch the file where they are there already."""
        self.clock += 1
        self.files[name] = (content, self.clock)

    def digest(self, name: str) -> str | None:
        """Read a file."""
        self.read.append(name)
        return md5(self.files[name][0]) if name in self.files else None

    def history(self) -> Mapping[str, Sequence[str]]:
        """Ask the history."""
        self.asked += 1
        return self.made

    def listing(self) -> dict[str, Stamp]:
        """How the files look; the size tells nothing here."""
        return {name: Stamp(1, 0, moment * 10**9) for name, (_, moment) in self.files.items()}

    def tick(self, *, limit: int = 10, now: float = LATER, settle: float = 5.0) -> Turn:
        """One tick; the cursor moves on."""
        turn = take(self.cursor, self.listing(), Look(self.digest, self.history), now=now, settle=settle, limit=limit)
        self.cursor = turn.cursor
        return turn

    def process(self, turn: Turn) -> None:
        """Every delivery becomes a table."""
        for delivery in turn.deliveries:
            digests = self.made.setdefault(f"{delivery.kind}/{delivery.batch}.csv", [])
            if digests[-1:] != [delivery.md5]:
                digests.append(delivery.md5)

    def run(self) -> list[tuple[int, str]]:
        """A tick and its runs: number and bytes of each delivery."""
        turn = self.tick()
        self.process(turn)
        return [(delivery.number, delivery.md5) for delivery in turn.deliveries]


@pytest.fixture
def world() -> World:
    """An empty inbox."""
    return World()


# ------------------------------------------------------------------------------------------------- what is delivered


def test_a_file_is_delivered_once_with_all_that_a_run_needs(world: World) -> None:
    world.put(b"a")
    (found,) = world.tick().deliveries
    looks = world.listing()[FILE].short
    digest = md5(b"a")
    assert found == Delivery("customers", "2024-03", 1, digest, f"customers/2024-03:{digest[:12]}:{looks}")
    assert world.tick().deliveries == ()


def test_bytes_that_come_back_are_three_deliveries_under_three_keys(world: World) -> None:
    keys, numbers = set(), []
    for content in (b"a", b"b", b"a"):
        world.put(content)
        turn = world.tick()
        world.process(turn)
        keys |= {delivery.run_key for delivery in turn.deliveries}
        numbers += [delivery.number for delivery in turn.deliveries]
    assert (numbers, len(keys)) == ([1, 2, 3], 3)


def test_the_same_bytes_again_are_no_delivery_and_are_read_once(world: World) -> None:
    world.put(b"a")
    assert world.run() == [(1, md5(b"a"))]
    world.put(b"a")
    assert [world.run(), world.run()] == [[], []]
    assert world.read == [FILE, FILE]


def test_bytes_that_never_became_a_table_are_taken_again_when_touched(world: World) -> None:
    world.put(b"refused")
    assert len(world.tick().deliveries) == 1
    assert world.tick().deliveries == ()
    world.put(b"refused")
    (again,) = world.tick().deliveries
    assert again.number == 2


def test_bytes_that_came_back_after_a_refused_file_are_delivered(world: World) -> None:
    world.put(b"a")
    world.run()
    world.put(b"refused")
    world.tick()
    world.put(b"a")
    assert world.run() == [(3, md5(b"a"))]


def test_a_file_that_is_gone_meanwhile_is_left_for_when_it_comes(world: World) -> None:
    world.put(b"a")
    listing = world.listing()
    del world.files[FILE]
    turn = take(None, listing, Look(world.digest, world.history), now=LATER, settle=0.0, limit=9)
    assert turn.deliveries == ()
    world.put(b"a")
    world.cursor = turn.cursor
    assert world.run() == [(1, md5(b"a"))]


def test_a_file_that_vanished_and_comes_back_unchanged_is_no_delivery(world: World) -> None:
    world.put(b"a")
    world.run()
    del world.files[FILE]
    assert world.run() == []
    world.put(b"a")
    assert world.run() == []


# -------------------------------------------------------------------------------------------------------- half-written


@pytest.mark.parametrize(("now", "count"), [(104.9, 0), (105.0, 1)])
def test_a_file_younger_than_a_moment_is_left_alone(world: World, now: float, count: int) -> None:
    world.files[FILE] = (b"half", 100)
    turn = world.tick(now=now)
    assert (len(turn.deliveries), turn.growing) == (count, (FILE,) * (1 - count))
    assert world.read == [FILE] * count


def test_a_file_that_grows_at_every_tick_is_left_alone_until_it_rests(world: World) -> None:
    for second in range(100, 130, 3):
        world.files[FILE] = (b"x" * second, second)
        assert world.tick(now=second + 1).deliveries == ()
    (whole,) = world.tick(now=132.0).deliveries
    assert whole.md5 == md5(b"x" * 127)


def test_a_file_from_the_future_rests_by_our_own_clock(world: World) -> None:
    world.files[FILE] = (b"a", 500)
    assert world.tick(now=100.0).growing == (FILE,)
    assert world.tick(now=104.9).growing == (FILE,)
    assert len(world.tick(now=105.0).deliveries) == 1


def test_a_file_from_the_future_that_changes_is_waited_for_anew(world: World) -> None:
    world.files[FILE] = (b"a", 500)
    world.tick(now=100.0)
    world.files[FILE] = (b"b", 501)
    assert world.tick(now=105.0).growing == (FILE,)
    assert len(world.tick(now=110.0).deliveries) == 1


def test_a_clock_set_back_delays_by_a_moment_and_not_for_ever(world: World) -> None:
    world.files[FILE] = (b"a", 1000)
    world.tick(now=999.0)
    assert world.tick(now=10.0).growing == (FILE,)
    assert len(world.tick(now=15.0).deliveries) == 1


def test_without_a_moment_to_wait_a_file_is_taken_at_once(world: World) -> None:
    world.files[FILE] = (b"a", 500)
    assert len(world.tick(now=100.0, settle=0.0).deliveries) == 1


# ------------------------------------------------------------------------------------------------------------- bounded


def many(world: World, months: int) -> list[tuple[str, str]]:
    """Lands both files of each month, newest first; returns batch and kind in the order they should be worked off."""
    batches = [f"{2024 + number // 12}-{number % 12 + 1:02d}" for number in range(months)]
    for batch in reversed(batches):
        for kind in ("outcomes", "customers"):
            world.put(f"{kind} {batch}".encode(), f"{kind}/{batch}.csv")
    return [(batch, kind) for batch in batches for kind in ("customers", "outcomes")]


def test_two_hundred_months_are_worked_off_oldest_first_a_few_in_each_tick(world: World) -> None:
    expected, got, sizes = many(world, 200), [], set()
    while (turn := world.tick(limit=7)).deliveries:
        world.process(turn)
        got += [(delivery.batch, delivery.kind) for delivery in turn.deliveries]
        sizes.add(len(turn.deliveries))
        assert turn.left == 400 - len(got)
    assert got == expected
    assert sizes == {7, 400 % 7}


def test_no_file_is_read_beyond_what_a_tick_takes(world: World) -> None:
    many(world, 20)
    world.tick(limit=3)
    assert len(world.read) == 3


def test_what_was_taken_is_recognised_at_once_after_a_lost_cursor(world: World) -> None:
    many(world, 20)
    world.process(world.tick(limit=99))
    world.put(b"new", "customers/2031-01.csv")
    world.cursor = None
    (new,) = world.tick(limit=1).deliveries
    assert new.batch == "2031-01"
    assert world.tick().deliveries == ()


def test_a_tick_reads_no_more_than_fits_but_one_file_in_any_case(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    many(world, 2)
    for most, count in ((2, 2), (1, 1), (0, 1)):
        monkeypatch.setattr(delivered, "MOST_READ", most)
        turn = take(None, world.listing(), Look(world.digest, world.history), now=LATER, settle=0.0, limit=9)
        assert (len(turn.deliveries), turn.left) == (count, 4 - count)


def test_what_is_not_ready_waits_unread_and_keeps_nobody_else_waiting(world: World) -> None:
    many(world, 2)
    only = Look(world.digest, world.history, lambda kind, batch: (kind, batch) != ("customers", "2024-01"))
    turn = take(None, world.listing(), only, now=LATER, settle=0.0, limit=9)
    assert [(found.batch, found.kind) for found in turn.deliveries] == [
        ("2024-01", "outcomes"),
        ("2024-02", "customers"),
        ("2024-02", "outcomes"),
    ]
    assert turn.left == 1
    assert "customers/2024-01.csv" not in world.read
    world.cursor = turn.cursor
    assert [found.kind for found in world.tick().deliveries] == ["customers"]


def test_a_tick_with_nothing_new_reads_no_file_and_no_history(world: World) -> None:
    many(world, 3)
    world.process(world.tick(limit=99))
    read, asked = list(world.read), world.asked
    turn = world.tick()
    assert (turn.deliveries, turn.left, world.read, world.asked) == ((), 0, read, asked)


# --------------------------------------------------------------------------------------------------------- lost cursor


@pytest.mark.parametrize(
    "cursor", [None, "", "{", "[]", "7", '{"format": 0}', '{"format": 1}', '{"format":1,"taken":[]}']
)
def test_a_cursor_that_is_lost_or_broken_asks_for_the_same_runs(world: World, cursor: str | None) -> None:
    world.put(b"a")
    first = world.tick()
    world.cursor = cursor
    assert world.tick() == first


def test_after_a_lost_cursor_only_what_never_became_a_table_is_delivered_and_numbers_go_on(world: World) -> None:
    for content in (b"a", b"b", b"a"):
        world.put(content)
        world.run()
    world.cursor = None
    assert world.run() == []
    world.put(b"b")
    world.cursor = None
    assert world.run() == [(4, md5(b"b"))]


def test_a_cursor_of_a_few_months_is_small_and_says_the_same_for_the_same(world: World) -> None:
    many(world, 200)
    turn = world.tick(limit=400)
    assert len(turn.cursor) < 16_000
    assert world.tick().cursor == turn.cursor
    assert json.loads(turn.cursor)["taken"]["customers"]["2024-01"].startswith("1.")


class Deliveries(RuleBasedStateMachine):
    """Files land, are touched and removed in any order, cursors are lost; every delivery is processed or refused."""

    def __init__(self) -> None:
        """An empty inbox."""
        super().__init__()
        self.world = World()
        self.keys: dict[str, int] = {}
        self.tables: dict[str, bytes] = {}

    @rule(content=st.sampled_from([b"a", b"b", b"c"]), name=st.sampled_from([FILE, "outcomes/2024-03.csv"]))
    def land(self, content: bytes, name: str) -> None:
        """A file lands or is touched."""
        self.world.put(content, name)

    @rule()
    def lose(self) -> None:
        """The cursor is lost."""
        self.world.cursor = None

    @rule(limit=st.integers(1, 2), is_crash=st.booleans(), refused=st.sampled_from([b"", b"c"]))
    def tick(self, limit: int, refused: bytes, *, is_crash: bool) -> None:
        """A tick; killed before its cursor is stored, it is evaluated again, and Dagster drops the keys it knows."""
        before = self.world.cursor
        turn = self.world.tick(limit=limit)
        if is_crash:
            self.world.cursor = before
        for delivery in turn.deliveries:
            if delivery.run_key not in self.keys:
                self.keys[delivery.run_key] = 1
                name = f"{delivery.kind}/{delivery.batch}.csv"
                content = self.world.files[name][0]
                if content != refused:
                    self.tables[name] = content
                    digests = self.world.made.setdefault(name, [])
                    if digests[-1:] != [md5(content)]:
                        digests.append(md5(content))
                else:
                    self.tables.pop(name, None)  # what lies there may be anything until the next one

    @invariant()
    def what_lies_there_is_what_the_newest_bytes_made(self) -> None:
        """Once all is worked off, every table is that of the bytes in the inbox, whatever was lost meanwhile."""
        world = self.world
        turn = take(world.cursor, world.listing(), Look(world.digest, world.history), now=LATER, settle=0.0, limit=99)
        open_names = {f"{d.kind}/{d.batch}.csv" for d in turn.deliveries if d.run_key not in self.keys}
        for name, (content, _) in world.files.items():
            assert name in open_names or name not in self.tables or self.tables[name] == content


TestDeliveries = Deliveries.TestCase
TestDeliveries.settings = settings(max_examples=30, stateful_step_count=30)


@given(contents=st.lists(st.sampled_from([b"a", b"b"]), min_size=1, max_size=8))
def test_there_are_as_many_deliveries_as_the_bytes_changed(contents: list[bytes]) -> None:
    world = World()
    numbers = []
    for content in contents:
        world.put(content)
        numbers += [number for number, _ in world.run()]
    changes = 1 + sum(a != b for a, b in itertools.pairwise(contents))
    assert numbers == list(range(1, changes + 1))
    assert len(world.made[FILE]) == changes


# --------------------------------------------------------------------------------------------------------- on the disk


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    """An empty inbox on disk."""
    return Inbox(tmp_path / "landing", 1000)


def deliveries(inbox: Inbox, cursor: str | None = None) -> Turn:
    """A tick over a real inbox without a history."""
    look = Look(lambda name: digest_of(inbox, name), dict)
    return take(cursor, listed(inbox), look, now=LATER, settle=0.0, limit=99)


def test_an_inbox_that_is_not_there_has_no_deliveries(inbox: Inbox) -> None:
    assert deliveries(inbox).deliveries == ()


def test_what_is_put_into_the_inbox_is_found_and_strangers_are_not(inbox: Inbox) -> None:
    inbox.put("2024-03", {"customers": b"a", "outcomes": b"b"})
    for stranger in (".2024-03.csv.x.tmp", "march.csv", "2024-13.csv", "2024-03.txt"):
        (inbox.root / "customers" / stranger).write_bytes(b"x")
    found = deliveries(inbox).deliveries
    assert [(d.kind, d.batch, d.md5) for d in found] == [
        ("customers", "2024-03", md5(b"a")),
        ("outcomes", "2024-03", md5(b"b")),
    ]


def test_other_bytes_of_the_same_size_under_a_copied_time_are_a_delivery(inbox: Inbox) -> None:
    (path,) = inbox.put("2024-03", {"customers": b"a"})
    status, first = path.stat(), deliveries(inbox)
    inbox.put("2024-03", {"customers": b"b"})
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    (second,) = deliveries(inbox, first.cursor).deliveries
    assert (second.md5, second.number) == (md5(b"b"), 2)


def test_a_file_that_cannot_be_read_is_delivered_so_that_its_run_says_why(inbox: Inbox) -> None:
    (inbox.root / "customers").mkdir(parents=True)
    (inbox.root / "customers" / "2024-01.csv").symlink_to("/etc/hostname")
    (inbox.root / "customers" / "2024-02.csv").write_bytes(b"x" * 1001)
    (inbox.root / "customers" / "2024-03.csv").mkdir()
    turn = deliveries(inbox)
    assert [delivery.batch for delivery in turn.deliveries] == ["2024-01", "2024-02", "2024-03"]
    assert deliveries(inbox, turn.cursor).deliveries == ()


def test_a_file_that_vanishes_between_listing_and_reading_has_no_digest(inbox: Inbox) -> None:
    assert digest_of(inbox, FILE) is None


def test_the_history_of_raw_tables_tells_what_became_of_which_bytes() -> None:
    def raw(asset: str, digest: str) -> Made:
        kind = asset.removeprefix("raw_")
        return Made(asset, "2024-03", "", 0, 0, {}, "", {f"{kind}/2024-03.csv": digest}, "", "")

    records = [
        raw("raw_customers", "a"), raw("raw_customers", "a"), raw("raw_outcomes", "o"), raw("validated_customers", "v"),
        raw("raw_customers", "b"), raw("raw_customers", "a"),
    ]  # fmt: skip
    assert became_raw(records) == {FILE: ["a", "b", "a"], "outcomes/2024-03.csv": ["o"]}


def test_the_kernel_gives_a_file_put_again_another_look() -> None:
    with tempfile.TemporaryDirectory() as folder:
        inbox = Inbox(Path(folder), 1000)
        looks = set()
        for content in (b"a", b"b", b"a"):
            inbox.put("2024-03", {"customers": content})
            looks.add(listed(inbox)[FILE].changed_ns)
        assert len(looks) == 3


def test_a_file_that_ends_in_the_middle_of_a_line_is_left_alone_for_longer(world: World) -> None:
    world.put(b"a line\nhalf a li")
    (stamp,) = world.listing().values()
    began = stamp.changed_ns / 1e9
    look = Look(world.digest, world.history, is_torn=lambda _: True)
    ticks = [take(None, world.listing(), look, now=began + after, settle=5.0, limit=9) for after in (6, 299, 301)]
    assert [turn.growing for turn in ticks] == [(FILE,), (FILE,), ()]
    assert len(ticks[-1].deliveries) == 1


def test_a_file_is_torn_when_its_last_line_has_no_end(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path, 1000)
    inbox.put("2024-03", {"customers": b"a\nb"})
    inbox.put("2024-04", {"customers": b"a\nb\r\n"})
    assert [ends_torn(inbox, f"customers/2024-{month}.csv") for month in ("03", "04", "05")] == [True, False, False]
