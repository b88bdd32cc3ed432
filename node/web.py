"""Reading documents from requests, and errors as JSON."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiohttp import web

from node.documents import from_json

T = TypeVar("T")
log = logging.getLogger(__name__)


async def document_of(request: web.Request, kind: type[T]) -> T:
    try:
        return from_json(kind, json.loads(await request.read()))
    except (ValueError, TypeError) as error:
        raise web.HTTPBadRequest(text=str(error)) from error


def conflict(message: str) -> web.HTTPConflict:
    return web.HTTPConflict(text=message)


def missing(message: str) -> web.HTTPNotFound:
    return web.HTTPNotFound(text=message)


@web.middleware
async def errors_as_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        return web.json_response({"message": error.text}, status=error.status)
    except ConnectionResetError:
        raise
    except Exception as error:
        log.exception("%s %s", request.method, request.path)
        return web.json_response({"message": f"{type(error).__name__}: {error}"}, status=500)
