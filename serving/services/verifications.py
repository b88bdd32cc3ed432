"""Verifications: intent only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction

from contract.manifest import Check
from pipelines.models import Image
from portal.accounts import audit
from portal.accounts.principals import Principal
from portal.core import clock, events, transitions
from portal.core.errors import Conflict
from serving import states
from serving.models import Verification
from serving.services.endpoints import image_spec, secrets_of

BEGIN_WITHIN = timedelta(minutes=10)


def create(
    *,
    principal: Principal,
    image: Image,
    serve: Mapping[str, Any],
    checks: Sequence[Check],
    env: Mapping[str, str] | None = None,
    secret_names: Sequence[str] = (),
    step_uid: str | None = None,
    run_uid: str = "",
) -> Verification:
    """A pending verification of an image; at most one for a `step_uid`."""
    try:
        with transaction.atomic():
            made = Verification.objects.create(
                project=image.project,
                step_uid=step_uid,
                run_uid=run_uid,
                backend=settings.SERVING["BACKEND"],
                image=image_spec(image),
                image_digest=image.digest,
                serve=dict(serve),
                env=dict(env or {}),
                secrets=secrets_of(image.project, secret_names),
                checks=[asdict(check) for check in checks],
                created_by=principal.name,
                status=states.VERIFICATION.initial,
                status_reason="Requested",
                status_message="Waiting to be deployed.",
                deadline_at=clock.now() + BEGIN_WITHIN,
            )
            audit.record(
                principal, "verification.create", noun="verification", subject_uid=made.uid,
                subject=f"{image.project.path} {image.digest[:19]}", **image.project.scope,
            )  # fmt: skip
            events.append(
                **made.event_scope(), noun="verification", subject_uid=made.uid, kind="created",
                actor=principal.name,
            )  # fmt: skip
    except IntegrityError:
        if step_uid is None:
            raise
        return Verification.objects.get(step_uid=step_uid)  # type: ignore[no-any-return]
    return made  # type: ignore[no-any-return]


def cancel(*, principal: Principal, verification: Verification) -> None:
    """Ask for the end: it is torn down, then `cancelled`. One that has ended stays as it is.

    Raises:
        Conflict: it has ended, and everything is gone already.
    """
    if verification.is_terminal:
        raise Conflict("The verification has ended and is gone already.", code="already_ended")
    if verification.cancel_requested:
        return
    with transaction.atomic():
        transitions.edit(verification, cancel_requested=True)
        audit.record(
            principal, "verification.delete", noun="verification",
            subject_uid=verification.uid, **verification.project.scope,
        )  # fmt: skip
