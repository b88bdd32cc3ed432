"""Where a node keeps its things and what it may use."""

from __future__ import annotations

import hashlib
import os
import socket
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

MAX_SOCKET_PATH = 90  # sun_path holds 108; names below the folder need the rest


@dataclass(frozen=True, kw_only=True)
class Config:
    """`home` is PORTAL_HOME. `gateway_host`/`gateway_port` are where endpoints are reached and
    `gateway_url` what clients are told. CPU and memory default to the machine's."""

    home: Path
    gateway_host: str = "127.0.0.1"
    gateway_port: int = 8080
    gateway_url: str = ""
    cpu_m: int = 0
    memory_bytes: int = 0
    node_id: str = ""
    private_cookies: tuple[str, ...] = ("hekaton_session", "hekaton_csrf")

    @property
    def folder(self) -> Path:
        return self.home / "node"

    @property
    def runtime(self) -> Path:
        return runtime_folder(self.home)

    @property
    def socket(self) -> Path:
        return self.runtime / "node.sock"

    @property
    def secrets_key_file(self) -> Path:
        return self.home / "keys" / "fernet.keys"

    @property
    def url(self) -> str:
        return self.gateway_url or f"http://{self.gateway_host}:{self.gateway_port}"

    @property
    def capacity_cpu_m(self) -> int:
        return self.cpu_m or 1000 * len(os.sched_getaffinity(0))

    @property
    def capacity_memory_bytes(self) -> int:
        return self.memory_bytes or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

    @property
    def identity(self) -> str:
        return self.node_id or socket.gethostname()


def runtime_folder(home: Path) -> Path:
    """The folder of a home's sockets: `<home>/run`, or one with a short path elsewhere, because
    a Unix socket's path may not be longer than about 100 bytes. Made with mode 0700."""
    wanted = home.resolve() / "run"
    if len(os.fsencode(wanted)) > MAX_SOCKET_PATH:
        digest = hashlib.sha256(os.fsencode(wanted)).hexdigest()[:12]
        base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
        wanted = Path(base) / f"hekaton-{os.getuid()}-{digest}"
    wanted.mkdir(mode=0o700, parents=True, exist_ok=True)
    if wanted.stat().st_uid != os.getuid():
        raise PermissionError(f"{wanted} belongs to someone else")
    return wanted


def pythons() -> dict[str, str]:
    """Python versions on this machine ("3.11" -> path), this one first."""
    import shutil

    found = {f"{sys.version_info[0]}.{sys.version_info[1]}": sys.executable}
    for minor in range(9, 20):
        path = shutil.which(f"python3.{minor}")
        if path:
            found.setdefault(f"3.{minor}", path)
    return found
