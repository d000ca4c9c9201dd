"""One pod's part of a job: its share of splitting the source, then buckets as long as there are any. Called by
`run`."""

from __future__ import annotations

import asyncio
import os
import time

from reasoner_api.curation import CurationWork
from reasoner_api.status import total
from reasoner_api.task import CurationTask
from reasoner_workloads.common.progress import Reporter
from reasoner_workloads.common.run import ConfigError, Terminated
from reasoner_workloads.common.store import Store, open_store
from reasoner_workloads.curation import buckets, split, stretch
from reasoner_workloads.curation.claims import Claims
from reasoner_workloads.curation.feed import POLL_SECONDS, Desk, Feed
from reasoner_workloads.curation.filters.screens import Screens
from reasoner_workloads.curation.judge import Judge
from reasoner_workloads.curation.ledger import Ledger, usages
from reasoner_workloads.curation.llm import Model, close_models, open_models
from reasoner_workloads.curation.models.purse import open_purse
from reasoner_workloads.curation.models.responses import Responses
from reasoner_workloads.curation.readers import Readers
from reasoner_workloads.curation.recrawl.fetcher import Fetcher
from reasoner_workloads.curation.stages import Crew, curate
from reasoner_workloads.curation.stretch import Part
from reasoner_workloads.curation.together import together

#: Seconds between two looks at the counts.
REPORT_SECONDS = 0.5
#: Seconds between two notes of the usage at least, where no budget depends on them: so much a killed pod may have paid
#: for without a note.
SAVE_SECONDS = 1.0


def split_source(work: CurationWork, store: Store, claims: Claims) -> list[Part]:
    """The source's parts, split by all pods together. Raises ConfigError where the source is not as the spec says."""
    source, storage = work.source, work.storage
    listings = split.parts_of(source, storage)
    names = {f"split-{number:03d}": number for number in range(len(listings))}
    parts: dict[int, Part] = {}
    while True:
        for number in names.values():
            if number not in parts and (part := stretch.finished(store, number)):
                parts[number] = part
        if len(parts) == len(names):
            break
        if name := claims.take(name for name, number in names.items() if number not in parts):
            split.split(source, storage, listings[names[name]], store, names[name])
        else:
            time.sleep(POLL_SECONDS)
    found = [parts[number] for number in sorted(parts)]
    if any(part.rows for part in found) and not any(part.sound for part in found):
        fault = next(part.fault for part in found if part.fault)
        raise ConfigError(f"source.columns.url: no row of {source.uri} names a page: {fault}")
    return found


class Pod:
    """A pod while it works on the buckets of a split source."""

    def __init__(self, task: CurationTask, store: Store, claims: Claims, reporter: Reporter) -> None:
        self.work = task.work
        self.pods = task.pods
        self.store = store
        self.claims = claims
        self.reporter = reporter
        self._save_at = 0.0
        self._stopped = False
        self._work: asyncio.Task[None] | None = None
        earlier = total(usages(store, claims.own.pod).values())
        self.ledger = Ledger(earlier)
        self.purse = open_purse(task.budget, self.ledger, store, claims.own.pod, task.work.shards)

    async def run(self, parts: list[Part]) -> None:
        """Until no bucket is left. Raises Terminated where the pod was told to stop: what was asked by then is kept."""
        self._work = asyncio.current_task()
        if self._stopped:
            raise Terminated
        try:
            await self._run(parts)
        except asyncio.CancelledError:
            if not self._stopped:
                raise
            raise Terminated from None
        finally:
            self.ledger.save(self.store, self.claims.own)

    def stop(self) -> None:
        """Begin nothing more. Called in a signal handler."""
        self._stopped = True
        if self._work is not None:
            self._work.get_loop().call_soon_threadsafe(self._work.cancel)

    async def _run(self, parts: list[Part]) -> None:
        """As many rows are under way as keep the fetches and the models busy, but no more than this pod's even part:
        the others shall have some."""
        own, at = self.claims.own, self.work.storage
        shared = open_store(at.uri, endpoint=at.endpoint, region=at.region, tell=self.reporter.store_away)
        async with Responses(shared, f"{own.pod:05d}-{own.life}", self.before_commit) as responses:
            self.feed = Feed(Desk(self.store, self.claims, responses, self.ledger), parts, self.work.shards)
            self._recall()
            models = open_models(self.work, self.purse, os.environ, self.pods)
            busy = self.work.recrawl.concurrency + sum(model.endpoint.in_flight for model in models.values())
            busy = max(1, min(busy, -(-self.feed.rows // self.pods)))
            try:
                await self._curate(models, shared, busy)
            finally:
                await close_models(models)
                self._report()

    def before_commit(self) -> None:
        """Note what is paid for before the answers are kept: each time where there is a budget, else now and then."""
        if self.purse.funds or time.monotonic() >= self._save_at:
            self.ledger.save(self.store, self.claims.own)
            self._save_at = time.monotonic() + SAVE_SECONDS

    async def _curate(self, models: dict[str, Model], shared: Store, busy: int) -> None:
        async with (
            Readers() as readers,
            Fetcher(self.work.recrawl, self.pods, shared, readers.room) as fetcher,
            Judge() as judge,
        ):
            screens = Screens(self.work.filters, self.work.storage)
            crew = Crew(fetcher, readers, models, judge, screens, self.work.filters, self.feed.funnel)
            telling = asyncio.create_task(self._tell())
            try:
                await together(self._take(crew) for _ in range(busy))
            finally:
                telling.cancel()

    async def _take(self, crew: Crew) -> None:
        while given := await self.feed.next():
            opened, place, row = given
            await self.feed.finish(opened, place, await curate(row, crew.at(opened.cell.at(row.place))))

    def _recall(self) -> None:
        """Count what this pod's earlier lives have done."""
        for done in buckets.markers(self.store, buckets.names_done(self.store)):
            if done.pod == self.claims.own.pod:
                self.feed.funnel.merge(done.stages)

    async def _tell(self) -> None:
        while True:
            self._report()
            await asyncio.sleep(REPORT_SECONDS)

    def _report(self) -> None:
        self.reporter.update(stages=self.feed.funnel.counts(), usage=self.ledger.usage)
        share, rows = self.feed.share, self.feed.rows
        self.reporter.advance(share, f"{round(share * rows):,}/{rows:,} pages")
