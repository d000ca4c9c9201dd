"""The verdicts to learn from, as rows: from an artifact of a CurationJob or from the user's own Parquet or JSON Lines
file, whatever its columns are called. Called by `train`; loads no torch."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reasoner_api.common import VerifierPrompt
from reasoner_api.verifier import VerifierColumns
from reasoner_workloads.common.run import ConfigError
from reasoner_workloads.training.inputs import Fetched

#: The file that a CurationJob publishes; the user's own may have any name where it is the only one.
FILE = "data.parquet"
OPTIONAL = frozenset({"reasoning", "answer_type", "category"})
VERDICTS = {
    **dict.fromkeys(("true", "yes", "1", "correct"), True),
    **dict.fromkeys(("false", "no", "0", "incorrect"), False),
}


@dataclass(frozen=True)
class Row:
    """One answer and the teacher's verdict on it."""

    question: str
    ground_truth: str
    student_answer: str
    verdict: bool
    reasoning: str = ""
    answer_type: str = ""
    category: str = ""

    @property
    def asked(self) -> tuple[str, str, str]:
        """What the verdict is on."""
        return self.question, self.ground_truth, self.student_answer


def read(dataset: Fetched, columns: VerifierColumns) -> list[Row]:
    """All rows of the dataset. Raises ConfigError where a column is missing or a verdict is none."""
    records = _records(_file(Path(dataset.path)))
    names = columns.model_dump()
    present = {name for record in records for name in record}
    default = VerifierColumns().model_dump()
    needed = {theirs for ours, theirs in names.items() if ours not in OPTIONAL or theirs != default[ours]}
    if missing := sorted(needed - present):
        raise ConfigError(f"dataset: no column {', '.join(missing)}; data.columns names those to read")
    return [_row(number, record, names) for number, record in enumerate(records)]


def usable(rows: list[Row], prompt: VerifierPrompt) -> tuple[list[Row], Counter[str]]:
    """The rows that can be learnt from, and how many are left out, by reason: something empty, answers that the
    teacher both passes and fails, reasoning that ends in the other verdict."""
    left_out: Counter[str] = Counter()
    passed = {row.asked for row in rows if row.verdict}
    torn = passed & {row.asked for row in rows if not row.verdict}
    kept = []
    for row in rows:
        other = prompt.fail_marker if row.verdict else prompt.pass_marker
        if not all(part.strip() for part in row.asked):
            left_out["incomplete"] += 1
        elif row.asked in torn or other in row.reasoning:
            left_out["contradictory"] += 1
        else:
            kept.append(row)
    return kept, left_out


def _file(folder: Path) -> Path:
    if (folder / FILE).is_file():
        return folder / FILE
    found = sorted(path for path in folder.iterdir() if path.suffix in (".parquet", ".jsonl"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise ConfigError(f"dataset: it holds no {FILE} and not exactly one .parquet or .jsonl file ({names})")
    return found[0]


def _records(path: Path) -> list[dict[str, Any]]:
    import pyarrow.lib
    import pyarrow.parquet

    if path.suffix == ".parquet":
        try:
            return list(pyarrow.parquet.read_table(path).to_pylist())
        except pyarrow.lib.ArrowException as error:
            raise ConfigError(f"dataset: {path.name} is not Parquet: {error}") from error
    records = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line) if line.strip() else None
            except ValueError as error:
                raise ConfigError(f"dataset: {path.name}, line {number}: {error}") from error
            if record is not None and not isinstance(record, dict):
                raise ConfigError(f"dataset: {path.name}, line {number} is not a JSON object")
            records += [record] if record is not None else []
    return records


def _row(number: int, record: dict[str, Any], names: dict[str, str]) -> Row:
    texts = {
        ours: "" if record.get(theirs) is None else str(record[theirs])
        for ours, theirs in names.items()
        if ours != "verdict"
    }
    said = record.get(names["verdict"])
    verdict = VERDICTS.get(str(said).strip().lower())
    if verdict is None:
        raise ConfigError(f"dataset: row {number}: {names['verdict']} is {said!r}, neither yes nor no")
    return Row(verdict=verdict, **texts)
