"""A request as the API understands it: its target, its options and its decoded body."""

import json
from dataclasses import dataclass
from typing import Any

import yaml
from aiohttp import web

from .errors import bad_request, unsupported_media
from .protobuf import PROTOBUF, decode

_TRUE = ("true", "True", "1")


class _Yaml(yaml.SafeLoader):
    """YAML as far as JSON goes: what looks like a date stays text."""


_Yaml.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True)
class Target:
    """What a path under /api or /apis names; parts that it leaves out are empty."""

    group: str
    version: str
    plural: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""


def target_of(path: str) -> Target | None:
    """The target of a path with at least a resource type in it, else None."""
    head, *parts = path.strip("/").split("/")
    if head == "api" and len(parts) >= 2:
        group, version, parts = "", parts[0], parts[1:]
    elif head == "apis" and len(parts) >= 3:
        group, version, parts = parts[0], parts[1], parts[2:]
    else:
        return None
    namespace = ""
    own = ("status", "finalize")
    if parts[0] == "namespaces" and len(parts) >= 3 and (group or parts[2] not in own):
        namespace, parts = parts[1], parts[2:]
    plural, name, subresource, rest = (*parts[:3], *[""] * (3 - len(parts[:3])), "/".join(parts[3:]))
    return Target(group, version, plural, namespace, name, subresource, rest)


def flag(request: web.Request, name: str) -> bool:
    """A boolean query parameter, in any of the clients' spellings."""
    return request.query.get(name) in _TRUE


def wants(request: web.Request, form: str) -> bool:
    """Whether the client asks for a Table or another `as=` form of the answer."""
    return f"as={form}" in request.headers.get("Accept", "")


async def body_of(request: web.Request) -> Any:
    """The decoded body (JSON, YAML or the protobuf of the kinds that kubectl sends so); None when there is none."""
    raw = await request.read()
    if not raw:
        return None
    content = request.content_type
    if content == PROTOBUF:
        return decode(raw)
    if content == "application/cbor":
        raise unsupported_media("application/json", "application/yaml", PROTOBUF)
    try:
        if "yaml" in content and raw.lstrip()[:1] not in (b"{", b"["):
            return yaml.load(raw, _Yaml)
        return json.loads(raw)
    except (ValueError, yaml.YAMLError) as error:
        raise bad_request(f"unable to parse the request body: {error}") from error


def manager_of(request: web.Request) -> str:
    """The field manager of a plain write: as the client says, or after its User-Agent."""
    return request.query.get("fieldManager") or request.headers.get("User-Agent", "unknown").split("/")[0]
