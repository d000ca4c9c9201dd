"""A CurationJob whose budget is spent, raised, lowered: what its status says and what becomes of its Job."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reasoner_api.report import RunReport
from reasoner_api.status import Progress, Requests, Usage
from reasoner_operator.plan import plan
from reasoner_operator.seen import Plan, Seen, Target
from reasoner_operator.settings import Settings
from support.objects import NOW, job, pod, seen

SPENT = RunReport(state="Failed", reason="BudgetExceeded", message="budget.maxCostUSD: 5 is spent; raise it to go on")
TERMINATED = RunReport(state="Failed", reason="Terminated", message="ended by SIGTERM before the work was done")
BROKEN = RunReport(state="Failed", reason="BadConfig", message="models.extractor.model: no such model")
JOB = Target("batch/v1", "Job", "demo-work-12345678")
#: Who ends the Job ends the others.
PODS = (pod("demo-0", TERMINATED, index=0, phase="Failed"), pod("demo-1", SPENT, index=1, phase="Failed"))


def case(
    cap: float | None,
    *pods: dict[str, Any],
    end: str = "Failed",
    told: float = 5,
    at_work: int | None = None,
    **more: Any,
) -> Seen:
    """A job that was told a budget of 5 and now has another one in its spec."""
    made = job(*([end] if end else []), spec={"parallelism": at_work or 2})
    task: dict[str, Any] = {"kind": "CurationJob", "budget": {"maxCostUSD": told}}
    if at_work is not None:
        task["parallelism"] = at_work
    config_map = {"metadata": {"name": made["metadata"]["name"], "labels": {}}, "data": {"task.json": json.dumps(task)}}
    budget = {} if cap is None else {"maxCostUSD": cap}
    spec = {"shards": 2, "budget": budget, **more.pop("spec", {})}
    return seen("CurationJob", spec, job=made, pods=pods, config_maps=(config_map,), **more)


def made(what: Seen) -> Plan:
    return plan(what, Settings(), NOW)


def facts(status: dict[str, Any]) -> tuple[str, ...]:
    conditions = {item["type"]: item for item in status["conditions"]}
    stalled = conditions["Stalled"]
    return (status["phase"], conditions["Ready"]["status"], stalled["status"], stalled["reason"])


STOPPED = ("Suspended", "False", "True", "BudgetExceeded")


def test_a_spent_budget_stalls_the_run_and_is_no_end() -> None:
    found = made(case(5, *PODS, spec={"scheduling": {"ttlSecondsAfterFinished": 60}}))
    assert facts(found.status) == STOPPED
    assert found.status["conditions"][2]["message"] == SPENT.message
    assert "completionTime" not in found.status
    # Nothing happens until somebody acts; the Job stays, so that it can be seen.
    assert (found.delete, found.patch, found.requeue_after) == ((), (), None)
    assert [note.type for note in found.notes] == ["Warning"]


def test_who_finds_the_budget_spent_speaks_for_all() -> None:
    usage = Usage(requests=30, cost_usd=5.0)
    partly, whole = usage.model_copy(update={"requests": 9, "cost_usd": 1.5}), usage
    pods = (
        pod("demo-0", TERMINATED.model_copy(update={"usage": partly}), index=0, phase="Failed"),
        pod("demo-1", SPENT.model_copy(update={"usage": whole}), index=1, phase="Failed"),
    )
    assert made(case(5, *pods)).status["usage"]["costUSD"] == 5.0


def test_it_stays_so_when_the_pods_are_gone() -> None:
    first = made(case(5, *PODS))
    assert facts(made(case(5, status=first.status)).status) == STOPPED


@pytest.mark.parametrize("cap", [9, None])
def test_a_raised_budget_makes_the_job_anew(cap: float | None) -> None:
    stopped = made(case(5, *PODS)).status
    found = made(case(cap, *PODS, status=stopped))
    assert found.delete == (JOB,)
    assert facts(found.status) == ("Pending", "False", "False", "BudgetChanged")
    fresh = seen("CurationJob", {"shards": 2, "budget": {"maxCostUSD": 9}}, status=found.status)
    started = made(fresh)
    (task,) = (item["data"]["task.json"] for item in started.apply if item["kind"] == "ConfigMap")
    assert json.loads(task)["budget"] == {"maxCostUSD": 9.0}
    assert facts(started.status)[3] == "JobCreated"


def test_a_job_that_runs_is_told_of_another_budget_by_another_job() -> None:
    assert made(case(3, pod("demo-0"), end="")).delete == (JOB,)
    assert made(case(5, pod("demo-0"), end="")).delete == ()


def test_more_pods_than_the_present_ones_know_of_need_another_job() -> None:
    """Each has its part of the job's rates, by the number of pods that it was told."""
    raised = made(case(5, pod("demo-0"), end="", at_work=1))
    assert (raised.delete, facts(raised.status)[3]) == ((JOB,), "ParallelismRaised")
    assert made(case(5, end="Complete", at_work=1)).delete == ()
    fewer = made(case(5, pod("demo-0"), end="", spec={"parallelism": 1}))
    assert (fewer.delete, [patch.body for patch in fewer.patch]) == ((), [{"spec": {"parallelism": 1}}])
    fresh = made(seen("CurationJob", {"shards": 4, "parallelism": 3}))
    (task,) = (item["data"]["task.json"] for item in fresh.apply if item["kind"] == "ConfigMap")
    assert json.loads(task)["parallelism"] == 3


def test_a_run_that_has_ended_in_another_way_does_not_begin_again() -> None:
    failed = made(case(5, pod("demo-0", BROKEN, phase="Failed"))).status
    assert failed["phase"] == "Failed"
    assert made(case(9, pod("demo-0", BROKEN, phase="Failed"), status=failed)).delete == ()
    assert made(case(9, end="Complete")).delete == ()


def test_the_status_tells_what_is_paid_what_was_there_and_what_the_end_will_cost() -> None:
    usage = Usage(requests=30, prompt_tokens=300, completion_tokens=30, cost_usd=2.0)
    reused = usage.model_copy(update={"reused": Requests(requests=10, cost_usd=1.0)})
    pods = [pod(f"demo-{index}", index=index) for index in range(2)]
    live = {
        "demo-0": RunReport(usage=usage, progress=Progress(percent=20)),
        "demo-1": RunReport(usage=reused, progress=Progress(percent=25)),
    }
    status = made(case(5, *pods, end="", live=live)).status
    # A quarter is done and worth 5: three quarters are to come, and nothing of them is there.
    assert status["usage"] == {
        "requests": 60,
        "promptTokens": 600,
        "completionTokens": 60,
        "costUSD": 4.0,
        "reused": {"requests": 10, "promptTokens": 0, "completionTokens": 0, "costUSD": 1.0},
        "projectedCostUSD": 19.0,
    }
