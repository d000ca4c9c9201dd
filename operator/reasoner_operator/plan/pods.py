"""What pods show of their troubles -> words for people. Called by `outcome` and `verifier`; pure."""

from __future__ import annotations

from collections.abc import Iterable

from reasoner_operator.seen import Object
from reasoner_operator.status import parsed

#: Reasons of waiting containers that are the ordinary course of things.
ORDINARY = (None, "ContainerCreating", "PodInitializing")
#: The two reasons between which a pod without its image goes to and fro: one to people.
SAME = {"ErrImagePull": "ImagePullBackOff"}
#: Characters of a program's last words that fit a message.
LAST_WORDS = 300


def trouble(pods: tuple[Object, ...]) -> tuple[str, str] | None:
    """What keeps a pod from starting or running, in the cluster's own words: (reason, message)."""
    for pod in pods:
        status = pod.get("status", {})
        if status.get("phase") not in ("Pending", "Running"):
            continue
        name = f"pod {pod['metadata']['name']}"
        for item in status.get("conditions", []):
            if item["type"] == "PodScheduled" and item["status"] == "False":
                return item.get("reason") or "Unschedulable", f"{name}: {item.get('message', '')}"
            if item["type"] == "DisruptionTarget" and item["status"] == "True":
                # Preempted, evicted, or on a node that is lost: there it stays until the node is back or deleted.
                return item.get("reason") or "Disrupted", f"{name}: {item.get('message', '')}"
        for container in _containers(pod):
            if found := _container_trouble(container):
                return found[0], f"{name}: {found[1]}"
    return None


def is_starting(pod: Object) -> bool:
    """Whether a pod has a node, and nothing to show there yet."""
    status = pod.get("status", {})
    if status.get("phase") != "Pending" or not pod.get("spec", {}).get("nodeName"):
        return False
    states = [container.get("state", {}) for container in _containers(pod)]
    return not any("running" in state or state.get("waiting", {}).get("reason") not in ORDINARY for state in states)


def complaint(events: tuple[Object, ...]) -> tuple[str, str] | None:
    """What the cluster says of a Job or a pod that does not get on, in its own words: (reason, message)."""
    for event in events:
        about = event["involvedObject"]
        return event.get("reason") or "Warning", f"{about['kind']} {about['name']}: {event.get('message', '')}"
    return None


def _container_trouble(container: Object) -> tuple[str, str] | None:
    waiting = container.get("state", {}).get("waiting", {})
    reason = waiting.get("reason")
    # One that is up again after a bad end has shown nothing yet until it is ready; its last words are what helps.
    words = "" if container.get("ready") else _ending(container, "state") or _ending(container, "lastState")
    if words:
        return (reason if reason not in ORDINARY else "CrashLoopBackOff"), words
    return None if reason in ORDINARY else (SAME.get(reason, reason), waiting.get("message", ""))


def failures(pods: tuple[Object, ...]) -> list[Object]:
    """The pods that have failed, newest first."""
    failed = [pod for pod in pods if pod.get("status", {}).get("phase") == "Failed"]
    return sorted(failed, key=lambda pod: pod["metadata"].get("creationTimestamp") or "", reverse=True)


def last_failure(pods: tuple[Object, ...]) -> str:
    """How the newest failed pod ended: `pod x: main OOMKilled (exit code 137): last words`; empty if none failed."""
    for pod in failures(pods):
        status = pod["status"]
        endings = [_ending(container, "state") for container in _containers(pod)]
        own = ": ".join(part for part in (status.get("reason"), status.get("message")) if part)
        if words := [word for word in (own, *endings) if word]:
            return f"pod {pod['metadata']['name']}: {'; '.join(words)}"
    return ""


def _containers(pod: Object) -> Iterable[Object]:
    status = pod.get("status", {})
    return [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]


def _ending(container: Object, which: str) -> str:
    """How a container ended badly, with the end of its log where it left that; empty if it did not."""
    ended = container.get(which, {}).get("terminated")
    if not ended or not ended.get("exitCode"):
        return ""
    text = f"{container['name']} {ended.get('reason') or 'Error'} (exit code {ended['exitCode']})"
    message = (ended.get("message") or "").strip()
    report = parsed(message)
    words = report.message if report is not None else " ".join(message[-LAST_WORDS:].split())
    return f"{text}: {words}" if words else text
