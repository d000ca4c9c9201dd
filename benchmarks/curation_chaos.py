"""A CurationJob among failures: models that fail and pods that are killed change nothing in the result.

The corpus of 207 pages, whose every page's fate is written down (`reasoner_local/corpus/expected.yaml`), is curated by
real pods with 1, 3 and 8 shards; with 30 % of the model's calls failing by 429, 500, time-out, truncated JSON and
wrong-schema JSON in turn; with an object store that fails every fourth request in five ways and is away altogether for
a minute; with pods killed (SIGKILL) at 50 moments chosen by chance; and with a budget of 40 % of what it costs. Each
must end with the expected funnel and the same dataset digest, no row lost or there twice, and no request paid for again
whose answer was kept when a pod was killed.

    .venv/bin/python benchmarks/curation_chaos.py

Exits with 1 where something does not hold."""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from reasoner_api.report import RunReport
from reasoner_local import web
from reasoner_local.corpus import expected
from support import chaos
from support.http_server import serving
from support.object_store import object_store
from support.store_weather import StoreWeather

#: Seconds after which a job counts as stuck, on a machine that others use as well.
SECONDS = 3600
#: Seconds for which the object store is away.
AWAY_SECONDS = 60


@dataclass
class Proof:
    """Runs of the corpus against one web and one model, and whether what was promised holds."""

    pages: str
    model: chaos.Model
    folder: Path
    shards: tuple[int, ...]
    failed: int = 0
    digests: set[str] = field(default_factory=set)
    cost: float = 0.0

    def job(self, name: str, shards: int, **more: Any) -> chaos.Job:
        """A job with a store of its own."""
        self.model.reset()
        return self.again(name, shards, **more)

    def again(self, name: str, shards: int, **more: Any) -> chaos.Job:
        """A job on the store of an earlier one of that name."""
        storage = {"uri": (self.folder / name / "store").as_uri()}
        task = chaos.make_task(self.pages, self.model.url, storage, shards=shards, **more)
        return chaos.Job(task, self.folder / name)

    def check(self, name: str, what: str, holds: bool) -> None:
        """Print and note a verdict."""
        self.failed += not holds
        print(f"  {'ok  ' if holds else 'FAIL'}  {name}: {what}", flush=True)

    def check_result(self, name: str, job: chaos.Job, reports: list[RunReport]) -> None:
        """Hold a job that has ended to what the corpus says, and to the other jobs."""
        final = next((report for report in reports if report.complete), None)
        if final is None:
            self.check(name, f"it ends: {[(report.reason, report.message) for report in reports]}", False)
            return
        hoped = {n: (stage.rows_in, stage.rows_out, stage.dropped) for n, stage in expected().stages.items()}
        found = {stage.name: (stage.rows_in, stage.rows_out, stage.dropped) for stage in final.stages}
        self.check(name, f"the expected funnel, {found['source'][0]} rows to {found['deduplicate'][1]}", found == hoped)
        kept, dropped = rows_of(job)
        whole = len(kept) + len(dropped) == len(set(kept) | set(dropped)) == found["source"][0]
        self.check(name, f"{len(kept)} rows kept, {len(dropped)} dropped: none lost, none there twice", whole)
        self.digests.add(final.artifacts["dataset"].digest)
        self.check(name, f"dataset {final.artifacts['dataset'].digest[:19]}, the same as all", len(self.digests) == 1)
        self.model.wanted = self.model.wanted or Counter(self.model.answered)
        again = asked_again(self.model)
        total, repairs = sum(self.model.answered.values()), len(self.model.answered.keys() - self.model.wanted.keys())
        said = f"{total:,} requests answered, {repairs} of them to mend a reply, {again.total()} once more"
        self.check(name, said, not again or job.kills > 0)


def asked_again(model: chaos.Model) -> Counter[str]:
    """Requests that were answered more often than an undisturbed job asks them. One that asks to mend a reply of the
    wrong shape is a request of its own, which an undisturbed job does not make."""
    return Counter(model.answered) - (model.wanted | Counter(dict.fromkeys(model.answered, 1)))


def rows_of(job: chaos.Job) -> tuple[list[str], list[str]]:
    """The ids of the rows that a job kept, and of those that it dropped."""
    tables = (pq.read_table(io.BytesIO(job.store.get(f"dataset/{name}.parquet"))) for name in ("train", "test"))
    kept = [str(row["id"]) for table in tables for row in table.select(["id"]).to_pylist()]
    return kept, [json.loads(line)["id"] for line in job.store.get("dataset/drops.jsonl").splitlines()]


def prove_shards(proof: Proof) -> None:
    """Any number of shards."""
    for shards in proof.shards:
        name = f"{shards} shards"
        job = proof.job(name, shards)
        reports = job.run(SECONDS)
        proof.check_result(name, job, reports)
        proof.cost = sum(report.usage.cost_usd for report in reports if report.complete and report.usage)


