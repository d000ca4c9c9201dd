"""What flows through the pipeline: rows of the source, and the record that each becomes. Used by all of curation."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict

from reasoner_api.curation import STAGES, AnswerType, Category, Difficulty
from reasoner_api.status import StageCount
from reasoner_workloads.curation.charset import storable


@dataclass(frozen=True)
class Row:
    """One crawled question of the source."""

    id: str
    url: str
    hint: str
    """The crawled text: noisy, but it tells which question of a page is meant."""
    packed: bytes | None = None
    """The page's HTTP response, by zlib, where the source holds it: it is not fetched."""

    place: int = field(default=0, compare=False)
    """On the line of all hashes, 64 bits: by the URL."""

    @property
    def response(self) -> bytes | None:
        """That response."""
        return None if self.packed is None else zlib.decompress(self.packed)


class Dropped(Exception):
    """A row ends here: `reason` for the funnel, `evidence` for whoever asks why."""

    def __init__(self, reason: str, evidence: str = "") -> None:
        super().__init__(reason, evidence)
        self.reason = reason
        # Much of it is strangers' words.
        self.evidence = storable(evidence)


class _Value(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Drop(_Value):
    """Where and why a row was dropped."""

    stage: str
    reason: str
    evidence: str = ""


class Candidate(_Value):
    """A candidate solution's short answer and the verdict on it."""

    answer: str
    correct: bool
    reasoning: str
    judge: Literal["rules", "model"] = "rules"
    """Who decided."""


class Record(_Value):
    """What became of a row. What no stage has found yet is empty."""

    id: str
    url: str
    drop: Drop | None = None
    question: str = ""
    answer: str = ""
    answer_type: AnswerType = "other"
    category: Category = "other"
    difficulty: Difficulty = "university"
    candidates: list[Candidate] = []
    sampled: int = 0
    """Candidates asked for, those without an answer included."""

    @property
    def correct(self) -> int:
        """Right candidates."""
        return sum(candidate.correct for candidate in self.candidates)

    @property
    def solve_rate(self) -> float:
        """Share of right candidates."""
        return self.correct / self.sampled if self.sampled else 0.0


class DroppedAt(Exception):
    """A row has left the funnel."""

    def __init__(self, drop: Drop) -> None:
        super().__init__(drop)
        self.drop = drop


@dataclass
class Funnel:
    """Counts of rows by stage."""

    entered: dict[str, int] = field(default_factory=dict)
    passed: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, dict[str, int]] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count a row through a stage; a Dropped that leaves it is counted and carries the stage's name on."""
        self.entered[name] = self.entered.get(name, 0) + 1
        try:
            yield
        except Dropped as end:
            self.drop(name, end.reason)
            raise DroppedAt(Drop(stage=name, reason=end.reason, evidence=end.evidence)) from end
        self.passed[name] = self.passed.get(name, 0) + 1

    def drop(self, stage: str, reason: str) -> None:
        """Count a row dropped from a stage that it entered."""
        reasons = self.dropped.setdefault(stage, {})
        reasons[reason] = reasons.get(reason, 0) + 1

    def add(self, record: Record) -> None:
        """Count a finished record through the stages that see it alone: all but the last."""
        for name in STAGES[:-1]:
            self.entered[name] = self.entered.get(name, 0) + 1
            if record.drop is not None and record.drop.stage == name:
                self.drop(name, record.drop.reason)
                return
            self.passed[name] = self.passed.get(name, 0) + 1

    def merge(self, stages: Iterable[StageCount]) -> None:
        """Count what others have counted."""
        for stage in stages:
            self.entered[stage.name] = self.entered.get(stage.name, 0) + stage.rows_in
            self.passed[stage.name] = self.passed.get(stage.name, 0) + stage.rows_out
            for reason, count in stage.dropped.items():
                reasons = self.dropped.setdefault(stage.name, {})
                reasons[reason] = reasons.get(reason, 0) + count

    def counts(self) -> list[StageCount]:
        """The stages that rows have reached, in the pipeline's order."""
        return [
            StageCount(
                name=name,
                rows_in=self.entered[name],
                rows_out=self.passed.get(name, 0),
                dropped=dict(sorted(self.dropped.get(name, {}).items())),
            )
            for name in STAGES
            if name in self.entered
        ]
