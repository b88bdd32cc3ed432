"""The one-time sign-in link of the embedded default.

Loopback only, stored hashed, used once by a POST (a GET only shows a button), refused as soon as
single sign-on is configured.
"""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
from datetime import timedelta

from django.conf import settings

from portal.accounts.models import SignInLink, User
from portal.core import clock
from portal.core.errors import Forbidden

VALID = timedelta(hours=24)


def create(user: User) -> str:
    """The path of a fresh link for this user."""
    token = secrets.token_urlsafe(32)
    SignInLink.objects.create(token_hash=_hash(token), user=user, expires_at=clock.now() + VALID)
    return f"/sign-in/link/{token}"


def use(token: str, address: str) -> User:
    """The user of a live link, which is spent by this.

    Raises:
        Forbidden: spent, expired, unknown, not from this machine, or single sign-on is set.
    """
    check_usable(address)
    spent = SignInLink.objects.filter(
        token_hash=_hash(token), used_at=None, expires_at__gt=clock.now()
    ).update(used_at=clock.now())
    if not spent:
        raise Forbidden(
            "This link was used before or has expired. Run `make link` for a new one.",
            code="link_spent",
        )
    return SignInLink.objects.select_related("user").get(token_hash=_hash(token)).user


def check_usable(address: str) -> None:
    """Raise Forbidden where links are not for this address or this installation."""
    if settings.SIGN_IN_METHODS:
        raise Forbidden("Sign in with your company account.", code="link_refused")
    try:
        local = ipaddress.ip_address(address).is_loopback
    except ValueError:
        local = False
    if not local:
        raise Forbidden("This link works on the portal's own machine only.", code="link_refused")


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
