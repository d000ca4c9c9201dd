"""The real kubectl against the embedded API server; asked for where it is installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import yaml

from reasoner_local.apiserver import LogQuery
from support.apiserver import CRDS, Api, custom_resource_definition, serving_in_thread, write_kubeconfig

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")

GROUP = "kubectl.dev"
TASKS = f"/apis/{GROUP}/v1/namespaces/default/tasks"
TEXT = {"type": "string"}
Kubectl = Callable[..., subprocess.CompletedProcess[str]]


def crd() -> dict[str, Any]:
    spec = {
        "type": "object",
        "description": "What to do.",
        "required": ["source"],
        "properties": {
            "source": {**TEXT, "description": "Where it comes from."},
            "shards": {"type": "integer", "minimum": 1, "default": 1, "description": "In how many parts."},
            "suspend": {"type": "boolean", "default": False},
        },
        "x-kubernetes-validations": [
            {"rule": "self.source == oldSelf.source", "message": "source is immutable", "fieldPath": ".source"}
        ],
    }
    condition = {"type": "object", "properties": {"type": TEXT, "status": TEXT}}
    status = {
        "type": "object",
        "properties": {"phase": TEXT, "conditions": {"type": "array", "items": condition}},
    }
    schema = {"type": "object", "required": ["spec"], "properties": {"spec": spec, "status": status}}
    columns = [
        {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
        {"name": "Source", "type": "string", "jsonPath": ".spec.source", "priority": 1},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    made = custom_resource_definition(GROUP, "Task", schema, additionalPrinterColumns=columns)
    made["spec"]["names"].update(shortNames=["tk"], categories=["kinds"])
    return made


class Diary:
    """Every pod's log: two lines, and a third for who follows."""

    async def stream(self, query: LogQuery) -> AsyncIterator[bytes]:
        yield f"{query.container}: one\ntwo\n".encode()
        if query.follow:
            yield b"three\n"


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    with serving_in_thread(Diary()) as url:
        client = Api(url)
        assert client.post(CRDS, crd()).status_code == 201
        yield client
        client.close()


@pytest.fixture(scope="module")
def kubectl(api: Api, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    folder = tmp_path_factory.mktemp("kubectl")
    kubeconfig = write_kubeconfig(folder / "kubeconfig", api.url)
    # HOME holds kubectl's discovery cache, which must not outlive this server.
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "HOME": str(folder)}

    def run(*arguments: str, stdin: Any = None, code: int = 0) -> subprocess.CompletedProcess[str]:
        text = stdin if stdin is None or isinstance(stdin, str) else yaml.safe_dump(stdin)
        done = subprocess.run(
            ["kubectl", *arguments],
            input=text,
            capture_output=True,
            text=True,
            env=environment,
            timeout=30,
            check=False,
        )
        assert done.returncode == code, f"kubectl {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done

    return run


def task(name: str, meta: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "Task",
        "metadata": {"name": name, **(meta or {})},
        "spec": {"source": "s3://a", **spec},
    }


def test_apply_says_created_unchanged_and_configured(kubectl: Kubectl) -> None:
    for shards, word in ((1, "created"), (1, "unchanged"), (2, "configured")):
        said = kubectl("apply", "-f", "-", stdin=task("applied", shards=shards)).stdout
        assert said == f"task.{GROUP}/applied {word}\n"
    # What is no longer in the file goes.
    kubectl("apply", "-f", "-", stdin=task("applied", suspend=True))
    assert kubectl("get", "task", "applied", "-o", "jsonpath={.spec}").stdout == (
        '{"shards":1,"source":"s3://a","suspend":true}'
    )


def test_apply_by_the_server(kubectl: Kubectl) -> None:
    said = kubectl("apply", "--server-side", "-f", "-", stdin=task("ssa", shards=2)).stdout
    assert said == f"task.{GROUP}/ssa serverside-applied\n"
    kubectl("patch", "tk", "ssa", "--type=merge", "-p", '{"spec":{"shards":3}}')
    refused = kubectl("apply", "--server-side", "-f", "-", stdin=task("ssa", shards=2), code=1)
    assert 'conflict with "kubectl-patch"' in refused.stderr and ".spec.shards" in refused.stderr
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=task("ssa", shards=2))


REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "a misspelt field": (
        task("bad", sourc="x"),
        'Task in version "v1" cannot be handled as a Task: strict decoding error: unknown field "spec.sourc"',
    ),
    "a value out of range": (
        task("bad", shards=0),
        'The Task "bad" is invalid: spec.shards: Invalid value: 0: '
        "spec.shards in body should be greater than or equal to 1",
    ),
    "a value of another type": (
        task("bad", shards="two"),
        '* spec.shards: Invalid value: "string": spec.shards in body must be of type integer: "string"',
    ),
    "a missing field": (task("bad", source=None), "* spec.source: Required value"),
}


@pytest.mark.parametrize("sentence", REFUSALS)
def test_apply_refuses(kubectl: Kubectl, sentence: str) -> None:
    body, said = REFUSALS[sentence]
    assert said in kubectl("apply", "-f", "-", stdin=body, code=1).stderr


def test_apply_refuses_a_change_of_what_is_immutable(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=task("immutable"))
    refused = kubectl("apply", "-f", "-", stdin=task("immutable", source="s3://b"), code=1)
    assert (
        'The Task "immutable" is invalid: spec.source: Invalid value: "object": source is immutable' in refused.stderr
    )


def test_a_warning_reaches_the_user(kubectl: Kubectl) -> None:
    done = kubectl("apply", "--validate=warn", "-f", "-", stdin=task("warned", sourc="x"))
    assert 'Warning: unknown field "spec.sourc"' in done.stderr and "created" in done.stdout


def test_get_in_its_forms(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=task("shown", {"labels": {"show": "yes"}}))
    heading, line = kubectl("get", "kinds", "-l", "show=yes").stdout.splitlines()
    assert heading.split() == ["NAME", "PHASE", "AGE"] and line.split()[0] == "shown"
    assert kubectl("get", "tk", "shown", "-o", "wide").stdout.split()[:4] == ["NAME", "PHASE", "SOURCE", "AGE"]
    assert kubectl("get", "tk", "shown", "-o", "name").stdout == f"task.{GROUP}/shown\n"
    assert yaml.safe_load(kubectl("get", "tk", "shown", "-o", "yaml").stdout)["spec"]["shards"] == 1
    assert json.loads(kubectl("get", "tk", "shown", "-o", "json").stdout)["spec"]["source"] == "s3://a"
    assert kubectl("get", "tk", "shown", "-o", "jsonpath={.spec.source}").stdout == "s3://a"
    assert kubectl("get", "tk", "shown", "-o", "go-template={{.spec.shards}}").stdout == "1"
    assert "show=yes" in kubectl("get", "tk", "shown", "--show-labels").stdout
    everywhere = kubectl("get", "tk", "-A", "--sort-by=.metadata.name", "-L", "show").stdout.split()
    assert everywhere[:2] == ["NAMESPACE", "NAME"]
    assert kubectl("get", "tk", "-o", "custom-columns=N:.metadata.name", "-l", "show=yes").stdout == "N\nshown\n"
    assert "No resources found" in kubectl("get", "tk", "-n", "kube-system").stderr
    assert f'tasks.{GROUP} "ghost" not found' in kubectl("get", "tk", "ghost", code=1).stderr
    assert 'the server doesn\'t have a resource type "ghosts"' in kubectl("get", "ghosts", code=1).stderr


def test_describe_shows_the_events_of_an_object(kubectl: Kubectl, api: Api) -> None:
    kubectl("apply", "-f", "-", stdin=task("described"))
    known = api.get(f"{TASKS}/described").json()
    event = {
        "metadata": {"name": "described.1"},
        "type": "Normal",
        "reason": "Started",
        "message": "off it goes",
        "lastTimestamp": "2026-01-01T00:00:00Z",
        "involvedObject": {
            "apiVersion": f"{GROUP}/v1",
            "kind": "Task",
            "name": "described",
            "namespace": "default",
            "uid": known["metadata"]["uid"],
        },
    }
    assert api.post("/api/v1/namespaces/default/events", event).status_code == 201
    said = kubectl("describe", "task", "described").stdout
    assert "Source:   s3://a" in said and "off it goes" in said
    assert "task/described" in kubectl("get", "events").stdout
    assert "off it goes" in kubectl("events", "--for", f"task.{GROUP}/described").stdout


