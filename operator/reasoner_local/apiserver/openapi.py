"""OpenAPI documents: what `kubectl explain` reads, and how clients learn that fields are validated here."""

from typing import Any

from .errors import no_such_path
from .field_types import OBJECT_META, Schema, definition
from .objects import Obj
from .resources import Registry, Resource

_PREFIX = "#/components/schemas/"
_QUERY = [
    {"name": name, "in": "query", "schema": {"type": "string"}}
    for name in ("dryRun", "fieldManager", "fieldValidation")
]


def _path(resource: Resource) -> str:
    return ("apis/" if resource.group else "api/") + resource.group_version


def document_list(registry: Registry, revision: int) -> Obj:
    """GET /openapi/v3: where the document of each group and version is."""
    paths = sorted({_path(resource) for resource in registry})
    return {"paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={revision}"} for path in paths}}


def _schema_name(resource: Resource) -> str:
    if resource.custom is not None:
        reverse = ".".join(reversed(resource.group.split(".")))
        return f"{reverse}.{resource.version}.{resource.kind}"
    group = resource.group.split(".")[0] or "core"
    if group == "apiextensions":
        return f"io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.{resource.version}.{resource.kind}"
    return f"io.k8s.api.{group}.{resource.version}.{resource.kind}"


class _Document:
    """One group and version's document, with the definitions that its kinds refer to."""

    def __init__(self) -> None:
        self.schemas: dict[str, Schema] = {}

    def pointed(self, node: Any) -> Any:
        """`node` with references into this document, and what they name added to it."""
        if isinstance(node, list):
            return [self.pointed(item) for item in node]
        if not isinstance(node, dict):
            return node
        if isinstance(node.get("$ref"), str):
            self.add(node["$ref"])
            # A description beside a $ref is ignored by readers unless the reference is wrapped.
            return {"allOf": [{"$ref": _PREFIX + node["$ref"]}], "default": {}}
        return {key: self.pointed(value) for key, value in node.items()}

    def add(self, name: str) -> None:
        """Take in a built-in definition and all that it refers to."""
        if name not in self.schemas:
            self.schemas[name] = {}
            self.schemas[name] = self.pointed(definition(name))

    def add_kind(self, resource: Resource) -> str:
        """Take in the type of a resource type. Returns its name."""
        name = _schema_name(resource)
        gvk = {"group": resource.group, "version": resource.version, "kind": resource.kind}
        types = resource.types
        if resource.custom is not None:
            types = {**types, "properties": {**types["properties"], "metadata": OBJECT_META}}
        self.schemas[name] = {**self.pointed(types), "x-kubernetes-group-version-kind": [gvk]}
        return name


def _operation(resource: Resource, action: str, name: str) -> Obj:
    gvk = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    content = {"application/json": {"schema": {"$ref": _PREFIX + name}}}
    return {
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": gvk,
        "parameters": _QUERY,
        "responses": {"200": {"description": "OK", "content": content}},
    }


def document(registry: Registry, path: str) -> Obj:
    """GET /openapi/v3/apis/GROUP/VERSION. Raises 404."""
    resources = [resource for resource in registry if _path(resource) == path]
    if not resources:
        raise no_such_path()
    made, paths = _Document(), {}
    for resource in resources:
        name = made.add_kind(resource)
        place = "namespaces/{namespace}/" if resource.namespaced else ""
        base = f"/{path}/{place}{resource.plural}"
        paths[base] = {"get": _operation(resource, "list", name), "post": _operation(resource, "post", name)}
        paths[base + "/{name}"] = {
            method: _operation(resource, method, name) for method in ("get", "put", "patch", "delete")
        }
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.32.0"},
        "paths": paths,
        "components": {"schemas": made.schemas},
    }


def document_v2() -> Obj:
    """GET /openapi/v2: the old form, kept empty; every current client reads version 3."""
    info = {"title": "Kubernetes", "version": "v1.32.0"}
    return {"swagger": "2.0", "info": info, "paths": {}, "definitions": {}}
