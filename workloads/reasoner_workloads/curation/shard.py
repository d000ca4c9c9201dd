"""One shard: its rows through the stages, the result kept in the store with a marker last, so that a shard that is
done is not done again. Called by `run`."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
from collections.abc import Iterator

from pydantic import BaseModel

from reasoner_api.status import StageCount, Usage
from reasoner_api.task import CurationTask
from reasoner_workloads.common.progress import Reporter
from reasoner_workloads.common.store import Store, open_store
from reasoner_workloads.curation.filters.screens import Screens
from reasoner_workloads.curation.judge import Judge
from reasoner_workloads.curation.ledger import Ledger
from reasoner_workloads.curation.llm import close_models, open_models
from reasoner_workloads.curation.records import Funnel, Record, Row, funnel_of
from reasoner_workloads.curation.recrawl.fetcher import Fetcher
from reasoner_workloads.curation.source import read_rows
from reasoner_workloads.curation.stages import Crew, curate
from reasoner_workloads.curation.together import together

#: Seconds between two looks at the counts.
REPORT_SECONDS = 0.5


class Done(BaseModel):
    """The marker of a finished shard."""

    file: str
    """Its records, by a name that their digest gives: two pods at the same shard do not mix."""
    stages: list[StageCount]
    usage: Usage


def marker(shard: int) -> str:
    """Key of a shard's marker."""
    return f"shards/{shard:05d}/done.json"


def finished(store: Store, shard: int) -> Done | None:
    """The marker, if the shard is done."""
    return Done.model_validate_json(store.get(marker(shard))) if store.exists(marker(shard)) else None


def records(store: Store, shard: int, done: Done) -> Iterator[Record]:
    """A finished shard's records."""
    for line in gzip.decompress(store.get(f"shards/{shard:05d}/{done.file}")).splitlines():
        yield Record.model_validate_json(line)


def do_shard(task: CurationTask, shard: int, store: Store, reporter: Reporter) -> Done:
    """Do a shard unless it is done, and return its marker."""
    if done := finished(store, shard):
        reporter.update(message=f"shard {shard} was done already", stages=done.stages, usage=done.usage)
        return done
    rows: list[Row] = []
    dropped: list[Record] = []
    for one in read_rows(task.work.source, task.work.storage, shard, task.work.shards):
        rows.append(one) if isinstance(one, Row) else dropped.append(one)
    ledger = Ledger(task.work.budget, task.work.shards, Usage())
    found = asyncio.run(_Work(task, rows, ledger, reporter).run())
    return _keep(store, shard, dropped + found, ledger.usage)


def _keep(store: Store, shard: int, found: list[Record], usage: Usage) -> Done:
    found = sorted(found, key=lambda record: (record.url, record.id))
    lines = "".join(record.model_dump_json(exclude_defaults=True) + "\n" for record in found)
    packed = gzip.compress(lines.encode(), mtime=0)
    name = f"{hashlib.sha256(packed).hexdigest()[:16]}.jsonl.gz"
    store.put(f"shards/{shard:05d}/{name}", packed)
    # The whole job deduplicates: no shard can say anything of that stage.
    done = Done(file=name, stages=funnel_of(found)[:-1], usage=usage)
    if store.put_new(marker(shard), done.model_dump_json().encode()):
        return done
    return Done.model_validate_json(store.get(marker(shard)))


class _Work:
    """A shard while it is being done."""

    def __init__(self, task: CurationTask, rows: list[Row], ledger: Ledger, reporter: Reporter) -> None:
        self.work = task.work
        self.rows = rows
        self.ledger = ledger
        self.reporter = reporter
        self.funnel = Funnel()
        self.found: list[Record] = []

    async def run(self) -> list[Record]:
        """The rows' records. As many rows are under way as keep the fetches and the models busy."""
        models = open_models(self.work, self.ledger, os.environ)
        waiting = iter(self.rows)
        busy = min(len(self.rows), self.work.recrawl.concurrency + sum(m.endpoint.concurrency for m in models.values()))
        at = self.work.storage
        pages = open_store(at.uri, endpoint=at.endpoint, region=at.region)
        try:
            async with Fetcher(self.work.recrawl, self.work.shards, pages) as fetcher, Judge(models["judge"]) as judge:
                screens = Screens(self.work.filters, self.work.storage)
                crew = Crew(fetcher, models, judge, screens, self.work.filters, self.funnel)
                telling = asyncio.create_task(self._tell())
                try:
                    await together(self._take(waiting, crew) for _ in range(busy))
                finally:
                    telling.cancel()
        finally:
            await close_models(models)
        self._report()
        return self.found

    async def _take(self, waiting: Iterator[Row], crew: Crew) -> None:
        for row in waiting:
            self.found.append(await curate(row, crew))

    async def _tell(self) -> None:
        while True:
            self._report()
            await asyncio.sleep(REPORT_SECONDS)

    def _report(self) -> None:
        self.reporter.update(stages=self.funnel.counts(), usage=self.ledger.usage)
        share = len(self.found) / len(self.rows) if self.rows else 1.0
        self.reporter.advance(share, f"{len(self.found)}/{len(self.rows)} pages")
