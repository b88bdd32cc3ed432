"""Shapes of people, teams, tokens and audit entries."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from portal.accounts import roles
from portal.accounts.models import ApiToken, AuditEvent, Invitation, Membership, Team, User


class UserSerializer(serializers.ModelSerializer[User]):
    name = serializers.CharField(source="display_name", read_only=True)

    class Meta:
        model = User
        fields = ["uid", "username", "name", "email", "is_operator"]


class TeamSerializer(serializers.ModelSerializer[Team]):
    role = serializers.SerializerMethodField()

    class Meta:
        model = Team
        fields = ["uid", "slug", "name", "role", "version", "created_at"]

    def get_role(self, team: Team) -> str | None:
        view = self.context.get("view")
        return view.principal.role_in_team(team.pk) if view else None


class TeamInput(serializers.Serializer[Any]):
    slug = serializers.CharField(max_length=30)
    name = serializers.CharField(max_length=100, required=False, default="", allow_blank=True)


class TeamPatch(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=100)


class TeamRefSerializer(serializers.ModelSerializer[Team]):
    class Meta:
        model = Team
        fields = ["uid", "slug", "name"]


class MembershipSerializer(serializers.ModelSerializer[Membership]):
    user = UserSerializer(read_only=True)

    class Meta:
        model = Membership
        fields = ["uid", "user", "role", "created_at"]


class MemberInput(serializers.Serializer[Any]):
    username = serializers.CharField(max_length=150)
    role = serializers.ChoiceField(choices=roles.CHOICES)


class RoleInput(serializers.Serializer[Any]):
    role = serializers.ChoiceField(choices=roles.CHOICES)


class InvitationSerializer(serializers.ModelSerializer[Invitation]):
    class Meta:
        model = Invitation
        fields = ["uid", "email", "role", "expires_at", "accepted_at", "created_at"]


class InvitationInput(serializers.Serializer[Any]):
    email = serializers.EmailField()
    role = serializers.ChoiceField(choices=roles.CHOICES)


class TokenSerializer(serializers.ModelSerializer[ApiToken]):
    team = TeamRefSerializer(read_only=True)
    user = serializers.CharField(source="user.username", default=None, read_only=True)
    kind = serializers.SerializerMethodField()

    class Meta:
        model = ApiToken
        fields = [
            "uid", "kind", "name", "prefix", "scope", "role", "user", "team", "project_uid",
            "expires_at", "last_used_at", "revoked_at", "created_at", "created_by",
        ]  # fmt: skip

    def get_kind(self, token: ApiToken) -> str:
        return "service" if token.team_id else "personal"


class NewTokenSerializer(TokenSerializer):
    token = serializers.CharField(read_only=True, help_text="Shown this once.")

    class Meta(TokenSerializer.Meta):
        fields = [*TokenSerializer.Meta.fields, "token"]


class TokenInput(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=100)
    scope = serializers.ChoiceField(choices=list(roles.SCOPES), default="submit")
    expires_at = serializers.DateTimeField(required=False, allow_null=True, default=None)
    team = serializers.CharField(
        required=False, default="", allow_blank=True, help_text="For a service account."
    )
    role = serializers.ChoiceField(
        choices=roles.CHOICES, required=False, default="", allow_blank=True
    )
    project = serializers.CharField(
        required=False, default="", allow_blank=True, help_text="Limit to one project."
    )


class AuditEventSerializer(serializers.ModelSerializer[AuditEvent]):
    class Meta:
        model = AuditEvent
        fields = [
            "uid", "created_at", "actor", "token_prefix", "address", "action", "noun",
            "subject_uid", "subject", "team_uid", "project_uid", "before", "after",
        ]  # fmt: skip


class SignInMethodSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    name = serializers.CharField()
    url = serializers.CharField()


class SignInMethodsSerializer(serializers.Serializer[Any]):
    methods = SignInMethodSerializer(many=True)
    link = serializers.BooleanField(help_text="Whether the one-time link can be used.")
    csrf_token = serializers.CharField()


class MembershipOfMeSerializer(serializers.Serializer[Any]):
    team = TeamRefSerializer()
    role = serializers.CharField()


class MeSerializer(serializers.Serializer[Any]):
    kind = serializers.CharField(help_text="user or service")
    user = UserSerializer(allow_null=True)
    name = serializers.CharField()
    scope = serializers.CharField(allow_null=True)
    is_operator = serializers.BooleanField()
    teams = MembershipOfMeSerializer(many=True)
    preferences = serializers.JSONField()
    csrf_token = serializers.CharField()
    version = serializers.CharField(help_text="The portal's own version.")
