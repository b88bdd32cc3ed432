"""Shapes of submissions, data, runs and what they publish."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from pipelines import models
from portal.projects.api.serializers import ProjectRefSerializer
from portal.projects.models import Project


class FileSerializer(serializers.Serializer[Any]):
    path = serializers.CharField()
    size = serializers.IntegerField()
    sha256 = serializers.CharField()


class SubmissionSerializer(serializers.ModelSerializer[models.Submission]):
    project = ProjectRefSerializer(read_only=True)

    class Meta:
        model = models.Submission
        fields = [
            "uid", "number", "project", "digest", "size", "file_count", "manifest", "message",
            "author", "source", "created_at",
        ]  # fmt: skip


class SubmissionRefSerializer(serializers.ModelSerializer[models.Submission]):
    class Meta:
        model = models.Submission
        fields = ["uid", "number", "digest", "message", "author"]


class SubmitInput(serializers.Serializer[Any]):
    snapshot = serializers.FileField(help_text="The folder as tar.gz or tar.")
    team = serializers.CharField(
        required=False, default="", allow_blank=True, help_text="Slug or uid."
    )
    project = serializers.CharField(
        required=False, default="", allow_blank=True, help_text="Uid or `team/slug`."
    )
    message = serializers.CharField(required=False, default="", allow_blank=True, max_length=500)
    params = serializers.JSONField(required=False, default=dict)
    data = serializers.JSONField(required=False, default=dict)
    use_cache = serializers.BooleanField(required=False, default=True)
    source = serializers.JSONField(required=False, default=dict)


class ValidateInput(serializers.Serializer[Any]):
    manifest = serializers.CharField(trim_whitespace=False, allow_blank=True)
    project = serializers.CharField(required=False, default="", allow_blank=True)


class ManifestProblemSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    field = serializers.CharField()
    message = serializers.CharField()
    line = serializers.IntegerField()
    column = serializers.IntegerField()
    hint = serializers.CharField()


class ValidationSerializer(serializers.Serializer[Any]):
    valid = serializers.BooleanField()
    problems = ManifestProblemSerializer(many=True)


class DatasetVersionSerializer(serializers.ModelSerializer[models.DatasetVersion]):
    ref = serializers.CharField(read_only=True)
    dataset = serializers.CharField(source="dataset.slug", read_only=True)
    files = FileSerializer(many=True, read_only=True)

    class Meta:
        model = models.DatasetVersion
        fields = [
            "uid", "dataset", "number", "ref", "digest", "size", "files", "message", "created_by",
            "created_at",
        ]  # fmt: skip


class DatasetVersionRefSerializer(serializers.ModelSerializer[models.DatasetVersion]):
    ref = serializers.CharField(read_only=True)

    class Meta:
        model = models.DatasetVersion
        fields = ["uid", "number", "ref", "digest", "size", "created_by", "created_at"]


class DatasetSerializer(serializers.ModelSerializer[models.Dataset]):
    project = ProjectRefSerializer(read_only=True)
    latest = serializers.SerializerMethodField()

    class Meta:
        model = models.Dataset
        fields = [
            "uid", "slug", "project", "description", "last_version", "latest", "created_at",
        ]  # fmt: skip

    @extend_schema_field(DatasetVersionRefSerializer(allow_null=True))
    def get_latest(self, dataset: models.Dataset) -> Any:
        version = dataset.versions.order_by("-number").first()
        return DatasetVersionRefSerializer(version).data if version else None


class DatasetInput(serializers.Serializer[Any]):
    project = serializers.CharField(help_text="Uid or `team/slug`.")
    slug = serializers.CharField(max_length=100)
    description = serializers.CharField(required=False, default="", allow_blank=True)


class PushInput(serializers.Serializer[Any]):
    files = serializers.ListField(child=serializers.FileField(), allow_empty=False)
    paths = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="A relative path for each file."
    )
    message = serializers.CharField(required=False, default="", allow_blank=True, max_length=500)


class RunDataSerializer(serializers.ModelSerializer[models.RunData]):
    version = DatasetVersionRefSerializer(read_only=True)

    class Meta:
        model = models.RunData
        fields = ["slot", "version"]


class ModelVersionRefSerializer(serializers.ModelSerializer[models.ModelVersion]):
    class Meta:
        model = models.ModelVersion
        fields = ["uid", "number"]


class RunSerializer(serializers.ModelSerializer[models.Run]):
    project = ProjectRefSerializer(read_only=True)
    submission = SubmissionRefSerializer(read_only=True)
    reason = serializers.CharField(source="status_reason", read_only=True)
    message = serializers.CharField(source="status_message", read_only=True)
    parent = serializers.IntegerField(source="parent.number", default=None, read_only=True)
    duration_s = serializers.SerializerMethodField()

    class Meta:
        model = models.Run
        fields = [
            "uid", "number", "project", "submission", "status", "reason", "message", "cause",
            "author", "params", "use_cache", "executor", "builder", "parent", "deadline_at",
            "cancel_requested_at", "created_at", "started_at", "finished_at", "duration_s",
            "version",
        ]  # fmt: skip

    def get_duration_s(self, run: models.Run) -> float | None:
        return _duration(run)


class RunDetailSerializer(RunSerializer):
    data = RunDataSerializer(many=True, read_only=True)
    manifest = serializers.JSONField(source="submission.manifest", read_only=True)
    model_version = serializers.SerializerMethodField()
    metrics = serializers.SerializerMethodField(help_text="The last value of each metric.")

    class Meta(RunSerializer.Meta):
        fields = [*RunSerializer.Meta.fields, "data", "manifest", "model_version", "metrics"]

    @extend_schema_field(ModelVersionRefSerializer(allow_null=True))
    def get_model_version(self, run: models.Run) -> Any:
        found = models.ModelVersion.objects.filter(run=run).first()
        return ModelVersionRefSerializer(found).data if found else None

    def get_metrics(self, run: models.Run) -> dict[str, float]:
        from pipelines.services.models import final_metrics

        return final_metrics(run)


class RunInput(serializers.Serializer[Any]):
    submission = serializers.CharField(help_text="Uid.")
    params = serializers.JSONField(required=False, default=dict)
    data = serializers.JSONField(required=False, default=dict)
    use_cache = serializers.BooleanField(required=False, default=True)


class AttemptSerializer(serializers.ModelSerializer[models.Attempt]):
    reason = serializers.CharField(source="status_reason", read_only=True)
    message = serializers.CharField(source="status_message", read_only=True)

    class Meta:
        model = models.Attempt
        fields = [
            "uid", "number", "status", "reason", "message", "pool", "node_id", "cpu_m",
            "memory_bytes", "exit", "usage", "deadline_at", "admitted_at", "started_at",
            "finished_at", "created_at",
        ]  # fmt: skip


class StepSerializer(serializers.ModelSerializer[models.Step]):
    reason = serializers.CharField(source="status_reason", read_only=True)
    message = serializers.CharField(source="status_message", read_only=True)
    attempts = AttemptSerializer(many=True, read_only=True)
    cached_from = serializers.SerializerMethodField()
    duration_s = serializers.SerializerMethodField()

    class Meta:
        model = models.Step
        fields = [
            "uid", "name", "kind", "needs", "status", "reason", "message", "result", "attempts",
            "cached_from", "output_digest", "deadline_at", "started_at", "finished_at",
            "duration_s", "version",
        ]  # fmt: skip

    @extend_schema_field(serializers.IntegerField(allow_null=True))
    def get_cached_from(self, step: models.Step) -> int | None:
        return step.cached_from.run.number if step.cached_from_id and step.cached_from else None

    def get_duration_s(self, step: models.Step) -> float | None:
        return _duration(step)


class LogLineSerializer(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    at = serializers.FloatField(help_text="Unix seconds.")
    text = serializers.CharField()


class LogPageSerializer(serializers.Serializer[Any]):
    lines = LogLineSerializer(many=True)
    next = serializers.IntegerField(help_text="Pass as `after` for the following page.")
    complete = serializers.BooleanField()
    total_lines = serializers.IntegerField()
    dropped_lines = serializers.IntegerField()
    dropped_bytes = serializers.IntegerField()


class ArtifactSerializer(serializers.ModelSerializer[models.Artifact]):
    step = serializers.CharField(source="step.name", read_only=True)

    class Meta:
        model = models.Artifact
        fields = ["uid", "step", "path", "size", "sha256", "created_at"]


class PointSerializer(serializers.Serializer[Any]):
    step = serializers.IntegerField()
    value = serializers.FloatField()


class SeriesSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    source = serializers.CharField(help_text="The step that wrote it.")
    last = serializers.FloatField()
    count = serializers.IntegerField()
    points = PointSerializer(many=True)


class ImageSerializer(serializers.ModelSerializer[models.Image]):
    class Meta:
        model = models.Image
        fields = [
            "uid", "digest", "reference", "local_only", "size", "layers", "packages",
            "dockerfile", "created_at",
        ]  # fmt: skip


class ModelVersionSerializer(serializers.ModelSerializer[models.ModelVersion]):
    project = ProjectRefSerializer(read_only=True)
    run = serializers.SerializerMethodField()
    image = serializers.CharField(source="image.digest", default=None, read_only=True)
    is_champion = serializers.SerializerMethodField()

    class Meta:
        model = models.ModelVersion
        fields = [
            "uid", "number", "project", "run", "image", "metrics", "data", "gate", "verified",
            "is_champion", "created_at",
        ]  # fmt: skip

    def get_run(self, version: models.ModelVersion) -> dict[str, Any]:
        return {"uid": version.run.uid, "number": version.run.number}

    def get_is_champion(self, version: models.ModelVersion) -> bool:
        return models.Alias.objects.filter(
            project_id=version.project_id, name="champion", model_version=version
        ).exists()


class EntrySerializer(serializers.Serializer[Any]):
    rank = serializers.IntegerField()
    value = serializers.FloatField()
    run = RunSerializer()
    model_version = ModelVersionRefSerializer(allow_null=True)
    is_champion = serializers.BooleanField()
    image_size = serializers.IntegerField(allow_null=True)
    verified = serializers.BooleanField()
    cpu_s = serializers.FloatField()


class DataChoiceSerializer(serializers.Serializer[Any]):
    key = serializers.CharField()
    data = serializers.DictField(child=serializers.CharField())
    entries = serializers.IntegerField()


class LeaderboardSerializer(serializers.Serializer[Any]):
    metric = serializers.CharField()
    direction = serializers.CharField()
    data_key = serializers.CharField()
    choices = DataChoiceSerializer(many=True)
    entries = EntrySerializer(many=True)


class PromotionSerializer(serializers.ModelSerializer[models.Promotion]):
    model_version = ModelVersionRefSerializer(read_only=True)
    previous = ModelVersionRefSerializer(read_only=True, allow_null=True)

    class Meta:
        model = models.Promotion
        fields = [
            "uid", "model_version", "previous", "reason", "actor", "evidence", "created_at",
        ]  # fmt: skip


class ChampionSerializer(serializers.Serializer[Any]):
    model_version = ModelVersionSerializer(allow_null=True)
    reason = serializers.CharField()
    actor = serializers.CharField()
    history = PromotionSerializer(many=True)


class PromoteInput(serializers.Serializer[Any]):
    model_version = serializers.CharField(help_text="Uid.")
    reason = serializers.CharField(max_length=500)


class FiringSerializer(serializers.ModelSerializer[models.TriggerFiring]):
    project = ProjectRefSerializer(read_only=True)
    version = DatasetVersionRefSerializer(read_only=True, allow_null=True)
    run = serializers.SerializerMethodField()

    class Meta:
        model = models.TriggerFiring
        fields = [
            "uid", "project", "kind", "version", "run", "outcome", "message", "created_at",
        ]  # fmt: skip

    def get_run(self, firing: models.TriggerFiring) -> dict[str, Any] | None:
        return {"uid": firing.run.uid, "number": firing.run.number} if firing.run else None


class TriggerSerializer(serializers.ModelSerializer[Project]):
    """The data trigger of a project, as its settings have it."""

    kind = serializers.SerializerMethodField()
    enabled = serializers.BooleanField(source="retrain_on_data")
    project = serializers.CharField(source="path")

    class Meta:
        model = Project
        fields = ["kind", "enabled", "project"]

    def get_kind(self, project: Project) -> str:
        return "data"


class EventSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    topic = serializers.CharField()
    noun = serializers.CharField()
    subject_uid = serializers.CharField()
    kind = serializers.CharField()
    reason = serializers.CharField()
    message = serializers.CharField()
    actor = serializers.CharField()
    data = serializers.JSONField()


class ComparisonSerializer(serializers.Serializer[Any]):
    runs = RunSerializer(many=True)
    params = serializers.JSONField(help_text="Only those that differ: name -> value by run uid.")
    metrics = serializers.JSONField()
    data = serializers.JSONField()
    packages = serializers.JSONField()
    files = serializers.JSONField()
    manifest = serializers.JSONField()


def _duration(row: models.Run | models.Step) -> float | None:
    if row.started_at is None or row.finished_at is None:
        return None
    return round((row.finished_at - row.started_at).total_seconds(), 3)
