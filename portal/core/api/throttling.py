"""Rate limits by principal, or by address where nobody is signed in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

if TYPE_CHECKING:
    from rest_framework.views import APIView


class PrincipalThrottle(SimpleRateThrottle):
    scope = "principal"

    def get_cache_key(self, request: Request, view: APIView) -> str | None:
        who = getattr(request.user, "pk", None) or self.get_ident(request)
        return self.cache_format % {"scope": self.scope, "ident": who}
