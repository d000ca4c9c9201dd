"""The stand-ins of `reasoner_workloads.tiny` for tests, and workloads run on them as a pod runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reasoner_api.report import RunReport


def publish(folder: Path, steps: int = 40) -> None:
    """The four stand-ins below a folder; the policy base barely trained."""
    output = folder.as_uri()
    command = [sys.executable, "-m", "reasoner_workloads.tiny", "--output", output, "--steps", str(steps)]
    subprocess.run(command, check=True, env=environment(), capture_output=True, timeout=300)


def environment(**more: str) -> dict[str, str]:
    """A pod's environment, with ports and threads that suit a machine full of tests."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "POD_IP": "127.0.0.1", "REPORT_PORT": "0", **more}


@dataclass
class Pod:
    """A workload's pod on a task: `command` is `verifier` or `grpo`."""

    command: str
    task: dict[str, Any]
    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    def start(self) -> subprocess.Popen[str]:
        """Start it and return at once."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "task.json"
        path.write_text(json.dumps(self.task))
        self.word.unlink(missing_ok=True)
        return subprocess.Popen(
            [sys.executable, "-m", "reasoner_workloads", self.command, "--task", str(path)],
            env=environment(TERMINATION_MESSAGE_PATH=str(self.word), **self.env),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, timeout: float = 150) -> tuple[int, RunReport, str]:
        """Run it to its end: exit code, last word, log."""
        return self.wait(self.start(), timeout)

    def wait(self, process: subprocess.Popen[str], timeout: float = 150) -> tuple[int, RunReport, str]:
        """Wait for its end."""
        with process:
            try:
                log, _ = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return process.returncode, RunReport.model_validate_json(self.word.read_bytes()), log

    @property
    def word(self) -> Path:
        """Its termination message."""
        return self.folder / "word.json"


def verifier_task(seeds: Path, output: Path, **training: Any) -> dict[str, Any]:
    """A VerifierTask of a few small steps."""
    return {
        "kind": "VerifierTraining",
        "namespace": "default",
        "name": "small",
        "output": output.as_uri(),
        "dataset": {"uri": f"{seeds.as_uri()}/verdicts"},
        "topology": {},
        "work": {
            "baseModel": f"{seeds.as_uri()}/verifier-base",
            "storage": {"uri": output.as_uri()},
            "evaluation": {"holdout": 0.01, "maxRows": 16},
            "training": {
                "maxSteps": 4,
                "saveSteps": 2,
                "perDeviceTrainBatchSize": 4,
                "maxLength": 96,
                "bf16": False,
                "gradientCheckpointing": False,
                **training,
            },
        },
    }


def grpo_task(seeds: Path, output: Path, **grpo: Any) -> dict[str, Any]:
    """A GRPOTask of a few small steps, judged by rules."""
    return {
        "kind": "GRPORun",
        "namespace": "default",
        "name": "small",
        "output": output.as_uri(),
        "dataset": {"uri": f"{seeds.as_uri()}/questions"},
        "topology": {},
        "work": {
            "baseModel": f"{seeds.as_uri()}/policy-base",
            "storage": {"uri": output.as_uri()},
            "rollout": {"engine": "transformers"},
            "checkpoint": {"everySteps": 2, "keep": 2},
            "evaluation": {"prompts": 4, "samples": 2, "temperature": 1.0},
            "grpo": {
                "maxSteps": 4,
                "numGenerations": 4,
                "perDeviceTrainBatchSize": 8,
                "gradientAccumulationSteps": 1,
                "stepsPerGeneration": 1,
                "maxPromptTokens": 64,
                "maxCompletionLength": 24,
                "bf16": False,
                "gradientCheckpointing": False,
                **grpo,
            },
        },
    }


def until(check: Callable[[], object], seconds: float) -> None:
    """Wait for a condition that only asking shows."""
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(0.1)
