"""Asks the policy questions outside of training and has its answers judged: on held-out questions, on benchmarks. Made
by `train`; needs torch and TRL."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import math
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from transformers import set_seed
from trl import GRPOConfig

from reasoner_workloads.grpo.circuit import VerifierUnavailable
from reasoner_workloads.grpo.record import Record
from reasoner_workloads.grpo.reward import Response, Score
from reasoner_workloads.grpo.scoring import RewardFunction
from reasoner_workloads.grpo.trainer import PolicyTrainer
from reasoner_workloads.grpo.training_reward import figures, mean_reward


@dataclass(frozen=True)
class Sampling:
    """How responses are sampled."""

    samples: int
    temperature: float


@dataclass
class Examiner:
    """Examines a trainer's policy. Every process calls it alike, with the same questions, and asks its share."""

    trainer: PolicyTrainer
    function: RewardFunction
    record: Record

    def __call__(self, questions: Sequence[dict[str, str]], sampling: Sampling, what: str) -> dict[str, float]:
        """Figures over all responses; each process keeps its own as `what`. Rows have prompt, question, answer."""
        responses: list[Response] = []
        scoring: list[Future[list[Score]]] = []
        with self._sampling(sampling):
            for chunk, wanted in self._chunks(questions, sampling.samples):
                found = self._sample(chunk, sampling.samples)[:wanted]
                responses += found
                # The next are generated while these are judged.
                scoring.append(asyncio.run_coroutine_threadsafe(self.function(found), self.trainer.async_loop))
                # The watchdog's sign of life: an examination may take as long as many steps.
                self.trainer.callback_handler.on_prediction_step(
                    self.trainer.args, self.trainer.state, self.trainer.control
                )
        with self.trainer.waiting():
            scores, away = _scores(scoring)
            self.trainer.agree(away)
        if responses:
            self.record.keep(responses, scores, what, self.trainer.state.global_step)
        everyone = [score for of_one in self.trainer.world.gather(scores) for score in of_one]
        reward = mean_reward(everyone)
        return figures(everyone) | ({} if reward is None else {"reward": reward})

    def _chunks(
        self, questions: Sequence[dict[str, str]], samples: int
    ) -> Iterator[tuple[Sequence[dict[str, str]], int]]:
        """This process's share, as much at a time as in training, and how many of the responses count. All processes
        generate equally often, since some engines do it together: one that has run out asks something again."""
        world, args = self.trainer.world, self.trainer.args
        size = max(1, args.per_device_train_batch_size * args.steps_per_generation // samples)
        mine = questions[world.rank :: world.size]
        most = math.ceil(len(questions) / world.size)
        for start in range(0, most, size):
            chunk = mine[start : start + size]
            yield [*chunk, *questions[: min(size, most - start) - len(chunk)]], len(chunk) * samples

    def _sample(self, rows: Sequence[dict[str, str]], samples: int) -> list[Response]:
        trainer = self.trainer
        rows = [row for row in rows for _ in range(samples)]
        ids, images, fields = trainer._tokenize_prompts([row["prompt"] for row in rows])
        found, _ = trainer._generate_single_turn(ids, images, fields, samples)
        texts = trainer.processing_class.batch_decode(found, skip_special_tokens=True)
        return [
            Response(row["prompt"], row["question"], row["answer"], text, tokens)
            for row, text, tokens in zip(rows, texts, found, strict=True)
        ]

    @contextlib.contextmanager
    def _sampling(self, sampling: Sampling) -> Iterator[None]:
        """The trainer samples as is wanted here, and from random numbers of its own: training goes on as if nothing
        had been asked."""
        trainer = self.trainer
        engine = trainer.vllm_generation if trainer.use_vllm else trainer
        names = ("temperature",) if trainer.use_vllm else ("generation_config", "generation_kwargs")
        before = {name: getattr(engine, name) for name in names}
        try:
            if trainer.use_vllm:
                engine.temperature = sampling.temperature
            else:
                engine.generation_config, engine.generation_kwargs = _transformers(trainer, sampling)
            with apart(seed_of(trainer.args, trainer.world.rank)):
                yield
        finally:
            for name, value in before.items():
                setattr(engine, name, value)


def seed_of(args: GRPOConfig, rank: int) -> int:
    """What a process begins to sample from here: the processes that share an engine must draw alike."""
    shared = args.vllm_tensor_parallel_size if args.use_vllm and args.vllm_mode == "colocate" else 1
    return int(args.seed + rank // shared)


@contextlib.contextmanager
def apart(seed: int) -> Iterator[None]:
    """Random numbers that begin anew and leave those outside where they were: torch's, and those of Python and numpy,
    which vLLM draws the seeds of requests from."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    pythons, numpys = random.getstate(), numpy.random.get_state()
    try:
        with torch.random.fork_rng(devices=devices):
            set_seed(seed)
            yield
    finally:
        random.setstate(pythons)
        numpy.random.set_state(numpys)


def _transformers(trainer: Any, sampling: Sampling) -> tuple[Any, dict[str, Any]]:
    """Settings of transformers' generation: greedy ones leave out what only sampling knows."""
    if sampling.temperature:
        changed: dict[str, Any] = {"temperature": sampling.temperature}
    else:
        changed = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None, "min_p": None}
    config = copy.deepcopy(trainer.generation_config)
    for name, value in changed.items():
        setattr(config, name, value)
    return config, trainer.generation_kwargs | changed


def _scores(scoring: Sequence[Future[list[Score]]]) -> tuple[list[Score], VerifierUnavailable | None]:
    """All scores, or why there are none."""
    scores: list[Score] = []
    away = None
    for future in scoring:
        try:
            scores += future.result()
        except VerifierUnavailable as error:
            away = error
    return scores, away
