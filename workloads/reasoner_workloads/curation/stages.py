"""One row through the stages, from its page to its verdicts. Called by `shard` for each row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import get_args

from reasoner_api.curation import Difficulty, Filters
from reasoner_workloads.common.answers import extract_answer
from reasoner_workloads.curation import page, prompts
from reasoner_workloads.curation.filters.screens import Screens
from reasoner_workloads.curation.grounding import occurs
from reasoner_workloads.curation.judge import Judge
from reasoner_workloads.curation.llm import Model
from reasoner_workloads.curation.models.cells import Answers
from reasoner_workloads.curation.readers import Readers
from reasoner_workloads.curation.records import Dropped, DroppedAt, Funnel, Record, Row
from reasoner_workloads.curation.recrawl.fetcher import Fetcher
from reasoner_workloads.curation.survey import Survey, survey
from reasoner_workloads.curation.together import together

LEVELS: tuple[str, ...] = get_args(Difficulty)
#: Characters beyond which what a candidate ends with is no short answer.
LONGEST_ANSWER = 2000


@dataclass(frozen=True)
class Crew:
    """Who does the work of one shard."""

    fetcher: Fetcher
    readers: Readers
    models: dict[str, Model]
    judge: Judge
    screens: Screens
    filters: Filters
    funnel: Funnel

    def at(self, kept: Answers) -> Crew:
        """The same crew for a row."""
        return replace(self, models={role: model.at(kept) for role, model in self.models.items()})


async def curate(row: Row, crew: Crew) -> Record:
    """What becomes of a row: kept (but for duplicates, which only the whole job can see), or dropped and why."""
    record = Record(id=row.id, url=row.url)
    count = crew.funnel.stage
    try:
        with count("source"):
            pass
        with count("recrawl"):
            found = await find(row, crew)
        with count("extract"):
            record = await extract(record, found, row.hint, crew)
            crew.screens.check(record.question, record.answer)
        with count("annotate"):
            record = await annotate(record, crew)
        with count("balance"):
            balance(record, crew.filters)
        with count("sample"):
            answers = await sample(record, crew)
        with count("filter"):
            judge = crew.models["judge"]
            verdicts = await crew.judge.candidates(judge, record.question, record.answer, answers)
            record = record.model_copy(update={"candidates": verdicts, "sampled": len(answers)})
            keep_or_drop(record.correct, crew.filters)
    except DroppedAt as end:
        return record.model_copy(update={"drop": end.drop})
    return record


async def find(row: Row, crew: Crew) -> page.Page:
    """What the row's page says. Its text ends here: a row waits for models much longer than for its page."""
    if row.packed is not None:
        found = await crew.readers.survey(row.packed, partial(_captured, row, crew.fetcher))
    else:
        text = await crew.fetcher.page(row.url)
        found = await crew.readers.survey(text, partial(survey, text))
    return await crew.readers.read(0, partial(page.read, found, row.hint))


def _captured(row: Row, fetcher: Fetcher) -> Survey:
    assert row.response is not None
    return survey(fetcher.captured(row.response))


async def extract(record: Record, found: page.Page, hint: str, crew: Crew) -> Record:
    """Question and short answer from the page's own words."""
    reply = await crew.models["extractor"].ask(prompts.extraction(found, hint), prompts.Extraction)
    question, answer = reply.question.strip(), reply.answer.strip()
    if not reply.verifiable:
        raise Dropped("not_verifiable", reply.reason)
    if not question or not answer:
        raise Dropped("not_verifiable", "no_short_answer")
    if not occurs(answer, found):
        raise Dropped("not_on_page", answer[:200])
    return record.model_copy(update={"question": question, "answer": answer})


async def annotate(record: Record, crew: Crew) -> Record:
    """Answer type, subject and difficulty."""
    asked = prompts.annotation(record.question, record.answer)
    reply = await crew.models["annotator"].ask(asked, prompts.Annotation)
    return record.model_copy(update=reply.model_dump())


def balance(record: Record, filters: Filters) -> None:
    """Mathematics, of which the web has most, is kept from a level on."""
    if record.category == "mathematics" and LEVELS.index(record.difficulty) < LEVELS.index(filters.min_math_difficulty):
        raise Dropped("easy_math", record.difficulty)


async def sample(record: Record, crew: Crew) -> list[str | None]:
    """The short answers of independent candidate solutions; None for one that gives none."""
    asked, solver = prompts.solution(record.question), crew.models["solver"]
    texts = await together(solver.write(asked, seed) for seed in range(crew.filters.candidates))
    answers = [extract_answer(text) for text in texts]
    return [answer if answer and len(answer) <= LONGEST_ANSWER else None for answer in answers]


def keep_or_drop(correct: int, filters: Filters) -> None:
    """Neither hopeless nor trivial."""
    evidence = f"{correct} of {filters.candidates} right"
    if correct < filters.min_correct:
        raise Dropped("unsolvable", evidence)
    if correct > filters.max_correct:
        raise Dropped("trivial", evidence)
