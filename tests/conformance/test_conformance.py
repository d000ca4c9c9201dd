"""What every client may expect of a Kubernetes API server, over plain HTTP: one sentence, one check."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from support.apiserver import APPLY, CRDS, INITIAL_EVENTS, JSON_PATCH, STRATEGIC
from support.conformance import Subject

Check = Callable[[Subject], None]
CHECKS: dict[str, Check] = {}


def check(sentence: str) -> Callable[[Check], Check]:
    def note(function: Check) -> Check:
        CHECKS[sentence] = function
        return function

    return note


def widget(name: str, spec: dict[str, Any] | None = None, **meta: Any) -> dict[str, Any]:
    return {
        "apiVersion": "demo.dev/v1",
        "kind": "Widget",
        "metadata": {"name": name, **meta},
        "spec": spec or {"a": 1},
    }


def make(api: Subject, name: str, spec: dict[str, Any] | None = None, **meta: Any) -> dict[str, Any]:
    response = api.post(api.widgets, widget(name, spec, **meta))
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


def gizmo(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "acme.dev/v1", "kind": "Gizmo", "metadata": {"name": name}, "spec": spec}


def names(api: Subject, **query: str) -> list[str]:
    return [item["metadata"]["name"] for item in api.get(api.widgets, **query).json()["items"]]


def revision(api: Subject) -> str:
    return str(api.get(api.widgets).json()["metadata"]["resourceVersion"])


@check("a create answers 201")
def _(api: Subject) -> None:
    assert api.post(api.widgets, widget("c1")).status_code == 201


@check("a create stamps uid, time, version, generation and namespace")
def _(api: Subject) -> None:
    wanted = {"uid", "creationTimestamp", "resourceVersion", "generation", "namespace"}
    assert wanted <= make(api, "c2")["metadata"].keys()


@check("generateName makes a fresh name each time")
def _(api: Subject) -> None:
    body = widget("x")
    body["metadata"] = {"generateName": "gen-"}
    first, second = (api.post(api.widgets, body).json()["metadata"]["name"] for _ in range(2))
    assert first.startswith("gen-") and second.startswith("gen-") and first != second


@check("a second create of a name is 409 AlreadyExists")
def _(api: Subject) -> None:
    make(api, "c3")
    response = api.post(api.widgets, widget("c3"))
    assert (response.status_code, response.json()["reason"]) == (409, "AlreadyExists")


@check("what is missing is 404 NotFound, with its name and kind")
def _(api: Subject) -> None:
    response = api.get(f"{api.widgets}/nope")
    assert (response.status_code, response.json()["reason"]) == (404, "NotFound")
    assert response.json()["details"] == {"name": "nope", "group": "demo.dev", "kind": "widgets"}
    assert response.json()["message"] == 'widgets.demo.dev "nope" not found'


@check("a create in a missing namespace is 404")
def _(api: Subject) -> None:
    assert api.post("/apis/demo.dev/v1/namespaces/ghost/widgets", widget("g")).status_code == 404


@check("a list has its kind and a numeric resourceVersion")
def _(api: Subject) -> None:
    found = api.get(api.widgets).json()
    assert found["kind"] == "WidgetList" and found["metadata"]["resourceVersion"].isdigit()


@check("an update changes the resourceVersion")
def _(api: Subject) -> None:
    before = make(api, "c4")["metadata"]["resourceVersion"]
    after = api.patch(f"{api.widgets}/c4", {"spec": {"a": 2}}).json()["metadata"]["resourceVersion"]
    assert int(after) > int(before)


@check("an update that changes nothing keeps the resourceVersion")
def _(api: Subject) -> None:
    before = make(api, "c4b")["metadata"]["resourceVersion"]
    assert api.patch(f"{api.widgets}/c4b", {"spec": {"a": 1}}).json()["metadata"]["resourceVersion"] == before


@check("the generation counts changes of the spec alone")
def _(api: Subject) -> None:
    make(api, "c5")
    path = f"{api.widgets}/c5"
    steps: list[tuple[str, dict[str, Any]]] = [
        (path, {"metadata": {"labels": {"x": "y"}}}),
        (path + "/status", {"status": {"ok": True}}),
        (path, {"spec": {"a": 9}}),
    ]
    seen = [api.patch(where, body).json()["metadata"]["generation"] for where, body in steps]
    assert seen == [1, 1, 2]


@check("a PUT replaces")
def _(api: Subject) -> None:
    obj = make(api, "c6")
    obj["spec"] = {"z": 1}
    response = api.put(f"{api.widgets}/c6", obj)
    assert (response.status_code, response.json()["spec"]) == (200, {"z": 1})


@check("a PUT with a stale resourceVersion is 409")
def _(api: Subject) -> None:
    obj = make(api, "c7")
    obj["metadata"]["resourceVersion"] = "1"
    response = api.put(f"{api.widgets}/c7", obj)
    assert (response.status_code, response.json()["reason"]) == (409, "Conflict")


@check("a PUT of a custom resource must name the version that it replaces")
def _(api: Subject) -> None:
    make(api, "c7b")
    response = api.put(f"{api.widgets}/c7b", widget("c7b"))
    assert response.status_code == 422 and "must be specified for an update" in response.text


@check("a merge patch with a stale resourceVersion is 409")
def _(api: Subject) -> None:
    make(api, "c8")
    body = {"metadata": {"resourceVersion": "1"}, "spec": {"a": 5}}
    assert api.patch(f"{api.widgets}/c8", body).status_code == 409


@check("null in a merge patch removes the field")
def _(api: Subject) -> None:
    make(api, "c9", {"a": 1, "b": 2})
    assert api.patch(f"{api.widgets}/c9", {"spec": {"b": None}}).json()["spec"] == {"a": 1}


@check("a merge patch may put a number where a map was")
def _(api: Subject) -> None:
    make(api, "c10", {"a": {"k": 1}})
    assert api.patch(f"{api.widgets}/c10", {"spec": {"a": 5}}).json()["spec"] == {"a": 5}


@check("a JSON patch is applied")
def _(api: Subject) -> None:
    make(api, "c11")
    response = api.patch(f"{api.widgets}/c11", [{"op": "replace", "path": "/spec/a", "value": 7}], JSON_PATCH)
    assert (response.status_code, response.json()["spec"]) == (200, {"a": 7})


@check("a JSON patch whose test fails is 422")
def _(api: Subject) -> None:
    make(api, "c12")
    response = api.patch(f"{api.widgets}/c12", [{"op": "test", "path": "/spec/a", "value": 3}], JSON_PATCH)
    assert response.status_code == 422


@check("a strategic merge patch merges containers by name")
def _(api: Subject) -> None:
    containers = [{"name": "x", "image": "i", "env": [{"name": "E", "value": "1"}]}, {"name": "y", "image": "j"}]
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": containers}}
    body = {"metadata": {"name": "d1"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}
    assert api.post(api.deployments, body).status_code == 201
    change = {"spec": {"template": {"spec": {"containers": [{"name": "x", "image": "i2"}]}}}}
    merged = api.patch(f"{api.deployments}/d1", change, STRATEGIC).json()["spec"]["template"]["spec"]["containers"]
    assert [(one["name"], one["image"]) for one in merged] == [("x", "i2"), ("y", "j")]
    assert merged[0]["env"] == [{"name": "E", "value": "1"}]


@check("a strategic merge patch of a custom resource is 415")
def _(api: Subject) -> None:
    make(api, "c13")
    assert api.patch(f"{api.widgets}/c13", {"spec": {"a": 2}}, STRATEGIC).status_code == 415


@check("server-side apply creates, from YAML")
def _(api: Subject) -> None:
    text = "apiVersion: demo.dev/v1\nkind: Widget\nmetadata:\n  name: ssa1\nspec:\n  a: 1\n"
    assert api.patch(f"{api.widgets}/ssa1", text, APPLY, fieldManager="t").status_code == 201


@check("server-side apply prunes what its manager dropped, and keeps managedFields")
def _(api: Subject) -> None:
    path = f"{api.widgets}/ssa2"
    api.apply(path, widget("ssa2", {"a": 1, "b": 2}))
    found = api.apply(path, widget("ssa2", {"a": 1})).json()
    assert found["spec"] == {"a": 1}
    assert [entry["operation"] for entry in found["metadata"]["managedFields"]] == ["Apply"]


@check("a patch of /status changes no spec")
def _(api: Subject) -> None:
    make(api, "s1")
    found = api.patch(f"{api.widgets}/s1/status", {"spec": {"a": 99}, "status": {"ok": True}}).json()
    assert (found["spec"], found["status"]) == ({"a": 1}, {"ok": True})


@check("a patch of the object changes no status")
def _(api: Subject) -> None:
    make(api, "s2")
    assert "status" not in api.patch(f"{api.widgets}/s2", {"status": {"ok": True}}).json()


@check("an object without finalizers is deleted at once")
def _(api: Subject) -> None:
    make(api, "d1")
    assert api.delete(f"{api.widgets}/d1").status_code == 200
    assert api.get(f"{api.widgets}/d1").status_code == 404


@check("an object with a finalizer stays, marked, until the finalizer is removed")
def _(api: Subject) -> None:
    make(api, "d2", finalizers=["x.dev/y"])
    api.delete(f"{api.widgets}/d2")
    assert api.get(f"{api.widgets}/d2").json()["metadata"]["deletionTimestamp"].endswith("Z")
    assert api.patch(f"{api.widgets}/d2", {"metadata": {"finalizers": None}}).status_code == 200
    assert api.get(f"{api.widgets}/d2").status_code == 404


@check("no finalizer can be added to an object that is being deleted")
def _(api: Subject) -> None:
    make(api, "d2b", finalizers=["x.dev/y"])
    api.delete(f"{api.widgets}/d2b")
    response = api.patch(f"{api.widgets}/d2b", {"metadata": {"finalizers": ["x.dev/y", "x.dev/z"]}})
    assert response.status_code == 422 and "no new finalizers can be added" in response.text
    # Else the namespace could never go.
    assert api.patch(f"{api.widgets}/d2b", {"metadata": {"finalizers": None}}).status_code == 200


@check("a delete of what is missing is 404")
def _(api: Subject) -> None:
    assert api.delete(f"{api.widgets}/none").status_code == 404


@check("a delete with another uid as precondition is 409")
def _(api: Subject) -> None:
    make(api, "d3")
    assert api.delete(f"{api.widgets}/d3", {"preconditions": {"uid": "zzz"}}).status_code == 409


@check("deletecollection obeys the label selector")
def _(api: Subject) -> None:
    make(api, "dc1", labels={"k": "dc"})
    make(api, "dc2", labels={"k": "other"})
    assert api.delete(api.widgets, labelSelector="k=dc").status_code == 200
    assert [api.get(f"{api.widgets}/{name}").status_code for name in ("dc1", "dc2")] == [404, 200]


@check("dependents are collected after their owner")
def _(api: Subject) -> None:
    uid = make(api, "own")["metadata"]["uid"]
    owner = {"apiVersion": "demo.dev/v1", "kind": "Widget", "name": "own", "uid": uid, "controller": True}
    make(api, "child", ownerReferences=[owner])
    api.delete(f"{api.widgets}/own")
    api.gone(f"{api.widgets}/child")


@check("lists obey label selectors")
def _(api: Subject) -> None:
    make(api, "l1", labels={"app": "x", "t": "a"})
    make(api, "l2", labels={"app": "y"})
    wanted = {
        "app=x": ["l1"],
        "app in (x,y)": ["l1", "l2"],
        "app,!t": ["l2"],
        "app notin (x),app": ["l2"],
        "app!=x,app": ["l2"],
    }
    assert {text: names(api, labelSelector=text) for text in wanted} == wanted


@check("lists obey a field selector on the name")
def _(api: Subject) -> None:
    make(api, "fs1")
    assert names(api, fieldSelector="metadata.name=fs1") == ["fs1"]


@check("lists come in pages")
def _(api: Subject) -> None:
    for name in ("page1", "page2", "page3"):
        make(api, name, labels={"page": "yes"})
    first = api.get(api.widgets, limit="2", labelSelector="page").json()
    token = first["metadata"]["continue"]
    second = api.get(api.widgets, limit="2", labelSelector="page", **{"continue": token}).json()
    assert [len(part["items"]) for part in (first, second)] == [2, 1]
    assert not second["metadata"].get("continue")


@check("namespaces are listed, created and read")
def _(api: Subject) -> None:
    name = f"{api.namespace}-2"
    assert api.post("/api/v1/namespaces", {"metadata": {"name": name}}).status_code == 201
    assert api.get(f"/api/v1/namespaces/{name}").json()["kind"] == "Namespace"
    listed = [one["metadata"]["name"] for one in api.get("/api/v1/namespaces").json()["items"]]
    assert {"default", "kube-system", name} <= set(listed)
    assert api.delete(f"/api/v1/namespaces/{name}").status_code == 200


@check("a watch from a list's version yields the new events alone")
def _(api: Subject) -> None:
    start = revision(api)
    make(api, "w1")
    assert api.changes_since(api.widgets, start) == [("ADDED", "w1")]


@check("a watch replays what happened since its version")
def _(api: Subject) -> None:
    make(api, "w2")
    start = revision(api)
    api.patch(f"{api.widgets}/w2", {"spec": {"a": 3}})
    api.delete(f"{api.widgets}/w2")
    assert api.changes_since(api.widgets, start) == [("MODIFIED", "w2"), ("DELETED", "w2")]


@check("a watch without a version begins with what there is")
def _(api: Subject) -> None:
    make(api, "w3")
    for spelling in ("True", "1", "true"):
        events = api.get(api.widgets, watch=spelling, timeoutSeconds=api.moment).text.splitlines()
        assert any('"ADDED"' in line and '"w3"' in line for line in events)


@check("an object that loses its label is deleted to a watch for that label")
def _(api: Subject) -> None:
    make(api, "wl1", labels={"sel": "1"})
    make(api, "wl2")
    start = revision(api)
    api.patch(f"{api.widgets}/wl2", {"spec": {"a": 4}})
    api.patch(f"{api.widgets}/wl1", {"spec": {"a": 4}})
    api.patch(f"{api.widgets}/wl1", {"metadata": {"labels": {"sel": None}}})
    seen = api.changes_since(api.widgets, start, labelSelector="sel=1")
    assert seen == [("MODIFIED", "wl1"), ("DELETED", "wl1")]


@check("a watch obeys a field selector on the name")
def _(api: Subject) -> None:
    make(api, "wf1")
    make(api, "wf2")
    start = revision(api)
    api.patch(f"{api.widgets}/wf2", {"spec": {"a": 6}})
    api.patch(f"{api.widgets}/wf1", {"spec": {"a": 6}})
    assert api.changes_since(api.widgets, start, fieldSelector="metadata.name=wf1") == [("MODIFIED", "wf1")]


@check("a watch ends after its timeoutSeconds")
def _(api: Subject) -> None:
    assert api.get(api.widgets, watch="true", timeoutSeconds=api.moment).status_code == 200


@check("a watch says by a bookmark, where asked, when all that there was has come")
def _(api: Subject) -> None:
    make(api, "wb1")
    events = list(api.watch(api.widgets, **INITIAL_EVENTS, timeoutSeconds=api.moment))
    mark = next(number for number, event in enumerate(events) if event["type"] == "BOOKMARK")
    assert {event["type"] for event in events[:mark]} == {"ADDED"}
    metadata = events[mark]["object"]["metadata"]
    assert metadata["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert metadata["resourceVersion"].isdigit()


@check("a watch from before the history is told 410 Expired")
def _(api: Subject) -> None:
    events = list(api.watch(api.widgets, resourceVersion="1", timeoutSeconds="1"))
    assert [(event["type"], event["object"]["code"]) for event in events] == [("ERROR", 410)]


@check("a watch over all namespaces sees the last state of what is deleted")
def _(api: Subject) -> None:
    make(api, "wd", {"a": 42})
    start = revision(api)
    api.delete(f"{api.widgets}/wd")
    events = list(api.watch("/apis/demo.dev/v1/widgets", resourceVersion=start, timeoutSeconds=api.moment))
    assert [(event["type"], event["object"]["spec"]) for event in events] == [("DELETED", {"a": 42})]
    assert int(events[0]["object"]["metadata"]["resourceVersion"]) > int(start)


@check("no event is lost between a list and the watch that follows it")
def _(api: Subject) -> None:
    for number in range(30):
        start, name = revision(api), f"race{number}"
        other = api.another()
        thread = threading.Thread(target=other.post, args=(api.widgets, widget(name)))
        thread.start()
        events = api.watch(api.widgets, resourceVersion=start, timeoutSeconds="5")
        assert next(events)["object"]["metadata"]["name"] == name
        events.close()  # type: ignore[attr-defined]
        thread.join()
        other.close()


@check("Event objects are created under generated names")
def _(api: Subject) -> None:
    about = {"kind": "Widget", "namespace": api.namespace, "name": "c1"}
    body = {"metadata": {"generateName": "ev-"}, "involvedObject": about, "message": "m", "reason": "r"}
    assert [api.post(api.events, body).status_code for _ in range(2)] == [201, 201]


@check("an unknown resource type is 404, read or written")
def _(api: Subject) -> None:
    path = api.path("zzz.dev/v1", "foos")
    assert (api.get(path).status_code, api.post(path, widget("q")).status_code) == (404, 404)


@check("a CRD is established and its type is served and discovered")
def _(api: Subject) -> None:
    crd = api.get(f"{CRDS}/gizmos.acme.dev").json()
    true = {one["type"] for one in crd["status"]["conditions"] if one["status"] == "True"}
    assert true == {"NamesAccepted", "Established"}
    found = api.get("/apis/acme.dev/v1").json()["resources"]
    assert {one["name"] for one in found} == {"gizmos", "gizmos/status"}
    assert api.get(api.gizmos).status_code == 200


@check("a custom resource that breaks its schema is 422")
def _(api: Subject) -> None:
    bad = [gizmo("bad", size="nope"), gizmo("bad", size=1, mode="q"), gizmo("bad"), gizmo("bad", size=0)]
    assert [api.post(api.gizmos, body).status_code for body in bad] == [422] * 4


@check("a custom resource gets its defaults")
def _(api: Subject) -> None:
    assert api.post(api.gizmos, gizmo("def", size=1)).json()["spec"] == {"size": 1, "color": "red"}


@check("unknown fields of a custom resource are pruned")
def _(api: Subject) -> None:
    assert "unknown" not in api.post(api.gizmos, gizmo("pr", size=1, unknown=1)).json()["spec"]


@check("a custom resource that breaks a CEL rule is 422")
def _(api: Subject) -> None:
    response = api.post(api.gizmos, gizmo("cel", size=1000))
    assert response.status_code == 422 and "too big" in response.text


@check("a name that is no DNS name is 422")
def _(api: Subject) -> None:
    body = {"metadata": {"name": "Bad_Name!"}}
    assert api.post(api.path("v1", "configmaps"), body).status_code == 422


@check("a list is a Table to who asks for one")
def _(api: Subject) -> None:
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    assert api.accept(api.widgets, accept).json()["kind"] == "Table"


@check("the core group is discovered as v1")
def _(api: Subject) -> None:
    found = api.get("/api/v1").json()
    assert found["groupVersion"] == "v1"
    assert {"namespaces", "pods/log", "pods/status"} <= {one["name"] for one in found["resources"]}


@check("discovery comes aggregated to who asks for that")
def _(api: Subject) -> None:
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    response = api.accept("/apis", accept)
    assert response.json()["kind"] == "APIGroupDiscoveryList"
    assert "as=APIGroupDiscoveryList" in response.headers["Content-Type"]


@check("OpenAPI is there, in both versions")
def _(api: Subject) -> None:
    assert [api.get(path).status_code for path in ("/openapi/v2", "/openapi/v3")] == [200, 200]
    document = api.get("/openapi/v3/apis/acme.dev/v1").json()
    assert "dev.acme.v1.Gizmo" in document["components"]["schemas"]


@check("a dry run stores nothing")
def _(api: Subject) -> None:
    assert api.post(api.widgets, widget("dry"), dryRun="All").status_code == 201
    assert api.get(f"{api.widgets}/dry").status_code == 404


@check("Deployments have a scale")
def _(api: Subject) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "x", "image": "i"}]}}
    body = {"metadata": {"name": "sc"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}
    api.post(api.deployments, body)
    assert api.patch(f"{api.deployments}/sc/scale", {"spec": {"replicas": 3}}).json()["kind"] == "Scale"
    assert api.get(f"{api.deployments}/sc").json()["spec"]["replicas"] == 3


@check("a SelfSubjectAccessReview is answered")
def _(api: Subject) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    response = api.post(path, {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}})
    assert (response.status_code, response.json()["status"]) == (201, {"allowed": True})


@check("a Secret's stringData becomes data")
def _(api: Subject) -> None:
    body = {"metadata": {"name": "sd"}, "stringData": {"a": "b"}}
    found = api.post(api.path("v1", "secrets"), body).json()
    assert (found["data"], found["type"], "stringData" in found) == ({"a": "Yg=="}, "Opaque", False)


@check("a body may be YAML")
def _(api: Subject) -> None:
    text = "apiVersion: demo.dev/v1\nkind: Widget\nmetadata: {name: yy}\nspec: {a: 1}\n"
    assert api.post(api.widgets, text, "application/yaml").status_code == 201


@check("a protobuf body that is not understood is 415")
def _(api: Subject) -> None:
    assert api.post(api.widgets, b"k8s\x00junk", "application/vnd.kubernetes.protobuf").status_code == 415


#: What the embedded server does better than the real one, which fails the check.
REAL_FAILS = {
    "a protobuf body that is not understood is 415": "Kubernetes 1.36 panics and closes the connection",
}


@pytest.mark.parametrize("sentence", CHECKS)
def test_the_server_keeps_its_promise(api: Subject, sentence: str, request: pytest.FixtureRequest) -> None:
    if not api.embedded and sentence in REAL_FAILS:
        request.applymarker(pytest.mark.xfail(reason=REAL_FAILS[sentence], strict=True))
    CHECKS[sentence](api)
