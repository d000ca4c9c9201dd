"""What the cluster says of a Job that gets no pods, or of a pod that does not come up: the Events beside them. A quota,
a security policy or a missing volume show nowhere else. Called by `reconcile`."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from reasoner_operator.answers import Refused
from reasoner_operator.cluster import Cluster
from reasoner_operator.plan.pods import is_starting
from reasoner_operator.plan.standing import is_short_of_pods
from reasoner_operator.seen import Object

log = logging.getLogger(__name__)

#: Seconds between two questions about the same object; doubled each time, up to the last: Events are not indexed, and
#: what waits for hours need not be asked about every few seconds.
ASK_FIRST = 2.0
ASK_LAST = 60.0
#: What a pod says that has come up since it was looked at, and does not answer yet: that is how they all begin.
PROBE = "Unhealthy"
#: Seconds after which an answer is forgotten that nobody asks for.
FORGET = 600.0


@dataclass(frozen=True)
class _Answer:
    asked: float
    wait: float
    event: Object | None


class Complaints:
    """The newest Events of what is behind, where they are warnings."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._answers: dict[str, _Answer] = {}

    async def about(self, job: Object | None, pods: tuple[Object, ...]) -> tuple[Object, ...]:
        """Of the Job, if it is short of pods, and of the first pod that has a node and no running container."""
        behind = [job] if job is not None and is_short_of_pods(job, pods) else []
        starting = next((pod for pod in pods if is_starting(pod)), None)
        behind += [] if starting is None else [starting]
        found = await asyncio.gather(*(self._newest(one["metadata"]) for one in behind))
        heard = (event for event in found if event is not None and event.get("type") == "Warning")
        return tuple(event for event in heard if event.get("reason") != PROBE)

    async def _newest(self, metadata: Object) -> Object | None:
        uid, now = metadata["uid"], asyncio.get_running_loop().time()
        before = self._answers.pop(uid, None)
        if before is None or now >= before.asked + before.wait:
            wait = ASK_FIRST if before is None else min(2 * before.wait, ASK_LAST)
            before = _Answer(now, wait, await self._ask(metadata["namespace"], uid))
        for old in [key for key, answer in self._answers.items() if answer.asked < now - FORGET]:
            del self._answers[old]
        self._answers[uid] = before
        return before.event

    async def _ask(self, namespace: str, uid: str) -> Object | None:
        try:
            events = await self._cluster.events(namespace, uid)
        except Refused as error:
            # A role of somebody's own may lack the right; the run itself does not need it.
            log.warning("Events cannot be read: %s", error)
            return None
        return max(events, key=lambda event: int(event["metadata"]["resourceVersion"]), default=None)
