"""Where the curves of a run go, by its environment."""

from __future__ import annotations

import pytest

from reasoner_workloads.common.run import ConfigError
from reasoner_workloads.training.trackers import name_run, trackers


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, []),
        ({"TENSORBOARD_LOGGING_DIR": "/curves"}, ["tensorboard"]),
        ({"WANDB_API_KEY": "secret"}, ["wandb"]),
        ({"WANDB_MODE": "offline"}, ["wandb"]),
        ({"WANDB_API_KEY": "secret", "WANDB_MODE": "disabled"}, []),
        ({"MLFLOW_TRACKING_URI": "http://mlflow:5000", "WANDB_API_KEY": "secret"}, ["mlflow", "wandb"]),
        ({"MLFLOW_TRACKING_URI": ""}, []),
    ],
)
def test_the_environment_says_where(env: dict[str, str], expected: list[str]) -> None:
    assert trackers(env, installed=lambda name: True) == expected


def test_what_the_image_does_not_hold_is_said_at_once() -> None:
    with pytest.raises(ConfigError, match=r"compute\.env: WANDB_API_KEY asks for wandb, which this image"):
        trackers({"WANDB_API_KEY": "secret"}, installed=lambda name: None)


def test_a_run_that_goes_on_stays_one_curve_unless_the_user_says_otherwise() -> None:
    env = {"WANDB_NAME": "mine"}
    name_run(env, "default/run", f"sha256:{'ab' * 32}")
    assert env == {"WANDB_NAME": "mine", "WANDB_RUN_ID": "ab" * 16, "WANDB_RESUME": "allow"}
