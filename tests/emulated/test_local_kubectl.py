"""kubectl against the whole embedded cluster, whose controllers and node do what it asks for; where it is installed."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import yaml

from reasoner_local.client import JOBS, PODS, Obj
from support.local import World, container_state, count, eventually, phase, python, shell, world

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")

SERVER = """
import http.server, os
http.server.HTTPServer((os.environ["POD_IP"], 8000), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


@dataclass
class Kubectl:
    """Runs kubectl with the cluster's kubeconfig."""

    local: World
    home: Path

    async def __call__(self, *words: str, stdin: Obj | None = None, code: int = 0) -> str:
        # HOME holds kubectl's discovery cache, which must not outlive this cluster.
        environment = {**os.environ, "KUBECONFIG": str(self.local.cluster.kubeconfig), "HOME": str(self.home)}
        process = await asyncio.create_subprocess_exec(
            *("kubectl", *words),
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(60):
            said, _ = await process.communicate(yaml.safe_dump(stdin).encode() if stdin else None)
        assert process.returncode == code, said.decode()
        return said.decode()


@pytest.fixture
async def kubectl(tmp_path: Path) -> AsyncIterator[Kubectl]:
    async with world(tmp_path / "cluster") as made:
        yield Kubectl(made, tmp_path)


def deployment() -> Obj:
    env = [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]
    probe = {"tcpSocket": {"port": 8000}, "periodSeconds": 1}
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [python(SERVER, env=env, readinessProbe=probe)]}}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


async def has_begun(kubectl: Kubectl, prefix: str) -> bool:
    return any(container_state(pod).keys() & {"running", "terminated"} for pod in await kubectl.local.pods(prefix))


async def test_a_deployment_is_followed_scaled_restarted_and_taken_back(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=deployment())
    assert 'deployment "web" successfully rolled out' in await kubectl("rollout", "status", "deployment/web")
    assert "2/2" in await kubectl("get", "deployment", "web")
    await kubectl("scale", "deployment/web", "--replicas=1", "--current-replicas=2")
    await kubectl("rollout", "status", "deployment/web")
    assert "1/1" in await kubectl("get", "deployment", "web")
    await kubectl("rollout", "restart", "deployment/web")
    await kubectl("rollout", "status", "deployment/web")
    history = await kubectl("rollout", "history", "deployment/web")
    assert [line.split()[0] for line in history.splitlines()[2:] if line] == ["1", "2"]
    await kubectl("rollout", "undo", "deployment/web")
    await kubectl("rollout", "status", "deployment/web")
    found = json.loads(await kubectl("get", "deployment", "web", "-o", "json"))
    assert "kubectl.kubernetes.io/restartedAt" not in found["spec"]["template"]["metadata"].get("annotations", {})
    described = await kubectl("describe", "deployment", "web")
    assert "MinimumReplicasAvailable" in described and "ScalingReplicaSet" in described
    await kubectl("delete", "deployment", "web", "--cascade=foreground")
    assert "No resources found" in await kubectl("get", "pods")


async def test_a_job_is_awaited_read_and_deleted(kubectl: Kubectl) -> None:
    await kubectl.local.job("sum", shell("echo one; sleep 0.3; echo two"))
    await kubectl.local.until(JOBS, "sum", lambda job: count(job, "active") == 1)
    # Before its container has begun, Kubernetes has no log to follow and says so.
    await eventually(lambda: has_begun(kubectl, "sum"))
    followed = kubectl("logs", "-f", "job/sum", "--pod-running-timeout=20s")
    awaited = kubectl("wait", "--for=condition=Complete", "job/sum", "--timeout=30s")
    assert await asyncio.gather(followed, awaited) == ["one\ntwo\n", "job.batch/sum condition met\n"]
    assert await kubectl("logs", "job/sum", "--tail=1") == "two\n"
    (name,) = (await kubectl("get", "pods", "-l", "job-name=sum", "-o", "name")).split()
    described = await kubectl("describe", name)
    for part in ("Succeeded", "Exit Code:    0", "Scheduled", "Started container main"):
        assert part in described, described
    assert "1 Succeeded" in await kubectl("describe", "job", "sum")
    await kubectl("delete", "job", "sum", "--cascade=foreground")
    assert "not found" in await kubectl("get", name, code=1)


