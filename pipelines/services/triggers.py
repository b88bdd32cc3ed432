"""What new data starts: the champion's submission runs again on it, where the project says so.

Each firing is recorded once a data version and project, with what came of it.
"""

from __future__ import annotations

from django.db import IntegrityError, transaction

from pipelines.models import DatasetVersion, Run, TriggerFiring
from pipelines.services import models, runs, submissions
from portal.accounts.principals import SYSTEM
from portal.core.errors import InvalidInput
from portal.projects.models import Project

KIND = "data"


def fire_for(version: DatasetVersion) -> list[Run]:
    """Fire for every project of the team that retrains on data; returns the runs it started."""
    team = version.dataset.project.team_id
    projects = Project.objects.filter(
        team_id=team, retrain_on_data=True, archived_at=None
    ).select_related("team")
    return [run for project in projects if (run := _fire(project, version)) is not None]


def _fire(project: Project, version: DatasetVersion) -> Run | None:
    reigning = models.champion(project)
    owner = version.dataset.project
    if reigning is None:
        if owner.pk == project.pk:
            _record(project, version, "nothing", "There is no champion to train again yet.")
        return None
    submission = reigning.run.submission
    manifest = submission.spec
    followed = [slot for slot, ref in manifest.data.items() if _follows(project, ref, version)]
    if not followed:
        if owner.pk == project.pk:
            _record(project, version, "nothing", "The champion does not use this dataset.")
        return None
    try:
        with transaction.atomic():
            firing = _record(project, version, "started", "")
            if firing is None:
                return None
            run = runs.create(
                principal=SYSTEM,
                submission=submission,
                data=submissions.resolve_data(project, manifest),
                params=reigning.run.params,
                cause={"kind": KIND, "version": version.ref, "champion": reigning.number},
            )
            TriggerFiring.objects.filter(pk=firing.pk).update(
                run=run, message=f"Started run #{run.number} on {version.ref}."
            )
            return run
    except InvalidInput as error:
        _record(project, version, "failed", error.message)
        return None


def _follows(project: Project, reference: str, version: DatasetVersion) -> bool:
    """Whether a slot's reference means the latest of this version's dataset."""
    name, _, wanted = reference.partition("@")
    owner, _, slug = name.rpartition(":")
    dataset = version.dataset
    return (
        wanted in ("", "latest")
        and slug == dataset.slug
        and (owner or project.slug) == dataset.project.slug
    )


def _record(
    project: Project, version: DatasetVersion, outcome: str, message: str
) -> TriggerFiring | None:
    """The firing's row, or None where this version has fired for this project before."""
    try:
        with transaction.atomic():
            return TriggerFiring.objects.create(  # type: ignore[no-any-return]
                project=project,
                kind=KIND,
                cause=version.uid,
                version=version,
                outcome=outcome,
                message=message,
            )
    except IntegrityError:
        return None
