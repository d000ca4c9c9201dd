"""Rows for one pod, bucket after bucket, and what becomes of them until a bucket is whole and kept. Used by `pod`."""

from __future__ import annotations

import asyncio
import tempfile
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from reasoner_workloads.common.store import Store
from reasoner_workloads.curation import buckets
from reasoner_workloads.curation.buckets import Bucket, Done
from reasoner_workloads.curation.claims import Claims
from reasoner_workloads.curation.ledger import Ledger
from reasoner_workloads.curation.models.responses import Responses, digits_of
from reasoner_workloads.curation.opened import Opened
from reasoner_workloads.curation.records import Funnel, Record, Row
from reasoner_workloads.curation.stretch import Part, stretch

#: Buckets begun and not yet kept, in one pod: one slow row must not let it begin all.
MOST_OPEN = 8
#: Seconds between two looks for a bucket when others are at all that is left.
POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Desk:
    """What a pod works with."""

    store: Store
    """The job's."""
    claims: Claims
    responses: Responses
    ledger: Ledger


class Feed:
    """Hands out the rows of the buckets that its pod gets hold of, until the job has none left that is not done."""

    def __init__(self, desk: Desk, parts: list[Part], shards: int) -> None:
        self._desk = desk
        self._store = desk.store
        self._claims = desk.claims
        self._parts = parts
        self._plan = {bucket.name: bucket for bucket in buckets.plan(parts, shards)}
        self._ready: deque[tuple[Opened, int, Row]] = deque()
        self._reading: Opened | None = None
        self._open: dict[str, Opened] = {}
        self._done: set[str] = set()
        self._lock = asyncio.Lock()
        self._kept = asyncio.Event()
        self.rows = sum(part.rows for part in parts)
        """Rows of the job."""
        self.funnel = Funnel()
        """What became of the rows that this pod has had."""

    async def next(self) -> tuple[Opened, int, Row] | None:
        """A row with its bucket and its place in that; None once all buckets of the job are done."""
        async with self._lock:
            while not self._ready:
                if self._reading is None and (bucket := await self._next_bucket()):
                    folder = Path(tempfile.mkdtemp(prefix="bucket-"))
                    rows = stretch(self._store, self._parts, bucket.low, bucket.high)
                    cell = await self._desk.responses.open(digits_of(bucket.number, len(self._plan)))
                    self._reading = self._open[bucket.name] = Opened(bucket, cell, rows, folder)
                if self._reading is None:
                    return None
                await self._read(self._reading)
            return self._ready.popleft()

    async def finish(self, opened: Opened, place: int, record: Record) -> None:
        """Take what became of a row; the last one of a bucket keeps it."""
        opened.add(place, record)
        if opened.is_whole:
            await self._keep(opened)

    @property
    def share(self) -> float:
        """How much of the job is done, by all pods as far as this one knows, 0 to 1."""
        expected = max(1.0, self.rows / len(self._plan))
        under_way = sum(min(1.0, len(opened.found) / expected) for opened in self._open.values())
        return min(1.0, (len(self._done) + under_way) / len(self._plan))

    async def _read(self, opened: Opened) -> None:
        worked, dropped, more = await asyncio.to_thread(opened.read)
        for record in dropped:
            self.funnel.add(record)
        opened.took(worked, dropped, more)
        self._ready.extend((opened, place, row) for place, row in worked)
        if not more:
            self._reading = None
            if opened.is_whole:
                await self._keep(opened)

    async def _keep(self, opened: Opened) -> None:
        done = Done(pod=self._claims.own.pod, stages=opened.funnel.counts())
        with opened:
            packed = await asyncio.to_thread(opened.pack)
            # So that once all buckets are done all usage is noted.
            await asyncio.to_thread(self._desk.ledger.save, self._store, self._claims.own)
            await asyncio.to_thread(buckets.keep, self._store, opened.bucket, packed, done)
        await opened.cell.close()
        del self._open[opened.bucket.name]
        self._done.add(opened.bucket.name)
        self._kept.set()

    async def _next_bucket(self) -> Bucket | None:
        """A bucket to do, waited for while others may still let go of theirs; None once all are done."""
        while True:
            self._kept.clear()
            if len(self._open) < MOST_OPEN and (name := await asyncio.to_thread(self._claim)):
                return self._plan[name]
            if len(self._done) == len(self._plan):
                return None
            with suppress(TimeoutError):
                await asyncio.wait_for(self._kept.wait(), POLL_SECONDS)

    def _claim(self) -> str | None:
        self._done |= buckets.names_done(self._store)
        names = list(self._plan)
        # Pods begin far from each other, so that two seldom ask for the same.
        turn = self._claims.own.pod * 7919 % len(names)
        names = names[turn:] + names[:turn]
        return self._claims.take(name for name in names if name not in self._done and name not in self._open)
