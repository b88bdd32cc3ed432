"""What a Job, its pod and their events say about an attempt, in words. Pure.

Order of belief: the runner's own result, then the container's status, then the pod's, then the
Job's, then events. The first true cause wins, not the last symptom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipelines.executors.base import ExitInfo, Observation
from pipelines.executors.remote.job import Result

Object = dict[str, Any]

# Waiting reasons of a container that never heal by themselves within one attempt.
HOPELESS = {
    "InvalidImageName": "The image name is not valid",
    "ErrImageNeverPull": "The image is not on the node and may not be pulled",
    "CreateContainerConfigError": "The container's configuration is wrong",
    "CreateContainerError": "The container cannot be created",
    "RunContainerError": "The container cannot be started",
}
PULLING = {"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable"}
PULL_PATIENCE_S = 120.0


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What was read in one look. `now` is Unix seconds."""

    job: Object | None
    pods: Sequence[Object]
    events: Sequence[Object] = ()
    result: Result | None = None
    now: float


def observe(seen: Evidence) -> Observation:
    """The attempt's state as the executor reports it."""
    pod = _pod(seen.pods)
    gone = seen.job is None and not seen.pods
    if seen.result is not None:
        ended = _container_ended(pod) or pod is None or _job_over(seen.job)
        return Observation(
            state="exited",
            exit=_exit_with_kill(seen.result.exit, pod),
            started_at=seen.result.started_at,
            finished_at=seen.result.finished_at,
            usage=seen.result.usage,
            gone=gone or bool(ended),
        )
    if pod is not None:
        return _from_pod(seen, pod)
    if seen.job is None:
        return Observation(
            state="lost", reason="JobVanished", message="Its Job is not there any more.", gone=True
        )
    failed = _condition(seen.job, "Failed")
    if failed:
        return Observation(state="exited", exit=_job_failure(failed), gone=True)
    return Observation(
        state="starting",
        reason="WaitingForPod",
        message=_event_words(seen.events, "FailedCreate") or "The Job has no pod yet.",
    )


def _from_pod(seen: Evidence, pod: Object) -> Observation:
    status = pod.get("status") or {}
    container = _container(status)
    terminated = (container.get("state") or {}).get("terminated")
    started = _seconds((terminated or {}).get("startedAt") or _running_since(container))
    node = (pod.get("spec") or {}).get("nodeName", "")
    disrupted = _pod_disruption(status)
    if terminated or status.get("phase") in ("Failed", "Succeeded"):
        return Observation(
            state="exited",
            node_id=node,
            started_at=started,
            finished_at=_seconds((terminated or {}).get("finishedAt")),
            exit=disrupted or _terminated(terminated or {}, status),
            gone=True,
        )
    failed = _condition(seen.job, "Failed") if seen.job else None
    if failed and failed.get("reason") == "DeadlineExceeded":
        return Observation(state="exited", node_id=node, exit=_job_failure(failed), gone=False)
    if (container.get("state") or {}).get("running"):
        return Observation(state="running", node_id=node, started_at=started)
    return _waiting(seen, pod, container, node)


def _waiting(seen: Evidence, pod: Object, container: Object, node: str) -> Observation:
    status = pod.get("status") or {}
    waiting = (container.get("state") or {}).get("waiting") or {}
    reason, text = waiting.get("reason", ""), waiting.get("message", "")
    if reason in HOPELESS:
        return _cannot_start(node, reason, f"{HOPELESS[reason]}: {text}")
    if reason in PULLING:
        words = f"The image cannot be pulled: {text or container.get('image', '')}"
        age = seen.now - (_seconds((pod.get("metadata") or {}).get("creationTimestamp")) or 0)
        if age > PULL_PATIENCE_S or "not found" in text or "NotFound" in text:
            return _cannot_start(node, "ImagePullFailed", words)
        return Observation(state="starting", node_id=node, reason="PullingImage", message=words)
    unscheduled = next(
        (
            c
            for c in status.get("conditions") or []
            if c.get("type") == "PodScheduled" and c.get("status") == "False"
        ),
        None,
    )
    if unscheduled:
        scaling = _event_words(seen.events, "TriggeredScaleUp")
        refused = _event_words(seen.events, "NotTriggerScaleUp")
        why = unscheduled.get("message", "no node fits")
        if scaling:
            return Observation(
                state="starting",
                reason="ProvisioningNode",
                message=f"Waiting for a new node: {scaling}",
            )
        return Observation(
            state="starting",
            reason="Unschedulable",
            message=f"No node can take it: {why}" + (f" ({refused})" if refused else ""),
        )
    mount = _event_words(seen.events, "FailedMount")
    if mount:
        return Observation(state="starting", node_id=node, reason="FailedMount", message=mount)
    return Observation(
        state="starting",
        node_id=node,
        reason=reason or "Starting",
        message="The container is being created." if node else "Waiting to be scheduled.",
    )


