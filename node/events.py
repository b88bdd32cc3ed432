"""What happened on the node, as a stream of hints: who missed some looks at everything again."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from contextlib import suppress
from typing import Any

from aiohttp import web

KEPT = 10_000
QUIET_S = 15.0


class Events:
    """A ring of events and the listeners that wait for more."""

    def __init__(self) -> None:
        self.epoch = f"{time.time():.3f}"  # a restarted node begins a new numbering
        self.serial = 0
        self.ring: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self.more = asyncio.Event()

    def append(self, kind: str, uid: str, state: str) -> None:
        self.serial += 1
        self.ring.append({"seq": self.serial, "kind": kind, "uid": uid, "state": state})
        self.more.set()
        self.more = asyncio.Event()

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/v1/events", self.stream)]

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """JSON lines, kept open. The first line names the epoch; an empty object is a sign of
        life."""
        after = int(request.query.get("after", self.serial))
        if request.query.get("epoch") not in (None, self.epoch):
            after = 0
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        with suppress(ConnectionResetError):  # the listener went away
            await self._follow(response, after)
        return response

    async def _follow(self, response: web.StreamResponse, after: int) -> None:
        await _line(response, {"epoch": self.epoch, "seq": self.serial})
        while True:
            more = self.more
            for event in list(self.ring):
                if event["seq"] > after:
                    after = event["seq"]
                    await _line(response, event)
            try:
                await asyncio.wait_for(more.wait(), QUIET_S)
            except TimeoutError:
                await _line(response, {})


async def _line(response: web.StreamResponse, data: dict[str, Any]) -> None:
    await response.write(json.dumps(data, separators=(",", ":")).encode() + b"\n")
