"""The build that is asked for, and what a build's state means. Pure.

Source: https://cloud.google.com/build/docs/api/reference/rest/v1/projects.builds
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from pipelines.builders.cloud_build.options import Options
from pipelines.builders.local.documents import FaultReport
from pipelines.executors.base import ExitInfo, Observation

ACTIVE = frozenset({"STATUS_UNKNOWN", "PENDING", "QUEUED", "WORKING"})
TAG = "hekaton"
FAILED = {
    "TIMEOUT": ("TimedOut", "The build took longer than it may.", False),
    "CANCELLED": ("Cancelled", "The build was cancelled.", False),
    "EXPIRED": (
        "QueueExpired",
        "The build waited in Cloud Build's queue for too long; the project's build quota may be "
        "used up by others.",
        True,
    ),
    "INTERNAL_ERROR": ("CloudFailed", "Cloud Build failed.", True),
    "FAILURE": ("BuildFailed", "The build failed.", True),
}


def tag(uid: str) -> str:
    return f"hk-{uid.lower()}"


def folder(uid: str) -> str:
    """The folder of a build in the bucket."""
    return f"builds/{uid}"


def definition(
    uid: str, phase: Literal["prepare", "package"], options: Options, *, timeout_s: float,
    log_key: str,
) -> dict[str, Any]:  # fmt: skip
    """The fields of a `Build`.

    The tool's step may fail: its result file says why, and files are brought out of successful
    builds only.
    """
    made: dict[str, Any] = {
        "source": {
            "storage_source": {"bucket": options.bucket, "object_": f"{folder(uid)}/source.tgz"}
        },
        "steps": [
            {
                "id": "workspace",
                "name": options.root_image,
                "entrypoint": "chmod",
                "args": ["-R", "a+rwX", "."],
            },
            {
                "id": phase,
                "name": options.builder_image,
                "entrypoint": "python",
                "args": ["-m", "pipelines.builders.local", phase, "request.json", "result.json"],
                "allow_failure": True,
            },
        ],
        "artifacts": {
            "objects": {
                "location": f"gs://{options.bucket}/{folder(uid)}/result/",
                "paths": ["*.json"],
            }
        },
        "timeout": {"seconds": int(timeout_s)},
        "queue_ttl": {"seconds": int(options.queue_s)},
        "tags": [TAG, tag(uid)],
        "substitutions": {"_LOG_KEY": log_key},
        "logs_bucket": f"gs://{options.bucket}/{folder(uid)}/logs",
        "options": {
            "logging": "GCS_ONLY",
            "log_streaming_option": "STREAM_ON",
            "substitution_option": "ALLOW_LOOSE",
        },
    }
    if options.machine_type:
        made["options"]["machine_type"] = options.machine_type
    if options.service_account:
        made["service_account"] = (
            f"projects/{options.google.project}/serviceAccounts/{options.service_account}"
        )
    return made


def recorded(found: Iterable[Any]) -> tuple[Any | None, list[Any]]:
    """Of all builds with one uid, the one that counts (the first made) and the surplus."""
    ordered = sorted(found, key=lambda build: (_seconds(build.create_time) or 0.0, build.id))
    return (ordered[0], ordered[1:]) if ordered else (None, [])


def is_active(build: Any) -> bool:
    return build.status.name in ACTIVE


def observation(build: Any, fault: FaultReport | None, *, has_result: bool) -> Observation:
    """What a build's status means. `fault` and `has_result` are asked of successful builds."""
    common: dict[str, Any] = {
        "started_at": _seconds(build.start_time),
        "finished_at": _seconds(build.finish_time),
        "external": {"build": build.id},
    }
    status = build.status.name
    if status in ACTIVE:
        working = status == "WORKING"
        return Observation(
            state="running" if working else "starting",
            reason="" if working else "Queued",
            message="" if working else "Waiting in Cloud Build's queue.",
            **common,
        )
    if status == "SUCCESS" and fault is not None:
        ended = ExitInfo(
            code=2 if fault.platform else 1, reason=fault.reason, message=fault.message,
            platform=fault.platform,
        )  # fmt: skip
    elif status == "SUCCESS" and has_result:
        ended = ExitInfo(code=0, reason="Completed", message="")
    elif status == "SUCCESS":
        ended = ExitInfo(
            code=None, reason="ResultMissing", platform=True,
            message="The build ended without a result; the build machine may have run out of "
            "memory. Set a larger machine_type.",
        )  # fmt: skip
    else:
        reason, words, platform = FAILED.get(status, FAILED["FAILURE"])
        detail = " ".join(filter(None, (_failure(build), build.status_detail)))
        ended = ExitInfo(
            code=None,
            reason=reason,
            message=f"{words} {detail}".strip(),
            platform=platform,
        )
    return Observation(state="exited", exit=ended, gone=True, message=ended.message, **common)


def _failure(build: Any) -> str:
    info = build.failure_info
    return str(info.detail or "") if info else ""


def _seconds(time: Any) -> float | None:
    return time.timestamp() if time else None
