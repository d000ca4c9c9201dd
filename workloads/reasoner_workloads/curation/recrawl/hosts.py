"""Manners towards each host: robots.txt, a rate, a number of requests at a time. Used by `fetcher`."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from protego import Protego
from yarl import URL

from reasoner_api.curation import Recrawl
from reasoner_workloads.curation.limits import Limit
from reasoner_workloads.curation.records import Dropped
from reasoner_workloads.curation.recrawl.client import Client
from reasoner_workloads.curation.recrawl.guard import Guard

#: Bytes of robots.txt that are read (RFC 9309 asks for at least 500 KiB), and redirects of it that are followed.
ROBOTS_BYTES = 524_288
ROBOTS_REDIRECTS = 5
#: Seconds that rules are believed (RFC 9309).
ROBOTS_SECONDS = 86_400.0
#: A host that wants longer pauses than this, in seconds, does not want to be crawled.
LONGEST_DELAY = 60.0
#: Hosts remembered; rows of one that comes up again after so many others cost one more robots.txt.
MOST_HOSTS = 4096


@dataclass(frozen=True)
class Rules:
    """What an origin's robots.txt says; `fault` where that could not be learnt."""

    robots: Protego
    fault: Dropped | None = None


class _Host:
    """One host, whatever its ports."""

    def __init__(self, settings: Recrawl) -> None:
        self.slots = asyncio.Semaphore(settings.concurrency_per_host)
        self.rules: dict[URL, tuple[float, asyncio.Task[Rules]]] = {}
        self.limit: Limit | None = None
        self.users = 0


class Hosts:
    """All hosts of one shard of `shards`."""

    def __init__(self, settings: Recrawl, shards: int, client: Client, guard: Guard) -> None:
        self._settings = settings
        self._shards = shards
        self._client = client
        self._guard = guard
        self._hosts: OrderedDict[str, _Host] = OrderedDict()

    @asynccontextmanager
    async def turn(self, url: URL) -> AsyncIterator[None]:
        """Hold the host's turn for a request. Raises Dropped where robots.txt closes the page (`robots`) or cannot be
        had."""
        with_host = self._host(url.raw_host or "")
        with_host.users += 1
        try:
            rate = self._settings.requests_per_second_per_host
            if self._settings.respect_robots_txt:
                rate = min(rate, self._permitted(url, await self._rules(with_host, url.origin())))
            with_host.limit = with_host.limit or Limit(rate, 1.0, self._shards)
            async with with_host.slots:
                await with_host.limit.acquire()
                yield
        finally:
            with_host.users -= 1

    def close(self) -> None:
        """End what is under way."""
        for host in self._hosts.values():
            for _, task in host.rules.values():
                task.cancel()

    def _host(self, name: str) -> _Host:
        if name not in self._hosts:
            self._hosts[name] = _Host(self._settings)
        self._hosts.move_to_end(name)
        oldest = next(iter(self._hosts))
        if len(self._hosts) > MOST_HOSTS and not self._hosts[oldest].users:
            del self._hosts[oldest]
        return self._hosts[name]

    async def _rules(self, host: _Host, origin: URL) -> Rules:
        now = asyncio.get_running_loop().time()
        since, task = host.rules.get(origin, (0.0, None))
        if task is None or now - since > ROBOTS_SECONDS:
            task = asyncio.create_task(self._read_robots(origin))
            host.rules[origin] = (now, task)
        return await asyncio.shield(task)

    def _permitted(self, url: URL, rules: Rules) -> float:
        """The rate that the rules grant. Raises Dropped where they do not grant the page."""
        if rules.fault is not None:
            raise Dropped(rules.fault.reason, rules.fault.evidence)
        agent = self._settings.user_agent
        if not rules.robots.can_fetch(str(url), agent):
            raise Dropped("robots", url.raw_path)
        delay = rules.robots.crawl_delay(agent) or 0.0
        if delay > LONGEST_DELAY:
            raise Dropped("robots", f"Crawl-delay: {delay:g}")
        return 1 / delay if delay else float("inf")

    async def _read_robots(self, origin: URL) -> Rules:
        """As RFC 9309 has it: no rules where there is no file, all closed where the server fails."""
        url = origin.with_path("/robots.txt")
        try:
            for _ in range(ROBOTS_REDIRECTS + 1):
                answer = await self._client.read_start(url, ROBOTS_BYTES)
                if answer.follow is None:
                    break
                url = self._guard.url(answer.follow, url)
        except Dropped as failure:
            fault = Dropped("robots", f"robots.txt: {failure.evidence}") if failure.evidence.isdigit() else failure
            return Rules(Protego.parse(""), fault)
        return Rules(Protego.parse(answer.body.decode("utf-8-sig", "replace") if answer.status == 200 else ""))
