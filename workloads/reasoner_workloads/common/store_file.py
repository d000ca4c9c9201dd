"""A folder as a store. Opened by `store.open_store`."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from reasoner_workloads.common.store_base import CHUNK, Missing, Store, StoreError, replacing


class FileStore(Store):
    """A folder: a shared file system, or a laptop's."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.uri = root.absolute().as_uri()

    def _path(self, key: str) -> Path:
        path = self.root / key
        if not path.absolute().is_relative_to(self.root.absolute()) or ".." in Path(key).parts:
            raise StoreError(f"{key!r} leads out of {self.uri}")
        return path

    def put(self, key: str, data: bytes | Path) -> None:
        with replacing(self._path(key)) as file:
            if isinstance(data, bytes):
                file.write(data)
                return
            with data.open("rb") as source:
                while chunk := source.read(CHUNK):
                    file.write(chunk)

    def put_new(self, key: str, data: bytes) -> bool:
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".tmp-") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).chmod(0o644)
            try:
                # A hard link, unlike a rename, fails where the name is taken.
                path.hardlink_to(file.name)
            except FileExistsError:
                return False
        return True

    def stream(self, key: str, start: int = 0, size: int | None = None) -> Iterator[bytes]:
        left = sys.maxsize if size is None else size
        try:
            with self._path(key).open("rb") as file:
                file.seek(start)
                while chunk := file.read(min(CHUNK, left)):
                    left -= len(chunk)
                    yield chunk
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise Missing(f"{self.at(key)} does not exist") from None

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def list(self, prefix: str = "") -> list[str]:
        # Only the folder that the prefix reaches into is walked.
        base = self._path(prefix.rpartition("/")[0])
        keys = (p.relative_to(self.root).as_posix() for p in base.rglob("*") if p.is_file())
        return sorted(key for key in keys if key.startswith(prefix) and "/.tmp-" not in f"/{key}")

    def delete(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)
