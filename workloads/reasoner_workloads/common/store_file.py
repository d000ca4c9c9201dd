"""A folder as a store. Opened by `store.open_store`."""

from __future__ import annotations

import io
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
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

    @contextmanager
    def _speaking_of(self, key: str) -> Iterator[Path]:
        """The key's file; the disk's failures as StoreErrors that name the object."""
        path = self._path(key)
        try:
            yield path
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise Missing(f"{self.at(key)} does not exist") from None
        except OSError as error:
            raise StoreError(f"{self.at(key)}: {error.strerror or error}") from error

    def put(self, key: str, data: bytes | Path) -> None:
        with ExitStack() as stack:
            # Opened first: that it is not there is no failure of the store's.
            source = io.BytesIO(data) if isinstance(data, bytes) else stack.enter_context(data.open("rb"))
            file = stack.enter_context(replacing(stack.enter_context(self._speaking_of(key))))
            shutil.copyfileobj(source, file, CHUNK)

    def put_new(self, key: str, data: bytes) -> bool:
        with self._speaking_of(key) as path:
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
        with self._speaking_of(key) as path, path.open("rb") as file:
            file.seek(start)
            while chunk := file.read(min(CHUNK, left)):
                left -= len(chunk)
                yield chunk

    def exists(self, key: str) -> bool:
        with self._speaking_of(key) as path:
            return path.is_file()

    def list(self, prefix: str = "") -> list[str]:
        # Only what the prefix reaches is walked.
        folder, _, start = prefix.rpartition("/")
        with self._speaking_of(folder) as base:
            reached = [path for path in base.glob("*") if path.name.startswith(start)]
            files = (path for one in reached for path in (one, *one.rglob("*")) if path.is_file())
            keys = (path.relative_to(self.root).as_posix() for path in files)
            return sorted(key for key in keys if "/.tmp-" not in f"/{key}")

    def delete(self, key: str) -> None:
        with self._speaking_of(key) as path:
            path.unlink(missing_ok=True)
