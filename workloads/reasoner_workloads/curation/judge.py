"""Verdicts on candidates' answers: rules where they are sure, the judge model for the rest. Called by `stages`."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from reasoner_workloads.common.equivalence import is_math, normalise, rule
from reasoner_workloads.common.math_worker import MathWorker
from reasoner_workloads.curation import prompts
from reasoner_workloads.curation.llm import Model
from reasoner_workloads.curation.records import Candidate
from reasoner_workloads.curation.together import together


class Judge:
    """Judges answers, each pair of ground truth and answer once for a question. An async context manager."""

    def __init__(self) -> None:
        self._algebra = MathWorker()
        # A thread of its own: comparisons queue here and not before everyone else's threads.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="algebra")

    async def __aenter__(self) -> Judge:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._algebra.__exit__()
        self._thread.shutdown()

    async def candidates(self, model: Model, question: str, truth: str, answers: list[str | None]) -> list[Candidate]:
        """The verdicts on answers, in their order; those that are None are left out. The same answer in the same
        dress is judged once. `model` judges where rules do not. Raises Dropped as the model does."""
        given = [answer for answer in answers if answer is not None]
        distinct = sorted({normalise(answer): answer for answer in reversed(given)}.items())
        found = await together(self._verdict(model, question, truth, answer) for _, answer in distinct)
        verdicts = {key: verdict for (key, _), verdict in zip(distinct, found, strict=True)}
        return [verdicts[normalise(answer)].model_copy(update={"answer": answer}) for answer in given]

    async def _verdict(self, model: Model, question: str, truth: str, answer: str) -> Candidate:
        """The verdict, with its reasons and who gave it: all of it is what a verifier learns from."""
        if ruling := rule(truth, answer):
            return Candidate(answer=answer, correct=ruling.equal, reasoning=ruling.why, judge="rules")
        if is_math(truth, answer):
            loop = asyncio.get_running_loop()
            if await loop.run_in_executor(self._thread, self._algebra.equal, truth, answer):
                why = f"The answer {answer} and the ground truth {truth} are the same by algebra."
                return Candidate(answer=answer, correct=True, reasoning=why, judge="rules")
        said = await model.ask(prompts.verdict(question, truth, answer), prompts.Verdict)
        return Candidate(answer=answer, correct=said.equivalent, reasoning=said.reasoning, judge="model")
