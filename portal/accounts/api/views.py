"""People, teams, tokens and the audit log over HTTP."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.contrib.auth import logout
from django.db.models import Q, QuerySet
from django.http import StreamingHttpResponse
from django.middleware.csrf import get_token
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from portal import VERSION
from portal.accounts import roles
from portal.accounts.api import serializers as shapes
from portal.accounts.models import ApiToken, AuditEvent, Invitation, Membership, Team, User
from portal.accounts.services import teams, tokens
from portal.core import transitions
from portal.core.api.views import NounViewSet, PortalView, visible_or_404
from portal.core.errors import NotFound


class MeView(PortalView):
    @extend_schema(responses=shapes.MeSerializer)
    def get(self, request: Request) -> Response:
        """Who I am, what I belong to, and what the portal offers."""
        principal = self.principal
        found = Team.objects.filter(pk__in=principal.team_roles).order_by("slug")
        data = {
            "kind": "user" if principal.user else "service",
            "user": principal.user,
            "name": principal.user.display_name if principal.user else principal.name,
            "scope": principal.token.scope if principal.token else None,
            "is_operator": principal.is_operator,
            "teams": [{"team": team, "role": principal.team_roles[team.pk]} for team in found],
            "preferences": principal.user.preferences if principal.user else {},
            "csrf_token": get_token(request._request),
            "version": VERSION,
        }
        return Response(shapes.MeSerializer(data).data)

    @extend_schema(request=OpenApiTypes.OBJECT, responses={204: None})
    def patch(self, request: Request) -> Response:
        """Keep preferences (theme, language, ...) with the account."""
        user = self.principal.user
        if user is not None and isinstance(request.data, dict):
            kept = {str(k)[:40]: v for k, v in list(request.data.items())[:50]}
            User.objects.filter(pk=user.pk).update(preferences={**user.preferences, **kept})
        return Response(status=204)


class SignInMethodsView(PortalView):
    permission_classes = [AllowAny]
    authentication_classes: list[Any] = []

    @extend_schema(responses=shapes.SignInMethodsSerializer, auth=[])
    def get(self, request: Request) -> Response:
        """How one can sign in here. Each method is a POST form to its address."""
        methods = [{**m, "url": f"/auth/login/{m['id']}/"} for m in settings.SIGN_IN_METHODS]
        data = {
            "methods": methods,
            "link": not methods,
            "csrf_token": get_token(request._request),
        }
        return Response(data)


class SignOutView(PortalView):
    @extend_schema(request=None, responses={204: None})
    def post(self, request: Request) -> Response:
        """End this session; with `?everywhere=1` all sessions of this person."""
        user = self.principal.user
        if user is not None and request.query_params.get("everywhere"):
            User.objects.filter(pk=user.pk).update(session_epoch=user.session_epoch + 1)
        logout(request._request)
        return Response(status=204)


class TeamViewSet(NounViewSet):
    queryset = Team.objects.all()
    serializer_class = shapes.TeamSerializer
    lookup_value_regex = "[0-9A-Za-z-]+"
    orderings = {"slug": "slug"}

    def get_queryset(self) -> QuerySet[Team]:
        if getattr(self, "swagger_fake_view", False):
            return Team.objects.all()
        if self.principal.is_operator:
            return Team.objects.all()
        return Team.objects.filter(pk__in=self.principal.team_roles)

    def get_object(self) -> Team:
        key = self.kwargs["uid"]
        found: Team = visible_or_404(self.get_queryset().filter(Q(uid=key) | Q(slug=key)))
        return found

    @extend_schema(request=shapes.TeamInput, responses={201: shapes.TeamSerializer})
    def create(self, request: Request) -> Response:
        def act() -> Response:
            return self.one(
                teams.create(principal=self.principal, **self.valid(shapes.TeamInput)), 201
            )

        return self.once(act)

    @extend_schema(request=shapes.TeamPatch)
    def partial_update(self, request: Request, uid: str) -> Response:
        team = self.get_object()
        self.principal.require_team("team.edit", team.pk)
        transitions.edit(
            team, expected_version=self.expected_version, **self.valid(shapes.TeamPatch)
        )
        return self.one(team)

    @extend_schema(
        methods=["POST"], request=shapes.MemberInput, responses={201: shapes.MembershipSerializer}
    )
    @extend_schema(methods=["GET"], responses=shapes.MembershipSerializer(many=True))
    @action(detail=True, methods=["get", "post"])
    def members(self, request: Request, uid: str) -> Response:
        team = self.get_object()
        if request.method == "POST":
            body = self.valid(shapes.MemberInput)
            user = User.objects.filter(username=body["username"]).first()
            self.principal.require_team("team.members", team.pk)
            if user is None:
                raise NotFound(
                    "Nobody has signed in by that name yet; invite them by e-mail.",
                    code="no_such_user",
                    field="username",
                )
            made = teams.set_role(principal=self.principal, team=team, user=user, role=body["role"])
            return self.one(made, 201, shapes.MembershipSerializer)
        rows = Membership.objects.filter(team=team).select_related("user")
        return self.page(rows, shapes.MembershipSerializer)

    @extend_schema(
        methods=["PATCH"], request=shapes.RoleInput, responses=shapes.MembershipSerializer
    )
    @extend_schema(methods=["DELETE"], responses={204: None})
    @action(detail=True, methods=["patch", "delete"], url_path="members/(?P<member>[0-9A-Za-z]+)")
    def member(self, request: Request, uid: str, member: str) -> Response:
        team = self.get_object()
        rows = Membership.objects.filter(team=team).select_related("user", "team")
        row = visible_or_404(rows, uid=member)
        if request.method == "DELETE":
            teams.remove(principal=self.principal, membership=row)
            return Response(status=204)
        role = self.valid(shapes.RoleInput)["role"]
        made = teams.set_role(principal=self.principal, team=team, user=row.user, role=role)
        return self.one(made, serializer=shapes.MembershipSerializer)

    @extend_schema(
        methods=["POST"],
        request=shapes.InvitationInput,
        responses={201: shapes.InvitationSerializer},
    )
    @extend_schema(methods=["GET"], responses=shapes.InvitationSerializer(many=True))
    @action(detail=True, methods=["get", "post"])
    def invitations(self, request: Request, uid: str) -> Response:
        team = self.get_object()
        if request.method == "POST":
            body = self.valid(shapes.InvitationInput)
            made = teams.invite(principal=self.principal, team=team, **body)
            return self.one(made, 201, shapes.InvitationSerializer)
        self.principal.require_team("team.members", team.pk)
        return self.page(Invitation.objects.filter(team=team), shapes.InvitationSerializer)


class TokenViewSet(NounViewSet):
    queryset = ApiToken.objects.all()
    serializer_class = shapes.TokenSerializer

    def get_queryset(self) -> QuerySet[ApiToken]:
        rows = ApiToken.objects.select_related("team", "user")
        if getattr(self, "swagger_fake_view", False):
            return rows
        principal = self.principal
        owned = [t for t, r in principal.team_roles.items() if roles.allows(r, "team.tokens")]
        mine = Q(team__in=owned)
        if principal.user is not None:
            mine |= Q(user=principal.user)
        return rows.filter(mine)

    @extend_schema(request=shapes.TokenInput, responses={201: shapes.NewTokenSerializer})
    def create(self, request: Request) -> Response:
        """The answer holds the token's text, this once."""
        body = self.valid(shapes.TokenInput)
        team = None
        if body["team"]:
            own = Team.objects.filter(pk__in=self.principal.team_roles)
            team = visible_or_404(own.filter(Q(uid=body["team"]) | Q(slug=body["team"])))
        token, text = tokens.create(
            principal=self.principal,
            name=body["name"],
            scope=body["scope"],
            expires_at=body["expires_at"],
            team=team,
            role=body["role"],
            project_uid=body["project"],
        )
        return Response({**self.get_serializer(token).data, "token": text}, status=201)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, uid: str) -> Response:
        tokens.revoke(principal=self.principal, token=self.get_object())
        return Response(status=204)


