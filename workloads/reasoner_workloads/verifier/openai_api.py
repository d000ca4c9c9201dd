"""The part of the OpenAI API that a verifier is asked by, over an engine. Used by `serve`."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

from reasoner_workloads.verifier.engine import Engine, Reply, TooLong

DEFAULT_MAX_TOKENS = 16  # OpenAI's own


class CompletionRequest(BaseModel):
    """A request for a text completion. Other fields of OpenAI's are accepted and have no effect."""

    model: str
    prompt: str
    max_tokens: int = Field(DEFAULT_MAX_TOKENS, ge=1)
    temperature: float = 0.0
    n: int = 1
    stream: bool = False


def application(engine: Engine, name: str) -> FastAPI:
    """The app. It answers nothing before the model is loaded and has answered once itself."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with engine.running():
            yield

    app = FastAPI(title="reasoner verifier", lifespan=lifespan)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        entry = {"id": name, "object": "model", "owned_by": "reasoner", "max_model_len": engine.max_length}
        return {"object": "list", "data": [entry]}

    @app.post("/v1/completions")
    async def completions(request: CompletionRequest) -> dict[str, Any]:
        if request.model != name:
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
