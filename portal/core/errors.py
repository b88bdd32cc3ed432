"""The errors of the domain and of its adapters.

Domain errors carry a stable snake_case `code`, a sentence for people and, where there is one,
the field they are about. They know nothing of HTTP; `portal.core.api.problems` maps them.

    PortalError
      InvalidInput   the request or document is wrong            (400)
      Forbidden      known, but not allowed                      (403)
      NotFound       not there, or not yours to see              (404)
      Conflict       someone else changed it, or a rule forbids  (409)
      Unavailable    a part we need is down; try later           (503)
    AdapterError
      PermanentError  trying again cannot help
      TransientError  trying again may help, after `retry_after` seconds
"""

from __future__ import annotations

from typing import Any


class PortalError(Exception):
    """Base of domain errors."""

    default_code = "error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        field: str | None = None,
        data: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.field = field
        self.data = data or {}


class InvalidInput(PortalError):
    """`problems` lists several faults at once: [{code, field, message, line?, hint?}]."""

    default_code = "invalid_input"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        field: str | None = None,
        data: dict[str, Any] | None = None,
        problems: list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(message, code=code, field=field, data=data)
        self.problems = problems or []


class Forbidden(PortalError):
    default_code = "forbidden"


class NotFound(PortalError):
    default_code = "not_found"


class Conflict(PortalError):
    default_code = "conflict"


class Unavailable(PortalError):
    default_code = "unavailable"

    def __init__(
        self, message: str, *, code: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after


class AdapterError(Exception):
    """Base of what executors, builders, backends and storage raise. Chain the cause."""

    def __init__(self, message: str, *, reason: str = "AdapterError") -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason  # CamelCase, becomes the reason of the attempt or condition


class PermanentError(AdapterError):
    pass


class TransientError(AdapterError):
    def __init__(
        self, message: str, *, reason: str = "Unavailable", retry_after: float = 5.0
    ) -> None:
        super().__init__(message, reason=reason)
        self.retry_after = retry_after
