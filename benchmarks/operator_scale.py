"""How the embedded API server carries an operator: N custom resources are created, a kopf operator makes a Job for
each, and a watch counts the Jobs. Two operators: `reasoner operator` itself, and a minimal one on kopf that makes the
Job and writes a phase. Server, operator and the counting client are processes of their own.

    python benchmarks/operator_scale.py

prints a table and a verdict, and exits with 1 where it does not hold. On a machine that others use, wall time says
little: `wall` is what the clock says, `less waiting` the same less the time that the server or the operator (the
larger of the two) was ready to run and had no core, as the kernel counts it, and never less than the CPU that either
used. The verdict looks at the latter and at the seconds of CPU, which contention raises by a third at most.
`reasoner operator` asks three times as much as the minimal one: a ConfigMap, a Job, statuses and Events for each
object, thirteen requests, so it is held to larger limits."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import kopf

from reasoner_api.crd import KINDS, custom_resource_definition
from reasoner_local.client import CRDS, JOBS, Client, Resource
from reasoner_local.kubeconfig import Login, read, write

CURATIONS = Resource("reasoner.dev", "v1alpha1", "curationjobs", "CurationJob")
COLUMNS = ("operator", "objects", "wall s", "less waiting s", "server CPU s", "operator CPU s", "server ms/object")
#: What must hold for the small count: seconds until all Jobs are seen, and of the server's CPU.
LIMITS = {"kopf": (10.0, 5.0), "reasoner": (20.0, 10.0)}
#: How much dearer an object may be among the large count.
MAX_RATIO = 1.5
#: Seconds until a run is given up.
PATIENCE = 1800.0
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Row:
    """One run's figures, seconds."""

    operator: str
    objects: int
    wall: float
    waited: float
    server: float
    working: float

    @property
    def unhindered(self) -> float:
        """Seconds that it takes where a core is free whenever one is wanted; an estimate."""
        return max(self.wall - self.waited, self.server, self.working)

    @property
    def each(self) -> float:
        """Server CPU for one object, milliseconds."""
        return 1000 * self.server / self.objects

    def shown(self) -> str:
        """A line of the table."""
        figures = (self.wall, self.unhindered, self.server, self.working, self.each)
        return f"{self.operator:>16} | {self.objects:>16} | " + " | ".join(f"{figure:>16.2f}" for figure in figures)


@dataclass(frozen=True)
class Spent:
    """What a process has used so far, seconds: CPU, and waiting for a core."""

    cpu: float
    waited: float

    @classmethod
    def of(cls, pid: int) -> Spent:
        """As the kernel tells."""
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        # Threads wait beside one another: the one that waited longest.
        waits = [int(task.read_text().split()[1]) for task in Path(f"/proc/{pid}/task").glob("*/schedstat")]
        return cls((int(fields[11]) + int(fields[12])) / TICKS, max(waits) / 1e9)


def main() -> int:
    """Run; 1 where the verdict is no."""
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("--objects", type=int, nargs=2, default=[1000, 5000], metavar=("SMALL", "LARGE"))
    top.add_argument("--operators", nargs="+", choices=["kopf", "reasoner"], default=["kopf", "reasoner"])
    top.add_argument("--minimal", type=Path, help=argparse.SUPPRESS)
    given = top.parse_args()
    if given.minimal:
        run_minimal(given.minimal)
        return 0
    print(" | ".join(f"{name:>16}" for name in COLUMNS), flush=True)
    verdicts = []
    for operator in given.operators:
        small, large = (measure(operator, count) for count in given.objects)
        verdicts += judge(small, large)
    print("\n".join(text for _, text in verdicts))
    held = all(good for good, _ in verdicts)
    print("the verdict: it holds" if held else "the verdict: it does not hold")
    return 0 if held else 1


def judge(small: Row, large: Row) -> list[tuple[bool, str]]:
    """What must hold, each with a sentence that says how it stands."""
    (most, cpu), name, seconds = LIMITS[small.operator], small.operator, small.unhindered
    ratio = large.each / small.each
    return [
        (seconds < most, f"{name}: {small.objects} Jobs seen in {seconds:.1f} s (< {most:g})"),
        (small.server < cpu, f"{name}: server CPU {small.server:.1f} s (< {cpu:g})"),
        (ratio < MAX_RATIO, f"{name}: an object among {large.objects} costs {ratio:.2f} times (< {MAX_RATIO:g})"),
    ]


