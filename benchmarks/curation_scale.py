"""What a row of a CurationJob costs, stage by stage, and that memory does not grow with the job.

Real pods (`python -m reasoner_workloads curation`) curate a made-up crawl: WARC files of pages as a forum shows them,
and a model that answers at once. First small crawls whose rows all end at the same stage: the differences between them
are the CPU time of each stage. Then two crawls with the paper's shares (5 M rows, 1 M extracted, 230 k kept), one four
times the other: the larger gives the rate, both give the peak memory of a pod. It ends with what that makes of 5 M rows
on 64 shards.

    .venv/bin/python benchmarks/curation_scale.py --rows 200000

Exits with 1 where a row is lost or memory grows by more than a quarter."""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from aiohttp import web

from reasoner_api.report import RunReport
from reasoner_api.task import CurationTask
from reasoner_workloads.common.store import FileStore
from reasoner_workloads.curation.claims import Claims
from reasoner_workloads.curation.pod import split_source
from reasoner_workloads.curation.publish import publish_all

#: Rows of a crawl that shows one stage, of a WARC file, and words of a question.
STAGE_ROWS, FILE_ROWS, WORDS = 2000, 25_000, 40
#: Where rows end, of each hundred: the paper's shares.
SHARES = {"unanswered": 38, "open": 40, "easy": 6, "unsolvable": 5, "trivial": 4, "kept": 7}
#: What a crawl costs whose rows all end there.
STAGES = {
    "unanswered": "a page without an answer",
    "open": "a page with one, and an extraction",
    "easy": "an annotation",
    "kept": "eight candidates and their verdicts",
}
FETCH = "fetching a page over HTTP and keeping it"
_CODE = re.compile(r"\bzq([a-p]+)\b")


def code_of(number: int) -> str:
    """A number as a word: figures would make each question another to the near-duplicate filter."""
    return "zq" + "".join(chr(ord("a") + int(digit, 16)) for digit in f"{number:x}")


def number_of(text: str) -> int:
    """The number of the first code in a text."""
    found = _CODE.search(text)
    assert found is not None, text
    return int("".join(f"{ord(letter) - ord('a'):x}" for letter in found.group(1)), 16)


@dataclass(frozen=True)
class World:
    """A crawl: what every row is, by its number."""

    ends: tuple[str, ...]
    """Where rows end, in turn."""

    def end(self, number: int) -> str:
        """Where a row ends."""
        return self.ends[number % len(self.ends)]

    def asks(self, number: int) -> int:
        """The row whose question a row asks: of each hundred one asks another's, and one nearly does."""
        return number - 1 if number % 100 in (97, 99) else number

    def question(self, number: int) -> str:
        """Words by chance."""
        chance = random.Random(self.asks(number))
        words = [f"w{chance.randrange(4000):x}y".translate(_LETTERS) for _ in range(WORDS)]
        if number % 100 == 99:
            words[-1] = "instead"
        return f"What is the length in metres of the {code_of(self.asks(number))} when {' '.join(words)}?"

    def answer(self, number: int) -> str:
        """Mostly a number, which rules judge; for three in ten words, which they leave to the model."""
        value = self.asks(number) + 2
        return f"{value} metres along the edge" if value % 10 < 3 else f"{value}"


_LETTERS = str.maketrans("0123456789", "ghijklmnop")
PAPER = World(tuple(end for end, count in SHARES.items() for _ in range(count)))


def page(world: World, number: int) -> bytes:
    """A page as a forum shows it."""
    answer = "" if world.end(number) == "unanswered" else _ANSWER.format(answer=world.answer(number))
    return _PAGE.format(question=world.question(number), answers=answer, filler=_FILLER).encode()


_FILLER = "".join(f'<li class="nav-item"><a href="/tag/{n}">tag {n}</a></li>' for n in range(60))
_ANSWER = (
    '<div class="answer accepted-answer" data-score="7"><div class="js-post-body"><p>We put the given values into '
    "the relation, solve for what is asked and get <b>{answer}</b>, which also has the right units.</p></div></div>"
)
_PAGE = (
    "<!DOCTYPE html><html><head><title>Question</title></head><body><nav><ul>{filler}</ul></nav><h1>A question</h1>"
    '<div class="question"><div class="js-post-body"><p>{question}</p></div></div>{answers}'
    "<footer><ul>{filler}</ul></footer></body></html>"
)


def write_crawl(world: World, rows: int, folder: Path) -> None:
    """The crawl as WARC files."""
    folder.mkdir()
    for start in range(0, rows, FILE_ROWS):
        with (folder / f"{start:09d}.warc.gz").open("wb") as file:
            for number in range(start, min(rows, start + FILE_ROWS)):
                file.write(gzip.compress(_record(number, page(world, number)), 1))


