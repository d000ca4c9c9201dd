"""The reward function as TRL calls it: scores become rewards, figures for the log, and a record of all of it. Made by
`train`; loads no torch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from reasoner_workloads.grpo.circuit import VerifierUnavailable
from reasoner_workloads.grpo.record import TRAIN, Record
from reasoner_workloads.grpo.reward import CORRECT, LENGTH, NO_ANSWER, Response, Score
from reasoner_workloads.grpo.scoring import RewardFunction


class Clock(Protocol):
    """Who wants to know how long a generation takes."""

    def generated(self) -> None:
        """Its responses are there."""

    def rewarded(self, waited: float) -> dict[str, float]:
        """Its rewards are there, after so many seconds in which nothing else was done. What it answers is logged."""


class TrainingReward:
    """Scores the responses of one training process."""

    def __init__(self, function: RewardFunction, record: Record, clock: Clock | None = None) -> None:
        self.function, self.record, self.clock = function, record, clock
        self.away: VerifierUnavailable | None = None
        """Why there are no rewards, once there are none."""
        self._begun: Future[list[Score]] | None = None

    def begin(
        self,
        rows: Sequence[Mapping[str, str]],
        completions: Sequence[str],
        completion_ids: Sequence[Sequence[int]],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Begin to score a generation. Its rewards are then asked for by a call."""
        if self.clock is not None:
            self.clock.generated()
        columns = zip(rows, completions, completion_ids, strict=True)
        responses = [Response(row["prompt"], row["question"], row["answer"], *rest) for row, *rest in columns]
        self._begun = asyncio.run_coroutine_threadsafe(self.function(responses), loop)

    async def __call__(
        self,
        prompts: list[str],
        completions: list[str],
        completion_ids: list[list[int]],
        question: list[str],
        answer: list[str],
        **more: Any,
    ) -> list[float | None]:
        """Rewards of a generation. `more` holds TRL's `trainer_state`, `log_metric` and the other columns. Where the
        verifier stays away there are none, and `away` says so: other processes may wait for this one."""
        columns = (prompts, question, answer, completions, completion_ids)
        responses = [Response(*row) for row in zip(*columns, strict=True)]
        begun, self._begun, asked = self._begun, None, time.monotonic()
        try:
            scores = await (self.function(responses) if begun is None else asyncio.wrap_future(begun))
        except VerifierUnavailable as away:
            self.away = away
            return [None] * len(responses)
        seconds = {} if self.clock is None else self.clock.rewarded(time.monotonic() - asked)
        for name, value in (figures(scores) | seconds).items():
            more["log_metric"](name, value)
        await asyncio.to_thread(self.record.keep, responses, scores, TRAIN, more["trainer_state"].global_step)
        return [score.reward for score in scores]


def figures(scores: Sequence[Score]) -> dict[str, float]:
    """Shares and means over the responses, by the names that the log and the reports use."""

    def share(of: Callable[[Score], bool]) -> float:
        return sum(map(of, scores)) / len(scores)

    found = {
        "accuracy": share(lambda score: score.verdict is True),
        "extraction_failures": share(lambda score: score.answer is None),
        "verifier_undecided": share(lambda score: score.verdict is None),
    }
    # Every process must name the same figures: also those of terms that none of its responses has.
    names = dict.fromkeys((NO_ANSWER, CORRECT, LENGTH, *scores[0].terms))
    for name in names:
        found[f"reward_term/{name}"] = sum(score.terms.get(name, 0.0) for score in scores) / len(scores)
    return found


def mean_reward(scores: Sequence[Score]) -> float | None:
    """Of those that have one."""
    rewards = [score.reward for score in scores if score.reward is not None]
    return sum(rewards) / len(rewards) if rewards else None
