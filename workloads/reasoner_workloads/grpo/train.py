"""Trains a policy by GRPO, measures it before and after, publishes it. Called by `run`; needs torch and TRL."""

from __future__ import annotations

import asyncio
import os
import tempfile
from functools import partial
from pathlib import Path

from datasets import Dataset

from reasoner_api.grpo import Lineage
from reasoner_api.status import Progress
from reasoner_api.task import GRPOTask
from reasoner_workloads.common.run import Run
from reasoner_workloads.grpo import benchmark, data, examples
from reasoner_workloads.grpo.away import Away
from reasoner_workloads.grpo.circuit import Patience
from reasoner_workloads.grpo.evaluate import Evaluation
from reasoner_workloads.grpo.examine import Examiner
from reasoner_workloads.grpo.guard import Guard
from reasoner_workloads.grpo.judges import open_judge
from reasoner_workloads.grpo.measure import Measurements, MeasuringWatch
from reasoner_workloads.grpo.record import Record
from reasoner_workloads.grpo.report import Findings, make_report
from reasoner_workloads.grpo.rollout.hold import await_server
from reasoner_workloads.grpo.rollout.policy import Policy
from reasoner_workloads.grpo.scoring import RewardFunction
from reasoner_workloads.grpo.settings import arguments, resumable_every
from reasoner_workloads.grpo.terms import load
from reasoner_workloads.grpo.timing import Timing
from reasoner_workloads.grpo.tokens import tokens_of
from reasoner_workloads.grpo.trainer import PolicyTrainer
from reasoner_workloads.grpo.training_reward import TrainingReward
from reasoner_workloads.training import launch, model
from reasoner_workloads.training.attempts import Attempts
from reasoner_workloads.training.callbacks import train
from reasoner_workloads.training.checkpoints import Checkpoints
from reasoner_workloads.training.inputs import Fetched, fetch_base_model, fetch_dataset
from reasoner_workloads.training.outcome import Made, publish_model
from reasoner_workloads.training.stop import listen
from reasoner_workloads.training.trackers import name_run
from reasoner_workloads.training.watchdog import Watchdog
from reasoner_workloads.training.world import World

#: Figure of the report -> entry of TRL's log.
LOGGED = {
    "reward": "reward",
    "accuracy": "accuracy",
    "extraction_failures": "extraction_failures",
    "response_length": "completions/mean_length",
    "kl": "kl",
    "verifier_undecided": "verifier_undecided",
    "loss": "loss",
    "entropy": "entropy",
    "generation_seconds": "generation_seconds",
    "reward_seconds": "reward_seconds",
    "update_seconds": "update_seconds",
}
#: The part of the run's progress that is training.
TRAINED = (0.03, 0.97)


def train_policy(this: Run[GRPOTask]) -> None:
    """The whole run, in one of its processes."""
    with tempfile.TemporaryDirectory(prefix="grpo-") as own:
        _Training(this, launch.workdir() if launch.is_rank() else Path(own)).run()


