"""Is a reward ever made up? Cases whose verdicts are known are judged by the reward's client against a verifier that
has its troubles: away for 30 seconds, slow (one reply in a hundred takes 10 s), a fifth of the replies 500s, garbage or
hung up, one prompt that it never takes, and all at once. It holds when every verdict is the verifier's own, what it
never said is left without one, and a verifier that stays away is told in the time that the spec gives it.
`python benchmarks/reward_weather.py`."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from reasoner_api.common import VerifierPrompt
from reasoner_api.reward import Reward
from reasoner_api.task import VerifierEndpoint
from reasoner_workloads.grpo.circuit import Patience, VerifierUnavailable
from reasoner_workloads.grpo.judging import Case
from reasoner_workloads.grpo.verifier_client import VerifierClient

PROMPT = VerifierPrompt(template="{question}|{ground_truth}|{student_answer}")
AWAY, SLOW, SHARE = 30.0, 10.0, 0.2
#: The answer that is never taken in some weathers.
POISON = 7
GARBAGE = ("<html>502 Bad Gateway</html>", "{}", '{"choices": []}', "null", '{"choices": [{"index": 0}]}', "")


@dataclass
class Weather:
    """What a verifier has to bear."""

    away: tuple[float, float] = (0.0, 0.0)
    """Seconds from the first request between which every request is refused."""
    slow: float = 0.0
    """Share of replies that take SLOW seconds."""
    faults: dict[str, float] = field(default_factory=dict)
    """Share of replies by fault: error, garbage, hang-up."""
    poison: bool = False
    lots: random.Random = field(default_factory=lambda: random.Random(1))
    began: float | None = None

    async def complete(self, request: web.Request) -> web.Response:
        """Yes to even answers, if it is up to it."""
        self.began = self.began or time.monotonic()
        since = time.monotonic() - self.began
        answer = int((await request.json())["prompt"].rpartition("|")[2])
        if self.away[0] <= since < self.away[1]:
            return web.Response(status=503)
        await asyncio.sleep(SLOW if self.lots.random() < self.slow else 0.05)
        fault = self._fault() if not (self.poison and answer == POISON) else "error"
        if fault == "error":
            return web.Response(status=500, text="CUDA error")
        if fault == "garbage":
            return web.Response(text=self.lots.choice(GARBAGE))
        if fault == "hang-up" and request.transport is not None:
            request.transport.abort()
        text = f"Let me see.\nFinal Decision: {'Yes' if answer % 2 == 0 else 'No'}"
        return web.json_response({"choices": [{"index": 0, "text": text}]})

    def _fault(self) -> str | None:
        lot = self.lots.random()
        for name, share in self.faults.items():
            if (lot := lot - share) < 0:
                return name
        return None


WEATHERS: dict[str, Callable[[], Weather]] = {
    "fair": Weather,
    f"away for {AWAY:.0f} s": lambda: Weather(away=(0.3, 0.3 + AWAY)),
    f"slow, p99 {SLOW:.0f} s": lambda: Weather(slow=0.01),
    "a fifth 500s": lambda: Weather(faults={"error": SHARE}),
    "a fifth garbage": lambda: Weather(faults={"garbage": SHARE}),
    "a fifth hung up": lambda: Weather(faults={"hang-up": SHARE}),
    "one prompt never": lambda: Weather(poison=True),
    "all at once": lambda: Weather(
        (0.3, 0.3 + AWAY), 0.01, {"error": SHARE / 4, "garbage": SHARE / 4, "hang-up": SHARE / 4}, True
    ),
}


def main() -> int:
    """Judge in each weather and print a table; 1 where it does not hold."""
    top = argparse.ArgumentParser(description=__doc__)
    top.add_argument("--cases", type=int, default=1000, help="cases judged in each weather")
    count = top.parse_args().cases
    print(f"{'':>16} | {'seconds':>8} | {'right':>6} | {'left open':>9} | {'wrong':>6}", flush=True)
    found = [asyncio.run(judged(name, made(), count)) for name, made in WEATHERS.items()]
    holds = all(found) and asyncio.run(given_up())
    print("holds" if holds else "does not hold")
    return 0 if holds else 1


async def judged(name: str, weather: Weather, count: int) -> bool:
    """Whether every verdict is the verifier's own, and one is missing only where it never gave it."""
    began = time.monotonic()
    async with served(weather, 600) as client:
        verdicts = await client.judge([Case("q", "even", str(number)) for number in range(count)])
    wanted = [number % 2 == 0 for number in range(count)]
    left = [number for number, verdict in enumerate(verdicts) if verdict is None]
    wrong = sum(verdict not in (None, known) for verdict, known in zip(verdicts, wanted, strict=True))
    right = count - wrong - len(left)
    print(f"{name:>16} | {time.monotonic() - began:>8.1f} | {right:>6} | {len(left):>9} | {wrong:>6}", flush=True)
    return not wrong and left == ([POISON] if weather.poison else [])


async def given_up() -> bool:
    """Whether a verifier that stays away is told about when its time is up, and no verdict given."""
    began, wait = time.monotonic(), 5.0
    async with served(Weather(away=(0.0, 1e9)), wait) as client:
        try:
            await client.judge([Case("q", "even", str(number)) for number in range(100)])
        except VerifierUnavailable as why:
            seconds = time.monotonic() - began
            print(f"away for good, waited for {wait:.0f} s: after {seconds:.1f} s: {why}")
            return seconds < wait + 5
    return False


@asynccontextmanager
async def served(weather: Weather, wait: float) -> AsyncIterator[VerifierClient]:
    """The client of a verifier that is served."""
    app = web.Application()
    app.router.add_post("/v1/completions", weather.complete)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    reward = Reward.model_validate({"concurrency": 128, "verifierUnavailable": {"waitSeconds": wait}})
    endpoint = VerifierEndpoint(endpoint=url, model="verifier", prompt=PROMPT)
    client = VerifierClient(endpoint, reward, Patience(tell=lambda why: None))
    yield client
    await client.close()
    await runner.cleanup()


if __name__ == "__main__":
    sys.exit(main())
