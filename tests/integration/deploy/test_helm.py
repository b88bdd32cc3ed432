"""The chart through the real Helm library: linted, rendered, valid objects, least rights."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from portal.cloud import kube, kube_project
from portal.cloud.kube_permissions import APPLY, EXECUTOR

helm = pytest.importorskip("helm_python")
chart_module = pytest.importorskip("helm_python.chart")
kubernetes_validate = pytest.importorskip("kubernetes_validate")

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "deploy/helm/hekatoncheir"
VALUES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "bare": {
        "ingress": {"enabled": False},
        "networkPolicy": {"enabled": False},
        "rbac": {"create": False},
    },
    "full": {
        "image": {"repository": "r.example.com/hk", "digest": "sha256:" + "a" * 64},
        "imagePullSecrets": [{"name": "pull"}],
        "settings": {"PORTAL_LOG_LEVEL": "DEBUG", "PORTAL_SIGN_IN_DOMAINS": "example.com"},
        "serviceAccount": {"annotations": {"iam.gke.io/gcp-service-account": "p@x.example"}},
        "ingress": {"tlsSecret": "tls", "annotations": {"a.example/b": "c"}},
        "hosts": ["a.example.com", "b.example.com"],
    },
}


def rendered(values: dict[str, Any]) -> list[dict[str, Any]]:
    files = chart_module.Chart.load(str(CHART)).render(values, name="hk", namespace="portal")
    return [
        document
        for name, text in files.items()
        if name.endswith(".yaml")
        for document in yaml.safe_load_all(text)
        if document
    ]


def of_kind(objects: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [o for o in objects if o["kind"] == kind]


def pods(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [o["spec"]["template"] for o in objects if o["kind"] in ("Deployment", "Job")]


@pytest.mark.parametrize("name", VALUES)
def test_lint_is_clean(name: str) -> None:
    found = chart_module.lint(str(CHART), VALUES[name], strict=True)
    bad = [m for m in found.get("messages") or [] if "icon is recommended" not in str(m)]
    assert bad == []


@pytest.mark.parametrize("name", VALUES)
def test_every_object_is_valid(name: str) -> None:
    objects = rendered(VALUES[name])
    assert len(objects) > 8
    for item in objects:
        kubernetes_validate.validate(item, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("name", VALUES)
def test_pods_are_restricted(name: str) -> None:
    found = pods(rendered(VALUES[name]))
    assert len(found) == 4
    for pod in found:
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            confined = container["securityContext"]
            assert confined["allowPrivilegeEscalation"] is False
            assert confined["readOnlyRootFilesystem"] is True
            assert confined["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["requests"]
            assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"url": "http://portal.example.com"}, "url"),
        ({"hosts": []}, "hosts"),
        ({"image": {"digest": "sha256:short"}}, "digest"),
        ({"replicas": 3}, "replicas"),
        ({"settings": {"DATABASE_URL": "mysql://u:p@h/d"}}, "invalid propertyName"),
    ],
)
def test_wrong_values_are_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(Exception, match=words):
        chart_module.Chart.load(str(CHART)).validate_schema(
            chart_module.Chart.load(str(CHART)).merge_values(values)
        )


def test_settings_of_the_chart_are_read_by_the_portal() -> None:
    text = (ROOT / "portal/settings.py").read_text()
    known = set(re.findall(r'env\.\w+\(\s*"([A-Z0-9_]+)"', text))
    demanded = {"PORTAL_HOSTS"} | set(re.findall(r'env\.required\(\s*"([A-Z_]+)"', text))
    objects = rendered({})
    config = next(o for o in of_kind(objects, "ConfigMap") if o["metadata"]["name"] == "hk")
    for pod in pods(objects):
        own = {item["name"] for item in pod["spec"]["containers"][0]["env"]}
        names = own | {name for name in config["data"] if name.isupper()}
        assert names - known == set()
        assert demanded - names == set()
    assert set(yaml.safe_load(config["data"]["backends.yaml"])) <= {
        "executor", "executors", "builder", "builders", "backend", "backends", "storage"
    }  # fmt: skip


def test_web_is_probed_and_survives_disruptions() -> None:
    objects = rendered({})
    web = next(o for o in of_kind(objects, "Deployment") if o["metadata"]["name"] == "hk-web")
    container = web["spec"]["template"]["spec"]["containers"][0]
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    targets = {
        o["spec"]["scaleTargetRef"]["name"] for o in of_kind(objects, "HorizontalPodAutoscaler")
    }
    assert targets == {"hk-web", "hk-worker"}
    assert len(of_kind(objects, "PodDisruptionBudget")) == 2
    scheduler = next(
        o for o in of_kind(objects, "Deployment") if o["metadata"]["name"] == "hk-scheduler"
    )
    assert scheduler["spec"]["replicas"] == 1


def test_cluster_role_is_exactly_the_table() -> None:
    (role,) = of_kind(rendered({}), "ClusterRole")
    granted = {
        (group, resource): tuple(sorted(rule["verbs"]))
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert granted == {(r.group, r.plural): tuple(sorted(v)) for r, v in EXECUTOR.items()}
    assert of_kind(rendered(VALUES["bare"]), "ClusterRole") == []


def test_table_is_exactly_what_the_executor_calls() -> None:
    """Calls with a kind by name are read from the source; those of a project's space are made."""
    verbs = {"get": ("get",), "find": ("get",), "list": ("list",), "create": ("create",),
             "apply": APPLY, "merge": ("patch",), "delete": ("delete",), "watch": ("watch",)}  # fmt: skip
    needed: dict[kube.Resource, set[str]] = {}
    for path in (ROOT / "pipelines/executors/kubernetes").glob("*.py"):
        for method, kind in re.findall(r"\bapi\.(\w+)\(\s*kube\.([A-Z_]+)", path.read_text()):
            needed.setdefault(getattr(kube, kind), set()).update(verbs[method])
    space = kube_project.read_space({"quota": {"cpu": "1"}})
    for resource, _ in kube_project.objects(space, "acme", "wine"):
        needed.setdefault(resource, set()).update(APPLY)
    assert {r: tuple(sorted(v)) for r, v in needed.items()} == EXECUTOR
