"""Pods and pod templates: defaults, validation, what may not change. Used through `kinds`."""

import re
from collections.abc import Iterator
from typing import Any

from .errors import FieldProblem, bad_value, duplicate, forbidden_field, not_supported, required
from .objects import Obj, clone, dig

_CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_MUTABLE_POD_SPEC = "may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
_MUTABLE_POD_SPEC += "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
_MUTABLE_POD_SPEC += "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"


def _default_probe(probe: Obj) -> None:
    for name, value in (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1)):
        probe.setdefault(name, value)
    probe.setdefault("failureThreshold", 3)
    if "httpGet" in probe:
        probe["httpGet"].setdefault("path", "/")
        probe["httpGet"].setdefault("scheme", "HTTP")


def _default_container(container: Obj) -> None:
    container.setdefault("resources", {})
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    image = container.get("image", "")
    if image:
        latest = ":" not in image.rsplit("/", 1)[-1] or image.endswith(":latest")
        container.setdefault("imagePullPolicy", "Always" if latest and "@" not in image else "IfNotPresent")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if name in container:
            _default_probe(container[name])
    for port in container.get("ports") or []:
        port.setdefault("protocol", "TCP")
    for variable in container.get("env") or []:
        reference = dig(variable, "valueFrom", "fieldRef")
        if reference:
            reference.setdefault("apiVersion", "v1")
    resources = container["resources"]
    for name, amount in (resources.get("limits") or {}).items():
        resources.setdefault("requests", {}).setdefault(name, amount)


def default_pod_spec(spec: Obj) -> None:
    """Fill in what a pod spec leaves open."""
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("securityContext", {})
    spec.setdefault("schedulerName", "default-scheduler")
    if spec.get("serviceAccountName"):
        spec.setdefault("serviceAccount", spec["serviceAccountName"])
    for name in _CONTAINER_LISTS:
        for container in spec.get(name) or []:
            _default_container(container)
    for volume in spec.get("volumes") or []:
        for source in ("configMap", "secret", "projected", "downwardAPI"):
            if source in volume:
                volume[source].setdefault("defaultMode", 0o644)


def default_pod(obj: Obj) -> None:
    """Fill in what a pod leaves open."""
    default_pod_spec(obj.setdefault("spec", {}))
    obj["spec"].setdefault("serviceAccountName", "default")
    obj["spec"].setdefault("serviceAccount", obj["spec"]["serviceAccountName"])
    obj["spec"].setdefault("enableServiceLinks", True)
    obj["spec"].setdefault("priority", 0)
    obj["spec"].setdefault("preemptionPolicy", "PreemptLowerPriority")
    obj.setdefault("status", {}).setdefault("phase", "Pending")
    obj["status"].setdefault("qosClass", qos_class(obj["spec"]))


def qos_class(spec: Obj) -> str:
    """The pod's class of service, by its containers' requests and limits of cpu and memory."""
    wanted: list[tuple[Any, Any]] = []
    for container in [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]:
        resources = container.get("resources") or {}
        for name in ("cpu", "memory"):
            wanted.append((dig(resources, "requests", name), dig(resources, "limits", name)))
    if not any(request or limit for request, limit in wanted):
        return "BestEffort"
    return "Guaranteed" if all(limit and request == limit for request, limit in wanted) else "Burstable"


def _mount_problems(container: Obj, volumes: set[str], field: str) -> Iterator[FieldProblem]:
    seen: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts") or []):
        here = f"{field}.volumeMounts[{index}]"
        if mount.get("name") not in volumes:
            yield FieldProblem(f"{here}.name", f'Not found: "{mount.get("name")}"', "FieldValueNotFound")
        path = mount.get("mountPath")
        if not path:
            yield required(f"{here}.mountPath")
        elif path in seen:
            yield bad_value(f"{here}.mountPath", path, "must be unique")
        seen.add(path)


def _container_problems(container: Obj, volumes: set[str], field: str) -> Iterator[FieldProblem]:
    name = container.get("name")
    if not name:
        yield required(f"{field}.name")
    elif not _NAME.fullmatch(name):
        why = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start"
        yield bad_value(f"{field}.name", name, why + " and end with an alphanumeric character")
    if not container.get("image"):
        yield required(f"{field}.image")
    for index, variable in enumerate(container.get("env") or []):
        if not variable.get("name"):
            yield required(f"{field}.env[{index}].name")
        if variable.get("value") and variable.get("valueFrom"):
            why = "may not be specified when `value` is not empty"
            yield bad_value(f"{field}.env[{index}].valueFrom", "", why)
    yield from _mount_problems(container, volumes, field)


def pod_spec_problems(
    spec: Obj, field: str, policies: tuple[str, ...] = ("Always", "OnFailure", "Never")
) -> Iterator[FieldProblem]:
    """Faults in a pod spec; `policies` are the restart policies that its owner allows."""
    if spec.get("restartPolicy") not in policies:
        yield not_supported(f"{field}.restartPolicy", spec.get("restartPolicy"), policies)
    if not spec.get("containers"):
        yield required(f"{field}.containers")
    volumes: set[str] = set()
    for index, volume in enumerate(spec.get("volumes") or []):
        if not volume.get("name"):
            yield required(f"{field}.volumes[{index}].name")
        elif volume["name"] in volumes:
            yield duplicate(f"{field}.volumes[{index}].name", volume["name"])
        volumes.add(volume.get("name", ""))
    seen: set[str] = set()
    for kind in _CONTAINER_LISTS:
        for index, container in enumerate(spec.get(kind) or []):
            here = f"{field}.{kind}[{index}]"
            yield from _container_problems(container, volumes, here)
            if container.get("name") in seen:
                yield duplicate(f"{here}.name", container["name"])
            seen.add(container.get("name", ""))


def pod_change_problems(old: Obj, new: Obj) -> Iterator[FieldProblem]:
    """A pod's spec stays as it is, but for images, the deadline, further tolerations, and the node it is bound to."""

    def fixed(obj: Obj) -> Any:
        spec = clone(obj.get("spec") or {})
        for name in ("activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds"):
            spec.pop(name, None)
        if not dig(old, "spec", "nodeName"):
            spec.pop("nodeName", None)
        for kind in _CONTAINER_LISTS:
            for container in spec.get(kind) or []:
                container.pop("image", None)
        return spec

    if fixed(old) != fixed(new):
        yield forbidden_field("spec", f"pod updates {_MUTABLE_POD_SPEC}")
