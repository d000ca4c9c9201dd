"""One host: requests at a time, a rate, tries again, and pauses when it says that it has enough. Used by `hosts`."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from protego import Protego
from yarl import URL

from reasoner_workloads.curation.limits import Limit
from reasoner_workloads.curation.records import Dropped
from reasoner_workloads.curation.recrawl.client import LONGEST_WAIT, Answer, Passing

#: Tries of a request.
ATTEMPTS = 3
#: Seconds before the second, doubled before each further one.
FIRST_PAUSE = 1.0
#: A host that wants longer pauses than this, in seconds, does not want to be crawled.
LONGEST_DELAY = 60.0
#: Seconds that a host which refuses keeps its pages waiting, all in all. Each of its answers grants LONGEST_DELAY more,
#: so that no host takes longer than one with the longest Crawl-delay; one that has used them up loses the pages that
#: come while it is closed.
PATIENCE = LONGEST_WAIT


@dataclass(frozen=True)
class Rules:
    """What an origin's robots.txt says; `fault` where that could not be learnt."""

    robots: Protego
    until: float
    """The loop's time up to which they are believed."""
    fault: Dropped | None = None


class Host:
    """A host, whatever its ports."""

    def __init__(self, concurrency: int) -> None:
        self.slots = asyncio.Semaphore(concurrency)
        self.rules: dict[URL, asyncio.Task[Rules]] = {}
        self.limit: Limit | None = None
        self.users = 0
        self.sizes: dict[URL, int] = {}
        """Characters of the rules."""
        self._open_at = 0.0
        self._patience = PATIENCE
        self._given_up = False
        self._refusals = 0
        self._refusal = ""

    async def ask(self, send: Callable[[], Awaitable[Answer]], attempts: int, limit: Limit | None = None) -> Answer:
        """What `send` brings, each try within `limit` and while the host is open. A refusal is no try: the host as a
        whole waits. Raises Dropped with `http_error` once tries or patience are used up."""
        failures = 0
        while True:
            await self._turn(limit)
            try:
                answer = await send()
            except Passing as failure:
                if failure.wait is not None:
                    self._refuse(failure.evidence, failure.wait)
                    continue
                failures += 1
                if failures == attempts:
                    raise Dropped("http_error", failure.evidence) from failure
                await asyncio.sleep(_pause(failures))
            else:
                self._patience = min(self._patience + LONGEST_DELAY, PATIENCE)
                self._given_up, self._refusals = False, 0
                return answer

    async def _turn(self, limit: Limit | None) -> None:
        while True:
            while (pause := self._open_at - _now()) > 0:
                if self._given_up:
                    raise Dropped("http_error", self._refusal)
                await asyncio.sleep(pause)
            if limit is None:
                return
            await limit.acquire()
            if self._open_at <= _now():
                return

    def _refuse(self, evidence: str, wait: float) -> None:
        """Close for as long as the host asks, or ever longer where it does not say."""
        now = _now()
        if self._open_at > now:  # Requests that are refused together count once.
            return
        self._refusals += 1
        wait = max(wait, _pause(self._refusals))
        self._open_at, self._refusal = now + wait, evidence
        self._given_up = wait > self._patience
        if not self._given_up:
            self._patience -= wait


def _pause(failures: int) -> float:
    """Seconds after so many failures, different for each pod."""
    return min(FIRST_PAUSE * 2.0 ** (failures - 1), LONGEST_DELAY) * random.uniform(0.75, 1)


def _now() -> float:
    return asyncio.get_running_loop().time()
