"""The source, sorted: each of its parts becomes one object of rows by the hash of their URL, so that any stretch of
the line of hashes is read by a range of bytes, whatever the shards. Called by `pod`.

A part is a run of the source's files; a source of one file, or one with a limit (which counts from the start), is one
part, and one pod's work: reading a list of 5 M rows takes minutes, fetching its pages days."""

from __future__ import annotations

import base64
import gzip
import hashlib
import heapq
import json
import tempfile
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

from reasoner_api.common import Storage
from reasoner_api.curation import Source
from reasoner_workloads.common.store import Store
from reasoner_workloads.curation.source import Item, Listing, listing, read_rows
from reasoner_workloads.curation.stretch import HASH, Part, marker

#: Parts at most: a stretch is read from each of them.
MOST_PARTS = 64
#: Rows and bytes of a block, the least that is read at once; bytes sorted in memory at a time.
BLOCK_ROWS, BLOCK_BYTES, RUN_BYTES = 64, 1 << 20, 32 << 20


def parts_of(source: Source, storage: Storage) -> list[Listing]:
    """The source's files, by part. Raises ConfigError where the source is not as the spec says."""
    return listing(source, storage).parts(1 if source.limit is not None else MOST_PARTS)


def split(source: Source, storage: Storage, files: Listing, store: Store, number: int) -> None:
    """Sort a part's rows into the store, the marker last. Raises ConfigError as `read_rows` does."""
    about = Part(file="", size=0, read=0, rows=0, sound=0, fault="", hashes=[], offsets=[])
    with tempfile.TemporaryDirectory() as folder:
        lines = _sorted(_lines(read_rows(source, storage, files), about), Path(folder))
        path = Path(folder) / "part"
        digest = hashlib.sha256()
        with path.open("wb") as file:
            for block in _blocks(lines):
                packed = gzip.compress(b"".join(block), 1, mtime=0)
                about.hashes.append(block[0][:HASH].decode())
                about.offsets.append(about.size)
                about.size += file.write(packed)
                digest.update(packed)
        about.file = f"parts/{number:03d}-{digest.hexdigest()[:16]}.gz"
        store.put(about.file, path)
    store.put_new(marker(number), about.model_dump_json().encode())


def _lines(items: Generator[Item, None, int], about: Part) -> Iterator[bytes]:
    for item in _counted(items, about):
        about.rows += 1
        value: str | list[str] = item.fault
        if item.row is not None:
            page = base64.b85encode(item.row.packed).decode() if item.row.packed else ""
            value = [item.row.id, item.row.url, item.row.hint, page]
            about.sound += 1
        elif not about.fault:
            about.fault = item.fault
        yield f"{item.place:016x}{item.number:012x}{json.dumps(value)}\n".encode()


def _sorted(lines: Iterable[bytes], folder: Path) -> Iterator[bytes]:
    """The lines in order: by runs on disk beyond what memory is for."""
    runs: list[Path] = []
    run: list[bytes] = []
    size = 0
    for line in lines:
        run.append(line)
        size += len(line)
        if size >= RUN_BYTES:
            runs.append(folder / f"run-{len(runs)}")
            runs[-1].write_bytes(b"".join(sorted(run)))
            run, size = [], 0
    with ExitStack() as opened:
        yield from heapq.merge(sorted(run), *(opened.enter_context(path.open("rb")) for path in runs))


def _blocks(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    block: list[bytes] = []
    size = 0
    for line in lines:
        block.append(line)
        size += len(line)
        if len(block) >= BLOCK_ROWS or size >= BLOCK_BYTES:
            yield block
            block, size = [], 0
    if block:
        yield block


def _counted(items: Generator[Item, None, int], about: Part) -> Iterator[Item]:
    about.read = yield from items
