"""Which weights generate, and the proof of it: a stale or failed weight sync is an error here and not a bad curve
later. Made by `train`, asked by the record of completions for each rollout's version; needs torch.

A version is the number of optimizer steps in the weights. It moves when a sync has been acknowledged and the engine's
weights were found to be the trainer's by their sums (`sums`); responses are taken from an engine of the trainer's own
step alone, and a few of each generation are asked again of the trainer (`agreement`)."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
import torch.distributed as dist

from reasoner_api.rollout import Rollout
from reasoner_workloads.common.run import WorkloadError
from reasoner_workloads.grpo.rollout import sums
from reasoner_workloads.grpo.rollout.agreement import Agreement
from reasoner_workloads.grpo.rollout.client import RolloutClient
from reasoner_workloads.training.world import World


class StalePolicy(WorkloadError):
    """The sampler does not hold the trainer's weights: an engine's fault, which a fresh one may not have."""

    def __init__(self, message: str) -> None:
        super().__init__(f"{message}; the run goes on from its last checkpoint", reason="StalePolicy")


class Policy:
    """The weights that generate, seen from one training process."""

    def __init__(self, rollout: Rollout, world: World) -> None:
        self.rollout, self.world = rollout, world
        self.version: int | None = None
        """Optimizer steps in the engine's weights; None until they were sent. Without an engine of its own, the
        trainer generates with its own weights."""
        self._trainer: Any = None
        self._attempt = uuid.uuid4().hex[:8]
        self._sent: dict[str, torch.Tensor] = {}

    def at(self, step: int) -> int:
        """The version of responses generated at the trainer's `step`.

        Raises:
            StalePolicy: the engine's is another.
        """
        if self._trainer is None or not self._trainer.args.use_vllm:
            return step
        if self.version != step:
            raise StalePolicy(
                f"the sampler holds the weights of step {self.version}, and the trainer is at step {step}"
            )
        return step

    def watch(self, trainer: Any) -> None:
        """Check every weight sync and every generation of the trainer from here on."""
        self._trainer = trainer
        if not trainer.args.use_vllm:
            return
        engine = trainer.vllm_generation
        self._agreement = Agreement(trainer, self.rollout.max_logprob_difference, self.world)
        engine._iter_named_params = partial(self._summed, engine._iter_named_params)
        engine.sync_weights = partial(self._sync, engine.sync_weights)
        engine.generate = partial(self._generate, engine.generate)

    def _sync(self, sync: Any) -> None:
        step, client = self._trainer.state.global_step, self._client()
        self.version = None
        self._sent.clear()
        if client is not None:
            client.sending = f"{self._attempt}/{step}"
        sync()
        self._compare(client)
        self.version = step

    def _generate(self, generate: Any, *given: Any, **more: Any) -> Any:
        step = self._trainer.state.global_step
        self.at(step)
        if (client := self._client()) is not None and (found := client.weight_version()) != f"{self._attempt}/{step}":
            raise StalePolicy(
                f"the rollout server holds weights of version {found!r} where {self._attempt}/{step} were sent: it "
                "was started anew, or another trainer uses it"
            )
        made = generate(*given, **more)
        difference = self._agreement.measure(made)
        if difference is not None and difference > self.rollout.max_logprob_difference:
            raise StalePolicy(
                f"the sampler's log-probabilities differ from the trainer's by {difference:.3g} nats a token at step "
                f"{step} (rollout.maxLogprobDifference: {self.rollout.max_logprob_difference:g}): it does not hold the "
                "policy"
            )
        return made

    def _summed(self, named_params: Any) -> Iterator[tuple[str, torch.Tensor]]:
        """The parameters as they are sent, and their sums beside."""
        dtype = self._dtype()
        for name, weights in named_params():
            if sums.is_probed(name):
                self._sent[name] = sums.bits(weights.to(dtype))
            yield name, weights

    def _compare(self, client: RolloutClient | None) -> None:
        """Raise StalePolicy, in every process alike, where an engine holds other weights than were sent."""
        sent = {name: int(value) for name, value in self._sent.items()}
        if client is not None:
            fault = client.check_sums(json.dumps(sent))
        elif self._trainer.vllm_generation.mode == "colocate":
            others = sums.differing(sent, self._held())
            fault = f"{len(others)} of {len(sent)} probed tensors hold other weights" if others else ""
        else:
            fault = ""  # another process asks the server
        if fault := next(filter(None, self.world.gather(fault)), ""):
            step = self._trainer.state.global_step
            raise StalePolicy(f"the weights of step {step} were sent to the sampler and are not what it holds: {fault}")

    def _held(self) -> dict[str, int]:
        """The sums of the colocated engine's weights, over the processes that share them."""
        engine = self._trainer.vllm_generation
        mine = sums.of_model(_colocated(engine))
        if mine and engine.tensor_parallel_size > 1:
            total = torch.stack(list(mine.values()))
            dist.all_reduce(total, group=engine.tp_group)
            mine = dict(zip(mine, total, strict=True))
        return {name: int(value) for name, value in mine.items()}

    def _dtype(self) -> torch.dtype:
        """What the engine rounds the weights to."""
        engine = self._trainer.vllm_generation
        if engine.mode == "server":
            return torch.bfloat16 if self._trainer.args.bf16 else torch.float32
        return next(_colocated(engine).parameters()).dtype

    def _client(self) -> RolloutClient | None:
        """The connection to the rollout server, in the process that has it."""
        return getattr(self._trainer.vllm_generation, "vllm_client", None)


def _colocated(engine: Any) -> torch.nn.Module:
    """The model of the engine in this process, by TRL's own way to it."""
    model: torch.nn.Module = engine.llm.llm_engine.model_executor.driver_worker.model_runner.model
    return model
