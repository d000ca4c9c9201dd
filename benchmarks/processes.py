"""What the benchmarks of training share: the environment of a pod, and the processes of its ranks."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def environment(word: Path) -> dict[str, str]:
    """A pod's environment on this machine; its last word is left in the file."""
    here = Path(sys.executable).parent
    return {
        **os.environ,
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        "PATH": f"{here}{os.pathsep}{os.environ.get('PATH', '')}",  # DeepSpeed looks for ninja there
        "POD_IP": "127.0.0.1",
        "REPORT_PORT": "0",
        "TERMINATION_MESSAGE_PATH": str(word),
    }


def rank_of(pod: int, rank: int) -> int | None:
    """The process of a rank: a grandchild of the pod's, by way of torchrun."""
    parents = {}
    for folder in Path("/proc").iterdir():
        try:
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
            if folder.name.isdigit():
                parents[int(folder.name)] = int(stat[1])
        except OSError:
            continue  # not a process, or gone meanwhile
    for pid in sorted(parents):
        if parents.get(parents[pid]) == pod:
            try:
                if f"RANK={rank}".encode() in (Path("/proc") / str(pid) / "environ").read_bytes().split(b"\0"):
                    return pid
            except OSError:
                continue
    return None
