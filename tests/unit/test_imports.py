"""What is loaded by importing what: the operator stays small."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROBE = "import sys, {module}; print(*sorted({{'torch', 'transformers', 'trl', 'kopf', 'boto3'}} & set(sys.modules)))"


@pytest.mark.parametrize(
    ("module", "loaded"),
    [
        ("reasoner_api.task", ""),
        ("reasoner_operator.plan", ""),
        ("reasoner_operator.cli", ""),
        ("reasoner_operator.main", "kopf"),
    ],
)
def test_import_loads_no_more_than_it_needs(module: str, loaded: str) -> None:
    command = [sys.executable, "-c", PROBE.format(module=module)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.split() == loaded.split()
