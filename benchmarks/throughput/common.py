"""What the clients of `curation_throughput.py` have in common; each runs it in an environment of its own, so it needs
nothing but Python."""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SYSTEM = "You solve exam questions. Reason step by step, then end with your final answer in \\boxed{}."


def question(number: int) -> str:
    """A prompt like the pipeline's, another one for each number."""
    return f"Question {number}: " + "a body of mass m moves along a line with the given speed and force. " * 6


def arguments() -> argparse.Namespace:
    """What a client is told."""
    top = argparse.ArgumentParser()
    top.add_argument("--url", required=True)
    top.add_argument("--requests", type=int, required=True)
    top.add_argument("--concurrency", type=int, required=True)
    top.add_argument("--folder", type=Path, required=True)
    return top.parse_args()


def _cpu() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def _waited() -> float:
    """Seconds for which this thread could have run and had no core (Linux tells; elsewhere 0)."""
    told = Path("/proc/thread-self/schedstat")
    return int(told.read_text().split()[1]) / 1e9 if told.exists() else 0.0


@contextmanager
def measured(out: Path) -> Iterator[dict[str, float]]:
    """Wall and CPU seconds of the block and those it waited for a core, imports left out. `answers` is for the client
    to set."""
    told: dict[str, float] = {}
    began, cpu, waited = time.monotonic(), _cpu(), _waited()
    yield told
    told |= {"seconds": time.monotonic() - began, "cpu_seconds": _cpu() - cpu, "waited": _waited() - waited}
    out.write_text(json.dumps(told))
