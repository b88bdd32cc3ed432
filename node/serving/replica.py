"""One replica: a server process from its start to its end, probed all the while.

Its folder `node/replicas/<uid>/` holds `replica.json` beside the shim's files; a restarted node
finds it there and goes on as before.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from contract.logs import Folder, tail
from contract.names import HOME_DIR
from node.documents import (
    Exit,
    Mount,
    ProcessDocument,
    ReplicaObservation,
    ReplicaState,
    RevisionDocument,
    from_json,
)
from node.processes import CannotLaunch, Process, Processes
from node.serving import ports, reasons
from node.serving.probe import Result, probe
from node.serving.reasons import Reason
from node.shim import rss_bytes, write_json

FIRST_PAUSE_S, LAST_PAUSE_S = 0.02, 0.25
LOOK_AT_PORTS_S = 0.5
ELSEWHERE_S = 1.5  # how long it must listen elsewhere, and answer there, to be called wrong
BUSY_S = 60.0  # beyond the revision's timeout: when a busy server counts as hung


class Replica:
    """`changed` is called in the loop's thread whenever the state did. States: starting, ready,
    draining, exited."""

    def __init__(
        self,
        processes: Processes,
        folder: Path,
        revision: RevisionDocument,
        record: dict[str, Any],
        changed: Callable[[Replica], None],
    ) -> None:
        self.processes = processes
        self.folder = folder
        self.revision = revision
        self.changed = changed
        self.uid: str = record["uid"]
        self.port: int = record["port"]
        self.restarts: int = record["restarts"]
        self.created_at: float = record["created_at"]
        self.ready_at: float | None = record.get("ready_at")
        self.record = record
        self.state: ReplicaState = "starting"
        self.exit: Exit | None = None
        self.reason: Reason | None = None
        self.stopping = False
        self.busy: Callable[[], bool] = lambda: False
        self.process = Process(self.uid, folder)
        self.task: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def log_dir(self) -> str:
        return str(Path(self.revision.log_dir) / self.uid)

    def start(self) -> None:
        """Write the record and launch, or go on with what an earlier node launched."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(str(self.folder / "replica.json"), self.record, durable=False)
        if (self.folder / "started.json").exists():
            self.processes.adopt(self.process)
            if self.ready_at is not None and not self.process.ended.is_set():
                self.state = "ready"
        self.task = asyncio.create_task(self._live())

    def drain(self) -> None:
        self.state = "draining"

    def revive(self) -> None:
        """Back into service: it was draining but not told to end."""
        self.state = "ready"

    def stop(self, grace_s: float | None = None) -> None:
        self.stopping = True
        self.processes.stop(self.process, "Cancelled", grace_s)

    async def ended(self) -> None:
        if self.task is not None:
            await asyncio.wait({self.task})

    async def remove(self) -> None:
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)

    def observe(self) -> ReplicaObservation:
        running = self.process.running if self.state != "exited" else None
        tree = ports.process_tree(self.process.shim_pid) if running else []
        return ReplicaObservation(
            uid=self.uid,
            state=self.state,
            address=self.address,
            pid=running["pid"] if running else None,
            started_at=running["started_at"] if running else self.created_at,
            ready_at=self.ready_at,
            restarts=self.restarts,
            rss_bytes=rss_bytes(tree[1:]),
            exit=self.exit,
            message=self.reason.message if self.reason else "",
        )

    # --------------------------------------------------------------------------------------

    async def _live(self) -> None:
        """From launch to end; afterwards `exit` or `reason` say how it ended."""
        try:
            if not self.process.shim_pid and not self.process.ended.is_set():
                self.process = await self.processes.launch(
                    self.uid,
                    self.folder,
                    self._document(),
                    log_dir=self.log_dir,
                    environment=self.revision.process.environment,
                    extra_env={"PORT": str(self.port), "HEKATON_REPLICA": self.uid},
                )
                if self.stopping:
                    self.stop()
        except (CannotLaunch, OSError) as error:
            self.reason = Reason("CannotStart", str(error))
            self._become("exited")
            return
        work = asyncio.create_task(self._watch())
        end = asyncio.create_task(self.process.ended.wait())
        await asyncio.wait({work, end}, return_when=asyncio.FIRST_COMPLETED)
        if work.done() and not self.process.ended.is_set():
            self.reason = work.result()
            self.stop(grace_s=2.0)
        await end
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work
        self._settle()
        self._become("exited")

    def _document(self) -> ProcessDocument:
        """The revision's process with a scratch HOME of its own."""
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        scratch = Mount(source=str(home), target=HOME_DIR, writable=True, env_path="HOME")
        process = self.revision.process
        return replace(process, mounts=(*process.mounts, scratch))

    def _settle(self) -> None:
        ended = self.process.exit
        if ended is None:
            self.reason = self.reason or Reason(
                "AppCrashed", "Its process vanished without a word."
            )
            return
        self.exit = from_json(Exit, ended["exit"])
        if self.reason is None and not self.stopping:
            log = tail(Folder(self.log_dir), 60)
            self.reason = reasons.of_exit(self.exit, log, was_ready=self.ready_at is not None)

    def _become(self, state: ReplicaState) -> None:
        self.state = state
        self.changed(self)

    async def _watch(self) -> Reason:
        """Probe until something is wrong for good, and say what."""
        if self.state == "starting":
            wrong = await self._starting()
            if wrong is not None:
                return wrong
            self.ready_at = time.time()
            self.record["ready_at"] = self.ready_at
            write_json(str(self.folder / "replica.json"), self.record, durable=False)
            self._become("ready")
        return await self._serving()

    async def _starting(self) -> Reason | None:
        check = self.revision.probe
        deadline = self.created_at + check.startup_s
        pause, looked_at, elsewhere_since = FIRST_PAUSE_S, time.monotonic(), 0.0
        while True:
            result = await probe(self.port, check.path, check.timeout_s)
            if result.kind == "ok":
                own = await self._own_ports()
                return None if own is None or self.port in own else reasons.foreign_port(self.port)
            now = time.monotonic()
            if result.kind == "refused" and now - looked_at > LOOK_AT_PORTS_S:
                looked_at = now
                others = await self._answering_elsewhere()
                if not others:
                    elsewhere_since = 0.0
                elif not elsewhere_since:
                    elsewhere_since = now
                elif now - elsewhere_since > ELSEWHERE_S:
                    return reasons.wrong_port(self.port, others)
            if time.time() > deadline:
                return reasons.not_ready(result, check, self.port)
            await asyncio.sleep(pause)
            pause = min(LAST_PAUSE_S, pause * 1.2)

    async def _own_ports(self) -> set[int] | None:
        return await asyncio.to_thread(
            lambda: ports.listened_by(ports.process_tree(self.process.shim_pid))
        )

    async def _answering_elsewhere(self) -> set[int]:
        """Other ports of this replica at which something answers HTTP."""
        check = self.revision.probe
        others = (await self._own_ports() or set()) - {self.port}
        results = await asyncio.gather(*(probe(p, check.path, check.timeout_s) for p in others))
        return {
            p for p, r in zip(others, results, strict=True) if r.kind == "ok" or r.kind == "status"
        }

    async def _serving(self) -> Reason:
        check = self.revision.probe
        failures, well_at = 0, time.monotonic()
        while True:
            await asyncio.sleep(check.period_s)
            result = await probe(self.port, check.path, check.timeout_s)
            now = time.monotonic()
            if result.kind == "ok":
                failures, well_at = 0, now
            elif not self._only_busy(result, now - well_at):
                failures += 1
                if failures >= check.failures and not self.stopping:
                    return reasons.unhealthy(result, check)

    def _only_busy(self, result: Result, silent_s: float) -> bool:
        """A server that works on requests may not get to its health check: that is no failure."""
        return (
            result.kind == "timeout"
            and self.busy()
            and (silent_s < self.revision.timeout_s + BUSY_S)
        )
