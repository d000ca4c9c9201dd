"""The frame of a run and the word it leaves: exit codes, termination message, `/progress` and `/metrics`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from reasoner_api.report import RunReport
from reasoner_api.status import Artifact, StageCount, Usage
from reasoner_workloads.common.progress import Reporter, Word, line

TASK = {
    "kind": "CurationJob",
    "namespace": "default",
    "name": "demo",
    "output": "file:///data/default/demo",
    "work": {
        "source": {"uri": "https://example.org/rows.jsonl"},
        "models": {"extractor": {"baseURL": "https://llm.example.org/v1", "model": "m"}},
        "storage": {"uri": "file:///data"},
    },
}

BODY = """
import sys, threading
from pathlib import Path
from reasoner_api.task import CurationTask
from reasoner_workloads.common.run import ConfigError, Run, Terminated, WorkloadError, run
from reasoner_workloads.common.store import StoreError

def works(this): this.reporter.update(complete=True, metrics={{"reward": 0.5}})
def config(this): raise ConfigError("models.judge: no such model", reason="NoSuchModel")
def fails(this): raise WorkloadError("the source is away", reason="SourceUnavailable")
def bug(this): raise KeyError("oops")
def lacks(this): raise ImportError("install bitsandbytes")
def away(this): raise StoreError("s3://b/k: cannot connect")
def waits(this):
    print("ready", flush=True)
    threading.Event().wait()
def told(this):
    stop = threading.Event()
    this.on_sigterm(stop.set)
    print("ready", flush=True)
    while not stop.wait(0.05): pass
    print("saving", flush=True)
    raise Terminated
