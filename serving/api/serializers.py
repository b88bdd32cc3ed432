"""Shapes of endpoints, revisions, rollouts, keys and verifications."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from portal.projects.api.serializers import ProjectRefSerializer
from serving import models


class ConditionSerializer(serializers.Serializer[Any]):
    type = serializers.CharField()
    status = serializers.ChoiceField(choices=["True", "False", "Unknown"])
    reason = serializers.CharField()
    message = serializers.CharField()


class RevisionSerializer(serializers.ModelSerializer[models.Revision]):
    name = serializers.CharField(read_only=True)
    reason = serializers.CharField(source="status_reason", read_only=True)
    message = serializers.CharField(source="status_message", read_only=True)
    percent = serializers.SerializerMethodField()
    tag = serializers.SerializerMethodField()
    secrets = serializers.SerializerMethodField(help_text="Names only.")

    class Meta:
        model = models.Revision
        fields = [
            "uid", "number", "name", "status", "reason", "message", "percent", "tag",
            "image_digest", "model_version_uid", "model_version_number", "run_uid", "run_number",
            "serve", "env", "secrets", "created_by", "created_at", "last_served_at", "version",
        ]  # fmt: skip

    def _target(self, revision: models.Revision) -> models.TrafficTarget | None:
        return next(iter(revision.targets.all()), None)

    def get_percent(self, revision: models.Revision) -> int:
        target = self._target(revision)
        return target.percent if target else 0

    def get_tag(self, revision: models.Revision) -> str:
        target = self._target(revision)
        return target.tag if target else ""

    def get_secrets(self, revision: models.Revision) -> list[str]:
        return sorted(revision.secrets)


class TrafficSerializer(serializers.Serializer[Any]):
    revision = serializers.CharField(help_text="Uid of the revision.")
    percent = serializers.IntegerField(min_value=0, max_value=100)
    tag = serializers.CharField(required=False, default="", allow_blank=True)


class RolloutSerializer(serializers.ModelSerializer[models.Rollout]):
    reason = serializers.CharField(source="status_reason", read_only=True)
    message = serializers.CharField(source="status_message", read_only=True)
    revision = serializers.IntegerField(source="revision.number", read_only=True)
    revision_uid = serializers.CharField(source="revision.uid", read_only=True)
    percent = serializers.SerializerMethodField()

    class Meta:
        model = models.Rollout
        fields = [
            "uid", "revision", "revision_uid", "strategy", "steps", "index", "percent", "status",
            "reason", "message", "pause_s", "manual", "max_error_rate", "max_p95_s", "why",
            "actor", "step_started_at", "deadline_at", "created_at", "finished_at", "version",
        ]  # fmt: skip

    def get_percent(self, rollout: models.Rollout) -> int:
        return rollout.steps[rollout.index] if rollout.index >= 0 else 0


class ReplicaSerializer(serializers.Serializer[Any]):
    uid = serializers.CharField()
    revision = serializers.IntegerField()
    state = serializers.CharField()
    node_id = serializers.CharField()
    address = serializers.CharField()
    started_at = serializers.FloatField(allow_null=True)
    ready_at = serializers.FloatField(allow_null=True)
    restarts = serializers.IntegerField()
    rss_bytes = serializers.IntegerField()
    message = serializers.CharField()


class EndpointSerializer(serializers.ModelSerializer[models.Endpoint]):
    project = ProjectRefSerializer(read_only=True)
    conditions = ConditionSerializer(many=True, read_only=True)
    ready = serializers.SerializerMethodField()
    traffic = serializers.SerializerMethodField()
    rollout = serializers.SerializerMethodField()
    replicas = serializers.SerializerMethodField(help_text="How many are ready.")

    class Meta:
        model = models.Endpoint
        fields = [
            "uid", "slug", "project", "url", "auth", "backend", "ready", "conditions", "traffic",
            "rollout", "replicas", "follows_champion", "following_paused", "deleting",
            "generation", "observed_generation", "routed_generation", "created_by", "created_at",
            "version",
        ]  # fmt: skip

    def get_ready(self, endpoint: models.Endpoint) -> str:
        ready = next((c for c in endpoint.conditions if c["type"] == "Ready"), None)
        return ready["status"] if ready else "Unknown"

    @extend_schema_field(
        serializers.ListField(child=serializers.DictField(child=serializers.JSONField()))
    )
    def get_traffic(self, endpoint: models.Endpoint) -> list[dict[str, Any]]:
        return [
            {
                "revision": target.revision.uid,
                "number": target.revision.number,
                "percent": target.percent,
                "tag": target.tag,
            }
            for target in sorted(endpoint.targets.all(), key=lambda t: -t.percent)
        ]

    @extend_schema_field(RolloutSerializer(allow_null=True))
    def get_rollout(self, endpoint: models.Endpoint) -> Any:
        active = [r for r in endpoint.rollouts.all() if not r.is_terminal]
        return RolloutSerializer(active[-1]).data if active else None

    def get_replicas(self, endpoint: models.Endpoint) -> int:
        return sum(
            1
            for revision in endpoint.observation.get("revisions", ())
            for replica in revision["replicas"]
            if replica["state"] == "ready"
        )


class EndpointInput(serializers.Serializer[Any]):
    project = serializers.CharField(help_text="Uid or `team/slug`.")
    slug = serializers.CharField(max_length=30)
    auth = serializers.ChoiceField(choices=["key", "public"], default="key")
    follows_champion = serializers.BooleanField(default=False)


class EndpointPatch(serializers.Serializer[Any]):
    auth = serializers.ChoiceField(choices=["key", "public"])


class StrategyInput(serializers.Serializer[Any]):
    strategy = serializers.ChoiceField(
        choices=["instant", "rolling", "canary", "blue-green"], required=False, allow_null=True
    )
    steps = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=100), required=False, max_length=20
    )
    pause_s = serializers.FloatField(min_value=0, max_value=7 * 86400, required=False, default=60.0)
    manual = serializers.BooleanField(required=False, default=False)
    max_error_rate = serializers.FloatField(
        min_value=0, max_value=1, required=False, allow_null=True, default=None
    )
    max_p95_s = serializers.FloatField(min_value=0, required=False, allow_null=True, default=None)


class DeployInput(StrategyInput):
    model_version = serializers.CharField(
        required=False, default="", allow_blank=True, help_text="Uid."
    )
    run = serializers.CharField(
        required=False, default="", allow_blank=True, help_text="Uid of a run."
    )
    reason = serializers.CharField(required=False, default="", allow_blank=True, max_length=500)

    def validate_steps(self, steps: list[int]) -> list[int]:
        if steps and (steps != sorted(set(steps)) or steps[-1] != 100):
            raise serializers.ValidationError("The percents must rise and end with 100.")
        return steps

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        if bool(data["model_version"]) == bool(data["run"]):
            raise serializers.ValidationError({"model_version": "Name a model version or a run."})
        return data


class RollbackInput(serializers.Serializer[Any]):
    revision = serializers.CharField(
        required=False,
        default="",
        allow_blank=True,
        help_text="Uid or number; the one before without.",
    )
    reason = serializers.CharField(max_length=500)


class FollowingInput(serializers.Serializer[Any]):
    follow = serializers.BooleanField()


class AbortInput(serializers.Serializer[Any]):
    reason = serializers.CharField(required=False, default="", allow_blank=True, max_length=500)


class KeySerializer(serializers.ModelSerializer[models.EndpointKey]):
    class Meta:
        model = models.EndpointKey
        fields = [
            "uid", "name", "scope", "expires_at", "revoked_at", "created_by", "created_at",
        ]  # fmt: skip


class NewKeySerializer(KeySerializer):
    token = serializers.CharField(read_only=True, help_text="Shown this once.")

    class Meta(KeySerializer.Meta):
        fields = [*KeySerializer.Meta.fields, "token"]


class KeyInput(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=100)
    expires_at = serializers.DateTimeField(required=False, allow_null=True, default=None)


class DecisionSerializer(serializers.ModelSerializer[models.ScaleDecision]):
    revision = serializers.IntegerField(source="revision.number", read_only=True)

    class Meta:
        model = models.ScaleDecision
        fields = ["revision", "at", "wanted", "observed", "target", "window", "bound", "message"]


class TrafficPointSerializer(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    requests = serializers.IntegerField()
    errors = serializers.IntegerField()
    rps = serializers.FloatField()
    p50_s = serializers.FloatField(allow_null=True)
    p95_s = serializers.FloatField(allow_null=True)
    p99_s = serializers.FloatField(allow_null=True)
    in_flight = serializers.FloatField()
    replicas = serializers.FloatField()
    cold_starts = serializers.IntegerField()


class RevisionSeriesSerializer(serializers.Serializer[Any]):
    revision = serializers.IntegerField()
    points = TrafficPointSerializer(many=True)


class TotalsSerializer(serializers.Serializer[Any]):
    requests = serializers.IntegerField()
    errors = serializers.IntegerField()
    error_rate = serializers.FloatField()
    p50_s = serializers.FloatField(allow_null=True)
    p95_s = serializers.FloatField(allow_null=True)
    p99_s = serializers.FloatField(allow_null=True)


class EndpointMetricsSerializer(serializers.Serializer[Any]):
    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    step_s = serializers.IntegerField()
    totals = TotalsSerializer()
    series = RevisionSeriesSerializer(many=True)


class TryInput(serializers.Serializer[Any]):
    method = serializers.ChoiceField(
        choices=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"], default="GET"
    )
    path = serializers.RegexField(r"^/", max_length=4000)
    headers = serializers.DictField(child=serializers.CharField(), required=False, default=dict)
    json = serializers.JSONField(required=False)
    body = serializers.CharField(required=False, allow_blank=True, trim_whitespace=False)
    tag = serializers.CharField(required=False, default="", allow_blank=True)


class TryAnswerSerializer(serializers.Serializer[Any]):
    status = serializers.IntegerField()
    headers = serializers.DictField(child=serializers.CharField())
    body = serializers.CharField()
    truncated = serializers.BooleanField()
    elapsed_s = serializers.FloatField()


class DiffSerializer(serializers.Serializer[Any]):
    image = serializers.JSONField()
    config = serializers.JSONField()
    env = serializers.JSONField()
    secrets = serializers.JSONField()
    packages = serializers.JSONField()
    model = serializers.JSONField()
    to = serializers.IntegerField()

    def get_fields(self) -> dict[str, Any]:
        return {"from": serializers.IntegerField(), **super().get_fields()}


class RollbackPreviewSerializer(serializers.Serializer[Any]):
    revision = RevisionSerializer()
    instant = serializers.BooleanField(help_text="Whether a replica of it is warm.")
    pauses_following = serializers.BooleanField()
    aborts_rollout = serializers.BooleanField()
    diff = DiffSerializer(allow_null=True)


class CheckResultSerializer(serializers.ModelSerializer[models.CheckResult]):
    class Meta:
        model = models.CheckResult
        fields = [
            "index", "name", "outcome", "message", "differences", "request", "response",
            "elapsed_s",
        ]  # fmt: skip


class VerificationSerializer(serializers.ModelSerializer[models.Verification]):
    project = ProjectRefSerializer(read_only=True)
    reason = serializers.CharField(source="status_reason", read_only=True)
    message = serializers.CharField(source="status_message", read_only=True)
    results = CheckResultSerializer(many=True, read_only=True)
    total = serializers.SerializerMethodField()

    class Meta:
        model = models.Verification
        fields = [
            "uid", "project", "status", "reason", "message", "outcome", "outcome_reason",
            "outcome_message", "image_digest", "run_uid", "serve", "checks", "results", "total",
            "log_tail", "backend", "created_by", "deadline_at", "created_at", "started_at",
            "finished_at", "version",
        ]  # fmt: skip

    def get_total(self, row: models.Verification) -> int:
        return len(row.checks)


class VerificationInput(serializers.Serializer[Any]):
    project = serializers.CharField(help_text="Uid or `team/slug`.")
    image = serializers.CharField(help_text="The image's digest (`sha256:...`) or uid.")
    serve = serializers.JSONField(
        required=False, help_text="As in hekaton.yaml; that of the image's run without."
    )
    verify = serializers.JSONField(
        required=False, help_text="As in hekaton.yaml; that of the image's run without."
    )
