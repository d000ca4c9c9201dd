"""What one generation of a GRPORun comes to over all its processes, and whether it comes out even: a run that cannot
begin must not wait for its GPUs first. Called by `grpo` and `estimate`; pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from reasoner_api.grpo import GRPORunSpec


class Uneven(ValueError):
    """Numbers of the spec do not go together: the field, and what would do."""


@dataclass(frozen=True)
class Generation:
    """The sizes of one generation, as TRL has them."""

    completions: int
    """Over all processes."""
    prompts: int
    """Different questions."""
    passes: int
    """Batches of a process, each as often as it is used."""
    steps: float
    """Optimizer steps."""


def generation(spec: GRPORunSpec, processes: int) -> Generation:
    """The generation of so many training processes."""
    settings = spec.grpo
    completions = settings.per_device_train_batch_size * settings.steps_per_generation * processes
    passes = settings.steps_per_generation * settings.num_iterations
    return Generation(
        completions,
        completions // settings.num_generations,
        passes,
        passes / settings.gradient_accumulation_steps,
    )


def faults(spec: GRPORunSpec, processes: int) -> list[str]:
    """Why no run of so many training processes, one a GPU, can begin; field by field."""
    settings, made, found = spec.grpo, generation(spec, processes), []
    if made.completions % settings.num_generations:
        found.append(
            f"grpo.numGenerations: {settings.num_generations} does not divide the {made.completions} completions of a "
            f"generation (perDeviceTrainBatchSize {settings.per_device_train_batch_size} * stepsPerGeneration "
            f"{settings.steps_per_generation} * {processes} processes)"
        )
    every = made.passes // math.gcd(made.passes, settings.gradient_accumulation_steps)
    if spec.checkpoint.every_steps % every:
        found.append(
            f"checkpoint.everySteps: {spec.checkpoint.every_steps} must be a multiple of {every}, the optimizer steps "
            "after which a generation begins (stepsPerGeneration * numIterations / gradientAccumulationSteps)"
        )
    parallel = spec.rollout.tensor_parallel_size
    if spec.rollout.engine == "vllm" and spec.rollout.mode == "colocate" and processes % parallel:
        found.append(f"rollout.tensorParallelSize: {parallel} does not divide the {processes} processes that train")
    return found


def check(spec: GRPORunSpec, processes: int) -> None:
    """Raise Uneven for the first fault."""
    if found := faults(spec, processes):
        raise Uneven(found[0])
