"""How a verifier is asked and how its reply is read: the same in its training, its measurement and the GRPO reward.
Pure."""

from __future__ import annotations

import re

from reasoner_api.common import VerifierPrompt
from reasoner_workloads.common.run import ConfigError

FIELDS = ("question", "ground_truth", "student_answer")
_FIELD = re.compile(r"\{(question|ground_truth|student_answer)\}")


def check(prompt: VerifierPrompt) -> None:
    """Raise ConfigError where the template leaves out what a verdict needs, or a pass cannot be told from a fail."""
    if missing := [name for name in FIELDS if f"{{{name}}}" not in prompt.template]:
        raise ConfigError(f"prompt.template: it does not contain {', '.join(f'{{{name}}}' for name in missing)}")
    if prompt.pass_marker in prompt.fail_marker:
        raise ConfigError(f"prompt.failMarker: it contains passMarker {prompt.pass_marker!r}: every reply would pass")


def ask(prompt: VerifierPrompt, question: str, ground_truth: str, student_answer: str) -> str:
    """The prompt for one answer. Other braces of the template, as in LaTeX, stay as they are."""
    values = dict(zip(FIELDS, (question, ground_truth, student_answer), strict=True))
    return _FIELD.sub(lambda found: values[found.group(1)], prompt.template)


def reply(prompt: VerifierPrompt, reasoning: str, verdict: bool) -> str:
    """What the verifier is taught to reply. A decision that the reasoning ends with is not said twice."""
    marker = prompt.pass_marker if verdict else prompt.fail_marker
    thought = reasoning.strip().removesuffix(marker).strip()
    return f" {thought}\n{marker}" if thought else f" {marker}"


def decided(prompt: VerifierPrompt, text: str) -> bool | None:
    """Whether a reply is a pass: of several decisions the last counts, as a verifier may think aloud. None where it
    says neither."""
    passing, failing = text.rfind(prompt.pass_marker), text.rfind(prompt.fail_marker)
    # Of two that begin at the same place one is the beginning of the other: the longer was written.
    if passing == failing and passing >= 0:
        return len(prompt.pass_marker) > len(prompt.fail_marker)
    return None if passing == failing else passing > failing
