"""`python -m reasoner_workloads curation`: one pod's part of a CurationJob. Run by the operator's Indexed Job; by hand,
without an index, all shards one after the other."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from reasoner_api.task import TASK_DIR, TASK_FILE, CurationTask
from reasoner_workloads.common import run as frame
from reasoner_workloads.common.run import ConfigError, Run, WorkloadError
from reasoner_workloads.common.store import StoreError
from reasoner_workloads.curation.publish import publish_all, published
from reasoner_workloads.curation.shard import do_shard


def main(argv: Sequence[str]) -> int:
    """Run and return the exit code."""
    parser = argparse.ArgumentParser(prog="reasoner_workloads curation", description=__doc__)
    parser.add_argument("--task", type=Path, default=Path(TASK_DIR) / TASK_FILE, help="the task's file")
    arguments = parser.parse_args(argv)
    return frame.run(arguments.task, CurationTask, body)


def body(run: Run[CurationTask]) -> None:
    """This pod's shards, and the whole job's result once no shard is missing."""
    try:
        _curate(run)
    except StoreError as error:
        raise WorkloadError(f"storage: {error}", reason="StorageUnavailable") from error


def _curate(run: Run[CurationTask]) -> None:
    report = published(run.store)
    if report is None:
        for shard in _shards(run.task):
            do_shard(run.task, shard, run.store, run.reporter)
        report = publish_all(run.task, run.digest, run.store)
    if report is not None:
        run.reporter.update(**{name: getattr(report, name) for name in report.model_fields_set})


def _shards(task: CurationTask) -> list[int]:
    """The shard that the Indexed Job gave this pod; all of them where there is no such Job."""
    index = os.environ.get("JOB_COMPLETION_INDEX")
    if index is None:
        return list(range(task.work.shards))
    if not index.isdecimal() or int(index) >= task.work.shards:
        raise ConfigError(f"JOB_COMPLETION_INDEX is {index!r}, and there are {task.work.shards} shards")
    return [int(index)]
