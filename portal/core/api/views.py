"""What every API view shares: the principal, scoped look-ups, creates that happen once, ETags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from django.db.models import Model, QuerySet
from rest_framework import serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from portal.accounts.principals import Principal
from portal.core.api import idempotency
from portal.core.errors import InvalidInput, NotFound


class PortalView(APIView):
    """A view with a principal."""

    @property
    def principal(self) -> Principal:
        return cast(Principal, self.request.user)

    def valid(self, kind: type[serializers.Serializer[Any]], data: Any = None) -> dict[str, Any]:
        """The validated body (or query) as a dictionary."""
        serializer = kind(data=self.request.data if data is None else data)
        serializer.is_valid(raise_exception=True)
        return cast(dict[str, Any], serializer.validated_data)

    def once(self, act: Callable[[], Response]) -> Response:
        """Run a create under the request's Idempotency-Key."""
        return idempotency.once(self.request, act)

    @property
    def expected_version(self) -> int | None:
        """The version that If-Match names, or None without one."""
        return expected_version(self.request)


class NounViewSet(PortalView, viewsets.GenericViewSet[Any]):
    """List and get of one noun by `uid`, as far as the principal may see.

    Set `queryset`, `serializer_class` and, for lists, `filterset_fields`, `search_fields` and
    `orderings`. Managers have `visible_to(principal)`.
    """

    lookup_field = "uid"
    lookup_value_regex = "[0-9A-Za-z]{26}"

    def get_queryset(self) -> QuerySet[Any]:
        base = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return base
        return cast(QuerySet[Any], cast(Any, base).visible_to(self.principal))

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self.page(self.filter_queryset(self.get_queryset()))

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self.one(self.get_object())

    def page(
        self, queryset: QuerySet[Any], serializer: type[serializers.Serializer[Any]] | None = None
    ) -> Response:
        rows = self.paginate_queryset(queryset)
        kind = serializer or self.get_serializer_class()
        made = kind(rows, many=True, context=self.get_serializer_context())
        return self.get_paginated_response(made.data)

    def one(
        self,
        row: Model,
        status: int = 200,
        serializer: type[serializers.Serializer[Any]] | None = None,
    ) -> Response:
        """The row with its version as ETag; 304 where If-None-Match has it already."""
        kind = serializer or self.get_serializer_class()
        tag = etag(row)
        if tag and status == 200 and self.request.headers.get("If-None-Match") == tag:
            return Response(status=304, headers={"ETag": tag})
        data = kind(row, context=self.get_serializer_context()).data
        return Response(data, status=status, headers={"ETag": tag} if tag else None)


def etag(row: Model) -> str:
    version = getattr(row, "version", None)
    return f'"{version}"' if version is not None else ""


def expected_version(request: Request) -> int | None:
    given = request.headers.get("If-Match", "").strip()
    if not given or given == "*":
        return None
    try:
        return int(given.removeprefix("W/").strip('"'))
    except ValueError:
        raise InvalidInput(
            "If-Match is the version in quotes, as the ETag was.", field="If-Match"
        ) from None


def visible_or_404(queryset: QuerySet[Any], **lookup: Any) -> Any:
    """The one visible row, or NotFound."""
    row = queryset.filter(**lookup).first()
    if row is None:
        raise NotFound("There is no such thing, or you may not see it.")
    return row
