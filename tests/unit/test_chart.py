"""The Helm chart: what it installs, what it grants, what it refuses."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import helm_python as helm
import kubernetes_validate
import pytest
import typer
import yaml

from reasoner_api.common import Compute
from reasoner_api.crd import KINDS
from reasoner_api.task import REPORT_PORT
from reasoner_operator import cli, handlers, naming, paths
from reasoner_operator.settings import Settings, load_settings
from support.chart_values import ALL_VALUES, DIGEST, RENDERINGS
from support.helm import CHART, CRD, NAMESPACE, RELEASE, leaves, only, refusal, render, templates

ROOT = CHART.parents[1]
#: Maps that are handed on whole: their content is Kubernetes' business.
WHOLE = frozenset({"resources", "podSecurityContext", "securityContext", "nodeSelector"})
#: Others that are maps.
HANDED_ON = {"serviceAccount.annotations", "metrics.serviceMonitor.labels", "metrics.podMonitor.labels"}
#: Kinds of the Prometheus operator, which Kubernetes itself does not know.
MONITORS = ("ServiceMonitor", "PodMonitor")

READ = ["get", "list", "watch"]
MANAGE = [*READ, "create", "patch", "delete"]
PLURALS = ["curationjobs", "verifiertrainings", "grporuns"]


def rule(group: str, resources: list[str], verbs: list[str]) -> dict[str, list[str]]:
    return {"apiGroups": [group], "resources": resources, "verbs": verbs}


#: All that the operator may do where it serves custom resources.
SERVE = [
    rule("reasoner.dev", PLURALS, READ),
    rule("reasoner.dev", [f"{kind}/status" for kind in PLURALS], ["patch"]),
    rule("reasoner.dev", [f"{kind}/finalizers" for kind in PLURALS], ["update"]),
    rule("batch", ["jobs"], MANAGE),
    rule("apps", ["deployments"], MANAGE),
    rule("", ["configmaps", "services"], MANAGE),
    *(
        rule(group, [plural], [verb for verb in MANAGE if verb != "watch"])
        for group, plural in (
            ("networking.k8s.io", "networkpolicies"),
            ("policy", "poddisruptionbudgets"),
            ("autoscaling", "horizontalpodautoscalers"),
            ("keda.sh", "scaledobjects"),
        )
    ),
    rule("", ["pods"], READ),
    rule("", ["events"], ["list", "create"]),
]
SCAN_CRDS = rule("apiextensions.k8s.io", ["customresourcedefinitions"], ["list", "watch"])
SCAN_NAMESPACES = rule("", ["namespaces"], ["list", "watch"])
LEASE = [
    {**rule("coordination.k8s.io", ["leases"], ["get", "update"]), "resourceNames": [RELEASE]},
    rule("coordination.k8s.io", ["leases"], ["create"]),
]
CLUSTER_ROLE = f"{NAMESPACE}-{RELEASE}"

#: Values, and the rules that the operator's service account is bound to by them, by namespace (None: everywhere).
GRANTS: dict[str, tuple[dict[str, Any], dict[str | None, list[dict[str, list[str]]]]]] = {
    "all namespaces": ({}, {None: [*SERVE, SCAN_CRDS], NAMESPACE: LEASE}),
    "all namespaces, no scan": ({"rbac": {"scan": False}}, {None: SERVE, NAMESPACE: LEASE}),
    "no election": ({"leaderElection": {"enabled": False}}, {None: [*SERVE, SCAN_CRDS]}),
    "two namespaces": (
        {"watchNamespaces": ["a", "b"]},
        {"a": SERVE, "b": SERVE, None: [SCAN_CRDS, SCAN_NAMESPACES], NAMESPACE: LEASE},
    ),
    "two namespaces, no scan": (
        {"watchNamespaces": ["a", "b"], "rbac": {"scan": False}},
        {"a": SERVE, "b": SERVE, NAMESPACE: LEASE},
    ),
    "roles made elsewhere": ({"rbac": {"create": False}}, {}),
}

#: Wrong values, and what of them the refusal must name.
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a misspelt value": ({"watchNamespace": ["a"]}, "'watchNamespace' not allowed"),
    "a misspelt value below": ({"rbac": {"creates": True}}, "at '/rbac': additional properties 'creates'"),
    "a namespace that cannot be": ({"watchNamespaces": ["Team A"]}, "at '/watchNamespaces/0'"),
    "a namespace named twice": ({"watchNamespaces": ["a", "a"]}, "at '/watchNamespaces'"),
    "an unknown pull policy": ({"image": {"pullPolicy": "Sometimes"}}, "at '/image/pullPolicy'"),
    "an unknown image": ({"workloads": {"images": {"solver": {}}}}, "'solver' not allowed"),
    "an unknown field of a profile": ({"profiles": {"h100": {"gpus": 8}}}, "at '/profiles/h100'"),
    "too many GPUs in a profile": ({"profiles": {"h100": {"gpusPerNode": 99}}}, "at '/profiles/h100/gpusPerNode'"),
    "a profile's quantity as a number": (
        {"profiles": {"h100": {"resources": {"requests": {"cpu": 64}}}}},
        "at '/profiles/h100/resources/requests/cpu'",
    ),
    "text for a truth value": ({"crds": {"install": "no"}}, "at '/crds/install'"),
    "a tag in the digest's place": ({"image": {"digest": "v1"}}, "at '/image/digest'"),
    "a privileged port": ({"healthPort": 80}, "at '/healthPort'"),
    "an unknown log format": ({"logFormat": "logfmt"}, "at '/logFormat'"),
    "an interval without a unit": (
        {"metrics": {"podMonitor": {"interval": "30"}}},
        "at '/metrics/podMonitor/interval'",
    ),
    "a budget that is no share": (
        {"podDisruptionBudget": {"maxUnavailable": "half"}},
        "at '/podDisruptionBudget/maxUnavailable'",
    ),
    "no port of the API server": ({"networkPolicy": {"apiServerPorts": []}}, "at '/networkPolicy/apiServerPorts'"),
    "progress read without a pause": ({"progressSeconds": 0}, "at '/progressSeconds'"),
}


@pytest.mark.parametrize("version", ["1.29", "1.37"])
@pytest.mark.parametrize("values", RENDERINGS.values(), ids=RENDERINGS)
def test_every_object_is_one_that_kubernetes_knows(values: dict[str, Any], version: str) -> None:
    for item in render(values):
        if item["kind"] not in MONITORS:
            kubernetes_validate.validate(item, version, strict=True)


@pytest.mark.parametrize("values", RENDERINGS.values(), ids=RENDERINGS)
def test_helm_lint_has_nothing_to_say(values: dict[str, Any]) -> None:
    report = helm.lint(CHART, values, strict=True, kube_version="v1.29.0")
    # Severity 1 is an information; the chart has no icon.
    assert [item for item in report["messages"] if item["severity"] > 1] == []
    assert report["errors"] == []


@pytest.mark.parametrize("values", RENDERINGS.values(), ids=RENDERINGS)
def test_no_object_is_made_twice(values: dict[str, Any]) -> None:
    made = [(item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]) for item in render(values)]
    assert len(made) == len(set(made))


@pytest.mark.parametrize(("values", "expected"), GRANTS.values(), ids=GRANTS)
def test_the_operator_may_do_this_and_no_more(
    values: dict[str, Any], expected: dict[str | None, list[dict[str, list[str]]]]
) -> None:
    objects = render(values)
    account = only(objects, "ServiceAccount")["metadata"]
    granted = {}
    for binding in (item for item in objects if item["kind"] in ("RoleBinding", "ClusterRoleBinding")):
        subject = {"kind": "ServiceAccount", "name": account["name"], "namespace": NAMESPACE}
        assert binding["subjects"] == [subject]
        namespace = binding["metadata"].get("namespace")
        (role,) = (
            item
            for item in objects
            if item["kind"] == binding["roleRef"]["kind"]
            and item["metadata"]["name"] == binding["roleRef"]["name"]
            and item["metadata"].get("namespace") == namespace
        )
        granted[namespace] = role["rules"]
    assert granted == expected


def test_users_of_the_built_in_roles_get_the_custom_resources() -> None:
    objects = render()
    prefix = "rbac.authorization.k8s.io/aggregate-to-"
    found = {}
    for name in ("reasoner-view", "reasoner-edit"):
        role = only(objects, "ClusterRole", name)
        labels = {key.removeprefix(prefix) for key in role["metadata"]["labels"] if key.startswith(prefix)}
        found[name] = (labels, role["rules"])
    assert found == {
        "reasoner-view": (
            {"view", "edit", "admin", "cluster-reader"},
            [
                rule("reasoner.dev", PLURALS, READ),
                rule("reasoner.dev", [f"{kind}/status" for kind in PLURALS], ["get"]),
            ],
        ),
        "reasoner-edit": (
            {"edit", "admin"},
            [rule("reasoner.dev", PLURALS, [*READ, "create", "delete", "deletecollection", "patch", "update"])],
        ),
    }


def test_the_operator_is_granted_what_its_code_touches() -> None:
    verbs = {resource: item["verbs"] for item in SERVE for resource in item["resources"]}
    assert set(paths.PLURALS.values()) - {"leases"} == {name for name in verbs if "/" not in name}
    for _, _, plural in handlers.CHILDREN:
        assert {"list", "watch"} <= set(verbs[plural])


@pytest.mark.parametrize(("values", "expected"), REFUSED.values(), ids=REFUSED)
def test_a_wrong_value_is_refused_by_name(values: dict[str, Any], expected: str) -> None:
    assert expected in refusal(values)
    with pytest.raises(helm.HelmValuesError, match=re.escape(expected)):
        render(values)


def test_the_default_values_and_all_values_are_taken() -> None:
    assert refusal({}) == ""
    assert refusal(ALL_VALUES) == ""


def test_the_operators_pod_is_locked_down() -> None:
    deployment = only(render(), "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"name": "PYTHONSAFEPATH", "value": "1"} in container["env"]
    assert container["resources"] == {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}
    asked = {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    assert {probe: container[probe]["httpGet"] for probe in asked} == {
        probe: {"path": path, "port": "http"} for probe, path in asked.items()
    }
    assert container["ports"] == [{"name": "http", "containerPort": 8080}]


def test_replicas_agree_on_who_works_and_one_alone_may_go_without() -> None:
    def spec(values: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = only(render(values), "Deployment")["spec"]
        return found

    elected, alone = spec({"replicas": 2}), spec({"leaderElection": {"enabled": False}})
    assert (elected["replicas"], "strategy" in elected) == (2, False)
    assert f"--lease={NAMESPACE}/{RELEASE}" in elected["template"]["spec"]["containers"][0]["args"]
    (spread,) = elected["template"]["spec"]["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"] == elected["selector"]["matchLabels"]
    assert (alone["replicas"], alone["strategy"]) == (1, {"type": "Recreate"})
    assert not any("lease" in argument for argument in alone["template"]["spec"]["containers"][0]["args"])
    with pytest.raises(helm.HelmError, match=r"replicas: more than one needs leaderElection\.enabled"):
        render({"replicas": 2, "leaderElection": {"enabled": False}})


def test_the_operators_network_lets_through_what_it_needs() -> None:
    policy = only(render({"networkPolicy": {"enabled": True}}), "NetworkPolicy")["spec"]
    ports = {(port["port"], port.get("protocol")) for rule in policy["egress"] for port in rule["ports"]}
    assert ports == {(53, "UDP"), (53, "TCP"), (443, "TCP"), (6443, "TCP"), (REPORT_PORT, "TCP")}
    assert policy["ingress"] == [{"ports": [{"port": "http", "protocol": "TCP"}]}]
    progress = policy["egress"][-1]["to"][0]["podSelector"]["matchLabels"]
    assert progress.items() <= naming.labels(KINDS["GRPORun"], "demo", naming.ROLE_WORK).items()


def test_monitors_find_the_operators_metrics() -> None:
    values = {"metrics": {"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True, "labels": {"a": "b"}}}}
    objects = render(values)
    pod = only(objects, "Deployment")["spec"]["template"]
    for kind, endpoints in (("ServiceMonitor", "endpoints"), ("PodMonitor", "podMetricsEndpoints")):
        monitor = only(objects, kind)
        assert monitor["spec"][endpoints] == [{"port": "http", "path": "/metrics", "interval": "30s"}]
        assert monitor["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert only(objects, "PodMonitor")["metadata"]["labels"]["a"] == "b"
    service = only(objects, "Service")
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert (
        only(objects, "ServiceMonitor")["spec"]["selector"]["matchLabels"].items()
        <= service["metadata"]["labels"].items()
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param(
            {},
            {
                "namespace": (),
                "health_port": 8080,
                "lease": f"{NAMESPACE}/{RELEASE}",
                "scan": True,
                "log_format": "json",
                "pod_access": None,
            },
            id="default",
        ),
        pytest.param(
            ALL_VALUES,
            {
                "namespace": ("team-a", "123"),
                "health_port": 9090,
                "lease": f"{NAMESPACE}/reasoner-team-a",
                "scan": False,
                "log_format": "text",
                "pod_access": "direct",
            },
            id="all",
        ),
    ],
)
def test_the_operator_understands_its_command_line(values: dict[str, Any], expected: dict[str, Any]) -> None:
    (container,) = only(render(values), "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["reasoner"]
    name, *arguments = container["args"]
    command = typer.main.get_command(cli.app)
    parsed = command.get_command(command.make_context("reasoner", [name]), name).make_context(name, arguments).params
    assert parsed.pop("settings") == Path("/etc/reasoner-operator/settings.yaml")
    found = {key: tuple(value or ()) if key == "namespace" else value for key, value in parsed.items()}
    assert found == {"kubeconfig": None, **expected}
    assert {"name": "settings", "mountPath": "/etc/reasoner-operator", "readOnly": True} in container["volumeMounts"]


def settings_of(values: dict[str, Any], folder: Path) -> Settings:
    config_map = only(render(values), "ConfigMap")
    path = folder / "settings.yaml"
    path.write_text(config_map["data"]["settings.yaml"])
    return load_settings(path)


def test_the_default_values_are_the_operators_own_defaults(tmp_path: Path) -> None:
    assert settings_of({}, tmp_path) == Settings()


def test_the_operator_reads_the_values_as_they_were_meant(tmp_path: Path) -> None:
    assert settings_of(ALL_VALUES, tmp_path).wire() == {
        "images": {
            "curation": "registry.example/curation:1.2.3",
            "trainer": "registry.example/trainer:1.2.3",
            "vllm": f"registry.example/vllm@{DIGEST}",
        },
        "imagePullPolicy": "Always",
        "profiles": ALL_VALUES["profiles"],
        "resyncSeconds": 1000000.0,
        "progressSeconds": 0.5,
    }


def test_a_profile_has_the_fields_of_compute() -> None:
    with helm.Chart.load(CHART) as chart:
        assert chart.schema is not None
        profile = chart.schema["definitions"]["profile"]["properties"]
    # A profile names no other profile.
    assert set(profile) == set(Compute.model_json_schema()["properties"]) - {"profile"}
    assert set(profile) == set(ALL_VALUES["profiles"]["h100x8"])


def test_a_change_of_settings_restarts_the_operator_and_nothing_else_does() -> None:
    def checksum(values: dict[str, Any]) -> str:
        template = only(render(values), "Deployment")["spec"]["template"]
        return str(template["metadata"]["annotations"]["checksum/settings"])

    assert checksum({"profiles": {"cpu": {}}}) != checksum({})
    assert checksum({"rbac": {"scan": False}}) == checksum({})


def test_the_charts_crds_are_the_contracts() -> None:
    contract = {path.name: path.read_text() for path in (ROOT / "crds").glob("*.yaml")}
    copied = {path.name: path.read_text() for path in (CHART / "files/crds").glob("*.yaml")}
    assert sorted(contract) == sorted(f"{plural}.reasoner.dev.yaml" for plural in PLURALS)
    assert copied == contract


@pytest.mark.parametrize("keep", [True, False])
def test_crds_are_installed_as_they_are(keep: bool) -> None:
    installed = [item for item in render({"crds": {"keep": keep}}) if item["kind"] == CRD]
    for item in installed:
        metadata = item["metadata"]
        assert metadata.pop("labels")["app.kubernetes.io/managed-by"] == "Helm"
        assert metadata.pop("annotations", {}) == ({"helm.sh/resource-policy": "keep"} if keep else {})
    contract = [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "crds").glob("*.yaml"))]
    assert installed == contract


def test_crds_can_be_left_to_others() -> None:
    assert [item for item in render({"crds": {"install": False}}) if item["kind"] == CRD] == []


def test_each_value_is_tested_and_documented() -> None:
    defaults = sorted(leaves(yaml.safe_load((CHART / "values.yaml").read_text()), WHOLE))
    handed_on = WHOLE | {key for key in defaults if "." not in key} | HANDED_ON
    assert sorted(leaves(ALL_VALUES, frozenset(handed_on))) == defaults
    rows = re.findall(r"^\| `([\w.]+)` \| (.+?) \| (.+) \|$", (CHART / "README.md").read_text(), re.MULTILINE)
    assert sorted(path for path, _, _ in rows) == defaults
    for path, default, description in rows:
        value, comment = documented_value(path)
        assert default == ("see `values.yaml`" if path in WHOLE else f"`{shown(value)}`"), path
        assert comment.startswith(description), path


def documented_value(path: str) -> tuple[Any, str]:
    """A value's default, and what values.yaml says above it."""
    text = (CHART / "values.yaml").read_text()
    value = yaml.safe_load(text)
    comment: list[str] = []
    found: list[str] = []
    for line in text.splitlines():
        if match := re.match(r"( *)(\w+):", line):
            found[len(match[1]) // 2 :] = [match[2]]
            if ".".join(found) == path:
                break
            comment = []
        elif line.lstrip().startswith("#"):
            comment.append(line.lstrip(" #"))
        else:
            comment = []
    for key in path.split("."):
        value = value[key]
    return value, " ".join(comment)


def shown(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value)


def test_the_chart_carries_the_projects_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    with helm.Chart.load(CHART) as chart:
        assert (chart.metadata["appVersion"], chart.version) == (project["version"], project["version"])
        listed = yaml.safe_load(chart.metadata["annotations"]["artifacthub.io/crds"])
    crds = [item for item in render() if item["kind"] == CRD]
    assert {(item["name"], item["kind"], item["version"]) for item in listed} == {
        (item["metadata"]["name"], item["spec"]["names"]["kind"], item["spec"]["versions"][0]["name"]) for item in crds
    }


@pytest.mark.parametrize(
    ("release", "values", "name"),
    [
        ("reasoner-operator", {}, "reasoner-operator"),
        ("team-a", {}, "team-a-reasoner-operator"),
        ("team-a", {"nameOverride": "reasoner"}, "team-a-reasoner"),
        ("team-a", {"fullnameOverride": "reasoner"}, "reasoner"),
    ],
)
def test_names_come_from_the_release(release: str, values: dict[str, Any], name: str) -> None:
    objects = render(values, release)
    assert only(objects, "Deployment")["metadata"]["name"] == name
    assert only(objects, "ServiceAccount")["metadata"]["name"] == name
    assert only(objects, "ClusterRoleBinding")["metadata"]["name"] == f"{NAMESPACE}-{name}"


def test_the_package_installs_the_same(tmp_path: Path) -> None:
    archive = Path(helm.package(CHART, destination=tmp_path))
    with helm.Chart.load(CHART) as chart:
        assert archive.name == f"reasoner-operator-{chart.version}.tgz"
    assert render(chart=archive) == render()


def test_the_notes_say_what_to_do_next() -> None:
    def notes(values: dict[str, Any]) -> str:
        return templates(values)[f"{CHART.name}/templates/NOTES.txt"]

    assert f"kubectl -n {NAMESPACE} rollout status deployment/{RELEASE}" in notes({})
    assert "kubectl apply -f crds/samples/" in notes({})
    assert "kubectl -n team-a get reasoner" in notes({"watchNamespaces": ["team-a"]})
    assert "kubectl apply --server-side -f crds/" in notes({"crds": {"install": False}})
    assert "helm uninstall` stops the operator and keeps the CRDs" in notes({})
    assert "helm uninstall` removes the CRDs" in notes({"crds": {"keep": False}})
