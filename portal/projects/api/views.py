"""Projects, their members and secrets over HTTP."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from portal.accounts.api.serializers import MemberInput
from portal.accounts.models import Team, User
from portal.core.api.views import NounViewSet, visible_or_404
from portal.core.errors import NotFound
from portal.projects import access
from portal.projects.api import serializers as shapes
from portal.projects.models import Project, ProjectMembership, Secret
from portal.projects.services import projects


class ProjectFilter(filters.FilterSet):
    team = filters.CharFilter(method="by_team", help_text="Slug or uid of the team.")
    slug = filters.CharFilter()
    archived = filters.BooleanFilter(method="by_archived")

    def by_team(self, rows: QuerySet[Project], _name: str, value: str) -> QuerySet[Project]:
        return rows.filter(Q(team__slug=value) | Q(team__uid=value))

    def by_archived(self, rows: QuerySet[Project], _name: str, value: bool) -> QuerySet[Project]:
        return rows.filter(archived_at__isnull=not value)

    class Meta:
        model = Project
        fields = ["team", "slug", "archived"]


class ProjectScopedFilter(filters.FilterSet):
    """`?project=` as a uid or a `team/slug` path, and `?team=`; for nouns with a `project`."""

    project = filters.CharFilter(method="by_project", help_text="Uid or `team/slug`.")
    team = filters.CharFilter(method="by_team", help_text="Slug or uid of the team.")

    def by_project(self, rows: QuerySet[Any], _name: str, value: str) -> QuerySet[Any]:
        team, _, slug = value.partition("/")
        if slug:
            return rows.filter(project__team__slug=team, project__slug=slug)
        return rows.filter(project__uid=value)

    def by_team(self, rows: QuerySet[Any], _name: str, value: str) -> QuerySet[Any]:
        return rows.filter(Q(project__team__slug=value) | Q(project__team__uid=value))


class ProjectViewSet(NounViewSet):
    queryset = Project.objects.select_related("team")
    serializer_class = shapes.ProjectSerializer
    filterset_class = ProjectFilter
    search_fields = ["slug", "name", "description"]
    orderings = {"slug": "slug", "created_at": "id"}

    @extend_schema(request=shapes.ProjectInput, responses={201: shapes.ProjectSerializer})
    def create(self, request: Request) -> Response:
        def act() -> Response:
            body = self.valid(shapes.ProjectInput)
            key = body.pop("team")
            teams = Team.objects.filter(Q(slug=key) | Q(uid=key))
            if not self.principal.is_operator:
                teams = teams.filter(pk__in=self.principal.team_roles)
            team = teams.first()
            if team is None:
                raise NotFound(f"There is no team {key}, or you are not in it.", field="team")
            made = projects.create(principal=self.principal, team=team, **body)
            return self.one(made, 201)

        return self.once(act)

    @extend_schema(request=shapes.ProjectPatch)
    def partial_update(self, request: Request, uid: str) -> Response:
        project = projects.edit(
            principal=self.principal,
            project=self.get_object(),
            expected_version=self.expected_version,
            **self.valid(shapes.ProjectPatch),
        )
        return self.one(project)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, uid: str) -> Response:
        """Archive it: nothing is deleted, and it takes no submissions any more."""
        projects.archive(principal=self.principal, project=self.get_object())
        return Response(status=204)

    @extend_schema(
        methods=["POST"],
        request=MemberInput,
        responses={201: shapes.ProjectMembershipSerializer},
    )
    @extend_schema(methods=["GET"], responses=shapes.ProjectMembershipSerializer(many=True))
    @action(detail=True, methods=["get", "post"], filterset_class=None, search_fields=[])
    def members(self, request: Request, uid: str) -> Response:
        project = self.get_object()
        if request.method == "POST":
            body = self.valid(MemberInput)
            access.require(self.principal, "project.members", project)
            user = User.objects.filter(username=body["username"]).first()
            if user is None:
                raise NotFound(
                    "Nobody has signed in by that name yet.", code="no_such_user", field="username"
                )
            made = projects.set_member(
                principal=self.principal, project=project, user=user, role=body["role"]
            )
            return self.one(made, 201, shapes.ProjectMembershipSerializer)
        rows = ProjectMembership.objects.filter(project=project).select_related("user")
        return self.page(rows, shapes.ProjectMembershipSerializer)

    @extend_schema(responses={204: None})
    @action(detail=True, methods=["delete"], url_path="members/(?P<member>[0-9A-Za-z]+)")
    def member(self, request: Request, uid: str, member: str) -> Response:
        rows = ProjectMembership.objects.filter(project=self.get_object())
        row = visible_or_404(rows.select_related("user", "project__team"), uid=member)
        projects.remove_member(principal=self.principal, membership=row)
        return Response(status=204)

    @extend_schema(responses=shapes.SecretSerializer(many=True))
    @action(detail=True, methods=["get"], filterset_class=None, search_fields=[])
    def secrets(self, request: Request, uid: str) -> Response:
        """Names only; a value is never given back."""
        return self.page(Secret.objects.filter(project=self.get_object()), shapes.SecretSerializer)

    @extend_schema(methods=["PUT"], request=shapes.SecretInput, responses=shapes.SecretSerializer)
    @extend_schema(methods=["DELETE"], responses={204: None})
    @action(detail=True, methods=["put", "delete"], url_path="secrets/(?P<name>[A-Za-z0-9_]+)")
    def secret(self, request: Request, uid: str, name: str) -> Response:
        project = self.get_object()
        if request.method == "DELETE":
            rows = Secret.objects.filter(project=project).select_related("project__team")
            projects.delete_secret(principal=self.principal, secret=visible_or_404(rows, name=name))
            return Response(status=204)
        value = self.valid(shapes.SecretInput)["value"]
        made = projects.set_secret(
            principal=self.principal, project=project, name=name, value=value
        )
        return self.one(made, serializer=shapes.SecretSerializer)
