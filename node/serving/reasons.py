"""Why a replica is not there, as a stable word and a sentence that says what to do. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from node.documents import Exit, Probe
from node.serving.probe import Result

MODULE = re.compile(r"ModuleNotFoundError: No module named ['\"]([^'\"]+)['\"]")
ASGI_MODULE = re.compile(r"Could not import module ['\"]([^'\"]+)['\"]")
NOT_FOUND = re.compile(r"sh: (?:\d+: |line \d+: )?([^:]+): (?:command )?not found")
CERTAIN = frozenset({"MissingModule", "CommandNotFound", "OutOfMemory", "WrongPort", "CannotStart", "SlowStart",
                     "Unhealthy"})  # fmt: skip


@dataclass(frozen=True)
class Reason:
    code: str
    message: str

    @property
    def certain(self) -> bool:
        """Trying the same again cannot be expected to end differently."""
        return self.code in CERTAIN


def of_exit(exit: Exit, log: Sequence[str], *, was_ready: bool) -> Reason:
    """What the end of a server's process means."""
    when = "while it was serving" if was_ready else "before it was ready"
    text = "\n".join(log)
    if exit.reason == "OutOfMemory":
        return Reason("OutOfMemory", f"The server ended {when}. {exit.message}")
    if exit.reason == "CannotStart":
        return Reason("CannotStart", exit.message)
    if exit.code == 127:
        named = NOT_FOUND.findall(text)
        what = f"The command `{named[-1].strip()}`" if named else "The serve command"
        return Reason(
            "CommandNotFound",
            f"{what} was not found. Add the package that brings it to the requirements, "
            "or correct `serve.run`.",
        )
    missing = MODULE.findall(text) or ASGI_MODULE.findall(text)
    if missing and not was_ready:
        return Reason(
            "MissingModule",
            f"The server cannot import `{missing[-1]}`. Add its package to the requirements, or "
            "the file to the submission if it is your own.",
        )
    last = next((line.strip() for line in reversed(log) if line.strip()), "")
    said = f" Its last line: {last[:300]}" if last else " It wrote nothing."
    if exit.code == 0:
        return Reason(
            "AppCrashed",
            f"The serve command ended by itself {when} (exit code 0); a server must go on "
            f"running in the foreground.{said}",
        )
    return Reason("AppCrashed", f"The server ended {when}. {exit.message}{said}")


def wrong_port(port: int, others: Collection[int]) -> Reason:
    elsewhere = ", ".join(str(other) for other in sorted(others))
    return Reason(
        "WrongPort",
        f"The server listens on port {elsewhere} instead of $PORT ({port} here). Let `serve.run` "
        "pass $PORT on to the server.",
    )


def foreign_port(port: int) -> Reason:
    return Reason("PortTaken", f"Another process took port {port} first; another one is tried.")


def not_ready(result: Result, probe: Probe, port: int) -> Reason:
    """The start took longer than `startup_s`; `result` is the last probe's."""
    if result.kind == "status":
        return Reason(
            "Unhealthy",
            f"The health check GET {probe.path} answered {result.status} for "
            f"{probe.startup_s:g} s; it must answer 2xx. Check `serve.health`.",
        )
    if result.kind == "broken":
        return Reason("Unhealthy", f"What listens on $PORT ({port}) does not speak HTTP.")
    if result.kind == "timeout":
        return Reason(
            "SlowStart",
            f"The server accepts connections but GET {probe.path} got no answer within "
            f"{probe.timeout_s:g} s, for {probe.startup_s:g} s.",
        )
    return Reason(
        "SlowStart",
        f"Nothing listened on $PORT ({port}) within {probe.startup_s:g} s. Load the model "
        "faster, or allow more time.",
    )


def unhealthy(result: Result, probe: Probe) -> Reason:
    """A replica that was ready failed its checks `failures` times in a row."""
    what = {
        "status": f"answered {result.status}",
        "timeout": f"got no answer within {probe.timeout_s:g} s",
        "refused": "was refused a connection",
        "broken": "got an answer that is not HTTP",
    }.get(result.kind, "failed")
    return Reason(
        "Unhealthy",
        f"The health check GET {probe.path} {what}, {probe.failures} times in a row; "
        "the replica is replaced.",
    )
