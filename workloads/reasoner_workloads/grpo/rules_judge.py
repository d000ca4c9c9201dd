"""Rules as judges: alone in a GRPORun without a verifier, or before one (`reward.rulesFirst`). Made by `judges`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from reasoner_workloads.common.equivalence import rule
from reasoner_workloads.grpo.judging import Case, Judge
from reasoner_workloads.training.rules import RulesJudge


class Rules:
    """Judges by rules in a process of its own."""

    def __init__(self) -> None:
        self._rules = RulesJudge()

    async def judge(self, cases: Sequence[Case]) -> list[bool | None]:
        """The verdicts; the same pair is judged once."""
        pairs = list(dict.fromkeys((case.ground_truth, case.answer) for case in cases))
        verdicts = dict(zip(pairs, await asyncio.to_thread(self._rules.judge, pairs), strict=True))
        return [verdicts[case.ground_truth, case.answer] for case in cases]

    async def close(self) -> None:
        """End the process."""
        await asyncio.to_thread(self._rules.close)


class RulesFirst:
    """Rules where they are sure, another judge for the rest."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge

    async def judge(self, cases: Sequence[Case]) -> list[bool | None]:
        """The verdicts. The cheap rules alone: math-verify may take longer than a verifier, and its no is not sure."""
        rulings = {case: rule(case.ground_truth, case.answer) for case in dict.fromkeys(cases)}
        rest = [case for case, ruling in rulings.items() if ruling is None]
        asked = dict(zip(rest, await self._judge.judge(rest), strict=True))
        return [asked[case] if (ruling := rulings[case]) is None else ruling.equal for case in cases]

    async def close(self) -> None:
        """Let go of the other judge."""
        await self._judge.close()
