"""Does every way of training end in the same kind of artifact? A tiny verifier is trained for a few steps by each of
the spec's options, told to stop (SIGTERM) after its first steps and resumed by a fresh pod. It holds when each
finishes, goes on from the checkpoint that the first pod left, and publishes a model that plain transformers loads and
that decodes. `python benchmarks/verifier_options.py`; `--only zero-3 lora` for some of them."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from processes import environment, verifier_task
from transformers import AutoModelForCausalLM, AutoTokenizer

from reasoner_api.report import RunReport
from reasoner_api.task import EXIT_TERMINATED

STEPS = 30


@dataclass(frozen=True)
class Option:
    """A way to train: settings of `spec.training`, and processes."""

    training: dict[str, Any] = field(default_factory=dict)
    processes: int = 1


OPTIONS = {
    "one-process": Option(),
    "two-processes": Option(processes=2),
    "bf16": Option({"bf16": True}),
    "gradient-checkpointing": Option({"gradientCheckpointing": True}),
    "packing": Option({"packing": True, "maxLength": 256}),
    "lora": Option({"lora": {"r": 4}}),
    **{f"zero-{stage}": Option({"deepspeed": {"zeroStage": stage}}, 2) for stage in range(4)},
    "zero-3-lora-packing-bf16": Option(
        {"deepspeed": {"zeroStage": 3}, "lora": {"r": 4}, "packing": True, "maxLength": 256, "bf16": True}, 2
    ),
    "pass-through": Option({"args": {"neftune_noise_alpha": 5, "label_smoothing_factor": 0.1}}),
}


def main() -> int:
    """Run them; 1 where one does not hold."""
    top = argparse.ArgumentParser(description=__doc__)
    top.add_argument("--only", nargs="+", choices=OPTIONS, default=list(OPTIONS), help="options to try")
    failed = False
    with tempfile.TemporaryDirectory(prefix="options-") as folder:
        root = Path(folder)
        seed = [sys.executable, "-m", "reasoner_workloads.tiny", "--output", root.as_uri(), "--steps", "1"]
        subprocess.run(seed, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        print(f"{'option':>26} | stopped after | loss | reply | held | seconds")
        for name in top.parse_args().only:
            began = time.monotonic()
            stopped, loss, reply, held = Trial(root, name).run()
            seconds = time.monotonic() - began
            print(f"{name:>26} | {stopped:13} | {loss:.2f} | {reply[:12]!r} | {held} | {seconds:.0f}", flush=True)
            failed |= not held
    print("DOES NOT HOLD" if failed else "holds")
    return int(failed)


class Trial:
    """One option's pods."""

    def __init__(self, root: Path, name: str) -> None:
        self.option, self.folder = OPTIONS[name], root / name
        self.folder.mkdir()
        self.word, self.log, self.task = (self.folder / file for file in ("word.json", "log.txt", "task.json"))
        training = {"maxSteps": STEPS, "saveSteps": 100, "perDeviceTrainBatchSize": 4, **self.option.training}
        self.task.write_text(json.dumps(verifier_task(root, self.folder, self.option.processes, training)))

    def run(self) -> tuple[int, float, str, bool]:
        """The step of the first pod's checkpoint, the last loss, a reply, and whether all is as it should be."""
        process = self._start()
        while b"'loss'" not in self.log.read_bytes():
            if process.poll() is not None:
                raise RuntimeError(f"a pod ended with {process.returncode}: see {self.log.read_text()[-3000:]}")
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        code, first = process.wait(), self._report()
        stopped = first.last_checkpoint.step if first.last_checkpoint else 0
        code_again, last = self._start().wait(), self._report()
        if code_again:
            raise RuntimeError(
                f"the second pod ended with {code_again}: {last.message}; {self.log.read_text()[-3000:]}"
            )
        reply = _reply(Path(last.artifacts["model"].uri.removeprefix("file://")))
        went_on = f"resuming after step {stopped}\n" in self.log.read_text()
        held = code == EXIT_TERMINATED and went_on and last.metrics["step"] == STEPS
        return stopped, last.metrics["loss"], reply, held

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "reasoner_workloads", "verifier", "--task", str(self.task)]
        with self.log.open("wb") as log:
            return subprocess.Popen(command, env=environment(self.word), stdout=log, stderr=log)

    def _report(self) -> RunReport:
        return RunReport.model_validate_json(self.word.read_bytes())


def _reply(folder: Path) -> str:
    """What the published model says, by transformers alone."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    prompt = tokenizer("Is 2 equal to two?", return_tensors="pt")
    said = model.generate(**prompt, max_new_tokens=8)[0][prompt["input_ids"].shape[1] :]
    return str(tokenizer.decode(said))


if __name__ == "__main__":
    sys.exit(main())
