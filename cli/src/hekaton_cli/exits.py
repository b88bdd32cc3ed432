"""What the exit code of `hekaton` says, so that scripts can tell whose fault it was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Any


class Exit(IntEnum):
    OK = 0
    PLATFORM = 1
    USAGE = 2
    MY_CODE = 3
    GATE = 4
    VERIFICATION = 5
    AUTH = 6
    STATE = 7
    CANCELLED = 8
    INTERRUPTED = 130


MEANING: dict[Exit, str] = {
    Exit.OK: "It worked.",
    Exit.PLATFORM: "The platform failed: the portal cannot be reached, or it crashed. Not your fault.",
    Exit.USAGE: "The command, the manifest or a parameter is wrong. Nothing was started.",
    Exit.MY_CODE: "Your code failed: a step, or the environment or image made from your files.",
    Exit.GATE: "The gate said no: the metric is not good enough.",
    Exit.VERIFICATION: "The image did not answer as `verify` defines, or its rollout was aborted.",
    Exit.AUTH: "Not signed in, or not allowed.",
    Exit.STATE: "It does not exist (or is not yours to see), or somebody changed it meanwhile.",
    Exit.CANCELLED: "The run or the rollout was cancelled.",
    Exit.INTERRUPTED: "You pressed Ctrl-C. What runs on the portal goes on.",
}


def of_run(run: Mapping[str, Any], steps: Iterable[Mapping[str, Any]]) -> Exit:
    """The exit code of a finished run."""
    status = run["status"]
    if status == "failed":
        kinds = {step.get("kind") for step in steps if step.get("status") == "failed"}
        return Exit.VERIFICATION if kinds & {"verify", "deploy"} else Exit.MY_CODE
    return {
        "succeeded": Exit.OK,
        "rejected": Exit.GATE,
        "cancelled": Exit.CANCELLED,
    }.get(status, Exit.PLATFORM)


def of_verification(verification: Mapping[str, Any]) -> Exit:
    """The exit code of a finished verification."""
    return {
        "passed": Exit.OK,
        "failed": Exit.VERIFICATION,
        "cancelled": Exit.CANCELLED,
    }.get(verification["status"], Exit.PLATFORM)
