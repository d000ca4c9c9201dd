"""What an answer of a chat endpoint amounts to that is no completion: it may pass, the model will not have this
request, or no request can succeed. Used by all that ask or are told of it; pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from pydantic_core import from_json

from reasoner_workloads.curation.models.segments import Completion

#: Times that a request is tried again after a failure that may pass.
RETRIES = 10
#: The same after an answer without a choice that can be read, which mostly stays so.
EMPTY_RETRIES = 2
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
        return cut(body)
    if isinstance(value, list) and value:
        value = value[0]
    for key in ("error", "message", "detail"):
        if isinstance(value, dict) and value.get(key):
            value = value[key]
    return str(value)[:_MESSAGE]


def cut(body: bytes) -> str:
    """As much of a body as a message shows."""
    return body[:_MESSAGE].decode(errors="replace")
