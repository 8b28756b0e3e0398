"""The objects of a store in S3, and which of them it has not got yet.

Laid out as DVC lays out a remote, so that `dvc pull` finds there what a run made elsewhere. A server that is down must
neither fail a run nor hold it up: timeouts are short, one attempt is repeated, and a process that met an outage leaves
the server alone for a while. What could not be pushed is noted in a file of its own, before it is even written, and the
note goes once S3 has the object: a process may die at any moment, and the next one catches up. boto3 is an extra.
"""

import base64
import logging
import math
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mlops_assets.files import FOLDER, OID, DamagedError, object_name, sync_folder

log = logging.getLogger("mlops_assets.store")
ADVICE = {
    "NoSuchBucket": "Create the bucket, or correct the url",
    "NoSuchKey": "It was never pushed, or somebody removed it: push it from the store that made it",
    "BadDigest": "The bytes changed on the way: try again",
    "NoCredentialsError": "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "PartialCredentialsError": "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "AccessDenied": "Let these credentials list, read and write in the bucket",
    "InvalidAccessKeyId": "Correct AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "Correct AWS_SECRET_ACCESS_KEY",
    "ExpiredToken": "Get new credentials",
}


class RemoteError(RuntimeError):
    """The remote did not do what it was asked; the message says what, where and what next."""


@dataclass(frozen=True, slots=True)
class S3:
    """Objects below `url`, `s3://bucket/prefix`, at AWS or at the server `endpoint`.

    Credentials and region are those of the standard AWS_* variables. Whatever fails is a RemoteError.
    """

    url: str
    endpoint: str | None = None
    timeout_seconds: float = 8.0  # how long the server may be silent, once more after a failure
    rest_seconds: float = 60.0  # how long a process that met an outage leaves the server alone

    def __post_init__(self) -> None:
        """Raises ValueError for another kind of url."""
        if not re.fullmatch(r"s3://[^/]+(/.*)?", self.url):
            message = f"remote {self.url!r} is no S3 address: write s3://bucket/prefix."
            raise ValueError(message)

    @property
    def bucket(self) -> str:
        """Name of the bucket."""
        return self.url.split("/")[2]

    def key(self, oid: str) -> str:
        """Where the object `oid` lies in the bucket."""
        prefix = "/".join(self.url.split("/")[3:]).strip("/")
        return f"{prefix}/{object_name(oid)}".lstrip("/")

    def push(self, oid: str, content: bytes) -> None:
        """Put the object there, whether or not it is there already; S3 itself compares the bytes with the digest."""
        digest = base64.b64encode(bytes.fromhex(oid.removesuffix(FOLDER))).decode()
        with self.reached(f"object {oid} is not pushed") as client:
            client.put_object(Bucket=self.bucket, Key=self.key(oid), Body=content, ContentMD5=digest)

    def pull(self, oid: str) -> bytes:
        """Bytes of the object as they lie there: whoever takes them verifies them."""
        with self.reached(f"object {oid} is not pulled") as client:
            content: bytes = client.get_object(Bucket=self.bucket, Key=self.key(oid))["Body"].read()
            return content

    def has(self, oid: str) -> bool:
        """Whether the object is there."""
        with self.reached(f"object {oid} is not looked for") as client:
            # Not `head_object`, to which a bucket that is missing and an object that is look the same.
            found = client.list_objects_v2(Bucket=self.bucket, Prefix=self.key(oid), MaxKeys=1)
            return any(entry["Key"] == self.key(oid) for entry in found.get("Contents", ()))

    def names(self) -> Iterator[str]:
        """Digests of all objects there, in order."""
        top = self.key("0" * 32).removesuffix(f"00/{'0' * 30}")
        with self.reached("the objects are not listed") as client:
            for page in client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=top):
                names = (entry["Key"].removeprefix(top).replace("/", "", 1) for entry in page.get("Contents", ()))
                yield from filter(OID.fullmatch, names)

    @contextmanager
    def reached(self, failure: str) -> Iterator[Any]:
        """A client of the server; any error inside becomes a RemoteError that begins with `failure`."""
        place = f"bucket {self.bucket} at {self.endpoint or 'AWS'}"
        try:
            from botocore.exceptions import BotoCoreError, ClientError

            connected = client(self.endpoint, self.timeout_seconds, os.getpid())
        except ImportError as error:
            message = f"{failure} ({place}): boto3 is not installed. Install it: `pip install boto3`."
            raise RemoteError(message) from error
        except ValueError as error:
            message = f"{failure} ({place}): {error}. Write the endpoint as http://host:port."
            raise RemoteError(message) from error
        try:
            yield connected
        except (BotoCoreError, ClientError, OSError) as error:
            code = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
            advice = ADVICE.get(code, "See that the server runs and answers there, then try again")
            message = f"{failure} ({place}): {str(error).rstrip('.')}. {advice}."
            raise RemoteError(message) from error


@cache
def client(endpoint: str | None, timeout_seconds: float, process: int) -> Any:  # noqa: ANN401 - boto3 makes the class as it goes
    """A client, one for each process: after a fork two of them would share connections."""
    import boto3
    from botocore.config import Config

    _ = process
    config = Config(
        connect_timeout=min(3.0, timeout_seconds),
        read_timeout=timeout_seconds,
        retries={"total_max_attempts": 2, "mode": "standard"},
        # Objects are known by their md5; checksums of boto3's own are refused by some servers that are not AWS.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return boto3.session.Session().client("s3", endpoint_url=endpoint, config=config)


# When each remote last failed in this process, by time.monotonic(); it leaves when it answers again.
OUTAGES: dict[S3, float] = {}


@dataclass(frozen=True, slots=True)
class Pending:
    """Objects that `remote` has not got yet: an empty file in `folder` for each, so that no process needs a lock.

    `read` gives the bytes of an object, and raises FileNotFoundError or DamagedError.
    """

    folder: Path
    remote: S3 | None
    read: Callable[[str], bytes]

    def note(self, oid: str) -> None:
        """Say that the object is to be pushed, if there is where to; the note survives a power cut."""
        if self.remote:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / oid).touch()
            sync_folder(self.folder)

    def oids(self) -> list[str]:
        """Objects that wait; files before folders, so that a folder that is there has its files."""
        names = (path.name for path in self.folder.glob("*"))
        return sorted(filter(OID.fullmatch, names), key=lambda oid: (oid.endswith(FOLDER), oid))

    def push(self) -> int:
        """Push what waits; returns how many that were. Raises RemoteError; what is left then waits on."""
        return sum(self.push_one(oid, self.remote) for oid in self.oids()) if self.remote else 0

    def push_one(self, oid: str, remote: S3) -> bool:
        """Push an object that waits; False when another process just did, or there is nothing right to push."""
        note = self.folder / oid
        if not note.exists():
            return False
        try:
            content = self.read(oid)
        except FileNotFoundError:  # noted, and not written yet
            return False
        except DamagedError as error:
            log.warning("%s It is not pushed.", error)
            return False
        remote.push(oid, content)
        OUTAGES.pop(remote, None)
        note.unlink(missing_ok=True)
        return True

    def catch_up(self) -> None:
        """Push what waits, unless the remote failed in this process a moment ago; an outage is logged once."""
        if not self.remote or time.monotonic() < OUTAGES.get(self.remote, -math.inf) + self.remote.rest_seconds:
            return
        try:
            self.push()
        except RemoteError as error:
            if self.remote not in OUTAGES:
                log.warning("%s Nothing is lost: what waits here (%d) is pushed later.", error, len(self.oids()))
            OUTAGES[self.remote] = time.monotonic()
