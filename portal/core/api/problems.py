"""Every error as problem+json (RFC 9457) with a stable code and, where there is one, the field."""

from __future__ import annotations

import logging
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, OperationalError
from django.http import Http404, HttpRequest, JsonResponse
from rest_framework import exceptions
from rest_framework.response import Response

from portal.core import errors
from portal.core.models import new_uid
from portal.core.transitions import Stale

log = logging.getLogger("portal.api")
CONTENT_TYPE = "application/problem+json"
STATUS: dict[type[errors.PortalError], int] = {
    errors.InvalidInput: 400,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Unavailable: 503,
}
TITLES = {
    400: "The request is not right",
    401: "Sign in first",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    409: "Conflict",
    412: "It has changed",
    413: "Too large",
    415: "Unsupported media type",
    422: "The request is not right",
    429: "Too many requests",
    500: "Something went wrong on our side",
    503: "A part is unavailable",
}
CODES = {
    exceptions.NotAuthenticated: "not_authenticated",
    exceptions.AuthenticationFailed: "bad_credentials",
    exceptions.PermissionDenied: "forbidden",
    exceptions.NotFound: "not_found",
    exceptions.MethodNotAllowed: "method_not_allowed",
    exceptions.UnsupportedMediaType: "unsupported_media_type",
    exceptions.ParseError: "bad_json",
    exceptions.Throttled: "too_many_requests",
    exceptions.NotAcceptable: "not_acceptable",
}


def body(status: int, code: str, detail: str, **more: Any) -> dict[str, Any]:
    """A problem document; empty members are left out."""
    return {
        "type": "about:blank",
        "title": TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
        "code": code,
        **{name: value for name, value in more.items() if value},
    }


def handle(error: Exception, context: dict[str, Any]) -> Response:
    """Django REST framework's exception handler: nothing escapes as a bare 500."""
    if isinstance(error, errors.PortalError):
        return _portal_error(error)
    if isinstance(error, errors.TransientError):
        return _response(503, "unavailable", error.message, retry_after=error.retry_after)
    if isinstance(error, errors.PermanentError):
        return _response(409, _snake(error.reason), error.message)
    if isinstance(error, exceptions.ValidationError):
        problems = list(_flatten(error.get_full_details()))
        first = problems[0]
        detail = (
            first["message"] if len(problems) == 1 else f"{len(problems)} fields are not right."
        )
        return _response(400, "invalid_input", detail, field=first["field"], problems=problems)
    if isinstance(error, Http404):
        return _response(404, "not_found", "There is no such thing, or you may not see it.")
    if isinstance(error, PermissionDenied):
        return _response(403, "forbidden", "You may not do this.")
    if isinstance(error, exceptions.APIException):
        challenge = getattr(error, "auth_header", None)
        code = CODES.get(type(error), str(error.default_code))
        response = _response(error.status_code, code, str(error.detail))
        wait = getattr(error, "wait", None)
        if wait:
            response["Retry-After"] = str(int(wait) + 1)
        if challenge:
            response["WWW-Authenticate"] = challenge
        return response
    if isinstance(error, Stale):
        return _response(409, "changed_meanwhile", "It changed meanwhile; try again.")
    if isinstance(error, IntegrityError):
        return _response(409, "conflict", "That is there already, or was changed meanwhile.")
    if isinstance(error, OperationalError):
        log.error("database: %s", error)
        return _response(
            503, "database_unavailable", "The database does not answer.", retry_after=2
        )
    return unexpected(error, context.get("request"))


def unexpected(error: Exception, request: Any) -> Response:
    """A fault of ours: the person gets an id, the log gets everything."""
    uid = new_uid()
    where = getattr(request, "path", "")
    log.error("error %s at %s", uid, where, exc_info=error)
    return _response(500, "internal_error", f"This is our fault. Error id: {uid}", error_id=uid)


def problem_response(status: int, code: str, detail: str, **more: Any) -> JsonResponse:
    """A problem outside of Django REST framework."""
    return JsonResponse(
        body(status, code, detail, **more), status=status, content_type=CONTENT_TYPE
    )


def csrf_failure(request: HttpRequest, reason: str = "") -> JsonResponse:
    return problem_response(403, "csrf_failed", "The page is out of date; reload it and try again.")


def _portal_error(error: errors.PortalError) -> Response:
    status = next(code for kind, code in STATUS.items() if isinstance(error, kind))
    if error.code == "version_mismatch":
        status = 412
    more: dict[str, Any] = {"field": error.field, "data": error.data}
    if isinstance(error, errors.InvalidInput):
        more["problems"] = error.problems
    retry = getattr(error, "retry_after", None)
    return _response(status, error.code, error.message, retry_after=retry, **more)


def _response(
    status: int, code: str, detail: str, retry_after: float | None = None, **more: Any
) -> Response:
    response = Response(
        body(status, code, detail, **more), status=status, content_type=CONTENT_TYPE
    )
    if retry_after is not None:
        response["Retry-After"] = str(max(1, round(retry_after)))
    response.exception = True
    return response


def _flatten(details: Any, path: str = "") -> Any:
    if isinstance(details, dict) and set(details) == {"message", "code"}:
        yield {
            "code": str(details["code"]),
            "field": path.removesuffix(".non_field_errors"),
            "message": str(details["message"]),
        }
    elif isinstance(details, dict):
        for name, inner in details.items():
            yield from _flatten(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(details, list):
        for i, inner in enumerate(details):
            plain = isinstance(inner, dict) and set(inner) == {"message", "code"}
            yield from _flatten(inner, path if plain else f"{path}[{i}]")


def _snake(reason: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in reason).lstrip("_")
