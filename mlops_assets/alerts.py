"""Tells a person, through Apprise, once for each cause, and lets a watchdog outside know that the loop is alive.

What was told is kept in an append-only ledger, under whose lock it is also told: two processes at once tell it once,
and so does one that is started anew. Killed between telling and writing it down, it is told twice rather than never. A
delivery that fails is tried again at the next call, and the log has its text meanwhile. The ledger knows an address by
its digest only: addresses hold passwords. What is told, and in which words, is decided in `gates.alarms`.
"""

import contextlib
import fcntl
import logging
import os
import re
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mlops_assets.files import md5
from mlops_assets.gates.alarms import Alert, Kind
from mlops_assets.history import append, lines, now

LOG = logging.getLogger("mlops_assets.alerts")
FILE = "alerts.jsonl"
LONGEST = 1500  # characters of a body: an error may quote a whole table, and some services refuse 2,000
PATIENCE = 5.0  # seconds after which a channel that fails is left alone until the next call
TO_LOG = "log"

Deliver = Callable[[Alert], str | None]
"""Hands a message over; returns why it could not, None if it could."""


@dataclass(frozen=True, slots=True)
class Told:
    """One delivery of an alert by one channel; `fault` says why it failed, None if it did not."""

    kind: str
    cause: str
    title: str
    body: str
    next_step: str
    channel: str
    fault: str | None
    when: str = ""


@dataclass(frozen=True, slots=True)
class Channel:
    """One way to a person; `name` is what the ledger knows it by, and holds no secret."""

    name: str
    deliver: Deliver


@dataclass(frozen=True, slots=True)
class Ledger:
    """What was told, one line each in `history/alerts.jsonl`; `root` is the home's history."""

    root: Path

    def read(self) -> list[Told]:
        """Every delivery, oldest first; a torn line is none."""
        path = self.root / FILE
        names = Told.__dataclass_fields__
        found = lines(path.read_bytes()) if path.is_file() else ()
        return [Told(**{name: value for name, value in line.items() if name in names}) for line in found]

    @contextlib.contextmanager
    def locked(self) -> Iterator[int]:
        """The file, open for appending, with nobody else in it; the lock goes with the process."""
        self.root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.root / FILE, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)


def tell(alerts: Sequence[Alert], ledger: Ledger, channels: Sequence[Channel]) -> list[Told]:
    """Tell by each channel what it has not told yet; returns the deliveries tried, failed ones too.

    Raises OSError when the ledger cannot be written.
    """
    if not alerts:
        return []
    with ledger.locked() as file:
        known = ledger.read()
        return [line for channel in channels for line in tell_by(channel, alerts, known, file)]


def tell_by(channel: Channel, alerts: Sequence[Alert], known: Sequence[Told], file: int) -> list[Told]:
    """The deliveries by one channel, each written to the ledger, open as `file`; those that failed before come last."""
    lines_of = [line for line in known if line.channel == channel.name]
    told = {line.cause for line in lines_of if line.fault is None}
    failed = {line.cause for line in lines_of if line.fault is not None}
    waiting = {alert.cause: alert for alert in alerts if alert.cause not in told}
    made, start = [], time.monotonic()
    for alert in sorted(waiting.values(), key=lambda alert: alert.cause in failed):
        line = Told(**asdict(alert), channel=channel.name, fault=hand_over(alert, channel), when=now())
        made.append(line)
        if line.fault is None or alert.cause not in failed:  # an outage of a week would fill ledger and log
            append(file, line)  # type: ignore[arg-type]  # it takes any record
            if line.fault is not None:
                LOG.warning(f"{channel.name} failed ({line.fault}) and is tried again: {alert.title}. {text(alert)}")
        if line.fault is not None and time.monotonic() - start > PATIENCE:
            break
    return made


def hand_over(alert: Alert, channel: Channel) -> str | None:
    """Deliver an alert; returns why it could not be."""
    try:
        return channel.deliver(alert)
    except Exception as error:  # noqa: BLE001 - whatever a service's plugin raises, the loop goes on
        return type(error).__name__  # not its message, which may quote the address


def undelivered(told: Sequence[Told]) -> list[Told]:
    """Deliveries that failed and were not made up for since, oldest first."""
    done = {(line.cause, line.channel) for line in told if line.fault is None}
    return [line for line in told if (line.cause, line.channel) not in done]


def channels_from_environment() -> list[Channel]:
    """One channel for each address in MLOPS_ALERT_URLS; the log when there is none."""
    addresses = split(os.environ.get("MLOPS_ALERT_URLS", ""))
    return [channel(address) for address in addresses] or [Channel(TO_LOG, write_to_log)]


def split(addresses: str) -> list[str]:
    """Addresses that stand between commas; a comma within one, as of two receivers, does not end it."""
    return [part for part in re.split(r"[\s,]+(?=[A-Za-z][A-Za-z0-9+.-]*://)", addresses.strip(" ,\t\n")) if part]


def channel(address: str) -> Channel:
    """The channel to an address as Apprise writes it, such as `mailto://...` or `json://host`."""
    scheme = address.partition("://")[0].lower()
    return Channel(f"{scheme}:{md5(address.encode())[:8]}", lambda alert: notify(alert, address))


def notify(alert: Alert, address: str) -> str | None:
    """Hand a message to Apprise; returns why it could not."""
    try:
        import apprise  # noqa: PLC0415 - slow, and nothing else of the project needs it
    except ImportError:
        return "apprise is not installed; run: pip install apprise"
    sender = apprise.Apprise(asset=apprise.AppriseAsset(app_id="mlops", app_desc="the churn model's loop"))
    if not sender.add(address):
        return "this address in MLOPS_ALERT_URLS is none that Apprise knows"
    kinds = {Kind.DECISION: apprise.NotifyType.INFO, Kind.RUN: apprise.NotifyType.FAILURE}
    sent = sender.notify(
        title=alert.title,
        body=text(alert),
        notify_type=kinds.get(alert.kind, apprise.NotifyType.WARNING),
        body_format=apprise.NotifyFormat.TEXT,
    )
    return None if sent else "the service did not take it"


def write_to_log(alert: Alert) -> None:
    """The channel for whoever named no address."""
    LOG.warning(f"{alert.title}. {text(alert)}")


def text(alert: Alert) -> str:
    """What happened, and the next step, which no length cuts off."""
    body = alert.body if len(alert.body) <= LONGEST else f"{alert.body[:LONGEST]} ..."
    return f"{body}\n\nNext: {alert.next_step}"


def beat(*, seconds: float = 2.0) -> bool:
    """GET the address in MLOPS_HEARTBEAT_URL, if there is one; whether it answered with success within `seconds`.

    Never raises, and never takes longer: looking a name up knows no time limit, hence the thread.
    """
    address = os.environ.get("MLOPS_HEARTBEAT_URL", "")
    if not address.startswith(("http://", "https://")):
        if address:
            LOG.warning("MLOPS_HEARTBEAT_URL is no http address: nobody is told that the loop is alive.")
        return False
    answered: list[bool] = []
    thread = threading.Thread(target=lambda: answered.append(get(address, seconds)), daemon=True)
    thread.start()
    thread.join(seconds)
    return answered == [True]


def get(address: str, seconds: float) -> bool:
    """Whether a GET is answered with success."""
    try:
        with urllib.request.urlopen(address, timeout=seconds):  # noqa: S310 - its scheme was looked at
            return True
    except Exception as error:  # noqa: BLE001 - a heartbeat must not stop what it is the heart of
        LOG.warning(f"heartbeat not taken: {type(error).__name__}")
        return False
