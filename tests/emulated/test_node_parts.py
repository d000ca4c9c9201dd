"""The pure parts of the process node, and the shim that makes names resolve."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from reasoner_local import quantity
from reasoner_local.client import PODS, Client, Obj
from reasoner_local.dns.hosts import SHIM
from reasoner_local.dns.hosts_file import HostsFile, Owner, revised, search
from reasoner_local.informer import Informer
from reasoner_local.kubeconfig import Login
from reasoner_local.node.context import PathMap
from reasoner_local.node.environment import expand
from reasoner_local.node.status import Report, phase

PLACES = PathMap({"/data": "/r/data", "/data/in": "/r/in", "/etc/task": "/r/task", "/dev/termination-log": "/r/end"})


@pytest.mark.parametrize(
    ("text", "real"),
    [
        ("/data", "/r/data"),
        ("/data/x.json", "/r/data/x.json"),
        ("/data/in/x", "/r/in/x"),
        ("/data/input", "/r/data/input"),
        ("/database", "/database"),
        ("/my/data", "/my/data"),
        ("--task=/etc/task/t.json", "--task=/r/task/t.json"),
        ("file:///data/out", "file:///r/data/out"),
        ("s3://bucket/data/out", "s3://bucket/data/out"),
        ("http://data/data", "http://data/data"),
        ("cat '/data/x' > /dev/termination-log;", "cat '/r/data/x' > /r/end;"),
        ("/bin:/data:/etc/task", "/bin:/r/data:/r/task"),
        ("/data-old /data.txt", "/data-old /data.txt"),
    ],
)
def test_paths_are_made_real(text: str, real: str) -> None:
    assert PLACES.rewrite(text) == real


@pytest.mark.parametrize(
    ("text", "result"),
    [("$(A)", "1"), ("x$(A)y$(B)", "x1y2"), ("$(C)", "$(C)"), ("$$(A)", "$(A)"), ("$A $", "$A $"), ("$$", "$")],
)
def test_variables_are_expanded(text: str, result: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == result


@pytest.mark.parametrize(
    ("text", "value"), [("1", "1"), ("250m", "0.25"), ("2Gi", "2147483648"), ("1e3", "1000"), ("1k", "1000")]
)
def test_quantities(text: str, value: str) -> None:
    assert quantity.parse(text) == Decimal(value)


def test_pod_asks_for_its_containers_together_or_its_largest_init_container() -> None:
    def container(cpu: str, kind: str = "requests") -> dict[str, object]:
        return {"name": "c", "resources": {kind: {"cpu": cpu}}}

    pod = {"spec": {"containers": [container("1"), container("500m", "limits")], "initContainers": [container("2")]}}
    assert quantity.pod_requests(pod) == {"cpu": Decimal(2)}


WAITING, RUNNING = {"waiting": {}}, {"running": {}}
GOOD, BAD = {"terminated": {"exitCode": 0}}, {"terminated": {"exitCode": 1}}

PHASES = {
    "nothing has started": ([WAITING], [], "Always", False, "Pending"),
    "one container of two still waits": ([RUNNING, WAITING], [], "Always", False, "Pending"),
    "all run": ([RUNNING, RUNNING], [], "Always", False, "Running"),
    "one has ended, one runs": ([RUNNING, BAD], [], "Never", False, "Running"),
    "all ended well": ([GOOD, GOOD], [], "Never", False, "Succeeded"),
    "one ended badly and stays so": ([GOOD, BAD], [], "Never", False, "Failed"),
    "one ended badly and is restarted": ([GOOD, BAD], [], "OnFailure", False, "Running"),
    "ends are restarted": ([GOOD], [], "Always", False, "Running"),
    "stopped while it ran": ([BAD], [], "Always", True, "Failed"),
    "stopped and ended well": ([GOOD], [], "Always", True, "Succeeded"),
    "stopped before it ran": ([WAITING], [], "Always", True, "Failed"),
    "init container failed for good": ([WAITING], [BAD], "Never", False, "Failed"),
    "init container is tried again": ([WAITING], [BAD], "Always", False, "Pending"),
}


@pytest.mark.parametrize("case", PHASES)
def test_phase_when(case: str) -> None:
    mains, inits, policy, stopping, wanted = PHASES[case]
    statuses = [[{"name": "c", "state": state, "lastState": {}} for state in states] for states in (inits, mains)]
    assert phase(Report(*statuses, policy, stopping)) == wanted


def test_a_pod_is_over_when_its_sidecars_have_ended_however_they_did() -> None:
    def seen(sidecar: Obj) -> str:
        main, beside = ({"name": "c", "state": state, "lastState": {}} for state in (GOOD, sidecar))
        return phase(Report([], [main], "Never", sidecars=[beside]))

    assert [seen(RUNNING), seen(BAD)] == ["Running", "Succeeded"]


def run(code: str, folder: Path, **env: str) -> str:
    """A Python program's output, under the shim."""
    hosts = folder / "hosts.json"
    hosts.write_text(json.dumps({"web.default.svc.cluster.local": ["127.9.128.1"]}))
    known = {"REASONER_DNS_HOSTS": str(hosts), "REASONER_DNS_SEARCH": " ".join(search("default")), "HOSTNAME": "me"}
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(SHIM),
        **known,
        "REASONER_DNS_SELF": "127.9.0.1",
        **env,
    }
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_shim_resolves_names_in_asyncio_too(tmp_path: Path) -> None:
    code = """
import asyncio, socket
async def main():
    loop = asyncio.get_running_loop()
    print((await loop.getaddrinfo("web", 80, type=socket.SOCK_STREAM))[0][4])
asyncio.run(main())
print(socket.gethostbyname("WEB.default."), socket.gethostbyname("me"), socket.gethostbyname("127.0.0.1"))
try:
    socket.create_connection(("nobody.default.svc.cluster.local", 80))
except socket.gaierror as error:
    print(error.errno == socket.EAI_NONAME)
"""
    assert run(code, tmp_path) == "('127.9.128.1', 80)\n127.9.128.1 127.9.0.1 127.0.0.1\nTrue\n"


