"""math-verify as the judge of a GRPORun without a verifier. Used by `scoring`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from reasoner_workloads.grpo.verifier_client import Case
from reasoner_workloads.training.rules import RulesJudge


class Rules:
    """Judges by rules in a process of its own."""

    def __init__(self) -> None:
        self._rules = RulesJudge()

    async def judge(self, cases: Sequence[Case]) -> list[bool]:
        """The verdicts; the same pair is judged once."""
        pairs = list(dict.fromkeys((case.ground_truth, case.answer) for case in cases))
        verdicts = dict(zip(pairs, await asyncio.to_thread(self._rules.judge, pairs), strict=True))
        return [verdicts[case.ground_truth, case.answer] for case in cases]

    async def close(self) -> None:
        """End the process."""
        await asyncio.to_thread(self._rules.close)
