"""How fast curation asks a model, and beside it two others on the same questions.

The model is one that answers after 100 ms whatever it is asked, in a process of its own whose CPU is not counted
(`throughput/server.py`). First the rate: with 25 to 256 requests in flight at least 0.9 of what that allows must be
reached, up to 1,000 a second on two cores, over twenty seconds of it: the first and the last answers of a run have less
company. Then side by side: curation's models, bespokelabs-curator and datatrove's inference runner, each from PyPI in
an environment of its own, each with 256 requests in flight and keeping every answer so that it is not asked again. Ours
must ask more a second and take less CPU.

    .venv/bin/python benchmarks/curation_throughput.py

The best of several rounds counts, as whatever else runs on the machine makes each slower: the share of its time for
which a client waited for a core tells how much. Exits with 1 where something does not hold."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent / "throughput"
#: Seconds of an answer; share of the ideal rate that must be reached; requests a second that two cores are good for.
LATENCY, SHARE, MOST = 0.1, 0.9, 1000
CONCURRENCIES = (25, 50, 100, 256)
OURS = "curation"
PEERS = {
    "bespokelabs-curator": ("peer_curator.py", ("bespokelabs-curator==0.1.31",)),
    # What its extra `inference` asks for, but for the engines, which nothing here needs.
    "datatrove": (
        "peer_datatrove.py",
        ("datatrove==0.10.1", "aiosqlite", "aiofiles", "httpx", "xxhash", "orjson", "pandas"),
    ),
}


@dataclass(frozen=True)
class Client:
    """Somebody who asks."""

    name: str
    python: Path
    script: str


@dataclass(frozen=True)
class Run:
    """What came of asking."""

    rate: float
    """Requests a second."""
    cpu: float
    """CPU seconds of 1,000 requests."""
    server_cpu: float
    """Those of the model, which do not count."""
    in_flight: int
    waited: float
    """Share of its time for which the client waited for a core that others had."""


@contextmanager
def served() -> Iterator[str]:
    """Where the model is."""
    command = [sys.executable, str(HERE / "server.py"), str(LATENCY)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def ask(client: Client, requests: int, concurrency: int) -> Run:
    """Let a client ask a model of its own."""
    # In memory, where there is such a place: what a disk takes says nothing about who asks.
    shared = Path("/dev/shm")
    with served() as url, tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        told = {"--url": url, "--requests": requests, "--concurrency": concurrency}
        command = [str(client.python), str(HERE / client.script), "--folder", folder]
        command += [str(part) for pair in told.items() for part in pair]
        env = os.environ | {"PYTHONPATH": "", "NO_PROXY": "127.0.0.1"}
        done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
        if done.returncode:
            raise SystemExit(f"{client.name} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
        found = json.loads((Path(folder) / "told.json").read_text())
        with urllib.request.urlopen(f"{url}/stats") as response:
            stats = json.load(response)
    if found["answers"] != requests or stats["answered"] < requests:
        raise SystemExit(f"{client.name}: {found['answers']} answers, {stats['answered']} asked for, of {requests}")
    thousand = 1000 / requests
    return Run(
        rate=requests / found["seconds"],
        cpu=thousand * found["cpu_seconds"],
        server_cpu=thousand * stats["cpu_seconds"],
        in_flight=stats["most_in_flight"],
        waited=found["waited"] / found["seconds"],
    )


def best(runs: list[Run]) -> Run:
    """The best of each figure."""
    return Run(
        rate=max(run.rate for run in runs),
        cpu=min(run.cpu for run in runs),
        server_cpu=min(run.server_cpu for run in runs),
        in_flight=max(run.in_flight for run in runs),
        waited=min(run.waited for run in runs),
    )


def install(name: str, folder: Path) -> Client:
    """A peer in an environment of its own, made where there is none yet."""
    script, packages = PEERS[name]
    python = folder / name / "bin" / "python"
    done = folder / name / "installed"
    if not done.exists():
        print(f"installing {', '.join(packages)} ...", flush=True)
        venv.create(folder / name, with_pip=True, clear=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *packages], check=True)
        done.touch()
    return Client(name, python, script)


def prove_rates(seconds: float, rounds: int) -> int:
    """Whether the rates are reached; how many are not."""
    ours, failed = Client(OURS, Path(sys.executable), "ours.py"), 0
    print("in flight   ideal requests/s   reached   share of it   CPU s/1,000   waited for a core", flush=True)
    for concurrency in CONCURRENCIES:
        ideal = min(concurrency / LATENCY, MOST)
        found = best([ask(ours, round(ideal * seconds), concurrency) for _ in range(rounds)])
        share = found.rate / ideal
        failed += share < SHARE
        line = (
            f"{concurrency:9,} {ideal:18,.0f} {found.rate:9,.0f} {share:13.2f} {found.cpu:13.2f} {found.waited:19.0%}"
        )
        print(line if share >= SHARE else f"{line}  TOO SLOW", flush=True)
    return failed


def compare(requests: int, rounds: int, envs: Path) -> int:
    """Side by side; how many of the peers are ahead in anything."""
    clients = [Client(OURS, Path(sys.executable), "ours.py"), *(install(name, envs) for name in PEERS)]
    runs: dict[str, list[Run]] = {client.name: [] for client in clients}
    for _ in range(rounds):
        for client in clients:
            runs[client.name].append(ask(client, requests, CONCURRENCIES[-1]))
    found = {name: best(each) for name, each in runs.items()}
    ours, failed = found[OURS], 0
    print(f"{'':22} {'requests/s':>11} {'CPU s/1,000':>12} {'server CPU':>11} {'in flight':>10} {'waited':>7}")
    for name, run in found.items():
        ahead = "" if name == OURS else f"  ours: {ours.rate / run.rate:.1f}x, {run.cpu / ours.cpu:.1f}x less CPU"
        figures = f"{run.rate:11,.0f} {run.cpu:12.2f} {run.server_cpu:11.2f} {run.in_flight:10,} {run.waited:7.0%}"
        print(f"{name:22} {figures}{ahead}")
        failed += name != OURS and (run.rate >= ours.rate or run.cpu <= ours.cpu)
    return failed


def main() -> int:
    """Measure and print."""
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("--seconds", type=float, default=20.0, help="of a run at the ideal rate")
    top.add_argument("--requests", type=int, default=3000, help="requests of each client side by side")
    top.add_argument("--rounds", type=int, default=3, help="times that each is measured")
    top.add_argument("--envs", type=Path, help="folder that keeps the peers' environments")
    top.add_argument("--only", choices=("rates", "peers"), help="one half alone")
    arguments = top.parse_args()
    failed = 0
    if arguments.only != "peers":
        failed += prove_rates(arguments.seconds, arguments.rounds)
    if arguments.only != "rates":
        with tempfile.TemporaryDirectory(prefix="peers-") as folder:
            failed += compare(arguments.requests, arguments.rounds, arguments.envs or Path(folder))
    print("all of it holds" if not failed else f"{failed} of it DO NOT HOLD")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
