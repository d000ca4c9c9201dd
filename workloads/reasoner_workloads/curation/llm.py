"""The models of the pipeline's roles: each question is asked once and its answer kept, replies are held to their
shapes. Used by `stages` and `judge`."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

from pydantic import ValidationError

from reasoner_api.curation import CurationWork, ModelEndpoint
from reasoner_api.task import api_key_variable
from reasoner_workloads.common.run import ConfigError
from reasoner_workloads.curation import json_text
from reasoner_workloads.curation.models import wire
from reasoner_workloads.curation.models.cells import Answers
from reasoner_workloads.curation.models.endpoint import Asked, Endpoint
from reasoner_workloads.curation.models.failures import Refused
from reasoner_workloads.curation.models.purse import Bill, Purse
from reasoner_workloads.curation.models.segments import Completion
from reasoner_workloads.curation.models.traffic import Traffic
from reasoner_workloads.curation.prompts import Messages, Reply
from reasoner_workloads.curation.records import Dropped

R = TypeVar("R", bound=Reply)

ROLES = ("extractor", "annotator", "solver", "judge")
#: Times that a reply which does not fit its shape is asked for again.
REPAIRS = 2
#: Characters of such a reply that the model is shown again: one that ran on would fill its context.
REPAIR_CHARACTERS = 8000


class Model:
    """One role's model."""

    def __init__(self, role: str, spec: ModelEndpoint, endpoint: Endpoint) -> None:
        self.role = role
        self.spec = spec
        self.endpoint = endpoint
        default = 1.0 if role == "solver" else 0.0
        self.temperature = default if spec.temperature is None else spec.temperature
        self._kept: Answers | None = None

    def at(self, kept: Answers) -> Model:
        """The same model for a row, with what is kept of its answers to that."""
        found = copy.copy(self)
        found._kept = kept
        return found

    async def write(self, messages: Messages, seed: int | None = None) -> str:
        """A free reply, as far as it goes. `seed` tells candidates apart. Raises Dropped (`refused`) where the model
        will not have these messages, ConfigError or WorkloadError where it has none."""
        return (await self._reply(messages, {} if seed is None else {"seed": seed})).text

    async def ask(self, messages: Messages, shape: type[R]) -> R:
        """A reply of the given shape; one that does not fit is asked for again, REPAIRS times at most. Raises Dropped
        (`invalid_reply`, or `refused` where a content filter has ended the reply), and as `write`."""
        form, asked = _form(shape), messages
        for _ in range(REPAIRS + 1):
            completion = await self._reply(asked, form)
            if completion.finish == "content_filter":
                raise Dropped("refused", f"{self.role}: ended by a content filter")
            try:
                return shape.model_validate_json(json_text.found_in(completion.text))
            except ValidationError as error:
                again = [
                    {"role": "assistant", "content": completion.text[:REPAIR_CHARACTERS]},
                    {"role": "user", "content": _complaint(completion, error)},
                ]
                asked = [*asked, *again]
        raise Dropped("invalid_reply", f"{self.role}: {completion.text[:200]}")

    async def _reply(self, messages: Messages, options: dict[str, Any]) -> Completion:
        """The answer to one request: the kept one, or one that is paid for and kept."""
        assert self._kept is not None, "a model answers for a row"
        body = {
            "model": self.spec.model,
            "messages": messages,
            "temperature": self.temperature,
            "max_tokens": self.spec.max_tokens,
            **options,
        }
        asked = Asked(
            key=wire.digest(self.spec.base_url, body),
            body=body,
            bill=Bill(self.role, sum(wire.tokens_of(message["content"]) for message in messages), self.spec.price),
        )
        try:
            answering = self._kept.answer(asked.key, lambda: self.endpoint.complete(asked))
            completion, kept = await self.endpoint.flights.run(answering)
        except Refused as refusal:
            raise Dropped("refused", f"{self.role}: {refusal}"[:300]) from refusal
        await self.endpoint.kept(asked.key)
        if kept:
            self.endpoint.purse.ledger.reuse(self.role, completion, self.spec.price)
        return completion


def open_models(work: CurationWork, purse: Purse, env: Mapping[str, str], pods: int) -> dict[str, Model]:
    """The model of each role; a role without an endpoint of its own uses the extractor's, key and limits included.
    Those that name the same server, model and key share their limits."""
    specs: dict[str, ModelEndpoint] = {role: own for role in ROLES if (own := getattr(work.models, role))}
    keys = {role: _key(role, spec, env) for role, spec in specs.items()}
    places = {role: (spec.base_url.rstrip("/"), spec.model, keys[role]) for role, spec in specs.items()}
    traffic = {
        place: Traffic([specs[role] for role in specs if places[role] == place], pods) for place in places.values()
    }
    endpoints = {role: Endpoint(role, spec, keys[role], traffic[places[role]], purse) for role, spec in specs.items()}
    holders = {role: role if role in specs else "extractor" for role in ROLES}
    return {role: Model(role, specs[holder], endpoints[holder]) for role, holder in holders.items()}


def _key(role: str, spec: ModelEndpoint, env: Mapping[str, str]) -> str | None:
    """The API key. Secrets made from files mostly end in a line break, which is no part of it."""
    name = api_key_variable(role)
    key = env.get(name, "").strip()
    if spec.api_key_secret_ref is not None and not key:
        raise ConfigError(f"models.{role}.apiKeySecretRef: {name} is not set, or empty")
    if not key.isprintable():
        raise ConfigError(f"models.{role}.apiKeySecretRef: {name} holds a control character: the Secret is no API key")
    return key or None


async def close_models(models: Mapping[str, Model]) -> None:
    """Close the ways to all endpoints, once what is on its way has come and is kept."""
    for endpoint in {id(model.endpoint): model.endpoint for model in models.values()}.values():
        await endpoint.close()


@cache
def _form(shape: type[Reply]) -> dict[str, Any]:
    """The option that asks for a shape."""
    schema = {"name": shape.__name__.lower(), "strict": True, "schema": shape.model_json_schema()}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def _complaint(completion: Completion, error: ValidationError) -> str:
    """What is wrong with a reply, for the model to mend."""
    if completion.finish == "length":
        return "That reply was cut off. Reply once more, much more briefly, with JSON alone."
    faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'reply'}: {e['msg']}" for e in error.errors())
    return f"That reply does not fit the schema ({faults[:1000]}). Reply once more, with JSON alone."
