"""The models of the pipeline's roles, behind OpenAI-compatible endpoints: bounded, rated, counted, their replies
validated. Used by `stages` and `judge`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

import openai
from openai.types.chat import ChatCompletion
from pydantic import ValidationError

from reasoner_api.curation import CurationWork, ModelEndpoint
from reasoner_api.task import api_key_variable
from reasoner_workloads.common.run import ConfigError, WorkloadError
from reasoner_workloads.curation.ledger import Ledger
from reasoner_workloads.curation.limits import Limit
from reasoner_workloads.curation.prompts import Messages, Reply
from reasoner_workloads.curation.records import Dropped

R = TypeVar("R", bound=Reply)

ROLES = ("extractor", "annotator", "solver", "judge")
#: Times that the client tries again after a failure that may pass, with exponential backoff.
RETRIES = 6
#: Requests refused, with none granted, after which it is the configuration that is wrong and not the rows.
REFUSALS = 10
#: Characters a token, for what a request will take of the token rate before its usage is known.
CHARACTERS_PER_TOKEN = 4

_FENCE = re.compile(r"^\s*```(?:json)?\s*(.*?)\s*```\s*$", re.DOTALL)


class Line:
    """The way to one endpoint, shared by the roles that use it."""

    def __init__(self, endpoint: ModelEndpoint, key: str | None, shards: int) -> None:
        self.slots = asyncio.Semaphore(endpoint.concurrency)
        self.requests = _limit(endpoint.requests_per_minute, shards)
        self.tokens = _limit(endpoint.tokens_per_minute, shards)
        # The client insists on a key; without one of ours the header is left out of each request.
        self.headers = {} if key else {"Authorization": openai.Omit()}
        self.client = openai.AsyncOpenAI(
            base_url=endpoint.base_url,
            api_key=key or "none",
            timeout=endpoint.timeout_seconds,
            max_retries=RETRIES,
        )


def _limit(a_minute: int | None, shards: int) -> Limit | None:
    return Limit(a_minute, 60.0, shards) if a_minute is not None else None


class Model:
    """One role's model."""

    def __init__(self, role: str, endpoint: ModelEndpoint, line: Line, ledger: Ledger) -> None:
        self.role = role
        self.endpoint = endpoint
        self.line = line
        self.ledger = ledger
        default = 1.0 if role == "solver" else 0.0
        self.temperature = default if endpoint.temperature is None else endpoint.temperature
        self._granted = self._refused = 0

    async def write(self, messages: Messages, seed: int | None = None) -> str:
        """A free reply. `seed` tells candidates apart. Raises Dropped (`refused`) where the model will not have these
        messages, ConfigError or WorkloadError where it has none."""
        return await self._reply(messages, {} if seed is None else {"seed": seed})

    async def ask(self, messages: Messages, shape: type[R]) -> R:
        """A reply of the given shape; one that does not fit is asked for once more. Raises Dropped (`invalid_reply`)
        where that does not fit either, and as `write`."""
        form = _form(shape)
        text = await self._reply(messages, form)
        try:
            return _read(text, shape)
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'reply'}: {e['msg']}" for e in error.errors())
        again = f"That reply does not fit the schema ({faults[:1000]}). Reply once more, with JSON alone."
        text = await self._reply(
            [*messages, {"role": "assistant", "content": text}, {"role": "user", "content": again}], form
        )
        try:
            return _read(text, shape)
        except ValidationError as error:
            raise Dropped("invalid_reply", f"{self.role}: {text[:200]}") from error

    async def _reply(self, messages: Messages, options: dict[str, Any]) -> str:
        """One request, within the limits and counted."""
        line, guess = self.line, sum(len(m["content"]) for m in messages) // CHARACTERS_PER_TOKEN
        async with line.slots:
            self.ledger.check()
            if line.requests is not None:
                await line.requests.acquire()
            if line.tokens is not None:
                await line.tokens.acquire(guess)
            completion = await self._complete(messages, options)
            text = (completion.choices[0].message.content or "") if completion.choices else ""
            usage = completion.usage
            prompt = usage.prompt_tokens if usage else guess
            written = usage.completion_tokens if usage else len(text) // CHARACTERS_PER_TOKEN
            self.ledger.enter(prompt, written, self.endpoint.price)
            if line.tokens is not None:
                await line.tokens.acquire(max(0, prompt + written - guess))
        return text

    async def _complete(self, messages: Messages, options: dict[str, Any]) -> ChatCompletion:
        where = f"models.{self.role}: {self.endpoint.base_url}"
        try:
            # The client's method for any endpoint: its typed one walks each message and schema by their types, which
            # costs more than the request.
            completion = await self.line.client.post(
                "/chat/completions",
                body={
                    "model": self.endpoint.model,
                    "messages": messages,
                    "temperature": self.temperature,
                    "max_tokens": self.endpoint.max_tokens,
                    **options,
                },
                options={"headers": self.line.headers},
                cast_to=ChatCompletion,
            )
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            self._refused += 1
            if not self._granted and self._refused >= REFUSALS:
                raise ConfigError(f"{where} refuses every request: {error.message}", reason="ModelRefused") from error
            raise Dropped("refused", f"{self.role}: {error.message}"[:300]) from error
        except (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError) as error:
            raise ConfigError(f"{where}: {error.message}", reason="ModelRefused") from error
        except openai.APIError as error:
            raise WorkloadError(f"{where}: {error.message}", reason="ModelUnavailable") from error
        self._granted += 1
        return completion


def open_models(work: CurationWork, ledger: Ledger, env: Mapping[str, str]) -> dict[str, Model]:
    """The model of each role; a role without an endpoint of its own uses the extractor's, key and limits included."""
    lines: dict[str, Line] = {}
    models: dict[str, Model] = {}
    for role in ROLES:
        own: ModelEndpoint | None = getattr(work.models, role)
        holder = role if own else "extractor"
        endpoint = own or work.models.extractor
        if holder not in lines:
            key = env.get(api_key_variable(holder))
            if endpoint.api_key_secret_ref is not None and not key:
                raise ConfigError(f"models.{holder}.apiKeySecretRef: {api_key_variable(holder)} is not set")
            lines[holder] = Line(endpoint, key, work.shards)
        models[role] = Model(role, endpoint, lines[holder], ledger)
    return models


async def close_models(models: Mapping[str, Model]) -> None:
    """Close the ways to all endpoints."""
    for line in {id(model.line): model.line for model in models.values()}.values():
        await line.client.close()


@cache
def _form(shape: type[Reply]) -> dict[str, Any]:
    """The option that asks for a shape."""
    schema = {"name": shape.__name__.lower(), "strict": True, "schema": shape.model_json_schema()}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def _read(text: str, shape: type[R]) -> R:
    """The reply in its shape; models like to fence JSON."""
    fenced = _FENCE.match(text)
    return shape.model_validate_json(fenced.group(1) if fenced else text)
