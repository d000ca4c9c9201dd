"""kubectl as users with few rights, over TLS (kubectl sends no token without); asked for where it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reasoner_local import kubeconfig, tls
from reasoner_local.kubeconfig import Login
from support.apiserver import serving_in_thread

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")

VIEWER = "system:serviceaccount:default:viewer"
Kubectl = Callable[..., str]


@pytest.fixture(scope="module")
def login() -> Iterator[Login]:
    """The administrator of a server with RBAC."""
    served = tls.certificate("127.0.0.1")
    with serving_in_thread(admin_token="secret", tls=served.context) as url:
        yield Login(url, "secret", served.authority)


@pytest.fixture(scope="module")
def kubectl(login: Login, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    """Runs kubectl, by default as the administrator; returns what it says. `viewer` may look at `default`."""
    folder = tmp_path_factory.mktemp("kubectl")

    def run(*words: str, token: str = login.token, code: int = 0) -> str:
        file = kubeconfig.write(folder / "kubeconfig", Login(login.url, token, login.authority))
        environment = {**os.environ, "KUBECONFIG": str(file), "HOME": str(folder)}
        done = subprocess.run(["kubectl", *words], env=environment, capture_output=True, text=True, timeout=30)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    run("create", "serviceaccount", "viewer")
    run("create", "rolebinding", "viewer", "--clusterrole=view", "--serviceaccount=default:viewer")
    return run


def test_who_one_is(kubectl: Kubectl) -> None:
    assert "kubernetes-admin" in kubectl("auth", "whoami")
    token = kubectl("create", "token", "viewer").strip()
    assert VIEWER in kubectl("auth", "whoami", token=token)


def test_what_one_may(kubectl: Kubectl) -> None:
    assert kubectl("auth", "can-i", "delete", "pods") == "yes\n"
    token = kubectl("create", "token", "viewer").strip()
    assert kubectl("auth", "can-i", "list", "pods", token=token) == "yes\n"
    assert kubectl("auth", "can-i", "list", "secrets", token=token, code=1) == "no\n"
    assert kubectl("auth", "can-i", "list", "pods", "-n", "kube-system", token=token, code=1) == "no\n"
    assert kubectl("auth", "can-i", "create", "jobs.batch", f"--as={VIEWER}", code=1) == "no\n"
    listed = kubectl("auth", "can-i", "--list", token=token)
    assert any(line.startswith("pods ") and "get list watch" in line for line in listed.splitlines()), listed


def test_what_one_may_not_is_said_as_a_real_server_says_it(kubectl: Kubectl) -> None:
    token = kubectl("create", "token", "viewer").strip()
    said = kubectl("create", "configmap", "mine", token=token, code=1)
    assert f'configmaps is forbidden: User "{VIEWER}" cannot create resource "configmaps"' in said
    assert 'in API group "" in the namespace "default"' in said


def test_a_token_that_nobody_gave_is_refused(kubectl: Kubectl) -> None:
    assert "You must be logged in to the server" in kubectl("get", "pods", token="made up", code=1)


def test_a_server_that_another_authority_vouches_for_is_not_trusted(login: Login, tmp_path: Path) -> None:
    other = kubeconfig.write(tmp_path / "other", Login(login.url, login.token, tls.certificate("127.0.0.1").authority))
    environment = {**os.environ, "KUBECONFIG": str(other), "HOME": str(tmp_path)}
    done = subprocess.run(["kubectl", "get", "pods"], env=environment, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert "certificate signed by unknown authority" in done.stderr
