"""One API server as tests/conformance holds it to its promises: the embedded one, or that of a test cluster."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from support.apiserver import CRDS, OPEN_SCHEMA, Api, custom_resource_definition, serving_in_thread, write_kubeconfig
from support.real import http_settings

EMBEDDED = "embedded"

GIZMO_SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["size"],
            "properties": {
                "size": {"type": "integer", "minimum": 1},
                "color": {"type": "string", "default": "red"},
                "mode": {"type": "string", "enum": ["a", "b"]},
            },
            "x-kubernetes-validations": [{"rule": "self.size < 100", "message": "too big"}],
        },
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}


class Subject(Api):
    """A server with a namespace of the suite's own, in which two kinds are served: an open one and a strict one."""

    def __init__(self, name: str, kubeconfig: Path, settings: dict[str, Any], namespace: str) -> None:
        super().__init__(settings["base_url"])
        self.close()
        self._client = httpx.Client(timeout=30, **settings)
        self._settings = settings
        self.name = name
        self.kubeconfig = kubeconfig
        self.namespace = namespace
        #: The shortest timeoutSeconds of a watch: a real server counts in whole seconds.
        self.moment = "0.2" if self.embedded else "1"

    @property
    def embedded(self) -> bool:
        return self.name == EMBEDDED

    def another(self) -> Subject:
        """A second connection, for another thread."""
        return Subject(self.name, self.kubeconfig, self._settings, self.namespace)

    def path(self, api_version: str, plural: str, name: str = "") -> str:
        """Path of a collection in the suite's namespace, or of an object."""
        root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        return f"{root}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    @property
    def widgets(self) -> str:
        return self.path("demo.dev/v1", "widgets")

    @property
    def gizmos(self) -> str:
        return self.path("acme.dev/v1", "gizmos")

    @property
    def deployments(self) -> str:
        return self.path("apps/v1", "deployments")

    @property
    def events(self) -> str:
        return self.path("v1", "events")

    def changes_since(self, path: str, revision: str, **query: str) -> list[tuple[str, str]]:
        """Type and name of what has happened since a revision, until now."""
        events = self.watch(path, resourceVersion=revision, timeoutSeconds=self.moment, **query)
        seen = [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]
        # A bookmark may come unasked at the end of a short watch of a real server.
        return seen if "allowWatchBookmarks" in query else [one for one in seen if one[0] != "BOOKMARK"]

    def prepare(self) -> None:
        """Make the namespace and serve the two kinds."""
        assert self.post("/api/v1/namespaces", {"metadata": {"name": self.namespace}}).status_code == 201
        for crd in (
            custom_resource_definition("demo.dev", "Widget", OPEN_SCHEMA),
            custom_resource_definition("acme.dev", "Gizmo", GIZMO_SCHEMA),
        ):
            self.install(crd)

    def install(self, crd: dict[str, Any]) -> None:
        """Apply a CRD and wait until objects of its kind can be written: Established comes a moment earlier."""
        name, spec = crd["metadata"]["name"], crd["spec"]
        assert self.apply(f"{CRDS}/{name}", crd, force="true").status_code in (200, 201)
        served = f"{spec['group']}/{spec['versions'][0]['name']}"
        body = {"apiVersion": served, "kind": spec["names"]["kind"], "metadata": {"name": "probe"}, "spec": {"size": 1}}
        path = self.path(served, spec["names"]["plural"])
        for _ in range(300):
            if self.post(path, body, dryRun="All").status_code == 201:
                return
            time.sleep(0.1)
        raise AssertionError(f"{name} is not served: {self.get(f'{CRDS}/{name}').text}")


@contextmanager
def embedded(folder: Path) -> Iterator[Subject]:
    """The embedded server, started for this."""
    with serving_in_thread() as url:
        subject = Subject(EMBEDDED, write_kubeconfig(folder / "kubeconfig", url), {"base_url": url}, "conformance")
        subject.prepare()
        yield subject
        subject.close()


@contextmanager
def real(kubeconfig: Path, context: str) -> Iterator[Subject]:
    """The test cluster that a kubeconfig names; its namespace is deleted afterwards, its CRDs stay."""
    subject = Subject(context, kubeconfig, http_settings(kubeconfig), f"conformance-{uuid.uuid4().hex[:8]}")
    try:
        subject.prepare()
        yield subject
    finally:
        subject.delete(f"/api/v1/namespaces/{subject.namespace}")
        subject.close()
