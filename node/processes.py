"""Processes under shims: launching, adopting after a restart, watching and ending them.

A process is a folder (see `node.shim` for its files). Everything here can be repeated: launching
into a folder that was launched before does nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from node import sandbox
from node.documents import ProcessDocument
from node.shim import read_json, start_time, write_json

log = logging.getLogger(__name__)
SOURCE_ROOT = str(Path(__file__).resolve().parent.parent)
MARKER = "HEKATON_PROCESS"
PASSED_TO_BUILDERS = ("UV_", "PIP_", "SSL_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy",
                      "https_proxy", "no_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
                      "PYENV_ROOT")  # fmt: skip


class CannotLaunch(Exception):
    """The process cannot be started as described; the message says why."""


@dataclass
class Process:
    """One process that the node watches. `ended` is set once exit.json is there or the shim is
    gone without one (then `lost`)."""

    uid: str
    folder: Path
    shim_pid: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    lost: bool = False
    gone: bool = False

    @property
    def exit(self) -> dict[str, Any] | None:
        return read_json(str(self.folder / "exit.json"))

    @property
    def running(self) -> dict[str, Any] | None:
        return read_json(str(self.folder / "running.json"))


class Launcher:
    """The warm parent of shims, started again when it dies."""

    def __init__(self) -> None:
        self._channel: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = asyncio.Lock()

    async def spawn(self, orders: dict[str, Any]) -> int:
        """Fork a shim with these orders; returns its pid."""
        body = json.dumps(orders).encode()
        async with self._lock:
            return await asyncio.to_thread(self._spawn, struct.pack("!I", len(body)) + body)

    def _spawn(self, message: bytes) -> int:
        for attempt in (1, 2):
            if self._channel is None:
                self._start()
            channel = self._channel
            assert channel is not None
            try:
                channel.sendall(message)
                reply = channel.recv(4, socket.MSG_WAITALL)
                if len(reply) == 4:
                    pid: int = struct.unpack("!I", reply)[0]
                    return pid
            except OSError:
                if attempt == 2:
                    raise
            self.close()
        raise OSError("the parent of shims does not answer")

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        ours.settimeout(10)
        code = (
            f"import sys; sys.path.insert(0, {SOURCE_ROOT!r}); import socket, node.shim as s; "
            f"s.spawn_on_request(socket.socket(fileno={theirs.fileno()}))"
        )
        env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", code],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            env=env,
            start_new_session=True,
        )
        theirs.close()
        self._channel = ours

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=2)
            self._process = None


class Processes:
    """All processes of a node. Methods run in the event loop's thread."""

    def __init__(self, secrets_key_file: Path) -> None:
        self.launcher = Launcher()
        self.secrets_key_file = secrets_key_file

    async def launch(
        self,
        uid: str,
        folder: Path,
        document: ProcessDocument,
        *,
        log_dir: str,
        output_dir: str | None = None,
        environment: str | None = None,
        extra_env: Mapping[str, str] | None = None,
        nice: int = 0,
    ) -> Process:
        """Start the process of `folder` unless it was started before, and watch it.

        `environment` is the virtual environment's folder on this machine (for PATH and the
        sandbox).

        Raises:
            CannotLaunch: a mount is missing or a secret cannot be decrypted.
        """
        process = Process(uid, folder)
        if (folder / "started.json").exists() or (folder / "exit.json").exists():
            self.adopt(process)
            return process
        secrets = self._decrypt(document.secrets)
        orders = _orders(
            uid, folder, document, secrets, log_dir, output_dir, environment, extra_env or {}, nice
        )
        process.shim_pid = await self.launcher.spawn(orders)
        self._watch(process)
        return process

    def adopt(self, process: Process) -> None:
        """Watch a process that an earlier node started, or settle what became of it."""
        if process.exit is not None:
            process.gone = True
            process.ended.set()
            return
        started = read_json(str(process.folder / "started.json"))
        if started and _is_same(started):
            process.shim_pid = started["pid"]
            self._watch(process)
        else:
            asyncio.get_running_loop().create_task(self._lost(process))

    def stop(self, process: Process, reason: str, grace_s: float | None = None) -> None:
        """Ask for the end. Repeating is harmless; the first reason stands."""
        if process.ended.is_set():
            return
        path = process.folder / "stop.json"
        if not path.exists():
            write_json(str(path), {"reason": reason, "grace_s": grace_s})
        if process.shim_pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.shim_pid, signal.SIGTERM)

    def close(self) -> None:
        self.launcher.close()

    # --------------------------------------------------------------------------------------

    def _decrypt(self, secrets: Mapping[str, str]) -> dict[str, str]:
        if not secrets:
            return {}
        try:
            keys = self.secrets_key_file.read_bytes().split()
            box = MultiFernet([Fernet(key) for key in keys])
            return {name: box.decrypt(token).decode() for name, token in secrets.items()}
        except (OSError, InvalidToken, ValueError) as error:
            raise CannotLaunch(
                "A secret cannot be decrypted with this node's keys; set it again."
            ) from error

    def _watch(self, process: Process) -> None:
        loop = asyncio.get_running_loop()
        try:
            fd = os.pidfd_open(process.shim_pid)
        except ProcessLookupError:
            self._settle(process)
            return

        def ended() -> None:
            loop.remove_reader(fd)
            os.close(fd)
            self._settle(process)

        if select.select([fd], [], [], 0)[0]:
            os.close(fd)
            self._settle(process)
        else:
            loop.add_reader(fd, ended)

    def _settle(self, process: Process) -> None:
        if process.exit is not None:
            process.gone = True
            process.ended.set()
        else:
            asyncio.get_running_loop().create_task(self._lost(process))

    async def _lost(self, process: Process) -> None:
        """The shim is gone without a word: end what it may have left, then say so."""
        for _ in range(200):
            left = await asyncio.to_thread(_marked, process.uid)
            if not left:
                process.gone = True
                break
            for pid in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0.05)
        else:
            log.error("process %s: its remains do not end", process.uid)
        process.lost = process.exit is None
        process.ended.set()


