"""What others may ask of serving: rights, then a service, then a wake after commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction

from contract.manifest import Check
from pipelines.models import Image, ModelVersion
from portal.accounts import audit
from portal.accounts.principals import Principal
from portal.core import clock
from portal.core.errors import Conflict
from portal.core.transitions import edit, transition
from portal.projects import access
from portal.projects.models import Project
from serving import tasks, traffic
from serving.models import Endpoint, EndpointKey, Revision, Rollout, Verification
from serving.services import endpoints, following, keys, verifications


def create_endpoint(
    *, principal: Principal, project: Project, slug: str, auth: str, follows: bool
) -> Endpoint:
    access.require(principal, "endpoint.create", project)
    made = endpoints.create(
        principal=principal, project=project, slug=slug, auth=auth, follows=follows
    )
    tasks.wake_endpoint(made.pk)
    return made


def deploy(
    *,
    principal: Principal,
    endpoint: Endpoint,
    version: ModelVersion,
    strategy: endpoints.Strategy | None,
    reason: str = "",
) -> Rollout:
    """Deploy a model version by hand; with its manifest's rollout where none is given."""
    access.require(principal, "endpoint.deploy", endpoint.project)
    if version.image is None:
        raise Conflict("This version has no image: it serves nothing.", code="no_image")
    manifest = version.run.submission.spec
    with transaction.atomic():
        made = endpoints.deploy(
            principal=principal,
            endpoint=endpoint,
            release=following.release_of(manifest, version.image, version),
            strategy=strategy or following.strategy_of(manifest),
            why=reason or f"v{version.number}",
            need_verified=bool(manifest.verify),
        )
        tasks.wake_endpoint(endpoint.pk)
    return made


def rollback(
    *, principal: Principal, endpoint: Endpoint, revision: Revision | None, reason: str
) -> Rollout:
    access.require(principal, "endpoint.rollback", endpoint.project)
    with transaction.atomic():
        made = endpoints.rollback(
            principal=principal, endpoint=endpoint, revision=revision, reason=reason
        )
        tasks.wake_endpoint(endpoint.pk)
    return made


def set_traffic(
    *,
    principal: Principal,
    endpoint: Endpoint,
    targets: Sequence[traffic.Target],
    expected_version: int | None,
) -> Endpoint:
    access.require(principal, "endpoint.edit", endpoint.project)
    with transaction.atomic():
        made = endpoints.set_traffic(
            principal=principal,
            endpoint=endpoint,
            targets=targets,
            expected_version=expected_version,
        )
        tasks.wake_endpoint(endpoint.pk)
    return made


def edit_endpoint(
    *, principal: Principal, endpoint: Endpoint, expected_version: int | None, auth: str | None
) -> Endpoint:
    access.require(principal, "endpoint.edit", endpoint.project)
    with transaction.atomic():
        made = endpoints.edit(
            principal=principal, endpoint=endpoint, expected_version=expected_version, auth=auth
        )
        tasks.wake_endpoint(endpoint.pk)
    return made


def set_following(*, principal: Principal, endpoint: Endpoint, follow: bool) -> Endpoint:
    access.require(principal, "endpoint.edit", endpoint.project)
    with transaction.atomic():
        made = endpoints.set_following(principal=principal, endpoint=endpoint, follow=follow)
        tasks.wake_endpoint(endpoint.pk)
    return made


def delete_endpoint(*, principal: Principal, endpoint: Endpoint) -> None:
    access.require(principal, "endpoint.delete", endpoint.project)
    with transaction.atomic():
        endpoints.delete(principal=principal, endpoint=endpoint)
        tasks.wake_endpoint(endpoint.pk)


def advance_rollout(*, principal: Principal, rollout: Rollout) -> Rollout:
    """On to the next step now. Raises Conflict where there is none, or it has not begun."""
    access.require(principal, "endpoint.deploy", rollout.endpoint.project)
    with transaction.atomic():
        endpoint = endpoints.lock(rollout.endpoint)
        rollout = _active(rollout)
        if rollout.index < 0:
            raise Conflict("It has not begun: the revision is not ready.", code="not_begun")
        if rollout.index + 1 >= len(rollout.steps):
            raise Conflict("It is at its last step.", code="last_step")
        if rollout.status == "paused":
            transition(
                rollout,
                "progressing",
                reason="Advanced",
                actor=principal.name,
                deadline_at=rollout.deadline_at,
            )
        percent = rollout.steps[rollout.index + 1]
        edit(
            rollout,
            index=rollout.index + 1,
            step_started_at=clock.now(),
            baseline={},
            status_message=f"{principal.name} advanced it to {percent}%.",
        )
        stable = [traffic.Target(*item) for item in rollout.previous]
        endpoints.set_targets(endpoint, traffic.shift(stable, rollout.revision.uid, percent))
        _note(principal, "rollout.advance", rollout, {"percent": percent})
        tasks.wake_endpoint(endpoint.pk)
    return rollout


