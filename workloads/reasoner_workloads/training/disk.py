"""A pod's own disk that is full, said in plain words: torch speaks of positions in containers, and what would show it
is removed before anybody looks. Used by the trainers; loads no torch."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from reasoner_workloads.common.run import WorkloadError

#: Free bytes below which a disk is full: what libraries write they write in larger pieces.
FULL = 1 << 20


@contextlib.contextmanager
def told_when_full(folder: Path) -> Iterator[None]:
    """Raise WorkloadError where something fails while the disk that the folder lies on is full."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        disk = shutil.disk_usage(folder)
        if getattr(error, "errno", None) != errno.ENOSPC and disk.free >= FULL:
            raise
        raise WorkloadError(
            f"the pod's disk at {folder} is full, {disk.total / 1e9:.3g} GB in all: inputs, the newest checkpoint and "
            "the one on its way to the store must fit on it at a time; ask for more in compute.resources "
            f"(ephemeral-storage), or mount a volume there ({type(error).__name__}: {error})",
            reason="DiskFull",
        ) from error
