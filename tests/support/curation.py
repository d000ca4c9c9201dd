"""The source as pods read it, for tests: split into a store, read back, and put in the order in which it was listed."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from reasoner_api.common import Storage
from reasoner_api.curation import CurationWork, Source
from reasoner_workloads.common.store import FileStore, Store
from reasoner_workloads.curation.buckets import plan
from reasoner_workloads.curation.claims import Claims
from reasoner_workloads.curation.pod import split_source
from reasoner_workloads.curation.records import Record, Row
from reasoner_workloads.curation.source import listing, read_rows
from reasoner_workloads.curation.stretch import stretch

FILE = Storage(uri="file:///nowhere")


def make_work(source: Source, storage: Storage = FILE, **work: Any) -> CurationWork:
    """The work that reads a source."""
    models = {"extractor": {"baseURL": "http://nowhere/v1", "model": "m"}}
    return CurationWork.model_validate({"source": source, "models": models, "storage": storage, **work})


def buckets_of(source: Source, store: Store, shards: int, storage: Storage = FILE) -> list[list[Row | Record]]:
    """What each bucket of a split source holds."""
    parts = split_source(make_work(source, storage), store, Claims(store, 0))
    return [list(stretch(store, parts, bucket.low, bucket.high)) for bucket in plan(parts, shards)]


def read_source(source: Source, storage: Storage = FILE) -> list[Row | Record]:
    """Rows, and why others are none, in the order of the source."""
    with tempfile.TemporaryDirectory() as folder:
        found = [one for bucket in buckets_of(source, FileStore(Path(folder)), 1, storage) for one in bucket]
    order: dict[str, int] = {}
    for item in read_rows(source, storage, listing(source, storage)):
        order.setdefault(item.row.url if item.row else f"row-{item.number}", item.number)
    return sorted(found, key=lambda one: order[one.url or one.id])
