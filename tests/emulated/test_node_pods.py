"""Pods on the process node: environment, volumes, ends, restarts, probes, logs."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reasoner_local.client import CONFIGMAPS, PODS, SECRETS
from support.local import World, condition, container_state, eventually, phase, python, shell, true, world


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path / "cluster") as made:
        yield made


async def test_environment_is_composed_as_in_a_cluster(local: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_USER", "1")
    await local.make(SECRETS, "keys", data={"api-key": base64.b64encode(b"sesame").decode()})
    await local.make(CONFIGMAPS, "settings", data={"level": "7", "mode": "fast"})
    field = {"fieldRef": {"fieldPath": "metadata.labels['team']"}}
    environment = [
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "TEAM", "valueFrom": field},
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "api-key"}}},
        {"name": "ABSENT", "valueFrom": {"secretKeyRef": {"name": "nobody", "key": "x", "optional": True}}},
        {"name": "LEVEL", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "level"}}},
        {"name": "CPUS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        {"name": "GREETING", "value": "$(NAME)/$(LEVEL)/$(UNKNOWN)/$$(NAME)"},
    ]
    container = python(
        "import json, os, sys; print(json.dumps([dict(os.environ), sys.argv, os.getcwd()]))",
        env=environment,
        envFrom=[{"configMapRef": {"name": "settings"}, "prefix": "CFG_"}],
        args=["--who=$(NAME)"],
        resources={"limits": {"cpu": "250m"}},
    )
    spec = {"restartPolicy": "Never", "containers": [container]}
    await local.make(PODS, "p", metadata={"labels": {"team": "red"}}, spec=spec)
    pod = await local.ended("p")
    assert phase(pod) == "Succeeded"
    env, argv, folder = json.loads(await local.log("p"))
    assert argv == ["-c", "--who=p"]
    assert env["GREETING"] == "p/7/$(UNKNOWN)/$(NAME)"
    assert {name: env[name] for name in ("NAME", "TEAM", "KEY", "LEVEL", "CPUS", "CFG_mode")} == {
        "NAME": "p",
        "TEAM": "red",
        "KEY": "sesame",
        "LEVEL": "7",
        "CPUS": "1",
        "CFG_mode": "fast",
    }
    assert env["POD_IP"] == pod["status"]["podIP"]
    assert env["HOME"] == folder
    assert "ABSENT" not in env
    assert "SECRET_OF_THE_USER" not in env
    assert pod["metadata"]["uid"][:8] in folder


async def test_volumes_are_real_folders_and_paths_lead_there(local: World) -> None:
    await local.make(CONFIGMAPS, "task", data={"task.json": '{"a": 1}'})
    await local.make(SECRETS, "tls", data={"key": base64.b64encode(b"k").decode()})
    mounts = [
        {"name": "task", "mountPath": "/etc/reasoner"},
        {"name": "work", "mountPath": "/data"},
        {"name": "about", "mountPath": "/etc/podinfo"},
        {"name": "all", "mountPath": "/etc/all"},
    ]
    downward = {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}
    sources = [{"configMap": {"name": "task"}}, {"secret": {"name": "tls"}}, {"downwardAPI": downward}]
    volumes = [
        {"name": "task", "configMap": {"name": "task"}},
        {"name": "work", "emptyDir": {}},
        {"name": "about", "downwardAPI": downward},
        {"name": "all", "projected": {"sources": sources}},
    ]
    script = "cat /etc/reasoner/task.json > /data/copy; cat $PLACE /etc/podinfo/name; ls /etc/all; echo $URL $OTHER"
    env = [
        {"name": "PLACE", "value": "/data/copy"},
        {"name": "URL", "value": "http://example.org/data/x"},
        {"name": "OTHER", "value": "/database"},
    ]
    await local.pod("p", shell(script, env=env, volumeMounts=mounts), volumes=volumes)
    await local.ended("p")
    text = await local.log("p")
    assert text == '{"a": 1}pkey\nname\ntask.json\nhttp://example.org/data/x /database\n'


async def test_keys_modes_and_parts_of_volumes(local: World) -> None:
    await local.make(SECRETS, "key", data={"id": base64.b64encode(b"k").decode(), "other": ""})
    items = [{"key": "id", "path": "ssh/id"}]
    volumes = [{"name": "key", "secret": {"secretName": "key", "items": items, "defaultMode": 0o400}}]
    volumes.append({"name": "work", "emptyDir": {}})
    first = [{"name": "work", "mountPath": "/whole"}, {"name": "key", "mountPath": "/keys"}]
    second = [{"name": "work", "mountPath": "/part", "subPath": "a/b"}]
    writer = shell("mkdir -p /whole/a/b; cp /keys/ssh/id /whole/a/b/copy", "writer", volumeMounts=first)
    reader = shell("cat /part/copy; ls /keys; stat -c %a /keys/ssh/id", volumeMounts=[*second, first[1]])
    await local.pod("p", reader, initContainers=[writer], volumes=volumes)
    assert phase(await local.ended("p")) == "Succeeded"
    assert await local.log("p") == "kssh\n400\n"


async def test_sidecar_runs_beside_the_others_and_ends_after_them(local: World) -> None:
    mount = [{"name": "work", "mountPath": "/work"}]
    script = "trap 'echo asked to end; exit 0' TERM; echo up > /work/up; while true; do sleep 0.05; done"
    sidecar = shell(script, "sidecar", restartPolicy="Always", volumeMounts=mount)
    main = shell("until test -e /work/up; do sleep 0.02; done; echo met", volumeMounts=mount)
    await local.pod("p", main, initContainers=[sidecar], volumes=[{"name": "work", "emptyDir": {}}])
    assert phase(await local.ended("p")) == "Succeeded"
    logs = [await local.log("p", container=name) for name in ("main", "sidecar")]
    assert logs == ["met\n", "asked to end\n"]


async def test_init_containers_run_in_order_before_the_others(local: World) -> None:
    mount = [{"name": "work", "mountPath": "/work"}]
    inits = [shell(f"echo {n} >> /work/order", f"init-{n}", volumeMounts=mount) for n in (1, 2)]
    main = shell("cat /work/order", volumeMounts=mount)
    await local.pod("p", main, initContainers=inits, volumes=[{"name": "work", "emptyDir": {}}])
    pod = await local.ended("p")
    assert await local.log("p") == "1\n2\n"
    assert [status["ready"] for status in pod["status"]["initContainerStatuses"]] == [True, True]


async def test_failing_init_container_fails_the_pod(local: World) -> None:
    await local.pod("p", shell("true"), initContainers=[shell("exit 4", "init")])
    pod = await local.ended("p")
    assert phase(pod) == "Failed"
    assert container_state(pod) == {"waiting": {"reason": "PodInitializing"}}
    assert pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 4


ENDS = {
    "exit code": ("exit 3", {}, 3, "Error", None),
    "signal": ("kill -SEGV $$$$", {}, 139, "Error", None),
    "termination message": ("echo -n done > $MESSAGE", {}, 0, "Completed", "done"),
    "message is cut at 4096 bytes": ("head -c 5000 /dev/zero | tr '\\0' x > $MESSAGE", {}, 0, "Completed", "x" * 4096),
    "log stands in for the message on failure": (
        "echo all is lost; exit 1",
        {"terminationMessagePolicy": "FallbackToLogsOnError"},
        1,
        "Error",
        "all is lost\n",
    ),
    "log does not stand in on success": (
        "echo all is well",
        {"terminationMessagePolicy": "FallbackToLogsOnError"},
        0,
        "Completed",
        None,
    ),
}


async def test_ends_are_told_as_by_the_kubelet(local: World) -> None:
    env = [{"name": "MESSAGE", "value": "/dev/termination-log"}]
    for number, (script, fields, *_) in enumerate(ENDS.values()):
        await local.pod(f"p{number}", shell(script, env=env, **fields))
    for number, (name, (_, _, code, reason, message)) in enumerate(ENDS.items()):
        end = container_state(await local.ended(f"p{number}"))["terminated"]
        assert (end["exitCode"], end["reason"], end.get("message")) == (code, reason, message), name


async def test_program_that_does_not_exist(local: World) -> None:
    await local.pod("p", {"name": "main", "image": "x", "command": ["no-such-program"]})
    end = container_state(await local.ended("p"))["terminated"]
    assert (end["exitCode"], end["reason"]) == (128, "StartError")
    assert '"no-such-program": executable file not found in $PATH' in end["message"]


async def test_missing_secret_holds_the_container_until_it_is_there(local: World) -> None:
    env = [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "late", "key": "k"}}}]
    await local.pod("p", shell("echo $KEY", env=env))
    pod = await local.until(PODS, "p", lambda pod: "CreateContainerConfigError" in str(pod["status"]))
    waiting = {"reason": "CreateContainerConfigError", "message": 'secret "late" not found'}
    assert container_state(pod) == {"waiting": waiting}
    assert phase(pod) == "Pending"
    await local.make(SECRETS, "late", data={"k": base64.b64encode(b"open").decode()})
    assert phase(await local.ended("p")) == "Succeeded"
    assert await local.log("p") == "open\n"


async def test_missing_config_map_volume_holds_the_pod(local: World) -> None:
    mounts = [{"name": "late", "mountPath": "/late"}]
    volumes = [{"name": "late", "configMap": {"name": "late"}}]
    await local.pod("p", shell("cat /late/k", volumeMounts=mounts), volumes=volumes)
    await local.until(PODS, "p", lambda pod: container_state(pod) == {"waiting": {"reason": "ContainerCreating"}})
    await local.make(CONFIGMAPS, "late", data={"k": "v"})
    await local.ended("p")
    assert await local.log("p") == "v"
    assert "FailedMount" in await local.reasons("p")


async def test_restart_on_failure_keeps_a_log_for_each_run(local: World) -> None:
    mounts = [{"name": "work", "mountPath": "/work"}]
    script = "echo x >> /work/runs; n=$(wc -l < /work/runs); echo run $n; test $n -ge 3"
    container = shell(script, volumeMounts=mounts)
    await local.pod("p", container, restartPolicy="OnFailure", volumes=[{"name": "work", "emptyDir": {}}])
    pod = await local.ended("p")
    status = pod["status"]["containerStatuses"][0]
    assert (phase(pod), status["restartCount"]) == ("Succeeded", 2)
    assert status["lastState"]["terminated"]["exitCode"] == 1
    assert await local.log("p") == "run 3\n"
    assert await local.log("p", previous="true") == "run 2\n"
    names = sorted(file.name.rsplit("_", 1)[1] for file in local.cluster.logs_dir.glob("default_p_*.log"))
    assert names == ["0.log", "1.log", "2.log"]


async def test_log_is_followed_to_the_end_and_tailed(local: World) -> None:
    await local.pod("p", shell("echo one; sleep 0.5; echo two; sleep 0.3; echo three"))
    await local.until(PODS, "p", lambda pod: phase(pod) == "Running")
    assert await local.log("p", follow="true") == "one\ntwo\nthree\n"
    assert await local.log("p", tailLines="2") == "two\nthree\n"
    assert await local.log("p", limitBytes="6") == "one\ntw"


async def test_a_log_shows_whole_lines_until_its_program_ends(local: World, tmp_path: Path) -> None:
    wait = f"import os, time\nwhile not os.path.exists({str(tmp_path / 'go')!r}): time.sleep(0.02)"
    long = "x" * 70_000
    parts = {"p": ("one\ntw\r", "o\ny"), "long": (long, "z\n")}
    for name, (first, last) in parts.items():
        await local.pod(name, python(f"print({first!r}, end='', flush=True)\n{wait}\nprint({last!r}, end='')"))
    await eventually(lambda: shows(local, "p", "one\n"))
    # Of a line so long a container runtime keeps no more than a piece back.
    await eventually(lambda: shows(local, "long", "x" * 65_536))
    (tmp_path / "go").touch()
    for name in parts:
        await local.ended(name)
    assert await local.log("p") == "one\ntw\ro\ny"
    assert await local.log("p", tailLines="2") == "tw\ro\ny"
    stamped = await local.log("long", timestamps="true")
    assert stamped.count("Z ") == 1 and stamped.endswith(f"Z {long}z\n")


async def shows(local: World, pod: str, text: str) -> bool:
    return await local.log(pod) == text


SERVER = """
import http.server, os, pathlib
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if pathlib.Path(self.path[1:]).exists() else 503)
        self.end_headers()
