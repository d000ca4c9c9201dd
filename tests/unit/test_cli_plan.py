"""`reasoner plan`: what a file will take, without a cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from reasoner_operator.cli import app

SAMPLES = Path(__file__).parents[2] / "crds" / "samples"
MODEL = {"baseURL": "http://teacher/v1", "model": "m", "price": {"inputPerMillion": 1, "outputPerMillion": 2}}
SPEC = {"source": {"uri": "file:///rows"}, "models": {"extractor": MODEL}, "storage": {"uri": "file:///out"}}


def plan(path: Path, *options: str) -> tuple[int, list[dict[str, Any]]]:
    result = CliRunner().invoke(app, ["plan", str(path), "-o", "json", *options])
    assert result.exit_code in (0, 1), result.output
    return result.exit_code, json.loads(result.stdout)


def write(folder: Path, **spec: Any) -> Path:
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump({"kind": "CurationJob", "metadata": {"name": "web"}, "spec": {**SPEC, **spec}}))
    return path


def test_the_papers_7b_run_by_its_own_arithmetic() -> None:
    (found,) = plan(SAMPLES / "paper" / "grpo-7b.yaml")[1]
    facts = found["facts"]
    assert facts["completionsAGeneration"] == facts["completionsAStep"] * facts["optimizerStepsAGeneration"]
    assert facts["generations"] == 700
    assert facts["hours"] == pytest.approx(48, abs=1)


def test_a_rollout_servers_node_trains_nothing(tmp_path: Path) -> None:
    sample = SAMPLES / "paper" / "grpo-7b-server.yaml"
    facts = plan(sample)[1][0]["facts"]
    assert (facts["pods"], facts["gpus"], facts["processes"]) == (4, 32, 24)
    assert (facts["completionsAStep"], facts["completionsAGeneration"]) == (2112, 8448)

    obj = yaml.safe_load(sample.read_text())
    obj["spec"]["rollout"]["tensorParallelSize"] = 3
    obj["spec"]["compute"]["nodes"] = 1
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(obj))
    code, (found,) = plan(path)
    assert code == 1
    assert [warning.partition(":")[0] for warning in found["warnings"]] == [
        "rollout.mode",
        "rollout.tensorParallelSize",
    ]


def test_a_dataset_too_small_for_a_generation_shows() -> None:
    sample = SAMPLES / "paper" / "grpo-7b.yaml"
    assert plan(sample, "--rows", "1024")[0] == 0
    code, (found,) = plan(sample, "--rows", "1000")
    said = "dataset: 1000 questions are fewer than the 1024 that a generation asks at a time"
    assert (code, found["warnings"]) == (1, [said])


@pytest.mark.parametrize("path", sorted(SAMPLES.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_sample_has_a_plan_as_tables_and_as_json(path: Path) -> None:
    assert plan(path)[1][0]["facts"]
    assert CliRunner().invoke(app, ["plan", str(path)]).output


def test_rows_requests_and_cost(tmp_path: Path) -> None:
    shares = ("--rows", "1000", "--fetched", "1", "--extracted", "0.5", "--balanced", "0.5")
    code, (found,) = plan(write(tmp_path), *shares)
    stages = {stage["name"]: stage for stage in found["stages"]}
    assert (code, [stages[name]["rows"] for name in stages]) == (0, [1000, 1000, 500, 250, 250])
    assert stages["sample"]["requests"] == 2000
    assert stages["extract"]["cost_usd"] == pytest.approx(1000 * (2500 * 1 + 200 * 2) / 1e6)


def test_a_rate_limit_gives_the_time(tmp_path: Path) -> None:
    path = write(tmp_path, models={"extractor": {**MODEL, "requestsPerMinute": 10}})
    (found,) = plan(path, "--rows", "600", "--fetched", "1", "--extracted", "0")[1]
    assert found["facts"]["hours"] == 1


def test_a_hosts_rate_gives_the_time_of_the_recrawl(tmp_path: Path) -> None:
    polite = write(tmp_path, recrawl={"requestsPerSecondPerHost": 0.5})
    (found,) = plan(polite, "--rows", "36000", "--hosts", "10", "--extracted", "0")[1]
    assert found["stages"][0]["seconds"] == 7200
    for source in ({"uri": "file:///rows", "format": "warc"}, {"uri": "s3://commoncrawl/a.warc.gz"}):
        (found,) = plan(write(tmp_path, source=source), "--rows", "36000", "--hosts", "10")[1]
        assert (found["stages"][0]["requests"], found["stages"][0]["seconds"]) == (0, 0)


def test_roles_at_one_endpoint_share_its_rates(tmp_path: Path) -> None:
    limited = {**MODEL, "requestsPerMinute": 100}
    shares = ("--rows", "600", "--fetched", "1", "--extracted", "1", "--balanced", "0", "--hosts", "1000")
    hours = []
    for other in ({}, {"annotator": {**MODEL, "requestsPerMinute": 10}}, {"annotator": {**MODEL, "model": "other"}}):
        (found,) = plan(write(tmp_path, models={"extractor": limited, **other}), *shares)[1]
        hours.append(found["facts"]["hours"])
    assert hours == [0.2, 2, 0.1]


def test_a_budget_that_will_not_do_is_named_and_the_code_says_so(tmp_path: Path) -> None:
    code, (found,) = plan(write(tmp_path, budget={"maxCostUSD": 1, "maxTokens": 10}))
    assert code == 1
    assert [warning.split(":")[0] for warning in found["warnings"]] == ["budget.maxCostUSD", "budget.maxTokens"]


def test_limit_and_sample_are_counted(tmp_path: Path) -> None:
    (found,) = plan(write(tmp_path, source={"uri": "file:///rows", "limit": 1000, "sample": 0.1}))[1]
    assert found["facts"]["rows"] == 100


def test_wrong_fields_are_named(tmp_path: Path) -> None:
    path = write(tmp_path, shards=0, sharts=1, recrawl={"timeoutSeconds": "soon"})
    result = CliRunner().invoke(app, ["plan", str(path)], terminal_width=1000)
    assert result.exit_code == 2
    for field in ("spec.shards", "spec.sharts", "spec.recrawl.timeoutSeconds"):
        assert field in result.output


@pytest.mark.parametrize("text", ["", "kind: Pod", "[1]", "a: [", "kind: GRPORun"])
def test_what_is_no_resource_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    assert CliRunner().invoke(app, ["plan", str(path)]).exit_code == 2
