"""The Kubernetes API as the operator uses it: the only module that imports the client. Called by `reconcile`
and `main`."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.client.api_client import RequestSerialized
from pydantic import ValidationError

from reasoner_api.report import RunReport
from reasoner_api.task import REPORT_PORT
from reasoner_operator.naming import MANAGER
from reasoner_operator.seen import Note, Object, Patch, Target

log = logging.getLogger(__name__)

#: Plural of every kind that the operator touches.
PLURALS = {
    "CurationJob": "curationjobs",
    "VerifierTraining": "verifiertrainings",
    "GRPORun": "grporuns",
    "ConfigMap": "configmaps",
    "Service": "services",
    "Pod": "pods",
    "Event": "events",
    "Job": "jobs",
    "Deployment": "deployments",
    "NetworkPolicy": "networkpolicies",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "HorizontalPodAutoscaler": "horizontalpodautoscalers",
    "ScaledObject": "scaledobjects",
}
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
#: Objects without spec and status, where the server knows how.
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
#: Seconds after which a watch is begun anew.
WATCH_SECONDS = 300
#: Seconds for one answer of the API server, and of a pod's `/progress`.
API_TIMEOUT = 30
PROGRESS_TIMEOUT = 3
#: Pods asked for their progress at one time, of all objects together.
PROGRESS_AT_ONCE = 32
#: Refusals that pass by themselves: an expired token, a namespace that is just being made, a lost race, a limit.
PASSING = {401, 404, 408, 409, 410, 429}
#: What server-side apply says, with status 500, of a manifest that does not fit the schema.
MALFORMED = "failed to create typed patch object"


class ApiError(Exception):
    """The API server did not do what was asked."""


class Refused(ApiError):
    """The API server refuses what was asked, and will again until somebody acts."""


class Unavailable(ApiError):
    """The API server could not be reached, was busy, or lost a race: worth trying again."""


@dataclass(frozen=True)
class Access:
    """How the operator reaches the API server and the pods."""

    kubeconfig: Path | None = None
    #: `direct` asks the pod's address (from inside the cluster), `proxy` goes through the API server.
    pods: Literal["direct", "proxy"] = "direct"


@dataclass(frozen=True)
class Connection:
    """What it takes to speak to the API server."""

    server: str
    ca_path: str | None
    insecure: bool
    certificate_path: str | None
    private_key_path: str | None
    scheme: str | None
    token: str | None
    proxy_url: str | None


class Cluster:
    """One connection to the API server. Use as an async context manager."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._asking = asyncio.Semaphore(PROGRESS_AT_ONCE)
        #: Whether the log has said that progress cannot be read.
        self._told = False
        self._refreshing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Cluster:
        configuration = client.Configuration()
        if self._access.kubeconfig is None:
            config.load_incluster_config(client_configuration=configuration)
        else:
            path = str(self._access.kubeconfig)
            loader = await config.load_kube_config(path, client_configuration=configuration)
            # Tokens of credential plugins live for minutes; for other kubeconfigs this ends at once.
            self._refreshing = asyncio.create_task(config.refresh_token(loader, configuration))
        # Unlimited: watches hold connections, and the queue's workers are few.
        configuration.connection_pool_maxsize = 0
        self._api = client.ApiClient(configuration)
        self._pods = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PROGRESS_TIMEOUT))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._refreshing is not None:
            self._refreshing.cancel()
        await self._pods.close()
        await self._api.close()

    async def connection(self) -> Connection:
        """The way to the API server, with a token that is valid now."""
        configuration = self._api.configuration
        header = await configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        scheme, _, token = (header or "").partition(" ")
        return Connection(
            server=configuration.host,
            ca_path=configuration.ssl_ca_cert,
            insecure=not configuration.verify_ssl,
            certificate_path=configuration.cert_file,
            private_key_path=configuration.key_file,
            scheme=scheme or None,
            token=token or None,
            proxy_url=configuration.proxy,
        )

    async def get(self, api_version: str, kind: str, namespace: str, name: str) -> Object | None:
        """The object, or None where there is none of that name."""
        status, body = await self._request("GET", _path(api_version, kind, namespace, name))
        if status == 404:
            return None
        found: Object = _checked(status, body)
        return found

    async def find(self, api_version: str, kind: str, namespace: str | None, selector: str = "") -> list[Object]:
        """All objects that the label selector matches; of all namespaces when it is None. Of a kind that the cluster
        does not know (KEDA's, where it is not installed) there are none."""
        query = [("labelSelector", selector)] if selector else []
        status, body = await self._request("GET", _path(api_version, kind, namespace), query)
        if status == 404:
            return []
        found = _checked(status, body)
        # A list's items come without the type that an object alone carries.
        return [{"apiVersion": api_version, "kind": kind, **item} for item in found["items"] or []]

    async def metadata(self, path: str, selector: str) -> AsyncIterator[Object]:
        """Metadata of every object of a collection that the label selector matches, then of each that changes or
        goes. Ends when the API server ends the watch, after minutes: then ask again.

        Raises:
            ApiError: it cannot be watched, or no longer from where it was.
        """
        status, body = await self._request("GET", path, [("labelSelector", selector)], accept=METADATA_LIST)
        listed = _checked(status, body)
        # Go writes an empty list of metadata as null.
        for item in listed["items"] or []:
            yield item["metadata"]
        query = [
            ("labelSelector", selector),
            ("watch", "true"),
            ("resourceVersion", listed["metadata"]["resourceVersion"]),
            ("timeoutSeconds", str(WATCH_SECONDS)),
        ]
        request = await self._serialized("GET", path, query, None, METADATA)
        try:
            # The API server ends it in time; if it cannot any more, we do.
            answer = await self._api.call_api(*request, _request_timeout=WATCH_SECONDS + API_TIMEOUT)
            async with answer.response as response:
                if response.status >= 300:
                    _checked(response.status, await response.read())
                async for line in response.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise Unavailable(f"watching {path}: {event['object'].get('message')}")
                    yield event["object"]["metadata"]
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Unavailable(f"watching {path}: {str(error) or type(error).__name__}") from error

    async def apply(self, manifest: Object) -> Object:
        """Server-side apply under our field manager."""
        metadata = manifest["metadata"]
        path = _path(manifest["apiVersion"], manifest["kind"], metadata["namespace"], metadata["name"])
        query = [("fieldManager", MANAGER), ("force", "true")]
        applied: Object = _checked(*await self._request("PATCH", path, query, (APPLY, manifest)))
        return applied

    async def patch(self, namespace: str, patch: Patch) -> None:
        """A merge patch; an object that is gone needs none."""
        path = _path(patch.api_version, patch.kind, namespace, patch.name)
        status, body = await self._request("PATCH", path, [("fieldManager", MANAGER)], (MERGE, patch.body))
        if status != 404:
            _checked(status, body)

    async def delete(self, namespace: str, target: Target) -> None:
        """Delete with its dependents; one that is gone is deleted."""
        path = _path(target.api_version, target.kind, namespace, target.name)
        status, body = await self._request("DELETE", path, [("propagationPolicy", "Background")])
        if status != 404:
            _checked(status, body)

    async def report(self, obj: Object, status: Object) -> None:
        """Write an object's status; fields that we no longer set go. An object that is gone needs none.

        Raises:
            Unavailable: among others when the object was deleted and made again: the uid tells them apart.
        """
        metadata = {key: obj["metadata"][key] for key in ("name", "namespace", "uid")}
        manifest = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": metadata, "status": status}
        path = _path(obj["apiVersion"], obj["kind"], metadata["namespace"], metadata["name"]) + "/status"
        query = [("fieldManager", MANAGER), ("force", "true")]
        code, body = await self._request("PATCH", path, query, (APPLY, manifest))
        if code != 404:
            _checked(code, body)

    async def record(self, obj: Object, note: Note, now: str) -> None:
        """Record a Kubernetes Event about an object."""
        metadata = obj["metadata"]
        reference = {key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion")}
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{metadata['name']}.", "namespace": metadata["namespace"]},
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
        path = _path("v1", "Event", metadata["namespace"])
        _checked(*await self._request("POST", path, [], ("application/json", event)))

    async def progress(self, pod: Object) -> RunReport | None:
        """What a running pod answers on `/progress`; None while it does not."""
        address = pod.get("status", {}).get("podIP")
        if not address:
            return None
        async with self._asking:
            if self._access.pods == "proxy":
                return await self._ask_through_the_api_server(pod["metadata"])
            host = f"[{address}]" if ":" in address else address
            return await self._ask(f"http://{host}:{REPORT_PORT}/progress")

    async def _ask_through_the_api_server(self, pod: Object) -> RunReport | None:
        path = _path("v1", "Pod", pod["namespace"], f"{pod['name']}:{REPORT_PORT}") + "/proxy/progress"
        try:
            async with asyncio.timeout(PROGRESS_TIMEOUT):
                status, body = await self._request("GET", path)
        except (Unavailable, TimeoutError):
            return None
        if status == 403 and not self._told:
            self._told = True
            log.warning("runs will show no progress: it takes the right to get pods/proxy, or --pod-access=direct")
        return _report(body) if status == 200 else None

    async def _ask(self, url: str) -> RunReport | None:
        try:
            async with self._pods.get(url) as response:
                return _report(await response.read()) if response.status == 200 else None
        except (aiohttp.ClientError, TimeoutError):
            # Not listening yet, or just gone: the next reading will tell.
            return None

    async def _request(
        self,
        method: str,
        path: str,
        query: list[tuple[str, str]] | None = None,
        content: tuple[str, Object] | None = None,
        accept: str = "application/json",
    ) -> tuple[int, bytes]:
        request = await self._serialized(method, path, query or [], content, accept)
        try:
            response = await self._api.call_api(*request, _request_timeout=API_TIMEOUT)
            return response.status, await response.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Unavailable(f"{method} {path}: {str(error) or type(error).__name__}") from error

    async def _serialized(
        self, method: str, path: str, query: list[tuple[str, str]], content: tuple[str, Object] | None, accept: str
    ) -> RequestSerialized:
        headers = {"Accept": accept}
        if content is not None:
            headers["Content-Type"] = content[0]
        return await self._api.param_serialize(
            method,
            path,
            query_params=query,
            header_params=headers,
            body=content[1] if content else None,
            auth_settings=["BearerToken"],
        )


def _path(api_version: str, kind: str, namespace: str | None, name: str | None = None) -> str:
    root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
    scope = f"/namespaces/{namespace}" if namespace else ""
    return f"{root}{scope}/{PLURALS[kind]}" + (f"/{quote(name, safe=':')}" if name else "")


def _checked(status: int, body: bytes) -> Any:
    """The answer's JSON; an error as the kind of exception that says whether trying again helps."""
    if status < 300:
        return json.loads(body)
    try:
        message = str(json.loads(body).get("message", ""))
    except (ValueError, AttributeError):
        message = body[:200].decode(errors="replace")
    if (400 <= status < 500 and status not in PASSING) or message.startswith(MALFORMED):
        raise Refused(message)
    raise Unavailable(f"{status}: {message}")


def _report(body: bytes) -> RunReport | None:
    try:
        return RunReport.model_validate_json(body)
    except ValidationError:
        return None
