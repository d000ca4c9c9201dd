"""Level-based reconciliation of one object: see, plan, apply, report. Called by the queue in `main`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from pydantic import ValidationError

from reasoner_api import API_VERSION
from reasoner_api.crd import GRPO, KINDS, VERIFIER
from reasoner_api.report import RunReport
from reasoner_operator import metrics, naming, servers
from reasoner_operator.answers import ApiError, Refused, Unavailable
from reasoner_operator.cluster import Cluster
from reasoner_operator.complaints import Complaints
from reasoner_operator.plan import plan
from reasoner_operator.plan.outcome import held_up, stalled
from reasoner_operator.plan.references import keys
from reasoner_operator.seen import Key, Object, Plan, Seen
from reasoner_operator.settings import Settings
from reasoner_operator.status import changed, timestamp
from reasoner_operator.told import Told
from reasoner_operator.waits import Waits

log = logging.getLogger(__name__)


@dataclass
class Reconciler:
    """Brings objects of the three kinds to what their specs say."""

    cluster: Cluster
    settings: Settings
    #: Called with each object that should look again because one that it waits for has changed.
    wake: Callable[[Key], None] = field(default=lambda key: None)
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    waits: Waits = field(default_factory=Waits)
    told: Told = field(default_factory=Told)
    census: metrics.Census = field(default_factory=metrics.Census)

    def __post_init__(self) -> None:
        self.complaints = Complaints(self.cluster)

    async def reconcile(self, key: Key) -> float | None:
        """One pass over one object. Returns the seconds until it should be looked at again, or None.

        Raises:
            ApiError: the API server did not do its part; try again later.
        """
        seen = await self.see(key)
        if seen is None:
            self.waits.put(key, frozenset())
            self.census.put(key, None)
            self.told.put(key, None)
            self._wake_waiters(key)
            return None
        try:
            made = plan(seen, self.settings, self.now())
        except Exception as bug:
            # The object says so too: its owner would wait for ever and not know why.
            message = f"a bug in the operator ({type(bug).__name__}: {bug}); its log has the traceback"
            await self._report(seen, stalled(seen, "InternalError", message, self.now()))
            raise
        self.waits.put(key, made.waits_for)
        try:
            await self._apply(seen, made)
        except Refused as error:
            refused = stalled(seen, "Refused", f"the API server refuses what the spec asks for: {error}", self.now())
            # A quota may free itself.
            made = replace(refused, requeue_after=self.settings.resync_seconds)
        except Unavailable as error:
            await self._report(seen, held_up(seen, str(error), self.now()))
            raise
        await self._report(seen, made)
        return made.requeue_after

    def _wake_waiters(self, key: Key) -> None:
        for waiter in self.waits.of(key):
            self.wake(waiter)

    async def see(self, key: Key) -> Seen | None:
        """Everything that the plan depends on; None where the object is gone or going."""
        obj = await self.cluster.get(API_VERSION, key.kind, key.namespace, key.name)
        if obj is None or obj["metadata"].get("deletionTimestamp"):
            return None
        kind = KINDS[key.kind]
        selector = naming.selector(kind, key.name)
        # The Job before its pods: a Job that is seen complete is never seen with pods that still run.
        found_jobs = await self.cluster.find("batch/v1", "Job", key.namespace, selector)
        kinds = (("v1", "Pod"), ("v1", "ConfigMap"), ("v1", "Service"))
        lists = await asyncio.gather(*(self.cluster.find(*which, key.namespace, selector) for which in kinds))
        jobs, pods, config_maps, services = (_owned(obj, items) for items in (found_jobs, *lists))
        job = jobs[0] if jobs else None
        work_pods = [pod for pod in pods if job and _owner_uid(pod) == job["metadata"]["uid"]]
        serving_pods = tuple(pod for pod in pods if _role(pod) == naming.ROLE_SERVE)
        return Seen(
            kind=kind,
            obj=obj,
            job=job,
            pods=tuple(work_pods),
            config_maps=tuple(config_maps),
            services=tuple(item for item in services if _role(item) == naming.ROLE_WORK),
            serving=tuple(_owned(obj, await servers.of(self.cluster, key))) if kind is VERIFIER else (),
            servers=serving_pods,
            complaints=await self.complaints.about(job, (*work_pods, *serving_pods)),
            users=await servers.users(self.cluster, key) if kind is VERIFIER else (),
            held=await servers.held(self.cluster, obj) if kind is GRPO else (),
            leftovers=_leftovers(obj, [item for items in (found_jobs, *lists) for item in items]),
            # Once there is a Job, what it stands on is settled; a paused one may wait for what it lacks.
            references=await self._references(key, obj) if job is None or job["spec"].get("suspend") else {},
            live=await self._live(work_pods),
        )

    async def _references(self, key: Key, obj: Object) -> dict[Key, Object | None]:
        try:
            spec = KINDS[key.kind].spec.model_validate(obj["spec"])
        except ValidationError:
            # The plan says what is wrong with it.
            return {}
        wanted = sorted(keys(spec, key.namespace))
        # Before they are read: what becomes of one after the reading wakes this object.
        self.waits.put(key, frozenset(wanted))
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

    async def _apply(self, seen: Seen, made: Plan) -> None:
        for manifest in made.apply:
            await self._refuse_to_take_over(seen, manifest)
            await self.cluster.apply(manifest)
        for patch in made.patch:
            await self.cluster.patch(seen.namespace, patch)
        for target in made.delete:
            await self.cluster.delete(seen.namespace, target)

    async def _refuse_to_take_over(self, seen: Seen, manifest: Object) -> None:
        """Server-side apply would quietly change an object of the same name that is not ours."""
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        if f"{kind}/{name}" in seen.children:
            return
        present = await self.cluster.get(manifest["apiVersion"], kind, seen.namespace, name)
        if present is None or _owner_uid(present) == seen.obj["metadata"]["uid"]:
            return
        ours = naming.labels(seen.kind, seen.name, naming.ROLE_SERVE).items()
        kept = ours <= present["metadata"].get("labels", {}).items()
        if kept and not _owner_uid(present):
            # By a run, while its verifier was deleted and made again; and the new one is the same.
            return
        if kept or present["metadata"].get("deletionTimestamp"):
            raise Unavailable(f"{kind} {name} of an earlier object is still being deleted")
        raise Refused(f"{kind} {name} exists already and does not belong to this {seen.kind.name}: delete or rename it")

    async def _report(self, seen: Seen, made: Plan) -> None:
        before = seen.obj.get("status")
        self.told.put(seen.key, made.status)
        if made.status != before:
            await self.cluster.report(seen.obj, made.status)
        self.census.put(seen.key, made.status["phase"])
        if changed(before, made.status):
            self._wake_waiters(seen.key)
            for key in seen.references:
                # A verifier that is scaled to zero hears that it is needed.
                self.wake(key)
        for note in made.notes:
            log.info("%s: %s: %s", seen.key, note.reason, note.message)
            try:
                await self.cluster.record(seen.obj, note, timestamp(self.now()))
            except ApiError as error:
                # The status says the same; a namespace that is being deleted takes no more Events.
                log.warning("%s: the Event %s is not recorded: %s", seen.key, note.reason, error)


def _owner_uid(obj: Object) -> str:
    owners = obj["metadata"].get("ownerReferences", [])
    return next((owner["uid"] for owner in owners if owner.get("controller")), "")


def _role(obj: Object) -> str:
    return str(obj["metadata"].get("labels", {}).get(naming.LABEL_ROLE, ""))


def _leftovers(parent: Object, items: list[Object]) -> tuple[str, ...]:
    uid = parent["metadata"]["uid"]
    # What serves is named after what it serves: nothing of an earlier verifier is in a later one's way.
    kept = [item for item in items if item["kind"] != "Pod" and _role(item) != naming.ROLE_SERVE]
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
