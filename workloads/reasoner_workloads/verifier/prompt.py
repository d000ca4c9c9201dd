"""How a verifier is asked and how its reply is read: the same in its training, its measurement and the GRPO reward.
Pure."""

from __future__ import annotations

import re

from reasoner_api.common import VerifierPrompt
from reasoner_workloads.common.run import ConfigError

FIELDS = ("question", "ground_truth", "student_answer")
_FIELD = re.compile(r"\{(question|ground_truth|student_answer)\}")


def check(prompt: VerifierPrompt) -> None:
    """Raise ConfigError where the template leaves out what a verdict needs."""
    if missing := [name for name in FIELDS if f"{{{name}}}" not in prompt.template]:
        raise ConfigError(f"prompt.template: it does not contain {', '.join(f'{{{name}}}' for name in missing)}")


def ask(prompt: VerifierPrompt, question: str, ground_truth: str, student_answer: str) -> str:
    """The prompt for one answer. Other braces of the template, as in LaTeX, stay as they are."""
    values = dict(zip(FIELDS, (question, ground_truth, student_answer), strict=True))
    return _FIELD.sub(lambda found: values[found.group(1)], prompt.template)


def reply(prompt: VerifierPrompt, reasoning: str, verdict: bool) -> str:
    """What the verifier is taught to reply."""
    return f" {reasoning.strip()}\n{prompt.pass_marker if verdict else prompt.fail_marker}"


def passed(prompt: VerifierPrompt, text: str) -> bool:
    """Whether a reply is a pass."""
    return prompt.pass_marker in text
