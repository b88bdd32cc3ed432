"""Base models and the event log that every app stands on."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from ulid import ULID

from portal.core.states import TransitionTable


def new_uid() -> str:
    """A new ULID: 26 characters, sorted by time of creation."""
    return str(ULID())


class BaseModel(models.Model):
    """An integer key inside, an immutable ULID outside."""

    id = models.BigAutoField(primary_key=True)
    uid = models.CharField(max_length=26, unique=True, default=new_uid, editable=False)
    created_at = models.DateTimeField(auto_now_add=True, editable=False)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{type(self).__name__} {self.uid}"


class VersionedModel(BaseModel):
    """A row that is edited by compare-and-swap on `version`, which is also its ETag."""

    version = models.PositiveBigIntegerField(default=1, editable=False)
    updated_at = models.DateTimeField(auto_now=True, editable=False)

    class Meta:
        abstract = True


class StatefulModel(VersionedModel):
    """A versioned row with a status that only `portal.core.transitions.transition` changes.

    Subclasses set `noun` (the event's noun, e.g. "run") and `table`. A non-terminal status has
    a deadline and a reason in words.
    """

    noun: ClassVar[str]
    table: ClassVar[TransitionTable]

    status = models.CharField(max_length=16)
    status_reason = models.CharField(max_length=64, blank=True)
    status_message = models.TextField(blank=True)
    status_changed_at = models.DateTimeField(null=True, blank=True)
    deadline_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        abstract = True

    @property
    def is_terminal(self) -> bool:
        return self.table.is_terminal(self.status)

    def event_scope(self) -> dict[str, Any]:
        """`team_uid`, `project_uid` and `topic` of this row's events."""
        raise NotImplementedError


class Event(models.Model):
    """What happened: appended in the transaction that made it so, never changed.

    `topic` is the noun and uid that a page watches ("run:01J..."); `subject` what changed, which
    may be a part of it. `project_uid` scopes who may see it; empty with a `team_uid` means the
    team's members, both empty the operators.
    """

    id = models.BigAutoField(primary_key=True)
    created_at = models.DateTimeField(auto_now_add=True)
    team_uid = models.CharField(max_length=26, blank=True)
    project_uid = models.CharField(max_length=26, blank=True)
    topic = models.CharField(max_length=64)
    noun = models.CharField(max_length=24)
    subject_uid = models.CharField(max_length=26)
    subject_version = models.PositiveBigIntegerField(default=0)
    kind = models.CharField(max_length=48)  # "status", "created", "traffic", ...
    reason = models.CharField(max_length=64, blank=True)
    message = models.TextField(blank=True)
    actor = models.CharField(max_length=150, blank=True)  # "user:alice", "platform"
    data = models.JSONField(default=dict, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["topic", "id"], name="core_event_topic"),
            models.Index(fields=["project_uid", "id"], name="core_event_project"),
            models.Index(fields=["created_at"], name="core_event_created"),
        ]


class Lease(models.Model):
    """A named lease with a fencing token; it only saves work, correctness rests on the swap."""

    name = models.CharField(max_length=64, primary_key=True)
    holder = models.CharField(max_length=64, blank=True)
    fence = models.PositiveBigIntegerField(default=0)
    expires_at = models.DateTimeField(null=True, blank=True)


class IdempotencyRecord(models.Model):
    """An answer that a repeated request gets again; status 0 while it is being made."""

    name = models.CharField(max_length=64, primary_key=True)
    digest = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(default=0)
    answer = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)
