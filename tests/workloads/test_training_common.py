"""What both trainings share: pass-through arguments, inputs, checkpoints, the launcher's outcomes."""

from __future__ import annotations

import dataclasses
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from trl import GRPOConfig, SFTConfig

from reasoner_api.common import DeepSpeed, Storage
from reasoner_api.grpo import GRPOSettings
from reasoner_api.report import RunReport
from reasoner_api.task import InputArtifact, Topology
from reasoner_api.verifier import SFTTraining
from reasoner_workloads.common.run import ConfigError, WorkloadError
from reasoner_workloads.common.store import open_store
from reasoner_workloads.grpo.settings import PLACES
from reasoner_workloads.training import launch
from reasoner_workloads.training.arguments import OWNED, build, deepspeed_config
from reasoner_workloads.training.inputs import fetch_base_model, fetch_dataset


@dataclass
class Config:
    """Stands where TRL's configs stand."""

    learning_rate: float = 0.1
    adam_beta1: float = 0.9
    output_dir: str = ""

    def __post_init__(self) -> None:
        if self.adam_beta1 < 0:
            raise ValueError("adam_beta1 is negative")


def test_the_users_arguments_are_added() -> None:
    ours = {"learning_rate": 1.0, "output_dir": "/x"}
    assert build(Config, ours, GRPOSettings(args={"adam_beta1": 0.8}), "grpo") == Config(1.0, 0.8, "/x")


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"adam_bet1": 1}, r"^grpo.args.adam_bet1: TRL's Config has no such argument; did you mean adam_beta1\?$"),
        ({"zzz": 1}, "^grpo.args.zzz: TRL's Config has no such argument$"),
        ({"output_dir": "/y"}, "^grpo.args.output_dir is not yours to set here$"),
        ({"save_only_model": True}, "^grpo.args.save_only_model is not yours to set here$"),
        ({"logging_strategy": "no"}, "^grpo.args.logging_strategy is not yours to set here$"),
        ({"save_steps": 7}, "^grpo.args.save_steps is not yours to set here: set checkpoint.everySteps$"),
        ({"deepspeed": {}}, "^grpo.args.deepspeed is not yours to set here: set grpo.deepspeed$"),
        ({"vllm_mode": "server"}, "^grpo.args.vllm_mode is not yours to set here: set rollout.mode$"),
        ({"max_completion_length": 16384}, "is not yours to set here: set grpo.maxCompletionLength$"),
        ({"adam_beta1": -1}, "^grpo: adam_beta1 is negative$"),
    ],
)
def test_bad_arguments_name_the_field(extra: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(Config, {}, GRPOSettings(args=extra), "grpo", PLACES)


def test_a_verifier_has_its_own_fields() -> None:
    for name, place in {"save_steps": "training.saveSteps", "max_length": "training.maxLength"}.items():
        with pytest.raises(ConfigError, match=f"^training.args.{name} is not yours to set here: set {place}$"):
            build(Config, {}, SFTTraining(args={name: 7}), "training")


def test_what_is_owned_is_something_that_trl_takes() -> None:
    known = {item.name for config in (GRPOConfig, SFTConfig) for item in dataclasses.fields(config)}
    assert OWNED | PLACES.keys() <= known


def test_deepspeed_is_configured_as_the_spec_says() -> None:
    assert deepspeed_config(None) is None
    found = deepspeed_config(DeepSpeed(zero_stage=3, offload_optimizer=True))
    assert found is not None
    assert found["zero_optimization"]["stage"] == 3
    assert found["zero_optimization"]["offload_optimizer"]["device"] == "cpu"
    assert found["zero_optimization"]["stage3_gather_16bit_weights_on_model_save"]


def test_an_input_that_is_not_there_is_worth_a_retry(tmp_path: Path) -> None:
    storage = Storage(uri=tmp_path.as_uri())
    with pytest.raises(WorkloadError, match="no artifact at") as caught:
        fetch_dataset(InputArtifact(uri=f"{tmp_path.as_uri()}/nowhere"), storage, tmp_path / "dest")
    assert (caught.value.reason, caught.value.exit_code) == ("InputUnavailable", 1)


def test_a_hugging_face_name_is_left_to_transformers(tmp_path: Path) -> None:
    found = fetch_base_model("Qwen/Qwen2.5-Math-1.5B", Storage(uri=tmp_path.as_uri()), tmp_path)
    assert (found.path, found.identity) == ("Qwen/Qwen2.5-Math-1.5B", "Qwen/Qwen2.5-Math-1.5B")


@pytest.mark.parametrize(
    ("topology", "deepspeed", "needed"),
    [
        (Topology(), None, False),
        (Topology(), DeepSpeed(), True),
        (Topology(processes_per_node=2), None, True),
        (Topology(nodes=2), None, True),
    ],
)
def test_torchrun_is_for_several_processes_and_deepspeed(
    topology: Topology, deepspeed: DeepSpeed | None, needed: bool
) -> None:
    assert launch.needed(topology, deepspeed) is needed


RANK = """
import os, sys
from reasoner_api.report import RunReport
from reasoner_workloads.training import launch
launch.enter_rank()
rank = os.environ["RANK"]
failed = rank == "1" and sys.argv[1] != "0"
report = RunReport(state="Failed", reason="BadConfig" if sys.argv[1] == "2" else "Error") if failed else RunReport()
open(os.environ["TERMINATION_MESSAGE_PATH"], "w").write(report.termination_message())
sys.exit(launch.leave_rank(int(sys.argv[1]) if rank == "1" else 0))
"""


@pytest.mark.parametrize(("code", "reason"), [("0", ""), ("2", "BadConfig"), ("5", "Error")])
def test_the_pod_ends_as_the_rank_that_failed(
    code: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one_rank.py").write_text(RANK)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{':'.join(sys.path)}")
    monkeypatch.setenv("TERMINATION_MESSAGE_PATH", str(tmp_path / "word.json"))
    ended = launch.torchrun("one_rank", [code], Topology(processes_per_node=2), open_store(tmp_path.as_uri()))
    assert ended == {"0": 0, "2": 2, "5": 1}[code]
    assert RunReport.model_validate_json((tmp_path / "word.json").read_bytes()).reason == reason


def test_what_a_rank_of_an_earlier_group_left_does_not_speak_for_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "REASONER_WORKDIR": str(tmp_path), "LOCAL_RANK": "1", "RANK": "9",
        "TERMINATION_MESSAGE_PATH": "", "REPORT_PORT": "",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    launch.enter_rank()
    report = Path(os.environ["TERMINATION_MESSAGE_PATH"])
    report.write_text(RunReport(state="Paused", reason="KLBlowUp").termination_message())
    launch.leave_rank(3)
    # On a node that was the second, and is the first now.
    monkeypatch.setenv("RANK", "1")
    launch.enter_rank()
    assert os.environ["TERMINATION_MESSAGE_PATH"] == str(report)
    assert [path.name for path in tmp_path.iterdir()] == ["rank-1.pid"]