def prove_faults(proof: Proof) -> None:
    """A model that fails, in each way by itself and in all by turns."""
    for faults in (*((fault,) for fault in chaos.FAULTS), chaos.FAULTS):
        name = faults[0] if len(faults) == 1 else "all five in turn"
        job = proof.job(name, 3)
        proof.model.faults = faults
        proof.check_result(name, job, job.run(SECONDS))
        injected = sum(proof.model.injected.values())
        share = injected / sum(proof.model.asked.values())
        proof.check(name, f"{injected} calls failed, {share:.0%}: {dict(proof.model.injected)}", injected > 0)


def prove_store(proof: Proof) -> None:
    """An object store in bad weather: no pod ends for it."""
    name = "bad store"
    with object_store() as target, StoreWeather(target, seed=1).served() as weather:
        proof.model.reset()
        storage = {"uri": "s3://reasoner/chaos", "endpoint": weather.url}
        job = chaos.Job(chaos.make_task(proof.pages, proof.model.url, storage, shards=3), proof.folder / name)
        away = threading.Thread(target=be_away, args=(weather, proof.model), daemon=True)
        away.start()
        reports = job.run(SECONDS)
        away.join()
        weather.faults = {"none": 1}
        proof.check_result(name, job, reports)
    failed = {fault: times for fault, times in weather.met.items() if fault != "none"}
    proof.check(name, f"{sum(failed.values())} of {weather.met.total()} requests failed: {failed}", bool(failed))


def be_away(weather: StoreWeather, model: chaos.Model) -> None:
    """For a minute, in the middle of the work."""
    while model.answers < model.wanted.total() / 3:
        time.sleep(0.01)
    weather.away = True
    time.sleep(AWAY_SECONDS)
    weather.away = False


def prove_kills(proof: Proof, kills: int) -> None:
    """Pods killed over the whole of the work, while the model fails as well."""
    name = f"{kills} kills"
    job = proof.job(name, 3)
    reports = job.run_under_fire(proof.model, kills, SECONDS)
    proof.check_result(name, job, reports)
    proof.check(name, f"{job.kills} pods killed while the job was under way", job.kills == kills)
    again = asked_again(proof.model)
    proof.check(
        name,
        f"{len(proof.model.kept):,} answers were kept at some kill, {len(proof.model.paid_twice)} of them asked for "
        f"again; {again.total()} lost in flight",
        not proof.model.paid_twice,
    )


def prove_budget(proof: Proof) -> None:
    """A cap at 40 % of the cost stops the job, raising it goes on from there."""
    name, cap = "budget", round(0.4 * proof.cost, 6)
    job = proof.job(name, 3, budget={"maxCostUSD": cap})
    reports = job.run(SECONDS)
    stopped = {report.reason for report in reports}
    # The last pod that finds the budget spent knows what all have spent.
    spent = max(report.usage.cost_usd for report in reports if report.usage)
    # 3 pods with 32 requests in flight at most, none of which costs more than half a thousandth of a dollar here.
    bound = cap + 3 * 32 * 0.0005
    proof.check(name, f"all pods stop: {', '.join(sorted(stopped))}", stopped == {"BudgetExceeded"})
    proof.check(name, f"{spent:.4f} of {cap:.4f} USD spent, {bound:.4f} with what is in flight", spent <= bound)
    proof.check(name, f"{spent / cap:.1%} of the cap used", spent > 0.9 * cap)
    job = proof.again(name, 3, budget={"maxCostUSD": 2 * proof.cost})
    proof.check_result(name, job, job.run(SECONDS))


def main() -> int:
    """Run all proofs."""
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("--kills", type=int, default=50, help="moments at which a pod is killed")
    top.add_argument("--only", choices=("shards", "faults", "store", "kills", "budget"), help="one proof alone")
    arguments = top.parse_args()
    proofs = {
        "shards": prove_shards,
        "faults": prove_faults,
        "store": prove_store,
        "kills": lambda proof: prove_kills(proof, arguments.kills),
        "budget": prove_budget,
    }
    with tempfile.TemporaryDirectory() as name, serving(web.make_app()) as pages, chaos.model() as model:
        proof = Proof(pages, model, Path(name), (1, 3, 8) if arguments.only in (None, "shards") else (3,))
        for title, prove in proofs.items():
            # The first gives what the others are held to.
            if arguments.only in (None, title) or title == "shards":
                began = time.monotonic()
                print(title, flush=True)
                prove(proof)
                print(f"  {time.monotonic() - began:.0f} s", flush=True)
    print("all of it holds" if not proof.failed else f"{proof.failed} of it DO NOT HOLD")
    return int(proof.failed > 0)


if __name__ == "__main__":
    sys.exit(main())
