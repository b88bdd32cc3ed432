"""Ports for replicas, and who listens on them.

A port is chosen outside the kernel's range for outgoing connections, so that no client socket
can sit on it by chance, and whoever answers there is checked to be of the replica's own process
tree before it gets traffic: that closes the race between choosing and listening.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Collection, Iterable
from pathlib import Path

FIRST, LAST = 20_000, 29_999
ESTABLISHED, LISTEN = "01", "0A"
TRIES = 200


class NoPort(Exception):
    """Every port that was tried is in use."""


def choose(taken: Collection[int]) -> int:
    """A loopback port that nobody listens on and that is not in `taken`."""
    candidates = [port for port in range(FIRST, LAST + 1) if port not in taken]
    for port in random.sample(candidates, min(TRIES, len(candidates))):
        if _is_free(port):
            return port
    raise NoPort(f"no free port between {FIRST} and {LAST}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def process_tree(root: int) -> list[int]:
    """The process and all its descendants, children of any of its threads included."""
    found, waiting = [root], [root]
    while waiting:
        pid = waiting.pop()
        try:
            threads = os.listdir(f"/proc/{pid}/task")
        except OSError:
            continue
        for thread in threads:
            try:
                children = Path(f"/proc/{pid}/task/{thread}/children").read_text().split()
            except OSError:
                continue
            found += map(int, children)
            waiting += map(int, children)
    return found


def listened_by(pids: Iterable[int]) -> set[int] | None:
    """TCP ports on which these processes listen; None where the system does not let us look."""
    inodes: set[str] = set()
    denied = False
    for pid in pids:
        try:
            for name in os.listdir(f"/proc/{pid}/fd"):
                try:
                    target = os.readlink(f"/proc/{pid}/fd/{name}")
                except FileNotFoundError:
                    continue
                if target.startswith("socket:["):
                    inodes.add(target[8:-1])
        except PermissionError:
            denied = True
        except OSError:
            continue
    ports = {port for inode, port in _listeners() if inode in inodes}
    return None if denied and not ports else ports


def connections_to(port: int) -> int:
    """Established TCP connections whose server side is this port of the machine."""
    return sum(1 for state, _, local in _sockets() if state == ESTABLISHED and local == port)


def _listeners() -> list[tuple[str, int]]:
    return [(inode, port) for state, inode, port in _sockets() if state == LISTEN]


def _sockets() -> list[tuple[str, str, int]]:
    """State, inode and local port of every TCP socket."""
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            found.append((fields[3], fields[9], int(fields[1].rpartition(":")[2], 16)))
    return found
