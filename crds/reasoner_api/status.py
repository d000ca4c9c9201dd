"""What the statuses of all three kinds share. Written by the operator's `status`, read by users."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from reasoner_api.base import Digest, Open

Phase = Literal["Pending", "Waiting", "Running", "Deploying", "Suspended", "Succeeded", "Failed"]


class Condition(Open):
    """A condition as in metav1.Condition."""

    type: str
    """Ready, Reconciling or Stalled (kstatus)."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: str
    """One word for programs."""
    message: str = ""
    """A sentence for people."""
    last_transition_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """When the status last changed."""
    observed_generation: int = 0
    """Generation of the spec that it speaks of."""


class Artifact(Open):
    """A published, content-addressed artifact."""

    uri: str
    """Prefix of its files, the folder that holds `manifest.json`."""
    digest: Digest
    """sha256 of the manifest, which holds the sha256 of every file."""
    rows: int | None = None
    """Rows of a dataset."""


class Progress(Open):
    """How far the run is."""

    percent: Annotated[int, Field(ge=0, le=100)] = 0
    """Share of the work that is done."""
    eta_seconds: Annotated[int, Field(ge=0)] | None = None
    """Seconds to the end, estimated from the pace so far."""
    display: str = ""
    """What the run is doing, in a few words, as `kubectl get` shows it."""


class StageCount(Open):
    """One stage of the funnel."""

    name: str
    """Name of the stage."""
    rows_in: Annotated[int, Field(alias="in")] = 0
    """Rows that came in."""
    rows_out: Annotated[int, Field(alias="out")] = 0
    """Rows that went on."""
    dropped: dict[str, int] = Field(default_factory=dict)
    """Rows dropped, by reason."""


class Requests(Open):
    """Requests to models, and what they come to."""

    requests: int = 0
    """Requests answered."""
    prompt_tokens: int = 0
    """Tokens sent."""
    completion_tokens: int = 0
    """Tokens received."""
    cost_usd: Annotated[float, Field(alias="costUSD")] = 0.0
    """Cost by the spec's prices, US dollars."""


class Usage(Requests):
    """What the models were asked and was paid for, in all attempts of the run."""

    reused: Requests | None = None
    """What was asked and found answered: by an earlier attempt, or by another run with the same storage. Its cost is
    what was saved."""
    projected_cost_usd: Annotated[float | None, Field(alias="projectedCostUSD")] = None
    """Cost at the end of the run by the pace so far, US dollars."""


def total(usages: Iterable[Usage], digits: int = 9) -> Usage:
    """The sum of usages. Its costs are rounded, so that the same requests in another order cost the same."""
    found = list(usages)
    reused = [one.reused for one in found if one.reused is not None]
    return Usage(**_sum(found, digits), reused=Requests(**_sum(reused, digits)) if reused else None)


def _sum(counts: Sequence[Requests], digits: int) -> dict[str, Any]:
    summed: dict[str, Any] = {name: sum(getattr(one, name) for one in counts) for name in Requests.model_fields}
    return summed | {"cost_usd": round(summed["cost_usd"], digits)}


class Checkpoint(Open):
    """A checkpoint that a run can resume from."""

    step: int
    """Optimizer step it was taken after."""
    uri: str
    """Prefix of its files."""
    digest: Digest
    """sha256 of its manifest."""


class Warned(Open):
    """Something that went wrong without ending the run."""

    reason: str
    """One word for programs: CheckpointDamaged, RewardCollapse, ..."""
    message: str = ""
    """A sentence for people."""


class RunStatus(Open):
    """Observed state of a run."""

    observed_generation: int = 0
    """Generation of the spec that this status speaks of."""
    phase: Phase | None = None
    """One word for the state."""
    conditions: Annotated[
        list[Condition],
        Field(
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = Field(default_factory=list)
    """Ready, Reconciling and Stalled, as kstatus defines them."""
    progress: Progress | None = None
    """How far the run is."""
    job: str | None = None
    """Name of the Job that does the work."""
    task_digest: str | None = None
    """Digest of what the pods were told."""
    start_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})] | None = None
    """When the Job was started."""
    completion_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})] | None = None
    """When the run ended."""
