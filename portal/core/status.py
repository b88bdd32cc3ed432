"""What works and what does not, in words: for /readyz and the system page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.utils.module_loading import import_string

from node.client import NodeClient, NodeError


@dataclass(frozen=True)
class Part:
    """One part. `needed`: without it the portal is not ready."""

    name: str
    kind: str
    ok: bool
    message: str
    needed: bool = False
    detail: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def parts() -> list[Part]:
    """All parts: database, queue, node, and what the apps add."""
    found = [_database(), _queue(), _node()]
    for name in settings.PORTAL_STATUS_PARTS:
        more: Iterable[Part] = import_string(name)()
        found += more
    return found


def _database() -> Part:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        return Part("database", "core", False, f"The database does not answer: {error}", True)
    return Part("database", "core", True, connection.vendor, True)


def _queue() -> Part:
    try:
        client = redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=0.5, socket_connect_timeout=0.5
        )
        info = client.info("server")
        waiting = client.llen("celery")
    except (redis.RedisError, OSError) as error:
        return Part(
            "queue",
            "core",
            False,
            f"Redis or Valkey does not answer ({error}); runs go on by the sweep, a little later.",
        )
    version = info.get("valkey_version") or info.get("redis_version")
    return Part("queue", "core", True, f"version {version}, {waiting} waiting")


def _node() -> Part:
    try:
        info = NodeClient(settings.RUNTIME / "node.sock").info()
    except NodeError as error:
        return Part("node", "core", False, str(error))
    return Part("node", "core", True, f"{info['node_id']}: {info['sandbox']}", detail=info)
