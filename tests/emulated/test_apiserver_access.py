"""Authentication and authorization: tokens, RBAC, impersonation and what clients may ask about them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from reasoner_api.crd import KINDS, custom_resource_definition
from reasoner_local import permissions
from reasoner_local.apiserver import ApiServer
from reasoner_local.client import CLUSTER_ROLES, Client, Resource
from reasoner_local.client import CRDS as CRD
from reasoner_local.kubeconfig import Login
from reasoner_operator.answers import ApiError
from reasoner_operator.cluster import Access, Cluster
from reasoner_operator.reconcile import Reconciler
from reasoner_operator.seen import Key
from reasoner_operator.settings import Settings
from support import helm
from support.apiserver import CRDS, write_kubeconfig
from support.objects import SPECS

ADMIN = "admin"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
DEFAULT = "/api/v1/namespaces/default"
JOBS = "/apis/batch/v1/namespaces/default/jobs"
CURATION = Resource("reasoner.dev", "v1alpha1", "curationjobs", "CurationJob")
PEER = "system:serviceaccount:default:peer"


class Server:
    """An API server that knows its users, and requests by the name of who sends them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.tokens = {"admin": ADMIN}
        self._http = httpx.AsyncClient(base_url=url)

    async def call(self, who: str, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """`who` is a key of `tokens`; nobody in particular when it is empty."""
        if who:
            headers["Authorization"] = f"Bearer {self.tokens[who]}"
        kind = headers.pop("kind", "application/json")
        return await self._http.request(method, path, json=body, headers={"Content-Type": kind, **headers})

    async def make(self, path: str, body: dict[str, Any]) -> None:
        answer = await self.call("admin", "POST", path, body)
        assert answer.status_code == 201, answer.text

    async def account(self, name: str) -> None:
        """Make a service account in `default`; its token is known by its name."""
        await self.make(f"{DEFAULT}/serviceaccounts", {"metadata": {"name": name}})
        answer = await self.call("admin", "POST", f"{DEFAULT}/serviceaccounts/{name}/token", {"spec": {}})
        assert answer.status_code == 201, answer.text
        self.tokens[name] = answer.json()["status"]["token"]

    async def grant(self, name: str, *rules: dict[str, Any], kind: str = "Role") -> None:
        """Grant rules to the account `peer`: in `default` by a Role, everywhere by a ClusterRole."""
        where = f"{RBAC}/namespaces/default" if kind == "Role" else RBAC
        roles, bindings = (f"{where}/{kind.lower()}s", f"{where}/{kind.lower()}bindings")
        await self.make(roles, {"metadata": {"name": name}, "rules": list(rules)})
        subject = {"kind": "ServiceAccount", "name": "peer", "namespace": "default"}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}
        await self.make(bindings, {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]})

    async def close(self) -> None:
        await self._http.aclose()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    embedded = ApiServer(admin_token=ADMIN)
    made = Server(await embedded.start())
    await made.account("peer")
    yield made
    await made.close()
    await embedded.stop()


def rule(resources: str, verbs: str, group: str = "", **more: Any) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": resources.split(), "verbs": verbs.split(), **more}


async def test_a_token_that_nobody_knows_is_unauthorized(server: Server) -> None:
    server.tokens["stranger"] = "made up"
    answer = await server.call("stranger", "GET", f"{DEFAULT}/configmaps")
    assert answer.status_code == 401
    assert answer.json()["reason"] == answer.json()["message"] == "Unauthorized"


async def test_without_a_token_health_and_version_are_open_and_nothing_else(server: Server) -> None:
    for path in ("/healthz", "/readyz", "/version"):
        assert (await server.call("", "GET", path)).status_code == 200, path
    answer = await server.call("", "GET", "/apis")
    assert answer.status_code == 403
    assert answer.json()["message"] == 'forbidden: User "system:anonymous" cannot get path "/apis"'


async def test_with_a_token_discovery_is_open(server: Server) -> None:
    for path in ("/api", "/apis", "/apis/batch/v1", "/openapi/v3"):
        assert (await server.call("peer", "GET", path)).status_code == 200, path


