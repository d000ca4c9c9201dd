"""Watches against a model of the truth: eight clients write at once while watchers drop their connections at random.

What the server answered to each write is the truth. Every watcher must have seen just that: nothing lost, nothing
invented, nothing twice, each object's changes in their order.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from support.apiserver import CRDS, OPEN_SCHEMA, custom_resource_definition, serving

GROUP = "truth.dev"
THINGS = f"/apis/{GROUP}/v1/namespaces/default/things"
CRD = custom_resource_definition(GROUP, "Thing", OPEN_SCHEMA)
CLIENTS, ROUNDS = 8, 100
#: Objects that all clients fight for, beside one of its own for each client and round.
SHARED = [f"shared-{number}" for number in range(3)]
#: Written when all clients are done: who has seen it has seen everything before it.
END = "the-end"
MERGE = {"Content-Type": "application/merge-patch+json"}

Change = tuple[str, int, bool, Any]
"""Type, revision, whether the object was labelled red, and its `spec`."""


@dataclass
class Truth:
    """What the server has answered: each object's states, by uid."""

    states: dict[str, dict[int, Change]] = field(default_factory=lambda: defaultdict(dict))
    ended: set[str] = field(default_factory=set)
    chained: int = 0
    """Writes that named the revision they were based on."""

    def wrote(self, obj: dict[str, Any], kind: str) -> None:
        meta = obj["metadata"]
        known = self.states[meta["uid"]]
        # A write that changes nothing is answered with the revision that is there.
        known.setdefault(int(meta["resourceVersion"]), change(kind, obj))

    def told(self, *, red: bool) -> dict[str, list[tuple[str, int | None, Any]]]:
        """What a watcher must be told of each object; of a deletion it cannot know the revision."""
        found = {}
        for uid, states in self.states.items():
            lines: list[tuple[str, int | None, Any]] = []
            was = False
            for revision in sorted(states):
                kind, _, is_red, spec = states[revision]
                now = is_red or not red
                if now:
                    lines.append(("MODIFIED" if was else "ADDED", revision, spec))
                elif was:
                    lines.append(("DELETED", revision, None))
                assert kind == ("ADDED" if revision == min(states) else "MODIFIED")
                was = now
            if was and uid in self.ended:
                lines.append(("DELETED", None, None))
            if lines:
                found[uid] = lines
        return found


def change(kind: str, obj: dict[str, Any]) -> Change:
    meta = obj["metadata"]
    return kind, int(meta["resourceVersion"]), meta.get("labels", {}).get("colour") == "red", obj["spec"]


@dataclass
class Writer:
    """One client: creates, edits and deletes objects of its own, and fights over the shared ones."""

    number: int
    http: aiohttp.ClientSession
    truth: Truth
    luck: random.Random

    async def run(self) -> None:
        for round_ in range(ROUNDS):
            name = f"own-{self.number}-{round_}"
            await self.create(name)
            for _ in range(self.luck.randrange(3)):
                await self.edit(name)
            await self.fight(self.luck.choice(SHARED))
            if self.luck.random() < 0.8:
                await self.delete(name)

    async def create(self, name: str) -> None:
        body = {
            "apiVersion": f"{GROUP}/v1",
            "kind": "Thing",
            "metadata": {"name": name, "labels": self.colour()},
            "spec": {"value": self.luck.random()},
        }
        async with self.http.post(THINGS, json=body) as response:
            if response.status == 201:
                self.truth.wrote(await response.json(), "ADDED")
            else:
                assert response.status == 409, await response.text()

    async def edit(self, name: str) -> None:
        patch = {"metadata": {"labels": self.colour()}, "spec": {"value": self.luck.random()}}
        async with self.http.patch(f"{THINGS}/{name}", data=json.dumps(patch), headers=MERGE) as response:
            if response.status == 200:
                self.truth.wrote(await response.json(), "MODIFIED")
            else:
                assert response.status == 404, await response.text()

    async def delete(self, name: str, uid: str | None = None) -> None:
        body = {"preconditions": {"uid": uid}} if uid else None
        async with self.http.delete(f"{THINGS}/{name}", json=body) as response:
            if response.status == 200:
                self.truth.ended.add((await response.json())["details"]["uid"])
            else:
                assert response.status in (404, 409), await response.text()

    async def fight(self, name: str) -> None:
        """Read, then replace or delete what was read: of several who read the same, one wins."""
        async with self.http.get(f"{THINGS}/{name}") as response:
            obj = await response.json() if response.status == 200 else None
        if obj is None:
            await self.create(name)
        elif self.luck.random() < 0.2:
            await self.delete(name, obj["metadata"]["uid"])
        else:
            await self.replace(name, obj)

    async def replace(self, name: str, obj: dict[str, Any]) -> None:
        obj["spec"] = {"value": self.luck.random(), "base": int(obj["metadata"]["resourceVersion"])}
        async with self.http.put(f"{THINGS}/{name}", json=obj) as response:
            if response.status == 200:
                self.truth.chained += 1
                self.truth.wrote(await response.json(), "MODIFIED")
            else:
                assert response.status in (404, 409), await response.text()

    def colour(self) -> dict[str, str]:
        return {"colour": self.luck.choice(["red", "blue"])}


