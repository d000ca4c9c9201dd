"""`reasoner score`: what it prints, and what it says of files, options and verifiers that will not do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import yaml
from aiohttp import web

from reasoner_workloads.grpo.score import main
from support.http_server import serving

ROWS = [
    {"question": "6 * 7?", "ground_truth": 42, "completion": r"So \boxed{42}."},
    {"question": "6 * 7?", "ground_truth": "42", "completion": r"So \boxed{43}."},
    {"question": "6 * 7?", "ground_truth": "42", "completion": "Well."},
]


@pytest.fixture(scope="module")
def tokenizer(seeds: Path) -> str:
    return str(seeds / "policy-base")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def run(tmp_path: Path, **spec: Any) -> str:
    """The file of a GRPORun."""
    body = {"baseModel": "m", "storage": {"uri": "file:///tmp/x"}, "dataset": {"uri": "file:///tmp/d"}, **spec}
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump({"apiVersion": "reasoner.dev/v1alpha1", "kind": "GRPORun", "spec": body}))
    return str(path)


def test_each_completion_has_its_terms_and_all_a_summary(
    file: Path, tokenizer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(file), "--tokenizer", tokenizer, "--rules", "--rows", "2"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].split() == [
        "ground", "truth", "answer", "verdict", "correct", "length_penalty", "no_answer", "reward",
    ]  # fmt: skip
    assert [line.split() for line in table[1:3]] == [
        ["line", "1", "42", "42", "right", "1", "0", "1"],
        ["line", "2", "42", "43", "wrong", "0"],
    ]
    assert table[3] == "... and 1 more"
    assert [line.split() for line in table[5:9]] == [
        ["completions", "3"], ["reward", "0.167"], ["accuracy", "0.333"], ["extraction_failures", "0.333"],
    ]  # fmt: skip


def test_parquet_json_and_columns_by_other_names(
    tmp_path: Path, tokenizer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"q": row["question"], "truth": str(row["ground_truth"]), "text": row["completion"]} for row in ROWS]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "rows.parquet")
    columns = ["--question", "q", "--ground-truth", "truth", "--completion", "text"]
    options = ["--tokenizer", tokenizer, "--rules", "-o", "json", *columns]
    assert main([str(tmp_path / "rows.parquet"), *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["reward"] for row in found["rows"]] == [1.0, 0.0, -0.5]
    assert found["rows"][2] == {
        "place": "row 3", "question": "6 * 7?", "ground_truth": "42", "answer": None, "verdict": False,
        "terms": {"no_answer": -0.5}, "reward": -0.5,
    }  # fmt: skip
    assert found["summary"]["completions"] == 3


def test_a_runs_own_file_says_what_the_reward_is(
    tmp_path: Path, file: Path, tokenizer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run(tmp_path, baseModel=tokenizer, verifier={"rules": {}}, reward={"noAnswer": -2})
    assert main([str(file), "--run", path, "-o", "json"]) == 0
    assert [row["reward"] for row in json.loads(capsys.readouterr().out)["rows"]] == [1.0, 0.0, -2]


async def _complete(request: web.Request) -> web.Response:
    prompt = (await request.json())["prompt"]
    text = "I wonder" if "Answer: 43" in prompt else "Final Decision: Yes"
    return web.json_response({"choices": [{"index": 0, "text": text}]})


def test_a_verifier_judges_and_what_it_leaves_open_has_no_reward(
    file: Path, tokenizer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    app = web.Application()
    app.router.add_post("/v1/completions", _complete)
    with serving(app) as url:
        options = ["--tokenizer", tokenizer, "--verifier-url", f"{url}/v1", "--model", "v", "-o", "json"]
        assert main([str(file), *options]) == 1
    assert [row["reward"] for row in json.loads(capsys.readouterr().out)["rows"]] == [1.0, None, -0.5]


def test_a_verifier_that_is_away_scores_nothing(
    file: Path, tokenizer: str, unused_tcp_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}/v1"
    options = ["--tokenizer", tokenizer, "--verifier-url", url, "--model", "v", "--wait", "0"]
    assert main([str(file), *options]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert f"error: the verifier 'v' at {url} does not answer" in told.err


@pytest.mark.parametrize(
    ("content", "said"),
    {
        "no JSON": ('{"question": "?"}\n{', "line 2 of rows.jsonl is no JSON"),
        "no object": ("7", "line 1 of rows.jsonl is no JSON object"),
        "no completion": (
            '\n{"question": "?", "answer": 1}',
            "rows.jsonl, line 2: there is no 'completion' or 'response'; name the column with --completion "
            "(it has question, answer)",
        ),
        "no ground truth": ('{"question": "?", "completion": ""}', "there is no 'ground_truth' or 'answer'"),
        "no text": ('{"question": ["?"], "answer": 1, "completion": ""}', "line 1: 'question' is no text but ['?']"),
        "nothing": ("", "holds no completion"),
    }.values(),
)
def test_a_wrong_file_is_named_with_line_and_field(
    file: Path, tokenizer: str, capsys: pytest.CaptureFixture[str], content: str, said: str
) -> None:
    file.write_text(content)
    assert main([str(file), "--tokenizer", tokenizer, "--rules"]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    {
        "no tokenizer": (["--rules"], "--tokenizer: name the policy's tokenizer"),
        "a tokenizer that is none": (["--rules", "--tokenizer", "/nowhere"], "--tokenizer: '/nowhere' is no tokenizer"),
        "no judge": (["--tokenizer", "t"], "--verifier-url: name the verifier's URL and its --model, or judge by --ru"),
        "no model": (["--tokenizer", "t", "--verifier-url", "http://v/v1"], "--model: name the verifier's model"),
        "no run": (["--run", "/nowhere.yaml"], "--run: cannot read /nowhere.yaml: No such file"),
    }.values(),
)
def test_wrong_options_are_named(file: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str) -> None:
    assert main([str(file), *options]) == 2
    assert said in capsys.readouterr().err


def test_a_run_with_a_wrong_field_names_it(tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = run(tmp_path, verifier={"rules": {}}, reward={"noAnswer": 1})
    assert main([str(file), "--run", path]) == 2
    assert "spec.reward.noAnswer: " in capsys.readouterr().err


def test_a_missing_file_is_named(tmp_path: Path, tokenizer: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none.jsonl"), "--tokenizer", tokenizer, "--rules"]) == 2
    assert "none.jsonl: No such file" in capsys.readouterr().err


def test_the_reasoner_command_hands_everything_on() -> None:
    command = [sys.executable, "-m", "reasoner_operator.cli", "score", "--help"]
    ran = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "80"}, check=True)
    assert ran.stdout.startswith("usage: reasoner score")
    assert "--verifier-url" in ran.stdout
