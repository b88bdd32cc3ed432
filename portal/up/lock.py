"""One `up` a home; what a killed one left behind is ended before a new one starts."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from pathlib import Path

from node.config import runtime_folder
from portal.up.checks import CannotStart

MARK = "HEKATON_UP_HOME"
OURS = ("portal.asgi:application", "-A portal worker", "manage.py scheduler", "-m node",
        "redis-server")  # fmt: skip


class HomeLock:
    """Held for life by flock, so that it ends with the process however that ends."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.path = home / "up.lock"
        self.handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)

    def take(self) -> None:
        try:
            fcntl.flock(self.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = self.path.read_text().strip() or "another process"
            raise CannotStart(
                f"The portal of {self.home} runs already (process {owner})."
            ) from None
        os.ftruncate(self.handle, 0)
        os.pwrite(self.handle, str(os.getpid()).encode(), 0)


def end_leftovers(home: Path) -> int:
    """End the portal's own processes of an `up` that was killed. Attempts and replicas go on:
    the new node takes them over. Returns how many there were."""
    found = _leftovers(home)
    for number, patience in ((signal.SIGTERM, 50), (signal.SIGKILL, 20)):
        for pid in _leftovers(home):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL if _is_node(pid) else number)
        for _ in range(patience):
            if not _leftovers(home):
                return len(found)
            time.sleep(0.1)
    return len(found)


def _leftovers(home: Path) -> list[int]:
    mark = f"{MARK}={home}".encode()
    queue = str(runtime_folder(home) / "valkey.sock")  # Valkey's title overwrites its environment
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            environ = Path("/proc", name, "environ").read_bytes().split(b"\0")
            command = _command(int(name))
        except OSError:
            continue
        if queue in command or (mark in environ and any(part in command for part in OURS)):
            found.append(int(name))
    return found


def _is_node(pid: int) -> bool:
    """A node that is asked politely would end its attempts; killed, it leaves them running."""
    with contextlib.suppress(OSError):
        return "-m node" in _command(pid)
    return False


def _command(pid: int) -> str:
    return (
        Path("/proc", str(pid), "cmdline")
        .read_bytes()
        .replace(b"\0", b" ")
        .decode("utf-8", "replace")
    )
