"""The stand-in teacher over HTTP, by the official client."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from reasoner_local import teacher
from reasoner_local.corpus import Entry, load
from reasoner_local.teacher_knowledge import Knowledge
from support.http_server import serving

ENTRIES = [entry for entry in load() if entry.teacher is not None]
SOLVABLE = [entry for entry in ENTRIES if entry.teacher is not None and entry.teacher.verifiable]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(teacher.make_app()) as made:
        yield made


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as made:
        yield made


def ask(client: openai.OpenAI, prompt: str, schema: str = "", **options: Any) -> str:
    form = {"type": "json_schema", "json_schema": {"name": schema, "schema": {"type": "object"}}}
    if schema:
        options["response_format"] = form
    done = client.chat.completions.create(
        model=teacher.MODEL,
        messages=[{"role": "system", "content": "s"}, {"role": "user", "content": prompt}],
        **options,
    )
    assert done.usage is not None
    assert done.usage.prompt_tokens >= len(prompt) // 4
    assert done.usage.completion_tokens > 0
    return done.choices[0].message.content or ""


def verdict(client: openai.OpenAI, entry: Entry, answer: str) -> bool:
    assert entry.teacher is not None
    prompt = f"<question>\n{entry.clean_question}\n</question>\n"
    prompt += (
        f"<ground_truth>\n{entry.teacher.answer}\n</ground_truth>\n<student_answer>\n{answer}\n</student_answer>\n"
    )
    reply = json.loads(ask(client, prompt, "verdict"))
    assert reply["reasoning"]
    return bool(reply["equivalent"])


def test_it_says_what_it_is(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["stand-in-teacher"]


def test_extraction_of_a_page_however_it_is_spelt(client: openai.OpenAI) -> None:
    entry = SOLVABLE[0]
    assert entry.teacher is not None
    prompt = f"<title>\nx\n</title>\n<question>\n{entry.question_text.upper()}  \n\n</question>\n"
    prompt += '<answer rank="1">\nx\n</answer>'
    reply = json.loads(ask(client, prompt, "extraction"))
    assert (reply["verifiable"], reply["reason"]) == (True, "none")
    assert (reply["question"], reply["answer"]) == (entry.clean_question, entry.teacher.answer)


def test_extraction_says_why_not(client: openai.OpenAI) -> None:
    for entry in ENTRIES:
        if entry.teacher is not None and not entry.teacher.verifiable:
            reply = json.loads(ask(client, f"<question>\n{entry.question_text}\n</question>", "extraction"))
            assert (reply["verifiable"], reply["reason"]) == (False, entry.teacher.why_not)


def test_annotation(client: openai.OpenAI) -> None:
    entry = SOLVABLE[3]
    assert entry.teacher is not None
    prompt = f"<question>\n{entry.clean_question}\n</question>\n<answer>\nx\n</answer>\n"
    assert json.loads(ask(client, prompt, "annotation")) == {
        "answer_type": entry.teacher.answer_type,
        "category": entry.teacher.category,
        "difficulty": entry.teacher.difficulty,
    }


def boxed(text: str) -> str:
    found = re.search(r"\\boxed\{(.*)\}\.$", text, re.DOTALL)
    assert found, text
    return found.group(1)


@pytest.mark.parametrize("seeds", [range(8), range(8, 16)], ids=["the first eight", "the next eight"])
def test_of_eight_candidates_exactly_as_many_are_right_as_it_can(seeds: range) -> None:
    knowledge = Knowledge.of_corpus()
    for entry in SOLVABLE:
        assert entry.teacher is not None
        answers = [boxed(knowledge.solution(entry.clean_question, seed)) for seed in seeds]
        right = [answer in (entry.teacher.answer, *entry.teacher.equivalents) for answer in answers]
        assert sum(right) == entry.teacher.solve_rate, entry.id
        assert answers == [boxed(knowledge.solution(entry.clean_question, seed)) for seed in seeds]


def test_candidates_are_in_no_fixed_order_and_in_several_words() -> None:
    knowledge = Knowledge.of_corpus()
    orders = set()
    for entry in SOLVABLE:
        assert entry.teacher is not None
        answers = [boxed(knowledge.solution(entry.clean_question, seed)) for seed in range(8)]
        known = (entry.teacher.answer, *entry.teacher.equivalents)
        orders.add(tuple(answer in known for answer in answers))
        right = {answer for answer in answers if answer in known}
        assert len(right) == min(len(set(known)), entry.teacher.solve_rate or 0), entry.id
    assert len(orders) > 50


def test_verdicts(client: openai.OpenAI) -> None:
    for entry in SOLVABLE[:20]:
        assert entry.teacher is not None
        assert all(verdict(client, entry, form) for form in entry.teacher.equivalents)
        assert not any(verdict(client, entry, form) for form in entry.teacher.wrong)


def test_a_candidate_by_http_depends_on_its_seed_alone(client: openai.OpenAI) -> None:
    question = SOLVABLE[5].clean_question
    replies = [ask(client, question, temperature=1.0, seed=seed) for seed in (0, 1, 0)]
    assert replies[0] == replies[2] != replies[1]


def test_what_it_does_not_know(client: openai.OpenAI) -> None:
    unknown = "<question>\nWhat is in my pocket?\n</question>"
    assert json.loads(ask(client, unknown, "extraction"))["verifiable"] is False
    assert ask(client, "What is in my pocket?") == "I cannot tell."


@pytest.mark.parametrize(("prompt", "schema"), [("x", "poem"), ("no tags", "annotation")])
def test_bad_requests(client: openai.OpenAI, prompt: str, schema: str) -> None:
    with pytest.raises(openai.BadRequestError):
        ask(client, prompt, schema)


def test_the_command() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "reasoner_local.teacher", "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, env=os.environ, text=True, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert "no language model" in process.stderr.readline()
        # The line comes before the socket: the client's own retries wait for that.
        with openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="any", max_retries=8) as client:
            assert next(iter(client.models.list())).id == "stand-in-teacher"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
