"""Does a GRPORun learn, whatever happens to it? The tiny base model is trained on three seeds by one process and by two
with ZeRO-2, two optimizer steps a generation; then the first seed again by each while it is killed (SIGKILL) five times
and, where there are two, frozen (SIGSTOP) once, after steps drawn by lot, each time followed by a fresh pod as the Job
would start it, on an object store that fails every fourth request. It holds when the reward on held-out questions rises
clearly in every run, and the battered runs end as near to the unbroken ones as the seeds lie apart.
`python benchmarks/grpo_endurance.py`: nothing but the project with its `dev` packages, and a C++ compiler for
DeepSpeed."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from processes import environment, rank_of

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from reasoner_api.report import RunReport
from reasoner_workloads.common.store import open_store
from support.object_store import object_store
from support.store_weather import StoreWeather

STEPS, SAVE_STEPS, STEPS_A_GENERATION, LAST = 60, 4, 2, 10
#: Held-out reward that must be gained, of at most 1.
CLEAR = 0.3
#: Seconds without a step that a frozen rank is noticed after.
HANG_SECONDS = 120
COLUMNS = ("run", "seed", "pods", "before", "after", "first 10", "last 10", "same weights")


def main() -> int:
    """Run all; 1 where it does not hold."""
    top = argparse.ArgumentParser(description=__doc__)
    top.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="seeds of training")
    top.add_argument("--processes", type=int, nargs="+", default=[1, 2], help="1, and 2 with ZeRO-2")
    top.add_argument("--kills", type=int, default=5, help="how often the battered runs are killed")
    top.add_argument("--folder", type=Path, help="where everything is kept; a temporary folder when absent")
    arguments = top.parse_args()
    print(" | ".join(f"{name:>12}" for name in COLUMNS), flush=True)
    with tempfile.TemporaryDirectory(prefix="grpo-endurance-") as own:
        root = arguments.folder or Path(own)
        root.mkdir(parents=True, exist_ok=True)
        base = [sys.executable, "-m", "reasoner_workloads.tiny", "--output", root.absolute().as_uri()]
        subprocess.run(base, check=True, env=environment(root / "seed.json"), stdout=subprocess.DEVNULL)
        held = [hold(root.absolute(), arguments, processes) for processes in arguments.processes]
    print("holds" if all(held) else "DOES NOT HOLD")
    return int(not all(held))


def hold(root: Path, arguments: argparse.Namespace, processes: int) -> bool:
    """The unbroken runs and the battered one of so many processes; whether they do what they should."""
    unbroken = [Pod(root, f"whole-{processes}", seed, processes) for seed in arguments.seeds]
    for pod in unbroken:
        pod.finish()
        print(pod.row(), flush=True)
    with object_store() as target, StoreWeather(target, seed=processes).served() as weather:
        battered = Pod(root, f"battered-{processes}", arguments.seeds[0], processes, weather.url)
        batter(battered, arguments.kills)
        print(battered.row(unbroken[0]), flush=True)
    failed = {fault: times for fault, times in weather.met.items() if fault != "none"}
    print(f"{sum(failed.values())} of {weather.met.total()} requests to its store failed: {failed}", flush=True)
    risen = all(pod.after - pod.before >= CLEAR for pod in (*unbroken, battered))
    near = True
    for name in ("after", "last"):
        spread = span([getattr(pod, name) for pod in unbroken])
        apart = abs(getattr(battered, name) - getattr(unbroken[0], name))
        near &= apart <= spread
        print(f"{processes} process(es), {name}: the battered run is {apart:.3f} away, the seeds {spread:.3f} apart")
    return risen and near


def batter(pod: Pod, kills: int) -> None:
    """See a pod to its end under blows."""
    chance, freezes = random.Random(pod.processes), int(pod.processes > 1)
    for number, step in enumerate(sorted(chance.sample(range(2, STEPS - 1), kills + freezes))):
        frozen = freezes and number == kills // 2
        blow = signal.SIGSTOP if frozen else signal.SIGKILL
        print(pod.suffer(step, chance.randrange(pod.processes), blow), flush=True)
    pod.finish()


def span(values: Sequence[float]) -> float:
    """How far the values lie apart."""
    return max(values) - min(values)


@dataclass
class Pod:
    """A training pod, started again and again on the same task."""

    root: Path
    name: str
    seed: int
    processes: int
    endpoint: str | None = None
    """Of the object store that the run is kept in; a folder where there is none."""
    pods: int = 0
    before: float = 0.0
    after: float = 0.0
    curve: list[float] = field(default_factory=list)
    """Training reward of each step."""

    def __post_init__(self) -> None:
        self.folder = self.root / f"{self.name}-{self.seed}"
        self.folder.mkdir()
        self.word, self.log, self.task = (self.folder / file for file in ("word.json", "log.txt", "task.json"))
        self.uri = f"s3://reasoner/{self.folder.name}" if self.endpoint else self.folder.as_uri()
        made = _task(self.root, {"uri": self.uri, "endpoint": self.endpoint}, self.seed, self.processes)
        self.task.write_text(json.dumps(made))

    @property
    def last(self) -> float:
        """Mean training reward of the last steps."""
        return fmean(self.curve[-LAST:])

    def start(self) -> subprocess.Popen[bytes]:
        """Start a fresh pod."""
        self.pods += 1
        self.word.unlink(missing_ok=True)
        command = [sys.executable, "-m", "reasoner_workloads", "grpo", "--task", str(self.task)]
        with self.log.open("wb") as log:
            return subprocess.Popen(command, env=environment(self.word), stdout=log, stderr=log, start_new_session=True)

    def finish(self) -> None:
        """Start a pod and see it to its good end. Raises RuntimeError for another."""
        process = self.start()
        code = process.wait()
        report = RunReport.model_validate_json(self.word.read_bytes())
        if code or report.metrics["step"] != STEPS:
            raise RuntimeError(f"a pod ended with {code}: {report.message}; see {self.log}")
        self.before, self.after = report.metrics["reward_before"], report.metrics["reward_after"]
        history = json.loads(self.read(f"step-{STEPS:08d}/trainer_state.json"))["log_history"]
        self.curve = [entry["reward"] for entry in history if "reward" in entry]

    def suffer(self, step: int, rank: int, blow: signal.Signals) -> str:
        """Start a pod, strike a rank of it once a step is done, and wait for the pod's end; in words."""
        process, began = self.start(), time.monotonic()
        while self._done() < step and process.poll() is None:
            time.sleep(0.02)
        found = process.pid if self.processes == 1 else rank_of(process.pid, rank)
        if process.poll() is not None or found is None:
            raise RuntimeError(f"a pod ended with {process.returncode} before step {step}; see {self.log}")
        os.kill(found, blow)
        struck = time.monotonic()
        code = process.wait(timeout=600)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what a killed process leaves behind goes with its pod
        said = f"{blow.name} for rank {rank} after step {step}, {struck - began:.0f} s after the pod's start: "
        if blow == signal.SIGSTOP:
            word = RunReport.model_validate_json(self.word.read_bytes())
            if word.reason != "Hung":
                raise RuntimeError(f"a frozen rank ended its pod with {code}, {word.reason}; see {self.log}")
            said += f"noticed as {word.reason}, "
        return f"{said}the pod ended with {code} {time.monotonic() - struck:.0f} s later"

    def row(self, other: Pod | None = None) -> str:
        """The run's line of the table; `other` is who it should be like."""
        kind = f"{self.name.partition('-')[0]} {self.processes}" + (" ZeRO-2" if self.processes > 1 else "")
        same = "" if other is None else "yes" if self.weights() == other.weights() else "no"
        figures = (self.before, self.after, fmean(self.curve[:LAST]), self.last)
        cells = (kind, self.seed, self.pods, *(f"{figure:.3f}" for figure in figures), same)
        return " | ".join(f"{cell:>12}" for cell in cells)

    def weights(self) -> str:
        """sha256 of the published weights."""
        return hashlib.sha256(self.read("model/model.safetensors")).hexdigest()

    def read(self, name: str) -> bytes:
        """The one object of the run's whose key ends so."""
        store = open_store(self.uri, endpoint=self.endpoint)
        (key,) = (key for key in store.list() if key.endswith(f"/{name}"))
        return store.get(key)

    def _done(self) -> int:
        """Steps done, by the present pod's log."""
        lines = self.log.read_text(errors="replace").splitlines()
        resumed = [int(line.split()[-1]) for line in lines if line.startswith("resuming after step ")]
        return (resumed[-1] if resumed else 0) + sum("'loss'" in line for line in lines)


