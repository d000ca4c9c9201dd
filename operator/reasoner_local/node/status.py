"""A pod's status from its containers' states. Pure; used by `pod`."""

from __future__ import annotations

from dataclasses import dataclass, field

from reasoner_local import conditions
from reasoner_local.client import Obj


@dataclass(frozen=True)
class Report:
    """What the node knows of a pod. `sidecars` (init containers that are always restarted) run beside the others."""

    inits: list[Obj]
    mains: list[Obj]
    policy: str
    stopping: bool = False
    sidecars: list[Obj] = field(default_factory=list)


def _ended(status: Obj) -> Obj | None:
    end: Obj | None = status["state"].get("terminated")
    return end


def phase(report: Report) -> str:
    """The pod's phase, as the kubelet derives it: how sidecars end does not count, but that they have does."""
    found = _phase_of(report)
    beside = any("running" in sidecar["state"] for sidecar in report.sidecars)
    return "Running" if beside and found in ("Succeeded", "Failed") else found


def _phase_of(report: Report) -> str:
    if any((end := _ended(init)) and end["exitCode"] and report.policy == "Never" for init in report.inits):
        return "Failed"
    ends = [_ended(main) for main in report.mains]
    waiting = [main for main in report.mains if "waiting" in main["state"]]
    if report.mains and all(ends) and (report.policy != "Always" or report.stopping):
        good = all(end is not None and end["exitCode"] == 0 for end in ends)
        if good:
            return "Succeeded"
        if report.policy == "Never" or report.stopping:
            return "Failed"
    if report.stopping and all("running" not in status["state"] for status in [*report.inits, *report.mains]):
        return "Failed"
    if any(not main.get("lastState") for main in waiting):
        return "Pending"
    return "Running"


def conditions_of(report: Report, now_in: str) -> list[Obj]:
    """The conditions that the kubelet keeps; `now_in` is the pod's phase."""
    done = now_in in ("Succeeded", "Failed")
    unready = [main["name"] for main in report.mains if not main["ready"]]
    pending = [init["name"] for init in report.inits if not init["ready"]]
    pending += [sidecar["name"] for sidecar in report.sidecars if "waiting" in sidecar["state"]]
    reason = message = ""
    if done:
        reason = "PodCompleted" if now_in == "Succeeded" else "PodFailed"
    elif unready:
        reason, message = "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"
    started = all("waiting" not in init["state"] for init in [*report.inits, *report.sidecars])
    incomplete = f"containers with incomplete status: [{' '.join(pending)}]"
    initialized = conditions.made("Initialized", True, "PodCompleted" if now_in == "Succeeded" else "")
    if pending and now_in != "Succeeded":
        initialized = conditions.made("Initialized", False, "ContainersNotInitialized", incomplete)
    return [
        conditions.made("PodReadyToStartContainers", not done and started),
        initialized,
        conditions.made("Ready", not unready and not done, reason, message),
        conditions.made("ContainersReady", not unready and not done, reason, message),
    ]
