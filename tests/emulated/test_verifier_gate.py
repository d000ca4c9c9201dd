"""A verifier that learnt nothing is published and not served, and its status says by how much it fell short: trained
through the operator on verdicts that belong to other answers."""

from __future__ import annotations

import hashlib
import random
import re
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from reasoner_local.client import DEPLOYMENTS, SERVICES, Client, Obj, Resource
from reasoner_local.cluster import LocalCluster
from reasoner_workloads.common.artifact import verify
from support import stand_ins
from support.local import condition, eventually

VERIFIERS = Resource("reasoner.dev", "v1alpha1", "verifiertrainings", "VerifierTraining")
WANTED = 0.9


def shuffled(verdicts: Path, path: Path) -> str:
    """Write the rows with each other's verdicts; the file's digest."""
    table = pyarrow.parquet.read_table(verdicts / "data.parquet").drop_columns(["reasoning"])
    column = table["verdict"].to_pylist()
    random.Random(1).shuffle(column)
    place = table.column_names.index("verdict")
    pyarrow.parquet.write_table(table.set_column(place, "verdict", pyarrow.array(column)), path)
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def manifest(root: Path, digest: str) -> Obj:
    training = {"maxSteps": 20, "saveSteps": 20, "perDeviceTrainBatchSize": 16, "learningRate": 0.003, "maxLength": 80}
    return {
        "apiVersion": "reasoner.dev/v1alpha1",
        "kind": "VerifierTraining",
        "metadata": {"name": "shuffled", "namespace": "default"},
        "spec": {
            "baseModel": f"{root.as_uri()}/verifier-base",
            "dataset": {"uri": f"{root.as_uri()}/shuffled.parquet", "digest": digest},
            "training": {**training, "bf16": False, "gradientCheckpointing": False},
            "evaluation": {"maxRows": 64, "minAgreement": WANTED},
            "serving": {"engine": "transformers", "gpus": 0},
            "storage": {"uri": f"{root.as_uri()}/artifacts"},
            "compute": {"env": [{"name": "OMP_NUM_THREADS", "value": "1"}]},
        },
    }


@pytest.mark.timeout(300)
async def test_a_verifier_trained_on_shuffled_verdicts_is_published_and_refused_serving(tmp_path: Path) -> None:
    stand_ins.publish(tmp_path, steps=1)
    digest = shuffled(tmp_path / "verdicts", tmp_path / "shuffled.parquet")
    async with (
        LocalCluster(tmp_path / "cluster", infra=False, operator=True) as cluster,
        Client.of(cluster.kubeconfig) as client,
    ):
        await client.apply(VERIFIERS, manifest(tmp_path, digest))

        async def ended() -> Obj | None:
            found = await client.get(VERIFIERS, "default", "shuffled")
            return found if found.get("status", {}).get("phase") in ("Failed", "Deploying", "Succeeded") else None

        status = (await eventually(ended, 240))["status"]
        stalled = condition({"status": status}, "Stalled")
        assert (status["phase"], stalled["status"], stalled["reason"]) == ("Failed", "True", "AgreementTooLow"), status
        said = re.fullmatch(
            r"held-out agreement is (\S+), (\S+) below evaluation.minAgreement 0.9: published but not served",
            stalled["message"],
        )
        assert said, stalled
        assert float(said[1]) == pytest.approx(status["agreement"], abs=1e-4)
        assert float(said[2]) == pytest.approx(WANTED - status["agreement"], abs=2e-4)
        model = status["artifacts"]["model"]
        assert verify(model["uri"], digest=model["digest"]).type == "model"
        made = [item["metadata"] for kind in (DEPLOYMENTS, SERVICES) for item in (await client.list(kind))[0]]
        assert not [meta for meta in made if "shuffled" in meta["name"]]
        assert "endpoint" not in status
