"""What an extracted question must pass before any other model is paid for it. Called by `stages`; opened by `shard`."""

from __future__ import annotations

from reasoner_api.common import Storage
from reasoner_api.curation import Filters
from reasoner_workloads.curation.filters.contamination import Contamination
from reasoner_workloads.curation.filters.language import foreign
from reasoner_workloads.curation.records import Dropped


class Screens:
    """The rules of one job. Benchmarks are read when it is made: raises ConfigError where one is not as the spec
    says."""

    def __init__(self, filters: Filters, storage: Storage) -> None:
        self._filters = filters
        self._languages = frozenset(filters.languages)
        self._benchmarks = [
            Contamination(one, number, filters.decontamination_words, storage)
            for number, one in enumerate(filters.decontaminate)
        ]

    def check(self, question: str, answer: str) -> None:
        """Raises Dropped: `question_length`, `answer_length`, `language` or `contaminated`."""
        filters = self._filters
        if len(question) < filters.min_question_length:
            raise Dropped("question_length", f"{len(question)} characters, fewer than {filters.min_question_length}")
        if filters.max_question_length is not None and len(question) > filters.max_question_length:
            raise Dropped("question_length", f"{len(question)} characters, more than {filters.max_question_length}")
        if filters.max_answer_length is not None and len(answer) > filters.max_answer_length:
            raise Dropped("answer_length", f"{len(answer)} characters, more than {filters.max_answer_length}")
        if self._languages and (language := foreign(question, self._languages)):
            raise Dropped("language", language)
        for benchmark in self._benchmarks:
            if shared := benchmark.shared(question):
                raise Dropped("contaminated", f"{benchmark.uri}: {shared[:500]}")
