"""How an object's state shows in its status: phase, the three conditions and the reason."""

from __future__ import annotations

from typing import Any

import pytest

from reasoner_api.report import RunReport
from reasoner_api.status import Artifact, Progress, StageCount, Usage, Warned
from reasoner_operator.plan import plan
from reasoner_operator.seen import Key, Note, Patch, Plan, Seen, Target
from reasoner_operator.settings import Settings
from reasoner_operator.status import changed, is_up_to_date
from support.objects import DIGEST, NOW, THEN, custom_resource, job, pod, ready, seen

SETTINGS = Settings()
MODEL = {"model": Artifact(uri="s3://m", digest=DIGEST)}
TRAINED = RunReport(state="Succeeded", complete=True, metrics={"agreement": 0.93}, artifacts=MODEL)
BAD_CONFIG = RunReport(state="Failed", reason="BadConfig", message="training.args.foo: unknown argument")
QUESTIONS = Key("CurationJob", "team-a", "questions")
JUDGE = Key("VerifierTraining", "team-a", "judge")
PUBLISHED = {"artifacts": {"dataset": {"uri": "s3://q", "digest": DIGEST}}}
SERVED = {
    "readyReplicas": 1,
    "endpoint": "http://j/v1",
    "servedModel": "judge",
    "artifacts": {"model": {"uri": "s3://j", "digest": DIGEST}},
}


def deployment(ready_replicas: int, observed: int = 1, updated: int = 1) -> dict[str, Any]:
    status = {
        "readyReplicas": ready_replicas,
        "observedGeneration": observed,
        "replicas": 1,
        "updatedReplicas": updated,
    }
    metadata = {"name": f"demo-verifier-{'a' * 8}", "generation": 1}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "status": status}


def refused_deployment() -> dict[str, Any]:
    made = deployment(0)
    refused = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota: team"}
    made["status"]["conditions"] = [refused]
    return made


def running_pod(container: dict[str, Any]) -> dict[str, Any]:
    made = pod("server-0")
    made["metadata"]["labels"] = {"reasoner.dev/artifact": "a" * 12}
    return {**made, "status": {"phase": "Running", "containerStatuses": [container]}}


def pending_pod(**status: Any) -> dict[str, Any]:
    made = pod("demo-0", phase="Pending")
    return {**made, "status": {"phase": "Pending", **status}}


def disrupted_pod() -> dict[str, Any]:
    made = pod("demo-0")
    word = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": "makes room"}
    made["status"]["conditions"] = [word]
    return made


def failed_judge() -> dict[str, Any]:
    judge = ready("VerifierTraining", "judge", SERVED)
    failed = {"type": "Ready", "status": "False", "message": "NaN loss"}
    judge["status"] = {"phase": "Failed", "observedGeneration": 1, "conditions": [failed]}
    return judge


def unserved_judge() -> dict[str, Any]:
    judge = ready("VerifierTraining", "judge", SERVED)
    judge["spec"]["serving"] = {"enabled": False}
    return judge


UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no GPU"}
NO_IMAGE = {"name": "main", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}}
NO_IMAGE_YET = {"name": "main", "state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}}
LOST_SERVER = {
    "name": "main",
    "ready": False,
    "state": {"running": {}},
    "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "message": "CUDA out of memory\n"}},
}
REFUSED = {
    "type": "Warning",
    "reason": "FailedCreate",
    "involvedObject": {"kind": "Job", "name": "demo-work-12345678"},
    "message": "pods are forbidden: exceeded quota: team",
}
TRAINING = {"job": job("Complete"), "pods": (pod("demo-0", TRAINED),)}


def killed_pod(name: str = "demo-0") -> dict[str, Any]:
    made = pod(name, phase="Failed")
    made["status"]["containerStatuses"][0]["state"] = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    return made


def in_queue(made: dict[str, Any]) -> dict[str, Any]:
    made["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] = "team"
    return made


def queued_job() -> dict[str, Any]:
    return in_queue(job("Suspended", spec={"suspend": True}))


def just_told_to_serve() -> dict[str, Any]:
    """Ready without being served; its spec has changed since."""
    judge = ready("VerifierTraining", "judge", {"artifacts": SERVED["artifacts"]})
    judge["metadata"]["generation"] = 2
    return judge


AWAY = RunReport(state="Paused", reason="VerifierUnavailable", message="the verifier does not answer: 503")
LOST = RunReport(state="Failed", reason="PeerLost", message="another process of the group is gone")
GAINED = RunReport(
    state="Succeeded",
    complete=True,
    metrics={
        "accuracy_before": 0.25, "accuracy_after": 0.45, "benchmark/gpqa": 0.34338, "benchmark_questions/gpqa": 198.0,
    },
    artifacts=MODEL,
)  # fmt: skip
STALLED = ("Suspended", "False", "False", "True", "VerifierUnavailable")


def paused(since: str = "2026-01-02T03:04:00Z", reason: str = "VerifierUnavailable") -> dict[str, Any]:
    """The status of a run that has paused for want of its verifier, five seconds ago unless said."""
    words = {"reason": reason, "message": "gone", "lastTransitionTime": since}
    values = {"Ready": "False", "Reconciling": "False", "Stalled": "True"}
    conditions = [{"type": kind, "status": value, **words} for kind, value in values.items()]
    return {"phase": "Suspended", "conditions": conditions}


def verifier_ready_since(time: str) -> dict[Key, Any]:
    judge = ready("VerifierTraining", "judge", SERVED)
    judge["status"]["conditions"][0]["lastTransitionTime"] = time
    return {JUDGE: judge}


def paused_pod(made: str = THEN) -> dict[str, Any]:
    ended = pod("demo-0", AWAY, phase="Failed")
    ended["metadata"]["creationTimestamp"] = made
    return ended


SUSPENDED = job("Suspended", spec={"suspend": True})
PAUSES: dict[str, tuple[Seen, tuple[str, str, str, str, str]]] = {
    "a run that paused for want of its verifier stalls": (
        seen("GRPORun", job=job(), pods=(paused_pod(),)),
        STALLED,
    ),
    "a paused run stays so while its verifier is what it was": (
        seen("GRPORun", job=SUSPENDED, status=paused(), references=verifier_ready_since("2026-01-02T02:00:00Z")),
        STALLED,
    ),
    "a paused run whose verifier is not ready waits beyond its time": (
        seen("GRPORun", job=SUSPENDED, status=paused("2026-01-01T00:00:00Z"), references={JUDGE: failed_judge()}),
        STALLED,
    ),
    "a paused run goes on when its verifier has become ready since": (
        seen("GRPORun", job=SUSPENDED, status=paused(), references=verifier_ready_since("2026-01-02T03:04:02Z")),
        ("Suspended", "False", "False", "False", "Suspended"),
    ),
    "a paused run looks after its time whether it can go on": (
        seen("GRPORun", job=SUSPENDED, status=paused("2026-01-01T00:00:00Z")),
        ("Suspended", "False", "False", "False", "Suspended"),
    ),
    "a run paused for another reason waits for its user": (
        seen("GRPORun", job=SUSPENDED, status=paused("2026-01-01T00:00:00Z", "RewardCollapse")),
        ("Suspended", "False", "False", "True", "RewardCollapse"),
    ),
    "a run paused for want of its store waits for five minutes": (
        seen("GRPORun", job=SUSPENDED, status=paused(reason="StoreUnavailable")),
        ("Suspended", "False", "False", "True", "StoreUnavailable"),
    ),
    "a run paused for want of its store goes on by itself then": (
        seen("GRPORun", job=SUSPENDED, status=paused("2026-01-02T02:59:00Z", "StoreUnavailable")),
        ("Suspended", "False", "False", "False", "Suspended"),
    ),
    "a node that pauses takes the first one along": (
        seen("GRPORun", job=job(), pods=(pod("demo-0", LOST, phase="Failed"), pod("demo-1", AWAY, 1, phase="Failed"))),
        STALLED,
    ),
    "the user's own pause takes the place of the run's": (
        seen("GRPORun", {"suspend": True}, job=SUSPENDED, status=paused()),
        ("Suspended", "False", "False", "False", "Suspended"),
    ),
    "the word of a pod that paused before the run went on is spent": (
        seen("GRPORun", job=job(), pods=(paused_pod("2026-01-02T02:00:00Z"),)),
        ("Pending", "False", "True", "False", "PodsPending"),
    ),
    "a run in a queue is left to the queue": (
        seen("GRPORun", job=in_queue(job()), pods=(paused_pod(),)),
        ("Running", "False", "True", "False", "PodsPending"),
    ),
}


#: sentence -> what is seen, and (phase, Ready, Reconciling, Stalled, reason)
CASES: dict[str, tuple[Seen, tuple[str, str, str, str, str]]] = {
    **PAUSES,
    "a policy that gained what it must is promoted": (
        seen("GRPORun", {"evaluation": {"minGain": 0.1}}, job=job("Complete"), pods=(pod("demo-0", GAINED),)),
        ("Succeeded", "True", "False", "False", "Succeeded"),
    ),
    "a policy that gained less has not succeeded": (
        seen("GRPORun", {"evaluation": {"minGain": 0.3}}, job=job("Complete"), pods=(pod("demo-0", GAINED),)),
        ("Failed", "False", "False", "True", "GainTooLow"),
    ),
    "a policy whose gain was not measured is not promoted": (
        seen("GRPORun", {"evaluation": {"minGain": 0.0}}, job=job("Complete"), pods=(pod("demo-0", TRAINED),)),
        ("Failed", "False", "False", "True", "GainTooLow"),
    ),
    "a fresh curation job gets its Job": (seen("CurationJob"), ("Pending", "False", "True", "False", "JobCreated")),
    "a suspended one gets a suspended Job": (
        seen("CurationJob", {"suspend": True}),
        ("Suspended", "False", "False", "False", "JobCreated"),
    ),
    "an unknown profile stalls and names it": (
        seen("CurationJob", {"compute": {"profile": "h200"}}),
        ("Pending", "False", "False", "True", "UnknownProfile"),
    ),
    "one does so before anything is waited for": (
        seen("GRPORun", {"compute": {"profile": "h200"}}, references={QUESTIONS: None, JUDGE: None}),
        ("Pending", "False", "False", "True", "UnknownProfile"),
    ),
    "a verifier's does, too": (
        seen("VerifierTraining", {"compute": {"profile": "h200"}}, references={QUESTIONS: None}),
        ("Pending", "False", "False", "True", "UnknownProfile"),
    ),
    "numbers that do not go together stall before anything is waited for": (
        seen("GRPORun", {"grpo": {"numGenerations": 7}}, references={QUESTIONS: None, JUDGE: None}),
        ("Pending", "False", "False", "True", "InvalidSpec"),
    ),
    "a spec that an older CRD let through stalls": (
        seen("CurationJob", {"shards": 0}),
        ("Pending", "False", "False", "True", "InvalidSpec"),
    ),
    "children of an earlier object are waited for": (
        seen("CurationJob", leftovers=("Job/demo-curation-1",)),
        ("Pending", "False", "True", "False", "Replacing"),
    ),
    "a Job without pods is pending": (
        seen("CurationJob", job=job()),
        ("Pending", "False", "True", "False", "PodsPending"),
    ),
    "a pod that does not fit says why": (
        seen("GRPORun", job=job(), pods=(pending_pod(conditions=[UNSCHEDULABLE]),)),
        ("Pending", "False", "True", "False", "Unschedulable"),
    ),
    "a pod that must make room says for whom": (
        seen("GRPORun", job=job(), pods=(disrupted_pod(),)),
        ("Pending", "False", "True", "False", "PreemptionByScheduler"),
    ),
    "a pod whose image has just been asked for in vain says why": (
        seen("GRPORun", job=job(), pods=(pending_pod(containerStatuses=[NO_IMAGE_YET]),)),
        ("Pending", "False", "True", "False", "ImagePullBackOff"),
    ),
    "a pod whose image is not there says why": (
        seen("GRPORun", job=job(), pods=(pending_pod(containerStatuses=[NO_IMAGE]),)),
        ("Pending", "False", "True", "False", "ImagePullBackOff"),
    ),
    "a Job that may make no pods says why": (
        seen("GRPORun", job=job(), complaints=(REFUSED,)),
        ("Pending", "False", "True", "False", "FailedCreate"),
    ),
    "a verifier whose pods are refused says why": (
        seen("VerifierTraining", **TRAINING, serving=(refused_deployment(),)),
        ("Deploying", "False", "True", "False", "FailedCreate"),
    ),
    "a running pod makes the run Running": (
        seen("GRPORun", job=job(), pods=(pod("demo-0"),)),
        ("Running", "False", "True", "False", "Running"),
    ),
    "a Job that somebody suspended is Suspended": (
        seen("GRPORun", job=job("Suspended", spec={"suspend": True})),
        ("Suspended", "False", "False", "False", "Suspended"),
    ),
    "a complete Job with its report is Succeeded": (
        seen("GRPORun", job=job("Complete"), pods=(pod("demo-0", TRAINED),)),
        ("Succeeded", "True", "False", "False", "Succeeded"),
    ),
    "a complete Job whose report is lost does not pretend": (
        seen("GRPORun", job=job("Complete")),
        ("Failed", "False", "False", "True", "ReportMissing"),
    ),
    "a failed Job gives the pod's reason": (
        seen("GRPORun", job=job("Failed", reason="PodFailurePolicy"), pods=(pod("demo-0", BAD_CONFIG),)),
        ("Failed", "False", "False", "True", "BadConfig"),
    ),
    "a failed Job without a report gives its own reason": (
        seen("GRPORun", job=job("Failed", reason="DeadlineExceeded")),
        ("Failed", "False", "False", "True", "DeadlineExceeded"),
    ),
    "a dataset that does not exist yet is waited for": (
        seen("GRPORun", references={QUESTIONS: None, JUDGE: None}),
        ("Waiting", "False", "True", "False", "ReferenceNotFound"),
    ),
    "a verifier that is not ready yet is waited for": (
        seen(
            "GRPORun",
            references={
                QUESTIONS: ready("CurationJob", "questions", PUBLISHED),
                JUDGE: custom_resource("VerifierTraining"),
            },
        ),
        ("Waiting", "False", "True", "False", "ReferenceNotReady"),
    ),
    "a verifier that has failed stalls": (
        seen(
            "GRPORun",
            references={QUESTIONS: ready("CurationJob", "questions", PUBLISHED), JUDGE: failed_judge()},
        ),
        ("Waiting", "False", "False", "True", "ReferenceFailed"),
    ),
    "a verifier that is never served stalls": (
        seen(
            "GRPORun",
            references={QUESTIONS: ready("CurationJob", "questions", PUBLISHED), JUDGE: unserved_judge()},
        ),
        ("Waiting", "False", "False", "True", "VerifierNotServed"),
    ),
    "a Job that a queue holds back is not Suspended but Queued": (
        seen("GRPORun", {"scheduling": {"queueName": "team"}}, job=queued_job()),
        ("Pending", "False", "True", "False", "Queued"),
    ),
    "a pod that was killed shows while the Job tries again": (
        seen("GRPORun", job=job(), pods=(killed_pod(),)),
        ("Pending", "False", "True", "False", "PodFailed"),
    ),
    "shards that have ended are followed by others": (
        seen("CurationJob", job=job(), pods=(pod("demo-0", TRAINED, phase="Succeeded"),)),
        ("Running", "False", "True", "False", "Running"),
    ),
    "a complete Job whose pods are gone has succeeded if what it published was noted": (
        seen("GRPORun", job=job("Complete"), status={"artifacts": SERVED["artifacts"]}),
        ("Succeeded", "True", "False", "False", "Succeeded"),
    ),
    "a run goes on though its profile has been taken away": (
        seen("GRPORun", {"compute": {"profile": "gone"}}, job=job(), pods=(pod("demo-0"),)),
        ("Running", "False", "True", "False", "Running"),
    ),
    "a running one whose spec is not understood any more keeps its phase": (
        seen("CurationJob", {"shards": 0}, job=job(), status={"phase": "Running"}),
        ("Running", "False", "False", "True", "InvalidSpec"),
    ),
    "a verifier that was just told to serve is waited for": (
        seen(
            "GRPORun",
            references={QUESTIONS: ready("CurationJob", "questions", PUBLISHED), JUDGE: just_told_to_serve()},
        ),
        ("Waiting", "False", "True", "False", "ReferenceNotReady"),
    ),
    "a verifier whose ready replica is of an earlier revision is Deploying": (
        seen("VerifierTraining", **TRAINING, serving=(deployment(1, updated=0),)),
        ("Deploying", "False", "True", "False", "Deploying"),
    ),
    "a server that falls again and again says so between its falls, too": (
        seen("VerifierTraining", **TRAINING, serving=(deployment(0),), servers=(running_pod(LOST_SERVER),)),
        ("Deploying", "False", "True", "False", "CrashLoopBackOff"),
    ),
    "a trained verifier is Deploying until its replicas answer": (
        seen("VerifierTraining", **TRAINING, serving=(deployment(0),)),
        ("Deploying", "False", "True", "False", "Deploying"),
    ),
    "a served verifier is Succeeded": (
        seen("VerifierTraining", **TRAINING, serving=(deployment(1),)),
        ("Succeeded", "True", "False", "False", "Succeeded"),
    ),
    "a verifier whose change the Deployment has not seen is Deploying": (
        seen("VerifierTraining", **TRAINING, serving=(deployment(1, observed=0),)),
        ("Deploying", "False", "True", "False", "Deploying"),
    ),
    "a verifier below its gate is not served": (
        seen("VerifierTraining", {"evaluation": {"minAgreement": 0.95}}, **TRAINING),
        ("Failed", "False", "False", "True", "AgreementTooLow"),
    ),
    "a verifier without serving is Succeeded once trained": (
        seen("VerifierTraining", {"serving": {"enabled": False}}, **TRAINING),
        ("Succeeded", "True", "False", "False", "Succeeded"),
    ),
}


def outcome(made: Plan) -> tuple[str, ...]:
    by_type = {item["type"]: item for item in made.status["conditions"]}
    values = (by_type[kind]["status"] for kind in ("Ready", "Reconciling", "Stalled"))
    return (made.status["phase"], *values, by_type["Ready"]["reason"])


@pytest.mark.parametrize("sentence", CASES)
def test_status(sentence: str) -> None:
    what, expected = CASES[sentence]
    made = plan(what, SETTINGS, NOW)
    assert outcome(made) == expected
    # What the operator writes must be a status of the kind, or the API server would prune or refuse it.
    what.kind.status.model_validate(made.status)


def test_an_unchanged_state_is_written_once_and_noted_once() -> None:
    first = plan(seen("GRPORun", job=job(), pods=(pod("demo-0"),)), SETTINGS, NOW)
    assert [note.reason for note in first.notes] == ["Running"]
    again = plan(seen("GRPORun", job=job(), pods=(pod("demo-0"),), status=first.status), SETTINGS, NOW.replace(hour=9))
    assert again.status == first.status
    assert again.notes == ()


def test_a_failure_that_the_run_goes_on_after_is_told_once_and_counted() -> None:
    counted = job()
    counted["status"]["failed"] = 2
    made = plan(seen("GRPORun", job=counted, pods=(killed_pod(),), status={"restarts": 1}), SETTINGS, NOW)
    told = [(note.type, note.reason, note.message) for note in made.notes]
    assert told == [("Warning", "PodFailed", "failure 2: pod demo-0: main OOMKilled (exit code 137)")]


def test_a_pod_that_hung_is_told_by_that_name() -> None:
    word = RunReport(state="Failed", reason="Hung", message="no step for 1800 s")
    counted, hung = job(), pod("demo-0", word, phase="Failed")
    counted["status"]["failed"] = 1
    hung["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] = 1
    made = plan(seen("GRPORun", job=counted, pods=(hung,)), SETTINGS, NOW)
    (told,) = [note for note in made.notes if note.reason == "Hung"]
    assert told.message == "failure 1: pod demo-0: main Error (exit code 1): no step for 1800 s"


def test_a_guard_that_warns_is_told_once_and_one_that_pauses_waits_for_the_user() -> None:
    warned = RunReport(warnings=[Warned(reason="LengthBlowUp", message="responses are 90 tokens long")])
    first = plan(seen("GRPORun", job=job(), pods=(pod("demo-0"),), live={"demo-0": warned}), SETTINGS, NOW)
    assert Note("Warning", "LengthBlowUp", "responses are 90 tokens long") in first.notes
    again = seen("GRPORun", job=job(), pods=(pod("demo-0"),), live={"demo-0": warned}, status=first.status)
    assert plan(again, SETTINGS, NOW).notes == ()
    said = RunReport(state="Paused", reason="KLBlowUp", message="the mean KL is 9")
    stopped = plan(seen("GRPORun", job=job(), pods=(pod("demo-0", said, phase="Failed"),)), SETTINGS, NOW)
    assert outcome(stopped) == ("Suspended", "False", "False", "True", "KLBlowUp")
    later = plan(seen("GRPORun", job=SUSPENDED, status=stopped.status), SETTINGS, NOW.replace(hour=23))
    assert (outcome(later), later.requeue_after) == (outcome(stopped), None)


def test_what_a_running_pod_says_at_its_end_is_not_told_as_how_the_run_goes() -> None:
    live = {"demo-0": RunReport(state="Failed", reason="Error", message="StoreError: no credentials")}
    made = plan(seen("GRPORun", job=job(), pods=(pod("demo-0"),), live=live), SETTINGS, NOW)
    assert [(note.type, note.message) for note in made.notes] == [("Normal", "the run is under way")]


def test_a_pause_frees_the_gpus_and_its_end_takes_them_again() -> None:
    begun = plan(seen("GRPORun", job=job(), pods=(paused_pod(),)), SETTINGS, NOW)
    suspend = Patch("batch/v1", "Job", "demo-work-12345678", {"spec": {"suspend": True}})
    assert (begun.patch, begun.requeue_after, begun.waits_for) == ((suspend,), 900.0, {QUESTIONS, JUDGE})
    assert begun.status["conditions"][2]["message"] == "the verifier does not answer: 503"
    later = NOW.replace(minute=20)
    over = plan(seen("GRPORun", job=SUSPENDED, pods=(paused_pod(),), status=begun.status), SETTINGS, later)
    resume = Patch("batch/v1", "Job", "demo-work-12345678", {"spec": {"suspend": False}})
    assert over.patch == (resume,)


def test_a_model_that_gained_too_little_is_published_as_a_candidate_and_stays_one() -> None:
    spec, ended = {"evaluation": {"minGain": 0.3}}, {"job": job("Complete")}
    first = plan(seen("GRPORun", spec, **ended, pods=(pod("demo-0", GAINED),)), SETTINGS, NOW)
    assert first.status["artifacts"] == {"candidate": {"uri": "s3://m", "digest": DIGEST}}
    assert first.status["benchmarks"] == [{"name": "gpqa", "accuracy": 0.3434, "questions": 198}]
    message = first.status["conditions"][0]["message"]
    assert "from 0.2500 to 0.4500, a gain of 0.2000; evaluation.minGain is 0.3" in message
    assert plan(seen("GRPORun", spec, **ended, status=first.status), SETTINGS, NOW).status == first.status
    # Also while its Job has not ended.
    live = {"demo-0": replace_report(GAINED, state="Running")}
    early = plan(seen("GRPORun", spec, job=job(), pods=(pod("demo-0"),), live=live), SETTINGS, NOW)
    assert (early.status["phase"], list(early.status["artifacts"])) == ("Running", ["candidate"])
    promoted = plan(seen("GRPORun", **ended, pods=(pod("demo-0", GAINED),)), SETTINGS, NOW)
    assert list(promoted.status["artifacts"]) == ["model"]


def test_a_run_whose_job_has_been_cleaned_up_keeps_its_status_and_is_not_run_again() -> None:
    done = plan(seen("GRPORun", job=job("Complete"), pods=(pod("demo-0", TRAINED),)), SETTINGS, NOW)
    later = plan(seen("GRPORun", status=done.status), SETTINGS, NOW)
    assert later.apply == ()
    assert later.status == done.status


def test_a_served_verifier_stays_served_when_its_job_has_been_cleaned_up() -> None:
    done = plan(seen("VerifierTraining", **TRAINING, serving=(deployment(1),)), SETTINGS, NOW)
    later = plan(seen("VerifierTraining", status=done.status, serving=(deployment(1),)), SETTINGS, NOW)
    kinds = ["NetworkPolicy", "Service", "PodDisruptionBudget", "Deployment"]
    assert [item["kind"] for item in later.apply] == kinds
    assert later.status == done.status


def test_serving_that_is_switched_off_is_taken_down() -> None:
    budget = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "demo-verifier-aaaaaaaa"}}
    what = seen("VerifierTraining", {"serving": {"enabled": False}}, **TRAINING, serving=(deployment(1), budget))
    expected = (
        Target("apps/v1", "Deployment", "demo-verifier-aaaaaaaa"),
        Target("policy/v1", "PodDisruptionBudget", "demo-verifier-aaaaaaaa"),
    )
    assert plan(what, SETTINGS, NOW).delete == expected


def grpo_run(name: str, **status: Any) -> dict[str, Any]:
    run = custom_resource("GRPORun", status=status)
    run["metadata"] |= {"name": name, "uid": name}
    return dict(run)


def test_a_run_holds_the_digest_it_began_with_until_it_ends() -> None:
    users = (
        grpo_run("waits", phase="Waiting"),
        grpo_run("runs", phase="Running", lineage={"verifier": DIGEST}),
        grpo_run("runs-on-another", phase="Running", lineage={"verifier": "sha256:" + "b" * 64}),
        grpo_run("done", phase="Succeeded", lineage={"verifier": DIGEST}),
    )
    made = plan(seen("VerifierTraining", **TRAINING, users=users), SETTINGS, NOW)
    for manifest in made.apply:
        owners = {owner["name"]: owner.get("controller", False) for owner in manifest["metadata"]["ownerReferences"]}
        assert owners == {"demo": True, "waits": False, "runs": False}
    assert Key("GRPORun", "team-a", "runs") in made.waits_for


def held(*owners: str) -> dict[str, Any]:
    references = [{"kind": "GRPORun", "name": name, "uid": name} for name in owners]
    metadata = {"name": "judge-verifier-aaaaaaaa", "resourceVersion": "9", "ownerReferences": references}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata}


