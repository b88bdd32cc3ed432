"""Attempts on this node: one process, once.

An attempt's folder is `node/attempts/<uid>/`: `document.json` (with secrets as ciphertext) and
the process's own files. The folder is the truth; a restarted node reads it.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from pathlib import Path
from typing import Any

from aiohttp import web

from node.config import Config
from node.documents import (
    AttemptDocument,
    AttemptObservation,
    Exit,
    OutputFile,
    Usage,
    from_json,
    to_json,
)
from node.events import Events
from node.processes import CannotLaunch, Process, Processes
from node.shim import read_json, write_json
from node.web import conflict, document_of, missing

log = logging.getLogger(__name__)
NICE = 5  # training yields to serving and to the portal


class Attempts:
    """The component that owns attempts (see `node.app` for what a component is)."""

    def __init__(self, config: Config, processes: Processes, events: Events) -> None:
        self.config = config
        self.processes = processes
        self.events = events
        self.folder = config.folder / "attempts"
        self.live: dict[str, Process] = {}
        self.locks: dict[str, asyncio.Lock] = {}

    def routes(self) -> list[web.RouteDef]:
        return [
            web.put("/v1/attempts/{uid}", self.put),
            web.get("/v1/attempts/{uid}", self.get),
            web.post("/v1/attempts/{uid}/cancel", self.cancel),
            web.delete("/v1/attempts/{uid}", self.delete),
        ]

    def info(self) -> dict[str, Any]:
        return {"attempts": sum(1 for p in self.live.values() if not p.ended.is_set())}

    async def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for folder in sorted(self.folder.iterdir()):
            if (folder / "document.json").exists():
                await self._begin(folder.name, read_json(str(folder / "document.json")) or {})

    async def stop(self) -> None:
        """A planned stop ends attempts as interrupted; the portal tries them again."""
        waiting = [p for p in self.live.values() if not p.ended.is_set()]
        for process in waiting:
            self.processes.stop(process, "Interrupted")
        if waiting:
            await asyncio.wait([asyncio.ensure_future(p.ended.wait()) for p in waiting], timeout=15)

    # HTTP --------------------------------------------------------------------------------

    async def put(self, request: web.Request) -> web.Response:
        uid = request.match_info["uid"]
        document = await document_of(request, AttemptDocument)
        if document.uid != uid or not uid.isalnum():
            raise web.HTTPBadRequest(text="the document is for another uid")
        async with self.locks.setdefault(uid, asyncio.Lock()):
            path = self.folder / uid / "document.json"
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                data = to_json(document)
                write_json(str(path), data)
                await self._begin(uid, data)
        return web.json_response(to_json(self.observe(uid)))

    async def get(self, request: web.Request) -> web.Response:
        return web.json_response(to_json(self.observe(self._known(request))))

    async def cancel(self, request: web.Request) -> web.Response:
        uid = self._known(request)
        body = await request.json() if request.can_read_body else {}
        self.processes.stop(self.live[uid], "Cancelled", body.get("grace_s"))
        return web.json_response(to_json(self.observe(uid)), status=202)

    async def delete(self, request: web.Request) -> web.Response:
        uid = request.match_info["uid"]
        process = self.live.get(uid)
        if process is not None:
            if not process.gone:
                raise conflict("the attempt is not gone yet")
            await asyncio.to_thread(shutil.rmtree, process.folder, ignore_errors=True)
            self.live.pop(uid, None)
            self.locks.pop(uid, None)
        return web.Response(status=204)

    # --------------------------------------------------------------------------------------

    def _known(self, request: web.Request) -> str:
        uid = request.match_info["uid"]
        if uid not in self.live:
            raise missing("no such attempt")
        return uid

    async def _begin(self, uid: str, data: dict[str, Any]) -> None:
        folder = self.folder / uid
        try:
            document = from_json(AttemptDocument, data)
            process = await self.processes.launch(
                uid,
                folder,
                document.process,
                log_dir=document.log_dir,
                output_dir=document.output_dir,
                environment=document.process.environment,
                nice=NICE,
            )
        except (CannotLaunch, ValueError, OSError) as error:
            log.warning("attempt %s cannot start: %s", uid, error)
            process = self._refused(uid, folder, str(error))
        self.live[uid] = process
        asyncio.get_running_loop().create_task(self._tell(process))

    def _refused(self, uid: str, folder: Path, why: str) -> Process:
        ended = {"code": None, "signal": None, "reason": "CannotStart", "message": why}
        write_json(
            str(folder / "exit.json"),
            {
                "exit": ended,
                "started_at": None,
                "finished_at": None,
                "usage": {},
                "outputs": [],
                "outputs_digest": None,
            },
        )
        process = Process(uid, folder, gone=True)
        process.ended.set()
        return process

    async def _tell(self, process: Process) -> None:
        await process.ended.wait()
        self.events.append("attempt", process.uid, "lost" if process.lost else "exited")

    def observe(self, uid: str) -> AttemptObservation:
        process = self.live[uid]
        common: dict[str, Any] = {"uid": uid, "node_id": self.config.identity}
        if process.ended.is_set():
            ended = process.exit
            if ended is None:
                return AttemptObservation(
                    **common,
                    state="lost",
                    gone=process.gone,
                    message="Its process vanished without a word (the machine or its shim died).",
                )
            return AttemptObservation(
                **common,
                state="exited",
                message=ended["exit"]["message"],
                started_at=ended["started_at"],
                finished_at=ended["finished_at"],
                exit=from_json(Exit, ended["exit"]),
                usage=from_json(Usage, ended["usage"]),
                outputs=tuple(from_json(OutputFile, f) for f in ended["outputs"]),
                outputs_digest=ended["outputs_digest"],
                gone=process.gone,
            )
        running = process.running
        if (process.folder / "stop.json").exists():
            return AttemptObservation(**common, state="cancelling", message="It is being stopped.")
        if running is None:
            return AttemptObservation(**common, state="starting")
        return AttemptObservation(
            **common, state="running", pid=running["pid"], started_at=running["started_at"]
        )
