"""The Kubernetes API in the operator's own verbs. Called by `reconcile`, `children` and `main`."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from reasoner_api.report import RunReport
from reasoner_operator.answers import Unavailable, checked
from reasoner_operator.naming import MANAGER
from reasoner_operator.paths import path_of
from reasoner_operator.progress import Pods, Way
from reasoner_operator.seen import Note, Object, Patch, Target
from reasoner_operator.transport import APPLY, JSON, MERGE, Connection, Request, Transport

#: Objects without spec and status, where the server knows how.
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
#: Seconds after which a watch is begun anew, and that the API server has to end it.
WATCH_SECONDS = 300
WATCH_GRACE = 30
#: Server-side apply under our name, of what others may have changed.
AS_OURS = (("fieldManager", MANAGER), ("force", "true"))


@dataclass(frozen=True)
class Access:
    """How the operator reaches the API server and the pods."""

    kubeconfig: Path | None = None
    pods: Way = "direct"


class Cluster:
    """One connection to the API server. Use as an async context manager."""

    def __init__(self, access: Access) -> None:
        self._stack = AsyncExitStack()
        self.transport = Transport(access.kubeconfig)
        self._pods = Pods(self.transport, access.pods)

    async def __aenter__(self) -> Cluster:
        await self._stack.enter_async_context(self.transport)
        await self._stack.enter_async_context(self._pods)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def connection(self) -> Connection:
        """The way to the API server for another client."""
        return await self.transport.connection()

    async def get(self, api_version: str, kind: str, namespace: str, name: str) -> Object | None:
        """The object, or None where there is none of that name."""
        status, body = await self.transport.request(Request("GET", path_of(api_version, kind, namespace, name)))
        if status == 404:
            return None
        found: Object = checked(status, body)
        return found

    async def find(self, api_version: str, kind: str, namespace: str | None, selector: str = "") -> list[Object]:
        """All objects that the label selector matches; of all namespaces when it is None. Of a kind that the cluster
        does not know (KEDA's, where it is not installed) there are none."""
        query = [("labelSelector", selector)] if selector else []
        status, body = await self.transport.request(Request("GET", path_of(api_version, kind, namespace), query))
        if status == 404:
            return []
        found = checked(status, body)
        # A list's items come without the type that an object alone carries.
        return [{"apiVersion": api_version, "kind": kind, **item} for item in found["items"] or []]

    async def events(self, namespace: str, uid: str) -> list[Object]:
        """The Events about one object."""
        query = [("fieldSelector", f"involvedObject.uid={uid}")]
        found = await self.transport.ask(Request("GET", path_of("v1", "Event", namespace), query))
        items: list[Object] = found["items"] or []
        return items

    async def metadata(self, path: str, selector: str) -> AsyncIterator[Object]:
        """Metadata of every object of a collection that the label selector matches, then of each that changes or
        goes. Ends when the API server ends the watch, after minutes: then ask again.

        Raises:
            ApiError: it cannot be watched, or no longer from where it was.
        """
        query = [("labelSelector", selector)]
        listed = await self.transport.ask(Request("GET", path, query, accept=METADATA_LIST))
        # Go writes an empty list of metadata as null.
        for item in listed["items"] or []:
            yield item["metadata"]
        query += [
            ("watch", "true"),
            ("resourceVersion", listed["metadata"]["resourceVersion"]),
            ("timeoutSeconds", str(WATCH_SECONDS)),
        ]
        # The API server ends it in time; if it cannot any more, we do.
        lines = self.transport.lines(Request("GET", path, query, accept=METADATA), WATCH_SECONDS + WATCH_GRACE)
        async for line in lines:
            event = json.loads(line)
            if event["type"] == "ERROR":
                raise Unavailable(f"watching {path}: {event['object'].get('message')}")
            yield event["object"]["metadata"]

    async def apply(self, manifest: Object) -> Object:
        """Server-side apply under our field manager."""
        metadata = manifest["metadata"]
        path = path_of(manifest["apiVersion"], manifest["kind"], metadata["namespace"], metadata["name"])
        applied: Object = await self.transport.ask(Request("PATCH", path, AS_OURS, (APPLY, manifest)))
        return applied

    async def patch(self, namespace: str, patch: Patch) -> None:
        """A merge patch; an object that is gone needs none."""
        path = path_of(patch.api_version, patch.kind, namespace, patch.name)
        await self._unless_gone(Request("PATCH", path, AS_OURS[:1], (MERGE, patch.body)))

    async def delete(self, namespace: str, target: Target) -> None:
        """Delete with its dependents; one that is gone is deleted."""
        path = path_of(target.api_version, target.kind, namespace, target.name)
        await self._unless_gone(Request("DELETE", path, [("propagationPolicy", "Background")]))

    async def report(self, obj: Object, status: Object) -> None:
        """Write an object's status; fields that we no longer set go. An object that is gone needs none.

        Raises:
            Conflict: among others when the object was deleted and made again: the uid tells them apart.
        """
        metadata = {key: obj["metadata"][key] for key in ("name", "namespace", "uid")}
        manifest = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": metadata, "status": status}
        path = path_of(obj["apiVersion"], obj["kind"], metadata["namespace"], metadata["name"]) + "/status"
        await self._unless_gone(Request("PATCH", path, AS_OURS, (APPLY, manifest)))

    async def record(self, obj: Object, note: Note, now: str) -> None:
        """Record a Kubernetes Event about an object."""
        metadata = obj["metadata"]
        reference = {key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion")}
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            # Named as client-go does, by the time: what happens within a second is shown in its order.
            "metadata": {"name": f"{metadata['name']}.{time.time_ns():x}", "namespace": metadata["namespace"]},
            "involvedObject": {"apiVersion": obj["apiVersion"], "kind": obj["kind"], **reference},
            "type": note.type,
            "reason": note.reason,
            "message": note.message[:1024],
            "source": {"component": MANAGER},
            "reportingComponent": MANAGER,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        path = path_of("v1", "Event", metadata["namespace"])
        await self.transport.ask(Request("POST", path, content=(JSON, event)))

    async def progress(self, pod: Object) -> RunReport | None:
        """What a running pod answers on `/progress`; None while it does not."""
        return await self._pods.progress(pod)

    async def _unless_gone(self, request: Request) -> None:
        status, body = await self.transport.request(request)
        if status != 404:
            checked(status, body)
