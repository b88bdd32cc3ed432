"""Turning a request into a principal: a bearer token, or a browser's session with CSRF."""

from __future__ import annotations

from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from portal.accounts.models import ApiToken, User
from portal.accounts.principals import Principal
from portal.accounts.services import tokens


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer hkt_...`."""

    def authenticate(self, request: Request) -> tuple[Principal, ApiToken] | None:
        kind, _, text = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer" or not text:
            return None
        token = tokens.find(text.strip())
        if token is None:
            raise AuthenticationFailed("This token is not valid: unknown, expired or revoked.")
        return Principal(user=token.user, token=token, address=address_of(request)), token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="hekatoncheir"'


class BrowserSessionAuthentication(SessionAuthentication):
    """The session cookie; anything but a read needs the CSRF token as well."""

    def authenticate(self, request: Request) -> tuple[Principal, None] | None:  # type: ignore[override]
        user = getattr(request._request, "user", None)
        if not isinstance(user, User) or not user.is_active:
            return None
        self.enforce_csrf(request)
        return Principal(user=user, address=address_of(request)), None


def address_of(request: Request) -> str:
    return str(request.META.get("REMOTE_ADDR") or "")
