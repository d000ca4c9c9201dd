"""Greedy generation in batches that form as requests come in. Used by `openai_api`; needs torch."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

#: Requests of one step arrive together: waiting this long for the rest costs less than a batch of few.
GATHER_SECONDS = 0.02


class TooLong(ValueError):
    """The prompt leaves no room for a reply. The message names the limit."""


@dataclass(frozen=True)
class Reply:
    """What a prompt was answered with."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    finished: bool
    """Whether it ended by itself and was not cut at its limit."""


@dataclass(frozen=True)
class _Request:
    ids: list[int]
    max_tokens: int
    reply: asyncio.Future[Reply] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Engine:
    """One model. Requests that arrive while a batch is generated for make up the next."""

    def __init__(self, folder: Path, *, max_batch: int, max_model_len: int | None = None) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype="auto").eval()
        if torch.cuda.is_available():
            self.model = self.model.cuda()
        self.max_batch = max_batch
        self.max_length = max_model_len or int(self.model.config.max_position_embeddings)
        self._pad = self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else 0
        self._ends = set(_as_list(self.model.generation_config.eos_token_id, self.tokenizer.eos_token_id))
        self._waiting: asyncio.Queue[_Request] = asyncio.Queue()
        self.running_now = 0

    @property
    def waiting_now(self) -> int:
        """Requests that no batch has taken yet."""
        return self._waiting.qsize()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Generate while in the context; it is entered once the model has answered a first prompt."""
        worker = asyncio.create_task(self._work())
        try:
            await self.complete("1", 1)
            yield
        finally:
            worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await worker

    async def complete(self, prompt: str, max_tokens: int) -> Reply:
        """The greedy reply to a prompt. Raises TooLong."""
        ids = self.tokenizer(prompt)["input_ids"]
        room = self.max_length - len(ids)
        if room < 1:
            raise TooLong(f"the prompt has {len(ids)} tokens; prompt and reply may have {self.max_length}")
        request = _Request(ids, min(max_tokens, room))
        self._waiting.put_nowait(request)
        return await request.reply

    async def _work(self) -> None:
        while True:
            batch = [await self._waiting.get()]
            await asyncio.sleep(GATHER_SECONDS)
            while len(batch) < self.max_batch and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            self.running_now = len(batch)
            try:
                replies = await asyncio.to_thread(self._generate, batch)
            except (RuntimeError, ValueError) as error:  # out of memory, most of all: the caller tries again
                for request in batch:
                    if not request.reply.done():
                        request.reply.set_exception(RuntimeError(str(error)))
                continue
            finally:
                self.running_now = 0
            for request, reply in zip(batch, replies, strict=True):
                if not request.reply.done():  # the client may be gone
                    request.reply.set_result(reply)

    def _generate(self, batch: list[_Request]) -> list[Reply]:
        longest = max(len(request.ids) for request in batch)
        ids = torch.tensor([[self._pad] * (longest - len(request.ids)) + request.ids for request in batch])
        mask = torch.tensor([[0] * (longest - len(request.ids)) + [1] * len(request.ids) for request in batch])
        # Padding takes no positions, so a long neighbour does not shorten anyone's room.
        limit = max(request.max_tokens for request in batch)
        with torch.inference_mode():
            output = self.model.generate(
                input_ids=ids.to(self.model.device),
                attention_mask=mask.to(self.model.device),
                do_sample=False,
                max_new_tokens=limit,
                pad_token_id=self._pad,
            )
        return [self._reply(request, row) for request, row in zip(batch, output[:, longest:].tolist(), strict=True)]

    def _reply(self, request: _Request, row: list[int]) -> Reply:
        end = next((place for place, token in enumerate(row) if token in self._ends), None)
        finished = end is not None and end < request.max_tokens
        kept = row[: end if finished else request.max_tokens]
        text = str(self.tokenizer.decode(kept, skip_special_tokens=True))
        return Reply(text, len(request.ids), len(kept) + int(finished), finished)


def _as_list(*values: int | list[int] | None) -> list[int]:
    found: list[int] = []
    for value in values:
        found += value if isinstance(value, list) else [] if value is None else [value]
    return found
