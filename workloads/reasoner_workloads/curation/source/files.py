"""The files of a place, one at a time on this machine's disk. Called by `source`."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from reasoner_api.common import Storage
from reasoner_api.curation import Benchmark, Source, SourceFormat
from reasoner_workloads.common.run import ConfigError, WorkloadError
from reasoner_workloads.common.store import Missing, Store, StoreError, open_store
from reasoner_workloads.curation.charset import storable
from reasoner_workloads.curation.source import web
from reasoner_workloads.curation.source.columns import names_of

SUFFIXES = (".jsonl", ".ndjson", ".json", ".parquet", ".csv", ".warc")
PACKED = (".gz", ".zst")


@dataclass(frozen=True)
class Place:
    """Where rows lie, and how the spec calls it in messages."""

    uri: str
    format: SourceFormat | None
    columns: frozenset[str]
    """The columns that matter."""
    field: str

    @classmethod
    def of_source(cls, source: Source) -> Place:
        """The place of the crawled questions."""
        names = frozenset(name for known in names_of(source.columns).values() for name in known)
        return cls(source.uri, source.format, names, "source")

    @classmethod
    def of_benchmark(cls, benchmark: Benchmark, number: int) -> Place:
        """The place of the spec's n-th benchmark, from 0."""
        return cls(benchmark.uri, benchmark.format, frozenset(benchmark.columns), f"filters.decontaminate[{number}]")

    def fault(self, message: str, part: str = "uri") -> ConfigError:
        """The user's fault at this place."""
        return ConfigError(f"{self.field}.{part}: {message}", reason="SourceUnavailable")


@dataclass(frozen=True)
class File:
    """One file on this machine."""

    name: str
    path: Path
    alone: bool
    """Whether it is the only one."""


@dataclass(frozen=True)
class Listing:
    """The names of a place's files, in their order."""

    base: str
    """What comes before each name."""
    names: tuple[str, ...]
    alone: bool
    """Whether the place has one file only."""

    def parts(self, most: int) -> list[Listing]:
        """The same files as at most so many listings, in their order and of nearly the same lengths."""
        count = min(most, len(self.names))
        cuts = [len(self.names) * n // count for n in range(count + 1)]
        return [replace(self, names=self.names[a:b]) for a, b in itertools.pairwise(cuts)]


def listing_of(place: Place, storage: Storage) -> Listing:
    """The files of a place that hold rows. Raises ConfigError where there are none."""
    with _faults(place):
        base, names = web.names_of(place.uri) if _on_web(place) else _names(place.uri, storage)
    # A folder also holds what is no list of questions: a README, a marker.
    wanted = [name for name in names if not place.uri.endswith("/") or (place.format or is_listing(name))]
    wanted = [name for name in wanted if not unquote(name).rpartition("/")[2].startswith((".", "_"))]
    if not wanted:
        raise place.fault(f"{place.uri} holds no file of rows ({', '.join(SUFFIXES)}, also {' and '.join(PACKED)})")
    return Listing(base, tuple(wanted), len(wanted) == 1)


@contextmanager
def files_of(place: Place, storage: Storage, files: Listing) -> Iterator[Iterator[File]]:
    """These files of a place; each is there until the next is asked for."""
    with tempfile.TemporaryDirectory() as folder:
        yield _files(place, storage, files, Path(folder) / "source")


def _files(place: Place, storage: Storage, files: Listing, path: Path) -> Iterator[File]:
    for name in files.names:
        with _faults(place):
            on_web = _on_web(place)
            local = web.download(files.base + name, path) if on_web else _local(files.base, name, storage, path)
        yield File(storable(name.rpartition("/")[2]), local, files.alone)


def _on_web(place: Place) -> bool:
    return place.uri.startswith(("http://", "https://"))


def is_listing(name: str) -> bool:
    """Whether a file's name says that it holds rows."""
    plain = name.lower()
    for packed in PACKED:
        plain = plain.removesuffix(packed)
    return plain.endswith(SUFFIXES)


def _names(uri: str, storage: Storage) -> tuple[str, list[str]]:
    if not uri.endswith("/"):
        folder, _, name = uri.rpartition("/")
        return folder, [unquote(name) if uri.startswith("file:") else name]
    return uri.rstrip("/"), _store(uri.rstrip("/"), storage).list()


def _store(uri: str, storage: Storage) -> Store:
    return open_store(uri, endpoint=storage.endpoint, region=storage.region)


def _local(folder: str, name: str, storage: Storage, path: Path) -> Path:
    """The file itself where it is on this machine, else a copy; of an object store's, boto3 checks each part."""
    if folder.startswith("file:"):
        found = Path(unquote(urlsplit(folder).path)) / name
        if not found.is_file():
            raise Missing(f"{folder}/{name} does not exist")
        return found
    _store(folder, storage).download(name, path)
    return path


@contextmanager
def _faults(place: Place) -> Iterator[Any]:
    """Whose fault it is that a file is not to be had."""
    try:
        yield
    except (Missing, ValueError) as error:
        raise place.fault(str(error)) from error
    except (StoreError, web.Unavailable) as error:
        raise WorkloadError(f"{place.field}.uri: {error}", reason="SourceUnavailable") from error
    except web.Refused as error:
        raise place.fault(str(error)) from error
