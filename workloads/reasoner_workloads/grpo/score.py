"""`reasoner score FILE`: completions scored by the very reward function that trains, for a look at what a reward makes
of a model before a run, and of a run's own completions after it. Loads no torch.

Exit codes: 0 when every completion has a reward, 1 when one has none or the verifier does not answer, 2 for what is
wrong with the file or the options."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reasoner_workloads.common.run import EXIT_ERROR, ConfigError, WorkloadError
from reasoner_workloads.grpo import rows
from reasoner_workloads.grpo.circuit import Patience
from reasoner_workloads.grpo.data import prompt_of
from reasoner_workloads.grpo.judges import open_judge
from reasoner_workloads.grpo.reward import Response, Tokens
from reasoner_workloads.grpo.score_options import Options, options, parser
from reasoner_workloads.grpo.score_output import Scored, as_json, as_table
from reasoner_workloads.grpo.scoring import RewardFunction
from reasoner_workloads.grpo.terms import load


def main(argv: Sequence[str]) -> int:
    """Score the file and return the exit code."""
    arguments = parser().parse_args(argv)
    try:
        scored = asyncio.run(_score(arguments.file, options(arguments)))
    except WorkloadError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(as_json(scored) if arguments.output == "json" else as_table(scored, arguments.rows))
    return EXIT_ERROR if any(each.score.reward is None for each in scored) else 0


async def _score(file: Path, given: Options) -> list[Scored]:
    tokens = given.tokens()
    terms = load(given.reward)
    found = [(place, _response(f"{file.name}, {place}", row, given, tokens)) for place, row in _rows(file)]
    patience = Patience(tell=lambda why: print(f"warning: {why}", file=sys.stderr))
    function = RewardFunction(given.reward, tokens, open_judge(given.verifier, given.reward, patience), terms)
    try:
        scores = await function([response for _, response in found])
    finally:
        await function.close()
    return [Scored(place, response, score) for (place, response), score in zip(found, scores, strict=True)]


def _rows(file: Path) -> list[tuple[str, dict[str, Any]]]:
    try:
        found = rows.read(file)
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}") from error
    if not found:
        raise ConfigError(f"{file} holds no completion")
    return found


def _response(at: str, row: Mapping[str, Any], given: Options, tokens: Tokens) -> Response:
    question, truth, text = (
        _text(at, row, option, names)
        for option, names in (
            ("--question", given.question),
            ("--ground-truth", given.ground_truth),
            ("--completion", given.completion),
        )
    )
    return Response(prompt_of(question, given.settings), question, truth, text, tokens.encode(text))


def _text(at: str, row: Mapping[str, Any], option: str, names: Sequence[str]) -> str:
    """What the first of the columns holds that is there. Numbers will do: a ground truth may be one."""
    name = next((name for name in names if row.get(name) is not None), None)
    if name is None:
        wanted = " or ".join(map(repr, names))
        raise ConfigError(f"{at}: there is no {wanted}; name the column with {option} (it has {', '.join(row)})")
    if not isinstance(row[name], str | int | float):
        raise ConfigError(f"{at}: {name!r} is no text but {row[name]!r:.80}")
    return str(row[name])
