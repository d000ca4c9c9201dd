"""Trains a verifier by SFT, measures and publishes it. Called by `run`; needs torch and TRL."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from datasets import Dataset
from peft import LoraConfig
from trl import SFTConfig, SFTTrainer

from reasoner_api.status import Progress
from reasoner_api.task import VerifierTask
from reasoner_api.verifier import LoRA, SFTTraining
from reasoner_workloads.common.run import Run
from reasoner_workloads.training import launch, model
from reasoner_workloads.training.arguments import build, deepspeed_config, device_arguments
from reasoner_workloads.training.callbacks import Finite, Stop, Watch, listen, train
from reasoner_workloads.training.checkpoints import Checkpoints
from reasoner_workloads.training.inputs import Fetched, fetch_base_model, fetch_dataset
from reasoner_workloads.training.outcome import Made, publish_model
from reasoner_workloads.training.world import World
from reasoner_workloads.verifier import data, evaluate, measure
from reasoner_workloads.verifier.measure import Judged
from reasoner_workloads.verifier.prompt import reply
from reasoner_workloads.verifier.report import Findings, make_report
from reasoner_workloads.verifier.split import split

#: The part of the run's progress that is training; measuring and publishing are the rest.
TRAINED = 0.95
KEPT_CHECKPOINTS = 2
LOG_EVERY = 10
#: Tokens of a verdict at most, as the paper decodes.
MOST_TOKENS = 2048


def train_verifier(this: Run[VerifierTask]) -> None:
    """The whole run, in one of its processes."""
    with tempfile.TemporaryDirectory(prefix="verifier-") as own:
        _Training(this, launch.workdir() if launch.is_rank() else Path(own)).run()


class _Training:
    """One run's parts, in the order in which they come to be."""

    def __init__(self, this: Run[VerifierTask], folder: Path) -> None:
        self.this, self.work, self.folder = this, this.task.work, folder
        self.world = World()
        self.checkpoints = Checkpoints.of(this, KEPT_CHECKPOINTS, self.world)
        self.evaluation: dict[str, Any] = {}

    def run(self) -> None:
        """Fetch, train, measure, publish."""
        this, work = self.this, self.work
        this.reporter.update(progress=Progress(display="loading data and model"))
        config = arguments(work.training, self.folder / "trainer")
        own = self.folder / f"inputs-{self.world.local_rank}"
        dataset = fetch_dataset(this.task.dataset, work.storage, own / "dataset")
        base = fetch_base_model(work.base_model, work.storage, own / "base")
        found, unusable = data.usable(data.read(dataset, work.data.columns), work.prompt)
        rows = split(found, work.evaluation, work.data)
        for reason, count in (unusable + rows.left_out).items():
            print(f"dataset: {count} rows left out: {reason}", flush=True)
        self.model, self.tokenizer = model.load(base, bf16=False)
        trainer = SFTTrainer(
            model=self.model,
            args=config,
            train_dataset=self._examples(rows.train),
            processing_class=self.tokenizer,
            peft_config=adapters(work.training.lora),
            callbacks=[Finite()],
        )
        stop = listen(this)
        self._train(trainer, stop)
        made = self._save(trainer, base)
        if self.world.main:
            judged, paper = self._judge(made, rows.held_out)
            metrics = self._figures(judged, paper) | {"train_rows": float(len(rows.train))}
            losses = [(entry["step"], entry["loss"]) for entry in trainer.state.log_history if "loss" in entry]
            findings = Findings(this.task.name, base.identity, judged, paper, metrics, losses)
            (made / "report.html").write_text(make_report(findings), encoding="utf-8")
            publish_model(this, self._made(made, metrics, dataset, base))
            this.reporter.advance(1.0, "published")
        self.world.barrier()
        trainer.accelerator.end_training()

    def _save(self, trainer: SFTTrainer, base: Fetched) -> Path:
        """The folder that the trained model lies in as a plain one, on the main process's machine."""
        made = self.folder / "model"
        if self.work.training.lora is None:
            model.save(trainer, made)
        else:
            model.save(trainer, self.folder / "adapters")
            if self.world.main:
                model.merge(base, self.folder / "adapters", made)
        if self.world.main:
            model.decode_greedily(made, MOST_TOKENS)
        return made

    def _examples(self, rows: list[data.Row]) -> Dataset:
        prompts = evaluate.questions(self.work.prompt, rows)
        replies = [reply(self.work.prompt, row.reasoning, row.verdict) for row in rows]
        return Dataset.from_dict({"prompt": prompts, "completion": replies})

    def _train(self, trainer: SFTTrainer, stop: Stop) -> None:
        step = self.checkpoints.restore(Path(str(trainer.args.output_dir)))
        watch = Watch(self.this, self.checkpoints, stop, names={"loss": "loss"}, span=(0.0, TRAINED))
        train(trainer, watch, step)

    def _judge(self, folder: Path, rows: list[data.Row]) -> tuple[list[Judged], list[Judged]]:
        """What the model says of the rows held out and of the paper's examples: the model as it was saved, which is
        what will be served."""
        fresh, tokenizer = model.load(Fetched(str(folder), "the trained model"), bf16=self.work.training.bf16)
        speaker = evaluate.Speaker(fresh.to(self.model.device), tokenizer, self.work.training.max_length)

        def tell(share: float) -> None:
            self.this.reporter.advance(TRAINED + (0.99 - TRAINED) * share, "measuring held-out agreement")

        judged = evaluate.judge(speaker, self.work.prompt, rows, tell)
        # Apart: their prompts may be longer than anything the model was trained on.
        return judged, evaluate.judge(speaker, self.work.prompt, measure.PAPER_EXAMPLES, lambda _: None)

    def _figures(self, judged: list[Judged], paper: list[Judged]) -> dict[str, float]:
        self.evaluation = {
            "confusion": measure.confusion(judged),
            "byAnswerType": measure.by(judged, lambda row: row.answer_type),
            "byCategory": measure.by(judged, lambda row: row.category),
            "differences": [one.wire() for one in judged if not one.agrees or not one.rules_agree][:100],
            "paperExamples": [one.wire() for one in paper],
        }
        right = {"paper_examples_agreed": float(sum(one.agrees for one in paper))}
        return {**self.this.reporter.report.metrics, **measure.figures(judged), **right}

    def _made(self, folder: Path, metrics: dict[str, float], dataset: Fetched, base: Fetched) -> Made:
        prompt = self.work.prompt
        return Made(
            folder=folder,
            metrics=metrics,
            inputs={"dataset": dataset.identity, "base_model": base.identity},
            title=f"Answer verifier {self.this.task.name}",
            notes="Says whether a student's short answer is equivalent to the ground truth. `verifier.json` holds "
            "the prompt template and the decision markers; decode at temperature 0. Agreement is with the "
            "teacher's verdicts on questions that were held out of training; the baseline is math-verify. "
            "`report.html` shows where they differ, `evaluation.json` holds it as data.",
            more={
                "verifier.json": {**prompt.wire(), "baseModel": base.identity, "dataset": dataset.identity},
                "evaluation.json": self.evaluation,
            },
        )


def arguments(settings: SFTTraining, output: Path) -> SFTConfig:
    """SFTConfig of the settings. Raises ConfigError."""
    ours: dict[str, Any] = settings.model_dump(exclude={"args", "deepspeed", "lora", "max_steps"})
    ours |= device_arguments() | {
        "output_dir": str(output),
        "max_steps": settings.max_steps or -1,
        "deepspeed": deepspeed_config(settings.deepspeed),
        "completion_only_loss": True,
        "save_strategy": "steps",
        "save_total_limit": 1,
        "logging_steps": LOG_EVERY,
        "logging_first_step": True,
        # A loss that is no number must show, and end the run.
        "logging_nan_inf_filter": False,
        "report_to": "none",
        "disable_tqdm": True,
    }
    return build(SFTConfig, ours, settings.args, "training")


def adapters(settings: LoRA | None) -> LoraConfig | None:
    """PEFT's configuration of the settings; None where every weight is trained."""
    if settings is None:
        return None
    return LoraConfig(
        r=settings.r,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=settings.target_modules or "all-linear",
        task_type="CAUSAL_LM",
    )
