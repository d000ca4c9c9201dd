"""The embedded API server for tests: in this process on a free port, with a small HTTP client beside it."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx

from reasoner_local import kubeconfig
from reasoner_local.apiserver import ApiServer, LogSource
from reasoner_local.kubeconfig import Login

JSON = "application/json"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
#: Has a watch begin with what there is, and say by a bookmark when that was all.
INITIAL_EVENTS = {
    "sendInitialEvents": "true",
    "resourceVersionMatch": "NotOlderThan",
    "allowWatchBookmarks": "true",
}
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@asynccontextmanager
async def serving(logs: LogSource | None = None) -> AsyncIterator[tuple[ApiServer, str]]:
    """A server in the running event loop, and its URL."""
    server = ApiServer(logs)
    url = await server.start("127.0.0.1", 0)
    try:
        yield server, url
    finally:
        await server.stop()


@contextmanager
def serving_in_thread(
    logs: LogSource | None = None, admin_token: str = "", tls: ssl.SSLContext | None = None
) -> Iterator[str]:
    """The URL of a server in an event loop of its own: for clients that block."""
    loop = asyncio.new_event_loop()
    server = ApiServer(logs, admin_token)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(server.start("127.0.0.1", 0, tls), loop).result(10)
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def write_kubeconfig(path: Path, url: str, token: str = "any") -> Path:
    """A kubeconfig for the server, at `path`."""
    return kubeconfig.write(path, Login(url, token))


class Api:
    """Plain HTTP against a server: every method returns the response."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = httpx.Client(base_url=url, timeout=10)

    def close(self) -> None:
        self._client.close()

    def call(self, method: str, path: str, body: Any = None, kind: str = JSON, **query: str) -> httpx.Response:
        content = body if body is None or isinstance(body, str | bytes) else json.dumps(body)
        headers = {"Content-Type": kind} if body is not None else {}
        return self._client.request(method, path, content=content, headers=headers, params=query)

    def get(self, path: str, **query: str) -> httpx.Response:
        return self.call("GET", path, **query)

    def post(self, path: str, body: Any, kind: str = JSON, **query: str) -> httpx.Response:
        return self.call("POST", path, body, kind, **query)

    def put(self, path: str, body: Any) -> httpx.Response:
        return self.call("PUT", path, body)

    def patch(self, path: str, body: Any, kind: str = MERGE, **query: str) -> httpx.Response:
        return self.call("PATCH", path, body, kind, **query)

    def apply(self, path: str, body: Any, manager: str = "test", force: str = "false") -> httpx.Response:
        return self.patch(path, body, APPLY, fieldManager=manager, force=force)

    def delete(self, path: str, body: Any = None, **query: str) -> httpx.Response:
        return self.call("DELETE", path, body, **query)

    def accept(self, path: str, accept: str, **query: str) -> httpx.Response:
        return self._client.get(path, headers={"Accept": accept}, params=query)

    def gone(self, path: str) -> None:
        """Wait until the object is gone, by watching it."""
        group, name = path.rsplit("/", 1)
        for event in self.watch(group, fieldSelector=f"metadata.name={name}", timeoutSeconds="5"):
            if event["type"] == "DELETED":
                return
            if event["type"] == "BOOKMARK" and self.get(path).status_code == 404:
                return
        assert self.get(path).status_code == 404, f"{path} is still there"

    def watch(self, path: str, **query: str) -> Iterator[dict[str, Any]]:
        """The events of a watch; without a revision, what there is comes first and then a bookmark."""
        start = {} if "resourceVersion" in query else INITIAL_EVENTS
        with self._client.stream("GET", path, params={"watch": "true", **start, **query}) as response:
            for line in response.iter_lines():
                yield json.loads(line)

    def changes_since(self, path: str, revision: str, **query: str) -> list[tuple[str, str]]:
        """Type and name of what has happened since a revision, until now."""
        events = self.watch(path, resourceVersion=revision, timeoutSeconds="0.2", **query)
        return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]


def custom_resource_definition(group: str, kind: str, schema: dict[str, Any], **version: Any) -> dict[str, Any]:
    """A CRD of one namespaced kind in version v1, with a status subresource."""
    plural = kind.lower() + "s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind, "categories": ["tests"]},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": schema},
                    **version,
                }
            ],
        },
    }


OPEN_SCHEMA = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
