"""Does it learn? Runs the demo's two trainings on the stand-ins, with the settings of crds/samples, through the real
command lines and the served verifier, over several seeds, and prints a table. Nothing but CPython and the trainer
image's packages is needed: `python benchmarks/learning.py --seeds 1 2 3`."""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from processes import environment

from reasoner_api.common import VerifierPrompt
from reasoner_api.grpo import GRPORunSpec, GRPOWork
from reasoner_api.report import RunReport
from reasoner_api.task import GRPOTask, InputArtifact, TaskBase, Topology, VerifierEndpoint, VerifierTask
from reasoner_api.verifier import VerifierTrainingSpec, VerifierWork

SAMPLES = Path(__file__).parent.parent / "crds" / "samples"
COLUMNS = ("seed", "seeding s", "verifier s", "agreement", "baseline", "serving s", "grpo s", "before", "after")
#: Of them those of the verifier's training.
VERIFIER_COLUMNS = 5


def main() -> int:
    """Run the seeds one after another; 1 when one of them does not learn."""
    top = argparse.ArgumentParser(description=__doc__)
    top.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="seeds of data, weights and training")
    top.add_argument("--folder", type=Path, help="where everything is kept; a temporary folder when absent")
    top.add_argument("--verifier-only", action="store_true", help="train the verifier alone")
    arguments = top.parse_args()
    columns = COLUMNS[:VERIFIER_COLUMNS] if arguments.verifier_only else COLUMNS
    print(" | ".join(f"{name:>10}" for name in columns), flush=True)
    failed = False
    for seed in arguments.seeds:
        with tempfile.TemporaryDirectory(prefix="learning-") as own:
            loop = Loop((arguments.folder or Path(own)) / str(seed), seed)
            row = loop.verify(policy_steps=1) if arguments.verifier_only else loop.run()
        print(" | ".join(f"{value:>10.4g}" for value in row), flush=True)
        found = dict(zip(columns, row, strict=True))
        failed |= found["agreement"] <= 0.9 or found.get("after", 1.0) - found.get("before", 0.0) < 0.4
    print("DOES NOT HOLD" if failed else "holds")
    return int(failed)


class Loop:
    """One seed's loop: stand-ins, verifier, its server, GRPO."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed = folder, seed
        folder.mkdir(parents=True, exist_ok=True)
        self.root = folder.absolute().as_uri()

    def run(self) -> tuple[float, ...]:
        """The figures of COLUMNS."""
        verified = self.verify()
        made = self._report("VerifierTraining").artifacts["model"]
        began = time.monotonic()
        with _served(Path(made.uri.removeprefix("file://"))) as endpoint:
            serving = time.monotonic() - began
            reinforced = self._timed(
                "-m", "reasoner_workloads", "grpo", "--task", self._write(self._grpo_task(endpoint, made.digest))
            )
        policy = self._report("GRPORun").metrics
        return (*verified, serving, reinforced, policy["reward_before"], policy["reward_after"])

    def verify(self, policy_steps: int | None = None) -> tuple[float, ...]:
        """The figures of the columns up to `baseline`; `policy_steps` where the policy base need not know much."""
        seed = ["-m", "reasoner_workloads.tiny", "--output", f"{self.root}/seed", "--seed", self.seed]
        seeding = self._timed(*seed, *(["--steps", policy_steps] if policy_steps else []))
        trained = self._timed("-m", "reasoner_workloads", "verifier", "--task", self._write(self._verifier_task()))
        found = self._report("VerifierTraining").metrics
        return self.seed, seeding, trained, found["agreement"], found["baseline_agreement"]

    def _verifier_task(self) -> VerifierTask:
        spec = VerifierTrainingSpec.model_validate(self._spec("verifiertraining.yaml", "training"))
        work = VerifierWork.model_validate({name: getattr(spec, name) for name in VerifierWork.model_fields})
        data = InputArtifact(uri=str(spec.dataset.uri))
        return VerifierTask(**self._common(), work=work, dataset=data, topology=Topology())

    def _grpo_task(self, endpoint: str, digest: str) -> GRPOTask:
        spec = GRPORunSpec.model_validate(self._spec("grporun.yaml", "grpo"))
        work = GRPOWork.model_validate({name: getattr(spec, name) for name in GRPOWork.model_fields})
        verifier = VerifierEndpoint(endpoint=endpoint, model="verifier", prompt=VerifierPrompt(), digest=digest)
        data = InputArtifact(uri=str(spec.dataset.uri))
        return GRPOTask(**self._common(), work=work, dataset=data, verifier=verifier, topology=Topology())

    def _common(self) -> dict[str, str]:
        return {"namespace": "default", "name": "learning", "output": f"{self.root}/artifacts"}

    def _spec(self, sample: str, settings: str) -> dict[str, Any]:
        """The sample's spec, on this folder in place of the demo's object store, with this seed."""
        text = (SAMPLES / sample).read_text(encoding="utf-8").replace("s3://reasoner", self.root)
        spec = yaml.safe_load(text)["spec"]
        spec["storage"] = {"uri": f"{self.root}/artifacts"}
        spec[settings]["seed"] = self.seed
        return dict(spec)

    def _write(self, task: TaskBase) -> str:
        path = self.folder / "task.json"
        path.write_text(json.dumps(task.wire()), encoding="utf-8")
        self.word = self.folder / f"{task.wire()['kind']}.json"
        return str(path)

    def _report(self, kind: str) -> RunReport:
        return RunReport.model_validate_json((self.folder / f"{kind}.json").read_bytes())

    def _timed(self, *arguments: object) -> float:
        """Seconds that a command of this interpreter took. Raises CalledProcessError."""
        word = getattr(self, "word", self.folder / "word.json")
        began = time.monotonic()
        with (self.folder / "log.txt").open("ab") as log:
            command = [sys.executable, *map(str, arguments)]
            subprocess.run(command, env=environment(word), check=True, stdout=log, stderr=subprocess.STDOUT)
        return time.monotonic() - began


@contextmanager
def _served(model: Path) -> Iterator[str]:
    """The verifier's server while in the context; its base URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "reasoner_workloads", "serve", "--model", str(model)]
    command += ["--served-model-name", "verifier", "--port", str(port)]
    with (model.parent / "serve.log").open("ab") as log:
        server = subprocess.Popen(command, env=environment(model.parent / "serve.json"), stdout=log, stderr=log)
        try:
            while not _healthy(f"http://127.0.0.1:{port}/health"):
                if server.poll() is not None:
                    raise RuntimeError(f"the server ended: see {log.name}")
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()
            server.wait()


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main())
