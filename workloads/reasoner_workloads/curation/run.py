"""`python -m reasoner_workloads curation`: one pod's part of a CurationJob: whatever no other pod is at. Run by the
operator's Indexed Job; by hand, without an index, one pod does it all."""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from reasoner_api.status import total
from reasoner_api.task import TASK_DIR, TASK_FILE, CurationTask
from reasoner_workloads.common import run as frame
from reasoner_workloads.common.run import ConfigError, Run, WorkloadError
from reasoner_workloads.common.store import StoreError
from reasoner_workloads.curation.claims import Claims
from reasoner_workloads.curation.ledger import usages
from reasoner_workloads.curation.memory import collect_seldom
from reasoner_workloads.curation.pod import Pod, split_source
from reasoner_workloads.curation.publish import publish_all, published


def main(argv: Sequence[str]) -> int:
    """Run and return the exit code."""
    parser = argparse.ArgumentParser(prog="reasoner_workloads curation", description=__doc__)
    parser.add_argument("--task", type=Path, default=Path(TASK_DIR) / TASK_FILE, help="the task's file")
    arguments = parser.parse_args(argv)
    return frame.run(arguments.task, CurationTask, body)


def body(run: Run[CurationTask]) -> None:
    """This pod's part, and the whole job's result if it is this pod that publishes."""
    try:
        _curate(run)
    except StoreError as error:
        raise WorkloadError(f"storage: {error}", reason="StoreUnavailable") from error


def _curate(run: Run[CurationTask]) -> None:
    report = published(run.store)
    if report is None:
        with Claims(run.store, _number(run.task)) as claims:
            run.reporter.update(message="reading the source")
            parts = split_source(run.task.work, run.store, claims)
            run.reporter.update(message="")
            pod = Pod(run.task, run.store, claims, run.reporter)
            collect_seldom()
            with run.told_of_sigterm(pod.stop):
                try:
                    asyncio.run(pod.run(parts))
                except ConfigError as error:
                    if error.reason == "BudgetExceeded":
                        # The others end with this pod, and nobody hears of them any more: it speaks for all.
                        run.reporter.update(usage=total(usages(run.store).values()))
                    raise
            if claims.take(["publish"]):
                run.reporter.update(message="publishing")
                report = publish_all(run.task, run.store)
    if report is not None:
        run.reporter.update(**{name: getattr(report, name) for name in report.model_fields_set})


def _number(task: CurationTask) -> int:
    """The number that the Indexed Job gave this pod; 0 where there is no such Job, and one pod does it all."""
    index = os.environ.get("JOB_COMPLETION_INDEX", "0")
    if not index.isdecimal() or int(index) >= task.work.shards:
        raise ConfigError(f"JOB_COMPLETION_INDEX is {index!r}, and there are {task.work.shards} shards")
    return int(index)
