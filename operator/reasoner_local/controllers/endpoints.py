"""Which pods stand behind a Service, as EndpointSlices and Endpoints. Pure; used by `service`, and its readers
by `proxy` and `dns`."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict

from reasoner_local import conditions
from reasoner_local.client import SERVICES, Obj
from reasoner_local.controllers.pods import encoded
from reasoner_local.informer import owner_ref

SERVICE_LABEL = "kubernetes.io/service-name"


def selects(service: Obj, pod: Obj) -> bool:
    """Whether the Service's selector names the pod."""
    selector = service["spec"].get("selector") or {}
    same = service["metadata"]["namespace"] == pod["metadata"]["namespace"]
    labels = pod["metadata"].get("labels") or {}
    return same and bool(selector) and selector.items() <= labels.items()


def _target(port: Obj, pod: Obj) -> int | None:
    """The pod's port number behind a Service port; None where the pod lacks the named port."""
    target: int | str = port.get("targetPort") or port["port"]
    if isinstance(target, int):
        return target
    for container in pod["spec"].get("containers", []):
        for declared in container.get("ports") or []:
            if declared.get("name") == target:
                return int(declared["containerPort"])
    return int(target) if target.isdigit() else None


def _ports(service: Obj, pod: Obj) -> list[Obj]:
    found = []
    for port in service["spec"].get("ports") or []:
        number = _target(port, pod)
        if number is not None:
            named = {"name": port.get("name", ""), "port": number, "protocol": port.get("protocol", "TCP")}
            found.append(named)
    return found


def _endpoint(service: Obj, pod: Obj) -> Obj:
    meta, spec = pod["metadata"], pod["spec"]
    serving = conditions.ready(pod)
    leaving = conditions.terminating(pod)
    shown = bool(service["spec"].get("publishNotReadyAddresses")) or (serving and not leaving)
    endpoint: Obj = {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {"ready": shown, "serving": serving, "terminating": leaving},
        "nodeName": spec.get("nodeName"),
        "targetRef": {"kind": "Pod", "name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]},
    }
    if spec.get("hostname") and spec.get("subdomain") == service["metadata"]["name"]:
        endpoint["hostname"] = spec["hostname"]
    return endpoint


def slices(service: Obj, pods: list[Obj]) -> dict[str, Obj]:
    """The Service's EndpointSlices by name, one for each mapping of its ports."""
    groups: dict[str, list[Obj]] = defaultdict(list)
    for pod in sorted(pods, key=lambda pod: str(pod["metadata"]["name"])):
        if (pod.get("status") or {}).get("podIP") and not conditions.finished(pod):
            groups[json.dumps(_ports(service, pod))].append(_endpoint(service, pod))
    meta = service["metadata"]
    labels = {
        SERVICE_LABEL: meta["name"],
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    result: dict[str, Obj] = {}
    for ports, members in groups.items():
        digest = encoded(int.from_bytes(hashlib.sha256(ports.encode()).digest()[:4]))[:5]
        name = f"{meta['name']}-{digest}"
        result[name] = {
            "metadata": {
                "name": name,
                "namespace": meta["namespace"],
                "labels": labels,
                "ownerReferences": [owner_ref(SERVICES, service)],
            },
            "addressType": "IPv4",
            "endpoints": members,
            "ports": json.loads(ports),
        }
    return result


def legacy(service: Obj, pods: list[Obj]) -> Obj:
    """The Service's Endpoints object."""
    meta, subsets = service["metadata"], []
    for piece in slices(service, pods).values():
        shown: dict[bool, list[Obj]] = {True: [], False: []}
        for endpoint in piece["endpoints"]:
            address = {"ip": endpoint["addresses"][0], "targetRef": endpoint["targetRef"]}
            address |= {name: endpoint[name] for name in ("hostname", "nodeName") if endpoint.get(name)}
            shown[endpoint["conditions"]["ready"]].append(address)
        named = {"addresses": shown[True], "notReadyAddresses": shown[False], "ports": piece["ports"]}
        subsets.append({name: value for name, value in named.items() if value})
    return {
        "metadata": {
            "name": meta["name"],
            "namespace": meta["namespace"],
            "ownerReferences": [owner_ref(SERVICES, service)],
        },
        "subsets": subsets,
    }


def service_of(piece: Obj) -> tuple[str, str]:
    """Key of the Service that an EndpointSlice belongs to."""
    meta = piece["metadata"]
    return meta["namespace"], (meta.get("labels") or {}).get(SERVICE_LABEL, "")


def is_ready(endpoint: Obj) -> bool:
    """Whether traffic may go to the endpoint; unknown counts as ready."""
    return (endpoint.get("conditions") or {}).get("ready") is not False
