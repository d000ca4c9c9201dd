"""What goes to a verifier's server and comes back from it, as bytes. Used by `verifier_client`; pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic_core import from_json, to_json

from reasoner_api.reward import CompletionsAPI
from reasoner_workloads.grpo.circuit import NoAnswer, VerifierUnavailable

PATHS: dict[CompletionsAPI, str] = {"completions": "completions", "chat": "chat/completions"}
#: Statuses that may pass.
RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
#: Statuses that speak of this prompt (too long, say) and not of the server.
REFUSED = frozenset({400, 413, 422})
#: How a completion ends that vLLM has given up, as it is ending itself: the status is 200, and the text is cut short.
GIVEN_UP = frozenset({"abort", "error"})
#: Characters of a reply that go into a message.
SHOWN = 300


class Requests:
    """Bodies of one verifier's requests: what they share is written once."""

    def __init__(self, model: str, max_tokens: int, api: CompletionsAPI) -> None:
        self.api = api
        shared = to_json({"model": model, "max_tokens": max_tokens, "temperature": 0})[:-1]
        self._head = shared + (b',"messages":[{"role":"user","content":' if api == "chat" else b',"prompt":')
        self._tail = b"}]}" if api == "chat" else b"}"

    def body(self, prompts: Sequence[str]) -> bytes:
        """Asks for one completion of each prompt; the chat API takes one at a time."""
        return self._head + to_json(prompts[0] if len(prompts) == 1 else prompts) + self._tail


def texts(status: int, body: bytes, count: int) -> list[str]:
    """The completions in a reply to so many prompts, in their order; none where the prompts are refused. Raises
    NoAnswer, or VerifierUnavailable where asking again would not help."""
    if status in RETRIED:
        raise NoAnswer(f"{status} {_shown(body)}")
    if status in REFUSED:
        return []
    if status != 200:
        raise VerifierUnavailable(f"{status} {_shown(body)}")
    try:
        choices = from_json(body)["choices"]
        if len(choices) > 1:
            choices.sort(key=lambda choice: choice["index"])
        found = [_text(choice) for choice in choices]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise NoAnswer(f"it replies no completion: {_shown(body)}") from error
    if any(choice.get("finish_reason") in GIVEN_UP for choice in choices):
        raise NoAnswer(f"the server has given up its reply: {_shown(body)}")
    if len(found) != count:
        raise NoAnswer(f"it replies {len(found)} completions to {count} prompts: {_shown(body)}")
    return found


def _text(choice: dict[str, Any]) -> str:
    text = choice["text"] if "text" in choice else choice["message"]["content"] or ""
    if not isinstance(text, str):
        raise TypeError("a completion is text")
    return text


def _shown(body: bytes) -> str:
    return body[: 4 * SHOWN].decode(errors="replace")[:SHOWN]
