"""The places that bytes lie in, by URI: `s3://bucket/prefix` and `file:///path`. Used by `artifact` and by whatever a
workload keeps between pods."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlparse

from reasoner_workloads.common.store_base import Missing, Store, StoreError
from reasoner_workloads.common.store_file import FileStore
from reasoner_workloads.common.store_s3 import S3Store, hurry

__all__ = ["FileStore", "Missing", "S3Store", "Store", "StoreError", "hurry", "open_store"]


def open_store(
    uri: str,
    *,
    endpoint: str | None = None,
    region: str = "us-east-1",
    tell: Callable[[str], None] | None = None,
) -> Store:
    """The store at `s3://bucket[/prefix]` or `file:///path`. S3 credentials come from the environment, as does the
    endpoint (`AWS_ENDPOINT_URL`) where none is given; `tell` hears, once each time, that it is away and waited for.
    Raises ValueError for any other URI."""
    parts = urlparse(uri)
    if parts.scheme == "s3" and parts.netloc:
        return S3Store(parts.netloc, parts.path.strip("/"), endpoint=endpoint, region=region, tell=tell)
    if parts.scheme == "file" and parts.path and parts.netloc in ("", "localhost"):
        return FileStore(Path(unquote(parts.path)))
    raise ValueError(f"{uri!r} is neither s3://bucket/prefix nor file:///path")
