"""The corpus read from its folder: entries, expected funnel and the listing of crawled questions. Used through
`reasoner_local.corpus`."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from reasoner_local.corpus.entries import Entry, Expected, plain

FOLDER = Path(__file__).parent


def normalise(text: str) -> str:
    """What two askings of one question have in common: words and signs, whatever case, spacing and punctuation."""
    folded = unicodedata.normalize("NFKC", plain(text)).casefold()
    return " ".join(re.sub(r"[\s.,;:!?'\"’“”]+", " ", folded).split())


@cache
def _entries() -> tuple[Entry, ...]:
    raw: list[dict[str, Any]] = []
    for file in sorted((FOLDER / "pages").glob("*.yaml")):
        raw += [{"subject": file.stem, **item} for item in _read(file)]
    knowledge = {item["id"]: item.get("teacher") for item in raw}
    return tuple(Entry.model_validate({**_inherited(item, knowledge), **item}) for item in raw)


def _inherited(item: dict[str, Any], knowledge: dict[str, Any]) -> dict[str, Any]:
    return {"teacher": knowledge[item["same_as"]]} if "same_as" in item else {}


def _read(file: Path) -> Any:
    return yaml.load(file.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def load() -> list[Entry]:
    """All entries, by subject and then in the order of their file."""
    return list(_entries())


def expected() -> Expected:
    """The expected funnel."""
    return Expected.model_validate(_read(FOLDER / "expected.yaml"))


#: What crawlers leave around a question; `{}` is the question.
_NOISE = (
    "{}",
    "Q: {}",
    "Home > {subject} > Questions > {}",
    "{title} {}",
    "{} Share Improve this question Follow",
    "Skip to main content {}",
    "{} Log in or register to post comments",
)


def rows(base_url: str = "") -> list[dict[str, str]]:
    """The listing, in WebInstruct's shape: id, url (`base_url` and the path), question (crawled, noisy), subject."""
    return [
        {
            "id": entry.id,
            "url": base_url.rstrip("/") + entry.listed_path,
            "question": _NOISE[position % len(_NOISE)]
            .replace("{subject}", entry.subject)
            .replace("{title}", entry.title)
            .replace("{}", entry.question_text),
            "subject": entry.subject,
        }
        for position, entry in enumerate(_entries())
    ]
