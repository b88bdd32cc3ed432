"""Holds requests while a revision has no replica, then passes them on.

The data plane sends here what has no ready member. It listens on a Unix socket that only this
user can open, and learns the revision from the header that the data plane sets.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import aiohttp
from aiohttp import web

from contract.names import HEADER_REVISION
from node.envoy.replies import PROBLEM
from node.serving.revision import Revision

QUEUE = 1000  # requests held for one revision
HOP_BY_HOP = frozenset({"connection", "keep-alive", "proxy-authenticate", "proxy-authorization",
                        "te", "trailer", "transfer-encoding", "upgrade"})  # fmt: skip
RETRY_AFTER_S = 5


class Activator:
    """`find` answers the revision of a uid, or None."""

    def __init__(self, socket: Path, find: Callable[[str], Revision | None]) -> None:
        self.socket = socket
        self.find = find
        self.waiting: Counter[str] = Counter()  # by revision
        self.passing: Counter[str] = Counter()  # by replica address
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=1),
            timeout=aiohttp.ClientTimeout(total=None, connect=2),
            auto_decompress=False,
        )
        app = web.Application(client_max_size=0)
        app.router.add_route("*", "/{path:.*}", self.handle)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=2)
        await self._runner.setup()
        beside = f"{self.socket}.{os.getpid()}"
        with suppress(FileNotFoundError):
            os.unlink(beside)
        await web.UnixSite(self._runner, beside, backlog=1024).start()
        os.chmod(beside, 0o600)
        os.rename(beside, self.socket)

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        revision = self.find(request.headers.get(HEADER_REVISION, ""))
        if revision is None:
            return _unavailable("The revision is not on this node any more.")
        uid = revision.document.uid
        if self.waiting[uid] >= QUEUE:
            return _unavailable(f"{QUEUE} requests are waiting for this revision already.")
        self.waiting[uid] += 1
        try:
            revision.demand(self.waiting[uid])
            ready = await asyncio.wait_for(revision.some_ready(), revision.document.probe.startup_s)
        except TimeoutError:
            return _unavailable("No replica became ready in time.")
        finally:
            self.waiting[uid] -= 1
        if not ready:
            why = revision.reason.message if revision.reason else "It is being removed."
            return _unavailable(why)
        address = min((r.address for r in ready), key=lambda a: self.passing[a])
        self.passing[address] += 1
        try:
            return await self._pass(request, address)
        finally:
            self.passing[address] -= 1
            if not self.passing[address]:
                del self.passing[address]

    async def _pass(self, request: web.Request, address: str) -> web.StreamResponse:
        assert self._session is not None
        headers = [(k, v) for k, v in request.headers.items() if k.lower() not in HOP_BY_HOP]
        try:
            upstream = await self._session.request(
                request.method,
                f"http://{address}{request.raw_path}",
                headers=headers,
                data=_body(request) if request.can_read_body else None,
                allow_redirects=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            )
        except (aiohttp.ClientError, OSError) as error:
            return _unavailable(f"The replica did not answer ({type(error).__name__}).")
        async with upstream:
            response = web.StreamResponse(status=upstream.status, reason=upstream.reason)
            for name, value in upstream.headers.items():
                if name.lower() not in HOP_BY_HOP:
                    response.headers.add(name, value)
            await response.prepare(request)
            async for block in upstream.content.iter_any():
                await response.write(block)
            await response.write_eof()
            return response


async def _body(request: web.Request) -> AsyncIterator[bytes]:
    async for block in request.content.iter_any():
        yield block


def _unavailable(detail: str) -> web.Response:
    return web.json_response(
        {
            "type": "about:blank",
            "title": "The endpoint cannot answer now",
            "status": 503,
            "code": "unavailable",
            "detail": detail,
        },
        status=503,
        headers={"Retry-After": str(RETRY_AFTER_S)},
        content_type=PROBLEM,
    )