@dataclass
class Watcher:
    """Follows from a revision on, and leaves after a random number of lines to come back at the last one seen."""

    http: aiohttp.ClientSession
    luck: random.Random
    query: dict[str, str]
    since: str
    seen: list[dict[str, Any]] = field(default_factory=list)
    connections: int = 0

    async def run(self) -> None:
        while not await self.once():
            pass

    async def once(self) -> bool:
        """One connection; whether the end has been seen."""
        self.connections += 1
        patience = self.luck.randrange(1, 60)
        query = {**self.query, "watch": "true", "allowWatchBookmarks": "true", "resourceVersion": self.since}
        async with self.http.get(THINGS, params=query) as response:
            async for event in lines(response):
                assert event["type"] != "ERROR", event
                self.since = event["object"]["metadata"]["resourceVersion"]
                if event["type"] == "BOOKMARK":
                    continue
                self.seen.append(event)
                if event["object"]["metadata"]["name"] == END:
                    return True
                patience -= 1
                if not patience:
                    break
        return False

    def told(self) -> dict[str, list[tuple[str, int | None, Any]]]:
        """What was seen of each object, a deletion without its content."""
        found = defaultdict(list)
        for event in self.seen:
            kind, obj = event["type"], event["object"]
            gone = kind == "DELETED"
            line = (kind, int(obj["metadata"]["resourceVersion"]), None if gone else obj["spec"])
            found[obj["metadata"]["uid"]].append(line)
        return dict(found)


async def lines(response: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    assert response.status == 200, await response.text()
    async for line in response.content:
        yield json.loads(line)


def agree(told: dict[str, Any], truth: dict[str, Any]) -> None:
    """Object by object the same, but that the truth does not know at which revision an object ended."""
    assert told.keys() == truth.keys()
    for uid, expected in truth.items():
        heard = told[uid]
        if expected[-1][:2] == ("DELETED", None):
            assert heard[-1][1] > max([line[1] for line in expected[:-1]]), "deleted before its last change"
            heard = [*heard[:-1], (heard[-1][0], None, None)]
        assert heard == expected


@pytest.mark.parametrize("seed", [1, 2])
async def test_no_event_is_lost_invented_or_out_of_order_while_clients_write_and_watchers_reconnect(seed: int) -> None:
    truth = Truth()
    connector = aiohttp.TCPConnector(limit=0)
    async with serving() as (_, url), aiohttp.ClientSession(url, connector=connector, read_bufsize=2**20) as http:
        async with http.post(CRDS, json=CRD) as response:
            assert response.status == 201, await response.text()
        async with http.get(THINGS) as response:
            start = (await response.json())["metadata"]["resourceVersion"]
        every = [Watcher(http, random.Random(seed * 100 + n), {}, start) for n in range(3)]
        red = [Watcher(http, random.Random(seed * 200 + n), {"labelSelector": "colour=red"}, start) for n in range(2)]
        watching = [asyncio.create_task(watcher.run()) for watcher in [*every, *red]]
        writers = [Writer(n, http, truth, random.Random(seed * 300 + n)) for n in range(CLIENTS)]
        await asyncio.gather(*(writer.run() for writer in writers))
        end = {
            "apiVersion": f"{GROUP}/v1",
            "kind": "Thing",
            "metadata": {"name": END, "labels": {"colour": "red"}},
            "spec": {},
        }
        async with http.post(THINGS, json=end) as response:
            truth.wrote(await response.json(), "ADDED")
        async with asyncio.timeout(60):
            await asyncio.gather(*watching)
        async with http.get(THINGS) as response:
            left = {obj["metadata"]["uid"]: change("", obj)[1] for obj in (await response.json())["items"]}
    for watcher in every:
        revisions = [int(event["object"]["metadata"]["resourceVersion"]) for event in watcher.seen]
        assert revisions == sorted(set(revisions)), "revisions go up"
        agree(watcher.told(), truth.told(red=False))
    for watcher in red:
        agree(watcher.told(), truth.told(red=True))
    assert left == {uid: max(states) for uid, states in truth.states.items() if uid not in truth.ended}
    based = [spec["base"] for states in truth.states.values() for _, _, _, spec in states.values() if "base" in spec]
    assert len(based) == len(set(based)) == truth.chained, "of those who read one revision, one may replace it"
    assert min(watcher.connections for watcher in [*every, *red]) > 10
