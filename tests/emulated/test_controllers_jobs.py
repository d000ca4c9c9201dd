"""Jobs as kube-controller-manager runs them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reasoner_local.client import JOBS, PODS, Obj
from reasoner_local.controllers.job_policy import from_ranges, to_ranges
from support.local import World, condition, count, phase, shell, true, world

INDEX = "batch.kubernetes.io/job-completion-index"


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path / "cluster") as made:
        yield made


def over(job: Obj) -> bool:
    return true(job, "Complete") or true(job, "Failed")


async def finished(local: World, name: str) -> Obj:
    return await local.until(JOBS, name, over)


def why(job: Obj) -> tuple[str, str]:
    failed = condition(job, "Failed")
    assert condition(job, "FailureTarget")["reason"] == failed["reason"]
    return failed["reason"], failed["message"]


@pytest.mark.parametrize(
    ("indexes", "text"), [(set(), ""), ({3}, "3"), ({0, 1}, "0,1"), ({0, 1, 2, 4}, "0-2,4"), ({1, 3, 4, 5}, "1,3-5")]
)
def test_indexes_as_text(indexes: set[int], text: str) -> None:
    assert to_ranges(indexes) == text
    assert from_ranges(text) == indexes


async def test_indexed_job_completes_each_index_once(local: World) -> None:
    script = "echo $JOB_COMPLETION_INDEX $HOSTNAME"
    pod = {"subdomain": "workers"}
    await local.job("j", shell(script), pod, completionMode="Indexed", completions=4, parallelism=2)
    job = await finished(local, "j")
    status = job["status"]
    assert (status["succeeded"], status["completedIndexes"], count(job, "failed")) == (4, "0-3", 0)
    assert condition(job, "SuccessCriteriaMet")["reason"] == "CompletionsReached"
    assert status["startTime"] <= status["completionTime"]
    pods = {pod["metadata"]["annotations"][INDEX]: pod for pod in await local.pods("j-")}
    assert sorted(pods) == ["0", "1", "2", "3"]
    for index, pod in pods.items():
        meta = pod["metadata"]
        assert meta["name"].startswith(f"j-{index}-") and len(meta["name"]) == len(f"j-{index}-") + 5
        assert meta["labels"][INDEX] == index
        assert pod["spec"]["hostname"] == f"j-{index}"
        assert await local.log(meta["name"]) == f"{index} j-{index}\n"
    assert {"SuccessfulCreate", "Completed"} <= await local.reasons("j")


async def test_plain_job_retries_until_it_has_its_completions(local: World, tmp_path: Path) -> None:
    script = f"mkdir {tmp_path}/once 2>/dev/null && exit 1; exit 0"
    await local.job("j", shell(script), completions=3, parallelism=3)
    job = await finished(local, "j")
    assert (job["status"]["succeeded"], job["status"]["failed"]) == (3, 1)
    assert true(job, "Complete")


async def test_backoff_limit(local: World) -> None:
    await local.job("j", shell("exit 1"), backoffLimit=2)
    job = await finished(local, "j")
    assert why(job) == ("BackoffLimitExceeded", "Job has reached the specified backoff limit")
    assert job["status"]["failed"] == 3
    assert "completionTime" not in job["status"]
    assert "BackoffLimitExceeded" in await local.reasons("j")


async def test_restarts_in_place_count_against_the_backoff_limit(local: World) -> None:
    await local.job("j", shell("exit 1"), {"restartPolicy": "OnFailure"}, backoffLimit=2)
    assert why(await finished(local, "j"))[0] == "BackoffLimitExceeded"


async def test_exit_code_that_fails_the_job_at_once(local: World) -> None:
    rules = [{"action": "FailJob", "onExitCodes": {"containerName": "main", "operator": "In", "values": [2]}}]
    script = 'test "$JOB_COMPLETION_INDEX" = 1 && exit 2; exec sleep 1000'
    await local.job(
        "j",
        shell(script),
        {"terminationGracePeriodSeconds": 1},
        completionMode="Indexed",
        completions=2,
        parallelism=2,
        podFailurePolicy={"rules": rules},
    )
    job = await finished(local, "j")
    reason, message = why(job)
    assert reason == "PodFailurePolicy"
    name = next(pod["metadata"]["name"] for pod in await local.pods("j-1-"))
    assert message == f"Container main for pod default/{name} failed with exit code 2 matching FailJob rule at index 0"
    assert not [pod for pod in await local.pods("j-") if phase(pod) == "Running"]


async def test_ignored_exit_code_is_not_counted(local: World, tmp_path: Path) -> None:
    rules = [{"action": "Ignore", "onExitCodes": {"operator": "In", "values": [42]}}]
    script = f"mkdir {tmp_path}/once 2>/dev/null && exit 42; exit 0"
    await local.job("j", shell(script), backoffLimit=0, podFailurePolicy={"rules": rules})
    job = await finished(local, "j")
    assert true(job, "Complete")
    assert count(job, "failed") == 0


async def test_disrupted_pod_is_replaced_without_counting(local: World) -> None:
    rules = [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
    await local.job(
        "j",
        shell("exec sleep 1000"),
        {"terminationGracePeriodSeconds": 1},
        backoffLimit=0,
        podFailurePolicy={"rules": rules},
    )
    job = await local.until(JOBS, "j", lambda job: count(job, "ready") == 1)
    (pod,) = await local.pods("j-")
    assert await local.evict(pod["metadata"]["name"]) == (201, "")
    await local.gone(PODS, pod["metadata"]["name"])
    job = await local.until(JOBS, "j", lambda job: count(job, "ready") == 1)
    assert not over(job)
    assert count(job, "failed") == 0
    (other,) = await local.pods("j-")
    assert phase(other) == "Running"


async def test_limit_of_each_index(local: World) -> None:
    script = 'test "$JOB_COMPLETION_INDEX" != 1'
    await local.job("j", shell(script), completionMode="Indexed", completions=3, parallelism=3, backoffLimitPerIndex=1)
    job = await finished(local, "j")
    assert why(job) == ("FailedIndexes", "Job has failed indexes")
    status = job["status"]
    assert (status["completedIndexes"], status["failedIndexes"], status["failed"]) == ("0,2", "1", 2)


async def test_exit_code_that_fails_its_index_at_once(local: World) -> None:
    rules = [{"action": "FailIndex", "onExitCodes": {"operator": "NotIn", "values": [1]}}]
    script = 'test "$JOB_COMPLETION_INDEX" != 1 || exit 7'
    policy = {"backoffLimitPerIndex": 3, "podFailurePolicy": {"rules": rules}}
    await local.job("j", shell(script), completionMode="Indexed", completions=3, parallelism=3, **policy)
    job = await finished(local, "j")
    assert why(job)[0] == "FailedIndexes"
    status = job["status"]
    assert (status["completedIndexes"], status["failedIndexes"], status["failed"]) == ("0,2", "1", 1)


async def test_more_failed_indexes_than_allowed_end_the_others(local: World) -> None:
    script = 'test "$JOB_COMPLETION_INDEX" = 0 && exec sleep 1000; exit 1'
    limits = {"backoffLimitPerIndex": 0, "maxFailedIndexes": 1}
    pod = {"terminationGracePeriodSeconds": 1}
    await local.job("j", shell(script), pod, completionMode="Indexed", completions=3, parallelism=3, **limits)
    job = await finished(local, "j")
    assert why(job) == ("MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes")
    assert {1, 2} <= from_ranges(job["status"]["failedIndexes"]) and not count(job, "active")


async def test_deadline(local: World) -> None:
    pod = {"terminationGracePeriodSeconds": 1}
    await local.job("j", shell("exec sleep 1000"), pod, activeDeadlineSeconds=1)
    job = await finished(local, "j")
    assert why(job) == ("DeadlineExceeded", "Job was active longer than specified deadline")
    assert count(job, "active") == 0


async def test_suspended_job_has_no_pods_and_runs_when_resumed(local: World) -> None:
    pod = {"terminationGracePeriodSeconds": 1}
    await local.job("j", shell("exec sleep 1000"), pod, suspend=True)
    job = await local.until(JOBS, "j", lambda job: true(job, "Suspended"))
    assert "startTime" not in job["status"] and await local.pods("j-") == []
    await local.client.patch(JOBS, job, {"spec": {"suspend": False}})
    job = await local.until(JOBS, "j", lambda job: count(job, "ready") == 1)
    assert condition(job, "Suspended")["reason"] == "JobResumed"
    await local.client.patch(JOBS, job, {"spec": {"suspend": True}})
    job = await local.until(JOBS, "j", lambda job: true(job, "Suspended") and not count(job, "terminating"))
    assert await local.pods("j-") == []
    assert count(job, "failed") == 0
    assert {"Suspended", "Resumed", "SuccessfulDelete"} <= await local.reasons("j")


async def test_finished_job_goes_when_its_time_is_over(local: World) -> None:
    await local.job("j", shell("true"), ttlSecondsAfterFinished=1)
    await finished(local, "j")
    (pod,) = await local.pods("j-")
    await local.gone(JOBS, "j")
    await local.gone(PODS, pod["metadata"]["name"])


async def test_deleted_job_takes_its_pods_along(local: World) -> None:
    await local.job("j", shell("exec sleep 1000"), {"terminationGracePeriodSeconds": 1}, parallelism=2, completions=2)
    job = await local.until(JOBS, "j", lambda job: count(job, "ready") == 2)
    pods = await local.pods("j-")
    await local.client.delete(JOBS, job)
    for pod in pods:
        await local.gone(PODS, pod["metadata"]["name"])


async def test_pod_killed_from_outside_is_replaced_and_counted(local: World) -> None:
    pod = {"terminationGracePeriodSeconds": 1}
    await local.job("j", shell("exec sleep 1000"), pod, completionMode="Indexed", completions=1)
    await local.until(JOBS, "j", lambda job: count(job, "ready") == 1)
    (first,) = await local.pods("j-0-")
    await local.client.delete(PODS, first)
    job = await local.until(JOBS, "j", lambda job: count(job, "failed") == count(job, "ready") == 1)
    assert not over(job)
    assert [pod["metadata"]["uid"] == first["metadata"]["uid"] for pod in await local.pods("j-0-")] == [False]
