"""The entry of a GRPORun's pods: `python -m reasoner_workloads grpo --task PATH`. Decides how many
processes train and whether there is anything to do; `train` does it. Loads no torch before the task is known good."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from reasoner_api.task import GRPOTask
from reasoner_workloads.common.run import ConfigError, Run, load_task, run, store_of
from reasoner_workloads.grpo.away import waiting_for_the_store
from reasoner_workloads.grpo.rollout import server
from reasoner_workloads.grpo.terms import load
from reasoner_workloads.training import launch, peers
from reasoner_workloads.training.outcome import already_published
from reasoner_workloads.verifier.prompt import check

MODULE = "reasoner_workloads.grpo.run"


def main(argv: Sequence[str]) -> int:
    """Run and return the exit code."""
    parser = argparse.ArgumentParser(prog="reasoner_workloads grpo", description="train a reasoning model by GRPO")
    parser.add_argument("--task", type=Path, required=True, help="the task's file")
    path = parser.parse_args(argv).task
    if launch.is_rank():
        launch.enter_rank()
        return launch.leave_rank(run(path, GRPOTask, body))
    try:
        task = load_task(path, GRPOTask)
    except ConfigError:
        return run(path, GRPOTask, body)  # which says what is wrong where it is looked for
    if server.serves(task.topology):
        return run(path, GRPOTask, serve)
    if launch.needed(task.topology, task.work.grpo.deepspeed):
        return launch.torchrun(MODULE, argv, task.topology, store_of(task))
    return run(path, GRPOTask, body)


def serve(this: Run[GRPOTask]) -> None:
    """Generate for the pods that train, unless an earlier one has published."""
    with waiting_for_the_store():
        if not already_published(this):
            server.serve(this)


def body(this: Run[GRPOTask]) -> None:
    """Do the task, or report what an earlier pod has published."""
    if this.task.verifier is not None:
        check(this.task.verifier.prompt)
    if this.task.work.evaluation.judge is not None:
        check(this.task.work.evaluation.judge.prompt)
    load(this.task.work.reward)
    with waiting_for_the_store(), peers.blamed():
        if already_published(this):
            return
        from reasoner_workloads.grpo.train import train_policy

        train_policy(this)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
