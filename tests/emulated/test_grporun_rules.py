"""What a GRPORun's own rules refuse, on the embedded API server with the generated CRD."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.apiserver import CRDS, Api, serving_in_thread

RUNS = "/apis/reasoner.dev/v1alpha1/namespaces/default/grporuns"


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    crd = yaml.safe_load((Path(__file__).parents[2] / "crds" / "grporuns.reasoner.dev.yaml").read_text())
    with serving_in_thread() as url:
        api = Api(url)
        assert api.post(CRDS, crd).status_code == 201
        yield api
        api.close()


def run(name: str, **spec: Any) -> dict[str, Any]:
    body = {
        "baseModel": "m",
        "storage": {"uri": "s3://bucket/runs"},
        "dataset": {"uri": "s3://bucket/dataset"},
        "verifier": {"rules": {}},
        **spec,
    }
    kind = {"apiVersion": "reasoner.dev/v1alpha1", "kind": "GRPORun"}
    return {**kind, "metadata": {"name": name}, "spec": body}


def benchmark(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "uri": f"s3://bucket/{name}.jsonl", **more}


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "two benchmarks of a name": (
        {"evaluation": {"benchmarks": [benchmark("aime"), benchmark("gpqa"), benchmark("aime")]}},
        'spec.evaluation: Invalid value: "object": names of benchmarks must differ',
    ),
    "samples without a temperature": (
        {"evaluation": {"benchmarks": [benchmark("aime", samples=32)]}},
        "several samples need a temperature above 0",
    ),
    "two terms of a name": (
        {"reward": {"terms": [{"name": "brevity"}, {"name": "brevity", "weight": 2}]}},
        'spec.reward: Invalid value: "object": names of terms must differ',
    ),
    "rules and an endpoint": (
        {"verifier": {"rules": {}, "endpoint": "http://v/v1", "model": "v"}},
        "set exactly one of verifierTrainingRef, endpoint and rules",
    ),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_refused(api: Api, sentence: str) -> None:
    spec, said = REFUSED[sentence]
    response = api.post(RUNS, run("bad", **spec))
    assert response.status_code == 422
    assert said in response.json()["message"]


def test_accepted(api: Api) -> None:
    spec = {
        "evaluation": {"benchmarks": [benchmark("aime", samples=32, temperature=1.0), benchmark("gpqa")]},
        "reward": {"terms": [{"name": "brevity"}, {"name": "overlong"}]},
    }
    response = api.post(RUNS, run("good", **spec))
    assert response.status_code == 201, response.text
