"""What others may ask of pipelines: every write of views, handlers and other apps goes here.

Each function checks the right, calls a service, and wakes the reconciler after commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import IO, Any

from django.db import transaction
from django.db.models import Q

from pipelines import tasks
from pipelines.models import Dataset, DatasetVersion, ModelVersion, Promotion, Run, Submission
from pipelines.services import datasets, models, runs, submissions, triggers
from portal.accounts.models import Team
from portal.accounts.principals import Principal
from portal.core.errors import Conflict, NotFound
from portal.projects import access
from portal.projects.models import Project
from portal.projects.services import projects


def submit(
    *,
    principal: Principal,
    archive: IO[bytes],
    team: str = "",
    project: Project | None = None,
    message: str = "",
    params: Mapping[str, Any] | None = None,
    data: Mapping[str, str] | None = None,
    use_cache: bool = True,
    source: Mapping[str, Any] | None = None,
) -> Run:
    """Take in a folder and start its first run.

    Without a project, the manifest's `name` within `team` is the project; it is made where the
    principal may. Everything wrong with the submission is reported at once.

    Raises:
        InvalidInput, NotFound, Forbidden, Conflict.
    """
    if project is not None:
        access.require(principal, "run.submit", project)
    received = submissions.receive(archive)
    if project is None:
        project = _project_for(principal, team, received.manifest.name)
    elif project.slug != received.manifest.name:
        raise Conflict(
            f"The manifest's name is `{received.manifest.name}`, the project's `{project.slug}`.",
            code="name_mismatch",
            field="project",
        )
    access.require(principal, "run.submit", project)
    if project.archived_at is not None:
        raise Conflict("The project is archived.", code="project_archived")
    with transaction.atomic():
        submission = submissions.create(
            principal=principal, project=project, received=received, message=message, source=source
        )
        run = runs.create(
            principal=principal,
            submission=submission,
            data=submissions.resolve_data(project, received.manifest, data),
            params=params,
            use_cache=use_cache,
        )
        tasks.wake_run(run.pk)
    return run


def start_run(
    *,
    principal: Principal,
    submission: Submission,
    params: Mapping[str, Any] | None = None,
    data: Mapping[str, str] | None = None,
    use_cache: bool = True,
) -> Run:
    """Run a submission again, with other parameters or data."""
    project = submission.project
    access.require(principal, "run.submit", project)
    manifest = submission.spec
    problems = submissions.check_needs(project, manifest)
    if problems:
        raise submissions.bad_manifest(problems)
    with transaction.atomic():
        run = runs.create(
            principal=principal,
            submission=submission,
            data=submissions.resolve_data(project, manifest, data),
            params=params,
            use_cache=use_cache,
            cause={"kind": "rerun"},
        )
        tasks.wake_run(run.pk)
    return run


def cancel_run(*, principal: Principal, run: Run) -> Run:
    """Ask for a run's end; it is `cancelled` once everything is proved gone."""
    own = run.author == principal.name
    access.require(principal, "run.cancel_own" if own else "run.cancel", run.project)
    with transaction.atomic():
        runs.request_cancel(principal=principal, run=run)
        tasks.wake_run(run.pk)
    return run


def retry_run(*, principal: Principal, run: Run) -> Run:
    """A new run that goes on from what failed."""
    access.require(principal, "run.submit", run.project)
    with transaction.atomic():
        made = runs.retry(principal=principal, run=run)
        tasks.wake_run(made.pk)
    return made


def push_data(
    *,
    principal: Principal,
    dataset: Dataset,
    uploads: Iterable[datasets.Upload],
    message: str = "",
) -> tuple[DatasetVersion, bool, list[Run]]:
    """A new version of a dataset: (version, whether it is new, the runs that it started)."""
    access.require(principal, "data.push", dataset.project)
    version, fresh = datasets.add_version(
        principal=principal, dataset=dataset, uploads=uploads, message=message
    )
    started = triggers.fire_for(version) if fresh else []
    for run in started:
        tasks.wake_run(run.pk)
    return version, fresh, started


def ensure_dataset(
    *, principal: Principal, project: Project, slug: str, description: str = ""
) -> Dataset:
    access.require(principal, "data.push", project)
    return datasets.ensure(principal=principal, project=project, slug=slug, description=description)


def promote(
    *, principal: Principal, project: Project, version: ModelVersion, reason: str
) -> Promotion | None:
    """Make a model version the champion by hand."""
    access.require(principal, "champion.promote", project)
    return models.promote(principal=principal, project=project, version=version, reason=reason)


def champion(project: Project) -> ModelVersion | None:
    return models.champion(project)


def _project_for(principal: Principal, team_key: str, slug: str) -> Project:
    teams = Team.objects.all()
    if not principal.is_operator:
        teams = teams.filter(pk__in=principal.team_roles)
    if team_key:
        teams = teams.filter(Q(slug=team_key) | Q(uid=team_key))
    found = list(teams[:2])
    if not found:
        raise NotFound(
            f"There is no team {team_key}, or you are not in it.", field="team", code="no_team"
        )
    if len(found) > 1:
        raise Conflict("You are in several teams; say which.", code="which_team", field="team")
    project = (
        Project.objects.visible_to(principal)
        .select_related("team")
        .filter(team=found[0], slug=slug)
        .first()
    )
    if project is None:
        return projects.create(principal=principal, team=found[0], slug=slug)
    return project  # type: ignore[no-any-return]
