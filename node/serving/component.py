"""Serving as a component of the node: endpoints behind HTTP, the data plane below them."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from node.config import Config
from node.documents import EndpointDocument, EndpointObservation, from_json, to_json
from node.envoy import files
from node.envoy.admin import AdminError
from node.envoy.bootstrap import Options
from node.envoy.plane import DataPlane
from node.envoy.process import EnvoyProcess
from node.events import Events
from node.processes import Process, Processes
from node.serving import ports
from node.serving.activator import Activator
from node.serving.endpoint import Endpoint
from node.serving.replica import Replica
from node.serving.revision import Revision
from node.serving.stats import Sampler, totals
from node.shim import read_json
from node.web import conflict, document_of, missing

log = logging.getLogger(__name__)
JWKS_FILE = "endpoint-jwks.json"  # written by the portal beside its signing keys
LOOK_AT_KEYS_S = 1.0
ROTATE_EVERY_S, ACCESS_LOG_BYTES, ACCESS_LOGS = 30.0, 32 << 20, 3


class Serving:
    """The component that owns endpoints (see `node.app` for what a component is)."""

    def __init__(self, config: Config, processes: Processes, events: Events) -> None:
        self.config = config
        self.processes = processes
        self.events = events
        self.folder = config.folder / "endpoints"
        self.replicas_folder = config.folder / "replicas"
        self.activator_address = str(config.runtime / "activator.sock")
        self.endpoints: dict[str, Endpoint] = {}
        options = Options(
            folder=config.folder / "envoy",
            admin=config.runtime / "envoy-admin.sock",
            host=config.gateway_host,
            port=config.gateway_port,
            private_cookies=config.private_cookies,
        )
        self.envoy = EnvoyProcess(options, concurrency())
        self.plane = DataPlane(options.folder, self.envoy.admin)
        self.activator = Activator(Path(self.activator_address), self._find)
        self.sampler = Sampler(self.envoy.admin, self._revisions)
        self._tasks: list[asyncio.Task[None]] = []

    # The component -----------------------------------------------------------------------

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/endpoints", self.index),
            web.put("/v1/endpoints/{uid}", self.put),
            web.get("/v1/endpoints/{uid}", self.get),
            web.delete("/v1/endpoints/{uid}", self.delete),
            web.get("/v1/endpoints/{uid}/decisions", self.decisions),
        ]

    def info(self) -> dict[str, Any]:
        return {
            "envoy": self.envoy.info(),
            "endpoints": len(self.endpoints),
            "replicas": sum(len(r.replicas) for r in self._revisions()),
        }

    async def start(self) -> None:
        """Adopt replicas and Envoy. What an earlier node routed stays routed all the while."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.replicas_folder.mkdir(parents=True, exist_ok=True)
        self.plane.prepare()
        self._read_keys()
        for path in sorted(self.folder.glob("*.json")):
            self._load(path)
        self._adopt_replicas()
        await self.activator.start()
        for endpoint in self.endpoints.values():
            endpoint.begin()
        await self.envoy.start()
        self.plane.start()
        self._tasks += [
            asyncio.create_task(self.sampler.run()),
            asyncio.create_task(self._watch_keys()),
            asyncio.create_task(self._rotate_logs()),
        ]

    async def stop(self) -> None:
        """A planned stop: no new connections, requests end, replicas end, Envoy ends."""
        with suppress(AdminError):
            await self.envoy.admin.post("/drain_listeners")
        await asyncio.gather(*(e.close() for e in self.endpoints.values()))
        for task in self._tasks:
            task.cancel()
        await self.plane.stop()
        await self.activator.stop()
        await self.envoy.stop()

    # HTTP --------------------------------------------------------------------------------

    async def index(self, _request: web.Request) -> web.Response:
        return web.json_response({"endpoints": sorted(self.endpoints)})

    async def put(self, request: web.Request) -> web.Response:
        uid = request.match_info["uid"]
        document = await document_of(request, EndpointDocument)
        if document.uid != uid or not uid.isalnum():
            raise web.HTTPBadRequest(text="the document is for another uid")
        _check(document)
        endpoint = self.endpoints.get(uid)
        if endpoint is None:
            endpoint = self._endpoint(document)
            endpoint.save()
            endpoint.begin()
        elif endpoint.deleting:
            raise conflict("the endpoint is being deleted")
        elif document.generation < endpoint.document.generation:
            raise conflict(
                f"generation {document.generation} is older than {endpoint.document.generation}, "
                "which is held already"
            )
        elif document != endpoint.document:
            endpoint.put(document)
        return web.json_response(to_json(await self._observe(endpoint)))

    async def get(self, request: web.Request) -> web.Response:
        return web.json_response(to_json(await self._observe(self._known(request))))

    async def delete(self, request: web.Request) -> web.Response:
        self._known(request).delete()
        return web.Response(status=202)

    async def decisions(self, request: web.Request) -> web.Response:
        after = float(request.query.get("after", 0))
        return web.json_response(
            {
                uid: [to_json(d) for d in revision.decisions if d.at > after]
                for uid, revision in self._known(request).revisions.items()
            }
        )

    # What revisions need -----------------------------------------------------------------

    def set_members(self, revision_uid: str, addresses: list[str]) -> None:
        self.plane.set_members(revision_uid, addresses)

    async def in_force(self) -> None:
        await self.plane.in_force()

    def ports_taken(self) -> set[int]:
        return {r.port for revision in self._revisions() for r in revision.replicas}

    def busy(self, revision_uid: str) -> bool:
        return self.sampler.in_flight.get(revision_uid, 0) > 0

    def in_flight(self, address: str) -> int:
        """As `Host.in_flight`: Envoy closes its connections to a former member when their
        requests end, so what is still connected is still under way."""
        port = int(address.rpartition(":")[2])
        return max(self.activator.passing[address], ports.connections_to(port))

    # --------------------------------------------------------------------------------------

    def _known(self, request: web.Request) -> Endpoint:
        endpoint = self.endpoints.get(request.match_info["uid"])
        if endpoint is None:
            raise missing("no such endpoint")
        return endpoint

    def _revisions(self) -> list[Revision]:
        return [r for e in self.endpoints.values() for r in e.revisions.values()]

    def _find(self, revision_uid: str) -> Revision | None:
        for endpoint in self.endpoints.values():
            if revision_uid in endpoint.revisions:
                return endpoint.revisions[revision_uid]
        return None

    def _endpoint(
        self, document: EndpointDocument, saved: dict[str, Any] | None = None
    ) -> Endpoint:
        path = self.folder / f"{document.uid}.json"

        def tell(state: str) -> None:
            if state == "deleted":
                self.endpoints.pop(document.uid, None)
            self.events.append("endpoint", document.uid, state)

        endpoint = Endpoint(self, self.plane, path, document, tell, saved)
        self.endpoints[document.uid] = endpoint
        return endpoint

    def _load(self, path: Path) -> None:
        saved = read_json(str(path)) or {}
        try:
            document = from_json(EndpointDocument, saved["document"])
        except (KeyError, ValueError) as error:
            log.error("%s cannot be read: %s", path, error)
            return
        self._endpoint(document, saved)

    def _adopt_replicas(self) -> None:
        """Give every replica on disk back to its revision; end those that nobody wants."""
        for endpoint in self.endpoints.values():
            endpoint.restore()
        for folder in sorted(self.replicas_folder.iterdir()):
            record = read_json(str(folder / "replica.json"))
            if record is None or not (folder / "started.json").exists():
                shutil.rmtree(folder, ignore_errors=True)
                continue
            revision = self._find(record["revision_uid"])
            if revision is not None:
                revision.adopt(
                    Replica(self.processes, folder, revision.document, record, lambda _: None)
                )
            else:
                self._tasks.append(asyncio.create_task(self._end_orphan(record["uid"], folder)))

    async def _end_orphan(self, uid: str, folder: Path) -> None:
        process = Process(uid, folder)
        self.processes.adopt(process)
        self.processes.stop(process, "Cancelled")
        await process.ended.wait()
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _observe(self, endpoint: Endpoint) -> EndpointObservation:
        revisions = endpoint.revisions
        stats = await totals(self.envoy.admin, revisions, self.envoy.epoch)
        route = endpoint.document.route
        message = self.envoy.trouble
        if not message and endpoint.routed.generation != endpoint.document.generation:
            message = "Traffic stays as it was until every revision in it is ready."
        return EndpointObservation(
            uid=endpoint.uid,
            node_id=self.config.identity,
            generation=endpoint.document.generation,
            routed_generation=endpoint.routed.generation,
            route_url=f"{self.config.url}{route}" if route else None,
            revisions=tuple(r.observe(stats[uid]) for uid, r in revisions.items()),
            message=message,
        )

    def _read_keys(self) -> None:
        path = self.config.home / "keys" / JWKS_FILE
        try:
            self.plane.set_keys(json.loads(path.read_text()))
        except FileNotFoundError:
            # the filter needs a key; nobody holds the other half of this one
            nobody = ec.generate_private_key(ec.SECP256R1()).public_key()
            self.plane.set_keys({"keys": [ECAlgorithm.to_jwk(nobody, as_dict=True)]})
        except ValueError as error:
            log.error("%s cannot be read: %s", path, error)

    async def _watch_keys(self) -> None:
        path = self.config.home / "keys" / JWKS_FILE
        seen = _changed_at(path)
        while True:
            await asyncio.sleep(LOOK_AT_KEYS_S)
            now = _changed_at(path)
            if now != seen:
                seen = now
                self._read_keys()

    async def _rotate_logs(self) -> None:
        path = self.config.folder / "envoy" / "access.log"
        while True:
            await asyncio.sleep(ROTATE_EVERY_S)
            if files.rotate(path, limit_bytes=ACCESS_LOG_BYTES, keep=ACCESS_LOGS):
                with suppress(AdminError):
                    await self.envoy.admin.post("/reopen_logs")


def concurrency() -> int:
    """Envoy's worker threads. The model servers need the cores more than the gateway does."""
    return max(1, len(os.sched_getaffinity(0)) // 2)


def _changed_at(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _check(document: EndpointDocument) -> None:
    """Refuse a document that means nothing, with the field."""
    uids = [r.uid for r in document.revisions]
    if len(set(uids)) != len(uids):
        raise web.HTTPBadRequest(text="revisions: a uid is there twice")
    for i, revision in enumerate(document.revisions):
        if not revision.uid.isalnum():
            raise web.HTTPBadRequest(text=f"revisions[{i}].uid: letters and digits only")
        if not revision.log_dir:
            raise web.HTTPBadRequest(text=f"revisions[{i}].log_dir: is missing")
    for i, target in enumerate(document.traffic):
        if target.revision_uid not in uids:
            raise web.HTTPBadRequest(text=f"traffic[{i}].revision_uid: no such revision")
    if document.traffic and sum(t.percent for t in document.traffic) != 100:
        raise web.HTTPBadRequest(text="traffic: percents must total 100")
    if document.route is not None and not document.route.startswith("/"):
        raise web.HTTPBadRequest(text="route: must begin with /")
