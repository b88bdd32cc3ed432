"""Live hints for browsers: one subscription a process, fanned out to bounded queues.

Hints say only {topic, uid, version, id}; whoever gets one looks again. A listener that falls
behind, or comes back after too long, is told to look at everything again (`resync`).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import redis.asyncio as redis
from asgiref.sync import sync_to_async
from django.conf import settings

from portal.core import clock
from portal.core.events import CHANNEL
from portal.core.models import Event

log = logging.getLogger(__name__)
QUEUE = 500
RETRY_S = 2.0
KEEPALIVE_S = 15.0
REPLAY_MAX = 1000
OVERLAP = timedelta(seconds=60)
SEEN = 5000
Hint = dict[str, Any]


class Hub:
    """All listeners of this process. Lives in one event loop."""

    def __init__(self) -> None:
        self.listeners: set[asyncio.Queue[Hint]] = set()
        self.task: asyncio.Task[None] | None = None
        self.seen: OrderedDict[int, None] = OrderedDict()

    def listen(self) -> asyncio.Queue[Hint]:
        queue: asyncio.Queue[Hint] = asyncio.Queue(QUEUE)
        self.listeners.add(queue)
        if self.task is None or self.task.done():
            self.task = asyncio.get_running_loop().create_task(self._follow())
        return queue

    def leave(self, queue: asyncio.Queue[Hint]) -> None:
        self.listeners.discard(queue)

    def _spread(self, hint: Hint) -> None:
        event = hint.get("id")
        if event:
            if event in self.seen:
                return
            self.seen[event] = None
            if len(self.seen) > SEEN:
                self.seen.popitem(last=False)
        for queue in self.listeners:
            if queue.full():
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait({"resync": True})
            else:
                queue.put_nowait(hint)

    async def _follow(self) -> None:
        """Follow the queue server; while it is down, poll the event table instead."""
        position = await _last_event()
        while self.listeners:
            try:
                position = await self._subscribed(position)
            except (redis.RedisError, OSError) as error:
                log.info("live hints come from the database for now: %s", error)
                for hint in await _events_after(position):
                    position = max(position, hint["id"])
                    self._spread(hint)
                await asyncio.sleep(RETRY_S)

    async def _subscribed(self, position: int) -> int:
        client = redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=1)
        try:
            async with client.pubsub() as channel:
                await channel.subscribe(CHANNEL)
                for hint in await _events_after(position):
                    position = max(position, hint["id"])
                    self._spread(hint)
                while self.listeners:
                    message = await channel.get_message(
                        ignore_subscribe_messages=True, timeout=RETRY_S
                    )
                    if message and message["type"] == "message":
                        hint = json.loads(message["data"])
                        position = max(position, hint.get("id") or 0)
                        self._spread(hint)
        finally:
            await client.aclose()
        return position


_hubs: dict[int, Hub] = {}


def hub() -> Hub:
    """The hub of the running loop."""
    return _hubs.setdefault(id(asyncio.get_running_loop()), Hub())


async def stream(
    may_see: Callable[[Hint], bool], topics: frozenset[str], last_id: int | None
) -> AsyncIterator[str]:
    """Server-sent events for one listener: replay after `last_id`, then hints as they come."""
    own = hub()
    queue = own.listen()
    try:
        yield "retry: 2000\n: hello\n\n"
        if last_id is not None:
            missed = await _events_after(last_id, REPLAY_MAX + 1)
            if len(missed) > REPLAY_MAX:
                yield _sse({"resync": True}, None)
            else:
                for hint in missed:
                    if _wanted(hint, topics) and may_see(hint):
                        yield _sse(hint, hint["id"])
        while True:
            try:
                hint = await asyncio.wait_for(queue.get(), KEEPALIVE_S)
            except TimeoutError:
                yield ": alive\n\n"
                continue
            if hint.get("resync"):
                yield _sse(hint, None)
            elif _wanted(hint, topics) and may_see(hint):
                yield _sse(hint, hint.get("id"))
    finally:
        own.leave(queue)


def _wanted(hint: Hint, topics: frozenset[str]) -> bool:
    return (
        not topics
        or hint["topic"] in topics
        or bool(hint["project"] and f"project:{hint['project']}" in topics)
    )


def _sse(hint: Hint, event_id: int | None) -> str:
    data = {k: v for k, v in hint.items() if k in ("topic", "uid", "version", "id", "resync")}
    head = f"id: {event_id}\n" if event_id else ""
    return f"{head}data: {json.dumps(data, separators=(',', ':'))}\n\n"


@sync_to_async
def _last_event() -> int:
    last = Event.objects.order_by("-id").values_list("id", flat=True).first()
    return last or 0


@sync_to_async
def _events_after(position: int, limit: int = REPLAY_MAX) -> list[Hint]:
    """Events since a minute before event `position`: ids are given before commit, so a lower one
    can become visible after a higher one. Listeners drop what they have."""
    last = Event.objects.filter(id=position).values_list("created_at", flat=True).first()
    since = (last or clock.now()) - OVERLAP
    rows = Event.objects.filter(created_at__gte=since).order_by("id")[:limit]
    return [
        {
            "topic": row.topic,
            "team": row.team_uid,
            "project": row.project_uid,
            "uid": row.subject_uid,
            "version": row.subject_version,
            "id": row.id,
        }
        for row in rows
    ]
