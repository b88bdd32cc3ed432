"""Log answers: a JSON page, the whole as text, or server-sent events that follow."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from asgiref.sync import sync_to_async
from django.http import HttpResponseBase, StreamingHttpResponse
from rest_framework.request import Request
from rest_framework.response import Response

from contract import logs
from pipelines.api.serializers import LogPageSerializer
from portal.core.api.events import event_stream
from portal.core.errors import InvalidInput, NotFound
from portal.core.storage import storage

MAX_LINES = 5000
FOLLOW_FAST_S, FOLLOW_SLOW_S = 0.15, 1.0
ALIVE_S = 15.0


class StoredLog:
    """A log in the object store, as `contract.logs` reads it."""

    def __init__(self, key: str) -> None:
        self.key = key

    def load(self, name: str) -> bytes | None:
        try:
            with storage().open(f"{self.key}/{name}") as file:
                return file.read()
        except NotFound:
            return None


def answer(request: Request, key: str, filename: str) -> Response | HttpResponseBase:
    """By the Accept header: `text/plain`, `text/event-stream`, or a JSON page of
    `?after=&limit=&search=`."""
    source = StoredLog(key)
    accept = request.headers.get("Accept", "")
    after = _whole(request, "after", 0)
    if "text/event-stream" in accept:
        last = request.headers.get("Last-Event-ID", "")
        return event_stream(_follow(source, int(last) if last.isdigit() else after))
    if "text/plain" in accept or request.query_params.get("download"):
        response = StreamingHttpResponse(logs.raw(source), content_type="text/plain; charset=utf-8")
        if request.query_params.get("download"):
            response["Content-Disposition"] = f'attachment; filename="{filename}"'
        return response
    limit = min(MAX_LINES, max(1, _whole(request, "limit", 1000)))
    search = request.query_params.get("search") or None
    tail = _whole(request, "tail", 0)
    if tail:
        total = logs.read(source, after=0, limit=1).total_lines
        after = max(0, total - tail)
    page = logs.read(source, after=after, limit=limit, search=search)
    return Response(LogPageSerializer(page).data)


async def _follow(source: StoredLog, after: int) -> AsyncIterator[str]:
    """Pages as they grow; the id of each event is where to go on. Ends with `event: end`."""
    quiet = 0.0
    while True:
        page = await sync_to_async(logs.read)(source, after=after, limit=1000)
        if page.lines:
            quiet = 0.0
            after = page.next
            lines = [
                {"number": line.number, "at": line.at, "text": line.text} for line in page.lines
            ]
            yield f"id: {after}\ndata: {json.dumps(lines)}\n\n"
        if page.complete:
            yield "event: end\ndata: {}\n\n"
            return
        if not page.lines:
            pause = FOLLOW_FAST_S if quiet < 2 else FOLLOW_SLOW_S
            quiet += pause
            if quiet >= ALIVE_S:
                quiet = 2.0
                yield ": alive\n\n"
            await asyncio.sleep(pause)


def newest_replica_log(prefix: str, replica: str) -> str:
    """The key of one replica's log below `prefix`: the named one, or the newest by name."""
    names = {
        info.key[len(prefix) + 1 :].partition("/")[0]
        for info in storage().list(prefix)
        if "/" in info.key[len(prefix) + 1 :]
    }
    if replica:
        return f"{prefix}/{replica}" if replica in names else f"{prefix}/none"
    return f"{prefix}/{max(names)}" if names else prefix


def _whole(request: Request, name: str, default: int) -> int:
    value = request.query_params.get(name, "")
    if not value:
        return default
    if not value.isdigit():
        raise InvalidInput(f"`{name}` is a whole number.", field=name)
    return int(value)
