"""The chart on a real API server: every object is taken, and its roles let the operator do its work and no more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from reasoner_api import API_VERSION
from support.chart_values import RENDERINGS
from support.helm import CHART
from support.real import CRDS, Real
from support.release import Release, path_of

REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


def placed(values: dict[str, Any], real: Real) -> dict[str, Any]:
    """The values, the namespaces that they name being the test's."""
    return {**values, "watchNamespaces": [real.namespace]} if values.get("watchNamespaces") else values


@pytest.mark.parametrize("sentence", RENDERINGS)
async def test_every_object_is_taken(real: Real, sentence: str) -> None:
    await Release(real, placed(RENDERINGS[sentence], real)).apply(dryRun="All")


@pytest.mark.parametrize("sentence", RENDERINGS)
async def test_the_operators_pod_is_taken_where_the_strictest_policy_is_enforced(real: Real, sentence: str) -> None:
    enforced = {"pod-security.kubernetes.io/enforce": "restricted"}
    await real.merge(f"/api/v1/namespaces/{real.namespace}", {"metadata": {"labels": enforced}})
    release = Release(real, {**placed(RENDERINGS[sentence], real), "priorityClassName": ""})
    (deployment,) = (item for item in release.objects if item["kind"] == "Deployment")
    account = deployment["spec"]["template"]["spec"].get("serviceAccountName", "default")
    if account != "default":
        body = {"metadata": {"name": account}}
        await real.request("POST", real.path("v1", "serviceaccounts"), body)
    pod = {"apiVersion": "v1", "kind": "Pod", **deployment["spec"]["template"]}
    pod["metadata"] = {**pod["metadata"], "name": "operator"}
    status, answer = await real.request("POST", real.path("v1", "pods"), pod, dryRun="All", fieldValidation="Strict")
    assert status == 201, answer


#: What the service account may not do: (group, resource, verb).
FORBIDDEN = [
    ("", "secrets", "get"),
    ("", "secrets", "list"),
    ("", "pods/exec", "create"),
    ("", "pods/proxy", "get"),
    ("", "pods/log", "get"),
    ("", "pods", "delete"),
    ("", "configmaps", "update"),
    ("reasoner.dev", "grporuns", "patch"),
    ("reasoner.dev", "grporuns", "delete"),
    ("rbac.authorization.k8s.io", "roles", "create"),
]


async def test_the_account_may_do_nothing_that_the_operator_need_not(real: Real, release: Release) -> None:
    user = f"system:serviceaccount:{real.namespace}:reasoner-operator"

    async def allowed(group: str, resource: str, verb: str, namespace: str) -> bool:
        name, _, sub = resource.partition("/")
        attributes = {"group": group, "resource": name, "subresource": sub, "verb": verb, "namespace": namespace}
        body = {"spec": {"user": user, "resourceAttributes": attributes}}
        status, answer = await real.request("POST", REVIEWS, body)
        assert status == 201, answer
        return bool(answer["status"]["allowed"])

    for what in FORBIDDEN:
        assert not await allowed(*what, real.namespace), what
    assert await allowed("batch", "jobs", "create", real.namespace)
    assert not await allowed("batch", "jobs", "create", "default"), "it serves one namespace alone"


async def test_a_release_for_all_namespaces_serves_any(real: Real, tmp_path: Path) -> None:
    values = {"crds": {"install": False}, "rbac": {"aggregate": False}}
    async with Release(real, values).rights() as release, release.operator(tmp_path):
        path = await real.make("CurationJob", {"suspend": True})
        await real.condition(path, lambda one: one["reason"] in ("JobCreated", "Suspended"))


async def test_crds_of_an_earlier_version_are_upgraded_and_keep_what_there_is(real: Real) -> None:
    name = "curationjobs.reasoner.dev"
    (crd,) = (yaml.safe_load(path.read_text()) for path in (CHART / "files/crds").glob(f"{name}.yaml"))
    status, before = await real.request("PATCH", f"{CRDS}/{name}", _without_split(crd))
    assert status == 200, before
    path = await real.make("CurationJob", {"suspend": True})
    _, old = await real.request("GET", path)
    assert "split" not in old["spec"]
    upgrade = Release(real, {"rbac": {"create": False, "aggregate": False}})
    (own,) = (item for item in upgrade.objects if item["metadata"]["name"] == name)
    status, after = await real.request("PATCH", path_of(own), own)
    assert status == 200, after

    async def defaulted() -> bool:
        _, found = await real.request("GET", path)
        return "split" in found["spec"] and found["metadata"]["uid"] == old["metadata"]["uid"]

    await real.until(defaulted)


def _without_split(crd: dict[str, Any]) -> dict[str, Any]:
    """The CRD as it might have been before `spec.split`."""
    changed: dict[str, Any] = yaml.safe_load(yaml.safe_dump(crd))
    (version,) = changed["spec"]["versions"]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    del spec["properties"]["split"]
    kept = [rule for rule in spec.get("x-kubernetes-validations", []) if "split" not in rule["rule"]]
    spec["x-kubernetes-validations"] = kept
    return changed


@pytest.mark.parametrize("plural", ["curationjobs", "verifiertrainings", "grporuns"])
async def test_what_kubectl_get_shows(real: Real, plural: str) -> None:
    kinds = {"curationjobs": "CurationJob", "verifiertrainings": "VerifierTraining", "grporuns": "GRPORun"}
    await real.make(kinds[plural])
    table = await real.table(real.path(API_VERSION, plural))
    shown = [column["name"] for column in table["columnDefinitions"] if column["priority"] == 0]
    assert shown[:3] == ["Name", "Phase", "Progress"]
    assert shown[-1] == "Age"
