"""The platform team's settings file."""

from __future__ import annotations

from pathlib import Path

import pytest

from reasoner_api.common import Compute
from reasoner_operator.plan.compute import UnknownProfile, resolve
from reasoner_operator.settings import Settings, SettingsError, load_settings


def test_defaults_need_no_file() -> None:
    assert load_settings(None).images.vllm.startswith("vllm/vllm-openai:")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("profiles: {h100: {gpus: 8}}", "profiles.h100.gpus: Extra inputs are not permitted"),
        ("resyncSeconds: 0", "resyncSeconds: Input should be greater than or equal to 1"),
        ("[", "while parsing"),
    ],
)
def test_a_bad_file_is_refused_with_the_field(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=says):
        load_settings(path)


def test_a_spec_wins_over_its_profile_map_by_map_and_list_after_list() -> None:
    profile = Compute.model_validate(
        {"nodes": 4, "gpusPerNode": 8, "nodeSelector": {"gpu": "h100"}, "env": [{"name": "A", "value": "1"}]}
    )
    spec = Compute.model_validate(
        {"profile": "h100", "nodes": 2, "nodeSelector": {"zone": "b"}, "env": [{"name": "B", "value": "2"}]}
    )
    merged = resolve(spec, Settings(profiles={"h100": profile}))
    assert (merged.nodes, merged.gpus_per_node) == (2, 8)
    assert merged.node_selector == {"gpu": "h100", "zone": "b"}
    assert [entry["name"] for entry in merged.env or []] == ["A", "B"]


def test_an_unknown_profile_names_those_there_are() -> None:
    settings = Settings(profiles={"h100": Compute(), "a100": Compute()})
    with pytest.raises(UnknownProfile, match=r"no profile 'h200' \(profiles: a100, h100\)"):
        resolve(Compute(profile="h200"), settings)
