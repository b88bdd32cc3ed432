"""API tokens: `hkt_<prefix>_<secret>`; random, shown once, stored as a hash."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta

from django.db import transaction

from portal.accounts import audit, roles
from portal.accounts.models import ApiToken, Team
from portal.accounts.principals import Principal
from portal.core import clock
from portal.core.errors import Forbidden, InvalidInput

MARK = "hkt"
USED_EVERY = timedelta(minutes=1)


def create(
    *,
    principal: Principal,
    name: str,
    scope: str,
    expires_at: datetime | None = None,
    team: Team | None = None,
    role: str = "",
    project_uid: str = "",
) -> tuple[ApiToken, str]:
    """A personal token, or with `team` and `role` a service account's. Returns it and its text.

    Raises:
        InvalidInput: an unknown scope, or an expiry in the past.
        Forbidden: it would be stronger than its maker.
    """
    if scope not in roles.SCOPES:
        raise InvalidInput(f"A scope is one of {', '.join(roles.SCOPES)}.", field="scope")
    if expires_at is not None and expires_at <= clock.now():
        raise InvalidInput("It would have expired already.", field="expires_at")
    if roles.rank(roles.SCOPES[scope]) > roles.rank(principal.ceiling):
        raise Forbidden("A token cannot make a stronger token.", code="scope_too_strong")
    if team is not None:
        principal.require_team("team.tokens", team.pk)
        if role not in roles.ORDER:
            raise InvalidInput("A service account needs a role.", field="role")
    elif principal.user is None:
        raise Forbidden("A service account cannot make personal tokens.", code="no_person")
    prefix, secret = secrets.token_hex(5), secrets.token_urlsafe(32)
    with transaction.atomic():
        token = ApiToken.objects.create(
            prefix=prefix,
            secret_hash=_hash(secret),
            name=name,
            user=None if team else principal.user,
            team=team,
            role=role,
            scope=scope,
            project_uid=project_uid,
            expires_at=expires_at,
            created_by=principal.name,
        )
        audit.record(
            principal,
            "token.create",
            noun="token",
            subject_uid=token.uid,
            subject=name,
            team_uid=team.uid if team else "",
            after={"scope": scope, "role": role, "project": project_uid},
        )
    return token, f"{MARK}_{prefix}_{secret}"


def revoke(*, principal: Principal, token: ApiToken) -> None:
    """End a token now; repeating is harmless."""
    with transaction.atomic():
        if ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=clock.now()):
            audit.record(
                principal,
                "token.revoke",
                noun="token",
                subject_uid=token.uid,
                subject=token.name,
                team_uid=token.team.uid if token.team else "",
            )


def find(text: str) -> ApiToken | None:
    """The live token of this text, or None; notes that it was used, once a minute at most."""
    parts = text.split("_", 2)
    if len(parts) != 3 or parts[0] != MARK:
        return None
    token = ApiToken.objects.select_related("user", "team").filter(prefix=parts[1]).first()
    now = clock.now()
    if (
        token is None
        or not hmac.compare_digest(token.secret_hash, _hash(parts[2]))
        or token.revoked_at is not None
        or (token.expires_at is not None and token.expires_at <= now)
        or (token.user is not None and not token.user.is_active)
    ):
        return None
    if token.last_used_at is None or now - token.last_used_at > USED_EVERY:
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
    return token


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
