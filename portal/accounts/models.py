"""People, teams, tokens and the record of what they did."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser, UserManager
from django.db import models

from portal.accounts import roles
from portal.core.models import BaseModel, VersionedModel, new_uid


class User(AbstractUser):
    """A person. `session_epoch` grows to end every session at once; `is_operator` may see the
    system page and everything in it."""

    uid = models.CharField(max_length=26, unique=True, default=new_uid, editable=False)
    is_operator = models.BooleanField(default=False)
    session_epoch = models.PositiveIntegerField(default=0)
    preferences = models.JSONField(default=dict, blank=True)

    objects: ClassVar[Any] = UserManager()

    @property
    def display_name(self) -> str:
        return self.get_full_name() or self.username


class Team(VersionedModel):
    """The tenant: projects, members and tokens belong to one."""

    slug = models.CharField(max_length=30, unique=True)
    name = models.CharField(max_length=100)


class Membership(BaseModel):
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=roles.CHOICES)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "team"], name="accounts_membership_once")
        ]


class Invitation(BaseModel):
    """A promise of a membership to whoever signs in with this verified e-mail."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="invitations")
    email = models.EmailField()
    role = models.CharField(max_length=16, choices=roles.CHOICES)
    invited_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["team", "email"], name="accounts_invitation_once")
        ]


class ApiToken(BaseModel):
    """A credential of a program. The secret is shown once and kept as a hash.

    A personal token acts as its user; a service token has a team and a role of its own.
    """

    prefix = models.CharField(max_length=12, unique=True)
    secret_hash = models.CharField(max_length=64)
    name = models.CharField(max_length=100)
    user = models.ForeignKey(
        User, on_delete=models.CASCADE, null=True, blank=True, related_name="tokens"
    )
    team = models.ForeignKey(
        Team, on_delete=models.CASCADE, null=True, blank=True, related_name="tokens"
    )
    role = models.CharField(max_length=16, choices=roles.CHOICES, blank=True)
    scope = models.CharField(max_length=16, default="submit")
    project_uid = models.CharField(max_length=26, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    created_by = models.CharField(max_length=150, blank=True)


class SignInLink(models.Model):
    """The one-time link of the embedded default; only its hash is kept."""

    token_hash = models.CharField(max_length=64, unique=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)


class AuditEvent(models.Model):
    """Who changed what, from where. Written in the transaction of the change."""

    id = models.BigAutoField(primary_key=True)
    uid = models.CharField(max_length=26, unique=True, default=new_uid, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    actor = models.CharField(max_length=160)
    token_prefix = models.CharField(max_length=12, blank=True)
    address = models.CharField(max_length=45, blank=True)
    action = models.CharField(max_length=48)
    noun = models.CharField(max_length=24)
    subject_uid = models.CharField(max_length=26, blank=True)
    subject = models.CharField(max_length=200, blank=True)
    team_uid = models.CharField(max_length=26, blank=True)
    project_uid = models.CharField(max_length=26, blank=True)
    before = models.JSONField(default=dict, blank=True)
    after = models.JSONField(default=dict, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["team_uid", "id"], name="accounts_audit_team"),
            models.Index(fields=["project_uid", "id"], name="accounts_audit_project"),
        ]

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk:
            raise TypeError("an audit event is never changed")
        super().save(*args, **kwargs)
