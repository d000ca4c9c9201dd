"""Where the curves of a run go besides its own report: TensorBoard, Weights & Biases, MLflow, as the pod's environment
says by the variables that these read anyway. Used by the trainers' settings; loads none of them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, MutableMapping

from reasoner_workloads.common.run import ConfigError

#: Variable that asks for a tracker -> its name in `report_to`, which is its package's, too.
ASKED_BY = {
    "TENSORBOARD_LOGGING_DIR": "tensorboard",
    "WANDB_API_KEY": "wandb",
    "WANDB_MODE": "wandb",
    "MLFLOW_TRACKING_URI": "mlflow",
}


def trackers(env: Mapping[str, str], installed: Callable[[str], object] = importlib.util.find_spec) -> list[str]:
    """What transformers is to report to. Raises ConfigError for a tracker that this image does not hold."""
    asked = {name: variable for variable, name in ASKED_BY.items() if env.get(variable)}
    if env.get("WANDB_MODE") == "disabled":
        asked.pop("wandb", None)
    for name, variable in asked.items():
        if not installed(name):
            raise ConfigError(f"compute.env: {variable} asks for {name}, which this image does not hold")
    return sorted(asked)


def name_run(env: MutableMapping[str, str], name: str, digest: str) -> None:
    """Have W&B draw on in the curves of the pod before, where the user has not said otherwise."""
    env.setdefault("WANDB_NAME", name)
    env.setdefault("WANDB_RUN_ID", digest.removeprefix("sha256:")[:32])
    env.setdefault("WANDB_RESUME", "allow")
