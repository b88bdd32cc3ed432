"""Health, system status and the page that every browser address gets."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.csrf import ensure_csrf_cookie
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from portal import VERSION
from portal.core import status
from portal.core.api.problems import problem_response
from portal.core.api.views import PortalView


def livez(_request: HttpRequest) -> HttpResponse:
    return JsonResponse({"status": "alive", "version": VERSION})


def readyz(_request: HttpRequest) -> HttpResponse:
    """503 while something needed is down; what else is down is named either way."""
    parts = status.parts()
    ready = all(part.ok for part in parts if part.needed)
    data = {
        "status": "ready" if ready else "not ready",
        "unavailable": [f"{p.name}: {p.message}" for p in parts if not p.ok],
    }
    return JsonResponse(data, status=200 if ready else 503)


class PartSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    kind = serializers.CharField()
    ok = serializers.BooleanField()
    message = serializers.CharField()
    needed = serializers.BooleanField()
    detail = serializers.JSONField(allow_null=True)


class SystemSerializer(serializers.Serializer[Any]):
    version = serializers.CharField()
    url = serializers.CharField()
    gateway_url = serializers.CharField()
    production = serializers.BooleanField()
    parts = PartSerializer(many=True)


class SystemView(PortalView):
    @extend_schema(responses=SystemSerializer)
    def get(self, request: Request) -> Response:
        """Processes, queue and backends: what is available, or why not."""
        parts = [part.to_dict() for part in status.parts()]
        if not self.principal.is_operator:
            parts = [{**part, "detail": None} for part in parts]
        return Response(
            {
                "version": VERSION,
                "url": settings.URL,
                "gateway_url": settings.GATEWAY_URL,
                "production": settings.PRODUCTION,
                "parts": parts,
            }
        )


@ensure_csrf_cookie
def page(request: HttpRequest) -> HttpResponse:
    """The front end's page for every address that nothing else answers."""
    index = settings.FRONTEND_DIST / "index.html"
    try:
        content = index.read_bytes()
    except FileNotFoundError:
        return render(request, "no_front_end.html", status=200)
    response = HttpResponse(content, content_type="text/html; charset=utf-8")
    response["Cache-Control"] = "no-cache"
    return response


def api_not_found(request: HttpRequest, **_: Any) -> HttpResponse:
    return problem_response(404, "not_found", f"There is no API address {request.path}.")
