"""What a GRPORun is watched for while nobody looks: part of its spec. Used by `grpo`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from reasoner_api.base import Model

Action = Literal["stop", "pause", "warn"]


class RewardCollapse(Model):
    """Guard against a reward that has been lost again."""

    action: Action = "warn"
    """What is done."""
    drop: Annotated[float, Field(ge=0)] = 0.3
    """Fires when the mean reward lies so far below the best mean of this run."""
    window: Annotated[int, Field(ge=1)] = 20
    """Generations that a mean is taken over."""


class KLBlowUp(Model):
    """Guard against a policy that runs away from the base model."""

    action: Action = "warn"
    """What is done."""
    max: Annotated[float, Field(ge=0)] = 5.0
    """Fires when the mean KL divergence, nats a token, exceeds it."""
    window: Annotated[int, Field(ge=1)] = 4
    """Generations that the mean is taken over."""


class LengthBlowUp(Model):
    """Guard against responses that grow without end."""

    action: Action = "warn"
    """What is done."""
    max_growth: Annotated[float, Field(ge=1)] = 5.0
    """Fires when the mean response is so many times as long as at the beginning."""
    window: Annotated[int, Field(ge=1)] = 20
    """Generations that the means are taken over."""


class Hang(Model):
    """Guard against a process group that waits for ever. Each process writes the stacks of all its threads to the log;
    then the pod fails, is counted, and is replaced by one that goes on from the newest checkpoint."""

    factor: Annotated[float, Field(ge=2)] = 10.0
    """Fires when there has been no step for so many times the median time of a generation with all its steps."""
    min_seconds: Annotated[float, Field(ge=1)] = 1800.0
    """Seconds without a step that are never taken for a hang; of the first step nothing else is known. While scores are
    waited for, `reward.verifierUnavailable.waitSeconds` is waited out as well, and each of the verifier's answers is a
    sign of life."""


class Guards(Model):
    """What is watched while nobody looks. `stop` fails the run, `pause` saves a checkpoint and stalls it until somebody
    sets `suspend` and clears it, `warn` raises an Event."""

    nan: Action = "stop"
    """Loss or gradient that is no number. A pause keeps the checkpoint before it."""
    reward_collapse: RewardCollapse = RewardCollapse()
    """A reward that has been lost again."""
    kl: KLBlowUp = KLBlowUp()
    """A policy that runs away."""
    response_length: LengthBlowUp = LengthBlowUp()
    """Responses that grow without end."""
    hang: Hang = Hang()
    """No step for too long."""
