"""The data plane as the node uses it: set members and routes, and know when they are in force.

Order matters: a cluster must be warm before a route names it, and no route may name it when it
goes. One loop writes clusters, routes, and then the smaller set of clusters, and waits for each
to be in force; whoever changes something may wait for that too.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from node.envoy import files, resources
from node.envoy.admin import Admin, AdminError
from node.envoy.resources import Route

log = logging.getLogger(__name__)
CDS_VERSION = "cluster_manager.cds.version_text"
RDS_VERSION = "http.gateway.rds.gateway.version_text"
SLOW_S = 10.0


class DataPlane:
    def __init__(self, folder: Path, admin: Admin) -> None:
        self.folder = folder
        self.admin = admin
        self.routes: dict[str, tuple[Route, ...]] = {}  # by endpoint
        self.clusters: dict[str, tuple[str, ...]] = {}  # members by revision
        self._published: dict[str, tuple[str, ...]] = {}  # those in cds.json
        self._wanted = self._done = 0
        self._dirty = asyncio.Event()
        self._in_force = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    def prepare(self) -> None:
        """Files that Envoy needs at its first start. Those of an earlier node stay."""
        for name, config in (
            ("cds.json", resources.clusters({})),
            ("rds.json", resources.routes(())),
        ):
            if not (self.folder / name).exists():
                files.put(self.folder / name, config)

    def start(self) -> None:
        """Begin to publish. Everything that is to live on must be set by now."""
        self.changed()
        self._task = asyncio.create_task(self._loop())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def set_keys(self, jwks: dict[str, Any]) -> None:
        files.put(self.folder / "keys.json", resources.keys(jwks))

    def set_members(self, revision_uid: str, addresses: Iterable[str]) -> None:
        """Who answers for a revision. Requests that are under way elsewhere end there."""
        members = tuple(addresses)
        if self.clusters.get(revision_uid) != members:
            self.clusters[revision_uid] = members
            self.changed()

    def drop(self, revision_uid: str) -> None:
        """Forget a revision that no route names any more."""
        if self.clusters.pop(revision_uid, None) is not None:
            self.changed()

    def set_routes(self, endpoint_uid: str, routes: tuple[Route, ...]) -> None:
        if self.routes.get(endpoint_uid, ()) != routes:
            if routes:
                self.routes[endpoint_uid] = routes
            else:
                self.routes.pop(endpoint_uid, None)
            self.changed()

    def changed(self) -> None:
        self._wanted += 1
        self._dirty.set()

    async def in_force(self) -> None:
        """Wait until everything that was set before this call is what Envoy serves."""
        serial = self._wanted
        async with self._in_force:
            await self._in_force.wait_for(lambda: self._done >= serial)

    # --------------------------------------------------------------------------------------

    async def _loop(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            serial = self._wanted
            await self._publish()
            async with self._in_force:
                self._done = serial
                self._in_force.notify_all()

    async def _publish(self) -> None:
        wanted = dict(self.clusters)
        routes = [route for group in self.routes.values() for route in group]
        await self._put_clusters(self._published | wanted)
        config = resources.routes(routes)
        files.put(self.folder / "rds.json", config)
        await self._until(RDS_VERSION, config["version_info"])
        if self._published.keys() - wanted.keys():
            await self._put_clusters(wanted)

    async def _put_clusters(self, wanted: dict[str, tuple[str, ...]]) -> None:
        config = resources.clusters(wanted)
        files.put(self.folder / "cds.json", config)
        await self._until(CDS_VERSION, config["version_info"])
        if wanted.keys() - self._published.keys():
            names = {resources.cluster_name(uid) for uid in wanted}
            await self._poll("clusters", lambda found: names <= found, self.admin.active_clusters)
        self._published = wanted

    async def _until(self, stat: str, version: str) -> None:
        pattern = "^" + stat.replace(".", r"\.") + "$"

        async def look() -> str:
            return (await self.admin.texts(pattern)).get(stat, "")

        await self._poll(stat, lambda found: found == version, look)

    async def _poll(
        self, what: str, enough: Callable[[Any], bool], look: Callable[[], Any]
    ) -> None:
        """Look until it is so. While Envoy is down this waits: it reads the files when it starts."""
        pause, warned, began = 0.002, False, time.monotonic()
        while True:
            with suppress(AdminError):
                if enough(await look()):
                    return
            if not warned and time.monotonic() - began > SLOW_S:
                warned = True
                log.error("Envoy has not taken the new configuration (%s); see envoy.log", what)
            await asyncio.sleep(pause)
            pause = min(0.1, pause * 1.5)
