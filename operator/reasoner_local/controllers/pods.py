"""Making pods from templates. Used by the Job and ReplicaSet controllers; pure but for the random suffix."""

from __future__ import annotations

import copy
import random

from reasoner_local.client import Obj, Resource
from reasoner_local.informer import owner_ref

#: No vowels and no look-alikes, as in Kubernetes.
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_NAME_LIMIT = 63


def with_suffix(base: str) -> str:
    """A name with five random letters behind it."""
    return base[: _NAME_LIMIT - 5] + "".join(random.choices(_ALPHABET, k=5))


def encoded(number: int) -> str:
    """A number as a name-safe hash of up to ten letters."""
    letters = ""
    while number and len(letters) < 10:
        number, rest = divmod(number, len(_ALPHABET))
        letters += _ALPHABET[rest]
    return letters


def pod_from(kind: Resource, owner: Obj, prefix: str) -> Obj:
    """A pod made from the owner's template and controlled by it, named `<prefix><five letters>`."""
    template = copy.deepcopy(owner["spec"]["template"])
    meta = template.get("metadata") or {}
    return {
        "metadata": {
            "name": with_suffix(prefix),
            "generateName": prefix,
            "namespace": owner["metadata"]["namespace"],
            "labels": dict(meta.get("labels") or {}),
            "annotations": dict(meta.get("annotations") or {}),
            "ownerReferences": [owner_ref(kind, owner)],
        },
        "spec": template["spec"],
    }
