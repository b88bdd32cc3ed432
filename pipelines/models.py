"""Submissions, data, runs and what they publish."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models

from contract.manifest import Manifest
from pipelines import states
from portal.core.models import BaseModel, StatefulModel, VersionedModel
from portal.projects.models import Project, ScopedQuerySet


class RunScopedQuerySet(ScopedQuerySet):
    scope: ClassVar[str] = "run__project__"


class StepScopedQuerySet(ScopedQuerySet):
    scope: ClassVar[str] = "step__run__project__"


class DatasetScopedQuerySet(ScopedQuerySet):
    scope: ClassVar[str] = "dataset__project__"


class Submission(BaseModel):
    """An immutable snapshot of a folder with its manifest; people see `#number`.

    `lock` is the resolved requirements, filled in by the first run's prepare step.
    """

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="submissions")
    number = models.PositiveIntegerField()
    digest = models.CharField(max_length=64)
    size = models.PositiveBigIntegerField()
    file_count = models.PositiveIntegerField()
    manifest = models.JSONField()
    message = models.CharField(max_length=500, blank=True)
    author = models.CharField(max_length=160)
    source = models.JSONField(default=dict, blank=True)
    lock = models.TextField(blank=True, null=True, default=None)

    objects: ClassVar[Any] = ScopedQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["project", "number"], name="pipelines_submission_number"
            )
        ]
        indexes = [models.Index(fields=["project", "digest"], name="pipelines_submission_digest")]

    @property
    def spec(self) -> Manifest:
        return Manifest.from_dict(self.manifest)

    @property
    def snapshot_key(self) -> str:
        return f"snapshots/{self.digest}.tar.gz"


class Dataset(BaseModel):
    """A named line of data versions; `slug` may have parts: `wine/train`."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="datasets")
    slug = models.CharField(max_length=100)
    description = models.TextField(blank=True)
    last_version = models.PositiveIntegerField(default=0, editable=False)

    objects: ClassVar[Any] = ScopedQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "slug"], name="pipelines_dataset_slug")
        ]


class DatasetVersion(BaseModel):
    """Immutable files below `datasets/<uid>/` of the object store. `files` is
    [{path, size, sha256}]; `profile` a small description of tables, by path."""

    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    digest = models.CharField(max_length=64)
    size = models.PositiveBigIntegerField()
    files = models.JSONField(default=list)
    profile = models.JSONField(default=dict, blank=True)
    message = models.CharField(max_length=500, blank=True)
    created_by = models.CharField(max_length=160)

    objects: ClassVar[Any] = DatasetScopedQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["dataset", "number"], name="pipelines_version_number")
        ]

    @property
    def key(self) -> str:
        return f"datasets/{self.uid}"

    @property
    def ref(self) -> str:
        return f"{self.dataset.slug}@{self.number}"


class Run(StatefulModel):
    """One execution of a submission with parameters and data. `cause` says who or what."""

    noun = "run"
    table = states.RUN

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="runs")
    submission = models.ForeignKey(Submission, on_delete=models.PROTECT, related_name="runs")
    parent = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="children")
    number = models.PositiveIntegerField()
    params = models.JSONField(default=dict)
    data_key = models.CharField(max_length=64, blank=True)
    cause = models.JSONField(default=dict)
    author = models.CharField(max_length=160)
    use_cache = models.BooleanField(default=True)
    executor = models.CharField(max_length=40)
    builder = models.CharField(max_length=40)
    environment = models.JSONField(default=dict, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[Any] = ScopedQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "number"], name="pipelines_run_number")
        ]
        indexes = [
            models.Index(fields=["project", "-id"], name="pipelines_run_recent"),
            models.Index(fields=["project", "status", "-id"], name="pipelines_run_project_st"),
            models.Index(fields=["status", "id"], name="pipelines_run_status"),
        ]

    def event_scope(self) -> dict[str, Any]:
        return {"topic": f"run:{self.uid}", **self.project.scope}


class RunData(models.Model):
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="data")
    slot = models.CharField(max_length=30)
    version = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, related_name="used_by")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "slot"], name="pipelines_run_slot")]


class Step(StatefulModel):
    """A node of a run. `kind`: prepare, user, gate, build, verify or deploy. `result` holds what
    its kind leaves: outputs' digest, gate evidence, image, verification or endpoint."""

    noun = "step"
    table = states.STEP

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="steps")
    name = models.CharField(max_length=30)
    kind = models.CharField(max_length=8)
    position = models.PositiveSmallIntegerField()
    needs = models.JSONField(default=list)
    cache_key = models.CharField(max_length=64, blank=True, db_index=True)
    cached_from = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, related_name="+")
    output_key = models.CharField(max_length=200, blank=True)
    output_digest = models.CharField(max_length=64, blank=True)
    result = models.JSONField(default=dict, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[Any] = RunScopedQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "name"], name="pipelines_step_name")]
        ordering = ["position"]

    def event_scope(self) -> dict[str, Any]:
        return self.run.event_scope()


