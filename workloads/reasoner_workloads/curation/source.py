"""The list of crawled questions: JSONL or Parquet, from an object store, a file or the web. Called by `shard`."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_exponential

from reasoner_api.common import Storage
from reasoner_api.curation import Source
from reasoner_workloads.common.run import ConfigError, WorkloadError
from reasoner_workloads.common.store import Missing, StoreError, open_store
from reasoner_workloads.curation.records import Drop, Record, Row


def read_rows(source: Source, storage: Storage, shard: int, shards: int) -> tuple[list[Row], list[Record]]:
    """One shard's rows in the source's order, and the records of those dropped here: rows without a URL
    (`malformed`) and those whose URL an earlier row had (`duplicate_url`). A URL always falls to the same shard.
    Raises ConfigError where the source is not as the spec says."""
    rows: dict[str, Row] = {}
    drops: list[Record] = []
    sound = total = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "source"
        _download(source.uri, storage, path)
        for number, values in enumerate(_values(path, source)):
            if source.limit is not None and number >= source.limit:
                break
            total += 1
            row = _row(values, source)
            sound += row is not None
            if shard_of(row.url if row else f"row {number}", shards) != shard:
                continue
            if row is None:
                drop = Drop(stage="source", reason="malformed", evidence=f"row {number + 1} has no URL")
                drops.append(Record(id=f"row-{number + 1}", url="", drop=drop))
            elif row.url in rows:
                drop = Drop(stage="source", reason="duplicate_url", evidence=rows[row.url].id)
                drops.append(Record(id=row.id, url=row.url, drop=drop))
            else:
                rows[row.url] = row
    if total and not sound:
        raise ConfigError(f"source.columns.url: no row of {source.uri} has a column {source.columns.url!r}")
    return list(rows.values()), drops


def shard_of(key: str, shards: int) -> int:
    """The shard that a key belongs to."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % shards


def _row(values: dict[str, Any], source: Source) -> Row | None:
    columns = source.columns
    url = str(values.get(columns.url) or "").strip()
    if not url.startswith(("http://", "https://")):
        return None
    name = values.get(columns.id)
    return Row(
        id=str(name) if name not in (None, "") else hashlib.sha256(url.encode()).hexdigest()[:16],
        url=url,
        hint=str(values.get(columns.question) or ""),
    )


def _values(path: Path, source: Source) -> Iterator[dict[str, Any]]:
    """The file's rows; a line that is no JSON object is a row without values."""
    if source.format == "parquet":
        wanted = {source.columns.id, source.columns.url, source.columns.question}
        try:
            file = pq.ParquetFile(path)
            for batch in file.iter_batches(columns=[name for name in file.schema_arrow.names if name in wanted]):
                yield from batch.to_pylist()
        except pa.ArrowInvalid as error:
            raise ConfigError(f"source.format: {source.uri} is not Parquet: {error}") from error
        return
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.strip():
                yield _object(line)


def _object(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except json.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _download(uri: str, storage: Storage, path: Path) -> None:
    if uri.startswith(("http://", "https://")):
        try:
            _get(uri, path)
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            kind = ConfigError if status in (401, 403, 404, 410) else WorkloadError
            raise kind(f"source.uri: {uri} answers {status}", reason="SourceUnavailable") from error
        except httpx.HTTPError as error:
            raise WorkloadError(f"source.uri: {uri}: {error}", reason="SourceUnavailable") from error
        return
    folder, _, name = uri.rpartition("/")
    try:
        open_store(folder, endpoint=storage.endpoint, region=storage.region).download(name, path)
    except Missing as error:
        raise ConfigError(f"source.uri: {error}", reason="SourceUnavailable") from error
    except StoreError as error:
        raise WorkloadError(f"source.uri: {error}", reason="SourceUnavailable") from error


@retry(
    retry=retry_if_exception_type(httpx.TransportError),
    stop=stop_after_attempt(5),
    wait=wait_exponential(0.5, max=10),
    reraise=True,
)
def _get(uri: str, path: Path) -> None:
    with httpx.stream("GET", uri, follow_redirects=True, timeout=60) as response, path.open("wb") as file:
        response.raise_for_status()
        for chunk in response.iter_bytes():
            file.write(chunk)
