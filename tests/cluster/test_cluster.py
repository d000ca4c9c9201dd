"""What only a real API server can say of the CRDs and of the manifests, and the operator at work on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from reasoner_api import API_VERSION
from reasoner_api.crd import KINDS
from reasoner_operator.plan import plan
from reasoner_operator.plan.references import keys
from reasoner_operator.seen import Seen
from reasoner_operator.settings import Settings
from support.objects import DIGEST, NOW, ready
from support.real import Real

#: What a curation job and a verifier that are Ready say of themselves.
PUBLISHED = {
    "artifacts": {name: {"uri": "s3://models/a", "digest": DIGEST} for name in ("dataset", "verifierData", "model")},
    "endpoint": "http://judge-verifier-aaaaaaaa.team-a.svc:8000/v1",
    "servedModel": "judge@aaaaaaaaaaaa",
    "readyReplicas": 1,
}
MANIFESTS = Path(__file__).parents[1] / "unit" / "manifests"


@pytest.mark.parametrize("kind", KINDS)
async def test_crds_are_accepted_without_a_complaint(real: Real, kind: str) -> None:
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{KINDS[kind].crd_name}"
    _, crd = await real.request("GET", path)
    conditions = {item["type"]: item["status"] for item in crd["status"]["conditions"]}
    assert (conditions["NamesAccepted"], conditions["Established"]) == ("True", "True")
    assert conditions.get("NonStructuralSchema", "False") == "False"


#: What the unit tests hold the plans to.
PLANNED = {path.stem: list(yaml.safe_load_all(path.read_text())) for path in sorted(MANIFESTS.glob("*.yaml"))}
#: Kinds of other operators, which a cluster need not have.
OTHERS = ("ScaledObject",)


@pytest.mark.parametrize("case", PLANNED)
async def test_every_planned_manifest_is_accepted(real: Real, case: str) -> None:
    for manifest in (one for one in PLANNED[case] if one["kind"] not in OTHERS):
        status, answer = await real.dry_run(manifest)
        assert status == 201, answer["message"]


SAMPLES = Path(__file__).parents[2] / "crds" / "samples"
#: Each sample, the paper's recipes among them, and its recipes on other shapes of cluster.
RECIPES: dict[str, dict[str, Any]] = {
    str(path.relative_to(SAMPLES)): yaml.safe_load(path.read_text()) for path in sorted(SAMPLES.rglob("*.yaml"))
}


def on_other_nodes(sample: str, **fields: Any) -> dict[str, Any]:
    return {**RECIPES[sample], "spec": {**RECIPES[sample]["spec"], **fields}}


RECIPES |= {
    "the paper's 7B run, three nodes that train and one that rolls out": on_other_nodes(
        "paper/grpo-7b.yaml", rollout={"engine": "vllm", "mode": "server"}
    ),
    "the paper's verifier on four nodes": on_other_nodes(
        "paper/verifier-1.5b.yaml", compute={"nodes": 4, "gpusPerNode": 8}
    ),
}


@pytest.mark.parametrize("case", RECIPES)
async def test_every_recipe_and_what_is_planned_of_it_are_accepted(real: Real, case: str) -> None:
    sample = RECIPES[case]
    where = real.path(API_VERSION, KINDS[sample["kind"]].plural)
    status, admitted = await real.request("POST", where, sample, dryRun="All", fieldValidation="Strict")
    assert status == 201, admitted["message"]
    made = planned(admitted)
    for manifest in made:
        status, answer = await real.dry_run(manifest)
        assert status == 201, answer["message"]
    # The API server looks closer at a pod than at the template of one.
    pod = {"apiVersion": "v1", "kind": "Pod", **made[-1]["spec"]["template"]}
    pod["metadata"] = {**pod["metadata"], "name": "first"}
    status, answer = await real.request("POST", real.path("v1", "pods"), pod, dryRun="All", fieldValidation="Strict")
    assert status == 201, answer["message"]


def planned(obj: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """What the operator makes of an object once all that it refers to is Ready."""
    found = Seen(kind=KINDS[obj["kind"]], obj=obj)
    wanted = keys(found.kind.spec.model_validate(obj["spec"]), found.namespace)
    references = {key: ready(key.kind, key.name, PUBLISHED) for key in wanted}
    made = plan(replace(found, references=references), Settings(), NOW)
    assert [item["kind"] for item in made.apply][-1:] == ["Job"], made.status
    return made.apply


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "a misspelt field": ("CurationJob", {"shard": 2}, 'unknown field "spec.shard"'),
    "a misspelt field deep down": (
        "GRPORun",
        {"grpo": {"learning_rate": 1}},
        'unknown field "spec.grpo.learning_rate"',
    ),
    "a number out of range": ("CurationJob", {"shards": 0}, "spec.shards: Invalid value: 0"),
    "a word that is none of the choices": (
        "GRPORun",
        {"rollout": {"mode": "x"}},
        "spec.rollout.mode: Unsupported value",
    ),
    "a wrong address": ("CurationJob", {"storage": {"uri": "http://x"}}, "spec.storage.uri: Invalid value"),
    "more pods than shards": ("CurationJob", {"parallelism": 9}, "parallelism may not be greater than shards"),
    "filters that contradict each other": (
        "CurationJob",
        {"filters": {"candidates": 4}},
        "spec.filters: Invalid value: maxCorrect may not be greater than candidates",
    ),
    "two verifiers": ("GRPORun", {"verifier": {"rules": {}, "endpoint": "http://x", "model": "m"}}, "spec.verifier: "),
    "no dataset": ("VerifierTraining", {"dataset": {}}, "set exactly one of curationJobRef and uri"),
}


@pytest.mark.parametrize("sentence", REFUSED)
async def test_a_bad_spec_is_refused_with_its_path(real: Real, sentence: str) -> None:
    kind, spec, says = REFUSED[sentence]
    status, answer = await real.create(kind, spec, dryRun="All")
    assert status in (400, 422)
    assert says in answer["message"].replace('"object": ', "")


async def test_an_edit_of_an_immutable_field_is_refused_and_one_of_a_mutable_field_is_not(real: Real) -> None:
    status, answer = await real.create("CurationJob")
    assert status == 201, answer["message"]
    path = real.path(API_VERSION, "curationjobs", "demo")
    status, answer = await real.request("PATCH", path, real.manifest("CurationJob", {"shards": 4}))
    assert status == 422
    assert "spec.shards: Invalid value" in answer["message"]
    assert "shards is immutable" in answer["message"]
    status, answer = await real.request("PATCH", path, real.manifest("CurationJob", {"suspend": True}))
    assert status == 200, answer["message"]


@pytest.mark.usefixtures("operator")
async def test_an_object_gets_its_job_and_takes_it_along_when_it_goes(real: Real) -> None:
    # Suspended, so that nothing depends on images.
    await real.create("CurationJob", {"suspend": True})
    path = real.path(API_VERSION, "curationjobs", "demo")

    async def suspended() -> dict[str, Any] | None:
        _, found = await real.request("GET", path)
        status: dict[str, Any] = found.get("status", {})
        return status if status.get("phase") == "Suspended" and status.get("startTime") is None else None

    status = await real.until(suspended)
    assert status is not None
    assert sorted(await real.children()) == [f"ConfigMap/{status['job']}", f"Job/{status['job']}"]
    _, events = await real.request("GET", real.path("v1", "events"))
    assert "JobCreated" in {item["reason"] for item in events["items"] if item["involvedObject"]["name"] == "demo"}

    await real.request("DELETE", path)

    async def gone() -> bool:
        return await real.children() == []

    await real.until(gone)
