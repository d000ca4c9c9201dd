"""The three samples, their training cut to a few steps: what is learnt is the demo's and the benchmarks' business."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

#: What is changed in the samples: few steps, and no gate that a verifier of few steps could not pass.
SHORT: dict[str, dict[str, Any]] = {
    "CurationJob": {"source": {"uri": "http://web.reasoner-local:8080/source.jsonl", "limit": 40}},
    "VerifierTraining": {
        "training": {"maxSteps": 4, "saveSteps": 2},
        "evaluation": {"maxRows": 8, "minAgreement": None},
    },
    "GRPORun": {
        "grpo": {"maxSteps": 2, "perDeviceTrainBatchSize": 16},
        "checkpoint": {"everySteps": 1},
        "evaluation": {"prompts": 4, "samples": 1},
    },
}


def samples(root: Path) -> list[dict[str, Any]]:
    """The samples with the changes of `SHORT`; a change to None takes a field away."""
    found = []
    for path in sorted((root / "crds" / "samples").glob("*.yaml")):
        manifest = yaml.safe_load(path.read_text())
        manifest["metadata"]["namespace"] = "default"
        for field, change in SHORT[manifest["kind"]].items():
            merged = {**manifest["spec"].get(field, {}), **change}
            manifest["spec"][field] = {key: value for key, value in merged.items() if value is not None}
        found.append(manifest)
    return found
