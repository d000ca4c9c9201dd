"""What README and CONTRIBUTING tell people to type is what the project takes."""

from __future__ import annotations

import ast
import re
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from reasoner_api.crd import KINDS
from reasoner_operator.cli import app
from support import helm

DOCUMENTS = ("README.md", "CONTRIBUTING.md", "charts/reasoner-operator/README.md")
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


def _blocks(root: Path, language: str) -> list[str]:
    texts = ((root / name).read_text(encoding="utf-8") for name in DOCUMENTS)
    return [body for text in texts for found, body in _BLOCK.findall(text) if found == language]


def _commands(root: Path) -> list[list[str]]:
    """Each command line, split into words, of all the shell blocks."""
    lines = "\n".join(_blocks(root, "sh")).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def _values(words: list[str]) -> dict[str, Any]:
    """What the `--set` options of a helm command say, nested as Helm nests them."""
    values: dict[str, Any] = {}
    for option, setting in pairwise(words):
        if option != "--set":
            continue
        path, _, text = setting.partition("=")
        *parents, last = path.split(".")
        place = values
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = text.strip("{}").split(",") if text.startswith("{") else yaml.safe_load(text)
    return values


def test_helm_takes_every_install_command(root: Path) -> None:
    installs = [words for words in _commands(root) if words[:2] == ["helm", "install"]]
    assert installs
    for words in installs:
        assert helm.refusal(_values(words)) == "", words
        assert helm.render(_values(words))


def test_make_has_every_target(root: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(), re.MULTILINE))
    named = {words[1] for words in _commands(root) if words[0] == "make"}
    assert named
    assert named <= targets


def test_the_reasoner_command_has_every_subcommand(root: Path) -> None:
    for words in _commands(root):
        if words[0] not in ("reasoner", "kubectl-reasoner"):
            continue
        command: Any = typer.main.get_command(app)
        for word in words[1:]:
            if not hasattr(command, "commands"):
                break
            assert word in command.commands, words
            command = command.commands[word]


def test_every_manifest_is_one_that_the_api_takes(root: Path) -> None:
    objects = [item for block in _blocks(root, "yaml") for item in yaml.safe_load_all(block) if "kind" in item]
    assert objects
    for item in objects:
        KINDS[item["kind"]].spec.model_validate(item["spec"])


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_within_the_repository_leads_somewhere(root: Path, name: str) -> None:
    document = root / name
    for target in _LINK.findall(document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), target


def test_every_reason_that_the_operator_gives_is_explained(root: Path) -> None:
    explained = (root / "operator" / "README.md").read_text(encoding="utf-8")
    given = set()
    for path in (root / "operator" / "reasoner_operator").rglob("*.py"):
        for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
            name = getattr(call.func, "id", getattr(call.func, "attr", ""))
            if name in ("State", "Waiting", "Broken", "stalled", "replaced") and len(call.args) > 1:
                reason = call.args[1]
                given |= {reason.value} if isinstance(reason, ast.Constant) else set()
    assert len(given) > 15
    assert {reason for reason in given if f"`{reason}`" not in explained} == set()


def test_every_reason_that_a_pod_gives_is_explained(root: Path) -> None:
    explained = (root / "operator" / "README.md").read_text(encoding="utf-8")
    given = set()
    for path in (root / "workloads" / "reasoner_workloads").rglob("*.py"):
        for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
            named = [word.value for word in call.keywords if word.arg == "reason"]
            if getattr(call.func, "id", getattr(call.func, "attr", "")) in ("warn", "Finding", "partial"):
                named += call.args[:2]
            words = [one.value for one in named if isinstance(one, ast.Constant) and isinstance(one.value, str)]
            given |= {word for word in words if re.fullmatch(r"(?:[A-Z]+[a-z]*)+", word)}
    assert {"GroupBroken", "KLBlowUp", "VerifierAway"} <= given
    assert {reason for reason in given if f"`{reason}`" not in explained} == set()
