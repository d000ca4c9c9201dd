"""What a run is measured on: held-out questions while it trains, benchmarks at its end. Made by `train`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from reasoner_api.evaluation import JudgeRef
from reasoner_api.task import GRPOTask, VerifierEndpoint
from reasoner_workloads.common.run import Run
from reasoner_workloads.common.store import Missing
from reasoner_workloads.grpo import benchmark
from reasoner_workloads.grpo.circuit import Patience
from reasoner_workloads.grpo.examine import Examiner, Sampling
from reasoner_workloads.grpo.judges import open_judge
from reasoner_workloads.grpo.measure import FOLDER
from reasoner_workloads.grpo.record import TEST
from reasoner_workloads.grpo.scoring import RewardFunction

#: The part of the run's progress that benchmarks are.
SPAN = (0.97, 0.99)


@dataclass
class Evaluation:
    """One run's measurements. Every process calls it alike."""

    this: Run[GRPOTask]
    examiner: Examiner
    patience: Patience
    test: list[dict[str, str]]
    """Held-out questions."""

    def held_out(self) -> dict[str, float]:
        """Figures on the held-out questions."""
        settings = self.this.task.work.evaluation
        return self.examiner(self.test, Sampling(settings.samples, settings.temperature), TEST)

    def benchmarks(self, questions: Sequence[benchmark.Questions]) -> dict[str, float]:
        """Accuracy on each, by the names of the report. One that an earlier pod has done is not done again."""
        judge = self.this.task.work.evaluation.judge
        examiner = self.examiner if judge is None else replace(self.examiner, function=self._judged_by(judge))
        found: dict[str, float] = {}
        for number, each in enumerate(questions):
            start, end = SPAN
            self.this.reporter.advance(start + (end - start) * number / len(questions), f"benchmark {each.about.name}")
            found[f"benchmark/{each.about.name}"] = self._accuracy(each, examiner)
            found[f"benchmark_questions/{each.about.name}"] = float(len(each.rows))
            self.this.reporter.update(metrics=found)
        if examiner is not self.examiner:
            asyncio.run_coroutine_threadsafe(examiner.function.close(), examiner.trainer.async_loop).result()
        return found

    def _accuracy(self, each: benchmark.Questions, examiner: Examiner) -> float:
        store, world = self.this.store, examiner.trainer.world
        key = f"{FOLDER}/benchmark-{each.about.name}.json"
        try:
            kept = json.loads(store.get(key)) if world.main else None
        except Missing:
            kept = None
        if (kept := world.gather(kept)[0]) is None:
            sampling = Sampling(each.about.samples, each.about.temperature)
            with examiner.trainer.no_training():
                kept = examiner(each.rows, sampling, f"benchmark-{each.about.name}")
            if world.main:
                store.put(key, json.dumps(kept).encode())
        return float(kept["accuracy"])

    def _judged_by(self, judge: JudgeRef) -> RewardFunction:
        """The reward function with a judge of its own. Rules come before it where they come before the verifier."""
        reward = self.this.task.work.reward
        endpoint = VerifierEndpoint(
            endpoint=judge.endpoint, model=judge.model, prompt=judge.prompt, api=judge.api, role="judge"
        )
        return RewardFunction(reward, self.examiner.function.tokens, open_judge(endpoint, reward, self.patience))
