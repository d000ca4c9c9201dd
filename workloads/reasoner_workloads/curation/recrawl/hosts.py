"""Manners towards all hosts: what robots.txt says, and to each the manners of `host`. Used by `fetcher`."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from functools import partial

from protego import Protego
from yarl import URL

from reasoner_api.curation import Recrawl
from reasoner_workloads.curation.limits import Limit
from reasoner_workloads.curation.records import Dropped
from reasoner_workloads.curation.recrawl.client import Answer, Client
from reasoner_workloads.curation.recrawl.guard import Guard
from reasoner_workloads.curation.recrawl.host import ATTEMPTS, LONGEST_DELAY, Host, Rules

#: Bytes of robots.txt that are read (RFC 9309 asks for at least 500 KiB), and redirects of it that are followed.
ROBOTS_BYTES = 524_288
ROBOTS_REDIRECTS = 5
#: Tries of it, since all pages of the host hang on it: 15 seconds and what the host takes to fail.
ROBOTS_ATTEMPTS = 5
#: Seconds that rules are believed (RFC 9309), and that none are asked for again where they could not be had.
ROBOTS_SECONDS, FAULT_SECONDS = 86_400.0, 60.0
#: Hosts remembered; rows of one that comes up again after so many others cost one more robots.txt.
MOST_HOSTS = 4096
#: Characters of all their rules, which take many times as much memory once they are read.
MOST_RULES = 4 << 20

_NO_RULES = Protego.parse("")


class Hosts:
    """All hosts of one of `pods` at work."""

    def __init__(self, settings: Recrawl, pods: int, client: Client, guard: Guard) -> None:
        self._settings = settings
        self._pods = pods
        self._client = client
        self._guard = guard
        self._hosts: OrderedDict[str, Host] = OrderedDict()
        self._size = 0

    async def read(self, url: URL, headers: Mapping[str, str]) -> Answer:
        """A page, in its host's turn, tried again where that may help. Raises Dropped, with `robots` where robots.txt
        closes the page or the server fails to give it."""
        host = self._host(url.raw_host or "")
        host.users += 1
        try:
            rate = self._settings.requests_per_second_per_host
            if self._settings.respect_robots_txt:
                rate = min(rate, self._permitted(url, await self._rules(host, url.origin())))
            host.limit = host.limit or Limit(rate, 1.0, self._pods)
            async with host.slots:
                return await host.ask(partial(self._client.read, url, headers), ATTEMPTS, host.limit)
        finally:
            host.users -= 1

    def close(self) -> None:
        """End what is under way."""
        for host in self._hosts.values():
            for task in host.rules.values():
                task.cancel()

    def _host(self, name: str) -> Host:
        if name not in self._hosts:
            self._hosts[name] = Host(self._settings.concurrency_per_host)
        self._hosts.move_to_end(name)
        host = self._hosts[name]
        while len(self._hosts) > MOST_HOSTS or self._size > MOST_RULES:
            unused = (other for other, one in self._hosts.items() if one is not host and not one.users)
            if (oldest := next(unused, None)) is None:
                break
            self._size -= sum(self._hosts.pop(oldest).sizes.values())
        return host

    async def _rules(self, host: Host, origin: URL) -> Rules:
        task = host.rules.get(origin)
        if task is None or (task.done() and task.result().until < asyncio.get_running_loop().time()):
            task = host.rules[origin] = asyncio.create_task(self._read_robots(host, origin))
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

    async def _read_robots(self, host: Host, origin: URL) -> Rules:
        """As RFC 9309 has it: no rules where there is no file, all closed where the server fails."""
        url, now = origin.with_path("/robots.txt"), asyncio.get_running_loop().time
        try:
            for _ in range(ROBOTS_REDIRECTS + 1):
                answer = await host.ask(partial(self._client.read_start, url, ROBOTS_BYTES), ROBOTS_ATTEMPTS)
                if answer.follow is None:
                    break
                url = self._guard.url(answer.follow, url)
        except Dropped as failure:
            fault = Dropped("robots", f"robots.txt: {failure.evidence}") if failure.evidence.isdigit() else failure
            return Rules(_NO_RULES, now() + FAULT_SECONDS, fault)
        text = answer.body.decode("utf-8-sig", "replace") if answer.status == 200 else ""
        host.sizes[origin] = len(text)
        self._size = sum(size for one in self._hosts.values() for size in one.sizes.values())
        # Beside the loop: of half a megabyte it takes a second.
        return Rules(await asyncio.to_thread(Protego.parse, text), now() + ROBOTS_SECONDS)
