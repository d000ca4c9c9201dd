"""Benchmarks' words, which the dataset must not hold. Called by `screens`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reasoner_api.common import Storage
from reasoner_api.curation import Benchmark
from reasoner_workloads.common.run import ConfigError
from reasoner_workloads.curation.charset import storable
from reasoner_workloads.curation.source import values
from reasoner_workloads.curation.source.columns import Malformed
from reasoner_workloads.curation.source.files import Place
from reasoner_workloads.curation.wording import key

#: Hashes gathered before they are packed.
_CHUNK = 1 << 20


class Contamination:
    """The runs of words of one benchmark, eight bytes each; texts shorter than a run count as a whole."""

    def __init__(self, benchmark: Benchmark, number: int, words: int, storage: Storage) -> None:
        self.uri = benchmark.uri
        self.words = words
        self._hashes = _packed(self._read(benchmark, number, storage))

    def _read(self, benchmark: Benchmark, number: int, storage: Storage) -> Iterator[int]:
        rows = texts = 0
        for _, found in values(Place.of_benchmark(benchmark, number), storage):
            rows += 1
            if isinstance(found, Malformed):
                continue
            for text in filter(None, (_text(found.get(name)) for name in benchmark.columns)):
                texts += 1
                yield from map(_hash, _runs(text, self.words))
        if rows and not texts:
            names = ", ".join(benchmark.columns)
            raise ConfigError(f"filters.decontaminate[{number}].columns: no row of {self.uri} has text in {names}")

    def shared(self, question: str) -> str | None:
        """The first run of words that a question shares with the benchmark."""
        runs = list(_runs(question, self.words))
        if not runs or not len(self._hashes):
            return None
        wanted = np.fromiter(map(_hash, runs), np.uint64, len(runs))
        places = np.minimum(np.searchsorted(self._hashes, wanted), len(self._hashes) - 1)
        hits = np.flatnonzero(self._hashes[places] == wanted)
        return runs[hits[0]] if len(hits) else None


def _runs(text: str, length: int) -> Iterator[str]:
    words = key(text).split()
    if words and len(words) < length:
        # Marked, so that a whole text is no part of a longer one.
        yield f"^{' '.join(words)}$"
    for start in range(len(words) - length + 1):
        yield " ".join(words[start : start + length])


def _hash(run: str) -> int:
    return int.from_bytes(hashlib.blake2b(run.encode(), digest_size=8).digest(), "big")


def _packed(hashes: Iterator[int]) -> NDArray[np.uint64]:
    """Sorted and without doubles, never more than a chunk of them as Python numbers."""
    whole = np.empty(0, np.uint64)
    chunk: list[int] = []
    for one in hashes:
        chunk.append(one)
        if len(chunk) == _CHUNK:
            whole, chunk = np.union1d(whole, np.array(chunk, np.uint64)), []
    return np.union1d(whole, np.array(chunk, np.uint64))


def _text(value: Any) -> str:
    """A column's text; the parts of a list, such as a question's options, in their order."""
    if isinstance(value, list):
        return " ".join(filter(None, map(_text, value)))
    return storable(value) if isinstance(value, str) else ""
