"""A pod's own disk that is full."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from reasoner_workloads.common.run import WorkloadError
from reasoner_workloads.training.disk import FULL, told_when_full

#: What torch says of it.
TORCH = RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 2666368 vs 2666256")


@pytest.mark.parametrize(
    ("error", "free", "full"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), FULL, True),
        (TORCH, 0, True),
        (TORCH, FULL, False),
        (OSError(errno.EIO, os.strerror(errno.EIO)), FULL, False),
        (ValueError("no such layer"), 0, False),
    ],
)
def test_it_is_said_in_plain_words(
    error: Exception, free: int, full: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=20e9, free=free))
    with pytest.raises(WorkloadError if full else type(error)) as caught, told_when_full(tmp_path):
        raise error
    if full:
        assert isinstance(caught.value, WorkloadError) and caught.value.reason == "DiskFull"
        assert str(caught.value).startswith(f"the pod's disk at {tmp_path} is full, 20 GB in all")
        assert str(error) in str(caught.value)
