"""The reward function as TRL calls it: scores become rewards, figures for the log, and a record of all of it. Made by
`train`; loads no torch."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from reasoner_workloads.common.store import Store
from reasoner_workloads.grpo.circuit import VerifierUnavailable
from reasoner_workloads.grpo.reward import CORRECT, LENGTH, NO_ANSWER, Response, Score
from reasoner_workloads.grpo.scoring import RewardFunction


@dataclass(frozen=True)
class Record:
    """Where every scored response is kept, as Parquet."""

    store: Store
    prefix: str
    rank: int

    def keep(self, responses: Sequence[Response], scores: Sequence[Score], name: str) -> None:
        """Write one call's rows; those made again after a restart take the old ones' place."""
        import pyarrow
        import pyarrow.parquet

        rows = [_row(*pair) for pair in zip(responses, scores, strict=True)]
        buffer = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), buffer)
        self.store.put(f"{self.prefix}/{name}-rank-{self.rank:04d}.parquet", buffer.getvalue())


class TrainingReward:
    """Scores the responses of one training process."""

    def __init__(self, function: RewardFunction, record: Record) -> None:
        self.function, self.record = function, record
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
        begun, self._begun = self._begun, None
        try:
            scores = await (self.function(responses) if begun is None else asyncio.wrap_future(begun))
        except VerifierUnavailable as away:
            self.away = away
            return [None] * len(responses)
        for name, value in figures(scores).items():
            more["log_metric"](name, value)
        name = f"train-step-{more['trainer_state'].global_step:08d}"
        await asyncio.to_thread(self.record.keep, responses, scores, name)
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


def _row(response: Response, score: Score) -> dict[str, Any]:
    return {
        "question": response.question,
        "ground_truth": response.ground_truth,
        "response": response.text,
        "answer": score.answer,
        "verdict": score.verdict,
        "reward": score.reward,
    }
