"""The reward function: extraction, verdicts, terms. One object for training, evaluation and the command line; loads no
torch."""

from __future__ import annotations

from collections.abc import Sequence

from reasoner_api.reward import Reward
from reasoner_workloads.grpo.judging import Case, Judge
from reasoner_workloads.grpo.reward import Response, Score, Tokens, answer_of, paper_terms
from reasoner_workloads.grpo.terms import Term


class RewardFunction:
    """Scores responses: the paper's reward, and the terms added to it."""

    def __init__(self, reward: Reward, tokens: Tokens, judge: Judge, terms: Sequence[Term] = ()) -> None:
        self.reward, self.tokens, self.judge, self.terms = reward, tokens, judge, terms

    async def __call__(self, responses: Sequence[Response]) -> list[Score]:
        """One score a response. Raises VerifierUnavailable where the verifier stays away."""
        answers = [answer_of(one.ids, self.tokens, self.reward) for one in responses]
        verdicts = await self._verdicts(responses, answers)
        found = [
            paper_terms(one.ground_truth, answer, verdict, self.tokens, self.reward)
            for one, answer, verdict in zip(responses, answers, verdicts, strict=True)
        ]
        for term in self.terms:
            values = await term(responses, answers, verdicts)
            for terms, value in zip(found, values, strict=True):
                terms[term.name] = value
        return [Score(*score) for score in zip(answers, verdicts, found, strict=True)]

    async def close(self) -> None:
        """Let go of the judge."""
        await self.judge.close()

    async def _verdicts(self, responses: Sequence[Response], answers: Sequence[str | None]) -> list[bool | None]:
        """The judge's verdicts; no answer is no pass, and nobody is asked about it."""
        cases = {
            index: Case(responses[index].question, responses[index].ground_truth, answer)
            for index, answer in enumerate(answers)
            if answer is not None
        }
        verdicts: list[bool | None] = [False] * len(answers)
        for index, verdict in zip(cases, await self.judge.judge(list(cases.values())), strict=True):
            verdicts[index] = verdict
        return verdicts
