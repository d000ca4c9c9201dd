"""The one face of the places that bytes lie in. Implemented by `store_file` and `store_s3`."""

from __future__ import annotations

import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: Bytes read at a time: large enough for an object store, small enough for a pod.
CHUNK = 1 << 20


class StoreError(Exception):
    """The store cannot be reached, refuses, or does not hold the key. The environment's fault until proven else."""


class Missing(StoreError):
    """The store holds no such key."""


class Store(ABC):
    """Objects by key below one prefix. Keys are relative, with `/` between parts."""

    uri: str
    """The prefix, without a trailing slash."""

    @abstractmethod
    def put(self, key: str, data: bytes | Path) -> None:
        """Write an object whole: a reader sees the old one or the new one."""

    @abstractmethod
    def put_new(self, key: str, data: bytes) -> bool:
        """Write an object unless there is one; whether it was written. Of two writers one wins."""

    @abstractmethod
    def stream(self, key: str, start: int = 0, size: int | None = None) -> Iterator[bytes]:
        """The object's bytes, a chunk at a time: `size` of them from `start`, or all that follow. Raises Missing."""

    @abstractmethod
    def exists(self, key: str) -> bool:
        """Whether there is such an object."""

    @abstractmethod
    def list(self, prefix: str = "") -> list[str]:
        """Keys that start with `prefix`, sorted."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is removed already."""

    def get(self, key: str) -> bytes:
        """The object's bytes. Raises Missing."""
        return b"".join(self.stream(key))

    def download(self, key: str, path: Path) -> None:
        """Write the object to a file, whole or not at all. Raises Missing."""
        with replacing(path) as file:
            for chunk in self.stream(key):
                file.write(chunk)

    def at(self, key: str = "") -> str:
        """The URI of a key."""
        return f"{self.uri}/{key}" if key else self.uri


@contextmanager
def replacing(path: Path) -> Iterator[Any]:
    """A new file that takes the path's place once it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".tmp-", delete=False) as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).chmod(0o644)
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
