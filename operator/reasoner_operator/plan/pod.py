"""Compute and a container's business -> a whole pod template. Called by `job` and `serving`; pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from reasoner_api.common import Compute, Storage
from reasoner_operator.naming import MAIN_CONTAINER
from reasoner_operator.seen import Object

#: Home and scratch of every pod: the root file system is read-only.
SCRATCH = "/work"
#: uid and gid of every container; nothing here needs root.
USER = 65532
USER_NAME = "reasoner"


@dataclass(frozen=True)
class Container:
    """What one container runs."""

    image: str
    command: tuple[str, ...]
    name: str = MAIN_CONTAINER
    env: tuple[Object, ...] = ()
    env_from: tuple[Object, ...] = ()
    mounts: tuple[Object, ...] = ()
    resources: Object = field(default_factory=dict)
    #: Fields of the security context, in place of the strict ones.
    security: Object = field(default_factory=dict)
    #: More fields of the container: ports, probes, termination message.
    more: Object = field(default_factory=dict)

    def manifest(self, pull_policy: str) -> Object:
        base = (
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "HOME", "value": SCRATCH},
            # Images do not know the uid: without a name PyTorch fails to name its cache of compiled kernels.
            {"name": "USER", "value": USER_NAME},
        )
        manifest: Object = {
            "name": self.name,
            "image": self.image,
            "imagePullPolicy": pull_policy,
            "command": list(self.command),
            "env": last_of_each("name", *base, *self.env),
            "envFrom": list(self.env_from),
            "resources": self.resources,
            "volumeMounts": last_of_each(
                "mountPath",
                {"name": "scratch", "mountPath": SCRATCH},
                {"name": "tmp", "mountPath": "/tmp"},
                *self.mounts,
            ),
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
                **self.security,
            },
            **self.more,
        }
        return {key: value for key, value in manifest.items() if value not in ([], {})}


@dataclass(frozen=True)
class Pod:
    """What a pod is made of, beside what `compute` says."""

    labels: dict[str, str]
    containers: tuple[Container, ...]
    init_containers: tuple[Container, ...] = ()
    annotations: dict[str, str] = field(default_factory=dict)
    volumes: tuple[Object, ...] = ()
    #: More fields of the pod's spec: restart policy, subdomain, grace period.
    more: Object = field(default_factory=dict)


def template(pod: Pod, compute: Compute, pull_policy: str) -> Object:
    """The pod template. The user's env, volumes and mounts go to the first container."""
    main, *others = pod.containers
    main = replace(
        main,
        env=(*main.env, *(compute.env or ())),
        env_from=(*main.env_from, *(compute.env_from or ())),
        mounts=(*main.mounts, *(compute.volume_mounts or ())),
        security=compute.security_context or {},
    )
    spec: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            # A shared cache of models is not walked through at each start.
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "initContainers": [item.manifest(pull_policy) for item in pod.init_containers],
        "containers": [item.manifest(pull_policy) for item in (main, *others)],
        "volumes": last_of_each(
            "name",
            {"name": "scratch", "emptyDir": {}},
            {"name": "tmp", "emptyDir": {}},
            *pod.volumes,
            *(compute.volumes or ()),
        ),
        **_placement(compute),
        **pod.more,
    }
    metadata: Object = {
        "labels": {**(compute.labels or {}), **pod.labels},
        "annotations": {**(compute.annotations or {}), **pod.annotations},
    }
    return {
        "metadata": {key: value for key, value in metadata.items() if value},
        "spec": {key: value for key, value in spec.items() if value not in ([], None)},
    }


def _placement(compute: Compute) -> Object:
    return {
        "nodeSelector": compute.node_selector,
        "tolerations": compute.tolerations,
        "affinity": compute.affinity,
        "priorityClassName": compute.priority_class_name,
        "runtimeClassName": compute.runtime_class_name,
        "schedulerName": compute.scheduler_name,
        "serviceAccountName": compute.service_account_name,
        "imagePullSecrets": last_of_each("name", *(ref.wire() for ref in compute.image_pull_secrets or ())),
    }


def last_of_each(key: str, *items: Object) -> list[Object]:
    """The items, of several with one name the last alone: the user's come after ours, the spec's after the
    profile's, and server-side apply takes a name once only."""
    last = {item.get(key): position for position, item in enumerate(items)}
    # Something without the name is for the API server to refuse.
    return [item for position, item in enumerate(items) if key not in item or last[item[key]] == position]


def credentials(storage: Storage) -> tuple[Object, ...]:
    """The object store's credentials, from the Secret that the custom resource names."""
    if storage.credentials_secret_ref is None:
        return ()
    return ({"secretRef": {"name": storage.credentials_secret_ref.name}},)
