"""`Idempotency-Key` on creates: the same key and request give the same answer, once done.

Source: draft-ietf-httpapi-idempotency-key-header. Answers are kept for a day.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

from django.db import IntegrityError, transaction
from rest_framework.request import Request
from rest_framework.response import Response

from portal.core import clock
from portal.core.errors import Conflict, InvalidInput
from portal.core.models import IdempotencyRecord

KEPT = timedelta(days=1)
ABANDONED = timedelta(seconds=60)
HEADER = "Idempotency-Key"


def once(request: Request, act: Callable[[], Response]) -> Response:
    """Run `act` unless this principal has sent this key before; then answer as before.

    Raises:
        InvalidInput: the key was used for another request.
        Conflict: the first request with this key is still being worked on.
    """
    key = request.headers.get(HEADER, "")
    if not key:
        return act()
    if len(key) > 200:
        raise InvalidInput("An idempotency key has at most 200 characters.", field=HEADER)
    record, fresh = _claim(str(request.user.pk), key, _digest(request))
    if not fresh:
        replay = Response(record.answer, status=record.status)
        replay["Idempotent-Replay"] = "true"
        return replay
    try:
        response = act()
    except BaseException:
        IdempotencyRecord.objects.filter(pk=record.pk).delete()
        raise
    if response.status_code < 400:
        answer = json.loads(json.dumps(response.data, default=str))
        IdempotencyRecord.objects.filter(pk=record.pk).update(
            status=response.status_code, answer=answer
        )
    else:
        IdempotencyRecord.objects.filter(pk=record.pk).delete()
    return response


def _claim(principal: str, key: str, digest: str) -> tuple[IdempotencyRecord, bool]:
    now = clock.now()
    name = hashlib.sha256(f"{principal}\0{key}".encode()).hexdigest()
    IdempotencyRecord.objects.filter(name=name, created_at__lt=now - KEPT).delete()
    IdempotencyRecord.objects.filter(name=name, status=0, created_at__lt=now - ABANDONED).delete()
    try:
        with transaction.atomic():
            return IdempotencyRecord.objects.create(name=name, digest=digest), True
    except IntegrityError:
        record = IdempotencyRecord.objects.filter(name=name).first()
    if record is None:
        raise Conflict("That key is just being used; try again.", code="idempotency_in_progress")
    if record.digest != digest:
        raise InvalidInput(
            "This idempotency key was used for another request.", code="idempotency_mismatch"
        )
    if record.status == 0:
        raise Conflict(
            "The first request with this key is still being worked on.",
            code="idempotency_in_progress",
        )
    return record, False


def _digest(request: Request) -> str:
    """Of method, path and body; an upload counts by its fields and its files' sizes and names."""
    hashed = hashlib.sha256(f"{request.method} {request.get_full_path()}\n".encode())
    if request.content_type.startswith("multipart/"):
        fields: dict[str, Any] = {
            k: v for k, v in cast(dict[str, Any], request.data).items() if k not in request.FILES
        }
        files = sorted((name, f.name, f.size) for name, f in request.FILES.items())
        hashed.update(json.dumps([sorted(fields.items()), files], default=str).encode())
    else:
        hashed.update(json.dumps(request.data, sort_keys=True, default=str).encode())
    return hashed.hexdigest()
