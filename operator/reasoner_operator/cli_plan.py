"""`reasoner plan FILE`: the specs of a file checked by the models of the API, and what each will take. Works offline;
mounted by `cli`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
import yaml
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from reasoner_api.curation import CurationJobSpec
from reasoner_api.grpo import GRPORunSpec
from reasoner_api.verifier import VerifierTrainingSpec
from reasoner_operator import estimate
from reasoner_operator.estimate import Assumptions, Estimate

Spec = CurationJobSpec | VerifierTrainingSpec | GRPORunSpec
KINDS: dict[str, type[CurationJobSpec] | type[VerifierTrainingSpec] | type[GRPORunSpec]] = {
    "CurationJob": CurationJobSpec,
    "VerifierTraining": VerifierTrainingSpec,
    "GRPORun": GRPORunSpec,
}


def plan(
    file: Annotated[Path, typer.Argument(help="YAML file of one or more resources.", exists=True, dir_okay=False)],
    output: Annotated[Literal["table", "json"], typer.Option("--output", "-o", help="Form of the answer.")] = "table",
    rows: Annotated[int | None, typer.Option(min=1, help="Rows of the source or dataset.")] = None,
    fetched: Annotated[float, typer.Option(min=0, max=1, help="Share of pages with a human answer.")] = 0.6,
    extracted: Annotated[float, typer.Option(min=0, max=1, help="Share of those with a verifiable question.")] = 0.33,
    balanced: Annotated[float, typer.Option(min=0, max=1, help="Share left without easy mathematics.")] = 0.7,
    hosts: Annotated[int, typer.Option(min=1, help="Sites that the pages are spread over.")] = Assumptions.hosts,
    request_seconds: Annotated[float, typer.Option(min=0.001, help="Seconds of a request.")] = 5.0,
    step_seconds: Annotated[
        float, typer.Option(min=0.001, help="Seconds of a GRPO generation with its steps.")
    ] = estimate.STEP_SECONDS,
) -> None:
    """Check a file and estimate requests, tokens, cost and time before anything runs."""
    given = Assumptions(
        rows=rows or Assumptions.rows,
        fetched=fetched,
        extracted=extracted,
        balanced=balanced,
        hosts=hosts,
        request_seconds=request_seconds,
    )
    answers = []
    for kind, name, spec in _read(file):
        if isinstance(spec, CurationJobSpec):
            found = estimate.curation(spec, given)
        elif isinstance(spec, VerifierTrainingSpec):
            found = estimate.verifier(spec, rows)
        else:
            found = estimate.grpo(spec, step_seconds, rows)
        answers.append((kind, name, found))
    if output == "json":
        print(json.dumps([{"kind": kind, "name": name, **asdict(found)} for kind, name, found in answers], indent=2))
    else:
        for kind, name, found in answers:
            _show(f"{kind} {name}", found)
    if any(found.warnings for _, _, found in answers):
        raise typer.Exit(1)


def _read(file: Path) -> list[tuple[str, str, Spec]]:
    """The file's resources. A wrong one ends the command with the path of each wrong field."""
    try:
        documents = [one for one in yaml.safe_load_all(file.read_text(encoding="utf-8")) if one is not None]
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{file} is not YAML: {error}", param_hint="FILE") from error
    found = [_parse(one) for one in documents]
    if not found:
        raise typer.BadParameter(f"{file} holds no resource", param_hint="FILE")
    return found


def _parse(document: Any) -> tuple[str, str, Spec]:
    kind = document.get("kind") if isinstance(document, dict) else None
    if kind not in KINDS:
        raise typer.BadParameter(f"kind: {kind!r} is none of {', '.join(KINDS)}", param_hint="FILE")
    metadata = document.get("metadata")
    name = str(metadata.get("name", "")) if isinstance(metadata, dict) else ""
    try:
        return kind, name, KINDS[kind].model_validate(document.get("spec"))
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, ('spec', *fault['loc'])))}: {fault['msg']}" for fault in error.errors()]
        raise typer.BadParameter(f"{kind} {name}: " + "; ".join(faults), param_hint="FILE") from error


def _show(title: str, found: Estimate) -> None:
    console = Console()
    if found.stages:
        table = Table("stage", *("rows", "requests", "prompt tokens", "completion tokens", "US$", "hours"), title=title)
        for column in table.columns[1:]:
            column.justify = "right"
        for one in found.stages:
            counts = (one.rows, one.requests, one.prompt_tokens, one.completion_tokens)
            table.add_row(
                one.name, *(f"{count:,}" for count in counts), f"{one.cost_usd:,.2f}", f"{one.seconds / 3600:,.2f}"
            )
        console.print(table)
    facts = Table("estimate", "value", title=None if found.stages else title)
    for label, value in found.facts.items():
        facts.add_row(label, value if isinstance(value, str) else f"{value:,}")
    console.print(facts)
    for warning in found.warnings:
        console.print(f"warning: {warning}", style="yellow", markup=False)