def measure(operator: str, count: int) -> Row:
    """One run from nothing."""
    with tempfile.TemporaryDirectory(prefix="operator-scale-") as folder, _server() as (server, url):
        kubeconfig = write(Path(folder) / "kubeconfig", Login(url, "any"))
        asyncio.run(_install(url))
        with _operator(operator, kubeconfig, Path(folder) / "operator.log") as working:
            row = asyncio.run(_run(operator, count, url, (server.pid, working.pid)))
    print(row.shown(), flush=True)
    return row


async def _install(url: str) -> None:
    async with Client(Login(url)) as client:
        for kind in KINDS.values():
            await client.create(CRDS, custom_resource_definition(kind))


async def _run(operator: str, count: int, url: str, pids: tuple[int, int]) -> Row:
    async with Client(Login(url)) as client:
        await _warm_up(client)
        before, began = [Spent.of(pid) for pid in pids], time.monotonic()
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            group.create_task(_all_seen(client, count))
            for part in range(8):
                group.create_task(_create(client, range(part, count, 8)))
        wall = time.monotonic() - began
        after = [Spent.of(pid) for pid in pids]
    server, working = (after[i].cpu - before[i].cpu for i in (0, 1))
    waited = max(after[i].waited - before[i].waited for i in (0, 1))
    return Row(operator, count, wall, waited, server, working)


async def _warm_up(client: Client) -> None:
    """Await that the operator works: it has made one Job, which then goes."""
    made = await client.create(CURATIONS, _manifest("warm-up"))
    while not (await client.list(JOBS))[0]:  # noqa: ASYNC110 - another process is waited for
        await asyncio.sleep(0.05)
    await client.delete(CURATIONS, made)
    while (await client.list(JOBS))[0]:  # noqa: ASYNC110
        await asyncio.sleep(0.05)


async def _all_seen(client: Client, count: int) -> None:
    """Watch until that many Jobs were seen."""
    seen: set[str] = set()
    _, version = await client.list(JOBS)
    while len(seen) < count:
        async for kind, job in client.watch(JOBS, version):
            version = job["metadata"]["resourceVersion"]
            if kind == "ADDED":
                seen.add(job["metadata"]["name"])
            if len(seen) >= count:
                break


async def _create(client: Client, numbers: range) -> None:
    for number in numbers:
        await client.create(CURATIONS, _manifest(f"run-{number}"))


def _manifest(name: str) -> dict[str, Any]:
    model = {"baseURL": "http://teacher/v1", "model": "teacher"}
    spec = {
        "source": {"uri": "s3://bucket/source.jsonl"},
        "storage": {"uri": "s3://bucket/out"},
        "models": dict.fromkeys(("extractor", "annotator", "solver", "judge"), model),
    }
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


@contextmanager
def _server() -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "reasoner_local.apiserver"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().strip()
        finally:
            process.terminate()


@contextmanager
def _operator(which: str, kubeconfig: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    commands = {
        "kopf": [sys.executable, __file__, "--minimal", str(kubeconfig)],
        "reasoner": [sys.executable, "-m", "reasoner_operator.cli", "operator", "--kubeconfig", str(kubeconfig)],
    }
    with log.open("wb") as out, subprocess.Popen(commands[which], stdout=out, stderr=out) as process:
        try:
            yield process
        except BaseException:
            print(log.read_text()[-4000:], file=sys.stderr)
            raise
        finally:
            process.terminate()


def run_minimal(kubeconfig: Path) -> None:
    """The minimal operator: a Job for every CurationJob, a phase in its status."""
    os.environ["KUBECONFIG"] = str(kubeconfig)
    url = read(kubeconfig).url
    session: list[aiohttp.ClientSession] = []

    @kopf.on.login()
    def login(**arguments: Any) -> Any:
        return kopf.login_with_kubeconfig(**arguments)

    @kopf.on.startup()
    async def start(**_: Any) -> None:
        session.append(aiohttp.ClientSession(url))

    @kopf.on.cleanup()
    async def end(**_: Any) -> None:
        await session[0].close()

    @kopf.on.create(CURATIONS.group, CURATIONS.version, CURATIONS.plural)
    async def create(name: str, namespace: str, body: kopf.Body, patch: kopf.Patch, **_: Any) -> None:
        container = {"name": "main", "image": "busybox", "command": ["true"]}
        template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
        job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": template}}
        kopf.adopt(job, owner=body)
        async with session[0].post(JOBS.path(namespace), data=json.dumps(job)) as answer:
            if answer.status not in (201, 409):
                raise kopf.TemporaryError(await answer.text(), delay=1)
        patch.status["phase"] = "Running"

    asyncio.run(kopf.operator(standalone=True, clusterwide=True))


if __name__ == "__main__":
    sys.exit(main())