sys.exit(run(Path(sys.argv[1]), CurationTask, {body}))
"""


def start(tmp_path: Path, body: str, task: object = TASK) -> subprocess.Popen[str]:
    (tmp_path / "task.json").write_text(task if isinstance(task, str) else json.dumps(task))
    env = os.environ | {
        "POD_IP": "127.0.0.1",
        "REPORT_PORT": "0",
        "TERMINATION_MESSAGE_PATH": str(tmp_path / "termination"),
    }
    command = [sys.executable, "-c", BODY.format(body=body), str(tmp_path / "task.json")]
    return subprocess.Popen(command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def left(tmp_path: Path) -> RunReport:
    return RunReport.model_validate_json((tmp_path / "termination").read_text())


@pytest.mark.parametrize(
    ("body", "code", "state", "reason", "message"),
    [
        ("works", 0, "Succeeded", "", ""),
        ("config", 2, "Failed", "NoSuchModel", "models.judge: no such model"),
        ("fails", 1, "Failed", "SourceUnavailable", "the source is away"),
        ("bug", 1, "Failed", "Error", "KeyError: 'oops'"),
        ("lacks", 2, "Failed", "BadConfig", "this image lacks something that the spec asks for: install bitsandbytes"),
        ("away", 1, "Failed", "StoreUnavailable", "s3://b/k: cannot connect"),
    ],
)
def test_how_it_ends(tmp_path: Path, body: str, code: int, state: str, reason: str, message: str) -> None:
    process = start(tmp_path, body)
    _, errors = process.communicate(timeout=60)
    report = left(tmp_path)
    assert (process.returncode, report.state, report.reason, report.message) == (code, state, reason, message)
    assert ("Traceback" in errors) == (body in ("bug", "lacks"))
    if body == "works":
        assert report.complete
        assert report.metrics == {"reward": 0.5}


@pytest.mark.parametrize("body", ["waits", "told"])
def test_sigterm_leaves_a_word(tmp_path: Path, body: str) -> None:
    process = start(tmp_path, body)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 143
    assert left(tmp_path).reason == "Terminated"
    assert ("saving" in out) == (body == "told")


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("{", "bad task: kind: Invalid JSON"),
        ({**TASK, "kind": "Other"}, "bad task: kind: "),
        ({**TASK, "work": {**TASK["work"], "shards": 0}}, "bad task: work.shards: "),
        ({**TASK, "work": {**TASK["work"], "colour": 1}}, "bad task: work.colour: "),
    ],
)
def test_a_bad_task_names_the_field_and_is_not_retried(tmp_path: Path, task: object, message: str) -> None:
    process = start(tmp_path, "works", task)
    process.communicate(timeout=60)
    assert process.returncode == 2
    assert left(tmp_path).reason == "BadConfig"
    assert left(tmp_path).message.startswith(message)


@pytest.fixture
def reporter(tmp_path: Path) -> Reporter:
    return Reporter(Word(host="127.0.0.1", port=0, termination_log=tmp_path / "termination", every_seconds=60))


def get(reporter: Reporter, path: str) -> str:
    host, port = reporter.address
    with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=10) as answer:
        return str(answer.read().decode())


def test_progress_and_metrics(reporter: Reporter, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digest = "sha256:" + "0" * 64
    reporter.update(
        stages=[StageCount(name="recrawl", rows_in=5, rows_out=3, dropped={"gated": 2})],
        usage=Usage(requests=4, prompt_tokens=10, completion_tokens=5, cost_usd=0.25),
        metrics={"loss": 1.5},
    )
    reporter.update(
        metrics={"reward": 0.5, "terms/right": 0.75},
        artifacts={"model": Artifact(uri="s3://b/m", digest=digest)},
    )
    report = RunReport.model_validate_json(get(reporter, "/progress"))
    assert report == reporter.report
    assert report.metrics == {"loss": 1.5, "reward": 0.5, "terms/right": 0.75}
    metrics = get(reporter, "/metrics")
    for sample in (
        'reasoner_stage_rows{direction="out",stage="recrawl"} 3.0',
        'reasoner_stage_dropped_rows{reason="gated",stage="recrawl"} 2.0',
        "reasoner_llm_requests_total 4.0",
        'reasoner_llm_tokens_total{direction="completion"} 5.0',
        "reasoner_llm_cost_usd_total 0.25",
        "# HELP reasoner_run_reward Mean training reward of the last generation",
        "reasoner_run_reward 0.5",
        "reasoner_run_terms_right 0.75",
        "process_cpu_seconds_total",
    ):
        assert sample in metrics
    with pytest.raises(urllib.error.HTTPError) as error:
        get(reporter, "/other")
    error.value.close()
    reporter.update(state="Succeeded")
    reporter.close()
    reporter.close()
    assert RunReport.model_validate_json((tmp_path / "termination").read_text()) == reporter.report
    assert (
        "Succeeded | 0% | loss=1.5 | reward=0.5 | terms/right=0.75 | 4 requests, 0.2500 USD" in capsys.readouterr().out
    )


def test_time_left_follows_from_the_pace(reporter: Reporter, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 110.0])
    monkeypatch.setattr("reasoner_workloads.common.progress.time.monotonic", lambda: next(clock))
    reporter.advance(0.5, "resumed at step 50")
    assert reporter.report.progress.eta_seconds is None
    reporter.advance(0.6, "step 60")
    assert reporter.report.progress.percent == 60
    assert reporter.report.progress.eta_seconds == 40
    assert line(reporter.report) == "Running | 60% | step 60 | 40 s left"
    reporter.close()


def test_a_field_the_report_does_not_have(reporter: Reporter) -> None:
    with pytest.raises(TypeError, match="RunReport has no stagse"):
        reporter.update(stagse=[])
    reporter.close()


def test_the_environment_says_where(tmp_path: Path) -> None:
    env = {"POD_IP": "127.0.0.9", "REPORT_PORT": "7", "TERMINATION_MESSAGE_PATH": str(tmp_path / "t")}
    assert Word.from_env(env) == Word(host="127.0.0.9", port=7, termination_log=tmp_path / "t")
