"""Telling a person: once for each cause and channel, whoever asks and however often, and again after a failure."""

import http.server
import json
import logging
import multiprocessing
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mlops_assets import alerts
from mlops_assets.alerts import (
    LONGEST,
    Channel,
    Ledger,
    Told,
    beat,
    channels_from_environment,
    split,
    tell,
    text,
    undelivered,
)
from mlops_assets.gates.alarms import Alert, Kind

FORK = multiprocessing.get_context("fork")
ALERT = Alert(Kind.PIPE, "pipe:2024-07:abc", "2024-07 came through a broken pipe", "charges x 100", "Ask for it anew.")
OTHER = replace(ALERT, cause="run:1", title="score failed")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A ledger in which nothing is told yet."""
    return Ledger(tmp_path / "history")


class Receiver:
    """A channel that keeps what it gets, and fails as long as it is told to."""

    def __init__(self, fault: str | None = None) -> None:
        """`fault`: why nothing gets through."""
        self.fault = fault
        self.tried: list[str] = []

    def deliver(self, alert: Alert) -> str | None:
        """Take a message."""
        self.tried.append(alert.cause)
        return self.fault

    @property
    def channel(self) -> Channel:
        """The way here."""
        return Channel("test:1", self.deliver)


# ----------------------------------------------------------------------------------------------------- once per cause


def test_a_cause_is_told_once_however_often_it_is_true(ledger: Ledger) -> None:
    here = Receiver()
    assert [len(tell([ALERT, ALERT], ledger, [here.channel])) for _ in range(3)] == [1, 0, 0]
    assert here.tried == [ALERT.cause]


def test_another_process_that_is_started_anew_tells_nothing_again(ledger: Ledger) -> None:
    tell([ALERT], ledger, [Receiver().channel])
    later = Receiver()
    assert tell([replace(ALERT, body="other words")], Ledger(ledger.root), [later.channel]) == []
    assert later.tried == []


def test_another_cause_and_another_channel_are_told(ledger: Ledger) -> None:
    here, there = Receiver(), Receiver()
    tell([ALERT], ledger, [here.channel])
    tell([ALERT, OTHER], ledger, [here.channel, Channel("test:2", there.deliver)])
    assert here.tried == [ALERT.cause, OTHER.cause]
    assert there.tried == [ALERT.cause, OTHER.cause]


def test_the_ledger_says_what_was_told_by_what_and_when(ledger: Ledger) -> None:
    (told,) = tell([ALERT], ledger, [Receiver().channel])
    assert ledger.read() == [told]
    assert told.when.startswith("20")
    facts = (told.kind, told.cause, told.title, told.body, told.next_step, told.channel, told.fault)
    assert facts == ("pipe", ALERT.cause, ALERT.title, ALERT.body, ALERT.next_step, "test:1", None)


def test_without_an_alert_nothing_is_written(ledger: Ledger) -> None:
    assert tell([], ledger, [Receiver().channel]) == []
    assert not ledger.root.exists()


def test_a_torn_line_and_a_field_of_a_later_version_are_passed_over(ledger: Ledger) -> None:
    (told,) = tell([ALERT], ledger, [Receiver().channel])
    path = ledger.root / "alerts.jsonl"
    later = json.dumps({**json.loads(path.read_bytes()), "cause": "later", "of_a_later_version": 1})
    path.write_text(f"{path.read_text()}{later}\n{{torn", encoding="utf-8")
    assert [line.cause for line in ledger.read()] == [told.cause, "later"]
    tell([OTHER], ledger, [Receiver().channel])
    assert [line.cause for line in ledger.read()] == [told.cause, "later", OTHER.cause]


def told_by(root: Path, counts: Path, start: float) -> None:
    """Tell twenty causes, each delivery written down beside the ledger."""

    def deliver(alert: Alert) -> None:
        with counts.open("a", encoding="utf-8") as file:
            file.write(f"{alert.cause}\n")

    time.sleep(max(0.0, start - time.time()))
    for number in range(20):
        tell([replace(ALERT, cause=str(number))], Ledger(root), [Channel("test:1", deliver)])


def test_processes_that_tell_at_once_tell_each_cause_once(ledger: Ledger, tmp_path: Path) -> None:
    counts = tmp_path / "counts"
    arguments = (ledger.root, counts, time.time() + 0.3)
    processes = [FORK.Process(target=told_by, args=arguments) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert sorted(counts.read_text(encoding="utf-8").split(), key=int) == [str(number) for number in range(20)]
    assert len(ledger.read()) == 20


# ------------------------------------------------------------------------------------------------------------ failures


def test_a_delivery_that_fails_is_tried_at_the_next_call_and_its_text_is_in_the_log_once(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    here = Receiver("no way")
    assert [line.fault for line in tell([ALERT], ledger, [here.channel])] == ["no way"]
    tell([ALERT], ledger, [here.channel])
    assert len(ledger.read()) == 1
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "test:1 failed (no way)" in record.message
    assert "charges x 100\n\nNext: Ask for it anew." in record.message
    here.fault = None
    assert [line.fault for line in tell([ALERT], ledger, [here.channel])] == [None]
    assert tell([ALERT], ledger, [here.channel]) == []
    assert len(here.tried) == 3


def test_a_channel_that_raises_fails_without_quoting_what_may_be_a_password(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    def deliver(_: Alert) -> str | None:
        message = "mailto://user:password@host"
        raise OSError(message)

    (line,) = tell([ALERT], ledger, [Channel("mailto:1", deliver)])
    assert line.fault == "OSError"
    assert "password" not in caplog.text + (ledger.root / "alerts.jsonl").read_text(encoding="utf-8")


def test_a_channel_that_fails_keeps_no_other_from_telling(ledger: Ledger) -> None:
    here = Receiver()
    tell([ALERT], ledger, [Channel("broken", Receiver("no way").deliver), here.channel])
    assert here.tried == [ALERT.cause]


def test_a_message_that_is_never_taken_keeps_no_other_waiting(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "PATIENCE", -1.0)  # as if each failure took longer than that
    tried: list[str] = []

    def deliver(alert: Alert) -> str | None:
        tried.append(alert.cause)
        return "poison" if alert is ALERT else None

    for _ in range(2):
        tell([ALERT, OTHER], ledger, [Channel("test:1", deliver)])
    assert tried == [ALERT.cause, OTHER.cause, ALERT.cause]


def test_a_channel_that_fails_fast_is_asked_for_every_alert(ledger: Ledger) -> None:
    here = Receiver("no way")
    assert len(tell([ALERT, OTHER], ledger, [here.channel])) == 2


def test_what_was_never_delivered_is_known_until_it_is(ledger: Ledger) -> None:
    here = Receiver("no way")
    tell([ALERT, OTHER], ledger, [here.channel])
    here.fault = None
    tell([OTHER], ledger, [here.channel])
    assert [line.cause for line in undelivered(ledger.read())] == [ALERT.cause]


# ------------------------------------------------------------------------------------------------------------ channels


def test_without_an_address_alerts_go_to_the_log_and_the_ledger(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("MLOPS_ALERT_URLS", raising=False)
    for _ in range(2):
        tell([ALERT], ledger, channels_from_environment())
    assert [record.name for record in caplog.records] == ["mlops_assets.alerts"]
    assert caplog.messages == [f"{ALERT.title}. charges x 100\n\nNext: Ask for it anew."]
    assert [line.channel for line in ledger.read()] == ["log"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", []),
        (" , ", []),
        ("json://a", ["json://a"]),
        ("json://a,mailto://b", ["json://a", "mailto://b"]),
        (" json://a , \n xmls+x://b, ", ["json://a", "xmls+x://b"]),
        ("mailto://u:p@h?to=a@b,c@d,slack://x", ["mailto://u:p@h?to=a@b,c@d", "slack://x"]),
    ],
)
def test_addresses_stand_between_commas_and_may_hold_some(given: str, expected: list[str]) -> None:
    assert split(given) == expected


def test_a_channel_is_known_by_a_name_without_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_ALERT_URLS", "json://user:secret@host,json://user:secret@other")
    names = [channel.name for channel in channels_from_environment()]
    assert [name.partition(":")[0] for name in names] == ["json", "json"]
    assert len(set(names)) == 2
    assert not any("secret" in name or "host" in name for name in names)


def test_where_apprise_is_missing_the_log_says_so_and_has_the_text(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    monkeypatch.setenv("MLOPS_ALERT_URLS", "json://127.0.0.1:1")
    (line,) = tell([ALERT], ledger, channels_from_environment())
    assert line.fault == "apprise is not installed; run: pip install apprise"
    assert "apprise is not installed" in caplog.text
    assert "Next: Ask for it anew." in caplog.text


def test_a_long_text_is_cut_and_its_next_step_is_not() -> None:
    short = text(replace(ALERT, body="x" * LONGEST))
    cut = text(replace(ALERT, body="x" * (LONGEST + 1)))
    assert short == "x" * LONGEST + "\n\nNext: Ask for it anew."
    assert cut == "x" * LONGEST + " ...\n\nNext: Ask for it anew."


# ---------------------------------------------------------------------------------------------------------- the network


class Server:
    """A local HTTP server that answers with `status` after `seconds`, and keeps what it was sent."""

    def __init__(self) -> None:
        """It listens at once."""
        self.status, self.seconds = 200, 0.0
        self.got: list[tuple[str, str, bytes]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers.get("Content-Length", 0))
                outer.got.append((self.command, self.path, self.rfile.read(size)))
                time.sleep(outer.seconds)
                self.send_response(outer.status)
                self.end_headers()

            do_GET = do_POST  # noqa: N815 - http.server's name

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def host(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.http.server_port}"


@pytest.fixture
def server() -> Iterator[Server]:
    """A server for one test."""
    running = Server()
    yield running
    running.http.shutdown()
    running.http.server_close()


@pytest.fixture
def through_apprise(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[Told]]:
    """Tells `ALERT` by the addresses."""
    pytest.importorskip("apprise", reason="apprise is not installed here")

    def send(addresses: str) -> list[Told]:
        monkeypatch.setenv("MLOPS_ALERT_URLS", addresses)
        return tell([ALERT], ledger, channels_from_environment())

    return send


def test_apprise_hands_title_text_and_next_step_over_once(
    server: Server, through_apprise: Callable[[str], list[Told]]
) -> None:
    assert [line.fault for line in through_apprise(f"json://{server.host}/here")] == [None]
    assert through_apprise(f"json://{server.host}/here") == []
    ((method, path, body),) = server.got
    assert (method, path.rstrip("/")) == ("POST", "/here")
    sent = json.loads(body)
    assert (sent["title"], sent["type"]) == (ALERT.title, "warning")
    assert sent["message"] == "charges x 100\n\nNext: Ask for it anew."


def test_a_service_that_refuses_gets_it_again_and_one_that_took_it_does_not(
    server: Server, through_apprise: Callable[[str], list[Told]]
) -> None:
    both = f"json://{server.host}/a,json://127.0.0.1:{closed_port()}/b"
    assert [line.fault for line in through_apprise(both)] == [None, "the service did not take it"]
    server.status = 500
    assert [line.fault for line in through_apprise(both)] == ["the service did not take it"]
    assert len(server.got) == 1


def test_an_address_that_apprise_does_not_know_is_told_without_quoting_it(
    through_apprise: Callable[[str], list[Told]], caplog: pytest.LogCaptureFixture
) -> None:
    (line,) = through_apprise("nonsense://secret")
    assert line.fault == "this address in MLOPS_ALERT_URLS is none that Apprise knows"
    assert "secret" not in "".join(r.message for r in caplog.records if r.name.startswith("mlops"))


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_a_heartbeat_is_a_get_to_the_address_of_the_environment(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_HEARTBEAT_URL", f"http://{server.host}/ping/1")
    assert beat()
    assert server.got == [("GET", "/ping/1", b"")]


def test_without_an_address_the_heart_beats_for_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("MLOPS_HEARTBEAT_URL", raising=False)
    assert not beat()
    assert not caplog.records


@pytest.mark.parametrize("address", ["file:///etc/hostname", "nonsense", "http://", "http://[", "http://no.invalid/"])
def test_an_address_that_is_none_never_raises(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("MLOPS_HEARTBEAT_URL", address)
    assert not beat()


def test_a_watchdog_that_is_down_refuses_or_sleeps_costs_no_more_than_its_time(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_HEARTBEAT_URL", f"http://127.0.0.1:{closed_port()}/")
    assert not beat()
    monkeypatch.setenv("MLOPS_HEARTBEAT_URL", f"http://{server.host}/")
    server.status = 503
    assert not beat()
    server.status, server.seconds = 200, 5.0
    start = time.monotonic()
    assert not beat(seconds=0.3)
    assert time.monotonic() - start < 2