def _record(number: int, body: bytes) -> bytes:
    block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + body
    fields = {
        "WARC-Type": "response",
        "WARC-Record-ID": f"<urn:row:{number}>",
        "WARC-Target-URI": f"https://forum.example/questions/{number}",
        "WARC-Date": "2025-07-01T08:00:00Z",
        "Content-Type": "application/http; msgtype=response",
        "Content-Length": str(len(block)),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"WARC/1.0\r\n{head}\r\n".encode() + block + b"\r\n\r\n"


def reply(world: World, body: dict[str, Any]) -> str:
    """What the model says: it knows a row by the code in its question."""
    text = body["messages"][1]["content"]
    number = number_of(text)
    end, answer = world.end(number), world.answer(number)
    form = (body.get("response_format") or {}).get("json_schema", {}).get("name", "")
    if form == "extraction":
        good = end != "open"
        question = text[text.index("<question>") + 11 : text.index("</question>")].strip()
        told = {"question": question if good else "", "answer": answer if good else ""}
        return json.dumps({"thought": "t", "verifiable": good, "reason": "none" if good else "open_ended", **told})
    if form == "annotation":
        category = "mathematics" if end == "easy" else "physics"
        return json.dumps({"answer_type": "integer", "category": category, "difficulty": "high_school"})
    if form == "verdict":
        given = text[text.index("<student_answer>") :]
        return json.dumps({"reasoning": "They are compared. " * 8, "equivalent": f"{number + 2} m" in given})
    right = {"unsolvable": 0, "trivial": 8}.get(end, 1 + number % 7)
    seed = int(body.get("seed") or 0)
    value = f"{number + 2 + (seed >= right) * (1 + seed % 2)}" + (" metres" if (number + 2) % 10 < 3 else "")
    return "We reason step by step. " * 80 + f"\\boxed{{{value}}}"


def serve_model(world: World, pipe: Any) -> None:
    """The model's process, which also shows the pages."""

    async def show(request: web.Request) -> web.Response:
        return web.Response(body=page(world, int(request.match_info["number"])), content_type="text/html")

    async def complete(request: web.Request) -> web.Response:
        text = reply(world, json.loads(await request.read()))
        usage = {"prompt_tokens": 500, "completion_tokens": len(text) // 4, "total_tokens": 500 + len(text) // 4}
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        known = {"id": "c", "object": "chat.completion", "created": 0, "model": "fake"}
        return web.json_response({**known, "choices": [choice], "usage": usage})

    async def run() -> None:
        app = web.Application(client_max_size=1 << 24)
        app.router.add_post("/v1/chat/completions", complete)
        app.router.add_get("/questions/{number}", show)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        pipe.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(run())


@contextmanager
def served(world: World) -> Iterator[str]:
    """Where a model is, and the web."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve_model, args=(world, theirs), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.kill()
        process.join()


@dataclass(frozen=True)
class Measured:
    """A finished job."""

    report: RunReport
    cpu_seconds: float
    wall_seconds: float
    peak_mib: float
    """Of the pod that took most."""


def curate(world: World, rows: int, folder: Path, shards: int, fetch: bool = False) -> Measured:
    """Run a job to its end, a process a pod. Its pages are in the source, or with `fetch` on the web."""
    folder.mkdir(parents=True)
    with served(world) as url:
        if fetch:
            lines = (json.dumps({"id": str(n), "url": f"{url}/questions/{n}"}) for n in range(rows))
            (folder / "crawl").mkdir()
            (folder / "crawl" / "rows.jsonl").write_text("\n".join(lines))
        else:
            write_crawl(world, rows, folder / "crawl")
        (folder / "task.json").write_text(json.dumps(task(folder, url, shards)))
        began = time.monotonic()
        pods = [start_pod(folder, index) for index in range(shards)]
        used = [wait_for(pod) for pod in pods]
        wall = time.monotonic() - began
    reports = [RunReport.model_validate_json((folder / f"word-{index}").read_text()) for index in range(shards)]
    report = next(report for report in reports if report.complete)
    assert report.stages[0].rows_in == rows, report.stages[0]
    return Measured(report, sum(cpu for cpu, _ in used), wall, max(peak for _, peak in used))


def task(folder: Path, url: str, shards: int) -> dict[str, Any]:
    """What the pods are told."""
    extractor = {"baseURL": f"{url}/v1", "model": "fake", "concurrency": 32, "price": {"inputPerMillion": 1}}
    recrawl = {"requestsPerSecondPerHost": 1000, "concurrencyPerHost": 32, "allowAddresses": ["127.0.0.0/8"]}
    work = {
        "source": {"uri": f"{(folder / 'crawl').as_uri()}/"},
        "recrawl": recrawl,
        "models": {"extractor": extractor},
        "filters": {"nearDuplicateSimilarity": 0.8},
        "shards": shards,
        "storage": {"uri": (folder / "store").as_uri()},
    }
    output = (folder / "store").as_uri()
    return {"kind": "CurationJob", "namespace": "bench", "name": "scale", "output": output, "work": work}


def start_pod(folder: Path, index: int) -> subprocess.Popen[bytes]:
    """A pod's process."""
    env = os.environ | {
        "POD_IP": "127.0.0.1",
        "REPORT_PORT": "0",
        "TERMINATION_MESSAGE_PATH": str(folder / f"word-{index}"),
        "JOB_COMPLETION_INDEX": str(index),
    }
    command = [sys.executable, "-m", "reasoner_workloads", "curation", "--task", str(folder / "task.json")]
    return subprocess.Popen(
        command,
        env=env,
    )


def wait_for(pod: subprocess.Popen[bytes]) -> tuple[float, float]:
    """CPU seconds and peak MiB of a pod that ends well, its algebra process included."""
    _, status, used = os.wait4(pod.pid, 0)
    pod.returncode = os.waitstatus_to_exitcode(status)
    assert pod.returncode == 0, "a pod failed: see its last word above"
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def again(folder: Path) -> tuple[float, float]:
    """CPU seconds of splitting and of publishing a finished job, each done once more by itself."""
    work = CurationTask.model_validate_json((folder / "task.json").read_text())
    store = FileStore(folder / "store" / work.digest.removeprefix("sha256:"))
    with tempfile.TemporaryDirectory() as other:
        began = time.process_time()
        split_source(work.work, FileStore(Path(other)), Claims(FileStore(Path(other)), 0))
        split_seconds = time.process_time() - began
    for key in (key for key in store.list() if key.startswith(("dataset/", "verifier-data/", "report"))):
        store.delete(key)
    began = time.process_time()
    publish_all(work, store)
    return split_seconds, time.process_time() - began


def stage_costs(folder: Path, rows: int) -> dict[str, float]:
    """CPU milliseconds of each stage a row that reaches it."""
    idle = curate(World(("unanswered",)), 1, folder / "idle", 1).cpu_seconds
    again(folder / "idle")  # what is loaded once is not counted
    spent = {end: curate(World((end,)), rows, folder / end, 1).cpu_seconds - idle for end in SHARES if end in STAGES}
    fetched = curate(World(("unanswered",)), rows, folder / "fetch", 1, fetch=True).cpu_seconds - idle
    common = sum(again(folder / "unanswered"))
    seconds = {
        FETCH: fetched - spent["unanswered"],
        STAGES["unanswered"]: spent["unanswered"] - common,
        STAGES["open"]: spent["open"] - common,
        STAGES["easy"]: spent["easy"] - spent["open"],
        STAGES["kept"]: spent["kept"] - spent["easy"],
    }
    return {name: 1000 * each / rows for name, each in seconds.items()}


def main() -> int:
    """Measure and print; 1 where memory grows."""
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("--rows", type=int, default=200_000, help="rows of the larger crawl")
    top.add_argument("--shards", type=int, default=2, help="pods at a time")
    top.add_argument("--stage-rows", type=int, default=STAGE_ROWS, help="rows of a crawl that shows one stage")
    arguments = top.parse_args()
    with tempfile.TemporaryDirectory(prefix="scale-") as name:
        folder = Path(name)
        costs = stage_costs(folder / "stages", arguments.stage_rows)
        print("CPU milliseconds a row:", flush=True)
        for stage, cost in costs.items():
            print(f"  {stage:40} {cost:8.2f}", flush=True)
        found = [measure(folder / str(rows), rows, arguments.shards) for rows in (arguments.rows // 4, arguments.rows)]
        split_seconds, publish_seconds = again(folder / str(arguments.rows))
        for stage, seconds in (("split", split_seconds), ("publish", publish_seconds)):
            costs[stage] = 1000 * seconds / arguments.rows
            print(f"  {stage:40} {costs[stage]:8.2f}", flush=True)
    return verdict(found, costs, arguments.rows)


def measure(folder: Path, rows: int, shards: int) -> Measured:
    """A crawl with the paper's shares."""
    one = curate(PAPER, rows, folder, shards)
    usage = one.report.usage
    assert usage is not None
    print(
        f"{rows:,} rows on {shards} pods: {one.wall_seconds:,.0f} s, {rows / one.wall_seconds:,.0f} rows/s, "
        f"{1000 * one.cpu_seconds / rows:.2f} ms CPU a row, {usage.requests:,} requests, "
        f"peak {one.peak_mib:.0f} MiB a pod",
        flush=True,
    )
    print("  " + ", ".join(f"{stage.name} {stage.rows_out:,}" for stage in one.report.stages), flush=True)
    return one


def verdict(found: list[Measured], costs: dict[str, float], rows: int) -> int:
    """What it comes to, and whether memory is flat."""
    each = found[1].cpu_seconds / rows + costs[FETCH] / 1000
    print(
        f"5 M rows on 64 shards: {5_000_000 * each / 64 / 60:.0f} minutes of CPU a pod, pages fetched; one of them "
        f"splits for {5000 * costs['split'] / 60:.0f} minutes where the source is one file, and one publishes for "
        f"{5000 * costs['publish'] / 60:.0f}"
    )
    grown = found[1].peak_mib / found[0].peak_mib
    print(f"peak memory at four times the rows: {grown:.2f} times, {'flat' if grown <= 1.25 else 'IT GROWS'}")
    return int(grown > 1.25)


if __name__ == "__main__":
    sys.exit(main())
