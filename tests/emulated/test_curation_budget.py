"""A CurationJob on the embedded cluster whose budget is spent at 40 % of the work, and raised: the operator stalls it,
and it goes on from there without paying for an answer twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from reasoner_local import web
from reasoner_local.client import Client, Obj, Resource
from reasoner_local.cluster import LocalCluster
from reasoner_local.corpus import expected
from support import chaos
from support.http_server import serving
from support.local import condition, eventually, true

CURATIONS = Resource("reasoner.dev", "v1alpha1", "curationjobs", "CurationJob")
#: What the corpus costs at the stand-in's price.
COST = 0.46
SHARDS, CONCURRENCY, DEAREST = 2, 32, 0.0005


def manifest(pages: str, model: str, storage: Path, cap: float) -> Obj:
    extractor = {"baseURL": f"{model}/v1", "model": "stand-in-teacher", "price": chaos.PRICE}
    return {
        "apiVersion": "reasoner.dev/v1alpha1",
        "kind": "CurationJob",
        "metadata": {"name": "frugal", "namespace": "default"},
        "spec": {
            "source": {"uri": f"{pages}/source.jsonl"},
            "recrawl": {"requestsPerSecondPerHost": 500, "allowAddresses": ["127.0.0.0/8"]},
            "models": {"extractor": {**extractor, "concurrency": CONCURRENCY}},
            "shards": SHARDS,
            "budget": {"maxCostUSD": cap},
            "split": {"test": 20},
            "storage": {"uri": storage.as_uri()},
        },
    }


@pytest.mark.timeout(240)
async def test_a_spent_budget_stalls_the_job_and_a_raised_one_lets_it_go_on(tmp_path: Path) -> None:
    cap = round(0.4 * COST, 4)
    with serving(web.make_app()) as pages, chaos.model() as model:
        # Rows with the same question share answers where their URLs, whose port is chance, put them into one cell.
        undisturbed = chaos.make_task(pages, model.url, {"uri": (tmp_path / "undisturbed").as_uri()}, shards=SHARDS)
        assert any(report.complete for report in await asyncio.to_thread(chaos.Job(undisturbed, tmp_path).run))
        wanted = Counter(model.answered)
        model.reset()
        async with (
            LocalCluster(tmp_path / "cluster", infra=False, operator=True) as cluster,
            Client.of(cluster.kubeconfig) as client,
        ):

            async def stalled() -> Obj | None:
                found = await client.get(CURATIONS, "default", "frugal")
                return found if true(found, "Stalled") else None

            async def ready() -> Obj | None:
                found = await client.get(CURATIONS, "default", "frugal")
                assert not true(found, "Stalled") or found["status"]["phase"] == "Suspended", found["status"]
                return found if true(found, "Ready") else None

            await client.apply(CURATIONS, manifest(pages, model.url, tmp_path / "store", cap))
            stopped = await eventually(stalled, 120)
            said = condition(stopped, "Stalled")
            assert (stopped["status"]["phase"], said["reason"]) == ("Suspended", "BudgetExceeded"), stopped["status"]
            assert said["message"] == f"budget.maxCostUSD: {cap:g} is spent; raise it to go on"
            spent = stopped["status"]["usage"]
            assert 0.9 * cap < spent["costUSD"] <= cap + SHARDS * CONCURRENCY * DEAREST
            assert model.answers < wanted.total()

            await client.apply(CURATIONS, manifest(pages, model.url, tmp_path / "store", 2 * COST))
            status = (await eventually(ready, 120))["status"]
    found = {stage["name"]: (stage["in"], stage["out"]) for stage in status["stages"]}
    assert found == {name: (stage.rows_in, stage.rows_out) for name, stage in expected().stages.items()}
    assert model.answered == wanted, "answers are paid for once"
    assert status["usage"]["reused"]["requests"] >= spent["requests"]
