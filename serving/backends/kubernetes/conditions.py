"""What Knative's and the pods' own words say about a revision. Pure.

Knative says only `RevisionMissing` on a Service that cannot start; the cause is on the Revision's
conditions and the pods' container statuses, and that is what people are shown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from serving.backends.base import Replica, RevisionState

Object = dict[str, Any]

PULL_REASONS = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}
CONFIG_REASONS = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
MISSING_MODULE = re.compile(r"(?:ModuleNotFoundError|ImportError): (.+)")


@dataclass(frozen=True)
class Verdict:
    state: RevisionState
    reason: str = ""
    message: str = ""


def knative_revision(
    revision: Object | None, pods: Sequence[Object], log: Sequence[str] = ()
) -> Verdict:
    """The state of one Knative Revision, the truest cause first."""
    if revision is None:
        return Verdict("starting", "Creating", "The revision is being created.")
    ready = condition(revision, "Ready")
    active = condition(revision, "Active")
    if ready.get("status") == "True":
        if active.get("status") == "False":
            return Verdict("idle", active.get("reason") or "NoTraffic", "Scaled to zero.")
        return Verdict("ready")
    cause = pod_failure(pods, log)
    if ready.get("status") == "False":
        healthy = condition(revision, "ContainerHealthy")
        available = condition(revision, "ResourcesAvailable")
        for told in (healthy, available, ready):
            if told.get("status") == "False":
                reason = cause.reason if cause else told.get("reason") or "Failed"
                words = (cause.message if cause else "") or told.get("message") or ""
                return Verdict("failed", reason, words)
        return Verdict("failed", ready.get("reason") or "Failed", ready.get("message") or "")
    if cause:
        return Verdict("starting", cause.reason, cause.message)
    words = ready.get("message") or scheduling(pods) or "Its first pod is starting."
    return Verdict("starting", ready.get("reason") or "Deploying", words)


def deployment(body: Object | None, pods: Sequence[Object], log: Sequence[str] = ()) -> Verdict:
    """The state of one plain Deployment."""
    if body is None:
        return Verdict("starting", "Creating", "The deployment is being created.")
    wanted = (body.get("spec") or {}).get("replicas", 1)
    status = body.get("status") or {}
    if wanted == 0:
        return Verdict("idle", "NoTraffic", "Scaled to zero.")
    if status.get("readyReplicas", 0) >= 1:
        return Verdict("ready")
    cause = pod_failure(pods, log)
    progressing = condition(body, "Progressing")
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        if cause:
            return Verdict("failed", cause.reason, cause.message)
        return Verdict("failed", "SlowStart", "It was not ready within its progress deadline.")
    if cause:
        return Verdict("starting", cause.reason, cause.message)
    refused = condition(body, "ReplicaFailure")
    if refused.get("status") == "True":
        return Verdict(
            "starting", refused.get("reason") or "ReplicaFailure", refused.get("message") or ""
        )
    return Verdict("starting", "Deploying", scheduling(pods) or "Its first pod is starting.")


def pod_failure(pods: Sequence[Object], log: Sequence[str] = ()) -> Verdict | None:
    """Why containers do not run, by their statuses and last log lines; None if nothing is wrong."""
    for pod in sorted(pods, key=_created, reverse=True):
        for container in (pod.get("status") or {}).get("containerStatuses") or []:
            state = container.get("state") or {}
            waiting = state.get("waiting") or {}
            if waiting.get("reason") in PULL_REASONS:
                text = waiting.get("message") or container.get("image", "")
                return Verdict("failed", "ImagePullFailed", f"The image cannot be pulled: {text}")
            if waiting.get("reason") in CONFIG_REASONS:
                return Verdict("failed", waiting["reason"], waiting.get("message") or "")
            ended = (
                state.get("terminated")
                or (container.get("lastState") or {}).get("terminated")
                or {}
            )
            if (ended and ended.get("exitCode") not in (0, None)) or ended.get(
                "reason"
            ) == "OOMKilled":
                return _ended(ended, log)
    return None


def scheduling(pods: Sequence[Object]) -> str:
    """Why a pod has no node, in the scheduler's words; empty when all have one."""
    for pod in pods:
        for told in (pod.get("status") or {}).get("conditions") or []:
            if told.get("type") == "PodScheduled" and told.get("status") == "False":
                return f"No node can take it: {told.get('message', '')}"
    return ""


def replicas(pods: Sequence[Object], port: int) -> tuple[Replica, ...]:
    return tuple(_replica(pod, port) for pod in sorted(pods, key=_created))


def condition(thing: Object, kind: str) -> Object:
    for told in (thing.get("status") or {}).get("conditions") or []:
        if told.get("type") == kind:
            found: Object = told
            return found
    return {}


def pod_ready(pod: Object) -> bool:
    return condition(pod, "Ready").get("status") == "True" and not (pod.get("metadata") or {}).get(
        "deletionTimestamp"
    )


def _ended(ended: Object, log: Sequence[str]) -> Verdict:
    code = ended.get("exitCode")
    text = (ended.get("message") or "").strip()
    lines = [*text.splitlines(), *log]
    if ended.get("reason") == "OOMKilled":
        return Verdict(
            "failed", "OutOfMemory", "It used more memory than its limit. Raise resources.memory."
        )
    for line in reversed(lines):
        found = MISSING_MODULE.search(line)
        if found:
            return Verdict("failed", "MissingModule", f"{found.group(1)} (exit code {code})")
    if code == 127:
        return Verdict("failed", "CommandNotFound", "The command of `serve.run` was not found.")
    last = next((line for line in reversed(lines) if line.strip()), "")
    return Verdict("failed", "AppCrashed", f"The server exited with code {code}. {last}".strip())


def _replica(pod: Object, port: int) -> Replica:
    metadata, status = pod.get("metadata") or {}, pod.get("status") or {}
    containers = status.get("containerStatuses") or []
    restarts = max((c.get("restartCount", 0) for c in containers), default=0)
    if metadata.get("deletionTimestamp"):
        state = "draining"
    elif pod_ready(pod):
        state = "ready"
    elif status.get("phase") in ("Succeeded", "Failed"):
        state = "exited"
    else:
        state = "starting"
    failure = pod_failure([pod])
    address = status.get("podIP", "")
    return Replica(
        uid=metadata.get("name", ""),
        state=state,
        node_id=(pod.get("spec") or {}).get("nodeName", ""),
        address=f"{address}:{port}" if address else "",
        started_at=_seconds(status.get("startTime")),
        ready_at=_seconds(condition(pod, "Ready").get("lastTransitionTime"))
        if state == "ready"
        else None,
        restarts=restarts,
        message=failure.message if failure else scheduling([pod]),
    )


def _created(pod: Object) -> str:
    return (pod.get("metadata") or {}).get("creationTimestamp") or ""


def _seconds(stamp: str | None) -> float | None:
    return datetime.fromisoformat(stamp).timestamp() if stamp else None