def pause_rollout(*, principal: Principal, rollout: Rollout) -> Rollout:
    """Stay at this step until someone resumes it; after 7 days it aborts."""
    access.require(principal, "endpoint.deploy", rollout.endpoint.project)
    with transaction.atomic():
        rollout = _active(rollout)
        if rollout.status != "paused":
            transition(
                rollout,
                "paused",
                reason="Paused",
                message=f"Paused by {principal.name}.",
                actor=principal.name,
                deadline_at=rollout.deadline_at,
                step_started_at=clock.now() if rollout.index >= 0 else None,
            )
            _note(principal, "rollout.pause", rollout, {})
    return rollout


def resume_rollout(*, principal: Principal, rollout: Rollout) -> Rollout:
    access.require(principal, "endpoint.deploy", rollout.endpoint.project)
    with transaction.atomic():
        rollout = _active(rollout)
        if rollout.status == "paused":
            transition(
                rollout,
                "progressing",
                reason="Resumed",
                message=f"Resumed by {principal.name}.",
                actor=principal.name,
                deadline_at=rollout.deadline_at,
                step_started_at=clock.now() if rollout.index >= 0 else None,
            )
            _note(principal, "rollout.resume", rollout, {})
            tasks.wake_endpoint(rollout.endpoint_id)
    return rollout


def abort_rollout(*, principal: Principal, rollout: Rollout, reason: str = "") -> Rollout:
    """Back to the split before, at once."""
    access.require(principal, "endpoint.deploy", rollout.endpoint.project)
    with transaction.atomic():
        endpoint = endpoints.lock(rollout.endpoint)
        rollout = _active(rollout)
        words = f"Aborted by {principal.name}" + (f": {reason}" if reason else ".")
        transition(
            rollout,
            "aborted",
            reason="AbortedByHand",
            message=words,
            actor=principal.name,
            finished_at=clock.now(),
        )
        stable = [traffic.Target(*item) for item in rollout.previous]
        if any(target.percent for target in stable):
            endpoints.set_targets(endpoint, stable)
        else:
            endpoints.bump(endpoint)
        _note(principal, "rollout.abort", rollout, {"reason": reason})
        tasks.wake_endpoint(endpoint.pk)
    return rollout


def create_key(
    *, principal: Principal, endpoint: Endpoint, name: str, expires_at: datetime | None
) -> tuple[EndpointKey, str]:
    access.require(principal, "key.manage", endpoint.project)
    with transaction.atomic():
        made = keys.create(principal=principal, endpoint=endpoint, name=name, expires_at=expires_at)
        tasks.wake_endpoint(endpoint.pk)
    return made


def revoke_key(*, principal: Principal, key: EndpointKey) -> None:
    access.require(principal, "key.manage", key.endpoint.project)
    with transaction.atomic():
        keys.revoke(principal=principal, key=key)
        tasks.wake_endpoint(key.endpoint_id)


def create_verification(
    *,
    principal: Principal,
    image: Image,
    serve: Mapping[str, Any],
    checks: Sequence[Check],
    env: Mapping[str, str] | None = None,
    secret_names: Sequence[str] = (),
) -> Verification:
    access.require(principal, "verification.create", image.project)
    with transaction.atomic():
        made = verifications.create(
            principal=principal,
            image=image,
            serve=serve,
            checks=checks,
            env=env,
            secret_names=secret_names,
        )
        tasks.wake_verification(made.pk)
    return made


def delete_verification(*, principal: Principal, verification: Verification) -> None:
    """Tear it down now."""
    access.require(principal, "verification.create", verification.project)
    with transaction.atomic():
        verifications.cancel(principal=principal, verification=verification)
        tasks.wake_verification(verification.pk)


def _active(rollout: Rollout) -> Rollout:
    fresh = (
        Rollout.objects.select_for_update()
        .select_related("endpoint__project__team", "revision")
        .get(pk=rollout.pk)
    )
    if fresh.is_terminal:
        raise Conflict(f"The rollout has ended: {fresh.status_message}", code="already_ended")
    return fresh  # type: ignore[no-any-return]


def _note(principal: Principal, action: str, rollout: Rollout, after: dict[str, Any]) -> None:
    audit.record(
        principal,
        action,
        noun="rollout",
        subject_uid=rollout.uid,
        subject=f"{rollout.endpoint.path} {rollout.revision.name}",
        after=after,
        **rollout.endpoint.project.scope,
    )
