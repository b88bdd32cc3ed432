"""Endpoints, revisions, traffic, rollouts, keys and verifications."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models

from portal.core.models import BaseModel, StatefulModel, VersionedModel
from portal.projects.models import Project, ScopedQuerySet
from serving import states
from serving.traffic import Target

PORTAL_KEY = "portal: try it"  # the key that the portal itself uses


class EndpointScopedQuerySet(ScopedQuerySet):
    scope: ClassVar[str] = "endpoint__project__"


class Endpoint(VersionedModel):
    """A stable address and what should answer there. `generation` grows with every change of
    intent; `alive` is NULL once deleted, so that the slug can be used again."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="endpoints")
    slug = models.CharField(max_length=30)
    alive = models.BooleanField(null=True, default=True)
    backend = models.CharField(max_length=40)
    auth = models.CharField(max_length=8, default="key")  # key or public
    generation = models.PositiveBigIntegerField(default=1)
    observed_generation = models.PositiveBigIntegerField(default=0)
    routed_generation = models.PositiveBigIntegerField(default=0)
    url = models.CharField(max_length=500, blank=True)
    conditions = models.JSONField(default=list, blank=True)
    observation = models.JSONField(default=dict, blank=True)  # the last, for pages
    follows_champion = models.BooleanField(default=False)
    following_paused = models.CharField(max_length=500, blank=True)
    last_revision = models.PositiveIntegerField(default=0)
    deleting = models.BooleanField(default=False)
    created_by = models.CharField(max_length=160)

    objects: ClassVar[Any] = ScopedQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["project", "slug", "alive"], name="serving_endpoint_slug"
            )
        ]

    @property
    def path(self) -> str:
        return f"{self.project.path}/{self.slug}"

    def scope(self) -> dict[str, Any]:
        return {"topic": f"endpoint:{self.uid}", **self.project.scope}


class Revision(StatefulModel):
    """An immutable way to answer: an image by digest with its serve spec, variables and secrets
    as they were. Only its status changes."""

    noun = "revision"
    table = states.REVISION

    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="revisions")
    number = models.PositiveIntegerField()
    image = models.JSONField()  # backends.base.ImageSpec
    image_digest = models.CharField(max_length=80)
    model_version_uid = models.CharField(max_length=26, blank=True)
    model_version_number = models.PositiveIntegerField(null=True)
    run_uid = models.CharField(max_length=26, blank=True)
    run_number = models.PositiveIntegerField(null=True)
    serve = models.JSONField()  # contract.manifest.Serve
    env = models.JSONField(default=dict)
    secrets = models.JSONField(default=dict)  # name -> ciphertext
    created_by = models.CharField(max_length=160)
    last_served_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[Any] = EndpointScopedQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["endpoint", "number"], name="serving_revision_number")
        ]

    @property
    def name(self) -> str:
        return f"r{self.number}"

    @property
    def log_key(self) -> str:
        return f"logs/revisions/{self.uid}"

    def event_scope(self) -> dict[str, Any]:
        return self.endpoint.scope()


class TrafficTarget(models.Model):
    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="targets")
    revision = models.ForeignKey(Revision, on_delete=models.CASCADE, related_name="targets")
    percent = models.PositiveSmallIntegerField()
    tag = models.CharField(max_length=30, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["endpoint", "revision"], name="serving_target_once")
        ]

    def target(self) -> Target:
        return Target(self.revision.uid, self.percent, self.tag)


class Rollout(StatefulModel):
    """A change of traffic to one revision. A rollback is one too: history only goes forward.

    `step_uid` is the deploy step that asked for it, once. `previous` is the split to return to.
    """

    noun = "rollout"
    table = states.ROLLOUT

    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="rollouts")
    revision = models.ForeignKey(Revision, on_delete=models.CASCADE, related_name="rollouts")
    step_uid = models.CharField(max_length=26, null=True, unique=True)
    strategy = models.CharField(max_length=10)
    steps = models.JSONField()
    index = models.SmallIntegerField(default=-1)
    pause_s = models.FloatField(default=60.0)
    manual = models.BooleanField(default=False)
    max_error_rate = models.FloatField(null=True)
    max_p95_s = models.FloatField(null=True)
    previous = models.JSONField(default=list)
    baseline = models.JSONField(default=dict, blank=True)
    step_started_at = models.DateTimeField(null=True, blank=True)
    why = models.CharField(max_length=500, blank=True)
    actor = models.CharField(max_length=160)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[Any] = EndpointScopedQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["status", "endpoint"], name="serving_rollout_status")]

    def event_scope(self) -> dict[str, Any]:
        return self.endpoint.scope()


