"""The `verify` and `deploy` steps of runs, carried out by serving."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError

from contract.manifest import Manifest
from pipelines.handlers import StepContext, StepObservation
from pipelines.models import Image, ModelVersion
from portal.accounts.principals import SYSTEM
from portal.core.errors import Conflict, NotFound
from portal.projects.models import Project
from serving import facade, tasks
from serving.models import Endpoint, Rollout, Verification
from serving.services import endpoints, following, verifications

BY_RUN = "the run was cancelled"


class VerifyHandler:
    """Verifies the image that the run has built."""

    def ensure(self, context: StepContext) -> None:
        manifest = Manifest.from_dict(context.manifest)
        assert manifest.serve is not None
        made = verifications.create(
            principal=SYSTEM,
            image=_image(context),
            serve=manifest.to_dict()["serve"],
            checks=manifest.verify,
            env={**manifest.env, **manifest.serve.env},
            secret_names=manifest.secrets,
            step_uid=context.step_uid,
            run_uid=context.run_uid,
        )
        tasks.wake_verification(made.pk)

    def observe(self, context: StepContext) -> StepObservation:
        row = Verification.objects.filter(step_uid=context.step_uid).first()
        if row is None:
            return StepObservation(
                status="crashed", reason="VerificationVanished", message="It is not there any more."
            )
        data: dict[str, Any] = {"verification": row.uid, "image": row.image_digest}
        if row.is_terminal:
            results = list(row.results.values("index", "name", "outcome", "message"))
            return StepObservation(
                status="succeeded" if row.status == "passed" else row.status,
                reason=row.status_reason,
                message=row.status_message,
                data={**data, "checks": results, "log_tail": row.log_tail},
            )
        words = row.status_message
        if row.status == "checking":
            words = f"{row.results.count()} of {len(row.checks)} requests asked."
        return StepObservation(status="running", reason=row.status_reason, message=words, data=data)

    def cancel(self, context: StepContext) -> None:
        row = Verification.objects.filter(step_uid=context.step_uid).first()
        if row is not None and not row.is_terminal:
            verifications.cancel(principal=SYSTEM, verification=row)
            tasks.wake_verification(row.pk)


class DeployHandler:
    """Brings the verified image to the endpoint that the manifest names."""

    def ensure(self, context: StepContext) -> None:
        if Rollout.objects.filter(step_uid=context.step_uid).exists():
            return
        manifest = Manifest.from_dict(context.manifest)
        project = Project.objects.select_related("team").get(pk=context.project_id)
        version = (
            ModelVersion.objects.filter(uid=context.model_version_uid or "")
            .select_related("run")
            .first()
        )
        endpoint = _endpoint(project, manifest)
        if endpoint.following_paused:
            raise Conflict(
                f"Automation is paused for `{endpoint.slug}`: {endpoint.following_paused}. "
                "Resume it, or deploy by hand.",
                code="automation_paused",
            )
        try:
            endpoints.deploy(
                principal=SYSTEM,
                endpoint=endpoint,
                release=following.release_of(manifest, _image(context), version),
                strategy=following.strategy_of(manifest),
                why=f"run #{context.run_number}",
                step_uid=context.step_uid,
                need_verified=bool(manifest.verify),
            )
        except IntegrityError:  # another worker began the same rollout
            if not Rollout.objects.filter(step_uid=context.step_uid).exists():
                raise
        tasks.wake_endpoint(endpoint.pk)

    def observe(self, context: StepContext) -> StepObservation:
        row = (
            Rollout.objects.filter(step_uid=context.step_uid)
            .select_related("endpoint", "revision")
            .first()
        )
        if row is None:
            return StepObservation(
                status="crashed", reason="RolloutVanished", message="It is not there any more."
            )
        return StepObservation(
            status=_status(row),  # type: ignore[arg-type]
            reason=row.status_reason,
            message=row.status_message,
            data={
                "endpoint": row.endpoint.uid,
                "endpoint_slug": row.endpoint.slug,
                "url": row.endpoint.url,
                "revision": row.revision.number,
                "rollout": row.uid,
            },
        )

    def cancel(self, context: StepContext) -> None:
        row = (
            Rollout.objects.filter(step_uid=context.step_uid)
            .select_related("endpoint__project__team", "revision")
            .first()
        )
        if row is not None and not row.is_terminal:
            facade.abort_rollout(principal=SYSTEM, rollout=row, reason=BY_RUN)


def _status(row: Rollout) -> str:
    """A rollout that waits for a person lets its run end: it has done what it could."""
    if row.status == "completed":
        return "succeeded"
    if row.status in ("aborted", "rolled_back"):
        return "cancelled" if BY_RUN in row.status_message else "failed"
    waits_for_people = row.manual or row.status == "paused"
    return "succeeded" if waits_for_people and row.index >= 0 else "running"


def _endpoint(project: Project, manifest: Manifest) -> Endpoint:
    wanted = manifest.deploy
    assert wanted is not None
    rows = Endpoint.objects.select_related("project__team")
    found = rows.filter(project=project, slug=wanted.endpoint, alive=True).first()
    if found is not None:
        return found  # type: ignore[no-any-return]
    try:
        return endpoints.create(
            principal=SYSTEM,
            project=project,
            slug=wanted.endpoint,
            auth="public" if wanted.public else "key",
            follows=False,
        )
    except Conflict:
        return rows.get(  # type: ignore[no-any-return]
            project=project, slug=wanted.endpoint, alive=True
        )


def _image(context: StepContext) -> Image:
    found = (
        Image.objects.filter(uid=context.image_uid or "").select_related("project__team").first()
    )
    if found is None:
        raise NotFound("The run has no image; its build step left none.", code="no_image")
    return found  # type: ignore[no-any-return]
