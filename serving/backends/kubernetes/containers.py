"""The pod of one revision, the same under Knative and under a plain Deployment. Pure.

Pods meet the `restricted` Pod Security Standard. The container contract is Knative's and Cloud
Run's: the server listens on $PORT.
"""

from __future__ import annotations

from typing import Any

from portal.cloud.kube_project import ResourceClass
from serving.backends.base import EndpointSpec, RevisionSpec
from serving.backends.kubernetes.options import Options

Object = dict[str, Any]
CONTAINER = "model"


def secret(name: str, labels: dict[str, str], values: dict[str, str]) -> Object:
    """A revision's secrets; immutable like the revision."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "labels": labels},
        "type": "Opaque",
        "immutable": True,
        "stringData": values,
    }


def pod_spec(
    endpoint: EndpointSpec,
    revision: RevisionSpec,
    options: Options,
    *,
    secret_name: str,
    knative: bool,
) -> Object:
    """`knative`: $PORT is set by Knative and may not be set by us; scratch is size-limited."""
    kind = options.classes.get(revision.resources.resource_class, ResourceClass())
    pod: Object = {
        "serviceAccountName": options.space.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "containers": [_container(endpoint, revision, options, kind, secret_name, knative)],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    if options.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in options.image_pull_secrets]
    if kind.node_selector:
        pod["nodeSelector"] = dict(kind.node_selector)
    if kind.tolerations:
        pod["tolerations"] = [dict(t) for t in kind.tolerations]
    if kind.priority_class:
        pod["priorityClassName"] = kind.priority_class
    return pod


def _container(
    endpoint: EndpointSpec,
    revision: RevisionSpec,
    options: Options,
    kind: ResourceClass,
    secret_name: str,
    knative: bool,
) -> Object:
    amount = {
        "cpu": f"{revision.resources.cpu_m}m",
        "memory": str(revision.resources.memory_bytes),
    }
    if revision.resources.gpu:
        amount[kind.gpu_resource] = str(revision.resources.gpu)
    container: Object = {
        "name": CONTAINER,
        "image": revision.image.reference,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/sh", "-c", revision.command],
        "env": _env(endpoint, revision, options, secret_name, knative),
        "resources": {"requests": amount, "limits": amount},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "runAsNonRoot": True,
            "runAsUser": options.run_as_user,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - the container's own
        **_probes(revision, options, knative),
    }
    if knative:
        container["ports"] = [{"containerPort": options.port}]
    else:
        container["ports"] = [{"name": "http", "containerPort": options.port}]
    return container


def _env(
    endpoint: EndpointSpec,
    revision: RevisionSpec,
    options: Options,
    secret_name: str,
    knative: bool,
) -> list[Object]:
    given = {
        "HOME": "/tmp",  # noqa: S108 - the container's own
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "HEKATON_MODEL_DIR": "/opt/hekaton/model",
        "HEKATON_ENDPOINT": endpoint.name,
        "HEKATON_REVISION": revision.name,
        **revision.env,
    }
    if not knative:
        given["PORT"] = str(options.port)
    plain: list[Object] = [{"name": name, "value": value} for name, value in sorted(given.items())]
    secrets: list[Object] = [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": secret_name, "key": name}}}
        for name in sorted(revision.secrets)
    ]
    return plain + secrets


def _probes(revision: RevisionSpec, options: Options, knative: bool) -> Object:
    """Knative fills in its own port, and probes aggressively at start by itself."""
    get: Object = {"path": revision.probe.path}
    if not knative:
        get["port"] = options.port
    ready: Object = {
        "httpGet": get,
        "timeoutSeconds": max(1, round(revision.probe.timeout_s)),
        "periodSeconds": max(1, round(revision.probe.period_s)),
        "failureThreshold": 3,
        "successThreshold": 1,
    }
    if knative:
        return {"readinessProbe": {**ready, "periodSeconds": 1}}
    starting = {
        **ready,
        "periodSeconds": 1,
        "failureThreshold": max(1, round(revision.probe.startup_s)),
    }
    return {"readinessProbe": ready, "livenessProbe": ready, "startupProbe": starting}