class EndpointKey(BaseModel):
    """A key of product teams. Only its id is kept; the token is shown once."""

    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="keys")
    name = models.CharField(max_length=100)
    scope = models.CharField(max_length=40, default="invoke")
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    created_by = models.CharField(max_length=160)

    objects: ClassVar[Any] = EndpointScopedQuerySet.as_manager()


class Verification(StatefulModel):
    """An image deployed out of traffic and asked the defined requests, then torn down.

    `outcome` is decided before the end; the status follows once everything is gone.
    """

    noun = "verification"
    table = states.VERIFICATION

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="verifications")
    step_uid = models.CharField(max_length=26, null=True, unique=True)
    run_uid = models.CharField(max_length=26, blank=True)
    backend = models.CharField(max_length=40)
    image = models.JSONField()
    image_digest = models.CharField(max_length=80)
    serve = models.JSONField()
    env = models.JSONField(default=dict)
    secrets = models.JSONField(default=dict)
    checks = models.JSONField()  # contract.manifest.Check
    outcome = models.CharField(max_length=10, blank=True)
    outcome_reason = models.CharField(max_length=64, blank=True)
    outcome_message = models.TextField(blank=True)
    log_tail = models.JSONField(default=list, blank=True)
    cancel_requested = models.BooleanField(default=False)
    created_by = models.CharField(max_length=160)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[Any] = ScopedQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["project", "image_digest"], name="serving_verification_image")
        ]

    def event_scope(self) -> dict[str, Any]:
        return {"topic": f"verification:{self.uid}", **self.project.scope}


class CheckResult(models.Model):
    verification = models.ForeignKey(Verification, on_delete=models.CASCADE, related_name="results")
    index = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=200)
    outcome = models.CharField(max_length=8)  # passed, failed, error
    message = models.TextField(blank=True)
    differences = models.JSONField(default=list)
    request = models.JSONField(default=dict)
    response = models.JSONField(default=dict)
    elapsed_s = models.FloatField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["verification", "index"], name="serving_check_once")
        ]
        ordering = ["index"]


class MetricBucket(models.Model):
    """What one revision did in one stretch of time. `width_s` grows as buckets roll up."""

    id = models.BigAutoField(primary_key=True)
    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="buckets")
    revision = models.ForeignKey(Revision, on_delete=models.CASCADE, related_name="+")
    at = models.DateTimeField()
    width_s = models.PositiveIntegerField()
    requests = models.PositiveBigIntegerField(default=0)
    errors = models.PositiveBigIntegerField(default=0)
    latency = models.JSONField(default=dict)
    in_flight = models.FloatField(default=0)
    replicas = models.FloatField(default=0)
    cold_starts = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["revision", "width_s", "at"], name="serving_bucket_once"
            )
        ]
        indexes = [models.Index(fields=["endpoint", "at"], name="serving_bucket_endpoint")]


class StatsMark(models.Model):
    """The counters of a revision as last read, so that buckets hold what came since."""

    revision = models.OneToOneField(Revision, on_delete=models.CASCADE, related_name="mark")
    at = models.DateTimeField()
    epoch = models.CharField(max_length=40, blank=True)
    requests = models.PositiveBigIntegerField(default=0)
    errors = models.PositiveBigIntegerField(default=0)
    latency = models.JSONField(default=dict)
    cold_starts = models.PositiveIntegerField(default=0)


class ScaleDecision(models.Model):
    """Why a revision has the replicas it has, when that changed."""

    id = models.BigAutoField(primary_key=True)
    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="decisions")
    revision = models.ForeignKey(Revision, on_delete=models.CASCADE, related_name="+")
    at = models.DateTimeField()
    wanted = models.PositiveIntegerField()
    observed = models.FloatField()
    target = models.PositiveIntegerField()
    window = models.CharField(max_length=8)
    bound = models.CharField(max_length=8, blank=True)
    message = models.TextField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["revision", "at"], name="serving_decision_once")
        ]
        indexes = [models.Index(fields=["endpoint", "-at"], name="serving_decision_recent")]
