"""Lists by key, never by count: a page costs the same wherever it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import QuerySet
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request

if TYPE_CHECKING:
    from rest_framework.views import APIView


class KeyPagination(CursorPagination):
    """`?cursor=`, `?limit=` (50, at most 200), `?ordering=` among the view's `orderings`."""

    page_size = 50
    max_page_size = 200
    page_size_query_param = "limit"
    ordering = "-id"

    def get_ordering(
        self, request: Request, queryset: QuerySet[Any], view: APIView
    ) -> tuple[str, ...]:
        default: str = getattr(view, "ordering", self.ordering)
        allowed: dict[str, str] = getattr(view, "orderings", {})
        asked = request.query_params.get("ordering", "")
        descending, name = asked.startswith("-"), asked.lstrip("-")
        if name in allowed:
            column = allowed[name]
            chosen = f"-{column}" if descending else column
            return (chosen,) if column == "id" else (chosen, "-id" if descending else "id")
        return (default,) if default.lstrip("-") == "id" else (default, "-id")
