"""Does the reward keep up? Cases are judged by the reward's own client against a fake verifier, in a process of its
own, that takes 50 ms for each reply; beside it the same is asked by the openai package in the way its manual shows.
The paper's 7B step needs 332 verifications a second to hold the reward under a tenth of it (8,192 verifications in a
step of 247 s). It holds when the client reaches 2,000 a second on two cores in the best of its rounds, and takes no
more CPU a call than the openai package. `python benchmarks/reward_client.py`."""

from __future__ import annotations

import argparse
import asyncio
import functools
import multiprocessing
import os
import re
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from openai import AsyncOpenAI
from pydantic_core import to_json

from reasoner_api.common import VerifierPrompt
from reasoner_api.reward import Reward
from reasoner_api.task import VerifierEndpoint
from reasoner_workloads.grpo.circuit import Patience
from reasoner_workloads.grpo.judging import Case
from reasoner_workloads.grpo.verifier_client import VerifierClient
from reasoner_workloads.verifier.prompt import ask, decided

Way = Callable[[list[Case]], Coroutine[Any, Any, list[bool | None]]]

WANTED = 2000.0
SECONDS = 0.05
BATCH = 8
ANSWER = re.compile(rb"4 \+ 8t, ([0-9]+)")
PROMPT = VerifierPrompt()
#: About what a verifier writes before it decides.
THOUGHT = "The student's answer and the ground truth are compared part by part. " * 8
QUESTION = "A particle moves along the line through two points. What are its coordinates after t seconds? " * 3


def main() -> int:
    """Run all rounds and print a table; 1 where it does not hold."""
    top = argparse.ArgumentParser(description=__doc__)
    top.add_argument("--calls", type=int, default=10_000, help="cases a round")
    top.add_argument("--rounds", type=int, default=3, help="rounds of the client")
    top.add_argument("--concurrency", type=int, default=256, help="requests in flight")
    arguments = top.parse_args()
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{ours.recv()}/v1"
    print(
        f"{'':>16} | {'calls/s':>8} | {'CPU s / 1,000':>14} | {'cores had':>10} | {'the fake, CPU s':>16}", flush=True
    )
    bench = Bench(url, server.pid or 0, arguments.concurrency)
    rounds = [bench.run("this client", bench.client, arguments.calls) for _ in range(arguments.rounds)]
    bench.run(f"batches of {BATCH}", bench.batches, arguments.calls)
    naive = bench.run("openai package", bench.openai, max(arguments.calls // 5, 1))
    server.terminate()
    best, cpu = max(found.rate for found in rounds), min(found.cpu for found in rounds)
    holds = best >= WANTED and cpu <= naive.cpu
    print(f"best {best:,.0f}/s of {WANTED:,.0f} wanted, which take {WANTED * cpu / 1000:.2f} of a core")
    print(f"{naive.cpu / cpu:.1f} times less CPU a call than the package")
    print("holds" if holds else "does not hold")
    return 0 if holds else 1


@dataclass(frozen=True)
class Round:
    """What one came to."""

    rate: float
    """Verifications a second."""
    cpu: float
    """CPU seconds of the client for 1,000 of them."""


@dataclass
class Bench:
    """Two ways to ask the same server."""

    url: str
    server: int
    concurrency: int

    def run(self, name: str, way: Way, calls: int) -> Round:
        """Ask so often, and print a line of it: also the share of a core that this process had, since a machine that
        is busy with other things shows in the rate."""
        cases = [Case(QUESTION, "x = 4 + 8t, y = 1 + 2t", f"4 + 8t, {number}") for number in range(calls)]
        began, cpu, fake = time.perf_counter(), time.process_time(), cpu_of(self.server)
        verdicts = asyncio.run(way(cases))
        seconds, cpu, fake = time.perf_counter() - began, time.process_time() - cpu, cpu_of(self.server) - fake
        if verdicts != [number % 2 == 0 for number in range(calls)]:
            raise RuntimeError(f"{name}: the verdicts are wrong")
        rate, each = calls / seconds, 1000 * cpu / calls
        shown = f"{each:>14.3f} | {cpu / seconds:>10.2f} | {1000 * fake / calls:>16.3f}"
        print(f"{name:>16} | {rate:>8,.0f} | {shown}", flush=True)
        return Round(rate, each)

    async def client(self, cases: list[Case]) -> list[bool | None]:
        """By the reward's own client, as a GRPORun's defaults have it: one case a request."""
        return await self._client(cases, 1)

    async def batches(self, cases: list[Case]) -> list[bool | None]:
        """The same with `reward.batchSize`."""
        return await self._client(cases, BATCH)

    async def _client(self, cases: list[Case], batch: int) -> list[bool | None]:
        endpoint = VerifierEndpoint(endpoint=self.url, model="verifier", prompt=PROMPT)
        reward = Reward(concurrency=self.concurrency, batch_size=batch)
        judge = VerifierClient(endpoint, reward, Patience())
        verdicts = await judge.judge(cases)
        await judge.close()
        return verdicts

    async def openai(self, cases: list[Case]) -> list[bool | None]:
        """By the openai package, a task a case, as many at once."""
        slots = asyncio.Semaphore(self.concurrency)
        async with AsyncOpenAI(base_url=self.url, api_key="none") as openai:

            async def one(case: Case) -> bool | None:
                async with slots:
                    reply = await openai.completions.create(
                        model="verifier", prompt=ask(PROMPT, *case), max_tokens=2048, temperature=0
                    )
                return decided(PROMPT, reply.choices[0].text)

            return await asyncio.gather(*map(one, cases))


def cpu_of(pid: int) -> float:
    """CPU seconds that a process has taken so far."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:  # noqa: PTH123
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def serve(pipe: Connection) -> None:
    """The fake verifier: passes every even answer, 50 ms after the request is there."""

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Verifier, "127.0.0.1", 0, backlog=4096)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


class Verifier(asyncio.Protocol):
    """One connection, without a framework: the fake must not be what is measured."""

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, blank, rest = self._buffer.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]) if blank else 0
        if blank and len(rest) >= length:
            self._buffer = rest[length:]
            verdicts = tuple(int(answer) % 2 == 0 for answer in ANSWER.findall(rest[:length]))
            asyncio.get_running_loop().call_later(SECONDS, self._transport.write, _reply(verdicts))


@functools.cache
def _reply(verdicts: tuple[bool, ...]) -> bytes:
    choices = [
        {
            "index": index,
            "text": f"{THOUGHT}\n{PROMPT.pass_marker if verdict else PROMPT.fail_marker}",
            "finish_reason": "stop",
            "logprobs": None,
        }
        for index, verdict in enumerate(verdicts)
    ]
    usage = {"prompt_tokens": 200, "completion_tokens": 100, "total_tokens": 300}
    body = to_json(
        {"id": "1", "object": "text_completion", "created": 0, "model": "verifier", "choices": choices, "usage": usage}
    )
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


if __name__ == "__main__":
    sys.exit(main())