def _orders(
    uid: str,
    folder: Path,
    document: ProcessDocument,
    secrets: dict[str, str],
    log_dir: str,
    output_dir: str | None,
    environment: str | None,
    extra_env: Mapping[str, str],
    nice: int,
) -> dict[str, Any]:
    for mount in document.mounts:
        if not os.path.exists(mount.source):
            raise CannotLaunch(f"{mount.target}: {mount.source} is not on this node.")
    confined = document.sandbox == "user" and sandbox.probe().confines
    seen = {m.target: m.target if confined else m.source for m in document.mounts}
    env = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
        "TMPDIR": "/tmp",  # noqa: S108 - the sandbox's own
        "OMP_NUM_THREADS": str(max(1, round(document.limits.cpu_m / 1000))),
    }
    if document.sandbox == "builder":
        env |= {k: v for k, v in os.environ.items() if k.startswith(PASSED_TO_BUILDERS)}
        env["PATH"] = os.environ.get("PATH", env["PATH"])
    for mount in document.mounts:
        if mount.env_path:
            env[mount.env_path] = seen[mount.target]
    env |= {name: _translate(value, seen) for name, value in document.env.items()}
    env |= secrets | dict(extra_env)
    if environment:
        env["PATH"] = f"{_translate(environment, seen)}/bin:{env['PATH']}"
        env["VIRTUAL_ENV"] = _translate(environment, seen)
    env[MARKER] = uid
    argv = ["/bin/sh", "-c", document.command]
    cwd = document.cwd
    if confined:
        prefixes = sandbox.interpreter_prefixes(_source(environment, document))
        argv = sandbox.wrap(argv, cwd=cwd, mounts=document.mounts, interpreter_prefixes=prefixes)
        cwd = "/"
    else:
        cwd = _translate(cwd, seen)
    limits = document.limits
    return {
        "folder": str(folder),
        "log_dir": log_dir,
        "output_dir": output_dir,
        "argv": argv,
        "env": env,
        "cwd": cwd,
        "nice": nice,
        "redact": sorted(secrets.values()),
        "limits": {
            "cpu_m": limits.cpu_m,
            "memory_bytes": limits.memory_bytes,
            "file_bytes": limits.file_bytes,
            "timeout_s": limits.timeout_s,
            "grace_s": limits.grace_s,
        },
    }


def _translate(value: str, seen: Mapping[str, str]) -> str:
    """A path inside the sandbox as the process really sees it: the longest mount wins."""
    for target in sorted(seen, key=len, reverse=True):
        if value == target or value.startswith(target + "/"):
            return seen[target] + value[len(target) :]
    return value


def _source(environment: str | None, document: ProcessDocument) -> str | None:
    if environment is None:
        return None
    return _translate(environment, {m.target: m.source for m in document.mounts})


def _is_same(identity: Mapping[str, Any]) -> bool:
    """Whether the process of this identity still lives: same boot, pid and start time."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    if identity.get("boot_id") != boot:
        return False
    try:
        return bool(start_time(identity["pid"]) == identity["start_time"])
    except (OSError, IndexError):
        return False


def _marked(uid: str) -> list[int]:
    """Pids of this machine whose environment names the process."""
    marker = f"{MARKER}={uid}".encode()
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            environ = Path("/proc", name, "environ").read_bytes()
        except OSError:
            continue
        if marker in environ.split(b"\0"):
            found.append(int(name))
    return found