def _task(root: Path, storage: dict[str, Any], seed: int, processes: int) -> dict[str, Any]:
    grpo: dict[str, Any] = {
        "maxSteps": STEPS,
        "learningRate": 0.0002,
        "numGenerations": 8,
        "perDeviceTrainBatchSize": 128 // STEPS_A_GENERATION // processes,
        "gradientAccumulationSteps": 1,
        "stepsPerGeneration": STEPS_A_GENERATION,
        "maxPromptTokens": 64,
        "maxCompletionLength": 40,
        "seed": seed,
        "bf16": False,
        "gradientCheckpointing": False,
    }
    return {
        "kind": "GRPORun",
        "namespace": "default",
        "name": "endurance",
        "output": storage["uri"],
        "dataset": {"uri": f"{root.as_uri()}/questions"},
        "topology": {"processesPerNode": processes},
        "work": {
            "baseModel": f"{root.as_uri()}/policy-base",
            "storage": storage,
            "rollout": {"engine": "transformers"},
            "checkpoint": {"everySteps": SAVE_STEPS, "keep": 2},
            "evaluation": {"prompts": 64, "samples": 4, "temperature": 1.0, "everySteps": 0},
            "guards": {"hang": {"factor": 4, "minSeconds": HANG_SECONDS}},
            "grpo": grpo | ({"deepspeed": {"zeroStage": 2}} if processes > 1 else {}),
        },
    }


if __name__ == "__main__":
    sys.exit(main())
