"""The objects of one attempt. Pure.

Source: Kubernetes API reference for batch/v1 Job and core/v1; pods meet the
`restricted` Pod Security Standard (https://kubernetes.io/docs/concepts/security/pod-security-standards/).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from pipelines.executors.base import AttemptSpec
from pipelines.executors.kubernetes.options import Options
from pipelines.executors.remote.job import COMMAND, JOB_PATH, RUNNER_FOLDER, WRITABLE
from portal.cloud.kube_project import LABEL, MANAGED_BY, ResourceClass, dns_label, owner_labels

Object = dict[str, Any]
CONTAINER = "step"


def job_name(uid: str) -> str:
    """The name of everything that belongs to an attempt."""
    return f"hk-{uid.lower()}"


def labels_of(spec: AttemptSpec) -> dict[str, str]:
    return {
        **owner_labels(spec.team, spec.project),
        "app.kubernetes.io/component": "attempt",
        f"{LABEL}/attempt": spec.uid.lower(),
        f"{LABEL}/run": spec.run_uid.lower(),
        f"{LABEL}/step": dns_label(spec.step),
    }


def attempt_secret(spec: AttemptSpec, document: Object, values: Mapping[str, str]) -> Object:
    """The runner's job document and the project secrets of this attempt; owned by the Job."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": job_name(spec.uid), "labels": labels_of(spec)},
        "type": "Opaque",
        "stringData": {
            "job.json": json.dumps(document),
            **{f"secret.{name}": value for name, value in values.items()},
        },
    }


def runner_config_map(files: Mapping[str, str]) -> Object:
    """The runner itself; named by its content, so that a running Job keeps its own version."""
    digest = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:10]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": f"hekaton-runner-{digest}",
            "labels": MANAGED_BY,
        },
        "data": dict(files),
        "immutable": True,
    }


def job(spec: AttemptSpec, options: Options, *, runner: str) -> Object:
    """The Job of one attempt: one pod, never restarted; `runner` names the ConfigMap."""
    kind = options.classes.get(spec.resources.resource_class, ResourceClass())
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(spec.uid),
            "labels": labels_of(spec),
            "annotations": {f"{LABEL}/run-number": str(spec.run_number)},
        },
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "activeDeadlineSeconds": math.ceil(
                options.start_timeout_s + spec.timeout_s + spec.grace_s + 60
            ),
            "podReplacementPolicy": "Failed",
            "template": {
                "metadata": {
                    "labels": labels_of(spec),
                    "annotations": {
                        "sidecar.istio.io/inject": "false",
                        "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
                    },
                },
                "spec": _pod(spec, options, kind, runner),
            },
        },
    }


def _pod(spec: AttemptSpec, options: Options, kind: ResourceClass, runner: str) -> Object:
    pod: Object = {
        "restartPolicy": "Never",
        "serviceAccountName": options.space.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": math.ceil(spec.grace_s) + 20,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": options.run_as_user,
            "runAsGroup": options.run_as_user,
            "fsGroup": options.run_as_user,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(spec, options, kind)],
        "volumes": [
            {"name": "runner", "configMap": {"name": runner}},
            {
                "name": "job",
                "secret": {
                    "secretName": job_name(spec.uid),
                    "items": [{"key": "job.json", "path": "job.json"}],
                },
            },
            *({"name": _volume(path), "emptyDir": {}} for path in _writable(spec)),
        ],
    }
    if kind.node_selector:
        pod["nodeSelector"] = dict(kind.node_selector)
    if kind.tolerations:
        pod["tolerations"] = [dict(t) for t in kind.tolerations]
    if kind.priority_class:
        pod["priorityClassName"] = kind.priority_class
    if options.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in options.image_pull_secrets]
    return pod


def _container(spec: AttemptSpec, options: Options, kind: ResourceClass) -> Object:
    amount = {
        "cpu": f"{spec.resources.cpu_m}m",
        "memory": str(spec.resources.memory_bytes),
    }
    if spec.resources.gpu:
        amount[kind.gpu_resource] = str(spec.resources.gpu)
    folder = JOB_PATH.rpartition("/")[0]
    return {
        "name": CONTAINER,
        "image": spec.environment.image or options.image,
        "imagePullPolicy": "IfNotPresent",
        "command": list(COMMAND),
        "workingDir": "/",
        "env": [
            {
                "name": name,
                "valueFrom": {
                    "secretKeyRef": {"name": job_name(spec.uid), "key": f"secret.{name}"}
                },
            }
            for name in sorted(spec.secrets)
        ],
        "resources": {"requests": amount, "limits": amount},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "runner", "mountPath": RUNNER_FOLDER, "readOnly": True},
            {"name": "job", "mountPath": folder, "readOnly": True},
            *({"name": _volume(path), "mountPath": path} for path in _writable(spec)),
        ],
    }


def _writable(spec: AttemptSpec) -> tuple[str, ...]:
    """Where the image brings an environment it stays read-only; otherwise the runner makes it."""
    return WRITABLE if spec.environment.image else ("/opt/hekaton/env", *WRITABLE)


def _volume(path: str) -> str:
    return path.strip("/").replace("/", "-")
