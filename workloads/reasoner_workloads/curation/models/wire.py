"""What goes to a chat endpoint, and what its answers amount to: a completion, or a failure of one of three kinds. Used
by `endpoint` and `llm`; pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import inf
from typing import Any, NamedTuple

from pydantic_core import from_json

from reasoner_workloads.curation.charset import storable
from reasoner_workloads.curation.models.segments import Completion

#: Times that a request is tried again after a failure that may pass.
RETRIES = 10
#: The same after an answer without a choice that can be read, which mostly stays so.
EMPTY_RETRIES = 2
#: Characters a token, for what a server does not count.
CHARACTERS_PER_TOKEN = 4
#: Characters of a server's message that are passed on.
_MESSAGE = 300
#: What servers call a wrong key where they do not answer 401 (Gemini: 400).
_BAD_KEY = re.compile(rb"invalid_api_key|API_KEY_INVALID|API key not valid", re.IGNORECASE)
_NO_MODEL = re.compile(rb"model_not_found|model_not_available", re.IGNORECASE)
#: An account without money: no waiting helps, though the status is the one that asks to wait.
_NO_MONEY = re.compile(rb"insufficient_quota|billing_hard_limit", re.IGNORECASE)
#: How Gemini says when to come again.
_DELAY = re.compile(rb'"retryDelay"\s*:\s*"([0-9.]+)s"')
_PASSING = frozenset({408, 409, 425, 429})
#: Statuses by which a server says that it is asked too much.
_PRESSED = frozenset({429, 503, 529})


class Told(NamedTuple):
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Failure(Exception):
    """An answer that is no completion."""

    paid: Completion | None = None
    """What it says that it has cost all the same."""


class Passing(Failure):
    """It may pass: the request is tried again, `retries` times at most, not before `after` seconds. `pressed`: the
    server is asked too much."""

    def __init__(
        self, message: str, *, after: float | None = None, pressed: bool = False, retries: int | None = None
    ) -> None:
        super().__init__(message)
        self.after = after
        self.pressed = pressed
        self.retries = RETRIES if retries is None else retries


class Lost(Passing):
    """The model may have worked on it, and its answer did not come, or not whole: what it has cost nobody says."""


class TimedOut(Lost):
    """No answer came in time."""


class Empty(Passing):
    """An answer without a choice that can be read."""

    def __init__(self, message: str = "the answer holds no choice") -> None:
        super().__init__(message, retries=EMPTY_RETRIES)


class Refused(Failure):
    """The model will not have this request, whatever it thinks of others."""


class Misconfigured(Failure):
    """No request can succeed until `field` of the endpoint's spec is mended."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class Denied(Misconfigured):
    """A status that says so, and by which some gateways mean this one request."""


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
            raise Passing(f"the answer is no chat completion: {_cut(body)}")
        raise failure(code if isinstance(code, int) and 400 <= code < 600 else 502, headers, body)
    if value["choices"] == []:
        raise Empty
    try:
        choice = value["choices"][0]
        return _completion(choice["message"], choice.get("finish_reason") or "stop", value.get("usage"))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise Empty(f"the answer's choice cannot be read: {_cut(body)}") from error


def _value(body: bytes) -> dict[str, Any]:
    try:
        value = parsed(body)
    except ValueError as error:
        raise Lost(f"the answer is no JSON: {_cut(body)}") from error
    if not isinstance(value, dict):
        raise Passing(f"the answer is no chat completion: {_cut(body)}")
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


def _count(value: Any) -> int:
    return int(value) if isinstance(value, int | float) and 0 < value < inf else 0


def failure(status: int, headers: Mapping[str, str], body: bytes) -> Passing | Refused | Misconfigured:
    """What an answer amounts to that is no success."""
    says = f"{status}: {message_of(body)}"
    if status == 429 and _NO_MONEY.search(body):
        return Misconfigured("apiKeySecretRef", f"{says} (the account behind the key has nothing left to spend)")
    if status in _PASSING or status >= 500:
        return Passing(says, after=retry_after(headers, body), pressed=status in _PRESSED)
    if status in (401, 402) or _BAD_KEY.search(body):
        return Misconfigured("apiKeySecretRef", says)
    if status == 403:
        return Denied("apiKeySecretRef", says)
    if status == 404 or _NO_MODEL.search(body):
        kind = Denied if status == 404 else Misconfigured
        return kind("model", f"{says} (no such model, or baseURL leads elsewhere)")
    if status in (400, 413, 422):
        return Refused(says)
    return Misconfigured("baseURL", f"{says} (no chat endpoint is there)")


def retry_after(headers: Mapping[str, str], body: bytes = b"") -> float | None:
    """Seconds for which the server wants to be left alone, if it says so: in milliseconds, seconds or as a date."""
    try:
        if milliseconds := headers.get("retry-after-ms"):
            return max(0.0, float(milliseconds) / 1000)
        if text := headers.get("retry-after"):
            if re.fullmatch(r"[0-9.]+", text.strip()):
                return float(text)
            return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        # What it wants is not understood, so it is as if it had said nothing.
        return None
    delay = _DELAY.search(body)
    return float(delay.group(1)) if delay else None


def message_of(body: bytes) -> str:
    """What a server says is wrong, in any of the forms that endpoints have."""
    try:
        value = from_json(body)
    except ValueError:
        return _cut(body)
    if isinstance(value, list) and value:
        value = value[0]
    for key in ("error", "message", "detail"):
        if isinstance(value, dict) and value.get(key):
            value = value[key]
    return str(value)[:_MESSAGE]


def _cut(body: bytes) -> str:
    return body[:_MESSAGE].decode(errors="replace")
