"""Appending events, and the live hints that tell browsers to look again.

An event row is the truth and is written in the caller's transaction. A hint is sent after
commit, best effort: within 200 ms or not at all, and it never raises.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from functools import partial
from typing import Any

import redis
from django.conf import settings
from django.db import transaction

from portal.core.models import Event

CHANNEL = "portal:hints"
TIMEOUT_S = 0.2
QUIET_S = 2.0  # after a failure, do not try again for this long

log = logging.getLogger(__name__)
_lock = threading.Lock()
_client: redis.Redis | None = None
_quiet_until = 0.0


def append(
    *,
    topic: str,
    noun: str,
    subject_uid: str,
    kind: str,
    team_uid: str = "",
    project_uid: str = "",
    subject_version: int = 0,
    reason: str = "",
    message: str = "",
    actor: str = "platform",
    data: dict[str, Any] | None = None,
) -> None:
    """Append an event in the current transaction and send its hint after commit."""

    event = Event.objects.create(
        team_uid=team_uid,
        project_uid=project_uid,
        topic=topic,
        noun=noun,
        subject_uid=subject_uid,
        subject_version=subject_version,
        kind=kind,
        reason=reason[:64],
        message=message,
        actor=actor,
        data=data or {},
    )
    hint(
        topic=topic,
        team_uid=team_uid,
        project_uid=project_uid,
        subject_uid=subject_uid,
        subject_version=subject_version,
        event_id=event.id,
    )


def hint(
    *,
    topic: str,
    team_uid: str = "",
    project_uid: str = "",
    subject_uid: str = "",
    subject_version: int = 0,
    event_id: int | None = None,
) -> None:
    """Tell listeners, after commit, that something under `topic` changed."""
    payload = {
        "topic": topic,
        "team": team_uid,
        "project": project_uid,
        "uid": subject_uid,
        "version": subject_version,
        "id": event_id,
    }
    transaction.on_commit(partial(publish, json.dumps(payload, separators=(",", ":"))))


def publish(payload: str) -> None:
    """Publish one hint now; drop it if the server does not take it within `TIMEOUT_S`."""
    global _client, _quiet_until
    if time.monotonic() < _quiet_until:
        return
    try:
        with _lock:
            if _client is None:
                _client = redis.Redis.from_url(
                    settings.REDIS_URL,
                    socket_timeout=TIMEOUT_S,
                    socket_connect_timeout=TIMEOUT_S,
                )
        _client.publish(CHANNEL, payload)
    except (redis.RedisError, OSError) as error:
        _quiet_until = time.monotonic() + QUIET_S
        log.warning("live hints are off for %.0f s: %s", QUIET_S, error)
