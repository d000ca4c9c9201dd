"""The parameters that an endpoint does not know. Used by `endpoint`.

Endpoints that call themselves compatible differ in what they take: some refuse `seed`, some a temperature, some want
`max_completion_tokens`, some know no JSON schema. What an endpoint refuses by name is put in another way from then on;
what the request asks for, and is kept under, stays the same."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

log = logging.getLogger(__name__)

Body = dict[str, Any]


def _without(name: str) -> Callable[[Body], Body]:
    return lambda body: {key: value for key, value in body.items() if key != name}


def _renamed(body: Body) -> Body:
    found = _without("max_tokens")(body)
    return {**found, "max_completion_tokens": body["max_tokens"]} if "max_tokens" in body else found


def _schema_in_words(body: Body) -> Body:
    """The schema as a part of the instructions; the reply is held to it all the same."""
    form = body.get("response_format")
    if form is None:
        return body
    first, *rest = body["messages"]
    schema = json.dumps(form["json_schema"]["schema"], ensure_ascii=False)
    told = {**first, "content": f"{first['content']}\nThe reply is one JSON object that fits this schema: {schema}"}
    return {**_without("response_format")(body), "messages": [told, *rest]}


#: By the words of a refusal, how it is put otherwise.
_OTHERWISE: Mapping[str, Callable[[Body], Body]] = {
    "max_tokens": _renamed,
    "seed": _without("seed"),
    "temperature": _without("temperature"),
    "response_format": _schema_in_words,
}
_NAMES = {
    "max_tokens": re.compile(r"\bmax_tokens\b"),
    "seed": re.compile(r"\bseed\b"),
    "temperature": re.compile(r"\btemperature\b"),
    "response_format": re.compile(r"\bresponse_format\b|\bresponse_schema\b|\bjson_schema\b"),
}


class Dialect:
    """How one endpoint is spoken to."""

    def __init__(self) -> None:
        self._learnt: list[str] = []

    def speak(self, body: Body) -> Body:
        """The request as the endpoint takes it."""
        for name in self._learnt:
            body = _OTHERWISE[name](body)
        return body

    def learn(self, refusal: str, spoken: Body) -> bool:
        """Whether a refusal names a parameter that the request can do without; it does from now on."""
        for name, words in _NAMES.items():
            if name in spoken and words.search(refusal):
                if name not in self._learnt:
                    log.warning("an endpoint does not take %s: it is put otherwise (%s)", name, refusal)
                    self._learnt.append(name)
                return True
        return False
