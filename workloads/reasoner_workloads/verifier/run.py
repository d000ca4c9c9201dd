"""The entry of a VerifierTraining's pods: `python -m reasoner_workloads verifier --task PATH`. Decides how many
processes train and whether there is anything to do; `train` does it. Loads no torch before the task is known good."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from reasoner_api.task import VerifierTask
from reasoner_workloads.common.run import ConfigError, Run, load_task, run, store_of
from reasoner_workloads.training import launch, peers
from reasoner_workloads.training.outcome import already_published
from reasoner_workloads.verifier.prompt import check

MODULE = "reasoner_workloads.verifier.run"


def main(argv: Sequence[str]) -> int:
    """Run and return the exit code."""
    parser = argparse.ArgumentParser(prog="reasoner_workloads verifier", description="train an answer verifier")
    parser.add_argument("--task", type=Path, required=True, help="the task's file")
    path = parser.parse_args(argv).task
    if launch.is_rank():
        launch.enter_rank()
        return launch.leave_rank(run(path, VerifierTask, body))
    try:
        task = load_task(path, VerifierTask)
    except ConfigError:
        return run(path, VerifierTask, body)  # which says what is wrong where it is looked for
    if launch.needed(task.topology, task.work.training.deepspeed):
        return launch.torchrun(MODULE, argv, task.topology, store_of(task))
    return run(path, VerifierTask, body)


def body(this: Run[VerifierTask]) -> None:
    """Do the task, or report what an earlier pod has published."""
    check(this.task.work.prompt)
    with peers.blamed():
        if already_published(this):
            return
        from reasoner_workloads.verifier.train import train_verifier

        train_verifier(this)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
