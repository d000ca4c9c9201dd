"""Duplicates over the whole job. Called by `publish`, which sees all shards."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from reasoner_workloads.curation.records import Drop, Record

_NOISE = re.compile(r"[\s.,;:!?'\"’“”]+")


def key(question: str) -> str:
    """What two askings of one question share: words and signs, whatever case, spacing and punctuation."""
    return " ".join(_NOISE.sub(" ", unicodedata.normalize("NFKC", question).casefold()).split())


def deduplicate(records: Iterable[Record]) -> list[Record]:
    """The records by URL; of those kept with the same question, all but the one with the smallest URL are dropped."""
    first: dict[str, str] = {}
    result = []
    for record in sorted(records, key=lambda one: (one.url, one.id)):
        if record.drop is None:
            same = first.setdefault(key(record.question), record.id)
            if same != record.id:
                drop = Drop(stage="deduplicate", reason="duplicate", evidence=same)
                result.append(record.model_copy(update={"drop": drop}))
                continue
        result.append(record)
    return result
