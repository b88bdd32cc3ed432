"""Shapes of projects, members and secrets."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from portal.accounts.api.serializers import TeamRefSerializer, UserSerializer
from portal.projects.access import role_in
from portal.projects.models import Project, ProjectMembership, Secret


class ProjectRefSerializer(serializers.ModelSerializer[Project]):
    team = serializers.CharField(source="team.slug", read_only=True)
    path = serializers.CharField(read_only=True)

    class Meta:
        model = Project
        fields = ["uid", "slug", "name", "team", "path"]


class ProjectSerializer(serializers.ModelSerializer[Project]):
    team = TeamRefSerializer(read_only=True)
    path = serializers.CharField(read_only=True)
    role = serializers.SerializerMethodField(help_text="Your role in it.")

    class Meta:
        model = Project
        fields = [
            "uid", "slug", "path", "name", "description", "team", "metric", "direction",
            "champion_mode", "retrain_on_data", "archived_at", "role", "version", "created_at",
        ]  # fmt: skip

    def get_role(self, project: Project) -> str | None:
        return role_in(self.context["view"].principal, project)


class ProjectInput(serializers.ModelSerializer[Project]):
    team = serializers.CharField(help_text="Slug or uid of the team.")
    name = serializers.CharField(max_length=100, required=False)

    class Meta:
        model = Project
        fields = [
            "team", "slug", "name", "description", "metric", "direction", "champion_mode",
            "retrain_on_data",
        ]  # fmt: skip
        validators: list[Any] = []


class ProjectPatch(serializers.ModelSerializer[Project]):
    class Meta:
        model = Project
        fields = [
            "name", "description", "metric", "direction", "champion_mode", "retrain_on_data",
        ]  # fmt: skip
        extra_kwargs = {name: {"required": False} for name in fields}


class ProjectMembershipSerializer(serializers.ModelSerializer[ProjectMembership]):
    user = UserSerializer(read_only=True)

    class Meta:
        model = ProjectMembership
        fields = ["uid", "user", "role", "created_at"]


class SecretSerializer(serializers.ModelSerializer[Secret]):
    class Meta:
        model = Secret
        fields = ["uid", "name", "version", "changed_by", "created_at", "updated_at"]


class SecretInput(serializers.Serializer[Any]):
    value = serializers.CharField(trim_whitespace=False)
