"""The part of the OpenAI API that a verifier is asked by, over an engine. Used by `serve`."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Response
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field

from reasoner_workloads.verifier.engine import Engine, Reply, TooLong
from reasoner_workloads.verifier.leaving import Leaving

DEFAULT_MAX_TOKENS = 16  # OpenAI's own


class CompletionRequest(BaseModel):
    """A request for a text completion. Other fields of OpenAI's are accepted and have no effect."""

    model: str
    prompt: str
    max_tokens: int = Field(DEFAULT_MAX_TOKENS, ge=1)
    temperature: float = 0.0
    n: int = 1
    stream: bool = False


def application(engine: Engine, names: Sequence[str]) -> FastAPI:
    """The app, which answers to any of the names. It answers nothing before the model is loaded and has answered once
    itself."""
    name = names[0]

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with engine.running():
            yield

    app = FastAPI(title="reasoner verifier", lifespan=lifespan)
    app.add_middleware(Leaving)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        about = {"object": "model", "owned_by": "reasoner", "max_model_len": engine.max_length}
        return {"object": "list", "data": [{"id": one, **about} for one in names]}

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(_load(engine, name), media_type=CONTENT_TYPE_LATEST)

    @app.post("/v1/completions")
    async def completions(request: CompletionRequest) -> dict[str, Any]:
        if request.model not in names:
            raise HTTPException(404, f"the model {request.model!r} does not exist; this server has {name!r}")
        if request.temperature > 0 or request.n != 1 or request.stream:
            raise HTTPException(400, "this server decodes greedily: temperature 0, n 1, no stream")
        try:
            reply = await engine.complete(request.prompt, request.max_tokens)
        except TooLong as error:
            raise HTTPException(400, str(error)) from error
        except RuntimeError as error:
            raise HTTPException(503, str(error)) from error
        return _completion(name, reply)

    return app


def _load(engine: Engine, name: str) -> bytes:
    """What autoscalers go by, in vLLM's names."""
    registry = CollectorRegistry()
    for state, count in (("running", engine.running_now), ("waiting", engine.waiting_now)):
        text = f"Number of requests that are {state}"
        Gauge(f"vllm:num_requests_{state}", text, ["model_name"], registry=registry).labels(name).set(count)
    return generate_latest(registry)


def _completion(name: str, reply: Reply) -> dict[str, Any]:
    reason = "stop" if reply.finished else "length"
    return {
        "id": f"cmpl-{uuid.uuid4().hex}",
        "object": "text_completion",
        "created": int(time.time()),
        "model": name,
        "choices": [{"index": 0, "text": reply.text, "finish_reason": reason, "logprobs": None}],
        "usage": {
            "prompt_tokens": reply.prompt_tokens,
            "completion_tokens": reply.completion_tokens,
            "total_tokens": reply.prompt_tokens + reply.completion_tokens,
        },
    }
