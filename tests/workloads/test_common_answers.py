"""The short answer in a response: one table, keyed by what each row shows."""

from __future__ import annotations

import pytest

from reasoner_workloads.common.answers import extract_answer

CASES: dict[str, tuple[str, str | None]] = {
    "a box": (r"So we get \boxed{42}.", "42"),
    "the last of two boxes": (r"\boxed{1} no, wait: \boxed{2}", "2"),
    "a box with spaces": (r"\boxed { 3.5 }", "3.5"),
    "braces one deep": (r"\boxed{\sqrt{2}}", r"\sqrt{2}"),
    "braces two deep": (r"\boxed{\frac{\sqrt{2}}{2}}", r"\frac{\sqrt{2}}{2}"),
    "braces three deep": (r"\boxed{\frac{\sqrt{x^{2}}}{2}}", r"\frac{\sqrt{x^{2}}}{2}"),
    "braces four deep are no answer": (r"\boxed{\a{\b{\c{\d{1}}}}}", None),
    "an earlier box where the last nests too deep": (r"\boxed{7} then \boxed{\a{\b{\c{\d{1}}}}}", "7"),
    "escaped braces are not counted": (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
    "a lone escaped brace": (r"\boxed{\left\{ x \right.}", r"\left\{ x \right."),
    "a line break before the closing brace": ("\\boxed{1 \\\\}", "1 \\\\"),
    "a box over several lines": (
        "\\boxed{\\begin{pmatrix} 1 & 2 \\\\\n3 & 4 \\end{pmatrix}}",
        "\\begin{pmatrix} 1 & 2 \\\\\n3 & 4 \\end{pmatrix}",
    ),
    "a box that never closes": (r"\boxed{42", None),
    "an earlier box where the last never closes": (r"\boxed{41} or \boxed{42", "41"),
    "an empty box is passed over": (r"\boxed{5}. I put it in \boxed{}.", "5"),
    "only an empty box": (r"\boxed{}", None),
    "a box within a box": (r"\boxed{a \boxed{b}}", r"a \boxed{b}"),
    "a box wins over a later introduction": ("\\boxed{5}\nFinal answer: 6", "5"),
    "final answer": ("Some steps.\nFinal Answer: 12 m/s", "12 m/s"),
    "the final answer is": ("The final answer is 12.", "12"),
    "the answer is": ("So the answer is 4.9 J.", "4.9 J"),
    "the answer is, with a colon": ("The answer is: B", "B"),
    "answer:": ("Answer: Paris", "Paris"),
    "solution:": ("Solution: x = 3", "x = 3"),
    "bold": ("**Answer:** 7", "7"),
    "bold all over": ("**Final Answer: 7**", "7"),
    "dollars": ("The answer is $x^2$.", "x^2"),
    "two formulas stay two": ("The answer is $1$ or $2$.", "$1$ or $2$"),
    "the last introduced line": ("The answer is 1.\nNo.\nThe answer is 2.\nDone.", "2"),
    "the last introduction within a line": ("The answer is easy, final answer: 9", "9"),
    "on the next line": ("Final Answer:\n\n  42\n", "42"),
    "a decimal keeps its point": ("Answer: 3.14", "3.14"),
    "an answer without an introduction": ("It must be 12.", None),
    "the word answer alone introduces nothing": ("I cannot answer this question now.", None),
    "nothing": ("", None),
    "an introduction with nothing behind it": ("The answer is", None),
}


@pytest.mark.parametrize(("response", "answer"), CASES.values(), ids=CASES.keys())
def test_extraction(response: str, answer: str | None) -> None:
    assert extract_answer(response) == answer


@pytest.mark.timeout(60)
def test_a_hostile_response_takes_no_long_time() -> None:
    assert extract_answer(r"\boxed{" * 20_000) is None
    assert extract_answer("answer is " * 20_000) is None
    assert extract_answer("answer:\n" * 20_000) is None
