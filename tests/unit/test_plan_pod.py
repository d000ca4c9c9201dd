"""A pod template takes each name once: server-side apply refuses what it finds twice."""

from __future__ import annotations

from collections import Counter
from typing import Any

from reasoner_operator.plan import plan
from reasoner_operator.settings import Settings
from support.objects import NOW, seen


def pod_spec(compute: dict[str, Any], profile: dict[str, Any] | None = None) -> dict[str, Any]:
    settings = Settings.model_validate({"profiles": {"gpu": profile or {}}})
    made = plan(seen("CurationJob", {"compute": {"profile": "gpu", **compute}}), settings, NOW)
    spec: dict[str, Any] = made.apply[-1]["spec"]["template"]["spec"]
    return spec


def test_the_specs_variable_wins_over_the_profiles_and_that_over_ours() -> None:
    profile = {"env": [{"name": "HOME", "value": "/profile"}, {"name": "A", "value": "profile"}]}
    spec = pod_spec({"env": [{"name": "A", "value": "spec"}]}, profile)
    env = spec["containers"][0]["env"]
    assert max(Counter(item["name"] for item in env).values()) == 1
    values = {item["name"]: item.get("value") for item in env}
    assert (values["HOME"], values["A"]) == ("/profile", "spec")


def test_a_user_may_bring_a_bigger_scratch_volume() -> None:
    volume = {"name": "scratch", "persistentVolumeClaim": {"claimName": "big"}}
    spec = pod_spec({"volumes": [volume], "imagePullSecrets": [{"name": "r"}]}, {"imagePullSecrets": [{"name": "r"}]})
    assert [item for item in spec["volumes"] if item["name"] == "scratch"] == [volume]
    assert spec["imagePullSecrets"] == [{"name": "r"}]


def test_a_user_may_mount_something_else_where_we_would() -> None:
    mounts = [{"name": "fast", "mountPath": "/tmp"}]
    spec = pod_spec({"volumes": [{"name": "fast", "emptyDir": {}}], "volumeMounts": mounts})
    assert [item for item in spec["containers"][0]["volumeMounts"] if item["mountPath"] == "/tmp"] == mounts


def test_an_entry_without_a_name_is_left_for_the_api_server_to_refuse() -> None:
    odd = [{"nme": "A"}, {"nme": "B"}]
    assert [item for item in pod_spec({"env": odd})["containers"][0]["env"] if "nme" in item] == odd
