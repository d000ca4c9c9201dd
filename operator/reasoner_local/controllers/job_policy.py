"""Which rule of a Job's podFailurePolicy a failed pod meets, and the Job's indexes as text. Pure; used by
`job_tally` and `job`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from reasoner_local.client import Obj

Action = Literal["Count", "Ignore", "FailJob", "FailIndex"]
INDEX_KEY = "batch.kubernetes.io/job-completion-index"


@dataclass(frozen=True)
class Match:
    """What a failed pod means for its Job."""

    action: Action
    message: str = ""


def judge(job: Obj, pod: Obj) -> Match:
    """The first rule that the pod meets; it counts against the back-off limit where none does."""
    rules = (job["spec"].get("podFailurePolicy") or {}).get("rules") or []
    for position, rule in enumerate(rules):
        if reason := _exit_code(rule.get("onExitCodes"), pod) or _condition(rule.get("onPodConditions"), pod):
            message = f"{reason} matching {rule['action']} rule at index {position}"
            return Match(rule["action"], message)
    return Match("Count")


def _exit_code(rule: Obj | None, pod: Obj) -> str:
    if rule is None:
        return ""
    status = pod.get("status") or {}
    ends = (status.get("initContainerStatuses") or []) + (status.get("containerStatuses") or [])
    for container in ends:
        end = (container.get("state") or {}).get("terminated")
        if end is None or end["exitCode"] == 0 or rule.get("containerName") not in (None, container["name"]):
            continue
        if (end["exitCode"] in rule["values"]) == (rule["operator"] == "In"):
            meta = pod["metadata"]
            where = f"{meta['namespace']}/{meta['name']}"
            return f"Container {container['name']} for pod {where} failed with exit code {end['exitCode']}"
    return ""


def _condition(patterns: list[Obj] | None, pod: Obj) -> str:
    for pattern in patterns or []:
        for condition in (pod.get("status") or {}).get("conditions") or []:
            if condition["type"] == pattern["type"] and condition["status"] == pattern.get("status", "True"):
                meta = pod["metadata"]
                return f"Pod {meta['namespace']}/{meta['name']} has condition {pattern['type']}"
    return ""


def index_of(pod: Obj) -> int | None:
    """The completion index of an Indexed Job's pod."""
    text = (pod["metadata"].get("annotations") or {}).get(INDEX_KEY, "")
    return int(text) if text.isdigit() else None


def to_ranges(indexes: Iterable[int]) -> str:
    """Indexes as Kubernetes writes them: `0-2,4`; two in a row are written `0,1`."""
    runs: list[list[int]] = []
    for index in sorted(indexes):
        if runs and runs[-1][-1] == index - 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    parts = (f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(map(str, run)) for run in runs)
    return ",".join(parts)


def from_ranges(text: str | None) -> set[int]:
    """The indexes that `to_ranges` wrote."""
    result: set[int] = set()
    for part in (text or "").split(","):
        first, _, last = part.partition("-")
        if first:
            result.update(range(int(first), int(last or first) + 1))
    return result