def test_what_outlived_its_verifier_goes_with_the_last_run_that_needs_it() -> None:
    me = custom_resource("GRPORun")["metadata"]["uid"]
    ended = {"job": job("Complete"), "pods": (pod("demo-0", TRAINED),)}
    first = plan(seen("GRPORun", **ended, held=(held(me, "other"),)), SETTINGS, NOW)
    left = {"metadata": {"ownerReferences": held("other")["metadata"]["ownerReferences"], "resourceVersion": "9"}}
    assert first.delete == ()
    assert first.patch == (Patch("apps/v1", "Deployment", "judge-verifier-aaaaaaaa", left),)
    last = plan(seen("GRPORun", **ended, held=(held(me),)), SETTINGS, NOW)
    assert last.delete == (Target("apps/v1", "Deployment", "judge-verifier-aaaaaaaa"),)


IDLE = {"serving": {"replicas": 3, "scaleToZero": True}}


def test_a_verifier_that_nothing_refers_to_is_scaled_to_zero_and_back() -> None:
    idle = plan(seen("VerifierTraining", IDLE, **TRAINING, serving=(deployment(0),)), SETTINGS, NOW)
    assert next(item for item in idle.apply if item["kind"] == "Deployment")["spec"]["replicas"] == 0
    assert (idle.status["phase"], idle.status["readyReplicas"]) == ("Succeeded", 0)
    assert "scaled to zero until a GRPORun refers to it" in idle.status["conditions"][0]["message"]
    users = (grpo_run("waits", phase="Waiting"),)
    needed = plan(seen("VerifierTraining", IDLE, **TRAINING, serving=(deployment(0),), users=users), SETTINGS, NOW)
    assert next(item for item in needed.apply if item["kind"] == "Deployment")["spec"]["replicas"] == 3
    assert (needed.status["phase"], "endpoint" in needed.status) == ("Deploying", False)


