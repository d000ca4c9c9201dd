"""Kubeconfigs: where an API server is, whom to trust there and who one is. Written by `cluster`, read by `client`."""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass
from pathlib import Path

import yaml

CONTEXT = "reasoner-local"


@dataclass(frozen=True)
class Login:
    """One user at one API server."""

    url: str
    token: str = ""
    authority: str = ""
    """The certificate that the server's must be signed by, as PEM; empty for plain HTTP."""


def write(path: Path, login: Login) -> Path:
    """Write a kubeconfig, readable by its owner alone."""
    cluster = {"server": login.url}
    if login.authority:
        cluster["certificate-authority-data"] = b64encode(login.authority.encode()).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": CONTEXT,
        "clusters": [{"name": CONTEXT, "cluster": cluster}],
        "users": [{"name": CONTEXT, "user": {"token": login.token}}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT, "namespace": "default"}}],
    }
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


def read(path: Path) -> Login:
    """What `write` wrote. Raises FileNotFoundError."""
    config = yaml.safe_load(path.read_text())
    cluster = config["clusters"][0]["cluster"]
    authority = b64decode(cluster.get("certificate-authority-data", "")).decode()
    return Login(cluster["server"], config["users"][0]["user"]["token"], authority)
