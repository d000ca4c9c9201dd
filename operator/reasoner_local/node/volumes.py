"""A pod's volumes, laid out as real folders. Used by `pod`. ConfigMaps and Secrets are written once, when the
pod starts."""

from __future__ import annotations

from pathlib import Path

from reasoner_local.client import CONFIGMAPS, SECRETS, Obj
from reasoner_local.node.context import NotReady, PodContext
from reasoner_local.node.environment import data_of, field_value, resource_value

#: Kinds of volumes that nothing is written to.
_EMPTY = ("emptyDir", "persistentVolumeClaim", "hostPath")


async def lay_out(context: PodContext) -> None:
    """Make the pod's folders and volumes; raises NotReady while something they refer to is missing."""
    for folder in (context.home, context.folder / "tmp", context.folder / "termination"):
        folder.mkdir(parents=True, exist_ok=True)
    for volume in context.pod["spec"].get("volumes") or []:
        place = context.volume(volume["name"])
        try:
            await _fill(context, volume, place)
        except NotReady as missing:
            raise NotReady(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {missing}') from missing
    for container in [*context.pod["spec"].get("initContainers", []), *context.pod["spec"]["containers"]]:
        context.termination_file(container["name"]).touch()
        for mount in container.get("volumeMounts") or []:
            if sub := mount.get("subPath"):
                place = context.volume(mount["name"]) / sub
                if not place.exists():
                    place.mkdir(parents=True)


async def _fill(context: PodContext, volume: Obj, place: Path) -> None:
    _make_place(volume, place)
    if any(kind in volume for kind in _EMPTY):
        return
    sources = volume["projected"].get("sources") or [] if "projected" in volume else [volume]
    mode = _mode(volume)
    for source in sources:
        for name, content in (await _files(context, source)).items():
            _write(place / name, content, mode)


def _make_place(volume: Obj, place: Path) -> None:
    kind = (volume.get("hostPath") or {}).get("type", "")
    if not place.exists():
        if kind not in ("", "DirectoryOrCreate"):
            raise NotReady(f"hostPath type check failed: {place} is not a {kind}")
        place.mkdir(parents=True)


def _mode(volume: Obj) -> int:
    for kind in ("configMap", "secret", "projected", "downwardAPI"):
        if kind in volume:
            return int(volume[kind].get("defaultMode", 0o644))
    return 0o644


async def _files(context: PodContext, source: Obj) -> dict[str, bytes]:
    """What one source puts into its folder."""
    if "downwardAPI" in source:
        return {item["path"]: _downward(context, item) for item in source["downwardAPI"].get("items") or []}
    if "serviceAccountToken" in source:
        return {source["serviceAccountToken"]["path"]: b"reasoner-local"}
    if "secret" in source:
        ref = source["secret"]
        data = await data_of(context, SECRETS, {**ref, "name": ref.get("secretName") or ref.get("name")})
    elif "configMap" in source:
        ref = source["configMap"]
        data = await data_of(context, CONFIGMAPS, ref)
    else:
        kinds = [kind for kind in source if kind != "name"]
        raise NotReady(f"the process node has no volumes of kind {', '.join(kinds)}")
    if data is None:
        return {}
    if not ref.get("items"):
        return data
    missing = [item["key"] for item in ref["items"] if item["key"] not in data]
    if missing and not ref.get("optional"):
        raise NotReady(f"references non-existent config key: {missing[0]}")
    return {item["path"]: data[item["key"]] for item in ref["items"] if item["key"] in data}


def _downward(context: PodContext, item: Obj) -> bytes:
    if "fieldRef" in item:
        return field_value(context, item["fieldRef"]["fieldPath"]).encode()
    return resource_value(context, {"name": ""}, item["resourceFieldRef"]).encode()


def _write(file: Path, content: bytes, mode: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    file.write_bytes(content)
    file.chmod(mode)
