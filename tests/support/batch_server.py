"""A provider's batch API for tests: batches are over when they are told to be, each request's answer as the test
says."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from support.http_server import serving

#: Answer to one request: status and content of the message.
Answer = tuple[int, str]


class BatchServer:
    """What it does and has done."""

    def __init__(self) -> None:
        self.url = ""
        self.answer: Callable[[dict[str, Any]], Answer | None] = lambda _: (200, "hello")
        """None: the batch ends without coming to it."""
        self.line: Callable[[dict[str, Any]], str] = json.dumps
        """How an answer is written."""
        self.looks = 1
        """Looks at a batch until it is over."""
        self.end = "completed"
        self.fault = {"message": "the model is not for batches"}
        """Why a batch has failed."""
        self.read: Counter[str] = Counter()
        """How often each file was read."""
        self.refuses: list[int] = []
        """Statuses of the next answers, whatever is asked."""
        self.loses_answers = False
        """Whether a batch is begun and nobody told."""
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.asked: Counter[str] = Counter()
        """How often each request was in a batch, by key."""

    async def handle(self, request: web.Request) -> web.Response:
        """Any request."""
        if self.refuses:
            return web.json_response({"error": {"message": "not now"}}, status=self.refuses.pop(0))
        path = request.path.removeprefix("/v1/")
        if request.method == "POST" and path == "files":
            form = await request.post()
            assert form["purpose"] == "batch"
            return web.json_response({"id": self._file(form["file"].file.read())})  # type: ignore[union-attr]
        if request.method == "POST" and path == "batches":
            return self._begin(await request.json())
        if path == "batches":
            return web.json_response({"data": list(self.batches.values())[::-1], "has_more": False})
        if path.startswith("batches/"):
            return web.json_response(self._look(self.batches[path.removeprefix("batches/")]))
        self.read[name := path.split("/")[1]] += 1
        return web.Response(body=self.files[name])

    def _file(self, data: bytes) -> str:
        name = f"file-{len(self.files)}"
        self.files[name] = data
        return name

    def _begin(self, asked: dict[str, Any]) -> web.Response:
        name = f"batch-{len(self.batches)}"
        self.batches[name] = {**asked, "id": name, "status": "in_progress", "looks": 0}
        self.asked.update(json.loads(line)["custom_id"] for line in self.files[asked["input_file_id"]].splitlines())
        return web.Response(status=500) if self.loses_answers else web.json_response(self.batches[name])

    def _look(self, batch: dict[str, Any]) -> dict[str, Any]:
        batch["looks"] += 1
        if batch["looks"] < self.looks or batch["status"] != "in_progress":
            return batch
        batch["status"] = self.end
        if self.end == "failed":
            batch["errors"] = {"data": [self.fault]}
            return batch
        good, bad = [], []
        for line in map(json.loads, self.files[batch["input_file_id"]].splitlines()):
            if (answer := self.answer(line["body"])) is not None:
                status, text = answer
                body: dict[str, Any] = {"error": {"message": text}}
                if status == 200:
                    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
                    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
                    body = {"choices": [choice], "usage": usage}
                told = {"custom_id": line["custom_id"], "response": {"status_code": status, "body": body}}
                (good if status == 200 else bad).append(told)
        for name, lines in (("output_file_id", good), ("error_file_id", bad)):
            if lines:
                batch[name] = self._file("\n".join(map(self.line, lines)).encode())
        return batch


@contextmanager
def batch_server() -> Iterator[BatchServer]:
    """The provider while it is served."""
    made = BatchServer()
    app = web.Application(client_max_size=1 << 26)
    app.router.add_route("*", "/v1/{path:.*}", made.handle)
    with serving(app) as made.url:
        yield made
