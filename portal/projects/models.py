"""Projects, who may do what in them, and their secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

from django.db import models
from django.db.models import Q

from portal.accounts import roles
from portal.accounts.models import Team, User
from portal.core.models import BaseModel, VersionedModel

if TYPE_CHECKING:
    from portal.accounts.principals import Principal


def visible(principal: Principal, path: str = "") -> Q:
    """The condition that a project, reached over `path` ("project__"), may be seen."""
    if principal.is_operator:
        return Q()
    token = principal.token
    teams = list(principal.team_roles)
    condition = Q(**{f"{path}team__in": teams})
    if principal.user is not None:
        condition |= Q(**{f"{path}memberships__user": principal.user})
    if token is not None and token.project_uid:
        condition &= Q(**{f"{path}uid": token.project_uid})
    return condition


class ScopedQuerySet(models.QuerySet[Any]):
    """Rows of a project-owned model. `scope` is the path to the project."""

    scope: ClassVar[str] = "project__"

    def visible_to(self, principal: Principal) -> Self:
        if principal.is_operator:
            return self
        seen = Project.objects.filter(visible(principal)).values("pk")
        return self.filter(**{f"{self.scope.removesuffix('__')}__in": seen})


class ProjectQuerySet(models.QuerySet["Project"]):
    def visible_to(self, principal: Principal) -> Self:
        return self.filter(visible(principal)).distinct() if not principal.is_operator else self


class Project(VersionedModel):
    """A model's home, framed as an internal competition: its metric ranks what people submit.

    `next_number` counters give people `#42`. `champion_mode`: whether a run that passed its gate
    becomes champion by itself. `retrain_on_data`: a new dataset version runs the champion again.
    """

    DIRECTIONS: ClassVar = [("maximize", "maximize"), ("minimize", "minimize")]
    MODES: ClassVar = [("automatic", "automatic"), ("manual", "manual")]

    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="projects")
    slug = models.CharField(max_length=30)
    name = models.CharField(max_length=100)
    description = models.TextField(blank=True)
    metric = models.CharField(max_length=100, blank=True)
    direction = models.CharField(max_length=8, choices=DIRECTIONS, default="maximize")
    champion_mode = models.CharField(max_length=9, choices=MODES, default="automatic")
    retrain_on_data = models.BooleanField(default=False)
    archived_at = models.DateTimeField(null=True, blank=True)
    last_submission = models.PositiveIntegerField(default=0, editable=False)
    last_run = models.PositiveIntegerField(default=0, editable=False)
    last_model_version = models.PositiveIntegerField(default=0, editable=False)

    objects: ClassVar[Any] = ProjectQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "slug"], name="projects_slug_once")]

    @property
    def path(self) -> str:
        return f"{self.team.slug}/{self.slug}"

    @property
    def scope(self) -> dict[str, Any]:
        """Of events and audit entries."""
        return {"team_uid": self.team.uid, "project_uid": self.uid}


class ProjectMembership(BaseModel):
    """Raises a person's role in one project above the team's."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    role = models.CharField(max_length=16, choices=roles.CHOICES)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "user"], name="projects_membership_once")
        ]


class Secret(VersionedModel):
    """A named value that steps and servers get as an environment variable; ciphertext only."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="secrets")
    name = models.CharField(max_length=100)
    ciphertext = models.TextField()
    changed_by = models.CharField(max_length=160)

    objects: ClassVar[Any] = ScopedQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "name"], name="projects_secret_once")
        ]
