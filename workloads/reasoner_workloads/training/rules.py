"""Answer equivalence by rules: math-verify and a few cheap ones before it. What a verifier is measured against, and
the judge of a GRPORun without one. Used by `verifier.evaluate` and `grpo.rules_judge`."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from reasoner_workloads.common.equivalence import is_math, rule
from reasoner_workloads.common.math_worker import MathWorker


class RulesJudge:
    """Judges without a model. Some formulas never end: math-verify runs in a process that can be ended."""

    def __init__(self) -> None:
        self._worker = MathWorker()

    def judge(self, pairs: Sequence[tuple[str, str]]) -> list[bool]:
        """Whether each (ground truth, answer) is equivalent; what rules cannot tell is not."""
        return [self._equal(truth, answer) for truth, answer in pairs]

    def _equal(self, truth: str, answer: str) -> bool:
        ruling = rule(truth, answer)
        if ruling is not None:
            return ruling.equal
        return is_math(truth, answer) and self._worker.equal(truth, answer)

    def __enter__(self) -> Self:
        self._worker.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        self._worker.__exit__()
