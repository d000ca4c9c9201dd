"""The verifier's server: ready only when it answers, asked as vLLM is asked, the same replies whoever asks beside."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from openai import AsyncOpenAI

from reasoner_api.common import VerifierPrompt
from reasoner_workloads.verifier.prompt import ask
from support.stand_ins import environment, until


@contextmanager
def serving(model: Path, folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A server that answers; its log and the file that tells it that its pod is leaving lie in the folder."""
    command = [sys.executable, "-m", "reasoner_workloads", "serve", "--model", str(model), "--port", str(port)]
    command += ["--host", "127.0.0.1", "--served-model-name", "general-verifier@0123", "general-verifier"]
    log = folder / "log.txt"
    env = environment(LEAVING_FILE=str(folder / "leaving"))
    with log.open("wb") as out, subprocess.Popen(command, env=env, stdout=out, stderr=out) as process:
        try:
            until(lambda: process.poll() is not None or healthy(port), seconds=120)
            assert process.poll() is None, log.read_text()
            yield process
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture(scope="module")
def server(seeds: Path, tmp_path_factory: pytest.TempPathFactory, unused_tcp_port_factory: Any) -> Iterator[str]:
    port = unused_tcp_port_factory()
    with serving(seeds / "verifier-base", tmp_path_factory.mktemp("serve"), port):
        yield f"http://127.0.0.1:{port}/v1"


def healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as reply:
            return bool(json.loads(reply.read()) == {"status": "ok"})
    except OSError:
        return False


def prompts() -> list[str]:
    return [ask(VerifierPrompt(), f"What is {n} + 1?", str(n + 1), str(n)) for n in range(12)]


async def test_replies_do_not_depend_on_who_asks_beside(server: str) -> None:
    async with AsyncOpenAI(base_url=server, api_key="none", max_retries=0) as client:

        async def reply(prompt: str, tokens: int) -> tuple[str, str | None, int]:
            found = await client.completions.create(
                model="general-verifier", prompt=prompt, max_tokens=tokens, temperature=0
            )
            assert found.usage is not None
            return found.choices[0].text, found.choices[0].finish_reason, found.usage.completion_tokens

        alone = [await reply(prompt, 6) for prompt in prompts()]
        # With neighbours that ask for more, in one batch.
        beside = await asyncio.gather(*(reply(prompt, 6 + 3 * (n % 2)) for n, prompt in enumerate(prompts())))
        assert [text for text, _, _ in alone[::2]] == [text for text, _, _ in beside[::2]]
        assert all(tokens <= 6 for _, _, tokens in alone)
        assert {reason for _, reason, _ in alone} <= {"length", "stop"}
        models = await client.models.list()
        assert [model.id for model in models.data] == ["general-verifier@0123", "general-verifier"]


async def test_its_load_is_told_in_vllms_names(server: str) -> None:
    url = server.removesuffix("/v1") + "/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as reply:
        text = await reply.text()
    for state in ("running", "waiting"):
        assert f'vllm:num_requests_{state}{{model_name="general-verifier@0123"}} 0.0' in text


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ({"model": "other"}, 404, "the model 'other' does not exist"),
        ({"temperature": 0.7}, 400, "decodes greedily"),
        ({"prompt": "1 " * 2000}, 400, "prompt and reply may have 1024"),
        ({"max_tokens": 0}, 422, "greater than or equal to 1"),
    ],
)
async def test_what_it_cannot_do_it_refuses(server: str, change: dict[str, object], status: int, message: str) -> None:
    body = {"model": "general-verifier", "prompt": "1", "max_tokens": 4, "temperature": 0, **change}
    async with aiohttp.ClientSession() as session, session.post(f"{server}/completions", json=body) as reply:
        assert reply.status == status
        assert message in await reply.text()


async def test_a_server_that_leaves_sends_its_clients_elsewhere_and_pays_what_it_owes(
    seeds: Path, tmp_path: Path, unused_tcp_port: int
) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}/v1/completions"
    body = {"model": "general-verifier", "prompt": "1", "max_tokens": 1, "temperature": 0}
    with serving(seeds / "verifier-base", tmp_path, unused_tcp_port) as process:
        async with aiohttp.ClientSession() as session:

            async def ask(tokens: int) -> tuple[int, bool]:
                async with session.post(url, json={**body, "max_tokens": tokens}) as reply:
                    await reply.read()
                    return reply.status, reply.headers.get("Connection") == "close"

            assert await ask(1) == (200, False)
            (tmp_path / "leaving").touch()
            assert await ask(1) == (200, True)
            owed = asyncio.create_task(ask(400))
            metrics = url.replace("v1/completions", "metrics")
            while not owed.done():
                async with session.get(metrics) as reply:
                    if '0123"} 1.0' in await reply.text():
                        break
            process.terminate()
            assert await owed == (200, True)