def test_suspend_and_parallelism_reach_the_running_job() -> None:
    what = seen("CurationJob", {"suspend": True, "parallelism": 2}, job=job(spec={"parallelism": 3}))
    body = {"spec": {"suspend": True, "parallelism": 2}}
    assert plan(what, SETTINGS, NOW).patch == (Patch("batch/v1", "Job", "demo-work-12345678", body),)


def test_a_job_that_a_queue_has_suspended_is_left_to_the_queue() -> None:
    queued = job(spec={"suspend": True, "parallelism": 3})
    queued["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] = "team"
    assert plan(seen("CurationJob", job=queued), SETTINGS, NOW).patch == ()


def test_a_profile_that_has_grown_does_not_reach_the_job_that_runs() -> None:
    grown = Settings.model_validate({"profiles": {"h100": {"nodes": 8}}})
    what = seen("GRPORun", {"compute": {"profile": "h100"}}, job=job(spec={"parallelism": 4}))
    assert plan(what, grown, NOW).patch == ()


def test_a_job_may_go_only_when_its_end_is_noted() -> None:
    """Else it could go unseen, and the run would be made again, for ever."""
    spec = {"scheduling": {"ttlSecondsAfterFinished": 0}}
    fresh = plan(seen("CurationJob", spec), SETTINGS, NOW)
    assert "ttlSecondsAfterFinished" not in fresh.apply[-1]["spec"]
    what = {"job": job("Complete"), "pods": (pod("demo-0", TRAINED),)}
    first = plan(seen("CurationJob", spec, **what), SETTINGS, NOW)
    assert (first.patch, first.requeue_after) == ((), 1.0)
    second = plan(seen("CurationJob", spec, **what, status=first.status), SETTINGS, NOW)
    body = {"spec": {"ttlSecondsAfterFinished": 0}}
    assert (second.patch, second.requeue_after) == ((Patch("batch/v1", "Job", "demo-work-12345678", body),), None)


@pytest.mark.parametrize(("ended", "left"), [("Complete", TRAINED), ("Failed", BAD_CONFIG)])
def test_what_was_said_of_the_end_stays_when_the_pods_go(ended: str, left: RunReport) -> None:
    gone = job(ended, reason="PodFailurePolicy")
    first = plan(seen("GRPORun", job=gone, pods=(pod("demo-0", left),)), SETTINGS, NOW)
    later = plan(seen("GRPORun", job=gone, status=first.status), SETTINGS, NOW)
    assert (later.status, later.notes) == (first.status, ())


def test_an_edit_of_a_run_that_is_over_is_noted() -> None:
    done = plan(seen("CurationJob", job=job("Complete"), pods=(pod("demo-0", TRAINED),)), SETTINGS, NOW)
    edited = seen("CurationJob", {"suspend": True}, status=done.status)
    edited.obj["metadata"]["generation"] = 2
    status = plan(edited, SETTINGS, NOW).status
    assert is_up_to_date({**edited.obj, "status": status})
    assert {item["observedGeneration"] for item in status["conditions"]} == {2}
    assert status["phase"] == "Succeeded"


@pytest.mark.parametrize(
    ("case", "says"),
    [
        (seen("GRPORun", job=job("Failed", reason="BackoffLimitExceeded"), pods=(killed_pod(),)), "why: pod demo-0: "),
        (seen("GRPORun", job=job(), pods=(killed_pod(),)), "main OOMKilled (exit code 137); the Job tries again"),
        (
            seen("VerifierTraining", **TRAINING, serving=(deployment(0),), servers=(running_pod(LOST_SERVER),)),
            "pod server-0: main Error (exit code 1): CUDA out of memory",
        ),
        (seen("GRPORun", job=job("Complete")), "delete this GRPORun and apply it again"),
        (
            seen("GRPORun", job=job(), complaints=(REFUSED,)),
            "Job demo-work-12345678: pods are forbidden: exceeded quota: team",
        ),
        (seen("CurationJob", leftovers=("Job/demo-1",)), "until Job/demo-1 of an earlier CurationJob of this name"),
    ],
)
def test_a_message_says_what_happened_and_what_to_do(case: Seen, says: str) -> None:
    assert says in plan(case, SETTINGS, NOW).status["conditions"][0]["message"]


def test_those_who_wait_are_woken_by_a_change_of_state_and_not_by_progress() -> None:
    pods = (pod("demo-0"),)
    first = plan(seen("GRPORun", job=job(), pods=pods, live={"demo-0": shard(0, 10)}), SETTINGS, NOW).status
    later = plan(seen("GRPORun", job=job(), pods=pods, live={"demo-0": shard(0, 90)}), SETTINGS, NOW).status
    assert first != later
    assert not changed(first, later)
    assert changed(None, first)
    assert changed(later, plan(seen("GRPORun", **TRAINING), SETTINGS, NOW).status)


def test_a_finished_job_is_not_patched() -> None:
    what = seen("CurationJob", {"suspend": True}, job=job("Complete"))
    assert plan(what, SETTINGS, NOW).patch == ()


def test_what_an_interrupted_start_left_under_another_digest_goes() -> None:
    labels = {"reasoner.dev/role": "work"}
    stale = {"metadata": {"name": "demo-curation-00000000", "labels": labels}}
    made = plan(seen("CurationJob", config_maps=(stale,)), SETTINGS, NOW)
    assert made.delete == (Target("v1", "ConfigMap", "demo-curation-00000000"),)


def shard(index: int, percent: int, eta: int | None = None) -> RunReport:
    return RunReport(
        progress=Progress(percent=percent, eta_seconds=eta, display=f"shard {index}"),
        stages=[StageCount(name="source", rows_in=10, rows_out=9, dropped={"duplicate_url": 1})],
        usage=Usage(requests=2, prompt_tokens=100, completion_tokens=10, cost_usd=0.5),
    )


def test_shards_that_run_are_added_up_and_the_furthest_tells_the_progress() -> None:
    pods = tuple(pod(f"demo-{index}", index=index) for index in range(2))
    live = {"demo-0": shard(0, 40, 60), "demo-1": shard(1, 60, 90)}
    status = plan(seen("CurationJob", {"shards": 2}, job=job(), pods=pods, live=live), SETTINGS, NOW).status
    assert status["progress"] == {"percent": 60, "etaSeconds": 90, "display": "60%, 1m30s left, shard 1"}
    assert status["stages"] == [{"name": "source", "in": 20, "out": 18, "dropped": {"duplicate_url": 2}}]
    paid = {"requests": 4, "promptTokens": 200, "completionTokens": 20, "costUSD": 1.0}
    assert status["usage"] == {**paid, "projectedCostUSD": 1.6667}


def test_the_report_that_speaks_for_the_whole_run_wins_over_the_sum() -> None:
    whole = replace_report(shard(1, 100), complete=True, state="Succeeded")
    pods = (pod("demo-0", shard(0, 100), index=0), pod("demo-1", whole, index=1))
    status = plan(seen("CurationJob", {"shards": 2}, job=job("Complete"), pods=pods), SETTINGS, NOW).status
    assert status["stages"] == [{"name": "source", "in": 10, "out": 9, "dropped": {"duplicate_url": 1}}]


def test_a_group_that_failed_is_told_by_the_reason_of_the_pod_that_took_the_others_along() -> None:
    lost = RunReport(state="Failed", reason="PeerLost", message="the rollout server is gone", metrics={"step": 7.0})
    cause = RunReport(state="Failed", reason="RolloutServerFailed", message="the vLLM server ended (SIGKILL)")
    ended = job("Failed", reason="BackoffLimitExceeded")
    pods = tuple(pod(f"demo-{index}", report, index) for index, report in enumerate((lost, cause)))
    status = plan(seen("GRPORun", job=ended, pods=pods), SETTINGS, NOW).status
    (ready,) = (item for item in status["conditions"] if item["type"] == "Ready")
    assert (ready["reason"], ready["message"]) == (cause.reason, cause.message)
    assert status["step"] == 7


def test_a_group_is_told_by_its_main_process_wherever_that_is_since_a_restart() -> None:
    lost = RunReport(state="Failed", reason="PeerLost", progress=Progress(percent=3), metrics={"step": 96.0})
    fallen = [pod(f"demo-{index}-old", lost, index) for index in range(3)]
    fresh = [pod(f"demo-{index}", index=index) for index in range(3)]
    for each in fresh:
        each["metadata"]["creationTimestamp"] = "2026-01-02T03:03:00Z"
    live = {"demo-2": RunReport(progress=Progress(percent=2), metrics={"step": 80.0})}
    status = plan(seen("GRPORun", job=job(), pods=(*fallen, *fresh), live=live), SETTINGS, NOW).status
    assert (status["step"], status["progress"]["percent"]) == (80, 2)


def test_a_retried_pods_newer_report_wins() -> None:
    old, new = pod("demo-a", shard(0, 90)), pod("demo-b", shard(0, 10))
    new["metadata"]["creationTimestamp"] = "2026-01-02T03:03:00Z"
    status = plan(seen("CurationJob", {"shards": 1}, job=job(), pods=(new, old)), SETTINGS, NOW).status
    assert status["progress"]["percent"] == 10


def test_a_foreign_termination_message_is_no_report() -> None:
    fallen = pod("demo-0", phase="Failed")
    fallen["status"]["containerStatuses"][0]["state"] = {"terminated": {"exitCode": 1, "message": "Segmentation fault"}}
    status = plan(
        seen("GRPORun", job=job("Failed", reason="BackoffLimitExceeded"), pods=(fallen,)), SETTINGS, NOW
    ).status
    assert status["conditions"][0]["reason"] == "BackoffLimitExceeded"


def test_figures_that_are_not_numbers_never_reach_the_status() -> None:
    live = {"demo-0": RunReport(metrics={"step": 3, "max_steps": 9, "reward": float("nan"), "kl": 0.1})}
    status = plan(seen("GRPORun", job=job(), pods=(pod("demo-0"),), live=live), SETTINGS, NOW).status
    assert (status["step"], status["maxSteps"], status["kl"]) == (3, 9, 0.1)
    assert "reward" not in status


def test_the_end_time_is_the_jobs() -> None:
    status = plan(seen("GRPORun", job=job("Complete"), pods=(pod("demo-0", TRAINED),)), SETTINGS, NOW).status
    assert status["completionTime"] == THEN


def replace_report(report: RunReport, **fields: Any) -> RunReport:
    return report.model_copy(update=fields)


def test_a_verifier_below_its_gate_says_by_how_much() -> None:
    what, _ = CASES["a verifier below its gate is not served"]
    made = plan(what, SETTINGS, NOW)
    stalled = next(item for item in made.status["conditions"] if item["type"] == "Stalled")
    assert stalled["message"] == (
        "held-out agreement is 0.9300, 0.0200 below evaluation.minAgreement 0.95: published but not served"
    )
    assert made.status["artifacts"]["model"]
    assert not made.apply
