"""What the benchmarks of training share: a pod's environment, the processes of its ranks, a verifier's task."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any


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


def verifier_task(root: Path, output: Path, processes: int, training: dict[str, Any]) -> dict[str, Any]:
    """A VerifierTask on the seeds below `root`: `training` over what suits them."""
    usual = {"learningRate": 0.003, "maxLength": 96, "bf16": False, "gradientCheckpointing": False}
    return {
        "kind": "VerifierTraining",
        "namespace": "default",
        "name": output.name,
        "output": output.as_uri(),
        "dataset": {"uri": f"{root.as_uri()}/verdicts"},
        "topology": {"processesPerNode": processes},
        "work": {
            "baseModel": f"{root.as_uri()}/verifier-base",
            "storage": {"uri": output.as_uri()},
            "evaluation": {"holdout": 0.01, "maxRows": 8},
            "training": {**usual, **training, "args": {"logging_steps": 1, **training.get("args", {})}},
        },
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