STAMP = r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.\d{9}Z "


async def test_lines_of_a_log_have_times(kubectl: Kubectl) -> None:
    script = "import time; print('one'); print('two', flush=True); time.sleep(5); print('three')"
    await kubectl.local.pod("p", python(script))
    await kubectl.local.ended("p")
    stamped = await kubectl("logs", "p", "--timestamps")
    found = re.fullmatch(f"{STAMP}one\n{STAMP}two\n{STAMP}three\n", stamped)
    assert found, stamped
    begun = datetime.fromisoformat(f"{found[1]}Z")
    assert 3 <= (datetime.fromisoformat(f"{found[3]}Z") - begun).total_seconds() <= 60
    since = (begun + timedelta(seconds=3)).isoformat()
    assert await kubectl("logs", "p", f"--since-time={since}") == "three\n"
    assert await kubectl("logs", "p", f"--since-time={begun.isoformat()}") == "one\ntwo\nthree\n"
    # Of the last lines those that are new enough, as a kubelet takes it.
    assert await kubectl("logs", "p", f"--since-time={since}", "--tail=2") == "three\n"
    assert await kubectl("logs", "p", "--tail=2", "--timestamps") == "".join(stamped.splitlines(keepends=True)[1:])
    assert await kubectl("logs", "p", "--since=1h", "--limit-bytes=6") == "one\ntw"
    assert await kubectl("logs", "p", "--timestamps", "--limit-bytes=34") == stamped[:34]
    assert "must be greater than 0" in await kubectl("logs", "p", "--limit-bytes=-1", code=1)

    async def is_old() -> bool:
        return await kubectl("logs", "p", "--since=1s") == ""

    await eventually(is_old)


async def test_what_is_followed_begins_where_it_is_asked_to(kubectl: Kubectl) -> None:
    await kubectl.local.pod("p", shell("echo one; echo two; sleep 1; echo three"))
    await eventually(lambda: has_begun(kubectl, "p"))
    followed = await kubectl("logs", "-f", "p", "--timestamps", "--since=1h")
    assert re.fullmatch(f"{STAMP}one\n{STAMP}two\n{STAMP}three\n", followed)
    assert await kubectl("logs", "-f", "p", "--tail=1") == "three\n"


async def test_why_a_pod_waits_or_fails_is_to_be_seen(kubectl: Kubectl) -> None:
    await kubectl.local.pod("large", shell("true", resources={"limits": {"nvidia.com/gpu": "8"}}))
    await kubectl.local.pod("bad", shell("echo what went wrong >&2; exit 3"))
    await kubectl.local.pod("crashing", shell("exit 1"), restartPolicy="Always")

    async def shown() -> bool:
        rows = {line.split()[0]: line.split()[2] for line in (await kubectl("get", "pods")).splitlines()[1:]}
        return rows == {"large": "Pending", "bad": "Error", "crashing": "CrashLoopBackOff"}

    await eventually(shown, 30)
    assert "Insufficient nvidia.com/gpu" in await kubectl("describe", "pod", "large")
    assert await kubectl("logs", "bad") == "what went wrong\n"
    assert "Exit Code:    3" in await kubectl("describe", "pod", "bad")
    assert "Back-off restarting failed container" in await kubectl("events", "--for", "pod/crashing")
    assert "Ready   True" in await kubectl("describe", "node", "local")
    assert "the embedded cluster has no exec" in await kubectl("exec", "crashing", "--", "ls", code=1)
    await kubectl("delete", "pod", "--all", "--grace-period=0", "--force")
    assert [phase(pod) for pod in (await kubectl.local.client.list(PODS))[0]] == []
