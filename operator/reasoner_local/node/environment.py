"""The command line and environment of a container, as the kubelet composes them. Used by `container`."""

from __future__ import annotations

import base64
import math
import os
import re
from decimal import Decimal

from reasoner_local import quantity
from reasoner_local.client import CONFIGMAPS, SECRETS, SERVICES, Obj, Resource
from reasoner_local.dns import hosts_file
from reasoner_local.node.context import NotReady, PodContext

_REFERENCE = re.compile(r"\$(?:\$|\(([-._a-zA-Z][-._a-zA-Z0-9]*)\))")
_KEYED = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


def expand(text: str, known: dict[str, str]) -> str:
    """`$(NAME)` replaced where the name is known, `$$` by `$`."""

    def value(match: re.Match[str]) -> str:
        if match[1] is None:
            return "$"
        return known.get(match[1], match[0])

    return _REFERENCE.sub(value, text)


def field_value(context: PodContext, path: str) -> str:
    """What a fieldRef stands for."""
    meta, spec = context.pod["metadata"], context.pod["spec"]
    if keyed := _KEYED.fullmatch(path):
        return str((meta.get(keyed[1]) or {}).get(keyed[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        pairs = sorted((meta.get(path.split(".")[1]) or {}).items())
        return "\n".join(f'{name}="{value}"' for name, value in pairs)
    known = {
        "metadata.name": meta["name"],
        "metadata.namespace": meta["namespace"],
        "metadata.uid": meta["uid"],
        "spec.nodeName": context.facts.name,
        "spec.serviceAccountName": spec.get("serviceAccountName", "default"),
        "status.podIP": context.ip,
        "status.podIPs": context.ip,
        "status.hostIP": context.facts.subnet.node,
        "status.hostIPs": context.facts.subnet.node,
    }
    if path not in known:
        raise NotReady(f"unsupported fieldPath: {path}")
    return str(known[path])


def resource_value(context: PodContext, own: Obj, ref: Obj) -> str:
    """What a resourceFieldRef stands for; the node's allocatable amount where the container has no limit."""
    containers = [*context.pod["spec"].get("initContainers", []), *context.pod["spec"]["containers"]]
    container = next((c for c in containers if c["name"] == ref.get("containerName", own["name"])), own)
    kind, _, name = str(ref["resource"]).partition(".")
    resources = container.get("resources") or {}
    amount = (resources.get(kind) or {}).get(name)
    if amount is None and kind == "requests":
        amount = (resources.get("limits") or {}).get(name, "0")
    value = quantity.parse(amount) if amount is not None else _whole_machine(name)
    divisor = quantity.parse(ref.get("divisor") or "1") or Decimal(1)
    return str(math.ceil(value / divisor))


def _whole_machine(name: str) -> Decimal:
    if name == "cpu":
        return Decimal(os.cpu_count() or 1)
    return Decimal(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


async def data_of(context: PodContext, kind: Resource, ref: Obj) -> dict[str, bytes] | None:
    """A ConfigMap's or Secret's data; None where it is optional and missing, else NotReady."""
    obj = await context.tools.hub.client.find(kind, context.namespace, ref["name"])
    if obj is None:
        if ref.get("optional"):
            return None
        raise NotReady(f'{kind.kind.lower()} "{ref["name"]}" not found')
    if kind is SECRETS:
        return {name: base64.b64decode(text) for name, text in (obj.get("data") or {}).items()}
    plain = {name: str(text).encode() for name, text in (obj.get("data") or {}).items()}
    binary = {name: base64.b64decode(text) for name, text in (obj.get("binaryData") or {}).items()}
    return plain | binary


async def _key_value(context: PodContext, kind: Resource, ref: Obj) -> str | None:
    data = await data_of(context, kind, ref)
    if data is None or ref["key"] not in data:
        if ref.get("optional"):
            return None
        where = f"{kind.kind} {context.namespace}/{ref['name']}"
        raise NotReady(f"couldn't find key {ref['key']} in {where}")
    return data[ref["key"]].decode()


async def _value(context: PodContext, container: Obj, source: Obj) -> str | None:
    if "fieldRef" in source:
        return field_value(context, source["fieldRef"]["fieldPath"])
    if "resourceFieldRef" in source:
        return resource_value(context, container, source["resourceFieldRef"])
    if "secretKeyRef" in source:
        return await _key_value(context, SECRETS, source["secretKeyRef"])
    return await _key_value(context, CONFIGMAPS, source["configMapKeyRef"])


def _service_links(context: PodContext) -> dict[str, str]:
    """The variables that announce each Service of the namespace, in Docker's old fashion."""
    links: dict[str, str] = {}
    for service in context.tools.hub.of(SERVICES):
        address, ports = service["spec"].get("clusterIP"), service["spec"].get("ports") or []
        if service["metadata"]["namespace"] != context.namespace or address in (None, "", "None") or not ports:
            continue
        name = service["metadata"]["name"].upper().replace("-", "_")
        links |= {f"{name}_SERVICE_HOST": address, f"{name}_SERVICE_PORT": str(ports[0]["port"])}
        links[f"{name}_PORT"] = f"tcp://{address}:{ports[0]['port']}"
    return links


async def environment(context: PodContext, container: Obj) -> dict[str, str]:
    """The container's whole environment; raises NotReady while something it refers to is missing."""
    paths, base = context.paths(container), context.facts.base_env()
    env = {
        **base,
        "REASONER_DNS_SEARCH": " ".join(hosts_file.search(context.namespace)),
        "REASONER_DNS_SELF": context.ip,
        "HOME": str(context.home),
        "TMPDIR": str(context.folder / "tmp"),
        "HOSTNAME": context.hostname,
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "KUBERNETES_SERVICE_PORT": str(context.facts.api_port),
    }
    if context.pod["spec"].get("enableServiceLinks", True):
        env |= _service_links(context)
    for source in container.get("envFrom") or []:
        kind, ref = (SECRETS, source["secretRef"]) if "secretRef" in source else (CONFIGMAPS, source["configMapRef"])
        data = await data_of(context, kind, ref) or {}
        env |= {source.get("prefix", "") + name: value.decode() for name, value in data.items()}
    for entry in container.get("env") or []:
        if source := entry.get("valueFrom"):
            value = await _value(context, container, source)
            if value is None:
                continue
        else:
            value = expand(entry.get("value") or "", env)
        env[entry["name"]] = paths.rewrite(value)
    if env["PYTHONPATH"] != base["PYTHONPATH"]:
        env["PYTHONPATH"] = f"{base['PYTHONPATH']}:{env['PYTHONPATH']}"
    return env


def command(context: PodContext, container: Obj, env: dict[str, str]) -> list[str]:
    """The container's command line, with mounted paths made real."""
    words = [*(container.get("command") or []), *(container.get("args") or [])]
    paths = context.paths(container)
    return [paths.rewrite(expand(word, env)) for word in words]