def test_wait_returns_when_the_condition_comes(kubectl: Kubectl, api: Api) -> None:
    kubectl("apply", "-f", "-", stdin=task("awaited"))
    status = {"phase": "Done", "conditions": [{"type": "Ready", "status": "True"}]}
    later = threading.Timer(0.5, api.patch, (f"{TASKS}/awaited/status", {"status": status}))
    later.start()
    said = kubectl("wait", "--for=condition=Ready", "task/awaited", "--timeout=20s").stdout
    later.join()
    assert said == f"task.{GROUP}/awaited condition met\n"
    kubectl("wait", "--for=jsonpath={.status.phase}=Done", "task/awaited", "--timeout=20s")


def test_delete_waits_and_cascades(kubectl: Kubectl, api: Api) -> None:
    for policy in ("background", "foreground", "orphan"):
        name = f"parent-{policy}"
        kubectl("apply", "-f", "-", stdin=task(name))
        uid = api.get(f"{TASKS}/{name}").json()["metadata"]["uid"]
        owner = {"apiVersion": f"{GROUP}/v1", "kind": "Task", "name": name, "uid": uid, "blockOwnerDeletion": True}
        child = f"/api/v1/namespaces/default/configmaps/child-{policy}"
        body = {"metadata": {"name": f"child-{policy}", "ownerReferences": [owner]}}
        assert api.post(child.rsplit("/", 1)[0], body).status_code == 201
        assert "deleted" in kubectl("delete", "task", name, f"--cascade={policy}").stdout
        assert api.get(f"{TASKS}/{name}").status_code == 404
        if policy == "orphan":
            assert api.get(child).status_code == 200
        else:
            api.gone(child)


