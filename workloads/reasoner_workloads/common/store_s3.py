"""A bucket as a store. Opened by `store.open_store`."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from math import inf
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential

from reasoner_workloads.common import s3_failures
from reasoner_workloads.common.s3_failures import FAILURES, Away, Unreached
from reasoner_workloads.common.store_base import CHUNK, Missing, Store, replacing

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

_TAKEN = frozenset({"412", "PreconditionFailed"})
#: Seconds for which a store that is away is tried again; one that was never reached, as its address may be wrong, or
#: that was given up and has not answered since; and any by a process that was told to end.
PATIENCE, SHORT_PATIENCE, LAST_PATIENCE = 300.0, 60.0, 20.0
#: Tries of each request by botocore before that, within some seconds: of an upload in parts, the part alone.
QUICK_TRIES = 4
#: Seconds without a byte after which a connection is given up.
READ_SECONDS = 30.0
PAUSES = wait_random_exponential(multiplier=0.5, max=15)
#: Times in a row that a body may break off before anything of it has come.
BREAKS = 8
#: Seconds between two lines of the log that say that it is away, and until its user is told, once.
_LINE_SECONDS, TELL_SECONDS = 15.0, 10.0


class _Ending:
    """Since when this process is about to end (`time.monotonic`)."""

    since = inf


_ENDING = _Ending()


def hurry() -> None:
    """This process was told to end, and no store is waited for much longer. For signal handlers."""
    _ENDING.since = min(_ENDING.since, time.monotonic())


def _sleep(seconds: float) -> None:
    """Pause for so long; for a second at most where the process is about to end."""
    while seconds > 0:
        time.sleep(min(seconds, 1.0))
        seconds = 0 if _ENDING.since < inf else seconds - 1.0


def _patient(method: Callable[Concatenate[S3Store, P], T]) -> Callable[Concatenate[S3Store, P], T]:
    """The method, tried again while the store is away."""

    @wraps(method)
    def tried(self: S3Store, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.trying()(method, self, *args, **kwargs)

    return tried


class S3Store(Store):
    """A bucket, or a prefix of one, by boto3: multipart uploads, checksums. What fails and may pass is tried again, for
    PATIENCE seconds once the store has answered: an outage of minutes costs a run of days no restart."""

    def __init__(
        self, bucket: str, prefix: str, *, endpoint: str | None, region: str, tell: Callable[[str], None] | None = None
    ) -> None:
        """`tell` hears of a store that is away, once each time."""
        self.bucket = bucket
        self.prefix = f"{prefix}/" if prefix else ""
        self.uri = f"s3://{bucket}/{prefix}".rstrip("/")
        self._has_answered = self._was_given_up = False
        self._said = 0.0
        self._tell_user = tell
        self._has_told = False
        # Servers under a name of their own seldom answer to bucket subdomains.
        style = {"addressing_style": "path"} if endpoint or os.environ.get("AWS_ENDPOINT_URL") else {}
        retries = {"mode": "standard", "total_max_attempts": QUICK_TRIES}
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name=region,
            config=Config(retries=retries, connect_timeout=10, read_timeout=READ_SECONDS, s3=style),
        )

    def trying(self) -> Retrying:
        """What tries again while the store is away."""
        return Retrying(
            retry=retry_if_exception_type(Away), stop=partial(self._is_enough, []), wait=PAUSES, sleep=_sleep,
            before_sleep=self._tell, reraise=True,
        )  # fmt: skip

    def _is_enough(self, failed: list[float], state: RetryCallState) -> bool:
        """`failed`: when it failed first, from which patience counts: an upload may have gone well for minutes."""
        now = time.monotonic()
        failed.append(now)
        unreached = isinstance(state.outcome and state.outcome.exception(), Unreached) and not self._has_answered
        patience = SHORT_PATIENCE if unreached or self._was_given_up else PATIENCE
        enough = now > failed[0] + patience or now > max(failed[0], _ENDING.since) + LAST_PATIENCE
        self._was_given_up |= enough
        return enough

    def _tell(self, state: RetryCallState) -> None:
        failure, now = state.outcome and state.outcome.exception(), time.monotonic()
        if now > self._said + _LINE_SECONDS:
            self._said = now
            log.warning("the store is away and is tried again: %s", failure)
        if self._tell_user and not self._has_told and now - state.start_time > TELL_SECONDS:
            self._has_told = True
            self._tell_user(f"the object store is away, and is asked again: {failure}")

    @contextmanager
    def _speaking_of(self, key: str) -> Iterator[None]:
        """Failures of boto3 as StoreErrors that name the object."""
        try:
            yield
        except FAILURES as error:
            self._has_answered |= s3_failures.is_answer(error)
            raise s3_failures.told(error, self.at(key)) from error
        self._has_answered, self._has_told, self._was_given_up = True, False, False

    @_patient
    def put(self, key: str, data: bytes | Path) -> None:
        with self._speaking_of(key):
            if isinstance(data, Path):
                self.client.upload_file(str(data), self.bucket, self.prefix + key)
            else:
                self.client.put_object(Bucket=self.bucket, Key=self.prefix + key, Body=data)

    @_patient
    def put_new(self, key: str, data: bytes) -> bool:
        where = {"Bucket": self.bucket, "Key": self.prefix + key}
        with self._speaking_of(key):
            try:
                self.client.put_object(**where, Body=data, IfNoneMatch="*")
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code in _TAKEN:
                    return False
                if code != "NotImplemented":
                    raise
                # Servers without conditional writes: look first, and accept the gap between.
                if self.exists(key):
                    return False
                self.client.put_object(**where, Body=data)
        return True

    def stream(self, key: str, start: int = 0, size: int | None = None) -> Iterator[bytes]:
        if size == 0:
            return
        at, end, breaks, tag = start, "" if size is None else str(start + size - 1), 0, ""
        while True:
            body, tag = self._open(key, f"bytes={at}-{end}" if at or end else "", tag if at > start else "")
            before = at
            try:
                with self._speaking_of(key), body:
                    for chunk in body.iter_chunks(CHUNK):
                        at += len(chunk)
                        yield chunk
                return
            except Away as failure:
                # Bodies break off: what is left is asked for, and not the whole again.
                breaks = breaks + 1 if at == before else 0
                if breaks >= BREAKS:
                    raise
                log.info("%s, %d bytes of it in all; the rest is asked for", failure, at - start)

    @_patient
    def _open(self, key: str, part: str, tag: str) -> tuple[Any, str]:
        """The body of the object, or a part of it, and what tells its versions apart; of no other version than
        `tag`."""
        where = {"Bucket": self.bucket, "Key": self.prefix + key}
        more = {name: value for name, value in (("Range", part), ("IfMatch", tag)) if value}
        with self._speaking_of(key):
            answer = self.client.get_object(**where, **more)
            return answer["Body"], answer["ETag"]

    @_patient
    def download(self, key: str, path: Path) -> None:
        # Ranges in parallel, each retried: a broken connection does not cost the whole file.
        with self._speaking_of(key), replacing(path) as file:
            self.client.download_fileobj(self.bucket, self.prefix + key, file)

    @_patient
    def exists(self, key: str) -> bool:
        try:
            with self._speaking_of(key):
                self.client.head_object(Bucket=self.bucket, Key=self.prefix + key)
        except Missing:
            return False
        return True

    @_patient
    def list(self, prefix: str = "") -> list[str]:
        with self._speaking_of(prefix):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=self.prefix + prefix
            )
            return sorted(item["Key"].removeprefix(self.prefix) for page in pages for item in page.get("Contents", ()))

    @_patient
    def delete(self, key: str) -> None:
        with self._speaking_of(key):
            self.client.delete_object(Bucket=self.bucket, Key=self.prefix + key)
