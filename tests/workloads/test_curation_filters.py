"""What is dropped by rules: length, language, benchmarks, likeness."""

from __future__ import annotations

import json
import random
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from reasoner_api.common import Storage
from reasoner_api.curation import Filters
from reasoner_workloads.common.run import ConfigError
from reasoner_workloads.curation.dedupe import Questions
from reasoner_workloads.curation.filters.language import foreign
from reasoner_workloads.curation.filters.near import near_duplicates as found
from reasoner_workloads.curation.filters.screens import Screens
from reasoner_workloads.curation.records import Drop, Dropped, Record

STORAGE = Storage(uri="file:///nowhere")
JANET = (
    "Janet’s ducks lay 16 eggs per day. She eats three for breakfast every morning and bakes muffins for her friends "
    "every day with four. How much in dollars does she make every day?"
)


def screens(**filters: Any) -> Screens:
    return Screens(Filters.model_validate(filters), STORAGE)


def why(made: Screens, question: str, answer: str = "5") -> tuple[str, str] | None:
    try:
        made.check(question, answer)
    except Dropped as end:
        return end.reason, end.evidence
    return None


def test_nothing_is_dropped_by_default() -> None:
    made = screens()
    assert why(made, "") is None
    assert why(made, "Wie groß ist die Fluchtgeschwindigkeit der Erde? " * 1000, "x" * 10_000) is None


def test_lengths() -> None:
    made = screens(minQuestionLength=3, maxQuestionLength=5, maxAnswerLength=2)
    assert why(made, "ab") == ("question_length", "2 characters, fewer than 3")
    assert why(made, "abcdef") == ("question_length", "6 characters, more than 5")
    assert why(made, "abc", "123") == ("answer_length", "3 characters, more than 2")
    assert why(made, "abcde", "12") is None


#: A question and the language it is surely in, unless English is.
QUESTIONS: dict[str, tuple[str, str | None]] = {
    "English": ("What is the escape velocity from the surface of the Earth?", None),
    "English around a formula": (r"Evaluate the integral $\int_0^1 \frac{\ln x}{1-x} dx$ in closed form.", None),
    "hardly a word": (r"$\lim_{n \to \infty} \sum_{k=1}^n \frac{1}{k^2}$", None),
    "a formula alone": ("x^2 + 2x + 1 = 0", None),
    "Solve": ("Solve 3x + 5 = 11 for x", None),
    "chemical names": ("Balance: Fe2O3 + CO -> Fe + CO2, and name the oxidising agent in it.", None),
    "code": ("What does `print([x for x in range(3)])` print in Python?", None),
    "Latin terms": ("What is the rule of res ipsa loquitur in the law of negligence?", None),
    "an emoji": ("😀😀😀😀😀😀", None),
    "German": ("Wie groß ist die Fluchtgeschwindigkeit von der Oberfläche der Erde?", "de"),
    "French": ("Quelle est la vitesse de libération à la surface de la Terre ?", "fr"),
    "Spanish with a formula": (r"¿Cuál es el valor de la siguiente integral definida? $\int_0^1 x^2 dx$", "es"),
    "Russian": ("Чему равна вторая космическая скорость для Земли?", "ru"),
    "Chinese": ("地球的逃逸速度是多少？", "zh"),
}


@pytest.mark.parametrize(("question", "language"), QUESTIONS.values(), ids=QUESTIONS.keys())
def test_languages(question: str, language: str | None) -> None:
    assert foreign(question, frozenset({"en"})) == language
    if language:
        assert foreign(question, frozenset({"en", language})) is None
        assert why(screens(languages=["en"]), question) == ("language", language)


