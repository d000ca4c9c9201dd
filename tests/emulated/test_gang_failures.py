"""What a process group's failures cost: the Job that the operator makes, on the embedded cluster, its pods ending as
the launcher of a group ends them. `maxRestarts` counts what failed, once, whatever the number of nodes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reasoner_local.client import JOBS, Obj
from reasoner_operator.plan import plan
from reasoner_operator.settings import Settings
from support.local import World, condition, count, shell, true, world
from support.objects import NOW, seen

NODES = 3


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path / "cluster") as made:
        yield made


def retries(max_restarts: int) -> Obj:
    """The parts of the operator's Job that decide what is counted."""
    spec = {
        "verifier": {"rules": {}},
        "dataset": {"uri": "s3://b/questions"},
        "compute": {"nodes": NODES},
        "scheduling": {"maxRestarts": max_restarts},
    }
    job = plan(seen("GRPORun", spec), Settings(), NOW).apply[-1]["spec"]
    return {
        key: job[key] for key in ("completionMode", "completions", "parallelism", "backoffLimit", "podFailurePolicy")
    }


#: Each pod notes how often its index has been tried; `$n` is the number of this try.
TRY = "d={folder}/$JOB_COMPLETION_INDEX; mkdir -p $d; n=$(ls $d | wc -l); touch $d/$n; "

#: sentence -> what a pod does, restarts allowed, and whether the Job completes with how many failures counted
CASES: dict[str, tuple[str, int, bool, int]] = {
    "one node fails twice and takes the others along": (
        'test $n -ge 2 && exit 0; test "$JOB_COMPLETION_INDEX" = 1 && exit 1; exit 4',
        2,
        True,
        2,
    ),
    "a third failure is one too many": (
        'test $n -ge 3 && exit 0; test "$JOB_COMPLETION_INDEX" = 1 && exit 1; exit 4',
        2,
        False,
        3,
    ),
    "nodes that are told to stop, and those that stop with them, cost nothing": (
        'test $n -ge 4 && exit 0; test "$JOB_COMPLETION_INDEX" = 1 && exit 143; exit 4',
        0,
        True,
        0,
    ),
}


@pytest.mark.parametrize("sentence", CASES)
async def test_what_is_counted(sentence: str, local: World, tmp_path: Path) -> None:
    script, max_restarts, completes, failures = CASES[sentence]
    await local.job("g", shell(TRY.format(folder=tmp_path) + script), **retries(max_restarts))
    job = await local.until(JOBS, "g", lambda job: true(job, "Complete") or true(job, "Failed"), limit=40)
    assert true(job, "Complete") is completes
    if completes:
        assert count(job, "failed") == failures
    else:
        assert condition(job, "Failed")["reason"] == "BackoffLimitExceeded"
        assert count(job, "failed") > max_restarts
