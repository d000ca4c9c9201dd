"""The reward function that TRL calls: extraction, verdicts, rewards, figures, and a record of all of it. Made by
`train`; loads no torch."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from reasoner_api.reward import Reward
from reasoner_workloads.common.store import Store
from reasoner_workloads.grpo.reward import Tokens, answer_of, value
from reasoner_workloads.grpo.verifier_client import Case, Judge


@dataclass(frozen=True)
class Record:
    """Where every scored response is kept, as Parquet."""

    store: Store
    prefix: str
    rank: int

    def keep(self, rows: list[dict[str, Any]], split: str, step: int) -> None:
        """Write one generation's rows; one made again after a restart takes the old one's place."""
        import pyarrow
        import pyarrow.parquet

        buffer = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), buffer)
        name = f"{split}-step-{step:08d}-rank-{self.rank:04d}.parquet"
        self.store.put(f"{self.prefix}/{name}", buffer.getvalue())


class Scorer:
    """Scores the responses of one process."""

    def __init__(self, open_judge: Callable[[], Judge], reward: Reward, tokens: Tokens, record: Record) -> None:
        self._open_judge, self.reward, self.tokens, self.record = open_judge, reward, tokens, record
        self._judge: Judge | None = None
        self._evaluated = 0

    async def __call__(
        self,
        completions: list[str],
        completion_ids: list[list[int]],
        question: list[str],
        answer: list[str],
        **more: Any,
    ) -> list[float]:
        """Rewards of a generation. `more` holds TRL's `trainer_state`, `log_metric` and the other columns."""
        if self._judge is None:
            self._judge = self._open_judge()  # here, since it belongs to this event loop
        found = [answer_of(ids, self.tokens, self.reward) for ids in completion_ids]
        verdicts = await self._verdicts(question, answer, found)
        rewards = [
            value(truth, mine, verdict, self.tokens, self.reward)
            for truth, mine, verdict in zip(answer, found, verdicts, strict=True)
        ]
        more["log_metric"]("accuracy", sum(verdicts) / len(verdicts))
        more["log_metric"]("extraction_failures", sum(mine is None for mine in found) / len(found))
        columns = {
            "question": question, "ground_truth": answer, "response": completions, "answer": found,
            "verdict": verdicts, "reward": rewards,
        }  # fmt: skip
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        await asyncio.to_thread(self.record.keep, rows, self._part(more["split"][0]), more["trainer_state"].global_step)
        return rewards

    async def close(self) -> None:
        """Let go of the judge."""
        if self._judge is not None:
            await self._judge.close()

    async def _verdicts(
        self, questions: Sequence[str], truths: Sequence[str], found: Sequence[str | None]
    ) -> list[bool]:
        """The judge's verdicts; no answer is no pass, and nobody is asked about it."""
        assert self._judge is not None
        asked = [index for index, mine in enumerate(found) if mine is not None]
        cases = [Case(questions[index], truths[index], found[index] or "") for index in asked]
        verdicts = dict(zip(asked, await self._judge.judge(cases), strict=True))
        return [verdicts.get(index, False) for index in range(len(found))]

    def _part(self, split: str) -> str:
        """`train`, or `test-0001` and on: a measurement takes several calls at the same step."""
        if split == "train":
            return split
        self._evaluated += 1
        return f"{split}-{self._evaluated:04d}"