class AuditViewSet(NounViewSet):
    queryset = AuditEvent.objects.all()
    serializer_class = shapes.AuditEventSerializer
    filterset_fields = ["action", "noun", "actor", "subject_uid", "project_uid", "team_uid"]
    search_fields = ["subject", "actor", "action"]

    def get_queryset(self) -> QuerySet[AuditEvent]:
        rows = AuditEvent.objects.all()
        if getattr(self, "swagger_fake_view", False) or self.principal.is_operator:
            return rows
        seeing = [t for t, r in self.principal.team_roles.items() if roles.allows(r, "audit.view")]
        uids = Team.objects.filter(pk__in=seeing).values_list("uid", flat=True)
        return rows.filter(team_uid__in=list(uids))

    @extend_schema(responses={(200, "text/csv"): OpenApiTypes.STR})
    @action(detail=False, methods=["get"])
    def export(self, request: Request) -> StreamingHttpResponse:
        """The filtered log as CSV, streamed."""
        rows = self.filter_queryset(self.get_queryset()).order_by("-id")
        response = StreamingHttpResponse(_csv(rows), content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = 'attachment; filename="audit.csv"'
        return response


COLUMNS = ["created_at", "actor", "token_prefix", "address", "action", "noun", "subject",
           "subject_uid", "team_uid", "project_uid", "before", "after"]  # fmt: skip


def _csv(rows: QuerySet[AuditEvent]) -> Iterator[str]:
    """Cells that a spreadsheet would run as a formula get a quote in front."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    for row in rows.iterator(chunk_size=500):
        cells = [str(getattr(row, name)) for name in COLUMNS]
        writer.writerow(["'" + c if c[:1] in ("=", "+", "-", "@") else c for c in cells])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    if buffer.tell():
        yield buffer.getvalue()
