"""Rates that the server itself tells, in the headers of its answers: `x-ratelimit-{limit,remaining,reset}-requests` and
`-tokens`, as OpenAI and those who speak like it send them. Used by `endpoint`.

What is left of the server's allowance is mirrored here, refilled at the server's own pace, so that a request waits for
its room instead of being refused. Other pods draw on the same allowance: each answer corrects the picture."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

#: Seconds that a server can make its callers wait at most; one that wants more is asked again all the same.
LONGEST = 600.0
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"([0-9.]+)(ms|s|m|h|d)")


def seconds_of(text: str) -> float | None:
    """`6m0s`, `120ms` or `1.5` in seconds."""
    text = text.strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return float(text)
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


@dataclass
class Allowance:
    """What the server lets through of one thing. Nothing is known of it before the first answer."""

    level: float = 0.0
    limit: float = 0.0
    rate: float = 0.0
    """Refilled a second."""
    at: float = 0.0
    full_at: float = 0.0
    """When all of it is there again; before the first answer, always."""

    def note(self, remaining: float, limit: float, reset: float, now: float) -> None:
        """Take what an answer tells. What is known to be in flight is not in the server's count yet: the lower figure
        of the two is the right one."""
        known = self.left(now)
        self.level = remaining if known is None else min(known, remaining)
        self.limit, self.at, self.full_at = limit, now, now + reset
        self.rate = (limit - remaining) / reset if reset > 0 and limit > remaining else 0.0

    def left(self, now: float) -> float | None:
        """What is left; None where nothing limits."""
        if now >= self.full_at:
            return None
        return min(self.limit, self.level + self.rate * (now - self.at))

    def delay(self, amount: float, now: float) -> float:
        """Seconds until there is room."""
        left = self.left(now)
        if left is None or left >= (amount := min(amount, self.limit)):
            return 0.0
        whole = self.full_at - now
        return min(whole, (amount - left) / self.rate) if self.rate else whole

    def take(self, amount: float, now: float) -> None:
        """Count a request on its way."""
        left = self.left(now)
        if left is not None:
            self.level, self.at = left - amount, now


class Rates:
    """The allowances of one endpoint, and how long it wants to be left alone."""

    def __init__(self) -> None:
        self._of = {"requests": Allowance(), "tokens": Allowance()}
        self._closed_until = 0.0
        # Those who wait do so in their order.
        self._turn = asyncio.Lock()

    async def acquire(self, tokens: float) -> None:
        """Wait until the server has room for a request of so many tokens."""
        async with self._turn:
            amounts = {"requests": 1.0, "tokens": tokens}
            seconds = self._delay(amounts)
            while seconds > 0:
                await asyncio.sleep(min(seconds, LONGEST))
                # Meanwhile other answers may have told otherwise.
                seconds = self._delay(amounts)
            now = time.monotonic()
            for name, amount in amounts.items():
                self._of[name].take(amount, now)

    def note(self, headers: Mapping[str, str]) -> None:
        """Take what an answer's headers tell."""
        for name, allowance in self._of.items():
            told = [headers.get(f"x-ratelimit-{what}-{name}") for what in ("remaining", "limit", "reset")]
            if not all(told):
                continue
            remaining, limit, reset = (seconds_of(text or "") for text in told)
            if remaining is not None and limit is not None and reset is not None:
                allowance.note(remaining, limit, min(reset, LONGEST), time.monotonic())

    def close(self, seconds: float) -> None:
        """The server wants no request for so long."""
        self._closed_until = max(self._closed_until, time.monotonic() + min(seconds, LONGEST))

    def _delay(self, amounts: Mapping[str, float]) -> float:
        now = time.monotonic()
        rates = (self._of[name].delay(amount, now) for name, amount in amounts.items())
        return max(self._closed_until - now, *rates)