@pytest.fixture
def benchmark(tmp_path: Path) -> str:
    rows = [{"question": JANET, "answer": "18"}, {"question": "What is the capital of France?"}, {"question": None}]
    (tmp_path / "bench.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return (tmp_path / "bench.jsonl").as_uri()


def test_a_shared_run_of_words_is_contamination_in_any_dress(benchmark: str) -> None:
    made = screens(decontaminate=[{"uri": benchmark}])
    reason = "eats three for breakfast every morning and bakes muffins for her friends every"
    found = why(
        made, "  Note: SHE eats three for breakfast, every morning; and bakes muffins for her friends every day!"
    )
    assert found is not None
    assert found[0] == "contaminated"
    assert found[1].startswith(f"{benchmark}: ")
    assert reason.split()[1] in found[1]


def test_twelve_words_are_not_thirteen(benchmark: str) -> None:
    words = "She eats three for breakfast every morning and bakes muffins for her"
    made = screens(decontaminate=[{"uri": benchmark}])
    assert len(words.split()) == 12
    assert why(made, words) is None
    assert why(screens(decontaminate=[{"uri": benchmark}], decontaminationWords=12), words) is not None


def test_a_short_benchmark_question_counts_as_a_whole(benchmark: str) -> None:
    made = screens(decontaminate=[{"uri": benchmark}])
    assert why(made, "what is the capital of france") is not None
    assert why(made, "What is the capital of France, and since when?") is None


def test_columns_of_a_benchmark_lists_and_all(tmp_path: Path) -> None:
    path = tmp_path / "mmlu.jsonl"
    options = ["one two three four", "five six seven eight", "nine ten eleven twelve thirteen"]
    path.write_text(json.dumps({"q": "?", "options": options}))
    made = screens(decontaminate=[{"uri": path.as_uri(), "columns": ["q", "options"]}])
    assert why(made, " ".join(options)) is not None


def test_a_benchmark_without_the_column_is_a_fault_that_names_it(benchmark: str) -> None:
    with pytest.raises(ConfigError, match=r"filters\.decontaminate\[1\]\.columns: no row of .* has text in problem"):
        screens(decontaminate=[{"uri": benchmark}, {"uri": benchmark, "columns": ["problem"]}])
    with pytest.raises(ConfigError, match=r"filters\.decontaminate\[0\]\.uri: .* does not exist"):
        screens(decontaminate=[{"uri": "file:///nowhere/none.jsonl"}])


BOOK = (
    "A book of mass 2.0 kg is lifted slowly from the floor to a shelf that is 1.5 m above the floor in a quiet library "
    "room on the second floor of the building. How much work is done on the book?"
)


def near_duplicates(questions: list[str], similarity: float) -> dict[int, int]:
    return dict(found(questions, similarity))


def test_a_rewording_is_near_and_another_number_is_another_question() -> None:
    reworded = BOOK.replace("How much work", "Find how much work").replace("quiet library", "library")
    other = BOOK.replace("1.5", "1.6")
    assert near_duplicates([BOOK, other, reworded], 0.7) == {2: 0}
    assert near_duplicates([BOOK, other, reworded], 0.99) == {}
    assert near_duplicates([], 0.8) == {}
    assert near_duplicates(["", "", "x"], 0.8) == {1: 0}


def test_what_stays_does_not_depend_on_how_many_others_there_are() -> None:
    chance = random.Random(1)
    words = [f"w{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(600)]
    texts = [" ".join(chance.choice(words) for _ in range(40)) for _ in range(300)]
    copies = [text.rsplit(" ", 1)[0] + " changed" for text in texts[:100]]
    same = near_duplicates(texts + copies, 0.8)
    assert same == {300 + n: n for n in range(100)}


def test_a_phrase_that_is_everywhere_costs_no_comparison_with_all() -> None:
    texts = [f"the very same phrase again and again item number {n}" for n in range(3000)]
    assert near_duplicates(texts, 0.5) == {}


def test_of_questions_that_are_there_twice_the_smallest_url_stays() -> None:
    reworded = BOOK.replace("How much work", "Find how much work")
    trivial = Drop(stage="filter", reason="trivial")
    records = [
        Record(id="0", url="a", question=BOOK, drop=trivial),
        Record(id="1", url="d", question=reworded),
        Record(id="2", url="c", question=BOOK.upper()),
        Record(id="3", url="b", question=f"{BOOK}?"),
        Record(id="4", url="e", question="Who was it?"),
        Record(id="5", url="f", question="Who was it?", drop=trivial),
        Record(id="6", url="g", question="When was it?", drop=trivial),
    ]
    with closing(Questions()) as questions:
        for place, record in enumerate(records):
            questions.add(place, record)
        questions.settle(0.7, test=10)
        fates = [questions.fate(place) for place in range(len(records))]
    assert [fate.drop for fate in fates] == [
        Drop(stage="deduplicate", reason="duplicate", evidence="3"),
        Drop(stage="deduplicate", reason="near_duplicate", evidence="3"),
        Drop(stage="deduplicate", reason="duplicate", evidence="3"),
        None,
        None,
        Drop(stage="deduplicate", reason="duplicate", evidence="4"),
        None,
    ]


def test_the_test_split_is_a_fifth_at_most_and_the_same_whatever_the_order() -> None:
    records = [Record(id=str(n), url=f"u{n}", question=f"What is the square of {n}?") for n in range(100)]
    chosen = []
    for order in (records, records[::-1]):
        with closing(Questions()) as questions:
            for place, record in enumerate(order):
                questions.add(place, record)
            questions.settle(None, test=50)
            chosen.append({record.id for place, record in enumerate(order) if questions.fate(place).test})
    assert chosen[0] == chosen[1]
    assert len(chosen[0]) == 20
