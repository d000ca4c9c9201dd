"""What goes to a chat endpoint, and the completion that its answer holds. Used by all that ask; pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from math import inf
from typing import Any, NamedTuple

from pydantic_core import from_json

from reasoner_workloads.curation.charset import storable
from reasoner_workloads.curation.models.failures import Empty, Failure, Lost, Passing, cut, failure
from reasoner_workloads.curation.models.segments import Completion

#: Characters a token, for what a server does not count.
CHARACTERS_PER_TOKEN = 4


class Told(NamedTuple):
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def digest(base_url: str, body: Mapping[str, Any]) -> str:
    """What a request is known by: the same question to the same endpoint has the same."""
    text = json.dumps([base_url, body], ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def tokens_of(text: str) -> int:
    """Tokens of a text, more or less."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def parsed(text: bytes) -> Any:
    """A JSON text. Raises ValueError."""
    try:
        return from_json(text)
    except ValueError:
        # Half a surrogate pair, which models write now and then, and which only Python's own parser takes.
        try:
            return json.loads(text)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


def read(status: int, headers: Mapping[str, str], body: bytes) -> Completion:
    """The completion in an answer. Raises Passing, Refused or Misconfigured."""
    if status != 200:
        raise failure(status, headers, body)
    value = _value(body)
    try:
        return _choice(value, headers, body)
    except Failure as failed:
        if isinstance(usage := value.get("usage"), dict) and any(counts := _counts(usage)):
            failed.paid = Completion("", *counts)
        raise


def _choice(value: dict[str, Any], headers: Mapping[str, str], body: bytes) -> Completion:
    if "choices" not in value:
        # Gateways pass on what the provider said, under a status of their own.
        told = value.get("error")
        code = told.get("code") if isinstance(told, dict) else None
        if told is None:
            raise Passing(f"the answer is no chat completion: {cut(body)}")
        raise failure(code if isinstance(code, int) and 400 <= code < 600 else 502, headers, body)
    if value["choices"] == []:
        raise Empty
    try:
        choice = value["choices"][0]
        return _completion(choice["message"], choice.get("finish_reason") or "stop", value.get("usage"))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise Empty(f"the answer's choice cannot be read: {cut(body)}") from error


def _value(body: bytes) -> dict[str, Any]:
    try:
        value = parsed(body)
    except ValueError as error:
        raise Lost(f"the answer is no JSON: {cut(body)}") from error
    if not isinstance(value, dict):
        raise Passing(f"the answer is no chat completion: {cut(body)}")
    return value


def _completion(message: dict[str, Any], finish: str, usage: Any) -> Completion:
    content = message.get("content") or ""
    if isinstance(content, list):
        content = "".join(part.get("text") or "" for part in content)
    content = storable(content)
    if message.get("refusal"):
        finish = "content_filter"
    # Without the server's count the caller has to guess.
    prompt, written = _counts(usage if isinstance(usage, dict) else {})
    return Completion(content, prompt, written or tokens_of(content), finish)


def _counts(usage: dict[str, Any]) -> tuple[int, int]:
    """Tokens of the prompt, and those written: some servers (Gemini's) leave what was thought out of these, and have it
    in the sum alone."""
    counts = (usage.get(f"{name}_tokens") for name in ("prompt", "completion", "total"))
    prompt, written, total = (
        int(count) if isinstance(count, int | float) and 0 < count < inf else 0 for count in counts
    )
    return prompt, max(written, total - prompt) if prompt else written
