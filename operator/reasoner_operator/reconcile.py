"""Level-based reconciliation of one object: see, plan, apply, report. Called by the queue in `main`."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from pydantic import ValidationError

from reasoner_api import API_VERSION
from reasoner_api.crd import KINDS
from reasoner_api.report import RunReport
from reasoner_operator import naming
from reasoner_operator.cluster import Cluster, Refused
from reasoner_operator.plan import plan
from reasoner_operator.plan.outcome import stalled
from reasoner_operator.plan.references import keys
from reasoner_operator.seen import Key, Object, Plan, Seen
from reasoner_operator.settings import Settings
from reasoner_operator.status import timestamp

log = logging.getLogger(__name__)


@dataclass
class Reconciler:
    """Brings objects of the three kinds to what their specs say."""

    cluster: Cluster
    settings: Settings
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    #: Which objects wait for which: filled by plans, emptied when the awaited object is reconciled.
    waiting: dict[Key, set[Key]] = field(default_factory=lambda: defaultdict(set))

    async def reconcile(self, key: Key) -> float | None:
        """One pass over one object. Returns the seconds until it should be looked at again, or None.

        Raises:
            Unavailable: the API server could not do its part; try again later.
        """
        seen = await self.see(key)
        if seen is None:
            return None
        made = plan(seen, self.settings, self.now())
        for awaited in made.waits_for:
            self.waiting[awaited].add(key)
        made = await self._apply(seen, made)
        await self._report(seen, made)
        return made.requeue_after

    def waiters(self, key: Key) -> set[Key]:
        """The objects that wait for this one; they are asked to look again, and wait anew if they must."""
        return self.waiting.pop(key, set())

    async def see(self, key: Key) -> Seen | None:
        """Everything that the plan depends on; None where the object is gone or going."""
        obj = await self.cluster.get(API_VERSION, key.kind, key.namespace, key.name)
        if obj is None or obj["metadata"].get("deletionTimestamp"):
            return None
        kind = KINDS[key.kind]
        selector = naming.selector(kind, key.name)
        kinds = (
            ("batch/v1", "Job"),
            ("v1", "Pod"),
            ("v1", "ConfigMap"),
            ("v1", "Service"),
            ("apps/v1", "Deployment"),
        )
        lists = await asyncio.gather(*(self.cluster.find(*which, key.namespace, selector) for which in kinds))
        jobs, pods, config_maps, services, deployments = (_owned(obj, items) for items in lists)
        job = jobs[0] if jobs else None
        work_pods = [pod for pod in pods if job and _owner_uid(pod) == job["metadata"]["uid"]]
        return Seen(
            kind=kind,
            obj=obj,
            job=job,
            pods=tuple(work_pods),
            deployment=deployments[0] if deployments else None,
            config_maps=tuple(config_maps),
            services=tuple(services),
            leftovers=_leftovers(obj, [item for items in lists for item in items]),
            references=await self._references(key, obj),
            live=await self._live(work_pods),
        )

    async def _references(self, key: Key, obj: Object) -> dict[Key, Object | None]:
        try:
            spec = KINDS[key.kind].spec.model_validate(obj["spec"])
        except ValidationError:
            # The plan says what is wrong with it.
            return {}
        wanted = sorted(keys(spec, key.namespace))
        found = await asyncio.gather(
            *(self.cluster.get(API_VERSION, other.kind, other.namespace, other.name) for other in wanted)
        )
        return dict(zip(wanted, found, strict=True))

    async def _live(self, pods: list[Object]) -> dict[str, RunReport]:
        running = [pod for pod in pods if pod.get("status", {}).get("phase") == "Running"]
        answers = await asyncio.gather(*(self.cluster.progress(pod) for pod in running))
        return {
            pod["metadata"]["name"]: answer for pod, answer in zip(running, answers, strict=True) if answer is not None
        }

    async def _apply(self, seen: Seen, made: Plan) -> Plan:
        """Do what the plan says. What the API server refuses becomes the status instead."""
        try:
            for manifest in made.apply:
                await self.cluster.apply(manifest)
            for patch in made.patch:
                await self.cluster.patch(seen.namespace, patch)
            for target in made.delete:
                await self.cluster.delete(seen.namespace, target)
        except Refused as error:
            refused = stalled(seen, "Refused", f"the API server refuses what the spec asks for: {error}", self.now())
            # A quota may free itself.
            return replace(refused, requeue_after=self.settings.resync_seconds)
        return made

    async def _report(self, seen: Seen, made: Plan) -> None:
        if made.status != seen.obj.get("status"):
            await self.cluster.report(seen.obj, made.status)
        for note in made.notes:
            log.info("%s: %s: %s", seen.key, note.reason, note.message)
            await self.cluster.record(seen.obj, note, timestamp(self.now()))


def _owner_uid(obj: Object) -> str:
    owners = obj["metadata"].get("ownerReferences", [])
    return next((owner["uid"] for owner in owners if owner.get("controller")), "")


def _leftovers(parent: Object, items: list[Object]) -> tuple[str, ...]:
    uid = parent["metadata"]["uid"]
    kept = [item for item in items if item["kind"] != "Pod"]
    return tuple(
        f"{item['kind']}/{item['metadata']['name']}"
        for item in kept
        if _owner_uid(item) != uid or item["metadata"].get("deletionTimestamp")
    )


def _owned(parent: Object, items: list[Object]) -> list[Object]:
    """The items that belong to this very object, oldest first: an earlier one of the same name may have left some
    that are still being collected. Pods belong to their Job or ReplicaSet and are sorted out by the caller."""
    uid = parent["metadata"]["uid"]
    kept = [item for item in items if item["kind"] == "Pod" or _owner_uid(item) == uid]
    return sorted(
        (item for item in kept if item["kind"] == "Pod" or not item["metadata"].get("deletionTimestamp")),
        key=lambda item: (item["metadata"]["creationTimestamp"], item["metadata"]["name"]),
    )
