"""CustomResourceDefinitions: which ones are refused, and how custom resources are held to the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support.apiserver import CRDS, Api, custom_resource_definition, serving_in_thread

GROUP = "crds.dev"
ROOT = "spec.validation.openAPIV3Schema"
SPEC = f"{ROOT}.properties[spec]"
STRING = {"type": "string"}


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    with serving_in_thread() as url:
        client = Api(url)
        yield client
        client.close()


def crd(kind: str, spec: dict[str, Any], **version: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"spec": spec, "status": {"type": "object"}}}
    return custom_resource_definition(GROUP, kind, schema, **version)


def spec_of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def ruled(rule: str, **more: Any) -> dict[str, Any]:
    return {**spec_of(a=STRING), "x-kubernetes-validations": [{"rule": rule, **more}]}


A = f"{SPEC}.properties[a]"
RULE = f"{SPEC}.x-kubernetes-validations[0].rule"
# A spec's schema, and the path of its fault with words of the message.
REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "a field without a type": (spec_of(a={"description": "x"}), f"{A}.type", "must not be empty for specified object"),
    "array items without a type": (spec_of(a={"type": "array", "items": {}}), f"{A}.items.type", "array items"),
    "an array without items": (spec_of(a={"type": "array"}), f"{A}.items", "Required value"),
    "an unknown type": (spec_of(a={"type": "float"}), f"{A}.type", "Unsupported value"),
    "a null type": (spec_of(a={"type": "null"}), f"{A}.type", "nullable"),
    "a reference": (spec_of(a={**STRING, "$ref": "#/x"}), f"{A}.$ref", "not supported"),
    "unique items": (spec_of(a={"type": "array", "items": STRING, "uniqueItems": True}), f"{A}.uniqueItems", "quadr"),
    "a type inside anyOf": (spec_of(a={**STRING, "anyOf": [{"type": "string"}]}), f"{A}.anyOf[0].type", "structural"),
    "a description inside oneOf": (
        spec_of(a={**STRING, "oneOf": [{"description": "x"}, {"minLength": 1}]}),
        f"{A}.oneOf[0].description",
        "structural",
    ),
    "a property known to allOf alone": (
        {**spec_of(a=STRING), "allOf": [{"properties": {"b": {"minLength": 1}}}]},
        f"{SPEC}.properties[b]",
        "because it is defined in",
    ),
    "properties beside additionalProperties": (
        {**spec_of(a=STRING), "additionalProperties": STRING},
        f"{SPEC}.additionalProperties",
        "mutual exclusive",
    ),
    "additionalProperties false": (
        {"type": "object", "additionalProperties": False},
        f"{SPEC}.additionalProperties",
        "false",
    ),
    "a default of the wrong type": (spec_of(a={"type": "integer", "default": "x"}), f"{A}.default", "type integer"),
    "a default out of range": (
        spec_of(a={"type": "integer", "minimum": 3, "default": 1}),
        f"{A}.default",
        "greater than or equal to 3",
    ),
    "a default that breaks a rule": (
        spec_of(a={"type": "integer", "default": 1, "x-kubernetes-validations": [{"rule": "self > 1"}]}),
        f"{A}.default",
        "failed rule: self > 1",
    ),
    "a default that a rule reads more of than there is": (
        spec_of(
            a={
                "type": "object",
                "default": {"c": 1},
                "properties": {"b": {**STRING, "default": "x"}, "c": {"type": "integer"}},
                "x-kubernetes-validations": [{"rule": "self.b != ''", "message": "b is there"}],
            }
        ),
        f"{A}.default",
        "no such key: b evaluating rule: b is there",
    ),
    "a default with unknown fields": (
        spec_of(a={"type": "object", "properties": {"b": STRING}, "default": {"c": 1}}),
        f"{A}.default",
        "unknown fields",
    ),
    "a pattern with lookahead": (spec_of(a={**STRING, "pattern": "^(?!x)"}), f"{A}.pattern", "regular expression"),
    "a keyed list without keys": (
        spec_of(a={"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map"}),
        f"{A}.x-kubernetes-list-map-keys",
        "must not be empty",
    ),
    "a list key that is neither required nor defaulted": (
        spec_of(
            a={
                "type": "array",
                "items": spec_of(k=STRING),
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["k"],
            }
        ),
        f"{A}.items.properties[k].default",
        "must have a default or be a required property",
    ),
    "a rule with a syntax error": (ruled("self.a =="), RULE, "Syntax error"),
    "a rule on an unknown field": (ruled("self.b == 'x'"), RULE, "undefined field 'b'"),
    "a rule with an unknown function": (ruled("self.a.shout() == 'x'"), RULE, "undeclared reference to 'shout'"),
    "a rule with an unknown name": (ruled("other.a == 'x'"), RULE, "undeclared reference to 'other'"),
    "a rule that selects from list elements what they lack": (
        {
            **spec_of(a={"type": "array", "maxItems": 5, "items": spec_of(b=STRING)}),
            "x-kubernetes-validations": [{"rule": "self.a.all(x, x.c == 'x')"}],
        },
        RULE,
        "undefined field 'c'",
    ),
    "an empty rule": (ruled(" "), RULE, "rule is not specified"),
    "a field path that leads nowhere": (
        ruled("self.a == 'x'", fieldPath=".b"),
        f"{SPEC}.x-kubernetes-validations[0].fieldPath",
        "valid path",
    ),
    "a rule that may cost too much": (
        spec_of(
            a={"type": "array", "items": {**STRING, "x-kubernetes-validations": [{"rule": "self.matches('^a+$')"}]}}
        ),
        f"{A}.items.x-kubernetes-validations[0].rule",
        "exceeds budget",
    ),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_refused(api: Api, sentence: str) -> None:
    spec, path, words = REFUSED[sentence]
    response = api.post(CRDS, crd("Refused", spec), dryRun="All")
    assert response.status_code == 422, response.text
    causes = {cause["field"]: cause["message"] for cause in response.json()["details"]["causes"]}
    assert path in causes and words in causes[path], causes


ACCEPTED: dict[str, dict[str, Any]] = {
    "int or string, in its canonical form": spec_of(
        a={"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}
    ),
    "unknown fields, on demand": spec_of(a={"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
    "a rule with macros over a bounded list": {
        **spec_of(a={"type": "array", "maxItems": 9, "items": spec_of(b={**STRING, "maxLength": 9})}),
        "x-kubernetes-validations": [{"rule": "self.a.exists(x, has(x.b) && x.b.startsWith('q'))"}],
    },
    "a rule on a field whose name is a CEL word": {
        **spec_of(**{"in": STRING, "x-y": STRING}),
        "x-kubernetes-validations": [{"rule": "self.__in__ == self.x__dash__y"}],
    },
    "restrictions of values in anyOf": spec_of(a={**STRING, "anyOf": [{"pattern": "^a"}, {"maxLength": 1}]}),
    "required fields in oneOf": {**spec_of(a=STRING, b=STRING), "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
}


@pytest.mark.parametrize("sentence", ACCEPTED)
def test_accepted(api: Api, sentence: str) -> None:
    response = api.post(CRDS, crd("Accepted", ACCEPTED[sentence]), dryRun="All")
    assert response.status_code == 201, response.text


def test_keywords_that_the_api_does_not_have(api: Api) -> None:
    """`const` is unknown: an error to strict clients, dropped for the others; numeric limits are booleans here."""
    body = crd("Const", spec_of(a={**STRING, "const": "x"}))
    strict = api.post(CRDS, body, fieldValidation="Strict")
    assert strict.status_code == 400
    schema = "spec.versions[0].schema.openAPIV3Schema"
    assert f'unknown field "{schema}.properties.spec.properties.a.const"' in strict.json()["message"]
    numeric = crd("Limit", spec_of(a={"type": "array", "items": {"type": "integer", "exclusiveMinimum": 0}}))
    response = api.post(CRDS, numeric)
    assert response.status_code == 400 and "cannot unmarshal number" in response.json()["message"]


def test_names_and_root(api: Api) -> None:
    wrong = crd("Wrong", spec_of(a=STRING))
    wrong["metadata"]["name"] = "other.crds.dev"
    wrong["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["metadata"] = {
        "type": "object",
        "properties": {"labels": {"type": "object"}},
    }
    causes = {cause["field"]: cause["message"] for cause in api.post(CRDS, wrong).json()["details"]["causes"]}
    assert 'must be spec.names.plural+"."+spec.group' in causes["metadata.name"]
    assert "must not specify anything other than name and generateName" in causes[f"{ROOT}.properties[metadata]"]


@pytest.fixture(scope="module")
def tasks(api: Api) -> str:
    spec = {
        "type": "object",
        "required": ["source"],
        "properties": {
            "source": spec_of(uri={**STRING, "pattern": "^s3://", "maxLength": 20}),
            "shards": {"type": "integer", "minimum": 1, "maximum": 9, "default": 1},
            "ratio": {"type": "number", "default": 1},
            "mode": {**STRING, "enum": ["fast", "slow"]},
            "tags": {"type": "array", "items": STRING, "maxItems": 2, "x-kubernetes-list-type": "set"},
            "suspend": {"type": "boolean", "default": False},
            "nested": {"type": "object", "default": {}, "properties": {"deep": {"type": "integer", "default": 7}}},
            "until": {**STRING, "format": "date-time"},
            "steps": {
                "type": "array",
                "maxItems": 5,
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {"name": {**STRING, "maxLength": 9}, "size": {"type": "integer"}},
                    "x-kubernetes-validations": [
                        {"rule": "self.size >= oldSelf.size", "message": "a step never shrinks"},
                    ],
                },
            },
        },
        "x-kubernetes-validations": [
            {"rule": "self.source == oldSelf.source", "message": "source is immutable", "fieldPath": ".source"},
            {"rule": "self.ratio / 2.0 < 5.0", "messageExpression": "'ratio is ' + string(self.ratio)"},
            {"rule": "self.shards != 8"},
            {"rule": "self.mode != 'slow' || self.shards < 3", "reason": "FieldValueForbidden", "message": "too slow"},
        ],
    }
    body = crd("Task", {**spec})
    body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["required"] = ["spec"]
    assert api.post(CRDS, body).status_code == 201
    return f"/apis/{GROUP}/v1/namespaces/default/tasks"


def task(name: str, **spec: Any) -> dict[str, Any]:
    spec.setdefault("source", {"uri": "s3://a"})
    return {"apiVersion": f"{GROUP}/v1", "kind": "Task", "metadata": {"name": name}, "spec": spec}


# A task's spec, and what the server says of it.
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "below the minimum": (
        {"shards": 0},
        "spec.shards: Invalid value: 0: spec.shards in body should be greater than or equal to 1",
    ),
    "above the maximum": (
        {"shards": 10},
        "spec.shards: Invalid value: 10: spec.shards in body should be less than or equal to 9",
    ),
    "of another type": (
        {"shards": "two"},
        'spec.shards: Invalid value: "string": spec.shards in body must be of type integer: "string"',
    ),
    "not in the enumeration": (
        {"mode": "medium"},
        'spec.mode: Unsupported value: "medium": supported values: "fast", "slow"',
    ),
    "not of the pattern": (
        {"source": {"uri": "ftp://a"}},
        "spec.source.uri: Invalid value: \"ftp://a\": spec.source.uri in body should match '^s3://'",
    ),
    "too long": ({"source": {"uri": "s3://" + "a" * 30}}, "spec.source.uri: Too long: may not be more than 20 bytes"),
    "too many": ({"tags": ["a", "b", "c"]}, "spec.tags: Too many: 3: must have at most 2 items"),
    "twice in a set": ({"tags": ["a", "a"]}, 'spec.tags[1]: Duplicate value: "a"'),
    "twice in a keyed list": (
        {"steps": [{"name": "x", "size": 1}, {"name": "x", "size": 2}]},
        'spec.steps[1]: Duplicate value: {"name":"x"}',
    ),
    "no time": ({"until": "soon"}, 'spec.until in body must be of type date-time: "soon"'),
    "against a rule with a message of its own making": ({"ratio": 12}, 'spec: Invalid value: "object": ratio is 12'),
    "against a rule without a message": ({"shards": 8}, "failed rule: self.shards != 8"),
    "against a rule with a reason": ({"mode": "slow", "shards": 5}, "spec: Forbidden: too slow"),
}


@pytest.mark.parametrize("sentence", FAULTS)
def test_fault(api: Api, tasks: str, sentence: str) -> None:
    spec, said = FAULTS[sentence]
    response = api.post(tasks, task("bad", **spec))
    assert response.status_code == 422
    assert response.json()["message"].startswith(f'Task.{GROUP} "bad" is invalid: ')
    assert said in response.json()["message"]


def test_rules_wait_until_the_shape_is_right(api: Api, tasks: str) -> None:
    body = task("shape", shards=8)
    del body["spec"]["source"]
    message = api.post(tasks, body).json()["message"]
    assert "spec.source: Required value" in message and "some validation rules were not checked" in message
    assert "failed rule" not in message


def test_defaults_reach_into_defaults(api: Api, tasks: str) -> None:
    made = api.post(tasks, task("defaults", ratio=None)).json()["spec"]
    assert (made["shards"], made["ratio"], made["suspend"], made["nested"]) == (1, 1, False, {"deep": 7})


def test_transition_rules_compare_with_the_former_value(api: Api, tasks: str) -> None:
    assert api.post(tasks, task("fixed", steps=[{"name": "x", "size": 3}])).status_code == 201
    path = f"{tasks}/fixed"
    refused = api.patch(path, {"spec": {"source": {"uri": "s3://b"}}})
    assert refused.status_code == 422
    assert 'spec.source: Invalid value: "object": source is immutable' in refused.json()["message"]
    assert api.patch(path, {"spec": {"suspend": True}}).status_code == 200
    # The element is known by its key, wherever it stands; a new one has no former value.
    grown = [{"name": "new", "size": 0}, {"name": "x", "size": 4}]
    assert api.patch(path, {"spec": {"steps": grown}}).status_code == 200
    shrunk = api.patch(path, {"spec": {"steps": [{"name": "x", "size": 1}]}})
    assert shrunk.status_code == 422 and "spec.steps[0]" in shrunk.text and "a step never shrinks" in shrunk.text


def test_a_rule_that_cannot_be_evaluated_refuses(api: Api) -> None:
    spec = {
        **spec_of(a=STRING, b=STRING),
        "x-kubernetes-validations": [{"rule": "self.a == oldSelf.a", "message": "a is immutable"}],
    }
    assert api.post(CRDS, crd("Partial", spec)).status_code == 201
    path = f"/apis/{GROUP}/v1/namespaces/default/partials"
    body = {"metadata": {"name": "p"}, "spec": {"b": "x"}}
    assert api.post(path, body).status_code == 201
    response = api.patch(f"{path}/p", {"spec": {"b": "y"}})
    assert response.status_code == 422
    assert 'spec: Invalid value: "object": no such key: a evaluating rule: a is immutable' in response.text.replace(
        "\\", ""
    )


def test_misspelt_fields_are_named(api: Api, tasks: str) -> None:
    body = task("misspelt", sourc="x", steps=[{"name": "a", "sise": 1}])
    strict = api.post(tasks, body, fieldValidation="Strict")
    assert strict.status_code == 400
    assert strict.json()["message"] == (
        'Task in version "v1" cannot be handled as a Task: strict decoding error: '
        'unknown field "spec.sourc", unknown field "spec.steps[0].sise"'
    )
    warned = api.post(tasks, body)
    assert warned.status_code == 201
    assert warned.headers.get_list("Warning")[0] == '299 - "unknown field \\"spec.sourc\\""'
    patched = api.patch(f"{tasks}/misspelt", {"spec": {"sourc": 1}}, fieldValidation="Strict")
    assert patched.status_code == 422
    assert 'strict decoding error: unknown field "spec.sourc"' in patched.json()["message"]
    applied = api.apply(f"{tasks}/misspelt", task("misspelt", sourc="x"))
    assert applied.status_code == 500 and ".spec.sourc: field not declared in schema" in applied.json()["message"]


def test_what_an_update_leaves_alone_is_not_held_to_a_tighter_schema(api: Api) -> None:
    path = f"/apis/{GROUP}/v1/namespaces/default/ratchets"
    assert api.post(CRDS, crd("Ratchet", spec_of(a=STRING, b=STRING))).status_code == 201
    assert api.post(path, {"metadata": {"name": "r"}, "spec": {"a": "long", "b": "x"}}).status_code == 201
    tighter = crd("Ratchet", spec_of(a={**STRING, "maxLength": 2}, b=STRING))["spec"]["versions"]
    assert api.patch(f"{CRDS}/ratchets.{GROUP}", {"spec": {"versions": tighter}}).status_code == 200
    assert api.patch(f"{path}/r", {"spec": {"b": "y"}}).status_code == 200
    assert api.patch(f"{path}/r", {"spec": {"a": "longer"}}).status_code == 422


def test_printer_columns(api: Api) -> None:
    columns = [
        {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
        {"name": "Rows", "type": "integer", "jsonPath": ".spec.rows", "priority": 1},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    spec = spec_of(rows={"type": "integer"})
    body = crd("Shown", spec, additionalPrinterColumns=columns)
    condition = spec_of(type=STRING, status=STRING)
    body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"] = spec_of(
        conditions={"type": "array", "items": condition}
    )
    assert api.post(CRDS, body).status_code == 201
    path = f"/apis/{GROUP}/v1/namespaces/default/showns"
    api.post(path, {"metadata": {"name": "s"}, "spec": {"rows": 3}})
    conditions = [{"type": "Stalled", "status": "False"}, {"type": "Ready", "status": "True"}]
    assert api.patch(f"{path}/s/status", {"status": {"conditions": conditions}}).status_code == 200
    table = api.accept(path, "application/json;as=Table;v=v1;g=meta.k8s.io").json()
    assert [(one["name"], one["priority"]) for one in table["columnDefinitions"]] == [
        ("Name", 0),
        ("Ready", 0),
        ("Rows", 1),
        ("Age", 0),
    ]
    *cells, age = table["rows"][0]["cells"]
    assert cells == ["s", "True", 3] and age.endswith("s")


def test_a_crd_takes_its_objects_with_it(api: Api) -> None:
    path = f"/apis/{GROUP}/v1/namespaces/default/shorts"
    assert api.post(CRDS, crd("Short", spec_of(a=STRING))).status_code == 201
    assert api.post(path, {"metadata": {"name": "s", "finalizers": ["x.dev/y"]}}).status_code == 201
    api.delete(f"{CRDS}/shorts.{GROUP}")
    held = api.get(f"{CRDS}/shorts.{GROUP}").json()["metadata"]
    assert held["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    assert api.patch(f"{path}/s", {"metadata": {"finalizers": []}}).status_code == 200
    api.gone(f"{CRDS}/shorts.{GROUP}")
    assert api.get(path).status_code == 404


def test_fields_can_be_selected_by_where_the_crd_or_kubernetes_says_so(api: Api) -> None:
    made = crd("Chosen", spec_of(colour=STRING, size=STRING), selectableFields=[{"jsonPath": ".spec.colour"}])
    assert api.post(CRDS, made).status_code == 201
    path = f"/apis/{GROUP}/v1/namespaces/default/chosens"
    for name, colour in (("a", "red"), ("b", "blue")):
        body = {"apiVersion": f"{GROUP}/v1", "kind": "Chosen", "metadata": {"name": name}, "spec": {"colour": colour}}
        assert api.post(path, body).status_code == 201
    found = api.get(path, fieldSelector="spec.colour=blue").json()["items"]
    assert [item["metadata"]["name"] for item in found] == ["b"]
    for refused in (path, "/api/v1/namespaces/default/pods"):
        answer = api.get(refused, fieldSelector="spec.size=big")
        assert (answer.status_code, answer.json()["message"]) == (400, "field label not supported: spec.size")
    assert api.get("/api/v1/pods", fieldSelector="spec.nodeName=local,status.phase!=Failed").status_code == 200
