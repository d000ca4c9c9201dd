"""A few rows of a Parquet file to their values. Called by `formats`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from reasoner_workloads.curation.source.columns import Malformed

#: What values raise that Python has no like of: text that is no UTF-8, dates beyond its calendar, time zones that are
#: none.
_NO_VALUE = (ValueError, OverflowError, LookupError)


def rows_of(batch: pa.RecordBatch) -> Iterator[dict[str, Any] | Malformed]:
    """The values by column, text that the file holds as bytes as text; a row with a value that cannot be read is
    Malformed."""
    try:
        rows = batch.to_pylist()
    except _NO_VALUE:
        yield from (_row(batch.slice(number, 1)) for number in range(batch.num_rows))
    else:
        yield from (_plain(row) for row in rows)


def _row(batch: pa.RecordBatch) -> dict[str, Any] | Malformed:
    found = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            found[name] = _text_as_bytes(column)[0].as_py()
        except _NO_VALUE as error:
            return Malformed(f"has a value of type {column.type} in {name} that cannot be read: {str(error)[:100]}")
    return _plain(found)


def _text_as_bytes(column: pa.Array) -> pa.Array:
    if pa.types.is_string(column.type) or pa.types.is_string_view(column.type):
        return column.cast(pa.binary())
    return column.cast(pa.large_binary()) if pa.types.is_large_string(column.type) else column


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: one.decode("utf-8", "replace") if isinstance(one, bytes) else one for name, one in row.items()}
