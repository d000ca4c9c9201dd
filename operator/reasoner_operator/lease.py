"""One operator at a time: a Lease that one replica holds and the others wait for. Used by `main`.

client-go's rules (tools/leaderelection): whoever finds the lease unchanged for its whole duration, by his own clock,
may take it, with the version that he read as the precondition; the holder gives up well before others may take over.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime

from reasoner_operator import metrics
from reasoner_operator.answers import ApiError, Conflict, Refused
from reasoner_operator.cluster import Cluster
from reasoner_operator.paths import path_of
from reasoner_operator.seen import Object
from reasoner_operator.transport import JSON, Request

log = logging.getLogger(__name__)

API_VERSION = "coordination.k8s.io/v1"


class LeaseLost(Exception):
    """The lease could not be renewed in time: another replica may be at work."""


@dataclass(frozen=True)
class Timing:
    """Seconds. The defaults are client-go's."""

    #: How long others wait after they saw the lease change.
    duration: int = 15
    #: How long the holder tries to renew before it gives up.
    deadline: float = 10.0
    #: Between two tries.
    retry: float = 2.0


@dataclass
class Lease:
    """The lease `namespace/name`, as one candidate sees it."""

    cluster: Cluster
    namespace: str
    name: str
    identity: str
    timing: Timing = field(default_factory=Timing)
    _seen: Object | None = None
    #: When it was last seen to change, by the event loop's clock.
    _seen_at: float = 0.0

    async def acquire(self) -> None:
        """Wait until the lease is ours."""
        metrics.leading(self.name, False)
        log.info("%s waits for the lease %s/%s", self.identity, self.namespace, self.name)
        await self._take()
        metrics.leading(self.name, True)
        log.info("%s leads", self.identity)

    async def keep(self) -> None:
        """Renew the lease for ever.

        Raises:
            LeaseLost: it could not be renewed.
        """
        while True:
            await asyncio.sleep(self.timing.retry)
            try:
                async with asyncio.timeout(self.timing.deadline):
                    await self._take()
            except TimeoutError as error:
                metrics.leading(self.name, False)
                holder = (self._seen or {}).get("spec", {}).get("holderIdentity")
                raise LeaseLost(
                    f"the lease {self.namespace}/{self.name} was not renewed; by it {holder} leads"
                ) from error

    async def release(self) -> None:
        """Let the next one begin at once."""
        metrics.leading(self.name, False)
        if self._seen is None or self._seen["spec"].get("holderIdentity") != self.identity:
            return
        try:
            await self._write(self._seen, {"holderIdentity": "", "leaseDurationSeconds": 1})
        except ApiError as error:
            log.warning("the lease is not released, and runs out by itself: %s", error)

    async def _take(self) -> None:
        while not await self._attempt():  # noqa: ASYNC110 - the lease is elsewhere
            await asyncio.sleep(self.timing.retry)

    async def _attempt(self) -> bool:
        """Take or renew the lease; whether it is ours now."""
        try:
            found = await self.cluster.get(API_VERSION, "Lease", self.namespace, self.name)
            return await (self._create() if found is None else self._update(found))
        except Conflict:
            # Somebody else was faster.
            return False
        except Refused as error:
            log.error("the lease %s/%s: %s", self.namespace, self.name, error)
        except ApiError as error:
            log.warning("the lease %s/%s: %s", self.namespace, self.name, error)
        return False

    async def _create(self) -> bool:
        now = _now()
        body = {
            "apiVersion": API_VERSION,
            "kind": "Lease",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {**self._held(now), "acquireTime": now, "leaseTransitions": 0},
        }
        asked = asyncio.get_running_loop().time()
        path = path_of(API_VERSION, "Lease", self.namespace)
        self._note(await self.cluster.transport.ask(Request("POST", path, content=(JSON, body))), asked)
        return True

    async def _update(self, found: Object) -> bool:
        clock, spec = asyncio.get_running_loop().time(), found["spec"]
        if self._seen is None or self._seen["metadata"]["resourceVersion"] != found["metadata"]["resourceVersion"]:
            self._note(found, clock)
        ours = spec.get("holderIdentity") == self.identity
        lasts = spec.get("leaseDurationSeconds") or self.timing.duration
        if not ours and spec.get("holderIdentity") and clock < self._seen_at + lasts:
            return False
        now = _now()
        change = self._held(now)
        if not ours:
            change |= {"acquireTime": now, "leaseTransitions": spec.get("leaseTransitions", 0) + 1}
        await self._write(found, change)
        return True

    async def _write(self, found: Object, change: Object) -> None:
        """Replace what was found; refused where it has changed since."""
        asked = asyncio.get_running_loop().time()
        path = path_of(API_VERSION, "Lease", self.namespace, self.name)
        body = {**found, "spec": {**found["spec"], **change}}
        self._note(await self.cluster.transport.ask(Request("PUT", path, content=(JSON, body))), asked)

    def _held(self, now: str) -> Object:
        return {"holderIdentity": self.identity, "leaseDurationSeconds": self.timing.duration, "renewTime": now}

    def _note(self, found: Object, clock: float) -> None:
        self._seen, self._seen_at = found, clock


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
