"""What a step costs beside a plain TRL script's: the same model, questions and arguments, by this project's pod and by
GRPOTrainer and ten lines, in one run. Printed are seconds a step and their ratio; it fails where the ratio is beyond
`--limit`.

    python benchmarks/grpo_step.py                                                   # a tiny model on a CPU
    python benchmarks/grpo_step.py --device cuda --model-shape qwen2.5-1.5b --deepspeed 2

On a CPU both run at once and seconds are the processes' CPU seconds; on a GPU they run in turn, by the clock. What is
measured lies between the first step's log line and the last: generation, reward, the proof of the weights, the
record of completions, optimizer and callbacks; not the start, measurements and checkpoints."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

from reasoner_api.grpo import GRPOWork
from reasoner_api.manifest import ArtifactManifest
from reasoner_api.task import GRPOTask, InputArtifact, Topology
from reasoner_workloads.common.artifact import publish
from reasoner_workloads.common.store import open_store
from reasoner_workloads.grpo.data import prompt_of

#: Hidden size, layers, heads, key-value heads, intermediate size, vocabulary; `tiny` is the stand-in's own.
SHAPES = {
    "qwen2.5-0.5b": (896, 24, 14, 2, 4864, 151936),
    "qwen2.5-1.5b": (1536, 28, 12, 2, 8960, 151936),
    "qwen2.5-7b": (3584, 28, 28, 4, 18944, 152064),
}
#: Steps before the first that counts: kernels are compiled, caches filled.
WARM_UP = 2


@dataclass(frozen=True)
class Spent:
    """Seconds of one process's median step: the clock's and the CPUs'."""

    wall: float
    cpu: float


def main() -> int:
    """Run both in turn; 1 when the project's step costs too much."""
    given = _arguments().parse_args()
    if given.plain is not None:
        return plain(json.loads(given.plain.read_text()))
    limit = given.limit if given.limit is not None else (0.03 if given.device == "cuda" else 0.15)
    with tempfile.TemporaryDirectory(prefix="grpo-step-") as folder:
        bench = Bench(given, Path(folder))
        pairs = [bench.round(number) for number in range(given.rounds)]
    kind = "wall" if given.device == "cuda" else "cpu"
    for number, (ours, theirs) in enumerate(pairs, 1):
        print(
            f"round {number}: ours {ours.wall:.3f} s, {ours.cpu:.3f} CPU s a step; "
            f"TRL {theirs.wall:.3f} s, {theirs.cpu:.3f} CPU s"
        )
    ratios = [getattr(ours, kind) / getattr(theirs, kind) for ours, theirs in pairs]
    ratio = statistics.median(ratios)
    verdict = "within" if ratio <= 1 + limit else "BEYOND"
    print(
        f"ours / TRL: {ratio:.3f} ({min(ratios):.3f} to {max(ratios):.3f}) in {kind} seconds: {verdict} {1 + limit:.2f}"
    )
    return int(ratio > 1 + limit)


def _arguments() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="where it runs")
    top.add_argument("--model-shape", choices=["tiny", *SHAPES], default="tiny", help="a random model of this shape")
    top.add_argument("--engine", choices=["transformers", "vllm"], help="by what responses are generated")
    top.add_argument("--deepspeed", type=int, choices=[1, 2, 3], help="DeepSpeed's ZeRO stage; none when absent")
    top.add_argument("--steps", type=int, default=12, help="optimizer steps of each process, the first two for warm-up")
    top.add_argument("--rounds", type=int, default=2, help="times that both run")
    top.add_argument("--batch", type=int, default=32, help="responses a step")
    top.add_argument("--tokens", type=int, default=48, help="tokens of a response at most")
    top.add_argument("--limit", type=float, help="share by which ours may cost more; 0.03 on a GPU, 0.15 on a CPU")
    top.add_argument("--plain", type=Path, help=argparse.SUPPRESS)
    return top


