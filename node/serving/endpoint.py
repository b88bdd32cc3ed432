"""One endpoint on this node: its document, what of it is routed, and its revisions.

Traffic moves to what a document wants only when every revision in it can answer; until then the
old routing stays, and `routed_generation` says so. Its file holds both, written whole, so that a
restarted node goes on where this one was.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from node.documents import EndpointDocument, RevisionDocument, TrafficDocument, from_json, to_json
from node.envoy.plane import DataPlane
from node.envoy.resources import Route, Share
from node.serving.revision import Host, Revision
from node.shim import write_json

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Routed:
    """What the data plane serves: it keeps its own copy of the revisions, which a newer document
    may no longer name."""

    generation: int = 0
    traffic: tuple[TrafficDocument, ...] = ()
    revisions: tuple[RevisionDocument, ...] = ()


class Endpoint:
    """`tell(state)` is called after a change that observers may care about."""

    def __init__(
        self,
        host: Host,
        plane: DataPlane,
        path: Path,
        document: EndpointDocument,
        tell: Callable[[str], None],
        saved: dict[str, Any] | None = None,
    ) -> None:
        self.host = host
        self.plane = plane
        self.path = path
        self.document = document
        self.tell = tell
        self.revisions: dict[str, Revision] = {}
        saved = saved or {}
        self.routed = from_json(Routed, saved.get("routed", {}))
        self.proved: set[str] = set(saved.get("proved", ()))
        self.cold_starts: dict[str, int] = dict(saved.get("cold_starts", {}))
        self.deleting: bool = bool(saved.get("deleting"))
        self._again = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._last_saved: dict[str, Any] | None = None

    @property
    def uid(self) -> str:
        return self.document.uid

    def put(self, document: EndpointDocument) -> None:
        """Accept a document of the same or a newer generation."""
        newer = document.generation > self.document.generation
        self.document = document
        self.save()
        if newer:
            for revision in self.revisions.values():
                revision.try_again()
        self.shape()

    def delete(self) -> None:
        self.deleting = True
        self.save()
        self._again.set()

    def restore(self) -> None:
        """Have every revision there, without a role yet, so that its replicas can be adopted."""
        for uid, document in self._named().items():
            self._revision(uid, document)

    def begin(self) -> None:
        """Set members and routes as they were, then keep reconciling."""
        self.shape()
        self._task = asyncio.create_task(self._loop())

    def save(self) -> None:
        for uid, revision in self.revisions.items():
            self.cold_starts[uid] = revision.cold_starts
            if revision.proved:
                self.proved.add(uid)
        data = {
            "document": to_json(self.document),
            "routed": to_json(self.routed),
            "proved": sorted(self.proved & self._named().keys()),
            "cold_starts": {u: n for u, n in self.cold_starts.items() if u in self._named()},
            "deleting": self.deleting,
        }
        if data != self._last_saved:
            self._last_saved = data
            write_json(str(self.path), data)

    async def close(self) -> None:
        """Stop reconciling and drain every replica (a planned stop of the node)."""
        if self._task is not None:
            self._task.cancel()
        await asyncio.gather(*(r.close() for r in self.revisions.values()))

    # --------------------------------------------------------------------------------------

    def _named(self) -> dict[str, RevisionDocument]:
        """Every revision that must be here: what is routed, and what is wanted."""
        named = {r.uid: r for r in self.routed.revisions}
        return named | {r.uid: r for r in self.document.revisions}

    def shape(self) -> None:
        """Give every revision its role and publish routes. Never waits."""
        for uid, document in self._named().items():
            self._revision(uid, document)
        self._give_roles()
        self.plane.set_routes(self.uid, self._routes())
        self._again.set()

    def _revision(self, uid: str, document: RevisionDocument) -> None:
        if uid not in self.revisions:
            self.revisions[uid] = Revision(
                self.host,
                self.uid,
                document,
                self._revision_changed,
                proved=uid in self.proved,
                cold_starts=self.cold_starts.get(uid, 0),
            )

    def _give_roles(self) -> None:
        named = self._named()
        for uid, revision in list(self.revisions.items()):
            document = named.get(uid)
            if document is None or self.deleting:
                revision.set_role(revision.document, in_traffic=False, floor=0)
            else:
                self._give_role(revision, document)

    def _give_role(self, revision: Revision, document: RevisionDocument) -> None:
        shared = {t.revision_uid for t in (*self.document.traffic, *self.routed.traffic)
                  if t.percent or t.tag}  # fmt: skip
        in_traffic = self.document.route is not None and document.uid in shared
        if in_traffic:
            floor = max(document.scale.min, document.keep_warm)
        elif self.document.route is None:
            floor = max(1, document.scale.min)
        else:
            floor = document.keep_warm
        revision.set_role(document, in_traffic=in_traffic, floor=floor)

    def _routes(self) -> tuple[Route, ...]:
        prefix = self.document.route
        if prefix is None or self.deleting:
            return ()
        auth = self.document.auth
        by_uid = {r.uid: r for r in self.routed.revisions}
        base = Route(
            prefix=prefix,
            endpoint_uid=auth.audience or self.uid,
            shares=(),
            key_ids=None if auth.mode == "public" else auth.live_key_ids,
            timeout_s=60.0,
            max_request_bytes=self.document.max_request_bytes,
            waiting=self._waiting(),
        )
        main = [t for t in self.routed.traffic if t.percent]
        routes = [_with_shares(base, main, by_uid)]
        for target in self.routed.traffic:
            if target.tag:
                tagged = replace(base, prefix=f"{prefix}~{target.tag}")
                routes.append(_with_shares(tagged, [replace(target, percent=100)], by_uid))
        return tuple(routes)

    def _waiting(self) -> str:
        for revision in self.revisions.values():
            if revision.gave_up and revision.reason is not None:
                return revision.reason.message
        return "The endpoint is starting."

    def _revision_changed(self) -> None:
        self._again.set()
        self.tell("changed")

    async def _loop(self) -> None:
        while True:
            await self._again.wait()
            self._again.clear()
            try:
                if self.deleting:
                    await self._remove()
                    return
                await self._reconcile()
            except Exception:
                log.exception("endpoint %s", self.document.name)
                asyncio.get_running_loop().call_later(1.0, self._again.set)

    async def _reconcile(self) -> None:
        document = self.document
        if self.routed.generation != document.generation and self._can_route(document):
            named = {t.revision_uid for t in document.traffic}
            self.routed = Routed(
                generation=document.generation,
                traffic=document.traffic,
                revisions=tuple(r for r in document.revisions if r.uid in named),
            )
            self.plane.set_routes(self.uid, self._routes())
            await self.plane.in_force()
            self.save()
            # only now may the old ones go: no request is on its way to them any more
            self._give_roles()
            self.tell("routed")
        else:
            self.plane.set_routes(self.uid, self._routes())
            self.save()
        for uid in set(self.revisions) - set(self._named()):
            if not self.revisions[uid].replicas:
                del self.revisions[uid]
                self.plane.drop(uid)

    def _can_route(self, document: EndpointDocument) -> bool:
        return all(
            self.revisions[t.revision_uid].routable
            for t in document.traffic
            if t.revision_uid in self.revisions
        )

    async def _drop(self, revision: Revision) -> None:
        await revision.close()
        self.plane.drop(revision.document.uid)

    async def _remove(self) -> None:
        self.plane.set_routes(self.uid, ())
        await self.plane.in_force()
        await asyncio.gather(*(self._drop(r) for r in self.revisions.values()))
        await self.plane.in_force()
        self.path.unlink(missing_ok=True)
        self.tell("deleted")


def _with_shares(
    route: Route, targets: list[TrafficDocument], documents: dict[str, RevisionDocument]
) -> Route:
    return replace(
        route,
        shares=tuple(Share(revision_uid=t.revision_uid, weight=t.percent) for t in targets),
        timeout_s=max((documents[t.revision_uid].timeout_s for t in targets), default=60.0),
    )
