"""What `make demo` says of a run in one line."""

from typing import Any

import pytest

from reasoner_local.demo import view

LINES: dict[str, tuple[str, dict[str, Any], str]] = {
    "a run that nobody has looked at": ("GRPORun", {}, "GRPORun: Pending"),
    "a curation on its way": (
        "CurationJob",
        {
            "phase": "Running",
            "progress": {"percent": 4, "display": "4%, 44s left, 10/207 pages"},
            "stages": [{"name": "source", "in": 78, "out": 78}, {"name": "deduplicate", "in": 3, "out": 2}],
            "usage": {"requests": 145, "costUSD": 0.0049},
        },
        "CurationJob: Running, 4%, 44s left, 10/207 pages, 78 → 2 rows, 145 requests, $0.005",
    ),
    "a training says its step once": (
        "GRPORun",
        {
            "phase": "Running",
            "progress": {"percent": 12, "display": "12%, 4m10s left, step 4/40"},
            "step": 4,
            "maxSteps": 40,
            "rewardText": "0.246",
            "accuracy": 0.4,
        },
        "GRPORun: Running, 12%, 4m10s left, step 4/40, reward 0.246, accuracy 0.40",
    ),
    "a verifier that is done": (
        "VerifierTraining",
        {
            "phase": "Succeeded",
            "progress": {"percent": 100, "display": "100%"},
            "step": 300,
            "maxSteps": 300,
            "loss": 0.0081,
            "agreementPercent": "98.0%",
        },
        "VerifierTraining: Succeeded, 100%, loss 0.008, agreement 98.0%",
    ),
}


@pytest.mark.parametrize("case", LINES)
def test_a_run_in_one_line(case: str) -> None:
    kind, status, said = LINES[case]
    assert view.line({"kind": kind, "status": status}) == said
