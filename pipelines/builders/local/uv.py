"""Running uv, and putting its failures into words."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from uv import find_uv_bin

from pipelines.builders.faults import BuildFault, PlatformFault, SubmissionFault

NETWORK = (
    "dns error",
    "connection refused",
    "connection reset",
    "network is unreachable",
    "timed out",
    "operation timed out",
    "could not resolve host",
    "error sending request",
    "tls handshake",
    "certificate",
    "503 service unavailable",
    "502 bad gateway",
    "504 gateway",
    "429 too many requests",
)
KEPT_LINES = 25


@dataclass(frozen=True)
class Uv:
    """uv with this home's cache. Its progress goes to our standard error, the build's log."""

    home: Path

    def run(self, *arguments: str, what: str, cwd: Path | None = None) -> str:
        """Run uv and return its standard output.

        Raises:
            SubmissionFault, PlatformFault: uv failed; `what` names the file it worked on.
        """
        try:
            process = subprocess.Popen(
                [find_uv_bin(), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self._environment(),
                cwd=cwd,
                text=True,
                errors="replace",
            )
        except (OSError, FileNotFoundError) as error:
            raise PlatformFault("UvMissing", f"uv cannot be started: {error}") from error
        output, errors = process.communicate()
        sys.stderr.write(errors)
        sys.stderr.flush()
        if process.returncode:
            raise fault(errors, process.returncode, what)
        return output

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
        return {
            "UV_HTTP_TIMEOUT": "30",
            **kept,
            "UV_CACHE_DIR": str(self.home / "cache" / "uv"),
            "UV_NO_PROGRESS": "1",
            "UV_NO_CONFIG": "1",
            "UV_PYTHON_DOWNLOADS": "never",
            "NO_COLOR": "1",
        }


def fault(errors: str, code: int, what: str) -> BuildFault:
    """What uv's error output means. Pure."""
    said = explanation(errors)
    low = errors.lower()
    if "no space left on device" in low or "disk quota exceeded" in low:
        return PlatformFault(
            "DiskFull",
            "The disk of the portal's home is full. Free space there, then run this step again.\n"
            + said,
        )
    if code < 0 or code in (137, 143):
        return PlatformFault("BuilderKilled", f"uv was ended by a signal while it read {what}.")
    if "environment variable" in low:
        return PlatformFault("UvMisconfigured", f"A UV_* setting of the portal is wrong.\n{said}")
    if "hash mismatch" in low:
        return SubmissionFault(
            "HashMismatch",
            f"A downloaded file is not the one that {what} names by its hash. Make the lock again; "
            f"if the hash was right, the package index changed a file.\n{said}",
        )
    if "no solution found" in low:
        return SubmissionFault("Unresolvable", f"{what} cannot be resolved.\n{said}")
    if any(sign in low for sign in NETWORK):
        return PlatformFault(
            "NetworkDown",
            "The package index cannot be reached from the portal's machine. Nothing is wrong with "
            f"the submission; the step can be run again.\n{said}",
        )
    if "failed to build" in low or "build backend" in low:
        return SubmissionFault(
            "BuildFailed",
            f"A package of {what} has no wheel for this machine and building it from source "
            f"failed. Choose a version that has a wheel.\n{said}",
        )
    if "no wheels" in low or "building source distributions is disabled" in low:
        return SubmissionFault(
            "NoWheel",
            f"A package of {what} has no wheel for this Python and machine. Choose a version that "
            f"has one.\n{said}",
        )
    if "couldn't parse" in low or "failed to parse" in low:
        return SubmissionFault("BadRequirements", f"{what} cannot be read.\n{said}")
    return SubmissionFault("Unresolvable", f"{what} cannot be installed.\n{said}")


def explanation(errors: str) -> str:
    """uv's own words, from its first error on, without warnings, trimmed."""
    lines = [line.rstrip() for line in errors.splitlines()]
    starts = [n for n, line in enumerate(lines) if re.match(r"\s*(error:|×)", line)]
    kept = [line for line in lines[starts[0] if starts else 0 :] if line.strip()]
    if len(kept) > KEPT_LINES:
        kept = [*kept[: KEPT_LINES - 6], "...", *kept[-5:]]
    return "\n".join(kept)
