"""The one door through which a status changes, and compare-and-swap for every other edit."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

from django.db import models, transaction
from django.db.models import F

from portal.core import clock, events
from portal.core.errors import Conflict
from portal.core.models import StatefulModel, VersionedModel

V = TypeVar("V", bound=VersionedModel)


class Stale(Exception):
    """Someone else changed the row first. Reload and decide again, or raise Conflict."""


class IllegalTransition(Exception):
    """The table does not allow this move: a fault of ours, never of a user."""


def transition(
    row: StatefulModel,
    to: str,
    *,
    reason: str = "",
    message: str = "",
    deadline_at: datetime | None = None,
    actor: str = "platform",
    data: dict[str, Any] | None = None,
    **fields: Any,
) -> None:
    """Move `row` to status `to` and append the event, in one transaction.

    The row in the database must still have the status and version that `row` holds in memory.
    `fields` are further columns to set in the same update. On return `row` is up to date.

    Raises:
        IllegalTransition: the noun's table has no such move.
        Stale: another writer was first; nothing was changed.
    """
    if not row.table.allows(row.status, to):
        raise IllegalTransition(f"{row.noun} {row.uid}: {row.status} -> {to}")
    before = row.status
    changes = {
        **fields,
        "status": to,
        "status_reason": reason[:64],
        "status_message": message,
        "status_changed_at": clock.now(),
        "deadline_at": None if row.table.is_terminal(to) else deadline_at,
    }
    with transaction.atomic():
        _swap(row, changes, status=before)
        events.append(
            **row.event_scope(),
            noun=row.noun,
            subject_uid=row.uid,
            subject_version=row.version,
            kind="status",
            reason=reason,
            message=message,
            actor=actor,
            data={"from": before, "to": to, **(data or {})},
        )


def note(row: StatefulModel, *, reason: str, message: str, **fields: Any) -> bool:
    """Refresh the reason in words of an unchanged status (and further columns), quietly.

    Writes nothing where nothing differs. Returns whether it wrote.

    Raises:
        Stale: another writer was first.
    """
    changes = {**fields, "status_reason": reason[:64], "status_message": message}
    if all(getattr(row, name) == value for name, value in changes.items()):
        return False
    with transaction.atomic():
        _swap(row, changes, status=row.status)
        events.hint(**row.event_scope(), subject_uid=row.uid, subject_version=row.version)
    return True


def edit(row: VersionedModel, *, expected_version: int | None = None, **fields: Any) -> None:
    """Change columns other than the status by compare-and-swap on `version`.

    Raises:
        Conflict: `expected_version` (an If-Match) is not the row's version any more.
        Stale: another writer was first, and no expectation was given.
    """
    if expected_version is not None and expected_version != row.version:
        raise Conflict(
            "It was changed by someone else meanwhile; load it again.", code="version_mismatch"
        )
    try:
        _swap(row, fields)
    except Stale:
        if expected_version is None:
            raise
        raise Conflict(
            "It was changed by someone else meanwhile; load it again.", code="version_mismatch"
        ) from None


def _swap(row: VersionedModel, changes: dict[str, Any], **also: Any) -> None:
    manager: models.Manager[Any] = type(row)._default_manager
    now = clock.now()
    changed = manager.filter(pk=row.pk, version=row.version, **also).update(
        **changes, version=F("version") + 1, updated_at=now
    )
    if not changed:
        raise Stale(f"{type(row).__name__} {row.uid} version {row.version}")
    for name, value in changes.items():
        setattr(row, name, value)
    row.version += 1
    row.updated_at = now
