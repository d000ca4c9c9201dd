"""Trains a verifier by SFT, measures and publishes it. Called by `run`; needs torch and TRL."""

from __future__ import annotations

import tempfile
from itertools import compress, zip_longest
from pathlib import Path
from typing import Any

from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from reasoner_api.status import Progress
from reasoner_api.task import VerifierTask
from reasoner_workloads.common.run import ConfigError, Run
from reasoner_workloads.training import hub, launch, model
from reasoner_workloads.training.callbacks import Watch, train
from reasoner_workloads.training.checkpoints import Checkpoints
from reasoner_workloads.training.disk import told_when_full
from reasoner_workloads.training.inputs import Fetched, fetch_base_model, fetch_dataset
from reasoner_workloads.training.outcome import Made, publish_model
from reasoner_workloads.training.stop import Stop, listen
from reasoner_workloads.training.world import World
from reasoner_workloads.verifier import data, evaluate, measure
from reasoner_workloads.verifier.finite import Finite
from reasoner_workloads.verifier.measure import Judged
from reasoner_workloads.verifier.prompt import reply
from reasoner_workloads.verifier.report import Findings, make_report
from reasoner_workloads.verifier.settings import adapters, arguments
from reasoner_workloads.verifier.split import split

#: The part of the run's progress that is training; measuring and publishing are the rest.
TRAINED = 0.95
KEPT_CHECKPOINTS = 2
#: Tokens of a verdict at most, as the paper decodes.
MOST_TOKENS = 2048


def train_verifier(this: Run[VerifierTask]) -> None:
    """The whole run, in one of its processes."""
    with tempfile.TemporaryDirectory(prefix="verifier-") as own:
        folder = launch.workdir() if launch.is_rank() else Path(own)
        with told_when_full(folder):
            _Training(this, folder).run()


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
        base = hub.pinned(fetch_base_model(work.base_model, work.storage, own / "base"), this.store)
        found, unusable = data.usable(data.read(dataset, work.data.columns), work.prompt)
        rows = split(found, work.evaluation, work.data)
        for reason, count in (unusable + rows.left_out).items():
            print(f"dataset: {count} rows left out: {reason}", flush=True)
        self.model, self.tokenizer = model.load(base, bf16=False)
        trainer = SFTTrainer(
            model=self.model,
            args=config,
            train_dataset=self._examples(rows.train, config),
            processing_class=self.tokenizer,
            peft_config=adapters(work.training.lora),
            callbacks=[Finite()],
        )
        stop = listen(this)
        self._train(trainer, stop)
        made = self._save(trainer, base)
        judged, paper = self._judge(made, rows.held_out)
        if self.world.main:
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

    def _examples(self, rows: list[data.Row], config: SFTConfig) -> Dataset:
        """Prompts and replies to learn from. A row that would be cut is left out: it would teach to reason on and
        never to decide."""
        prompts = evaluate.questions(self.work.prompt, rows)
        replies = [reply(self.work.prompt, row.reasoning, row.verdict) for row in rows]
        both = [prompt + answer for prompt, answer in zip(prompts, replies, strict=True)]
        # One more: the end of the reply.
        lengths = [len(ids) + 1 for ids in self.tokenizer(both)["input_ids"]]
        fits = [config.max_length is None or length <= config.max_length for length in lengths]
        if not any(fits):
            raise ConfigError(f"training.maxLength: every row is longer; the shortest has {min(lengths)} tokens")
        if not all(fits):
            print(f"dataset: {fits.count(False)} rows left out: longer than training.maxLength", flush=True)
        columns = {"prompt": prompts, "completion": replies}
        return Dataset.from_dict({name: list(compress(texts, fits)) for name, texts in columns.items()})

    def _train(self, trainer: SFTTrainer, stop: Stop) -> None:
        step = self.checkpoints.restore(Path(str(trainer.args.output_dir)))
        watch = Watch(self.this, self.checkpoints, stop, names={"loss": "loss"}, span=(0.0, TRAINED))
        train(trainer, watch, step)

    def _judge(self, folder: Path, rows: list[data.Row]) -> tuple[list[Judged], list[Judged]]:
        """What the model says of the rows held out and of the paper's examples: the model as it was saved, which is
        what will be served. The processes of the machine that it lies on share the rows: a verifier that rambles
        would have the others wait for longer than a process group does."""
        judged: list[Judged] = []
        paper: list[Judged] = []
        self.world.barrier()
        if self.world.node == 0:
            fresh, tokenizer = model.load_whole(Fetched(str(folder), "the trained model"), bf16=self.work.training.bf16)
            room = evaluate.Room(self.work.training.max_length, MOST_TOKENS)
            speaker = evaluate.Speaker(fresh.to(self.model.device), tokenizer, room)
            mine = rows[self.world.local_rank :: self.world.local_size]
            judged = evaluate.judge(speaker, self.work.prompt, mine, self._tell_judged)
            if self.world.main:
                # Apart: their prompts may be longer than anything the model was trained on.
                paper = evaluate.judge(speaker, self.work.prompt, measure.PAPER_EXAMPLES, lambda _: None)
        shares = self.world.gather(judged)
        return [one for turn in zip_longest(*shares) for one in turn if one is not None], paper

    def _tell_judged(self, share: float) -> None:
        self.this.reporter.advance(TRAINED + (0.99 - TRAINED) * share, "measuring held-out agreement")

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