class Attempt(StatefulModel):
    """One launch of a step. Its uid names everything outside; the handle is saved before launch."""

    noun = "attempt"
    table = states.ATTEMPT

    step = models.ForeignKey(Step, on_delete=models.CASCADE, related_name="attempts")
    number = models.PositiveSmallIntegerField()
    pool = models.CharField(max_length=40)  # whose capacity it takes: an executor's name
    cpu_m = models.PositiveIntegerField()
    memory_bytes = models.PositiveBigIntegerField()
    gpu = models.PositiveSmallIntegerField(default=0)
    handle = models.JSONField(default=dict, blank=True)
    node_id = models.CharField(max_length=100, blank=True)
    exit = models.JSONField(default=dict, blank=True)
    usage = models.JSONField(default=dict, blank=True)
    admitted_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    forgotten = models.BooleanField(default=False)

    objects: ClassVar[Any] = StepScopedQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["step", "number"], name="pipelines_attempt_number")
        ]
        indexes = [models.Index(fields=["status", "pool", "id"], name="pipelines_attempt_status")]

    def event_scope(self) -> dict[str, Any]:
        return self.step.run.event_scope()

    @property
    def log_key(self) -> str:
        return f"logs/{self.uid}"

    @property
    def output_key(self) -> str:
        return f"attempts/{self.uid}/output"


class Metric(models.Model):
    """One point of a curve; `step_index` is the x that the code gave, or its order."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="metrics")
    step = models.ForeignKey(Step, on_delete=models.CASCADE, related_name="metrics")
    name = models.CharField(max_length=100)
    value = models.FloatField()
    step_index = models.BigIntegerField(default=0)

    class Meta:
        indexes = [
            models.Index(fields=["run", "name", "step_index"], name="pipelines_metric_curve")
        ]


class Artifact(BaseModel):
    """One output file, by its place below the step's output key."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="artifacts")
    step = models.ForeignKey(Step, on_delete=models.CASCADE, related_name="artifacts")
    path = models.CharField(max_length=1024)
    key = models.CharField(max_length=1200)
    size = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=64)

    objects: ClassVar[Any] = RunScopedQuerySet.as_manager()


class Image(BaseModel):
    """A built image. The digest is the identity of what is verified and served."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="images")
    digest = models.CharField(max_length=80)
    reference = models.CharField(max_length=500)
    local_only = models.BooleanField(default=False)
    size = models.PositiveBigIntegerField(default=0)
    layers = models.JSONField(default=list)
    packages = models.JSONField(default=list)
    dockerfile = models.TextField(blank=True)
    sbom_key = models.CharField(max_length=200, blank=True)
    provenance_key = models.CharField(max_length=200, blank=True)
    content = models.JSONField(default=dict)  # environment, snapshot and model trees
    run = models.ForeignKey(Run, on_delete=models.SET_NULL, null=True, related_name="+")

    objects: ClassVar[Any] = ScopedQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "digest"], name="pipelines_image_digest")
        ]


class ModelVersion(BaseModel):
    """What a run publishes: image, metrics and lineage. `gate` is the decision's evidence."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="model_versions")
    number = models.PositiveIntegerField()
    run = models.OneToOneField(Run, on_delete=models.PROTECT, related_name="model_version")
    image = models.ForeignKey(Image, on_delete=models.PROTECT, null=True, related_name="+")
    metrics = models.JSONField(default=dict)
    data = models.JSONField(default=dict)
    data_key = models.CharField(max_length=64, blank=True)
    gate = models.JSONField(default=dict, blank=True)
    verified = models.BooleanField(default=False)

    objects: ClassVar[Any] = ScopedQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "number"], name="pipelines_model_number")
        ]


class Alias(VersionedModel):
    """A name for a model version of a project, such as `champion`."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="aliases")
    name = models.CharField(max_length=30)
    model_version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=500, blank=True)
    actor = models.CharField(max_length=160)

    objects: ClassVar[Any] = ScopedQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "name"], name="pipelines_alias_name")
        ]


class Promotion(BaseModel):
    """One change of the champion with its evidence. Never changed."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="promotions")
    model_version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="+")
    previous = models.ForeignKey(
        ModelVersion, on_delete=models.PROTECT, null=True, related_name="+"
    )
    reason = models.CharField(max_length=500, blank=True)
    actor = models.CharField(max_length=160)
    evidence = models.JSONField(default=dict)

    objects: ClassVar[Any] = ScopedQuerySet.as_manager()


class Score(models.Model):
    """A run's place on the leaderboard of one metric and one set of data versions."""

    id = models.BigAutoField(primary_key=True)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="scores")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="scores")
    metric = models.CharField(max_length=100)
    value = models.FloatField()
    data_key = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "metric"], name="pipelines_score")]
        indexes = [
            models.Index(
                fields=["project", "metric", "data_key", "value"], name="pipelines_score_rank"
            )
        ]


class TriggerFiring(BaseModel):
    """A trigger that fired: what it started, or why it started nothing. Once a cause."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="firings")
    kind = models.CharField(max_length=16)  # "data"
    cause = models.CharField(max_length=64)  # what collapses duplicates: the data version's uid
    version = models.ForeignKey(
        DatasetVersion, on_delete=models.PROTECT, null=True, related_name="firings"
    )
    run = models.ForeignKey(Run, on_delete=models.SET_NULL, null=True, related_name="+")
    outcome = models.CharField(max_length=16)  # started, nothing, failed
    message = models.TextField(blank=True)

    objects: ClassVar[Any] = ScopedQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["project", "kind", "cause"], name="pipelines_firing_once"
            )
        ]
