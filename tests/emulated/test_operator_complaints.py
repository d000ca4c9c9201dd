"""Who is asked about whom: the Events of what does not get on, from the embedded API server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from reasoner_operator import complaints
from reasoner_operator.answers import Refused
from reasoner_operator.cluster import Access, Cluster
from reasoner_operator.complaints import Complaints
from reasoner_operator.seen import Object
from reasoner_operator.transport import JSON, Request
from support.apiserver import serving, write_kubeconfig

EVENTS = "/api/v1/namespaces/default/events"
JOB: Object = {
    "metadata": {"name": "j", "namespace": "default", "uid": "job-1"},
    "spec": {"parallelism": 2, "completions": 3},
}


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with serving() as (_, url), Cluster(Access(kubeconfig=write_kubeconfig(tmp_path / "k", url))) as made:
        yield made


async def tell(cluster: Cluster, uid: str, reason: str, kind: str = "Warning", about: str = "Job") -> None:
    """Record an Event as a controller or a kubelet would."""
    event = {
        "metadata": {"generateName": "e.", "namespace": "default"},
        "involvedObject": {"kind": about, "name": "x", "namespace": "default", "uid": uid},
        "type": kind,
        "reason": reason,
        "message": "why",
    }
    await cluster.transport.ask(Request("POST", EVENTS, content=(JSON, event)))


def pod(name: str, phase: str, *states: Object, node: str = "n1") -> Object:
    return {
        "metadata": {"name": name, "namespace": "default", "uid": name},
        "spec": {"nodeName": node} if node else {},
        "status": {"phase": phase, "containerStatuses": [{"name": "main", "state": state} for state in states]},
    }


CREATING: Object = {"waiting": {"reason": "ContainerCreating"}}
RUNNING = pod("r", "Running", {"running": {}})
#: sentence -> the Job, its pods, and about whom the cluster is heard
CASES: dict[str, tuple[Object | None, tuple[Object, ...], list[str]]] = {
    "a Job without pods": (JOB, (), ["FailedCreate"]),
    "a Job with one pod too few": (JOB, (RUNNING,), ["FailedCreate"]),
    "a Job with its pods": (JOB, (RUNNING, pod("s", "Running", {"running": {}})), []),
    "a Job whose last pod runs": ({**JOB, "status": {"succeeded": 2}}, (RUNNING,), []),
    "a Job that is paused": ({**JOB, "spec": {**JOB["spec"], "suspend": True}}, (), []),
    "a Job that is over": ({**JOB, "status": {"conditions": [{"type": "Failed", "status": "True"}]}}, (), []),
    "a pod whose volume is missing": (None, (pod("m", "Pending", CREATING),), ["FailedMount"]),
    "a pod that no container is known of yet": (None, (pod("m", "Pending"),), ["FailedMount"]),
    "a pod without a node": (None, (pod("m", "Pending", node=""),), []),
    "a pod that says itself what is wrong": (
        None,
        (pod("m", "Pending", {"waiting": {"reason": "ImagePullBackOff"}}),),
        [],
    ),
    "a pod that pulls its image by now": (None, (pod("p", "Pending", CREATING),), []),
    "a pod that has come up since and does not answer yet": (None, (pod("u", "Pending", CREATING),), []),
}


@pytest.mark.parametrize("sentence", CASES)
async def test_the_newest_warning_is_heard(cluster: Cluster, sentence: str) -> None:
    await tell(cluster, "job-1", "SuccessfulCreate", "Normal")
    await tell(cluster, "job-1", "FailedCreate")
    await tell(cluster, "m", "FailedMount", about="Pod")
    await tell(cluster, "p", "FailedMount", about="Pod")
    await tell(cluster, "u", "Unhealthy", about="Pod")
    await tell(cluster, "p", "Pulling", "Normal", about="Pod")
    job, pods, heard = CASES[sentence]
    assert [event["reason"] for event in await Complaints(cluster).about(job, pods)] == heard


async def test_nothing_is_asked_twice_in_a_row(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def events(_: str, uid: str) -> list[Any]:
        asked.append(uid)
        return []

    monkeypatch.setattr(cluster, "events", events)
    found = Complaints(cluster)
    for _ in range(5):
        await found.about(JOB, ())
    assert asked == ["job-1"]
    # Answers that nobody asks for any more are forgotten.
    monkeypatch.setattr(complaints, "FORGET", -1.0)
    await found.about({**JOB, "metadata": {**JOB["metadata"], "uid": "job-2"}}, ())
    await found.about(JOB, ())
    assert asked == ["job-1", "job-2", "job-1"]


async def test_a_role_without_the_right_is_no_hindrance(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    async def forbidden(*_: str) -> list[Any]:
        raise Refused("events is forbidden")

    monkeypatch.setattr(cluster, "events", forbidden)
    assert await Complaints(cluster).about(JOB, ()) == ()
