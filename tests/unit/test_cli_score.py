"""`reasoner score` where the packages that score are not installed."""

from __future__ import annotations

import importlib.util

import pytest
from typer.testing import CliRunner

from reasoner_operator.cli import app


@pytest.mark.parametrize("missing", ["reasoner_workloads", "transformers", "aiohttp"])
def test_a_missing_extra_is_named(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == missing else find(name, *more))
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["score", "rows.jsonl", "--rules"])
    assert result.exit_code == 2
    assert "pip install 'reasoner-operator[trainer]'" in result.output