def _cannot_start(node: str, reason: str, message: str) -> Observation:
    return Observation(
        state="exited",
        node_id=node,
        exit=ExitInfo(code=None, reason=reason, message=message, platform=True),
        gone=False,
    )


def _terminated(terminated: Object, status: Object) -> ExitInfo:
    code, reason = terminated.get("exitCode"), terminated.get("reason", "")
    tail = (terminated.get("message") or "").strip()
    last = f" Last output: {tail[-1500:]}" if tail else ""
    if reason == "OOMKilled" or (code == 137 and "oom" in reason.lower()):
        return ExitInfo(
            code=None,
            reason="OutOfMemory",
            message="It used more memory than its limit and was killed. Raise resources.memory.",
        )
    if status.get("reason") == "Evicted":
        return ExitInfo(
            code=None, reason="Evicted", message=status.get("message", ""), platform=True
        )
    if reason == "DeadlineExceeded" or status.get("reason") == "DeadlineExceeded":
        return ExitInfo(code=None, reason="TimedOut", message="It ran longer than its deadline.")
    if reason in ("ContainerCannotRun", "StartError", "ContainerStatusUnknown"):
        return ExitInfo(
            code=code, reason=reason, message=tail or "The container could not run.", platform=True
        )
    if code == 0:
        return ExitInfo(
            code=None,
            reason="ResultMissing",
            message="It ended, but its result did not reach the object store.",
            platform=True,
        )
    return ExitInfo(
        code=code,
        reason="Error",
        message=f"It exited with code {code} before the runner could report.{last}",
        platform=code is None or code > 128,
    )


def _exit_with_kill(exit: ExitInfo, pod: Object | None) -> ExitInfo:
    """The runner cannot see why its child was killed; the container's status can."""
    if pod is not None and exit.reason in ("OutOfMemory", "Cancelled"):
        return _pod_disruption(pod.get("status") or {}) or exit
    return exit


def _pod_disruption(status: Object) -> ExitInfo | None:
    for condition in status.get("conditions") or []:
        if condition.get("type") == "DisruptionTarget" and condition.get("status") == "True":
            reason = condition.get("reason") or "Disrupted"
            words = condition.get("message") or "the cluster took its node away"
            return ExitInfo(
                code=None, reason=reason, message=f"Its pod was ended: {words}", platform=True
            )
    if status.get("reason") in ("Preempting", "Preempted", "NodeLost", "Shutdown", "Terminated"):
        return ExitInfo(
            code=None,
            reason=status["reason"],
            message=status.get("message", "Its node went away."),
            platform=True,
        )
    return None


def _job_failure(condition: Object) -> ExitInfo:
    if condition.get("reason") == "DeadlineExceeded":
        return ExitInfo(code=None, reason="TimedOut", message="It ran longer than its deadline.")
    return ExitInfo(
        code=None,
        reason=condition.get("reason") or "JobFailed",
        message=condition.get("message") or "The Job failed.",
        platform=True,
    )


def _pod(pods: Sequence[Object]) -> Object | None:
    """The newest pod; there is more than one only after a disruption."""
    return max(
        pods, key=lambda p: (p.get("metadata") or {}).get("creationTimestamp") or "", default=None
    )


def _container(status: Object) -> Object:
    found = status.get("containerStatuses") or []
    return found[0] if found else {}


def _container_ended(pod: Object | None) -> bool:
    if pod is None:
        return False
    status = pod.get("status") or {}
    return bool((_container(status).get("state") or {}).get("terminated")) or status.get(
        "phase"
    ) in ("Succeeded", "Failed")


def _job_over(job: Object | None) -> bool:
    return job is not None and bool(_condition(job, "Complete") or _condition(job, "Failed"))


def _condition(thing: Object | None, kind: str) -> Object | None:
    for condition in ((thing or {}).get("status") or {}).get("conditions") or []:
        if condition.get("type") == kind and condition.get("status") == "True":
            found: Object = condition
            return found
    return None


def _running_since(container: Object) -> str | None:
    running = (container.get("state") or {}).get("running") or {}
    return running.get("startedAt")


def _event_words(events: Sequence[Object], reason: str) -> str:
    found = [e for e in events if e.get("reason") == reason]
    return str(found[-1].get("message", "")) if found else ""


def _seconds(stamp: str | None) -> float | None:
    return datetime.fromisoformat(stamp).timestamp() if stamp else None
