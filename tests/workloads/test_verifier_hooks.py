"""What a server's pod fetches beside the weights: the module by which vLLM takes its leave, which must stand alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from reasoner_api.manifest import ArtifactManifest
from reasoner_workloads.__main__ import main
from reasoner_workloads.common.artifact import publish
from reasoner_workloads.common.store import open_store


def test_the_fetched_module_needs_nothing_of_the_project(tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    (made / "config.json").write_text("{}")
    artifact = publish(open_store(tmp_path.as_uri()), made, "model", ArtifactManifest(type="model", files=[]))
    where = ["--uri", artifact.uri, "--digest", artifact.digest, "--dest", str(tmp_path / "cache")]
    assert main(["fetch", *where, "--hooks", str(tmp_path / "hooks")]) == 0
    assert (tmp_path / "cache" / "config.json").read_text() == "{}"
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'hooks')!r}); import leaving; print(leaving.Leaving.__name__)"
    )
    said = subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True, capture_output=True, text=True)
    assert said.stdout == "Leaving\n"
