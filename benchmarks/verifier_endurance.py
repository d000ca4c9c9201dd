"""Does training survive? A verifier is trained by two processes once in peace and once while rank 0 or rank 1, drawn by
lot, is killed (SIGKILL) at random moments, each time followed by a fresh pod as the Job would start it. It holds when
the battered run finishes, never goes back by more than one checkpoint interval, and ends with the very weights of the
unbroken run: the same rows in the same order, to the last bit. `python benchmarks/verifier_endurance.py --kills 20`."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from processes import environment, rank_of, verifier_task

from reasoner_api.report import RunReport

SAVE_STEPS = 5


def main() -> int:
    """Run both; 1 where it does not hold."""
    top = argparse.ArgumentParser(description=__doc__)
    top.add_argument("--kills", type=int, default=20, help="how often a rank is killed")
    top.add_argument("--steps", type=int, default=200, help="optimizer steps of the run")
    top.add_argument("--seed", type=int, default=1, help="of the lots")
    arguments = top.parse_args()
    with tempfile.TemporaryDirectory(prefix="endurance-") as folder:
        root = Path(folder)
        seed = [sys.executable, "-m", "reasoner_workloads.tiny", "--output", root.as_uri(), "--steps", "1"]
        subprocess.run(seed, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        unbroken = Pod(root, "unbroken", arguments.steps)
        pace = unbroken.finish()
        seconds = f"{pace.loading:.1f} s to the first, {pace.step:.2f} s each"
        print(f"unbroken: {arguments.steps} steps, {seconds}", flush=True)
        battered, chance = Pod(root, "battered", arguments.steps), random.Random(arguments.seed)
        for _ in range(arguments.kills):
            print(battered.suffer(chance.randrange(2), Moment.draw(chance, pace)), flush=True)
        battered.finish()
        return verdict(unbroken, battered)


def verdict(unbroken: Pod, battered: Pod) -> int:
    """Say what came of it."""
    print(f"steps lost at the kills after the first step: {battered.lost}; a checkpoint every {SAVE_STEPS}")
    same_losses = all(unbroken.losses[step] == loss for step, loss in battered.losses.items())
    same_weights = unbroken.weights() == battered.weights()
    print(f"same loss at each of {len(battered.losses)} steps: {same_losses}; same weights: {same_weights}")
    held = same_losses and same_weights and max(battered.lost, default=0) <= SAVE_STEPS
    print("holds" if held else "DOES NOT HOLD")
    return int(not held)


@dataclass(frozen=True)
class Pace:
    """How long a pod takes, in seconds."""

    loading: float
    step: float


@dataclass(frozen=True)
class Moment:
    """When a rank is killed: so many seconds after its pod's start, or after the pod's first step."""

    training: bool
    seconds: float

    @classmethod
    def draw(cls, chance: random.Random, pace: Pace) -> Moment:
        """One in five while the pod loads, the others within the three checkpoints that follow its first step."""
        training = chance.random() > 0.2
        return cls(training, chance.uniform(0, 3 * SAVE_STEPS * pace.step if training else pace.loading))


class Pod:
    """A training pod of two processes, started again and again on the same task."""

    def __init__(self, root: Path, name: str, steps: int) -> None:
        self.folder, self.steps = root / name, steps
        self.folder.mkdir()
        self.word, self.log, self.task = (self.folder / file for file in ("word.json", "log.txt", "task.json"))
        training = {"maxSteps": steps, "saveSteps": SAVE_STEPS, "perDeviceTrainBatchSize": 8}
        self.task.write_text(json.dumps(verifier_task(root, self.folder, 2, training)))
        self.reached = 0
        self.lost: list[int] = []
        self.losses: dict[int, str] = {}
        """What each step's row of the log said, whichever pod did it; a step done twice must say the same."""

    def start(self) -> subprocess.Popen[bytes]:
        """Start a fresh pod."""
        command = [sys.executable, "-m", "reasoner_workloads", "verifier", "--task", str(self.task)]
        with self.log.open("wb") as log:
            return subprocess.Popen(command, env=environment(self.word), stdout=log, stderr=log)

    def finish(self) -> Pace:
        """Start a pod and see it to its good end. Raises RuntimeError for another."""
        process, began, first = self.start(), time.monotonic(), 0.0
        while process.poll() is None:
            if not first and b"'loss'" in self.log.read_bytes():
                first = time.monotonic()
            time.sleep(0.05)
        report = RunReport.model_validate_json(self.word.read_bytes())
        if process.returncode or report.metrics["step"] != self.steps:
            raise RuntimeError(f"a pod ended with {process.returncode}: {report.message}; see {self.log}")
        self._account()
        return Pace(first - began, (time.monotonic() - first) / self.steps)

    def suffer(self, rank: int, moment: Moment) -> str:
        """Start a pod, kill a rank of it and wait for the pod's end; in words."""
        process = self.start()
        while moment.training and b"'loss'" not in self.log.read_bytes() and process.poll() is None:
            time.sleep(0.02)
        time.sleep(moment.seconds)
        while not (found := rank_of(process.pid, rank)) and process.poll() is None:
            time.sleep(0.02)
        if found:
            os.kill(found, signal.SIGKILL)
        code = process.wait(timeout=180)
        if code not in (0, 1):
            raise RuntimeError(f"a pod whose rank {rank} was killed ended with {code}; see {self.log}")
        since = "its first step" if moment.training else "its start"
        return f"rank {rank} killed {moment.seconds:4.1f} s after {since}: {self._account()}"

    def _account(self) -> str:
        """Note how far the pod came, and what it had lost of what came before; in words."""
        lines = self.log.read_text(errors="replace").splitlines()
        marks = [line for line in lines if line.startswith("resuming after step ")]
        rows = [line for line in lines if "'loss'" in line]
        if not marks and not rows:
            return "while it loaded"
        resumed = int(marks[-1].split()[-1]) if marks else 0
        for step, row in enumerate(rows, resumed + 1):
            loss = row.split("'loss': ")[1].split(",")[0]
            if self.losses.setdefault(step, loss) != loss:
                raise RuntimeError(f"step {step} has the loss {loss} after {self.losses[step]} before: other rows")
        if self.reached:
            self.lost.append(self.reached - resumed)
        self.reached = resumed + len(rows)
        return f"from step {resumed} to {self.reached}"

    def weights(self) -> str:
        """sha256 of the published weights."""
        (path,) = self.folder.rglob("model/model.safetensors")
        return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
