"""A run that waits for ever shows where it stands, says so and ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from reasoner_api.guards import Hang
from reasoner_workloads.training.watchdog import patience
from support.http_server import serving
from support.stand_ins import Pod, grpo_task

HANG = Hang(factor=10, min_seconds=30)


@pytest.mark.parametrize(
    ("durations", "seconds"),
    [([], 30), ([1.0, 1.0, 1.0], 30), ([3.0, 4.0, 5.0], 40), ([4.0, 4.0, 500.0], 40)],
)
def test_how_long_is_too_long(durations: list[float], seconds: float) -> None:
    assert patience(durations, HANG) == seconds


@contextmanager
def verifier(silent: Callable[[], bool]) -> Iterator[dict[str, Any]]:
    """A task's `verifier` that passes everything, and never answers while it is silent."""

    async def complete(request: web.Request) -> web.Response:
        if silent():
            await asyncio.Event().wait()
        asked = (await request.json())["prompt"]
        count = len(asked) if isinstance(asked, list) else 1
        return web.json_response({"choices": [{"index": index, "text": "PASS"} for index in range(count)]})

    app = web.Application()
    app.router.add_post("/v1/completions", complete)
    with serving(app) as url:
        prompt = {"template": "{question}|{ground_truth}|{student_answer}", "passMarker": "PASS"}
        yield {"endpoint": f"{url}/v1", "model": "verifier", "prompt": prompt}


def test_a_group_that_hangs_shows_the_stacks_of_all_processes_and_fails(seeds: Path, tmp_path: Path) -> None:
    task = grpo_task(seeds, tmp_path / "out", maxSteps=8) | {"topology": {"processesPerNode": 2}}
    task["work"]["guards"] = {"hang": {"factor": 2, "minSeconds": 3}}
    task["work"]["checkpoint"]["everySteps"] = 1
    with verifier(silent=lambda: any((tmp_path / "out").rglob("checkpoints/*/manifest.json"))) as endpoint:
        code, report, log = Pod("grpo", task | {"verifier": endpoint}, tmp_path / "pod").run()
    assert (code, report.state, report.reason) == (1, "Failed", "Hung"), log
    assert "the stacks of all processes are in the log" in report.message
    for rank in (0, 1):
        assert f"rank {rank}: no step for" in log
    assert log.count("Current thread") == 2
    assert "grpo_trainer.py" in log  # where the main threads wait
