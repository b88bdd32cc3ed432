"""The node's agent: components behind one HTTP interface on a Unix socket.

A component owns one kind of thing. It has `routes()`, `start()` (adopt what is there), `stop()`
(a planned stop) and `info()` for the status page.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

from aiohttp import web

from node import sandbox
from node.attempts import Attempts
from node.config import Config, pythons
from node.events import Events
from node.processes import Processes
from node.web import errors_as_json

log = logging.getLogger(__name__)
MAX_DOCUMENT = 32 << 20


class Component(Protocol):
    def routes(self) -> list[web.RouteDef]: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def info(self) -> dict[str, Any]: ...


class Node:
    def __init__(self, config: Config) -> None:
        self.config = config
        self.events = Events()
        self.processes = Processes(config.secrets_key_file)
        self.components: list[Component] = [Attempts(config, self.processes, self.events)]

    def add(self, component: Component) -> None:
        self.components.append(component)

    def info(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "node_id": self.config.identity,
            "cpu_m": self.config.capacity_cpu_m,
            "memory_bytes": self.config.capacity_memory_bytes,
            "pythons": list(pythons()),
            "sandbox": sandbox.probe().words,
            "confines": sandbox.probe().confines,
            "gateway_url": self.config.url,
        }
        for component in self.components:
            found |= component.info()
        return found

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then stop every component in reverse order."""
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        await asyncio.to_thread(sandbox.probe)
        for component in self.components:
            await component.start()
        runner = web.AppRunner(
            self._application(), handle_signals=False, access_log=None, shutdown_timeout=1
        )
        await runner.setup()
        await self._listen(runner)
        log.info("node %s is ready; processes are %s", self.config.identity, sandbox.probe().words)
        await stopping.wait()
        log.info("stopping: ending attempts and draining replicas")
        for component in reversed(self.components):
            await component.stop()
        await asyncio.sleep(0.1)  # let the last events out to their listeners
        await runner.cleanup()
        self.processes.close()

    async def _listen(self, runner: web.AppRunner) -> None:
        """Bind beside the path and rename over it, so that there is no moment without one."""
        path = str(self.config.socket)
        beside = f"{path}.{os.getpid()}"
        with suppress(FileNotFoundError):
            os.unlink(beside)
        await web.UnixSite(runner, beside).start()
        os.chmod(beside, 0o600)
        os.rename(beside, path)

    def _application(self) -> web.Application:
        app = web.Application(middlewares=[errors_as_json], client_max_size=MAX_DOCUMENT)
        app.add_routes([web.get("/v1/node", self._info), *self.events.routes()])
        for component in self.components:
            app.add_routes(component.routes())
        return app

    async def _info(self, _request: web.Request) -> web.Response:
        return web.json_response(self.info())


def build(config: Config, extra: Sequence[Component] = ()) -> Node:
    node = Node(config)
    for component in extra:
        node.add(component)
    return node
