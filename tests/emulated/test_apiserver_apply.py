"""Server-side apply and managedFields: who owns what, and what happens when two want the same field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support.apiserver import APPLY, CRDS, Api, custom_resource_definition, serving_in_thread

GROUP = "apply.dev"
PLANS = f"/apis/{GROUP}/v1/namespaces/default/plans"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
SERVICES = "/api/v1/namespaces/default/services"
TEXT = {"type": "string"}


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    steps = {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
        "items": {"type": "object", "required": ["name"], "properties": {"name": TEXT, "run": TEXT, "on": TEXT}},
    }
    spec = {
        "type": "object",
        "properties": {
            "title": TEXT,
            "owner": TEXT,
            "steps": steps,
            "tags": {"type": "array", "items": TEXT, "x-kubernetes-list-type": "set"},
            "args": {"type": "array", "items": TEXT},
            "where": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": TEXT},
        },
    }
    status = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {"spec": spec, "status": status}}
    with serving_in_thread() as url:
        client = Api(url)
        assert client.post(CRDS, custom_resource_definition(GROUP, "Plan", schema)).status_code == 201
        yield client
        client.close()


def plan(name: str, meta: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": f"{GROUP}/v1", "kind": "Plan", "metadata": {"name": name, **(meta or {})}, "spec": spec}


def managers(obj: dict[str, Any]) -> dict[str, Any]:
    return {entry["manager"]: entry["fieldsV1"].get("f:spec") for entry in obj["metadata"]["managedFields"]}


def test_two_managers_share_an_object(api: Api) -> None:
    path = f"{PLANS}/shared"
    assert api.apply(path, plan("shared", title="a", args=["x"]), "ann").status_code == 201
    found = api.apply(path, plan("shared", owner="b"), "bob").json()
    assert found["spec"] == {"title": "a", "args": ["x"], "owner": "b"}
    assert managers(found) == {"ann": {"f:title": {}, "f:args": {}}, "bob": {"f:owner": {}}}


def test_a_conflict_names_the_manager_and_the_field(api: Api) -> None:
    path = f"{PLANS}/contested"
    api.apply(path, plan("contested", title="a", steps=[{"name": "s", "run": "x"}]), "ann")
    refused = api.apply(path, plan("contested", title="b", steps=[{"name": "s", "run": "y"}]), "bob")
    assert refused.status_code == 409
    assert refused.json()["message"] == (
        'Apply failed with 2 conflicts: conflict with "ann": .spec.steps[name="s"].run; '
        'conflict with "ann": .spec.title'
    )
    forced = api.apply(path, plan("contested", title="b"), "bob", force="true").json()
    assert forced["spec"]["title"] == "b"
    assert "f:title" not in managers(forced)["ann"] and managers(forced)["bob"] == {"f:title": {}}


def test_the_same_value_is_no_conflict_and_is_owned_by_both(api: Api) -> None:
    path = f"{PLANS}/agreed"
    api.apply(path, plan("agreed", title="a"), "ann")
    assert api.apply(path, plan("agreed", title="a"), "bob").status_code == 200
    # What ann drops stays for as long as bob wants it.
    assert api.apply(path, plan("agreed"), "ann").json()["spec"] == {"title": "a"}
    assert "title" not in api.apply(path, plan("agreed"), "bob").json().get("spec", {})


def test_a_second_apply_of_the_same_changes_nothing(api: Api) -> None:
    path, body = f"{PLANS}/again", plan("again", title="a", tags=["x"], where={"a": "b"})
    first = api.apply(path, body).json()
    assert api.apply(path, body).json() == first


def test_a_plain_write_takes_fields_over(api: Api) -> None:
    path = f"{PLANS}/edited"
    api.apply(path, plan("edited", title="a", owner="a"), "ann")
    api.patch(path, {"spec": {"title": "b"}}, fieldManager="editor")
    refused = api.apply(path, plan("edited", title="a", owner="a"), "ann")
    assert refused.status_code == 409 and 'conflict with "editor": .spec.title' in refused.text.replace("\\", "")


def test_keyed_lists_are_merged_by_element(api: Api) -> None:
    path = f"{PLANS}/keyed"
    api.apply(path, plan("keyed", steps=[{"name": "one", "run": "1"}, {"name": "two", "run": "2"}]), "ann")
    found = api.apply(path, plan("keyed", steps=[{"name": "three"}, {"name": "two", "on": "x"}]), "bob").json()
    assert found["spec"]["steps"] == [
        {"name": "one", "run": "1"},
        {"name": "two", "run": "2", "on": "x"},
        {"name": "three"},
    ]
    # ann gives up both: `one` goes, `two` stays for bob, without what ann had set in it.
    left = api.apply(path, plan("keyed"), "ann").json()
    assert left["spec"]["steps"] == [{"name": "two", "on": "x"}, {"name": "three"}]
    element = managers(left)["bob"]["f:steps"]['k:{"name":"two"}']
    assert element == {".": {}, "f:name": {}, "f:on": {}}


def test_sets_are_united_atomic_values_replaced(api: Api) -> None:
    path = f"{PLANS}/sets"
    api.apply(path, plan("sets", tags=["a", "b"], where={"x": "1"}, args=["1"]), "ann")
    found = api.apply(path, plan("sets", tags=["b", "c"]), "bob").json()
    assert found["spec"]["tags"] == ["a", "b", "c"]
    assert api.apply(path, plan("sets", tags=["a"], where={"y": "2"}, args=["1"]), "ann").json()["spec"] == {
        "tags": ["a", "b", "c"],
        "where": {"y": "2"},
        "args": ["1"],
    }
    assert api.apply(path, plan("sets", where={"z": "3"}), "bob").status_code == 409


def test_labels_annotations_and_owners_are_applied(api: Api) -> None:
    path = f"{PLANS}/meta"
    made = api.apply(path, plan("meta", {"labels": {"a": "1", "b": "2"}, "annotations": {"x": "y"}}), "ann").json()
    assert made["metadata"]["labels"] == {"a": "1", "b": "2"}
    api.patch(path, {"metadata": {"labels": {"c": "3"}}})
    found = api.apply(path, plan("meta", {"labels": {"a": "1"}}), "ann").json()["metadata"]
    assert found["labels"] == {"a": "1", "c": "3"} and "annotations" not in found


def test_status_is_applied_apart(api: Api) -> None:
    path = f"{PLANS}/status"
    api.apply(path, plan("status", title="a"), "ann")
    body = {**plan("status", title="other"), "status": {"phase": "Running"}}
    found = api.patch(f"{path}/status", body, APPLY, fieldManager="ann").json()
    assert (found["spec"], found["status"]) == ({"title": "a"}, {"phase": "Running"})
    entries = {entry.get("subresource", ""): entry["fieldsV1"] for entry in found["metadata"]["managedFields"]}
    assert entries["status"] == {"f:status": {"f:phase": {}}}
    # An apply of the spec alone leaves the status, whose entry is another.
    assert api.apply(path, plan("status", title="a"), "ann").json()["status"] == {"phase": "Running"}


def test_a_manager_must_be_named(api: Api) -> None:
    assert api.patch(f"{PLANS}/nobody", plan("nobody"), APPLY).status_code == 400


def test_an_apply_may_insist_on_a_version(api: Api) -> None:
    path = f"{PLANS}/versioned"
    api.apply(path, plan("versioned", title="a"))
    stale = plan("versioned", {"resourceVersion": "1"}, title="b")
    assert api.apply(path, stale).status_code == 409


def test_built_in_lists_have_their_keys(api: Api) -> None:
    """A container's environment by name, a Service's ports by port and protocol, whose default is TCP."""
    spec = {"containers": [{"name": "a", "image": "i", "env": [{"name": "X", "value": "1"}]}]}
    labels = {"matchLabels": {"a": "b"}}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": spec}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"selector": labels, "template": template}}
    path = f"{DEPLOYMENTS}/keys"
    assert api.apply(path, body, "ann").status_code == 201
    extra = {"containers": [{"name": "a", "env": [{"name": "Y", "value": "2"}]}]}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": {"spec": extra}}}
    found = api.apply(path, body, "bob").json()["spec"]["template"]["spec"]["containers"]
    assert [one["env"] for one in found] == [[{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]]

    service = {"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 80, "name": "web"}]}}
    assert api.apply(f"{SERVICES}/keys", service, "ann").status_code == 201
    assert api.apply(f"{SERVICES}/keys", service, "ann").status_code == 200
    ports = api.get(f"{SERVICES}/keys").json()["spec"]["ports"]
    assert ports == [{"port": 80, "name": "web", "protocol": "TCP", "targetPort": 80}]


def test_what_looks_like_a_date_in_yaml_is_text(api: Api) -> None:
    head = f"apiVersion: {GROUP}/v1\nkind: Plan\nmetadata: {{name: dated}}\n"
    body = head + "spec: {title: 2026-01-31, args: [2026-01-31T10:00:00Z]}\n"
    made = api.apply(f"{PLANS}/dated", body)
    assert made.json()["spec"] == {"title": "2026-01-31", "args": ["2026-01-31T10:00:00Z"]}
