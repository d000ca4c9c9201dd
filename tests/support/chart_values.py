"""Values of the chart as its tests set them, rendered (tests/unit) and installed (tests/cluster)."""

from __future__ import annotations

from typing import Any

DIGEST = "sha256:" + "0123456789abcdef" * 4

#: Every value set to something other than its default.
ALL_VALUES: dict[str, Any] = {
    "nameOverride": "reasoner",
    "fullnameOverride": "reasoner-team-a",
    "commonLabels": {"team": "a"},
    "image": {"repository": "registry.example/operator", "tag": "1.2.3", "digest": DIGEST, "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "registry"}],
    "workloads": {
        "imagePullPolicy": "Always",
        "images": {
            name: {"repository": f"registry.example/{name}", "tag": "1.2.3", "digest": digest}
            for name, digest in (("curation", ""), ("trainer", ""), ("vllm", DIGEST))
        },
    },
    "profiles": {
        "h100x8": {
            "nodes": 4,
            "gpusPerNode": 8,
            "resources": {"requests": {"cpu": "64", "memory": "800Gi"}, "limits": {"memory": "800Gi"}},
            "nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"},
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
            "affinity": {"nodeAffinity": {}},
            "priorityClassName": "research",
            "runtimeClassName": "nvidia",
            "schedulerName": "gang-scheduler",
            "securityContext": {"capabilities": {"drop": ["ALL"], "add": ["IPC_LOCK"]}},
            "env": [{"name": "NCCL_IB_HCA", "value": "mlx5"}],
            "envFrom": [{"configMapRef": {"name": "nccl"}}],
            "volumes": [{"name": "cache", "persistentVolumeClaim": {"claimName": "cache"}}],
            "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
            "serviceAccountName": "trainer",
            "image": "registry.example/trainer:rdma",
            "imagePullSecrets": [{"name": "registry"}],
            "labels": {"team": "a"},
            "annotations": {"k8s.v1.cni.cncf.io/networks": "rdma"},
        },
        "cpu": {},
    },
    "resyncSeconds": 1000000,
    "progressSeconds": 0.5,
    "watchNamespaces": ["team-a", "123"],
    "rbac": {"create": True, "scan": False, "aggregate": False},
    "crds": {"install": True, "keep": False},
    "serviceAccount": {"create": True, "name": "reasoner", "annotations": {"example.com/role": "reasoner"}},
    "logFormat": "text",
    "healthPort": 9090,
    "extraArgs": ["--pod-access=direct"],
    "env": [{"name": "HTTPS_PROXY", "value": "http://proxy.example:3128"}],
    "resources": {"requests": {"cpu": 1, "memory": "256Mi"}},
    "podAnnotations": {"example.com/note": "operator"},
    "podLabels": {"example.com/tier": "control"},
    "podSecurityContext": {"runAsNonRoot": True, "runAsUser": 1000},
    "securityContext": {"readOnlyRootFilesystem": True},
    "terminationGracePeriodSeconds": 60,
    "priorityClassName": "system-cluster-critical",
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "control-plane", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "replicas": 2,
    "leaderElection": {"enabled": True},
    "metrics": {
        "service": {"enabled": True},
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}, "interval": "1m"},
        "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}, "interval": "1m30s"},
    },
    "networkPolicy": {"enabled": True, "from": [{"namespaceSelector": {}}], "apiServerPorts": [8443]},
    "podDisruptionBudget": {"enabled": True, "minAvailable": "50%", "maxUnavailable": ""},
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"}
    ],
}

RENDERINGS: dict[str, dict[str, Any]] = {
    "no value set": {},
    "every value set": ALL_VALUES,
    "two namespaces": {"watchNamespaces": ["team-a", "team-b"]},
    "no right at cluster level": {"watchNamespaces": ["team-a"], "rbac": {"scan": False, "aggregate": False}},
    "somebody else's roles, service account and CRDs": {
        "rbac": {"create": False, "aggregate": False},
        "serviceAccount": {"create": False},
        "crds": {"install": False},
    },
    "one replica that elects nobody": {"leaderElection": {"enabled": False}},
    "a budget by what may go": {"podDisruptionBudget": {"enabled": True}},
}