REFUSALS = {
    "a list": (
        "GET", f"{DEFAULT}/configmaps",
        'configmaps is forbidden: User "system:serviceaccount:default:peer" cannot list resource "configmaps" '
        'in API group "" in the namespace "default"',
    ),
    "one object": (
        "GET", f"{JOBS}/train",
        'jobs.batch "train" is forbidden: User "system:serviceaccount:default:peer" cannot get resource "jobs" '
        'in API group "batch" in the namespace "default"',
    ),
    "a subresource": (
        "PATCH", f"{JOBS}/train/status",
        'jobs.batch "train" is forbidden: User "system:serviceaccount:default:peer" cannot patch resource '
        '"jobs/status" in API group "batch" in the namespace "default"',
    ),
    "something of the whole cluster": (
        "DELETE", "/api/v1/nodes/local",
        'nodes "local" is forbidden: User "system:serviceaccount:default:peer" cannot delete resource "nodes" '
        'in API group "" at the cluster scope',
    ),
    "all namespaces": (
        "GET", "/api/v1/pods?watch=true",
        'pods is forbidden: User "system:serviceaccount:default:peer" cannot watch resource "pods" '
        'in API group "" at the cluster scope',
    ),
    "many at once": (
        "DELETE", f"{DEFAULT}/pods",
        'pods is forbidden: User "system:serviceaccount:default:peer" cannot deletecollection resource "pods" '
        'in API group "" in the namespace "default"',
    ),
    "a kind that there is not": (
        "GET", "/apis/example.com/v1/widgets",
        'widgets.example.com is forbidden: User "system:serviceaccount:default:peer" cannot list resource "widgets" '
        'in API group "example.com" at the cluster scope',
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
async def test_what_nothing_grants_is_forbidden_in_the_words_of_a_real_server(server: Server, case: str) -> None:
    method, path, message = REFUSALS[case]
    answer = await server.call("peer", method, path)
    assert (answer.status_code, answer.json()["reason"]) == (403, "Forbidden")
    assert answer.json()["message"] == message


GRANTED = {
    "the verb that a rule names": (rule("configmaps", "list"), "GET", f"{DEFAULT}/configmaps", True),
    "another verb": (rule("configmaps", "list"), "DELETE", f"{DEFAULT}/configmaps/a", False),
    "every verb": (rule("configmaps", "*"), "DELETE", f"{DEFAULT}/configmaps/a", True),
    "every resource of the group": (rule("*", "list"), "GET", f"{DEFAULT}/pods", True),
    "a resource of another group": (rule("*", "list"), "GET", JOBS, False),
    "every group": (rule("jobs", "list", "*"), "GET", JOBS, True),
    "a resource, but not its subresource": (rule("jobs", "get", "batch"), "GET", f"{JOBS}/a/status", False),
    "a subresource, but not its resource": (rule("jobs/status", "get", "batch"), "GET", f"{JOBS}/a", False),
    "a subresource by name": (rule("jobs/status", "get", "batch"), "GET", f"{JOBS}/a/status", True),
    "a subresource of all": (rule("*/status", "get", "batch"), "GET", f"{JOBS}/a/status", True),
    "an object by name": (rule("configmaps", "get", resourceNames=["a"]), "GET", f"{DEFAULT}/configmaps/a", True),
    "an object of another name": (
        rule("configmaps", "get", resourceNames=["a"]), "GET", f"{DEFAULT}/configmaps/b", False,
    ),
    "a list by a name in the field selector": (
        rule("configmaps", "list", resourceNames=["a"]), "GET",
        f"{DEFAULT}/configmaps?fieldSelector=metadata.name=a", True,
    ),
    "a list of all where one name is granted": (
        rule("configmaps", "list", resourceNames=["a"]), "GET", f"{DEFAULT}/configmaps", False,
    ),
    "another namespace": (rule("configmaps", "list"), "GET", "/api/v1/namespaces/kube-system/configmaps", False),
    "all namespaces": (rule("configmaps", "list"), "GET", "/api/v1/configmaps", False),
}  # fmt: skip


@pytest.mark.parametrize("case", GRANTED)
async def test_a_role_grants_in_its_namespace(server: Server, case: str) -> None:
    granted, method, path, allowed = GRANTED[case]
    await server.grant("some", granted)
    answer = await server.call("peer", method, path)
    assert answer.status_code in ((200, 404) if allowed else (403,))


async def test_a_cluster_role_grants_everywhere_or_where_it_is_bound(server: Server) -> None:
    await server.grant("read", rule("configmaps", "list"), kind="ClusterRole")
    for path in ("/api/v1/configmaps", "/api/v1/namespaces/kube-system/configmaps"):
        assert (await server.call("peer", "GET", path)).status_code == 200


async def test_what_is_taken_away_is_gone_at_once(server: Server) -> None:
    await server.grant("some", rule("configmaps", "list"))
    assert (await server.call("peer", "GET", f"{DEFAULT}/configmaps")).status_code == 200
    await server.call("admin", "DELETE", f"{RBAC}/namespaces/default/rolebindings/some")
    assert (await server.call("peer", "GET", f"{DEFAULT}/configmaps")).status_code == 403


async def test_an_apply_that_creates_needs_the_right_to_create(server: Server) -> None:
    path, body = f"{DEFAULT}/configmaps/a?fieldManager=me", {"apiVersion": "v1", "kind": "ConfigMap"}
    await server.grant("some", rule("configmaps", "get patch"))
    answer = await server.call("peer", "PATCH", path, body, kind="application/apply-patch+yaml")
    assert answer.status_code == 403
    assert "cannot create resource" in answer.json()["message"]
    await server.make(f"{DEFAULT}/configmaps", {"metadata": {"name": "a"}})
    answer = await server.call("peer", "PATCH", path, body, kind="application/apply-patch+yaml")
    assert answer.status_code == 200


async def test_the_roles_of_a_team_grow_with_what_aggregates_to_them(server: Server) -> None:
    subject = {"kind": "ServiceAccount", "name": "peer", "namespace": "default"}
    view = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    binding = {"metadata": {"name": "team"}, "roleRef": view, "subjects": [subject]}
    await server.make(f"{RBAC}/namespaces/default/rolebindings", binding)
    assert (await server.call("peer", "GET", f"{DEFAULT}/pods")).status_code == 200
    assert (await server.call("peer", "GET", f"{DEFAULT}/secrets")).status_code == 403
    path = "/apis/reasoner.dev/v1alpha1/namespaces/default/grporuns"
    assert (await server.call("peer", "GET", path)).status_code == 403
    await server.make(CRDS, custom_resource_definition(KINDS["GRPORun"]))
    for role in helm.render():
        if role["kind"] == "ClusterRole" and "aggregate-to-view" in str(role["metadata"]["labels"]):
            await server.make(f"{RBAC}/clusterroles", role)
    assert (await server.call("peer", "GET", path)).status_code == 200


async def test_a_token_ends_with_its_account(server: Server) -> None:
    who = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    answer = await server.call("peer", "POST", who, {})
    assert answer.json()["status"]["userInfo"]["username"] == PEER
    await server.call("admin", "DELETE", f"{DEFAULT}/serviceaccounts/peer")
    await server.make(f"{DEFAULT}/serviceaccounts", {"metadata": {"name": "peer"}})
    assert (await server.call("peer", "POST", who, {})).status_code == 401


async def test_a_token_that_would_live_too_briefly_is_refused(server: Server) -> None:
    body = {"spec": {"expirationSeconds": 5}}
    answer = await server.call("admin", "POST", f"{DEFAULT}/serviceaccounts/peer/token", body)
    assert answer.status_code == 422
    assert "may not specify a duration less than 10 minutes" in answer.json()["message"]


async def test_reviews_say_what_requests_would(server: Server) -> None:
    await server.grant("some", rule("configmaps", "list"))
    attributes = {"verb": "list", "resource": "configmaps", "namespace": "default"}
    for kind, who, more in (
        ("selfsubjectaccessreviews", "peer", {}),
        ("subjectaccessreviews", "admin", {"user": PEER, "groups": ["system:serviceaccounts"]}),
    ):
        for verb, allowed in (("list", True), ("delete", False)):
            body = {"spec": {"resourceAttributes": {**attributes, "verb": verb}, **more}}
            answer = await server.call(who, "POST", f"/apis/authorization.k8s.io/v1/{kind}", body)
            assert answer.json()["status"]["allowed"] is allowed, (kind, verb)
    body = {"spec": {"namespace": "default"}}
    answer = await server.call("peer", "POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", body)
    assert rule("configmaps", "list") in answer.json()["status"]["resourceRules"]


async def test_a_token_review_tells_whose_it_is(server: Server) -> None:
    path = "/apis/authentication.k8s.io/v1/tokenreviews"
    answer = await server.call("admin", "POST", path, {"spec": {"token": server.tokens["peer"]}})
    assert answer.json()["status"]["user"]["username"] == PEER
    answer = await server.call("admin", "POST", path, {"spec": {"token": "made up"}})
    assert answer.json()["status"]["authenticated"] is False


async def test_who_may_impersonate_acts_as_the_other(server: Server) -> None:
    answer = await server.call("admin", "GET", f"{DEFAULT}/secrets", **{"Impersonate-User": PEER})
    assert f'User "{PEER}" cannot list' in answer.json()["message"]
    answer = await server.call("peer", "GET", f"{DEFAULT}/secrets", **{"Impersonate-User": "kubernetes-admin"})
    assert 'users "kubernetes-admin" is forbidden' in answer.json()["message"]
    assert "cannot impersonate" in answer.json()["message"]


async def test_what_a_binding_refers_to_may_not_change(server: Server) -> None:
    await server.grant("some", rule("configmaps", "list"))
    path = f"{RBAC}/namespaces/default/rolebindings/some"
    body = {"roleRef": {"name": "other"}}
    answer = await server.call("admin", "PATCH", path, body, kind="application/merge-patch+json")
    assert answer.status_code == 422
    assert "cannot change roleRef" in answer.json()["message"]


# What the chart grants, and that the operator needs all of it that it uses.


def test_the_chart_grants_what_the_embedded_cluster_does() -> None:
    rendered = helm.only(helm.render(), "ClusterRole", f"{helm.NAMESPACE}-{helm.RELEASE}")
    assert rendered["rules"] == permissions.rules()


NEEDED = {
    "the right to make Jobs": ("jobs", "create", "jobs.batch"),
    "the right to make ConfigMaps": ("configmaps", "create", "configmaps"),
    "the right to write a status": ("curationjobs/status", "patch", "curationjobs.reasoner.dev"),
    "the right to see Pods": ("pods", "list", "pods"),
}


@pytest.mark.parametrize("case", NEEDED)
async def test_the_operator_without_one_of_its_rights_says_which_it_lacks(case: str, tmp_path: Path) -> None:
    resource, verb, named = NEEDED[case]
    rules = [
        {**one, "verbs": [each for each in one["verbs"] if each != verb]} if resource in one["resources"] else one
        for one in permissions.rules()
    ]
    server = ApiServer(admin_token=ADMIN)
    url = await server.start()
    async with Client(Login(url, ADMIN)) as admin:
        own = write_kubeconfig(tmp_path / "own", url, await permissions.grant(admin))
        await admin.apply(CLUSTER_ROLES, {"metadata": {"name": permissions.NAME}, "rules": rules})
        async with Cluster(Access(kubeconfig=write_kubeconfig(tmp_path / "admin", url, ADMIN))) as cluster:
            await admin.apply(CRD, custom_resource_definition(KINDS["CurationJob"]))
            meta = {"name": "demo", "namespace": "default"}
            kind = {"apiVersion": "reasoner.dev/v1alpha1", "kind": "CurationJob"}
            await cluster.apply({**kind, "metadata": meta, "spec": SPECS["CurationJob"]})
        async with Cluster(Access(kubeconfig=own)) as cluster:
            said = await _said(Reconciler(cluster, Settings()), admin)
    await server.stop()
    assert f"cannot {verb} resource" in said
    assert named in said


async def _said(reconciler: Reconciler, admin: Client) -> str:
    """What the operator says of the object: in its status, or where that may not be written, in its log."""
    try:
        await reconciler.reconcile(Key("CurationJob", "default", "demo"))
    except ApiError as error:
        return str(error)
    found = await admin.get(CURATION, "default", "demo")
    return yaml.safe_dump(found["status"], width=10_000)
