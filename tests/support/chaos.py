"""A model that fails, pods that are killed: for tests and benchmarks that hold a CurationJob to what it promises.

`Model` is the stand-in teacher behind faults; it counts what it has answered by the key that a request carries
(`Idempotency-Key`), and knows what the store holds when a pod is killed: an answer that was kept is never asked for
again. `Job` runs pods as Kubernetes would: one that dies is started again with its index."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from aiohttp import web

from reasoner_api.report import RunReport
from reasoner_api.task import TASK, CurationTask
from reasoner_local import teacher
from reasoner_workloads.common.store import Missing, Store, open_store
from support.http_server import serving

#: How a call fails, in turn.
FAULTS = ("429", "500", "time-out", "truncated JSON", "wrong-schema JSON")
#: Seconds until a request counts as failed (more than a busy machine ever takes), and an answer takes.
TIMEOUT, LATENCY = 8.0, 0.01
PRICE = {"inputPerMillion": 1.0, "outputPerMillion": 2.0}


@dataclass
class Model:
    """What a model does and has done. Change `faults` while it is served."""

    url: str = ""
    faults: tuple[str, ...] = ()
    share: float = 0.3
    asked: Counter[str] = field(default_factory=Counter)
    """Requests, by what they ask, repaired ones by what was asked first."""
    answered: Counter[str] = field(default_factory=Counter)
    """Answers sent, by key."""
    injected: Counter[str] = field(default_factory=Counter)
    wanted: Counter[str] = field(default_factory=Counter)
    """How often an undisturbed job asks for each key: rows with the same question, each in a cell of its own, ask the
    same."""
    kept: Counter[str] = field(default_factory=Counter)
    """Keys whose answers were in the store when a pod was killed, by the number of cells that held them."""
    paid_twice: list[str] = field(default_factory=list)
    """Keys asked for although all cells that want them held them."""

    @property
    def answers(self) -> int:
        """Answers sent."""
        return sum(self.answered.values())

    def reset(self) -> None:
        """Forget what was done."""
        for counted in (self.asked, self.answered, self.injected, self.kept, self.paid_twice):
            counted.clear()
        self.faults = ()

    def fault(self, body: dict[str, Any]) -> str | None:
        """How this call fails, if it does: as often as `share` says, by chance and yet the same in each run. No model
        that can be worked with fails twice in a row to fit a schema, so this one does not."""
        asked = hashlib.sha256(json.dumps([body["messages"][:2], body.get("seed")]).encode()).hexdigest()
        self.asked[asked] += 1
        chance = random.Random(f"{asked} {self.asked[asked]}")
        if not self.faults or chance.random() >= self.share:
            return None
        kind = self.faults[sum(self.injected.values()) % len(self.faults)]
        if kind == FAULTS[4] and self.asked[asked] > 1:
            return None
        self.injected[kind] += 1
        return kind


@contextmanager
def model() -> Iterator[Model]:
    """A model while it is served."""
    found = Model()
    known = teacher.Knowledge.of_corpus()

    async def complete(request: web.Request) -> web.Response:
        key, body = request.headers["Idempotency-Key"], json.loads(await request.read())
        if key in found.kept and found.kept[key] >= found.wanted[key]:
            found.paid_twice.append(key)
        kind = found.fault(body)
        if kind == "429":
            return web.json_response({"error": {"message": "slow down"}}, status=429, headers={"Retry-After": "0"})
        if kind == "500":
            return web.json_response({"error": {"message": "oops"}}, status=500)
        if kind == "time-out":
            await asyncio.sleep(20 * TIMEOUT)
        await asyncio.sleep(LATENCY)
        answer = teacher.completion(known, body)
        if kind == "truncated JSON":
            return web.Response(body=json.dumps(answer).encode()[:-40], content_type="application/json")
        if kind == "wrong-schema JSON":
            spoil(answer, "response_format" in body)
        found.answered[key] += kind != "wrong-schema JSON" or "response_format" in body
        return web.json_response(answer)

    app = web.Application(client_max_size=1 << 24)
    app.router.add_post("/v1/chat/completions", complete)
    with serving(app) as url:
        found.url = url
        yield found


def spoil(answer: dict[str, Any], structured: bool) -> None:
    """Make an answer one of another shape: what the model wrote or, where that is free, what holds it."""
    if structured:
        answer["choices"][0]["message"]["content"] = '{"result": "fine", "confidence": 0.99}'
    else:
        answer["choices"] = {"text": "fine"}


def make_task(
    pages: str, model_url: str, storage: dict[str, Any], budget: dict[str, Any] | None = None, **work: Any
) -> CurationTask:
    """The corpus as a job, unless `work` names another source."""
    extractor = {"baseURL": f"{model_url}/v1", "model": "stand-in-teacher", "price": PRICE, "timeoutSeconds": TIMEOUT}
    found = {
        "source": {"uri": f"{pages}/source.jsonl"},
        "recrawl": {"requestsPerSecondPerHost": 500, "allowAddresses": ["127.0.0.0/8"]},
        "models": {"extractor": extractor},
        "split": {"test": 20},
        "storage": storage,
        **work,
    }
    output = f"{storage['uri']}/default/demo"
    task = {"kind": "CurationJob", "namespace": "default", "name": "demo", "output": output, "work": found}
    made = TASK.validate_python({**task, "budget": budget or {}})
    assert isinstance(made, CurationTask)
    return made


@dataclass
class Job:
    """A job's pods, as processes."""

    task: CurationTask
    folder: Path
    pods: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    kills: int = 0

    @property
    def store(self) -> Store:
        """What the job leaves."""
        at = self.task.work.storage
        hexed = self.task.digest.removeprefix("sha256:")
        return open_store(f"{self.task.output}/{hexed}", endpoint=at.endpoint, region=at.region)

    def start(self, index: int) -> None:
        """Start a pod."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "task.json").write_text(self.task.model_dump_json(by_alias=True, exclude_none=True))
        env = os.environ | {
            "POD_IP": "127.0.0.1",
            "REPORT_PORT": "0",
            "TERMINATION_MESSAGE_PATH": str(self.word(index)),
            "JOB_COMPLETION_INDEX": str(index),
        }
        command = [sys.executable, "-W", "error", "-m", "reasoner_workloads", "curation", "--task"]
        with (self.folder / f"log-{index}").open("ab") as log:
            self.pods[index] = subprocess.Popen(
                [*command, str(self.folder / "task.json")],
                env=env,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Apart, as containers are: the scheduler gives each its share, and no signal reaches it by the way.
                start_new_session=True,
            )

    def word(self, index: int) -> Path:
        """A pod's termination message."""
        return self.folder / f"word-{index}"

    def run(self, seconds: float = 300) -> list[RunReport]:
        """Run all pods to their end; what each has said."""
        with self._started():
            self._wait(time.monotonic() + seconds)
        return self.words()

    def run_under_fire(self, model: Model, kills: int, seconds: float = 600) -> list[RunReport]:
        """Run, while pods are killed at moments chosen by chance, over the whole of the work; each is started again.
        What an undisturbed job asks (`wanted`) must be known."""
        chance, end = random.Random(kills), time.monotonic() + seconds
        moments = sorted(chance.sample(range(1, int(0.95 * model.wanted.total())), kills))
        with self._started():
            while moments and (alive := [index for index, pod in self.pods.items() if pod.poll() is None]):
                assert time.monotonic() < end, f"{len(moments)} kills are left, {model.answers} answers were given"
                if model.answers >= moments[0]:
                    moments.pop(0)
                    self.kill(chance.choice(alive), model)
                time.sleep(0.005)
            self._wait(end)
        return self.words()

    @contextmanager
    def _started(self) -> Iterator[None]:
        """All pods; those that still run at the end are killed."""
        try:
            for index in range(self.task.work.shards):
                self.start(index)
            yield
        finally:
            for pod in self.pods.values():
                pod.kill()
                pod.wait()

    def _wait(self, end: float) -> None:
        for pod in self.pods.values():
            pod.wait(max(0.0, end - time.monotonic()))

    def words(self) -> list[RunReport]:
        """What the pods have said at their end, by index."""
        return [RunReport.model_validate_json(self.word(index).read_text()) for index in sorted(self.pods)]

    def kill(self, index: int, model: Model) -> None:
        """Kill a pod, note what is kept, and start the pod again."""
        self.pods[index].send_signal(signal.SIGKILL)
        self.pods[index].wait()
        model.kept = kept_keys(self.task)
        self.kills += 1
        self.start(index)


def kept_keys(task: CurationTask) -> Counter[str]:
    """The requests whose answers are in the store, by the number of cells that hold them."""
    at = task.work.storage
    store = open_store(at.uri, endpoint=at.endpoint, region=at.region)
    found: set[tuple[str, str]] = set()
    for name in store.list("cache/responses/"):
        try:
            packed = store.get(name)
        except Missing:  # a pod joins its cells meanwhile
            continue
        with pa.CompressedInputStream(pa.BufferReader(packed), "zstd") as stream:
            found |= {(name.rpartition("/")[0], json.loads(line)["key"]) for line in stream.read().splitlines()}
    return Counter(key for _, key in found)
