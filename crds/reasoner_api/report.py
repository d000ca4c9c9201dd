"""The word a pod leaves: served as `/progress` while it runs, written as the termination message at its end.
Written by the workloads' `common.progress`, read by the operator's `status`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from reasoner_api.base import Open
from reasoner_api.grpo import Lineage
from reasoner_api.status import Artifact, Checkpoint, Progress, StageCount, Usage, Warned

#: Bytes of a termination message that Kubernetes keeps.
MAX_TERMINATION_BYTES = 4096
#: Characters of the message where more than the message is too long.
SHORT_MESSAGE = 300


class RunReport(Open):
    """State of a run as its pod sees it. Each pod of a CurationJob leaves one, with its own counts and the progress of
    the whole; the one that publishes names the artifacts and holds the counts of all."""

    state: Literal["Running", "Succeeded", "Failed", "Paused"] = "Running"
    """Whether it still runs, and how it ended. `Paused`: it goes on from its checkpoint once what it lacks is there."""
    reason: str = ""
    """One word for a failure or a pause: BadConfig, BudgetExceeded, VerifierUnavailable, Error, ..."""
    message: str = ""
    """A sentence for people: what is being done, or why it failed and what to do."""
    complete: bool = False
    """Whether this report speaks for the whole run and not for a shard alone."""
    progress: Progress = Progress()
    """How far it is."""
    stages: list[StageCount] = Field(default_factory=list)
    """The funnel so far."""
    usage: Usage | None = None
    """What the models were asked so far."""
    metrics: dict[str, float] = Field(default_factory=dict)
    """Figures by name: step, max_steps, loss, agreement, reward, accuracy, response_length, kl,
    reward_before, reward_after, extraction_failures, tokens_per_second, ..."""
    artifacts: dict[str, Artifact] = Field(default_factory=dict)
    """What was published: dataset, verifier_data, model."""
    last_checkpoint: Checkpoint | None = None
    """Newest checkpoint."""
    lineage: Lineage | None = None
    """What the model was made from."""
    warnings: list[Warned] = Field(default_factory=list)
    """What went wrong without ending the run, newest last, a few of them."""

    def termination_message(self) -> str:
        """The report as JSON of at most 4,096 bytes, which a node would cut in the middle. What does not fit is left
        out: the end of the message, then the warnings, then the figures named last."""
        text = self._text()
        if (excess := _excess(text)) > 0:
            short = self.message.encode()[: -(excess + 16)].decode(errors="ignore") if self.message else ""
            text = self._text(message=short)
        if _excess(text) > 0:
            short = self.message[:SHORT_MESSAGE]
            text = self._text(message=short, warnings=[])
            figures = dict(self.metrics)
            while _excess(text) > 0 and figures:
                figures.popitem()
                text = self._text(message=short, warnings=[], metrics=figures)
        return text

    def _text(self, **changes: Any) -> str:
        return self.model_copy(update=changes).model_dump_json(by_alias=True, exclude_defaults=True)


def _excess(text: str) -> int:
    return len(text.encode()) - MAX_TERMINATION_BYTES
