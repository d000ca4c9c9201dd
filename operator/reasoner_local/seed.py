"""What the samples start from: tiny stand-in models and their questions, published to the cluster's object store.
Called by `demo` and `cli`. They are made by the workloads, which this package starts and never imports."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping

#: Prefix that the samples name.
URI = "s3://reasoner/seed"


def available() -> bool:
    """Whether the extra `trainer` is installed, without which there is nothing to make models with."""
    return importlib.util.find_spec("torch") is not None


def command() -> list[str]:
    """The command that makes and publishes them; one whose artifacts exist does nothing."""
    return [sys.executable, "-m", "reasoner_workloads.tiny", "--output", URI]


def environment(cluster: Mapping[str, str]) -> dict[str, str]:
    """The command's environment: this process's and the cluster's object store. Threads that spin while others
    want the core make tiny models twenty times slower; progress bars of a millisecond help nobody."""
    quiet = {"TQDM_DISABLE": "1", "DS_ACCELERATOR": "cpu"}
    return {**os.environ, **cluster, **quiet, "OMP_NUM_THREADS": "1"}


def run(cluster: Mapping[str, str]) -> int:
    """Make and publish them, output shown. Returns the exit code."""
    return subprocess.run(command(), env=environment(cluster), check=False).returncode
