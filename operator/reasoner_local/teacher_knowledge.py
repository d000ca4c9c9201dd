"""What the stand-in teacher knows, indexed by question. Used by `teacher`."""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Iterable
from typing import Any, Self

from reasoner_local.corpus import Entry, Teacher, load, plain

#: Candidates that `solve_rate` counts by.
CANDIDATES = 8

_OPENINGS = (
    "Let me work through this step by step.",
    "First I write down what is given, then what is asked.",
    "I start from the definition and apply it to the values here.",
    "Thinking about what the question needs, there is one quantity to find.",
)
_STEPS = (
    "Putting the given facts together and simplifying leads to a single result.",
    "The relevant rule applies directly, and the rest is careful bookkeeping.",
    "Checking the special cases rules out the alternatives.",
)


class Knowledge:
    """The corpus's teacher, by question. Every look-up is one step."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._by_question: dict[str, Entry] = {}
        for entry in entries:
            if entry.teacher is not None:
                for question in (entry.question_text, entry.clean_question):
                    known = self._by_question.setdefault(_key(question), entry)
                    if known.teacher != entry.teacher:
                        raise ValueError(f"{known.id} and {entry.id} ask the same and differ in what is known")

    @classmethod
    def of_corpus(cls) -> Self:
        """All of the corpus."""
        return cls(load())

    def __len__(self) -> int:
        return len({entry.id for entry in self._by_question.values()})

    def extraction(self, question: str) -> dict[str, Any]:
        """Whether the question has a short verifiable answer, and both."""
        entry = self._by_question.get(_key(question))
        teacher = entry.teacher if entry else None
        if entry is None or teacher is None or not teacher.verifiable:
            reason = (teacher and teacher.why_not) or "no_short_answer"
            thought = (
                "There is no single short answer that could be checked." if teacher else "I do not know this page."
            )
            return {"thought": thought, "verifiable": False, "reason": reason, "question": "", "answer": ""}
        return {
            "thought": f"The page asks for one thing and its answers settle on {teacher.answer}.",
            "verifiable": True,
            "reason": "none",
            "question": entry.clean_question,
            "answer": teacher.answer,
        }

    def annotation(self, question: str) -> dict[str, Any]:
        """Answer type, subject and difficulty."""
        teacher = self._of(question)
        if teacher is None:
            return {"answer_type": "other", "category": "other", "difficulty": "university"}
        return {
            "answer_type": teacher.answer_type,
            "category": teacher.category,
            "difficulty": teacher.difficulty,
        }

    def solution(self, question: str, seed: int) -> str:
        r"""A candidate solution that ends in \boxed{}: of each 8 seeds in a row, `solve_rate` are right."""
        teacher = self._of(question)
        if teacher is None or teacher.answer is None:
            return "I cannot tell."
        turn, place = divmod(seed, CANDIDATES)
        luck = random.Random(f"{_key(question)} {turn}")
        ranks = luck.sample(range(CANDIDATES), CANDIDATES)
        right = ranks[place] < (teacher.solve_rate or 0)
        forms = (teacher.answer, *teacher.equivalents) if right else (teacher.wrong or ("no such value",))
        answer = forms[(ranks[place] + turn) % len(forms)]
        pieces = (luck.choice(_OPENINGS), f"Attempt {seed + 1}.", luck.choice(_STEPS))
        return f"{' '.join(pieces)}\n\nThe final answer is \\boxed{{{answer}}}."

    def verdict(self, question: str, truth: str, answer: str) -> dict[str, Any]:
        """Whether an answer is the known one in other words."""
        teacher = self._of(question)
        known = (truth, *((teacher.answer or "", *teacher.equivalents) if teacher else ()))
        equivalent = _spelling(answer) in {_spelling(form) for form in known}
        comparison = "They say the same." if equivalent else "They are not the same."
        reasoning = f"The ground truth is {truth}. The student's answer is {answer}. {comparison}"
        return {"reasoning": reasoning, "equivalent": equivalent}

    def _of(self, question: str) -> Teacher | None:
        entry = self._by_question.get(_key(question))
        return entry.teacher if entry else None


def _key(question: str) -> str:
    """What is left of a question however a page, a crawler or a parser spells it: its letters, digits and signs."""
    text = unicodedata.normalize("NFKC", plain(question)).casefold()
    return re.sub(r"[\s_^{}.,;:!?'\"’‘“”$\\<‹>]+", "", text)


def _spelling(answer: str) -> str:
    return " ".join(unicodedata.normalize("NFC", answer).split())


def tokens(text: str) -> int:
    """Tokens of a text, as a model's tokenizer would roughly count them."""
    return (len(text) + 3) // 4
