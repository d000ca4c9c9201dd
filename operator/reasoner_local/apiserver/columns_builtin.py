"""The columns of built-in kinds, as a real server prints them."""

import datetime
from typing import Any

from .columns import Column, age, duration
from .columns_pod import POD_COLUMNS
from .objects import Obj, dig, meta
from .resources import ResourceKey

NAME = Column("Name", lambda obj: meta(obj).get("name", ""), format="name")
AGE = Column("Age", lambda obj: age(meta(obj).get("creationTimestamp")))


def _wide(name: str, cell: Any) -> Column:
    return Column(name, cell, priority=1)


def _containers(obj: Obj) -> list[Obj]:
    return dig(obj, "spec", "template", "spec", "containers") or []


def _selector(selector: Any) -> str:
    labels = (selector or {}).get("matchLabels", selector) if isinstance(selector, dict) else None
    text = ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items()) if isinstance(value, str))
    return text or "<none>"


_TEMPLATE = (
    _wide("Containers", lambda obj: ",".join(one.get("name", "") for one in _containers(obj))),
    _wide("Images", lambda obj: ",".join(one.get("image", "") for one in _containers(obj))),
    _wide("Selector", lambda obj: _selector(dig(obj, "spec", "selector"))),
)


def _job_status(obj: Obj) -> str:
    true = {one["type"] for one in dig(obj, "status", "conditions") or [] if one.get("status") == "True"}
    for kind in ("Complete", "Failed", "Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if kind in true:
            return kind
    return "Terminating" if meta(obj).get("deletionTimestamp") else "Running"


def _job_completions(obj: Obj) -> str:
    done = dig(obj, "status", "succeeded") or 0
    wanted = dig(obj, "spec", "completions")
    if wanted is not None:
        return f"{done}/{wanted}"
    parallel = dig(obj, "spec", "parallelism") or 0
    return f"{done}/1 of {parallel}" if parallel > 1 else f"{done}/1"


def _job_duration(obj: Obj) -> str:
    start, end = dig(obj, "status", "startTime"), dig(obj, "status", "completionTime")
    if not start:
        return ""
    if not end:
        return age(start)
    parsed = [datetime.datetime.fromisoformat(stamp) for stamp in (start, end)]
    return duration((parsed[1] - parsed[0]).total_seconds())


def _service_ports(obj: Obj) -> str:
    shown = []
    for port in dig(obj, "spec", "ports") or []:
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        shown.append(f"{port.get('port')}{node}/{port.get('protocol', 'TCP')}")
    return ",".join(shown) or "<none>"


def _node_status(obj: Obj) -> str:
    ready = [one for one in dig(obj, "status", "conditions") or [] if one.get("type") == "Ready"]
    text = "Unknown" if not ready else "Ready" if ready[0].get("status") == "True" else "NotReady"
    return text + (",SchedulingDisabled" if dig(obj, "spec", "unschedulable") else "")


def _node_roles(obj: Obj) -> str:
    prefix = "node-role.kubernetes.io/"
    roles = [key.removeprefix(prefix) for key in meta(obj).get("labels") or {} if key.startswith(prefix)]
    return ",".join(sorted(roles)) or "<none>"


def _node_info(name: str) -> Any:
    return lambda obj: dig(obj, "status", "nodeInfo", name) or "<unknown>"


def _node_address(kind: str) -> Any:
    def address(obj: Obj) -> str:
        found = (one for one in dig(obj, "status", "addresses") or [] if one.get("type") == kind)
        return str(next(found, {"address": "<none>"})["address"])

    return address


def _event_object(obj: Obj) -> str:
    about = obj.get("involvedObject") or obj.get("regarding") or {}
    return f"{about.get('kind', '').lower()}/{about.get('name', '')}"


def _event_seen(obj: Obj) -> str:
    stamps = (obj.get("lastTimestamp"), dig(obj, "series", "lastObservedTime"), obj.get("eventTime"))
    return age(next((stamp for stamp in stamps if stamp), obj.get("deprecatedLastTimestamp")))


def _count(name: str) -> Any:
    return lambda obj: len(obj.get(name) or {})


def _status_number(name: str) -> Any:
    return lambda obj: dig(obj, "status", name) or 0


def _ready_of(obj: Obj) -> str:
    return f"{dig(obj, 'status', 'readyReplicas') or 0}/{dig(obj, 'spec', 'replicas') or 0}"


BUILTIN_COLUMNS: dict[ResourceKey, tuple[Column, ...]] = {
    ("", "pods"): (NAME, *POD_COLUMNS[:3], AGE, *POD_COLUMNS[3:]),
    ("", "configmaps"): (NAME, Column("Data", _count("data"), "integer"), AGE),
    ("", "secrets"): (
        NAME,
        Column("Type", lambda o: o.get("type", "")),
        Column("Data", _count("data"), "integer"),
        AGE,
    ),
    ("", "namespaces"): (NAME, Column("Status", lambda obj: dig(obj, "status", "phase") or ""), AGE),
    ("", "serviceaccounts"): (NAME, Column("Secrets", _count("secrets"), "integer"), AGE),
    ("", "services"): (
        NAME,
        Column("Type", lambda obj: dig(obj, "spec", "type") or ""),
        Column("Cluster-IP", lambda obj: dig(obj, "spec", "clusterIP") or "<none>"),
        Column("External-IP", lambda obj: ",".join(dig(obj, "spec", "externalIPs") or []) or "<none>"),
        Column("Port(s)", _service_ports),
        AGE,
        _wide("Selector", lambda obj: _selector(dig(obj, "spec", "selector"))),
    ),
    ("", "nodes"): (
        NAME,
        Column("Status", _node_status),
        Column("Roles", _node_roles),
        AGE,
        Column("Version", _node_info("kubeletVersion")),
        _wide("Internal-IP", _node_address("InternalIP")),
        _wide("External-IP", _node_address("ExternalIP")),
        _wide("OS-Image", _node_info("osImage")),
        _wide("Kernel-Version", _node_info("kernelVersion")),
        _wide("Container-Runtime", _node_info("containerRuntimeVersion")),
    ),
    ("", "events"): (
        Column("Last Seen", _event_seen),
        Column("Type", lambda obj: obj.get("type", "")),
        Column("Reason", lambda obj: obj.get("reason", "")),
        Column("Object", _event_object),
        _wide("Source", lambda obj: dig(obj, "source", "component") or obj.get("reportingComponent", "")),
        Column("Message", lambda obj: str(obj.get("message") or obj.get("note") or "").strip()),
        _wide("First Seen", lambda obj: age(obj.get("firstTimestamp") or obj.get("eventTime"))),
        _wide("Count", lambda obj: obj.get("count", 1)),
        Column("Name", lambda obj: meta(obj).get("name", ""), format="name", priority=1),
    ),
    ("apps", "deployments"): (
        NAME,
        Column("Ready", _ready_of),
        Column("Up-to-date", _status_number("updatedReplicas"), "integer"),
        Column("Available", _status_number("availableReplicas"), "integer"),
        AGE,
        *_TEMPLATE,
    ),
    ("apps", "statefulsets"): (NAME, Column("Ready", _ready_of), AGE, *_TEMPLATE[:2]),
    ("apps", "replicasets"): (
        NAME,
        Column("Desired", lambda obj: dig(obj, "spec", "replicas") or 0, "integer"),
        Column("Current", _status_number("replicas"), "integer"),
        Column("Ready", _status_number("readyReplicas"), "integer"),
        AGE,
        *_TEMPLATE,
    ),
    ("batch", "jobs"): (
        NAME,
        Column("Status", _job_status),
        Column("Completions", _job_completions),
        Column("Duration", _job_duration),
        AGE,
        *_TEMPLATE,
    ),
    ("coordination.k8s.io", "leases"): (
        NAME,
        Column("Holder", lambda obj: dig(obj, "spec", "holderIdentity") or ""),
        AGE,
    ),
    ("apiextensions.k8s.io", "customresourcedefinitions"): (
        NAME,
        Column("Created At", lambda obj: meta(obj).get("creationTimestamp", ""), "date"),
    ),
}
