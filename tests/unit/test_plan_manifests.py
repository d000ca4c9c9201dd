"""What the operator makes of a fresh object, compared whole with the YAML beside this file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from reasoner_api.common import Compute
from reasoner_api.report import RunReport
from reasoner_api.status import Artifact
from reasoner_operator.plan import plan
from reasoner_operator.seen import Key, Seen
from reasoner_operator.settings import Settings
from support.objects import DIGEST, NOW, STORAGE, custom_resource, job, pod, ready, seen

MANIFESTS = Path(__file__).parent / "manifests"
H100 = Compute.model_validate(
    {
        "nodes": 4,
        "gpusPerNode": 8,
        "resources": {"requests": {"cpu": "96", "memory": "1Ti", "rdma/ib": "8"}, "limits": {"rdma/ib": "8"}},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        "nodeSelector": {"gpu": "h100"},
        "env": [{"name": "NCCL_IB_HCA", "value": "mlx5"}],
    }
)
SETTINGS = Settings(profiles={"h100": H100})
QUESTIONS = ready(
    "CurationJob",
    "questions",
    {
        "artifacts": {
            "dataset": {"uri": "s3://models/q", "digest": DIGEST, "rows": 9},
            "verifierData": {"uri": "s3://models/v", "digest": DIGEST, "rows": 72},
        }
    },
)
JUDGE = ready(
    "VerifierTraining",
    "judge",
    {
        "endpoint": "http://judge-verifier-aaaaaaaa.team-a.svc:8000/v1",
        "servedModel": "judge@aaaaaaaaaaaa",
        "readyReplicas": 1,
        "artifacts": {"model": {"uri": "s3://models/judge", "digest": DIGEST}},
    },
)
REFERENCES = {
    Key("CurationJob", "team-a", "questions"): QUESTIONS,
    Key("VerifierTraining", "team-a", "judge"): JUDGE,
}
RUN = custom_resource("GRPORun", status={"phase": "Running", "lineage": {"verifier": DIGEST}})
RUN["metadata"] |= {"name": "reasoner", "uid": "00000000-0000-0000-0000-000000000002"}
TRAINED = RunReport(
    state="Succeeded",
    complete=True,
    metrics={"agreement": 0.93},
    artifacts={"model": Artifact(uri="s3://models/demo", digest=DIGEST)},
)

CASES: dict[str, Seen] = {
    "a curation job with three shards": seen("CurationJob"),
    "a suspended curation job in a queue": seen(
        "CurationJob", {"suspend": True, "parallelism": 2, "scheduling": {"queueName": "team", "maxRestarts": 5}}
    ),
    "a verifier training on one CPU": seen("VerifierTraining", references=REFERENCES),
    "a verifier training on eight GPUs with ZeRO-2": seen(
        "VerifierTraining",
        {
            "dataset": {"uri": "s3://models/verdicts", "digest": DIGEST},
            "training": {"deepspeed": {"zeroStage": 2}, "args": {"neftune_noise_alpha": 5}},
            "compute": {"gpusPerNode": 8, "resources": {"requests": {"cpu": "64"}}},
        },
    ),
    "a verifier of 1.5 B on four nodes with RDMA, ZeRO-3 and LoRA": seen(
        "VerifierTraining",
        {
            "dataset": {"uri": "s3://models/verdicts", "digest": DIGEST},
            "training": {
                "deepspeed": {"zeroStage": 3},
                "lora": {"r": 32, "alpha": 64, "targetModules": ["q_proj", "v_proj"]},
                "packing": True,
            },
            "compute": {
                "profile": "h100",
                "runtimeClassName": "nvidia",
                "schedulerName": "gang-scheduler",
                "securityContext": {"capabilities": {"drop": ["ALL"], "add": ["IPC_LOCK"]}},
            },
            "scheduling": {"queueName": "research", "maxRestarts": 5},
        },
    ),
    "a trained verifier served by vLLM": seen(
        "VerifierTraining",
        {"serving": {"replicas": 2, "args": ["--max-model-len=4096"]}},
        job=job("Complete"),
        pods=(pod("demo-0", TRAINED),),
    ),
    "a trained verifier served by transformers without credentials": seen(
        "VerifierTraining",
        {
            "serving": {"engine": "transformers", "gpus": 0, "resources": {"requests": {"cpu": "1"}}},
            "storage": {"uri": "file:///mnt/models"},
        },
        job=job("Complete"),
        pods=(pod("demo-0", TRAINED),),
    ),
    "a verifier that follows its queue, with a shared cache, held by a run": seen(
        "VerifierTraining",
        {
            "serving": {
                "autoscaling": {"minReplicas": 2, "maxReplicas": 8},
                "cache": {"persistentVolumeClaim": {"claimName": "verifiers"}},
                "allowFrom": [{"namespaceSelector": {"matchLabels": {"team": "monitoring"}}}],
            }
        },
        job=job("Complete"),
        pods=(pod("demo-0", TRAINED),),
        users=(RUN,),
    ),
    "a verifier that KEDA scales": seen(
        "VerifierTraining",
        {"serving": {"autoscaling": {"provider": "KEDA", "maxReplicas": 4, "prometheusURL": "http://prometheus:9090"}}},
        job=job("Complete"),
        pods=(pod("demo-0", TRAINED),),
    ),
    "the paper's GRPO run on four nodes of a profile": seen(
        "GRPORun",
        {"compute": {"profile": "h100", "env": [{"name": "HF_HOME", "value": "/cache"}]}},
        references=REFERENCES,
    ),
    "a GRPO run on three training nodes and one rollout node in a queue": seen(
        "GRPORun",
        {
            "grpo": {"deepspeed": {"zeroStage": 3}},
            "rollout": {"mode": "server", "tensorParallelSize": 2, "server": {"args": ["--max-num-seqs=512"]}},
            "compute": {"profile": "h100"},
            "scheduling": {"queueName": "research"},
        },
        references=REFERENCES,
    ),
    "a GRPO run judged by rules": seen(
        "GRPORun",
        {"verifier": {"rules": {}}, "dataset": {"uri": "s3://models/q"}, "storage": {**STORAGE, "uri": "s3://m/"}},
    ),
    "a GRPO run with a foreign verifier and a judge of its benchmarks, each with a key": seen(
        "GRPORun",
        {
            "dataset": {"uri": "s3://models/q"},
            "verifier": {
                "endpoint": "https://verifier.example.com/v1",
                "model": "general-verifier",
                "apiKeySecretRef": {"name": "llm"},
            },
            "evaluation": {
                "minGain": 0.05,
                "benchmarks": [{"name": "aime24", "uri": "s3://b/aime24.parquet", "samples": 32, "temperature": 1.0}],
                "judge": {
                    "endpoint": "https://llm.example.com/v1",
                    "model": "strong",
                    "apiKeySecretRef": {"name": "llm"},
                },
            },
        },
    ),
}


@pytest.mark.parametrize("sentence", CASES)
def test_manifests(sentence: str, request: pytest.FixtureRequest) -> None:
    made: list[Any] = list(plan(CASES[sentence], SETTINGS, NOW).apply)
    path = MANIFESTS / f"{sentence.replace(' ', '-').lower()}.yaml"
    if request.config.getoption("--rewrite-manifests"):
        path.write_text(yaml.dump_all(made, sort_keys=False, width=120, Dumper=_NoAliases))
    assert made == list(yaml.safe_load_all(path.read_text()))


class _NoAliases(yaml.SafeDumper):
    """Writes equal parts out again, as a person would read them."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def test_every_expected_file_belongs_to_a_case() -> None:
    assert {path.stem for path in MANIFESTS.iterdir()} == {name.replace(" ", "-").lower() for name in CASES}