class Bench:
    """One model and one set of questions, trained by either."""

    def __init__(self, given: argparse.Namespace, folder: Path) -> None:
        self.given, self.folder = given, folder
        self.engine = given.engine or ("vllm" if given.device == "cuda" else "transformers")
        root = folder.as_uri()
        command = [sys.executable, "-m", "reasoner_workloads.tiny", "--output", root, "--steps", "20"]
        subprocess.run(command, check=True, env=_environment(), capture_output=True)
        self.base = folder / "policy-base"
        if given.model_shape != "tiny":
            self.base = _random_model(self.base, SHAPES[given.model_shape], folder)

    def round(self, number: int) -> tuple[Spent, Spent]:
        """Both: one after the other on a GPU, at the same time on a CPU, whose pace changes with what else runs."""
        kinds = (self.ours, self.plain)
        if self.given.device == "cuda":
            ours, theirs = (kind(number) for kind in kinds)
        else:
            with ThreadPoolExecutor() as pool:
                ours, theirs = pool.map(lambda kind: kind(number), kinds)
        return ours, theirs

    def ours(self, number: int) -> Spent:
        """The project's pod, judged by its rules."""
        task = GRPOTask(
            namespace="bench", name=f"step-{number}", output=f"{self.folder.as_uri()}/out-{number}",
            work=self._work(), dataset=InputArtifact(uri=f"{self.folder.as_uri()}/questions"), topology=Topology(),
        )  # fmt: skip
        path = self.folder / f"task-{number}.json"
        path.write_text(json.dumps(task.wire()))
        return _spent([sys.executable, "-m", "reasoner_workloads", "grpo", "--task", str(path)], self.given.steps)

    def plain(self, number: int) -> Spent:
        """The script."""
        work = self._work()
        path = self.folder / f"plain-{number}.json"
        path.write_text(
            json.dumps({"model": str(self.base), "dataset": str(self.folder / "questions"), "work": work.wire()})
        )
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=1"] if self.given.deepspeed else []
        return _spent([sys.executable, *launcher, __file__, "--plain", str(path)], self.given.steps)

    def _work(self) -> GRPOWork:
        on_gpu = self.given.device == "cuda"
        grpo = {
            "maxSteps": self.given.steps, "numGenerations": 8, "perDeviceTrainBatchSize": self.given.batch,
            "gradientAccumulationSteps": 1, "stepsPerGeneration": 1, "maxCompletionLength": self.given.tokens,
            "learningRate": 1e-5, "bf16": on_gpu, "gradientCheckpointing": False,
            "deepspeed": {"zeroStage": self.given.deepspeed} if self.given.deepspeed else None,
        }  # fmt: skip
        return GRPOWork.model_validate(
            {
                "baseModel": self.base.as_uri(),
                "storage": {"uri": self.folder.as_uri()},
                "rollout": {"engine": self.engine},
                "checkpoint": {"everySteps": self.given.steps},
                "evaluation": {"prompts": 1, "everySteps": 0},
                "grpo": grpo,
            }
        )


def plain(given: dict[str, Any]) -> int:
    """What a user of TRL writes: the trainer, a dataset, math-verify as the reward."""
    import pyarrow.parquet
    from datasets import Dataset
    from math_verify import parse, verify
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import GRPOTrainer

    from reasoner_workloads.grpo.settings import arguments

    work = GRPOWork.model_validate(given["work"])
    with tempfile.TemporaryDirectory() as folder:
        config = arguments(work, Path(folder))
        config.save_strategy = "no"
        rows = pyarrow.parquet.read_table(Path(given["dataset"]) / "train.parquet").to_pylist()
        trainer = GRPOTrainer(
            model=AutoModelForCausalLM.from_pretrained(given["model"]),
            reward_funcs=lambda completions, answer, **_: [
                float(verify(parse(f"${truth}$"), parse(text))) for text, truth in zip(completions, answer, strict=True)
            ],
            args=config,
            train_dataset=Dataset.from_list(
                [{"prompt": prompt_of(row["question"], work.grpo), "answer": row["answer"]} for row in rows]
            ),
            processing_class=AutoTokenizer.from_pretrained(given["model"]),
        )
        trainer.train()
    return 0


def _random_model(tiny: Path, shape: tuple[int, ...], folder: Path) -> Path:
    """A random model of a shape, with the stand-in's tokenizer, published."""
    import torch
    from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

    hidden, layers, heads, kv_heads, intermediate, vocabulary = shape
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    config = Qwen2Config(
        hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=kv_heads,
        intermediate_size=intermediate, vocab_size=vocabulary, max_position_embeddings=32768,
        tie_word_embeddings=True, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    made = folder / "random"
    Qwen2ForCausalLM(config).bfloat16().save_pretrained(made)
    tokenizer.save_pretrained(made)
    publish(open_store(folder.as_uri()), made, "random-base", ArtifactManifest(type="model", files=[]))
    return folder / "random-base"


def _spent(command: Sequence[str], steps: int) -> Spent:
    """Run it, and measure between its steps' log lines."""
    lines: list[tuple[float, float]] = []
    log: list[str] = []
    with subprocess.Popen(
        command, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as run:
        assert run.stdout is not None
        root = psutil.Process(run.pid)
        for line in run.stdout:
            log.append(line)
            if "'grad_norm'" in line:
                lines.append((time.monotonic(), _cpu(root)))
    if run.returncode or len(lines) < steps:
        raise SystemExit(f"{' '.join(command)} ended with {run.returncode}:\n{''.join(log[-40:])}")
    pairs = list(pairwise(lines[WARM_UP - 1 : steps]))
    wall, cpu = (statistics.median(after[kind] - before[kind] for before, after in pairs) for kind in (0, 1))
    return Spent(wall, cpu)


def _cpu(root: psutil.Process) -> float:
    """CPU seconds of a process and of those below it."""
    total = 0.0
    for process in (root, *root.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "POD_IP": "127.0.0.1", "REPORT_PORT": "0", "PYTHONUNBUFFERED": "1"}


if __name__ == "__main__":
    sys.exit(main())
