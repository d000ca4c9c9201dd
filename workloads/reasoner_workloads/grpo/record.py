"""The responses of each generation with all that was made of them, as Parquet in the run's own store: what people read
when a curve looks odd. Kept by `training_reward` and `examine`, `completions/<what>-step-<step>-rank-<rank>.parquet`.

A generation made again after a restart takes the old one's place, and what lies beyond the checkpoint that a run goes
on from is forgotten: there is one row for each kept response, whatever the restarts."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reasoner_workloads.common.store import Store, StoreError
from reasoner_workloads.grpo.reward import Response, Score

FOLDER = "completions"
#: What training generates, and what is measured on held-out questions: they name their files.
TRAIN, TEST = "train", "test"
_NAME = re.compile(rf"{FOLDER}/(.+)-step-(\d{{8}})-rank-\d+\.parquet")


def files(store: Store, what: str) -> Iterator[tuple[int, str]]:
    """Step and key of what is kept of one kind."""
    for key in store.list(f"{FOLDER}/{what}-step-"):
        if (found := _NAME.fullmatch(key)) and found[1] == what:
            yield int(found[2]), key


@dataclass(frozen=True)
class Record:
    """The record, seen from one process."""

    store: Store
    rank: int
    most: int
    """Responses of a generation that are kept. Whole processes' shares are, until there are so many: a question's
    responses stay together, and a generation is one file or a few."""
    version: Callable[[int], int]
    """Optimizer steps in the weights that generate at a step of the trainer's."""
    question_ids: Mapping[str, str]
    """The dataset's ids by question, where it has them."""
    warn: Callable[[str, str], None]
    """Told by reason and message of what is not kept: no record is worth the steps since the last checkpoint."""

    def keep(self, responses: Sequence[Response], scores: Sequence[Score], what: str, step: int) -> None:
        """Write what was generated at a step, if this process's share is kept. `what`: TRAIN, TEST, benchmark-…"""
        version = self.version(step)
        if self.rank * len(responses) >= self.most:
            return
        import pyarrow
        import pyarrow.parquet

        shared = {"step": step, "policy_version": version}
        rows = [{**shared, **self._row(*pair)} for pair in zip(responses, scores, strict=True)]
        buffer = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=_schema()), buffer, compression="zstd")
        try:
            self.store.put(f"{FOLDER}/{what}-step-{step:08d}-rank-{self.rank:04d}.parquet", buffer.getvalue())
        except StoreError as error:
            self.warn("CompletionsNotKept", f"the responses of step {step} are not kept: {error}")

    def forget_from(self, step: int) -> None:
        """Remove what training generated at this step or later, before it was cut short of its next checkpoint. Called
        by the main process, before training. What was measured stands, as its figures do."""
        for made, key in files(self.store, TRAIN):
            if made >= step:
                self.store.delete(key)

    def _row(self, response: Response, score: Score) -> dict[str, Any]:
        return {
            "question_id": self.question_ids.get(response.question),
            "question": response.question,
            "ground_truth": response.ground_truth,
            "response": response.text,
            "tokens": len(response.ids),
            "answer": score.answer,
            "verdict": score.verdict,
            "reward": score.reward,
            "terms": dict(score.terms),
        }


def _schema() -> Any:
    """The columns, as pyarrow has them."""
    import pyarrow

    text, whole = pyarrow.string(), pyarrow.int64()
    return pyarrow.schema(
        {
            "step": whole,
            "policy_version": whole,
            "question_id": text,
            "question": text,
            "ground_truth": text,
            "response": text,
            "tokens": whole,
            "answer": text,
            "verdict": pyarrow.bool_(),
            "reward": pyarrow.float64(),
            "terms": pyarrow.map_(text, pyarrow.float64()),
        }
    )