class _Training:
    """One run's parts, in the order in which they come to be."""

    def __init__(self, this: Run[GRPOTask], folder: Path) -> None:
        self.this, self.work, self.folder = this, this.task.work, folder
        self.world = World()
        self.checkpoints = Checkpoints.of(this, self.work.checkpoint.keep, self.world)
        self.policy = Policy(self.work.rollout, self.world)

    def run(self) -> None:
        """Fetch, measure, train, measure, publish."""
        this, work = self.this, self.work
        this.reporter.update(progress=Progress(display="loading data and model"))
        name_run(os.environ, f"{this.task.namespace}/{this.task.name}", this.digest)
        config = arguments(work, self.folder / "trainer")
        config.run_name = config.run_name or os.environ["WANDB_NAME"]
        own = self.folder / f"inputs-{self.world.local_rank}"
        dataset = fetch_dataset(this.task.dataset, work.storage, own / "dataset")
        # Fifteen gigabytes for the paper's 7B: not eight times on each node's disk.
        base = self.world.once_a_node(lambda: fetch_base_model(work.base_model, work.storage, self.folder / "base"))
        lineage = self._lineage(dataset, base)
        this.reporter.update(lineage=lineage)
        policy, tokenizer = model.load(base, bf16=False)
        tokens = tokens_of(tokenizer)
        questions = data.read(dataset, work.grpo, work.evaluation, tokens.count)
        benchmarks = [benchmark.read(*each, own, work) for each in enumerate(work.evaluation.benchmarks)]
        measurements = Measurements(this.store)
        measured = measurements.read()
        config.eval_on_start = bool(questions.test) and 0 not in measured
        stop = listen(this)
        patience = Patience(tell=partial(this.reporter.warn, "VerifierAway"), stopping=lambda: stop.asked)
        judge = open_judge(this.task.verifier, work.reward, patience)
        function = RewardFunction(work.reward, tokens, judge, load(work.reward))
        record = Record(
            this.store, self.world.rank, work.rollout.kept_completions, self.policy.at, question_ids=questions.ids
        )
        let_go = await_server(this, self.world.main, self.checkpoints.finish)
        timing = Timing()
        trainer = PolicyTrainer(
            TrainingReward(function, record, timing),
            self.world,
            model=policy,
            args=config,
            train_dataset=Dataset.from_list(questions.train),
            processing_class=tokenizer,
            callbacks=[timing],
        )
        self.policy.watch(trainer)
        watch = MeasuringWatch(
            this, self.checkpoints, stop, LOGGED, every=resumable_every(config), span=TRAINED,
            patience=work.checkpoint.grace_period_seconds / 2, every_steps=work.evaluation.every_steps,
            watchdog=Watchdog(work.guards.hang, resumable_every(config), this.reporter, self.world),
            measurements=measurements if questions.test else None, measured=measured,
        )  # fmt: skip
        evaluation = Evaluation(this, Examiner(trainer, function, record), patience, questions.test)
        trainer.measure, trainer.give_up = evaluation.held_out, Away(trainer, watch, work.reward)
        self._train(trainer, watch, record)
        scores = evaluation.benchmarks(benchmarks)
        made = self.folder / "model"
        model.save(trainer, made)
        if self.world.main:
            figures = {
                **this.reporter.report.metrics,
                **watch.summary(config.max_steps),
                **scores,
                "questions_too_long": float(questions.too_long),
            }
            made_of = self._made(made, figures, lineage)
            findings = Findings(
                this.task.name, work.base_model, made_of.inputs["verifier"], trainer.state.log_history, figures,
                watch.measured, Attempts(this.store).all(), examples.read(this.store),
            )  # fmt: skip
            (made / "report.html").write_text(make_report(findings), encoding="utf-8")
            publish_model(this, made_of)
            this.reporter.advance(1.0, "published")
        self._leave(trainer, function)
        let_go()

    def _train(self, trainer: PolicyTrainer, watch: MeasuringWatch, record: Record) -> None:
        trainer.add_callback(Guard(self.work.guards, self.this.reporter, watch.stop, self.world.main))
        step = self.checkpoints.restore(Path(str(trainer.args.output_dir)))
        if self.world.main:
            record.forget_from(step or 0)
        self.world.barrier()
        train(trainer, watch, step)
        if watch.measurements is not None and trainer.args.max_steps not in watch.measured:
            # The last step was done by a pod that ended before it could measure.
            trainer.evaluate()

    def _leave(self, trainer: PolicyTrainer, function: RewardFunction) -> None:
        """End together: a process that leaves early takes the others' group with it."""
        asyncio.run_coroutine_threadsafe(function.close(), trainer.async_loop).result()
        self.world.barrier()
        if not (trainer.args.use_vllm and self.work.rollout.mode == "colocate"):  # that vLLM ends the group itself
            trainer.accelerator.end_training()

    def _lineage(self, dataset: Fetched, base: Fetched) -> Lineage:
        verifier = self.this.task.verifier
        return Lineage(
            dataset=dataset.identity, verifier=verifier.digest if verifier else None, base_model=base.identity
        )

    def _made(self, folder: Path, metrics: dict[str, float], lineage: Lineage) -> Made:
        verifier = self.this.task.verifier
        judge = "math-verify" if verifier is None else verifier.digest or f"{verifier.model} at {verifier.endpoint}"
        return Made(
            folder=folder,
            metrics=metrics,
            inputs={
                "dataset": str(lineage.dataset),
                "base_model": str(lineage.base_model),
                "verifier": judge,
            },
            title=f"Reasoning model {self.this.task.name}",
            notes="Trained by GRPO with the reward of an answer verifier. `reward_before` and `reward_after` are mean "
            "rewards on held-out questions, judged by that verifier. `report.html` shows how it came about.",
            lineage=lineage,
        )
