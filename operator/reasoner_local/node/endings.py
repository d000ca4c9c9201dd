"""A container's termination message. Used by `container`."""

from __future__ import annotations

from pathlib import Path

from reasoner_local.client import Obj

#: Bytes of a message; bytes and lines of the log's end where that stands in for it. The kubelet's own limits.
_MESSAGE_LIMIT, _LOG_TAIL, _LOG_LINES = 4096, 2048, 80


def message(container: Obj, file: Path, log: Path, code: int) -> str:
    """What the container left as its last word; where it failed without, its log's end if its policy says so."""
    text = file.read_bytes()[:_MESSAGE_LIMIT].decode(errors="replace") if file.is_file() else ""
    if text or code == 0 or container.get("terminationMessagePolicy") != "FallbackToLogsOnError":
        return text
    with log.open("rb") as lines:
        lines.seek(max(0, log.stat().st_size - _LOG_TAIL))
        last = lines.read().decode(errors="replace").splitlines(keepends=True)
    return "".join(last[-_LOG_LINES:])
