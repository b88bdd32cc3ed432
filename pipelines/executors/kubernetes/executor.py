"""Attempts as Kubernetes Jobs.

Everything of an attempt is named `hk-<uid>`: create or adopt needs no memory. Code, data and
outputs go through the object store with grants of least right (`portal.core.object_access`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from pipelines.executors.base import (
    AttemptSpec,
    Capabilities,
    Handle,
    Observation,
    Outputs,
)
from pipelines.executors.kubernetes import diagnosis, manifests
from pipelines.executors.kubernetes.options import read_options
from pipelines.executors.metrics import parse_metrics
from pipelines.executors.remote import job as remote
from portal.cloud import kube
from portal.cloud.kube_project import LABEL, Spaces
from portal.core import crypto
from portal.core.errors import AdapterError, PermanentError, TransientError

log = logging.getLogger(__name__)
ATTEMPT = f"{LABEL}/attempt"


class KubernetesExecutor:
    """`cluster` holds the keys of `portal.cloud.kube.Cluster`; the rest are `options.Options`."""

    def __init__(
        self, *, name: str = "kubernetes", cluster: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        self.name = name
        self.options = read_options(options)
        self.cluster = kube.Cluster(**(cluster or {}))
        self.spaces = Spaces(self.options.space)

    @property
    def api(self) -> kube.KubeApi:
        return kube.kube_api(self.cluster)

    def capabilities(self) -> Capabilities:
        unavailable = None
        try:
            self.api.version()
        except AdapterError as error:
            unavailable = error.message
        if not self.options.objects_url:
            unavailable = "The Kubernetes executor needs `objects_url`: the portal's /objects as pods reach it."
        limits = {
            "cpu_m": self.options.max_cpu_m,
            "memory_bytes": self.options.max_memory_bytes,
            "gpu": self.options.max_gpu,
        }
        return Capabilities(
            name=self.name,
            isolation="One pod an attempt: non-root, read-only root, no service-account token, "
            "default seccomp, no capabilities, no incoming connections.",
            limits={name: most for name, most in limits.items() if most or name == "gpu"},
            unavailable=unavailable,
        )

    def start(self, spec: AttemptSpec) -> Handle:
        namespace = self.spaces.ensure(self.api, spec.team, spec.project)
        name = manifests.job_name(spec.uid)
        handle = Handle(
            executor=self.name, uid=spec.uid, external={"namespace": namespace, "job": name}
        )
        present = self.api.find(kube.JOB, namespace, name)
        if present is None:
            runner = self._ensure_runner(namespace)
            secret = self._secret(spec)
            self.api.apply(kube.SECRET, namespace, secret)
            try:
                present = self.api.create(
                    kube.JOB, namespace, manifests.job(spec, self.options, runner=runner)
                )
            except kube.AlreadyThere:
                present = self.api.get(kube.JOB, namespace, name)
        self._own_secret(namespace, name, present)
        return handle

    def observe(self, handle: Handle) -> Observation:
        namespace, name = self._where(handle)
        try:
            job = self.api.find(kube.JOB, namespace, name)
            pods = self.api.list(kube.POD, namespace, labels={ATTEMPT: handle.uid.lower()})
            result = remote.read_result(handle.uid)
            events = self._events(namespace, name, pods) if result is None else []
        except TransientError as error:
            return Observation(state="unknown", reason=error.reason, message=error.message)
        return diagnosis.observe(
            diagnosis.Evidence(job=job, pods=pods, events=events, result=result, now=time.time())
        )

    def cancel(self, handle: Handle) -> None:
        """Deletes the Job in the foreground: it stays until its pod has ended."""
        namespace, name = self._where(handle)
        self.api.delete(kube.JOB, namespace, name)

    def metrics(self, handle: Handle, after_line: int) -> tuple[Mapping[str, Any], ...]:
        lines = remote.read_metric_lines(handle.uid)[after_line:]
        return parse_metrics(lines, after_line + 1)[0]

    def collect(self, handle: Handle) -> Outputs:
        result = remote.read_result(handle.uid)
        if result is None:
            raise TransientError("The attempt's result has not arrived.", reason="ResultMissing")
        return remote.outputs(handle.uid, result)

    def forget(self, handle: Handle) -> None:
        namespace, name = self._where(handle)
        self.api.delete(kube.JOB, namespace, name, foreground=False)
        self.api.delete(kube.SECRET, namespace, name)

    # ---------------------------------------------------------------------------------------

    def _where(self, handle: Handle) -> tuple[str, str]:
        """From the saved handle; one saved before launch has only the uid and is looked up."""
        if "namespace" in handle.external:
            return handle.external["namespace"], handle.external["job"]
        name = manifests.job_name(handle.uid)
        for job in self.api.list(kube.JOB, labels={ATTEMPT: handle.uid.lower()}):
            return job["metadata"]["namespace"], name
        return "default", name

    def _ensure_runner(self, namespace: str) -> str:
        body = manifests.runner_config_map(remote.runner_files())
        name: str = body["metadata"]["name"]
        if self.api.find(kube.CONFIG_MAP, namespace, name) is None:
            self.api.apply(kube.CONFIG_MAP, namespace, body)
        return name

    def _secret(self, spec: AttemptSpec) -> dict[str, Any]:
        lock = None if spec.environment.image else spec.lock
        if lock is None and not spec.environment.image:
            raise PermanentError(
                "The environment has neither an image nor a lock, so a pod cannot have it.",
                reason="NoEnvironment",
            )
        document = remote.job_document(spec, objects_url=self.options.objects_url, lock=lock)
        values = {name: crypto.decrypt(token) for name, token in spec.secrets.items()}
        return manifests.attempt_secret(spec, document, values)

    def _own_secret(self, namespace: str, name: str, job: Mapping[str, Any]) -> None:
        """The Job owns the Secret, so that it goes with it whoever deletes it."""
        owner = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "name": name,
            "uid": job["metadata"]["uid"],
            "blockOwnerDeletion": False,
            "controller": False,
        }
        try:
            self.api.merge(kube.SECRET, namespace, name, {"metadata": {"ownerReferences": [owner]}})
        except kube.NotThere:
            log.warning("secret %s/%s vanished before its Job could own it", namespace, name)

    def _events(
        self, namespace: str, name: str, pods: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        objects = [name, *(pod["metadata"]["name"] for pod in pods)]
        found: list[dict[str, Any]] = []
        for one in objects:
            found += self.api.list(kube.EVENT, namespace, fields={"involvedObject.name": one})
        return sorted(found, key=lambda e: e.get("lastTimestamp") or e.get("eventTime") or "")
