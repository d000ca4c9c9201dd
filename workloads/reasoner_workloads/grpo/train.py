"""Trains a policy by GRPO, measures it before and after, publishes it. Called by `run`; needs torch and TRL."""

from __future__ import annotations

import asyncio
import os
import tempfile
from functools import partial
from pathlib import Path

from datasets import Dataset
from trl import GRPOConfig

from reasoner_api.status import Progress
from reasoner_api.task import GRPOTask
from reasoner_workloads.common.run import Run
from reasoner_workloads.grpo import data
from reasoner_workloads.grpo.away import Away, longest_wait
from reasoner_workloads.grpo.circuit import Patience
from reasoner_workloads.grpo.evaluate import Evaluation
from reasoner_workloads.grpo.examine import Examiner
from reasoner_workloads.grpo.guard import Guard
from reasoner_workloads.grpo.inputs import Inputs, fetch
from reasoner_workloads.grpo.judges import open_judge
from reasoner_workloads.grpo.measure import Measurements, MeasuringWatch
from reasoner_workloads.grpo.publish import Trained, publish
from reasoner_workloads.grpo.record import Record
from reasoner_workloads.grpo.rollout.hold import await_server
from reasoner_workloads.grpo.rollout.policy import Policy
from reasoner_workloads.grpo.scoring import RewardFunction
from reasoner_workloads.grpo.settings import arguments, prompts_a_generation, resumable_every
from reasoner_workloads.grpo.terms import load
from reasoner_workloads.grpo.timing import Timing
from reasoner_workloads.grpo.trainer import PolicyTrainer
from reasoner_workloads.grpo.training_reward import TrainingReward
from reasoner_workloads.training import launch, model
from reasoner_workloads.training.callbacks import train
from reasoner_workloads.training.checkpoints import Checkpoints
from reasoner_workloads.training.disk import told_when_full
from reasoner_workloads.training.stop import Stop, listen
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
        folder = launch.workdir() if launch.is_rank() else Path(own)
        with told_when_full(folder):
            _Training(this, folder).run()


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
        inputs = fetch(this, self.folder, self.world)
        data.require(inputs.questions, prompts_a_generation(config))
        stop = listen(this)
        watch = self._watch(config, stop, bool(inputs.questions.test))
        patience = Patience(
            tell=partial(this.reporter.warn, "VerifierAway"), answered=watch.watchdog.sign_of_life,
            stopping=lambda: stop.asked,
        )  # fmt: skip
        judge = open_judge(this.task.verifier, work.reward, patience)
        function = RewardFunction(work.reward, inputs.tokens, judge, load(work.reward))
        record = Record(
            this.store, self.world.rank, work.rollout.kept_completions, self.policy.at, inputs.questions.ids,
            this.reporter.warn,
        )  # fmt: skip
        let_go = await_server(this, self.world.main, partial(self.checkpoints.finish, lambda: 0.0))
        trainer = self._trainer(config, inputs, TrainingReward(function, record, timing := Timing()), timing)
        evaluation = Evaluation(this, Examiner(trainer, function, record), patience, inputs.questions.test)
        trainer.measure, trainer.give_up = evaluation.held_out, Away(trainer, watch, work.reward)
        trainer.waiting = partial(watch.watchdog.waiting, longest_wait(this.task))
        self._train(trainer, watch, record)
        with watch.watchdog:
            if watch.measurements is not None and config.max_steps not in watch.measured:
                # The last step was done by a pod that ended before it could measure.
                trainer.evaluate()
            scores = evaluation.benchmarks(inputs.benchmarks)
        self._publish(trainer, watch, inputs, scores)
        self._leave(trainer, function)
        let_go()

    def _watch(self, config: GRPOConfig, stop: Stop, measuring: bool) -> MeasuringWatch:
        """What follows the steps; and whether there is something to measure before the first."""
        this, work = self.this, self.work
        measurements = Measurements(this.store, this.reporter.warn)
        measured = measurements.read()
        config.eval_on_start = measuring and 0 not in measured
        return MeasuringWatch(
            this, self.checkpoints, stop, LOGGED, every=resumable_every(config), span=TRAINED,
            patience=work.checkpoint.grace_period_seconds / 2, every_steps=work.evaluation.every_steps,
            watchdog=Watchdog(work.guards.hang, resumable_every(config), this.reporter, self.world),
            measurements=measurements if measuring else None, measured=measured,
        )  # fmt: skip

    def _trainer(self, config: GRPOConfig, inputs: Inputs, reward: TrainingReward, timing: Timing) -> PolicyTrainer:
        trainer = PolicyTrainer(
            reward,
            self.world,
            model=inputs.policy,
            args=config,
            train_dataset=Dataset.from_list(inputs.questions.train),
            processing_class=inputs.tokenizer,
            callbacks=[timing],
        )
        self.policy.watch(trainer)
        return trainer

    def _train(self, trainer: PolicyTrainer, watch: MeasuringWatch, record: Record) -> None:
        trainer.add_callback(Guard(self.work.guards, self.this.reporter, watch.stop, self.world.main))
        step = self.checkpoints.restore(Path(str(trainer.args.output_dir)))
        if self.world.main:
            record.forget_from(step or 0)
        self.world.barrier()
        trainer.begin_at(step or 0)
        train(trainer, watch, step)

    def _leave(self, trainer: PolicyTrainer, function: RewardFunction) -> None:
        """End together: a process that leaves early takes the others' group with it."""
        asyncio.run_coroutine_threadsafe(function.close(), trainer.async_loop).result()
        self.world.barrier()
        if not (trainer.args.use_vllm and self.work.rollout.mode == "colocate"):  # that vLLM ends the group itself
            trainer.accelerator.end_training()

    def _publish(self, trainer: PolicyTrainer, watch: MeasuringWatch, inputs: Inputs, scores: dict[str, float]) -> None:
        made = self.folder / "model"
        model.save(trainer, made)
        if self.world.main:
            figures = {
                **self.this.reporter.report.metrics,
                **watch.summary(trainer.args.max_steps),
                **scores,
                **{f"questions_{why}": float(count) for why, count in inputs.questions.left_out.items()},
            }
            trained = Trained(made, figures, watch.measured, trainer.state.log_history, inputs.lineage)
            publish(self.this, trained)
