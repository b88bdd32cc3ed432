"""Steps of the social-auth pipeline: who may come in, as whom, and with which roles."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from social_core.exceptions import AuthPolicyError

from portal.accounts import audit, roles
from portal.accounts.models import Membership, Team, User
from portal.accounts.principals import Principal
from portal.accounts.services import teams


def check_allowed(backend: Any, details: dict[str, Any], response: Any, **_: Any) -> None:
    """Domain and group allow lists. Both must pass where both are set."""
    email = (details.get("email") or "").lower()
    if settings.SIGN_IN_DOMAINS:
        domain = email.rpartition("@")[2]
        if domain not in settings.SIGN_IN_DOMAINS or not email_is_verified(backend, response):
            raise AuthPolicyError(backend, stage="pipeline")
    if settings.SIGN_IN_GROUPS and not set(settings.SIGN_IN_GROUPS) & set(groups_of(response)):
        raise AuthPolicyError(backend, stage="pipeline")


def associate_by_verified_email(
    backend: Any, details: dict[str, Any], response: Any, user: User | None = None, **_: Any
) -> dict[str, Any] | None:
    """Link to an existing account only by an e-mail that the provider says is verified."""
    if user is not None or not details.get("email") or not email_is_verified(backend, response):
        return None
    found = list(User.objects.filter(email__iexact=details["email"], is_active=True)[:2])
    return {"user": found[0], "is_new": False} if len(found) == 1 else None


def apply_groups(
    backend: Any, details: dict[str, Any], response: Any, user: User, **_rest: Any
) -> None:
    """Group to role mapping, and invitations that were waiting for this verified e-mail."""
    groups = set(groups_of(response))
    for pair in settings.SIGN_IN_GROUP_ROLES:
        group, _, grant = pair.partition("=")
        if group not in groups:
            continue
        if grant == "operator":
            User.objects.filter(pk=user.pk).update(is_operator=True)
            user.is_operator = True
            continue
        slug, _, role = grant.partition(":")
        team = Team.objects.filter(slug=slug).first()
        if team is not None and role in roles.ORDER:
            held = Membership.objects.filter(team=team, user=user).first()
            best = roles.strongest([held.role if held else None, role]) or role
            Membership.objects.update_or_create(team=team, user=user, defaults={"role": best})
    if details.get("email") and email_is_verified(backend, response):
        teams.accept_invitations(user, details["email"])


def record(backend: Any, user: User, strategy: Any, **_: Any) -> None:
    """The audit entry of a sign-in, and this session's epoch."""
    request = strategy.request
    address = request.META.get("REMOTE_ADDR", "") if request else ""
    audit.record(
        Principal(user=user, address=address),
        "sign_in",
        noun="user",
        subject_uid=user.uid,
        subject=user.username,
        after={"method": backend.name},
    )


def email_is_verified(backend: Any, response: Any) -> bool:
    """GitHub's API answers only verified primary addresses; OpenID Connect has a claim."""
    if backend.name == "github":
        return True
    value = response.get("email_verified") if isinstance(response, dict) else None
    return value is True or value == "true"


def groups_of(response: Any) -> list[str]:
    value = response.get(settings.SIGN_IN_GROUPS_CLAIM) if isinstance(response, dict) else None
    if isinstance(value, str):
        return [value]
    return [str(group) for group in value] if isinstance(value, list) else []