def test_imperative_verbs_whose_bodies_are_protobuf(kubectl: Kubectl, api: Api) -> None:
    kubectl("create", "namespace", "made")
    assert yaml.safe_load(kubectl("get", "ns", "made", "-o", "yaml").stdout)["status"] == {"phase": "Active"}
    kubectl("create", "configmap", "cm", "--from-literal=a=b", "-n", "made")
    kubectl("create", "secret", "generic", "se", "--from-literal=a=b", "-n", "made")
    kubectl("create", "serviceaccount", "sa", "-n", "made")
    kubectl("create", "role", "ro", "--verb=get,list", "--resource=pods", "-n", "made")
    kubectl("create", "rolebinding", "rb", "--role=ro", "--serviceaccount=made:sa", "-n", "made")
    kubectl("create", "job", "jo", "--image=busybox", "-n", "made", "--", "sh", "-c", "true")
    kubectl("create", "deployment", "de", "--image=nginx", "--replicas=0", "--port=80", "-n", "made")
    kubectl("expose", "deployment", "de", "--port=8080", "--target-port=80", "-n", "made")
    kubectl("create", "cronjob", "cj", "--image=busybox", "--schedule=0 0 * * *", "-n", "made")
    made = {
        kind: api.get(f"/{path}/namespaces/made/{kind}/{name}").json()
        for path, kind, name in (
            ("api/v1", "configmaps", "cm"),
            ("api/v1", "secrets", "se"),
            ("api/v1", "services", "de"),
            ("apis/batch/v1", "jobs", "jo"),
            ("apis/apps/v1", "deployments", "de"),
            ("apis/rbac.authorization.k8s.io/v1", "roles", "ro"),
            ("apis/rbac.authorization.k8s.io/v1", "rolebindings", "rb"),
            ("apis/batch/v1", "cronjobs", "cj"),
        )
    }
    assert (made["configmaps"]["data"], made["secrets"]["data"]) == ({"a": "b"}, {"a": "Yg=="})
    container = made["jobs"]["spec"]["template"]["spec"]["containers"][0]
    assert (container["image"], container["command"], "tty" in container) == ("busybox", ["sh", "-c", "true"], False)
    assert made["deployments"]["spec"]["replicas"] == 0
    assert made["services"]["spec"]["ports"] == [{"port": 8080, "protocol": "TCP", "targetPort": 80}]
    assert made["roles"]["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]
    assert made["rolebindings"]["roleRef"]["name"] == "ro"
    assert made["cronjobs"]["spec"]["schedule"] == "0 0 * * *"
    kubectl("scale", "deployment", "de", "--replicas=2", "-n", "made")
    assert kubectl("get", "deploy", "de", "-n", "made").stdout.split()[5:7] == ["de", "0/2"]
    kubectl("set", "image", "deployment/de", "nginx=nginx:2", "-n", "made")
    kubectl("label", "configmap", "cm", "x=y", "-n", "made")
    kubectl("annotate", "configmap", "cm", "x=y", "-n", "made")
    kubectl("delete", "namespace", "made")
    assert api.get("/api/v1/namespaces/made").status_code == 404


def test_explain_reads_the_crds_descriptions(kubectl: Kubectl) -> None:
    said = kubectl("explain", "task.spec").stdout
    assert "What to do." in said and "In how many parts." in said and "-required-" in said
    assert "<[]Container>" in kubectl("explain", "job.spec.template.spec.containers").stdout


def test_questions_of_access(kubectl: Kubectl) -> None:
    assert kubectl("auth", "can-i", "create", "tasks").stdout == "yes\n"
    assert "*.*" in kubectl("auth", "can-i", "--list").stdout
    assert "kubernetes-admin" in kubectl("auth", "whoami").stdout
    assert "is running at" in kubectl("cluster-info").stdout
    assert "tasks" in kubectl("api-resources", "--categories=kinds").stdout


def test_logs(kubectl: Kubectl, api: Api) -> None:
    pods = "/api/v1/namespaces/default/pods"
    spec = {"containers": [{"name": "main", "image": "i"}]}
    api.post(pods, {"metadata": {"name": "talker", "labels": {"app": "talker"}}, "spec": spec})
    assert "ContainerCreating" in kubectl("logs", "talker", code=1).stderr
    api.patch(f"{pods}/talker/status", {"status": {"phase": "Running"}})
    assert kubectl("logs", "talker").stdout == "main: one\ntwo\n"
    assert kubectl("logs", "-f", "talker").stdout == "main: one\ntwo\nthree\n"
    assert kubectl("logs", "-l", "app=talker").stdout == "main: one\ntwo\n"
    assert "Running" in kubectl("get", "pods", "-o", "wide").stdout


def test_client_side_apply_of_built_in_kinds(kubectl: Kubectl, api: Api) -> None:
    """kubectl computes a strategic merge patch from what it applied before."""
    container = {"name": "c", "image": "i", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}}
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template},
    }
    first = kubectl("apply", "-f", "-", stdin=body)
    assert "created" in first.stdout and first.stderr == ""
    container["env"] = [{"name": "B", "value": "3"}]
    second = kubectl("apply", "-f", "-", stdin=body)
    assert "configured" in second.stdout and second.stderr == ""
    found = api.get("/apis/apps/v1/namespaces/default/deployments/web").json()["spec"]["template"]["spec"]
    assert found["containers"][0]["env"] == [{"name": "B", "value": "3"}]
    assert kubectl("diff", "-f", "-", stdin=body).stdout == ""


def test_a_node_shows_what_it_is_in_the_wide_table(api: Api, kubectl: Kubectl) -> None:
    about = {
        "kubeletVersion": "v1.32.0",
        "osImage": "Debian",
        "kernelVersion": "6.1",
        "containerRuntimeVersion": "x://1",
    }
    status = {"nodeInfo": about, "addresses": [{"type": "InternalIP", "address": "10.0.0.7"}]}
    assert api.post("/api/v1/nodes", {"metadata": {"name": "one"}}).status_code == 201
    assert api.patch("/api/v1/nodes/one/status", {"status": status}).status_code == 200
    heading, row = kubectl("get", "nodes", "-o", "wide").stdout.splitlines()
    assert heading.split()[5:] == ["INTERNAL-IP", "EXTERNAL-IP", "OS-IMAGE", "KERNEL-VERSION", "CONTAINER-RUNTIME"]
    assert row.split()[5:] == ["10.0.0.7", "<none>", "Debian", "6.1", "x://1"]
