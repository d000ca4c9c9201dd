"""The columns of pods: what `kubectl get pods` says of their state."""

from .columns import Column, age
from .objects import Obj, dig, meta


def _statuses(obj: Obj) -> list[Obj]:
    return dig(obj, "status", "containerStatuses") or []


def _ready(obj: Obj) -> str:
    total = len(dig(obj, "spec", "containers") or [])
    sidecars = [one for one in dig(obj, "spec", "initContainers") or [] if one.get("restartPolicy") == "Always"]
    return f"{sum(bool(one.get('ready')) for one in _statuses(obj))}/{total + len(sidecars)}"


def _container_reason(status: Obj) -> str:
    waiting, ended = dig(status, "state", "waiting"), dig(status, "state", "terminated")
    if waiting and waiting.get("reason"):
        return str(waiting["reason"])
    if not ended:
        return ""
    if ended.get("reason"):
        return str(ended["reason"])
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"


def _initializing(obj: Obj) -> str:
    """What an init container that has not ended well says, or the empty string."""
    statuses = dig(obj, "status", "initContainerStatuses") or []
    total = len(dig(obj, "spec", "initContainers") or [])
    for index, status in enumerate(statuses):
        ended = dig(status, "state", "terminated")
        if (ended and ended.get("exitCode") == 0) or status.get("started"):
            continue
        reason = _container_reason(status)
        return f"Init:{reason}" if reason and reason != "PodInitializing" else f"Init:{index}/{total}"
    return ""


def _status(obj: Obj) -> str:
    reason = dig(obj, "status", "reason") or dig(obj, "status", "phase") or "Unknown"
    running = False
    for status in reversed(_statuses(obj)):
        reason = _container_reason(status) or reason
        running = running or bool(status.get("ready") and dig(status, "state", "running") is not None)
    if reason == "Completed" and running:
        reason = "Running" if _is_ready(obj) else "NotReady"
    reason = _initializing(obj) or reason
    if meta(obj).get("deletionTimestamp"):
        return reason if dig(obj, "status", "phase") in ("Succeeded", "Failed") else "Terminating"
    return str(reason)


def _is_ready(obj: Obj) -> bool:
    conditions = dig(obj, "status", "conditions") or []
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def _restarts(obj: Obj) -> str:
    count = sum(one.get("restartCount") or 0 for one in _statuses(obj))
    ends = [dig(one, "lastState", "terminated", "finishedAt") for one in _statuses(obj)]
    latest = max((stamp for stamp in ends if stamp), default=None)
    return f"{count} ({age(latest)} ago)" if count and latest else str(count)


def _gates(obj: Obj) -> str:
    gates = dig(obj, "spec", "readinessGates") or []
    if not gates:
        return "<none>"
    true = {one["type"] for one in dig(obj, "status", "conditions") or [] if one.get("status") == "True"}
    return f"{sum(gate.get('conditionType') in true for gate in gates)}/{len(gates)}"


# Ready, Status, Restarts; then, after the age, those of `-o wide`.
POD_COLUMNS = (
    Column("Ready", _ready),
    Column("Status", _status),
    Column("Restarts", _restarts),
    Column("IP", lambda obj: dig(obj, "status", "podIP") or "<none>", priority=1),
    Column("Node", lambda obj: dig(obj, "spec", "nodeName") or "<none>", priority=1),
    Column("Nominated Node", lambda obj: dig(obj, "status", "nominatedNodeName") or "<none>", priority=1),
    Column("Readiness Gates", _gates, priority=1),
)
