"""`/objects/<token>/<path>`: the object store for runners elsewhere (`core.object_access`)."""

from __future__ import annotations

from typing import Any, BinaryIO, cast

from django.http import (
    FileResponse,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseNotAllowed,
    JsonResponse,
)
from django.views.decorators.csrf import csrf_exempt

from portal.core import object_access
from portal.core.errors import Forbidden, NotFound
from portal.core.storage import Storage, storage

LINK_VALID_S = 600


@csrf_exempt  # the token in the path is the credential; no cookie is looked at
def objects(request: HttpRequest, token: str, path: str = "") -> HttpResponseBase:
    """GET an object (`?list` for the JSON list of `{path, size}` below), PUT one whole."""
    if request.method not in ("GET", "PUT"):
        return HttpResponseNotAllowed(["GET", "PUT"])
    try:
        grant = object_access.check(token, request.method)
        key = grant.key(path)
    except Forbidden as error:
        return _problem(403, error.code, error.message)
    store = storage()
    if request.method == "GET" and "list" in request.GET:
        found = [
            {"path": info.key[len(key) :].lstrip("/"), "size": info.size}
            for info in store.list(key)
        ]
        return JsonResponse({"objects": found})
    link = _signed_link(store, key, request.method)
    if link:
        response = HttpResponse(status=307)
        response["Location"] = link
        return response
    if request.method == "GET":
        try:
            return FileResponse(store.open(key), content_type="application/octet-stream")
        except NotFound as error:
            return _problem(404, error.code, error.message)
    store.put(key, cast(BinaryIO, request))
    return HttpResponse(status=204)


def _signed_link(store: Storage, key: str, method: str) -> str | None:
    sign: Any = getattr(store, "signed_url", None)
    return sign(key, method=method, valid_s=LINK_VALID_S) if sign else None


def _problem(status: int, code: str, detail: str) -> JsonResponse:
    return JsonResponse(
        {"type": "about:blank", "title": detail, "status": status, "detail": detail, "code": code},
        status=status,
        content_type="application/problem+json",
    )
