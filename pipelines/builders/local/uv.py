"""Running uv, and putting its failures into words."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from uv import find_uv_bin

from node import sandbox
from node.documents import Mount
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
PASSED = ("UV_", "PIP_", "SSL_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy",
          "https_proxy", "no_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "LC_", "TZ", "TMPDIR",
          "PYENV_ROOT")  # fmt: skip


SourceBuilds = Literal["confined", "always", "never"]


@dataclass(frozen=True)
class Uv:
    """uv with this home's cache. Its progress goes to our standard error, the build's log.

    A package without a wheel is built by code of its own choice, so uv is first told to build
    nothing. Only where that fails for lack of a wheel, and `source_builds` allows it, it runs
    again with building: confined to the folders it needs, without our variables, and with a cache
    that is thrown away, so that such code reaches neither the portal nor other environments.
    "always" also builds where this machine cannot confine.
    """

    home: Path
    source_builds: SourceBuilds = "confined"

    def run(self, *arguments: str, what: str, cwd: Path | None = None) -> str:
        """Run uv without building and return its standard output.

        Raises:
            SubmissionFault, PlatformFault: uv failed; `what` names the file it worked on.
        """
        return self._run([find_uv_bin(), *arguments], what, cwd, self.home / "cache" / "uv")

    def run_wheels_first(
        self, *arguments: str, what: str, cwd: Path, scratch: Path, interpreter: str,
        writable: Sequence[Path] = (),
    ) -> str:  # fmt: skip
        """As `run`, building packages from source where they have no wheel and that is allowed.

        `scratch` is a folder for the cache of such a run, which the caller removes; `writable` are
        the folders that uv writes to.
        """
        try:
            return self.run(*arguments, "--no-build", what=what, cwd=cwd)
        except SubmissionFault as refused:
            if refused.reason != "NoWheel" or self.source_builds == "never":
                raise
            confines = sandbox.probe().confines
            if not confines and self.source_builds != "always":
                raise SubmissionFault(
                    "NoWheel",
                    f"{refused.message}\nBuilding it from source is not allowed on this machine, "
                    "which cannot confine the package's build code.",
                ) from refused
        print("A package has no wheel: building from source.", flush=True)
        scratch.mkdir(parents=True, exist_ok=True)
        argv = [find_uv_bin(), *arguments]
        if confines:
            argv = confined(argv, cwd, [*writable, scratch], interpreter)
        return self._run(argv, what, cwd, scratch)

    def _run(self, argv: Sequence[str], what: str, cwd: Path | None, cache: Path) -> str:
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment(cache),
                cwd=cwd,
                text=True,
                errors="replace",
            )
        except OSError as error:
            raise PlatformFault("UvMissing", f"uv cannot be started: {error}") from error
        output, errors = process.communicate()
        sys.stderr.write(errors)
        sys.stderr.flush()
        if process.returncode:
            raise fault(errors, process.returncode, what)
        return output


def confined(
    argv: Sequence[str], cwd: Path, writable: Sequence[Path], interpreter: str
) -> list[str]:
    """The command in a sandbox that sees the system, uv, the interpreter and these folders."""
    uv = str(Path(argv[0]).resolve().parent)
    mounts = [Mount(source=uv, target=uv)]
    if cwd not in writable:
        mounts.append(Mount(source=str(cwd), target=str(cwd)))
    mounts += [Mount(source=str(p), target=str(p), writable=True) for p in writable]
    prefixes = {sys.base_prefix, str(Path(interpreter).resolve().parent.parent)}
    return sandbox.wrap(
        [str(Path(argv[0]).resolve()), *argv[1:]],
        cwd=str(cwd),
        mounts=mounts,
        interpreter_prefixes=sorted(prefixes),
    )


def environment(cache: Path) -> dict[str, str]:
    """The variables of uv: the machine's for indexes, proxies and certificates, none of ours."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(PASSED)}
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": "/tmp",  # noqa: S108 - uv wants a home; nothing of value is to be in it
        "UV_HTTP_TIMEOUT": "30",
        **kept,
        "UV_CACHE_DIR": str(cache),
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
    if "no usable wheels" in low or "building from source is disabled" in low:
        return SubmissionFault(
            "NoWheel",
            f"A package of {what} has no wheel for this Python and machine. Choose a version that "
            f"has one.\n{said}",
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
            f"A package of {what} has no wheel for this machine, and building it from source "
            f"failed. Choose a version that has a wheel.\n{said}",
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