def test_shim_follows_the_hosts_file(tmp_path: Path) -> None:
    code = """
import json, os, pathlib, socket
print(socket.gethostbyname("web"))
file = pathlib.Path(os.environ["REASONER_DNS_HOSTS"])
draft = file.with_suffix(".new")
draft.write_text(json.dumps({"web.default.svc.cluster.local": ["127.9.128.2"]}))
os.utime(draft, (1, 1))
draft.replace(file)
print(socket.gethostbyname("web"))
"""
    assert run(code, tmp_path) == "127.9.128.1\n127.9.128.2\n"


def test_shim_runs_the_sitecustomize_that_it_stands_before(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('the other one')")
    shown = run("import socket; print(socket.gethostbyname('web'))", tmp_path, PYTHONPATH=f"{SHIM}:{tmp_path}")
    assert shown == "the other one\n127.9.128.1\n"


def test_a_pods_hosts_file_shortens_names_as_its_search_domains_do(tmp_path: Path) -> None:
    file = HostsFile(tmp_path / "hosts", Owner("default", "me", "127.9.0.1"))
    names = {"web.default.svc.cluster.local": ["127.9.128.1"], "db.other.svc.cluster.local": ["127.9.128.2"]}
    file.show(names)
    lines = file.path.read_text().splitlines()
    assert lines[:3] == [
        "127.9.0.1\tme",
        "127.9.128.1\tweb.default.svc.cluster.local web web.default web.default.svc",
        "127.9.128.2\tdb.other.svc.cluster.local db.other db.other.svc",
    ]
    assert any("localhost" in line for line in lines[3:]), "the machine's own lines"


REVISIONS = {
    "what stays keeps its place, what is gone is blanked, what is new comes last": (
        ["one", "two", "three"], ["three", "four", "one"], ["one", "   ", "three", "four"],
    ),
    "what comes back comes last": (["one", "   "], ["two", "one"], ["one", "   ", "two"]),
    "what is the same stays the same": (["one", "two"], ["two", "one"], ["one", "two"]),
    "many blanks are left out": (["  "] * 200 + ["one", "two"], ["two", "three"], ["two", "three"]),
}  # fmt: skip


@pytest.mark.parametrize("case", REVISIONS)
def test_a_hosts_file_that_is_being_read(case: str) -> None:
    before, wanted, after = REVISIONS[case]
    assert revised(before, wanted) == after


def test_a_hosts_file_is_changed_in_place_for_those_who_have_it_mounted(tmp_path: Path) -> None:
    file = HostsFile(tmp_path / "hosts", Owner("default", "me", "127.9.0.1"))
    file.show({})
    with file.path.open() as mounted:
        file.show({"web.default.svc.cluster.local": ["127.9.128.1"]})
        assert "127.9.128.1\tweb.default.svc" in mounted.read()
        file.show({})
        mounted.seek(0)
        assert "web" not in mounted.read()


def owned(name: str, uid: str, version: int, owner: str = "") -> Obj:
    meta = {"namespace": "default", "name": name, "uid": uid, "resourceVersion": str(version)}
    refs = [{"uid": owner, "kind": "Job", "name": "j", "controller": True}] if owner else []
    return {"metadata": {**meta, "ownerReferences": refs}}


def test_an_informer_knows_who_owns_what_through_adoption_and_replacement() -> None:
    informer = Informer(Client(Login("http://nowhere")), PODS)
    first, second = {"metadata": {"uid": "first"}}, {"metadata": {"uid": "second"}}

    def names(owner: Obj) -> list[str]:
        return [obj["metadata"]["name"] for obj in informer.owned_by(owner)]

    informer.learn(owned("b", "1", 1, "first"))
    informer.learn(owned("a", "2", 2, "first"))
    informer.learn(owned("alone", "3", 3))
    assert (names(first), names(second)) == (["a", "b"], [])
    informer.learn(owned("b", "1", 4, "second"))
    informer.learn(owned("a", "4", 5, "second"))
    assert (names(first), names(second)) == ([], ["a", "b"])
    informer.forget(owned("b", "1", 6, "second"))
    informer.learn(owned("a", "4", 7))
    assert (names(first), names(second)) == ([], [])
