"""A chat endpoint that replies as it is told and remembers what it was asked; and models that ask it. For tests."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from reasoner_api.curation import CurationWork
from reasoner_workloads.common.store import FileStore, Store
from reasoner_workloads.curation.ledger import Ledger
from reasoner_workloads.curation.llm import Model, close_models, open_models
from reasoner_workloads.curation.models.purse import Purse
from reasoner_workloads.curation.models.responses import Responses
from support.http_server import serving

USAGE = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}


@dataclass(frozen=True)
class Say:
    """An answer in full."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | dict[str, Any] | None = None
    """A body of its own."""
    text: str = "hello"
    finish: str = "stop"
    seconds: float = 0.0
    """Seconds until it comes."""


Reply = str | int | Say


class ChatServer:
    """What it does and has done."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.reply: Callable[[dict[str, Any]], Reply] = lambda _: "hello"
        self.usage: dict[str, int] | None = USAGE
        self.flying = self.most_flying = 0
        self.url = ""

    def replies(self, *replies: Reply) -> None:
        """Give these, one after the other."""
        left = iter(replies)
        self.reply = lambda _: next(left)

    async def complete(self, request: web.Request) -> web.Response:
        """One request."""
        body = await request.json()
        self.asked.append(body)
        self.headers.append(dict(request.headers))
        reply = self.reply(body)
        if isinstance(reply, int):
            reply = Say(reply)
        elif isinstance(reply, str):
            reply = Say(text=reply)
        self.flying += 1
        self.most_flying = max(self.most_flying, self.flying)
        try:
            await asyncio.sleep(reply.seconds)
        finally:
            self.flying -= 1
        return self._answer(reply)

    def _answer(self, reply: Say) -> web.Response:
        if isinstance(reply.body, bytes):
            return web.Response(body=reply.body, status=reply.status, headers=reply.headers)
        if reply.body is not None:
            return web.json_response(reply.body, status=reply.status, headers=reply.headers)
        if reply.status != 200:
            error = {"error": {"message": f"told to say {reply.status}"}}
            return web.json_response(error, status=reply.status, headers=reply.headers)
        choice = {
            "index": 0,
            "finish_reason": reply.finish,
            "message": {"role": "assistant", "content": reply.text},
        }
        answer = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
        return web.json_response(answer | ({"usage": self.usage} if self.usage else {}), headers=reply.headers)


@contextmanager
def chat_server() -> Iterator[ChatServer]:
    """The endpoint while it is served."""
    made = ChatServer()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", made.complete)
    with serving(app) as made.url:
        yield made


def work(server: ChatServer, shards: int = 1, models: dict[str, Any] | None = None, **extractor: Any) -> CurationWork:
    """A job whose models are there."""
    endpoint = {"baseURL": f"{server.url}/v1", "model": "m"} | extractor
    return CurationWork.model_validate(
        {
            "source": {"uri": "https://example.org/rows.jsonl"},
            "models": {"extractor": endpoint} | (models or {}),
            "shards": shards,
            "storage": {"uri": "file:///nowhere"},
        }
    )


@asynccontextmanager
async def opened(
    spec: CurationWork, env: dict[str, str] | None = None, purse: Purse | None = None, store: Store | None = None
) -> AsyncIterator[dict[str, Model]]:
    """Models, their answers kept in a store of their own or in the one given."""
    with tempfile.TemporaryDirectory() as folder:
        kept = store or FileStore(Path(folder))
        async with Responses(kept, "one") as responses:
            cell = await responses.open("")
            models = open_models(spec, purse or Purse(Ledger(), kept), env or {}, spec.shards)
            try:
                yield {role: model.at(cell.at(0)) for role, model in models.items()}
            finally:
                await close_models(models)