http.server.HTTPServer((os.environ["POD_IP"], 8000), Handler).serve_forever()
"""
POD_IP = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}


def served_folder(local: World, pod: dict[str, dict[str, str]]) -> Path:
    return local.cluster.state.path / "pods" / pod["metadata"]["uid"][:8] / "home"


async def test_readiness_follows_the_probe(local: World) -> None:
    probe = {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 1, "failureThreshold": 1}
    ports = [{"name": "http", "containerPort": 8000}]
    pod = await local.pod("p", python(SERVER, env=[POD_IP], ports=ports, readinessProbe=probe))
    pod = await local.until(PODS, "p", lambda pod: phase(pod) == "Running")
    assert condition(pod, "Ready")["message"] == "containers with unready status: [main]"
    (served_folder(local, pod) / "ready").touch()
    await local.until(PODS, "p", lambda pod: true(pod, "Ready"))
    (served_folder(local, pod) / "ready").unlink()
    await local.until(PODS, "p", lambda pod: not true(pod, "Ready"))
    assert "Unhealthy" in await local.reasons("p")


async def test_failing_liveness_restarts_the_container(local: World) -> None:
    probe = {"exec": {"command": ["test", "!", "-e", "dead"]}, "periodSeconds": 1, "failureThreshold": 1}
    script = "echo life; trap 'exit 0' TERM; while true; do sleep 0.1; done"
    pod = await local.pod("p", shell(script, livenessProbe=probe), restartPolicy="Always")
    await local.until(PODS, "p", lambda pod: true(pod, "Ready"))
    (served_folder(local, pod) / "dead").touch()
    await local.until(PODS, "p", lambda pod: pod["status"]["containerStatuses"][0]["restartCount"] == 1)
    assert {"Unhealthy", "Killing"} <= await local.reasons("p")


async def test_startup_probe_holds_back_the_others(local: World) -> None:
    startup = {"tcpSocket": {"port": 8000}, "periodSeconds": 1, "failureThreshold": 30}
    container = python(SERVER, env=[POD_IP], startupProbe=startup)
    await local.pod("p", container, restartPolicy="Always")
    pod = await local.until(PODS, "p", lambda pod: true(pod, "Ready"))
    assert pod["status"]["containerStatuses"][0]["started"] is True


async def test_pod_deadline(local: World) -> None:
    await local.pod("p", shell("sleep 60"), activeDeadlineSeconds=1)
    pod = await local.ended("p")
    assert (pod["status"]["phase"], pod["status"]["reason"]) == ("Failed", "DeadlineExceeded")


async def test_two_clusters_side_by_side(local: World, tmp_path: Path) -> None:
    async with world(tmp_path / "other") as other:
        await asyncio.gather(local.pod("p", shell("echo a")), other.pod("p", shell("echo b")))
        here, there = await asyncio.gather(local.ended("p"), other.ended("p"))
        assert here["status"]["podIP"].split(".")[1] != there["status"]["podIP"].split(".")[1]
        assert (await local.log("p"), await other.log("p")) == ("a\n", "b\n")
