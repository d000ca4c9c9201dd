"""Rows of a file that a user brings: Parquet or JSON Lines. Read by `benchmark` and `score`; loads no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from reasoner_workloads.common.run import ConfigError

#: Endings of the files that are read.
ENDINGS = (".parquet", ".jsonl")


def read(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """Each row with the place that messages name it by. Raises ConfigError naming the line."""
    if path.suffix == ".parquet":
        return _parquet(path)
    if path.suffix == ".jsonl":
        return _json_lines(path)
    raise ConfigError(f"{path.name} is neither Parquet nor JSON Lines: its name must end in {' or '.join(ENDINGS)}")


def _parquet(path: Path) -> list[tuple[str, dict[str, Any]]]:
    import pyarrow
    import pyarrow.parquet

    try:
        rows = pyarrow.parquet.read_table(path).to_pylist()
    except pyarrow.ArrowException as error:
        raise ConfigError(f"{path.name} is no Parquet file: {error}") from error
    return [(f"row {number}", row) for number, row in enumerate(rows, 1)]


def _json_lines(path: Path) -> list[tuple[str, dict[str, Any]]]:
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ConfigError(f"line {number} of {path.name} is no JSON: {error}") from error
        if not isinstance(row, dict):
            raise ConfigError(f"line {number} of {path.name} is no JSON object")
        rows.append((f"line {number}", row))
    return rows
