"""A provider's batch API, as OpenAI has it and others copy it: `/files` and `/batches` below the base URL. Used by
`batches`."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import aiohttp
from pydantic import BaseModel

from reasoner_workloads.curation.models import wire
from reasoner_workloads.curation.models.failures import Failure, Misconfigured, Passing, Refused, failure
from reasoner_workloads.curation.models.wire import Told

log = logging.getLogger(__name__)

#: What a batch carries so that it is found again.
MARK = "reasoner_batch"
#: Batches looked through for one whose answer got lost, and how many are listed at a time.
MOST_LISTED, PAGE = 1000, 100
#: Hours that a provider takes for a batch at most.
WINDOW_HOURS = 24
#: Seconds until a batch is offered again to a queue that is full: each time all of it is uploaded.
QUEUE_SECONDS = 300.0
#: What a provider says that has enough of one's batches in its queue: it passes as those end.
_QUEUE_FULL = re.compile(r"token_limit|enqueued|limit reached", re.IGNORECASE)
_ENDED = frozenset({"completed", "failed", "expired", "cancelled"})


#: Sends a request by method, path below the base URL, and content, or what makes it; tries again what may pass.
Call = Callable[[str, str, Any], Awaitable[Told]]


class _File(BaseModel):
    id: str


class State(BaseModel):
    """A batch, as the provider tells of it."""

    id: str
    status: str
    metadata: dict[str, Any] | None = None
    errors: dict[str, Any] | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None


class _Page(BaseModel):
    data: list[State]
    has_more: bool | None = None


class _Response(BaseModel):
    status_code: int | None = None
    body: Any = None


class _Answered(BaseModel):
    """A line of a batch's files."""

    custom_id: str
    response: _Response | None = None
    error: Any = None


_Shape = TypeVar("_Shape", bound=BaseModel)


class Line(NamedTuple):
    """One request's answer in a batch."""

    key: str
    status: int
    body: bytes


@dataclass(frozen=True)
class BatchAPI:
    """The verbs."""

    call: Call

    async def submit(self, name: str, requests: Mapping[str, dict[str, Any]]) -> str:
        """Begin a batch of requests by key; its id."""
        packed = _packed(requests.items())

        def form() -> aiohttp.FormData:
            """A form is good for one try."""
            made = aiohttp.FormData()
            made.add_field("purpose", "batch")
            made.add_field("file", packed, filename=f"{name}.jsonl", content_type="application/jsonl")
            return made

        file = await self._ask(_File, "POST", "files", form)
        asked = {
            "input_file_id": file.id,
            "endpoint": "/v1/chat/completions",
            "completion_window": f"{WINDOW_HOURS}h",
            "metadata": {MARK: name},
        }
        return (await self._ask(State, "POST", "batches", asked)).id

    async def find(self, name: str) -> str | None:
        """The id of the batch that was begun under a name, if it was."""
        after = ""
        for _ in range(MOST_LISTED // PAGE):
            page = await self._ask(_Page, "GET", f"batches?limit={PAGE}{after}", None)
            for one in page.data:
                if (one.metadata or {}).get(MARK) == name:
                    return one.id
            if not page.has_more or not page.data:
                break
            after = f"&after={page.data[-1].id}"
        return None

    async def ended(self, number: str) -> State | None:
        """A batch that is over, or None."""
        state = await self._ask(State, "GET", f"batches/{number}", None)
        return state if state.status in _ENDED else None

    async def lines(self, state: State) -> AsyncIterator[Line]:
        """The answers of a batch that is over, good ones and others; those that it did not come to are missing, as are
        those that cannot be read."""
        for name in (state.output_file_id, state.error_file_id):
            if name:
                for line in _unpacked(await self._get("GET", f"files/{name}/content", None)):
                    yield line

    async def _ask(self, shape: type[_Shape], method: str, path: str, content: Any) -> _Shape:
        body = await self._get(method, path, content)
        try:
            return shape.model_validate(wire.parsed(body))
        except ValueError as error:
            raise Passing(f"{path}: the answer cannot be read: {body[:100]!r}: {error}") from error

    async def _get(self, method: str, path: str, content: Any) -> bytes:
        told = await self.call(method, path, content)
        if told.status != 200:
            failed = failure(*told)
            if isinstance(failed, Refused) or (isinstance(failed, Misconfigured) and failed.field == "model"):
                raise Misconfigured("batch", f"{failed} (no batch API is there, or not for this model)")
            raise failed
        return told.body


def fault(state: State) -> Failure | None:
    """Why the provider would not even begin a batch, if it is so."""
    if state.status != "failed":
        return None
    faults = (state.errors or {}).get("data") or []
    says = "; ".join(f"{one.get('code') or ''} {one.get('message') or ''}".strip() for one in faults)[:300]
    text = f"batch {state.id} failed: {says or 'no reason is given'}"
    if _QUEUE_FULL.search(says):
        return Passing(text, after=QUEUE_SECONDS, pressed=True)
    return Misconfigured("batch", text)


def _packed(requests: Iterable[tuple[str, dict[str, Any]]]) -> bytes:
    lines = (
        {"custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": body} for key, body in requests
    )
    return b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)


def _unpacked(text: bytes) -> Iterator[Line]:
    for one in io.BytesIO(text):
        if not one.strip():
            continue
        try:
            line = _Answered.model_validate(wire.parsed(one))
        except ValueError as error:
            log.warning("a line of a batch's answers cannot be read: %r: %s", one[:100], error)
            continue
        response = line.response or _Response()
        body = response.body or {"error": line.error or {"message": "the batch has no answer to it"}}
        yield Line(line.custom_id, response.status_code or 500, json.dumps(body).encode())
