"""The built-in kinds: defaults, validation, what may not change, tables, logs and the way to a pod's ports."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from aiohttp import web

from reasoner_local.apiserver import LogQuery
from support.apiserver import Api, serving, serving_in_thread
from support.builtin_types import TARGET, build

CORE = "/api/v1/namespaces/default"
JOBS = "/apis/batch/v1/namespaces/default/jobs"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
CONTAINER = {"name": "c", "image": "busybox"}


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    with serving_in_thread() as url:
        client = Api(url)
        yield client
        client.close()


def test_the_types_of_built_in_kinds_are_those_of_kubernetes() -> None:
    assert TARGET.read_text() == build()


def job(name: str, pod: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    template = {"spec": {"restartPolicy": "Never", "containers": [CONTAINER], **(pod or {})}}
    return {"metadata": {"name": name}, "spec": {"template": template, **spec}}


def test_a_job_gets_its_defaults_selector_and_labels(api: Api) -> None:
    made = api.post(JOBS, job("defaults")).json()
    spec, uid = made["spec"], made["metadata"]["uid"]
    assert {
        name: spec[name] for name in ("parallelism", "completions", "backoffLimit", "completionMode", "suspend")
    } == {
        "parallelism": 1,
        "completions": 1,
        "backoffLimit": 6,
        "completionMode": "NonIndexed",
        "suspend": False,
    }
    assert spec["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    assert spec["template"]["metadata"]["labels"] == {
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": "defaults",
        "controller-uid": uid,
        "job-name": "defaults",
    }
    container = spec["template"]["spec"]["containers"][0]
    assert container["terminationMessagePath"] == "/dev/termination-log"


FAULTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "a Job without a restart policy": (
        JOBS,
        {"metadata": {"name": "x"}, "spec": {"template": {"spec": {"containers": [CONTAINER]}}}},
        'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
    ),
    "an Indexed Job without completions": (
        JOBS,
        job("x", completionMode="Indexed", parallelism=2),
        "spec.completions: Required value: when completion mode is Indexed",
    ),
    "a container without an image": (
        JOBS,
        job("x", {"containers": [{"name": "c"}]}),
        "spec.template.spec.containers[0].image: Required value",
    ),
    "a mount of no volume": (
        JOBS,
        job("x", {"containers": [{**CONTAINER, "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]}),
        'spec.template.spec.containers[0].volumeMounts[0].name: Not found: "v"',
    ),
    "two containers of one name": (
        f"{CORE}/pods",
        {"metadata": {"name": "x"}, "spec": {"containers": [CONTAINER, CONTAINER]}},
        'spec.containers[1].name: Duplicate value: "c"',
    ),
    "a Deployment whose selector misses its template": (
        DEPLOYMENTS,
        {
            "metadata": {"name": "x"},
            "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"spec": {"containers": [CONTAINER]}}},
        },
        "`selector` does not match template `labels`",
    ),
    "a label of more than 63 characters": (
        f"{CORE}/configmaps",
        {"metadata": {"name": "x", "labels": {"a": "b" * 64}}},
        "must be no more than 63 bytes",
    ),
    "a Service whose name begins with a digit": (
        f"{CORE}/services",
        {"metadata": {"name": "1x"}, "spec": {"ports": [{"port": 1}]}},
        "a DNS-1035 label must consist of",
    ),
    "a ConfigMap of more than a mebibyte": (
        f"{CORE}/configmaps",
        {"metadata": {"name": "x"}, "data": {"a": "b" * (1024 * 1024 + 1)}},
        "Too long",
    ),
    "annotations of more than 256 kibibytes": (
        f"{CORE}/configmaps",
        {"metadata": {"name": "x", "annotations": {"a": "b" * 262144}}},
        "metadata.annotations: Too long: may not be more than 262144 bytes",
    ),
    "two controllers of one object": (
        f"{CORE}/configmaps",
        {
            "metadata": {
                "name": "x",
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "ConfigMap", "name": uid, "uid": uid, "controller": True}
                    for uid in ("u1", "u2")
                ],
            }
        },
        "Only one reference can have Controller set to true",
    ),
}


@pytest.mark.parametrize("sentence", FAULTS)
def test_refused(api: Api, sentence: str) -> None:
    path, body, said = FAULTS[sentence]
    response = api.post(path, body)
    assert response.status_code == 422 and said in response.json()["message"], response.text


def test_a_value_of_the_wrong_json_type_is_a_bad_request(api: Api) -> None:
    pod = {"containers": [{**CONTAINER, "env": [{"name": "A", "value": 1}]}]}
    response = api.post(JOBS, job("x", pod))
    assert response.status_code == 400
    assert 'Job in version "v1" cannot be handled as a Job: json: cannot unmarshal number' in response.json()["message"]
    assert api.post(JOBS, job("x", completoins=1), fieldValidation="Strict").status_code == 400


def test_a_request_of_more_than_three_mebibytes_is_413(api: Api) -> None:
    body = {"metadata": {"name": "x"}, "data": {"a": "b" * (4 << 20)}}
    assert api.post(f"{CORE}/configmaps", body).status_code == 413


# Object, change, and the words of the refusal; None where the change is allowed.
CHANGES: dict[str, tuple[str, dict[str, Any], dict[str, Any], str | None]] = {
    "an immutable ConfigMap's data": (
        f"{CORE}/configmaps",
        {"metadata": {"name": "cm"}, "data": {"a": "1"}, "immutable": True},
        {"data": {"a": "2"}},
        'ConfigMap "cm" is invalid: data: Forbidden: field is immutable when `immutable` is set',
    ),
    "an immutable ConfigMap's labels": (
        f"{CORE}/configmaps",
        {"metadata": {"name": "cm2"}, "data": {"a": "1"}, "immutable": True},
        {"metadata": {"labels": {"a": "b"}}},
        None,
    ),
    "an immutable Secret's data": (
        f"{CORE}/secrets",
        {"metadata": {"name": "s"}, "stringData": {"a": "1"}, "immutable": True},
        {"stringData": {"a": "2"}},
        "data: Forbidden: field is immutable when `immutable` is set",
    ),
    "a Job's template": (
        JOBS,
        job("j1"),
        {"spec": {"template": {"spec": {"priority": 5}}}},
        "spec.template: Invalid value",
    ),
    "a Job's parallelism": (JOBS, job("j2"), {"spec": {"parallelism": 3}}, None),
    "a Job's completions": (JOBS, job("j3"), {"spec": {"completions": 3}}, "spec.completions: Invalid value: 3"),
    "a suspended Job's node selector": (
        JOBS,
        job("j4", suspend=True),
        {"spec": {"template": {"spec": {"nodeSelector": {"a": "b"}}}}},
        None,
    ),
    "a pod's command": (
        f"{CORE}/pods",
        {"metadata": {"name": "p"}, "spec": {"containers": [CONTAINER]}},
        {"spec": {"containers": [{**CONTAINER, "command": ["x"]}]}},
        "spec: Forbidden: pod updates may not change fields other than",
    ),
    "the node that a pod is first bound to": (
        f"{CORE}/pods",
        {"metadata": {"name": "p2"}, "spec": {"containers": [CONTAINER]}},
        {"spec": {"nodeName": "n"}},
        None,
    ),
    "a Service's first cluster address": (
        f"{CORE}/services",
        {"metadata": {"name": "free"}, "spec": {"ports": [{"port": 80}]}},
        {"spec": {"clusterIP": "127.0.0.9"}},
        None,
    ),
    "a Service's cluster address once set": (
        f"{CORE}/services",
        {"metadata": {"name": "fixed"}, "spec": {"ports": [{"port": 80}], "clusterIP": "127.0.0.9"}},
        {"spec": {"clusterIP": "127.0.0.8"}},
        "may not change once set",
    ),
}


@pytest.mark.parametrize("sentence", CHANGES)
def test_change(api: Api, sentence: str) -> None:
    path, body, change, said = CHANGES[sentence]
    assert api.post(path, body).status_code == 201
    response = api.patch(f"{path}/{body['metadata']['name']}", change)
    if said is None:
        assert response.status_code == 200, response.text
    else:
        assert response.status_code == 422 and said in response.json()["message"], response.text


def row(api: Api, path: str, name: str) -> dict[str, Any]:
    table = api.accept(path, TABLE, fieldSelector=f"metadata.name={name}").json()
    titles = [column["name"] for column in table["columnDefinitions"]]
    return dict(zip(titles, table["rows"][0]["cells"], strict=True))


# The status of a pod's containers, and the word that kubectl shows for it.
POD_STATES: dict[str, tuple[dict[str, Any], str]] = {
    "waiting": ({"phase": "Pending"}, "Pending"),
    "running": ({"phase": "Running", "containerStatuses": [{"ready": True, "state": {"running": {}}}]}, "Running"),
    "crashing": (
        {"phase": "Running", "containerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}]},
        "CrashLoopBackOff",
    ),
    "failed": (
        {"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 2, "reason": "Error"}}}]},
        "Error",
    ),
    "failed without a word": (
        {"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 3}}}]},
        "ExitCode:3",
    ),
    "complete": (
        {
            "phase": "Succeeded",
            "containerStatuses": [{"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}],
        },
        "Completed",
    ),
    "initializing": (
        {"phase": "Pending", "initContainerStatuses": [{"state": {"waiting": {"reason": "PodInitializing"}}}]},
        "Init:0/1",
    ),
}


@pytest.mark.parametrize("state", POD_STATES)
def test_a_pods_row(api: Api, state: str) -> None:
    status, word = POD_STATES[state]
    name = "row-" + state.replace(" ", "-")
    spec: dict[str, Any] = {"containers": [CONTAINER]}
    if state == "initializing":
        spec["initContainers"] = [{"name": "i", "image": "busybox"}]
    api.post(f"{CORE}/pods", {"metadata": {"name": name}, "spec": spec})
    for kind in ("containerStatuses", "initContainerStatuses"):
        for one in status.get(kind, []):
            one.update({"name": "c", "image": "i", "imageID": "", "restartCount": 0, "ready": one.get("ready", False)})
    assert api.patch(f"{CORE}/pods/{name}/status", {"status": status}).status_code == 200
    cells = row(api, f"{CORE}/pods", name)
    assert cells["Status"] == word and cells["Ready"] == ("1/1" if word == "Running" else "0/1")


def test_rows_of_other_kinds(api: Api) -> None:
    api.post(JOBS, job("row", completions=2))
    status = {"succeeded": 2, "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:01:30Z"}
    conditions = [{"type": "Complete", "status": "True"}]
    api.patch(f"{JOBS}/row/status", {"status": {**status, "conditions": conditions}})
    cells = row(api, JOBS, "row")
    assert (cells["Status"], cells["Completions"], cells["Duration"]) == ("Complete", "2/2", "90s")
    assert (cells["Containers"], cells["Images"]) == ("c", "busybox")

    ports = {"spec": {"ports": [{"port": 80}, {"port": 53, "protocol": "UDP"}]}}
    api.post(f"{CORE}/services", {"metadata": {"name": "row"}, **ports})
    assert row(api, f"{CORE}/services", "row")["Port(s)"] == "80/TCP,53/UDP"
    assert row(api, "/api/v1/namespaces", "default")["Status"] == "Active"


class Diary:
    """A log source that says what it was asked."""

    def __init__(self) -> None:
        self.asked: list[LogQuery] = []

    async def stream(self, query: LogQuery) -> AsyncIterator[bytes]:
        self.asked.append(query)
        if query.previous:
            raise LookupError
        yield b"one\n"
        yield b"two\n"


async def test_logs_come_from_the_source() -> None:
    diary = Diary()
    async with serving(diary) as (_, url), httpx.AsyncClient(base_url=url) as http:
        spec = {"containers": [CONTAINER, {"name": "d", "image": "i"}]}
        pod = (await http.post(f"{CORE}/pods", json={"metadata": {"name": "p"}, "spec": spec})).json()
        path = f"{CORE}/pods/p/log"
        unnamed = await http.get(path)
        assert unnamed.status_code == 400
        assert unnamed.json()["message"] == ("a container name must be specified for pod p, choose one of: [c d]")
        early = await http.get(path, params={"container": "c"})
        assert early.status_code == 400 and "is waiting to start: ContainerCreating" in early.json()["message"]
        merge = {"Content-Type": "application/merge-patch+json"}
        await http.patch(f"{CORE}/pods/p/status", content='{"status": {"phase": "Running"}}', headers=merge)
        found = await http.get(path, params={"container": "c", "follow": "true", "tailLines": "5"})
        assert (found.status_code, found.text) == (200, "one\ntwo\n")
        assert diary.asked == [LogQuery("default", "p", pod["metadata"]["uid"], "c", True, 5, False)]
        unknown = await http.get(path, params={"container": "e"})
        assert unknown.json()["message"] == "container e is not valid for pod p"
        missing = await http.get(path, params={"container": "c", "previous": "true"})
        assert missing.status_code == 400 and 'previous terminated container "c"' in missing.json()["message"]


async def test_the_proxy_reaches_a_pods_port() -> None:
    async def hello(request: web.Request) -> web.Response:
        return web.Response(text=f"{request.method} {request.path_qs} {await request.text()}", headers={"X-Own": "1"})

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", hello)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.77", 0).start()
    port = runner.addresses[0][1]
    async with serving() as (_, url), httpx.AsyncClient(base_url=url) as http:
        await http.post(f"{CORE}/pods", json={"metadata": {"name": "p"}, "spec": {"containers": [CONTAINER]}})
        path = f"{CORE}/pods/p:{port}/proxy"
        without = await http.get(f"{path}/x")
        assert without.status_code == 503 and without.json()["reason"] == "ServiceUnavailable"
        merge = {"Content-Type": "application/merge-patch+json"}
        status = '{"status": {"podIP": "127.0.0.77"}}'
        await http.patch(f"{CORE}/pods/p/status", content=status, headers=merge)
        found = await http.post(f"{path}/a/b?c=d", content="body")
        assert (found.status_code, found.text, found.headers["X-Own"]) == (200, "POST /a/b?c=d body", "1")
        await runner.cleanup()
        assert (await http.get(f"{path}/x")).status_code == 503
