"""Endpoints: intent only. Every change of intent makes the generation grow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F

from contract import names
from pipelines.models import Image, ModelVersion
from portal.accounts import audit
from portal.accounts.principals import Principal
from portal.core import clock, events, transitions
from portal.core.errors import Conflict, InvalidInput
from portal.projects.models import Project, Secret
from serving import rollouts, states, traffic
from serving.models import (
    PORTAL_KEY,
    Endpoint,
    EndpointKey,
    Revision,
    Rollout,
    TrafficTarget,
    Verification,
)


@dataclass(frozen=True, kw_only=True)
class Release:
    """What a revision is made of."""

    image: Image
    serve: Mapping[str, Any]  # contract.manifest.Serve
    env: Mapping[str, str] = field(default_factory=dict)
    secret_names: Sequence[str] = ()
    model_version: ModelVersion | None = None


@dataclass(frozen=True, kw_only=True)
class Strategy:
    name: str = "instant"
    steps: tuple[int, ...] = ()
    pause_s: float = 60.0
    manual: bool = False
    max_error_rate: float | None = None
    max_p95_s: float | None = None


def create(
    *, principal: Principal, project: Project, slug: str, auth: str = "key", follows: bool = False
) -> Endpoint:
    """A new endpoint with nothing behind it yet.

    Raises:
        InvalidInput: the slug is not a DNS label of at most 30.
        Conflict: the project has a live endpoint of this slug.
    """
    if not names.DNS_LABEL.fullmatch(slug):
        raise InvalidInput(
            "A slug has lower-case letters, digits and dashes, at most 30.", field="slug"
        )
    if auth not in ("key", "public"):
        raise InvalidInput("`auth` is key or public.", field="auth")
    try:
        with transaction.atomic():
            endpoint = Endpoint.objects.create(
                project=project,
                slug=slug,
                auth=auth,
                backend=settings.SERVING["BACKEND"],
                follows_champion=follows,
                created_by=principal.name,
            )
            EndpointKey.objects.create(endpoint=endpoint, name=PORTAL_KEY, created_by="platform")
            _record(principal, "create", endpoint, after={"auth": auth})
    except IntegrityError as error:
        raise Conflict(
            f"The project has an endpoint `{slug}` already.", code="slug_taken", field="slug"
        ) from error
    return endpoint  # type: ignore[no-any-return]


def deploy(
    *,
    principal: Principal,
    endpoint: Endpoint,
    release: Release,
    strategy: Strategy,
    why: str = "",
    step_uid: str | None = None,
    need_verified: bool = True,
) -> Rollout:
    """A new revision and the rollout that brings it traffic. A rollout under way gives way: its
    target stays at no traffic and the split before it is the stable one.

    Raises:
        Conflict: the image has not passed a verification, or the endpoint is being deleted.
    """
    if endpoint.deleting:
        raise Conflict("The endpoint is being deleted.", code="deleting")
    if need_verified and not verified(endpoint.project, release.image.digest):
        raise Conflict(
            "This image has not passed a verification; only what verified is served.",
            code="not_verified",
        )
    with transaction.atomic():
        endpoint = lock(endpoint)
        stable = _settle_active(endpoint, principal, "a newer deploy took its place")
        Endpoint.objects.filter(pk=endpoint.pk).update(last_revision=F("last_revision") + 1)
        endpoint.last_revision += 1
        version = release.model_version
        revision = Revision.objects.create(
            endpoint=endpoint,
            number=endpoint.last_revision,
            image=image_spec(release.image),
            image_digest=release.image.digest,
            model_version_uid=version.uid if version else "",
            model_version_number=version.number if version else None,
            run_uid=version.run.uid if version else "",
            run_number=version.run.number if version else None,
            serve=dict(release.serve),
            env=dict(release.env),
            secrets=secrets_of(endpoint.project, release.secret_names),
            status=states.REVISION.initial,
            status_reason="Created",
            created_by=principal.name,
        )
        made = _begin(
            endpoint, revision, strategy, stable, principal, why or "deploy", step_uid=step_uid
        )
        _record(
            principal, "deploy", endpoint,
            after={"revision": revision.number, "image": revision.image_digest,
                   "strategy": strategy.name},
        )  # fmt: skip
    return made


def rollback(
    *, principal: Principal, endpoint: Endpoint, revision: Revision | None, reason: str
) -> Rollout:
    """Send everything to an earlier revision, now; following the champion pauses until someone
    resumes it. Without `revision`, the one that served before the current one.

    Raises:
        InvalidInput: no reason.
        Conflict: there is nothing to go back to, or it is serving already.
    """
    if not reason.strip():
        raise InvalidInput("Say why; it is kept in the history.", field="reason")
    with transaction.atomic():
        endpoint = lock(endpoint)
        active = active_rollout(endpoint)
        if revision is None:
            revision = previous_revision(endpoint, active)
        if revision is None:
            raise Conflict("There is no earlier revision to go back to.", code="nothing_before")
        now_serving = current_targets(endpoint)
        if active is None and _alone(now_serving, revision.uid):
            raise Conflict(f"{revision.name} serves everything already.", code="already_serving")
        _settle_active(endpoint, principal, f"rolled back: {reason}", to="rolled_back")
        if revision.status in ("retired", "failed"):
            transitions.transition(revision, "starting", reason="RolledBack", message=reason)
        made = _begin(endpoint, revision, Strategy(name="rollback"), now_serving, principal, reason)
        set_targets(endpoint, [traffic.Target(revision.uid, 100)])
        transitions.edit(made, index=0, step_started_at=clock.now())
        endpoint.refresh_from_db()
        transitions.edit(
            endpoint,
            following_paused=f"rolled back to {revision.name}: {reason}"[:500],
        )
        _record(
            principal, "rollback", endpoint,
            before={"traffic": [[t.revision, t.percent] for t in now_serving]},
            after={"revision": revision.number, "reason": reason},
        )  # fmt: skip
    return made


def set_traffic(
    *,
    principal: Principal,
    endpoint: Endpoint,
    targets: Sequence[traffic.Target],
    expected_version: int | None,
) -> Endpoint:
    """Split by hand. A rollout under way ends as aborted: a person has taken over.

    Raises:
        InvalidInput: the split is wrong.
        Conflict: the endpoint is not at `expected_version` any more.
    """
    with transaction.atomic():
        endpoint = lock(endpoint)
        if expected_version is not None and expected_version != endpoint.version:
            raise Conflict(
                "It was changed by someone else meanwhile; load it again.", code="version_mismatch"
            )
        known = {r.uid: r for r in endpoint.revisions.exclude(status="failed")}
        traffic.check(targets, set(known))
        before = current_targets(endpoint)
        _settle_active(endpoint, principal, "traffic was set by hand", revert=False)
        for target in targets:
            row = known[target.revision]
            if row.status == "retired":
                transitions.transition(row, "starting", reason="TrafficSet")
        set_targets(endpoint, targets)
        endpoint.refresh_from_db()
        _record(
            principal, "traffic", endpoint,
            before={"traffic": [[t.revision, t.percent, t.tag] for t in before]},
            after={"traffic": [[t.revision, t.percent, t.tag] for t in targets]},
        )  # fmt: skip
    return endpoint


def edit(
    *,
    principal: Principal,
    endpoint: Endpoint,
    expected_version: int | None,
    auth: str | None = None,
) -> Endpoint:
    """Change whether a key is needed."""
    if auth is not None and auth not in ("key", "public"):
        raise InvalidInput("`auth` is key or public.", field="auth")
    if auth is None or auth == endpoint.auth:
        return endpoint
    with transaction.atomic():
        before = endpoint.auth
        transitions.edit(
            endpoint,
            expected_version=expected_version,
            auth=auth,
            generation=endpoint.generation + 1,
        )
        _record(principal, "edit", endpoint, before={"auth": before}, after={"auth": auth})
    return endpoint


def set_following(*, principal: Principal, endpoint: Endpoint, follow: bool) -> Endpoint:
    """Follow the champion or not; turning it on again ends a pause."""
    with transaction.atomic():
        endpoint = lock(endpoint)
        transitions.edit(endpoint, follows_champion=follow, following_paused="")
        _record(principal, "following", endpoint, after={"follow": follow})
    return endpoint


def delete(*, principal: Principal, endpoint: Endpoint) -> None:
    """Ask for its end; it is gone once the backend says so."""
    with transaction.atomic():
        endpoint = lock(endpoint)
        if endpoint.deleting:
            return
        transitions.edit(endpoint, deleting=True, generation=endpoint.generation + 1)
        _settle_active(endpoint, principal, "the endpoint is being deleted", revert=False)
        _record(principal, "delete", endpoint)


# Reading and pieces -------------------------------------------------------------------------


def lock(endpoint: Endpoint) -> Endpoint:
    """The row, locked for this transaction: two people cannot interleave."""
    return (  # type: ignore[no-any-return]
        Endpoint.objects.select_for_update().select_related("project__team").get(pk=endpoint.pk)
    )


def active_rollout(endpoint: Endpoint) -> Rollout | None:
    return (  # type: ignore[no-any-return]
        Rollout.objects.filter(endpoint=endpoint, status__in=states.ROLLOUT.active)
        .select_related("revision", "endpoint__project__team")
        .order_by("-id")
        .first()
    )


def current_targets(endpoint: Endpoint) -> list[traffic.Target]:
    rows = TrafficTarget.objects.filter(endpoint=endpoint).select_related("revision")
    return [row.target() for row in rows.order_by("-percent", "id")]


def previous_revision(endpoint: Endpoint, active: Rollout | None) -> Revision | None:
    """What served before: of a rollout under way its stable side, otherwise of the last one."""
    source = active or (
        Rollout.objects.filter(endpoint=endpoint, status="completed").order_by("-id").first()
    )
    targets = [traffic.Target(*item) for item in source.previous] if source else []
    uid = traffic.main_revision(targets)
    if uid is None:
        return None
    return (  # type: ignore[no-any-return]
        Revision.objects.filter(endpoint=endpoint, uid=uid)
        .select_related("endpoint__project__team")
        .first()
    )


def verified(project: Project, digest: str) -> bool:
    return bool(
        Verification.objects.filter(project=project, image_digest=digest, status="passed").exists()
    )


def bump(endpoint: Endpoint) -> None:
    """A new generation of intent."""
    transitions.edit(endpoint, generation=endpoint.generation + 1)
    events.append(
        **endpoint.scope(), noun="endpoint", subject_uid=endpoint.uid,
        subject_version=endpoint.version, kind="intent",
    )  # fmt: skip


def set_targets(endpoint: Endpoint, targets: Sequence[traffic.Target]) -> None:
    """Write the split and make the generation grow; call inside a transaction."""
    ids = dict(
        Revision.objects.filter(
            endpoint=endpoint, uid__in=[t.revision for t in targets]
        ).values_list("uid", "pk")
    )
    TrafficTarget.objects.filter(endpoint=endpoint).exclude(revision__in=ids.values()).delete()
    for target in targets:
        TrafficTarget.objects.update_or_create(
            endpoint=endpoint,
            revision_id=ids[target.revision],
            defaults={"percent": target.percent, "tag": target.tag},
        )
    bump(endpoint)


def _begin(
    endpoint: Endpoint,
    revision: Revision,
    strategy: Strategy,
    stable: Sequence[traffic.Target],
    principal: Principal,
    why: str,
    *,
    step_uid: str | None = None,
) -> Rollout:
    steps = rollouts.steps_of(strategy.name, strategy.steps)
    first = not any(t.percent for t in stable)
    made = Rollout.objects.create(
        endpoint=endpoint,
        revision=revision,
        step_uid=step_uid,
        strategy=strategy.name,
        steps=[100] if first else list(steps),
        pause_s=strategy.pause_s,
        manual=strategy.manual and not first,
        max_error_rate=strategy.max_error_rate,
        max_p95_s=strategy.max_p95_s,
        previous=[[t.revision, t.percent, t.tag] for t in stable],
        why=why[:500],
        actor=principal.name,
        status=states.ROLLOUT.initial,
        status_reason="Started",
        status_message=f"Waiting for {revision.name}.",
        deadline_at=clock.now() + rollouts.MANUAL_EXPIRES * 2,
    )
    bump(endpoint)
    events.append(
        **endpoint.scope(), noun="rollout", subject_uid=made.uid, kind="created", message=why,
        actor=principal.name, data={"revision": revision.number, "strategy": strategy.name},
    )  # fmt: skip
    return made  # type: ignore[no-any-return]


def _settle_active(
    endpoint: Endpoint, principal: Principal, why: str, *, to: str = "aborted", revert: bool = True
) -> list[traffic.Target]:
    """End a rollout under way; returns the stable split, which `revert` puts back."""
    active = active_rollout(endpoint)
    if active is None:
        return current_targets(endpoint)
    stable = [traffic.Target(*item) for item in active.previous]
    transitions.transition(
        active, to, reason="Superseded", message=f"It ended because {why}.",
        actor=principal.name, finished_at=clock.now(),
    )  # fmt: skip
    if revert and any(t.percent for t in stable):
        set_targets(endpoint, stable)
    return stable


def _alone(targets: Sequence[traffic.Target], uid: str) -> bool:
    return any(t.revision == uid and t.percent == 100 for t in targets)


def image_spec(image: Image) -> dict[str, Any]:
    """An image as revisions and verifications keep it."""
    return {
        "digest": image.digest,
        "reference": image.reference,
        "environment": image.content.get("environment"),
        "snapshot": image.content.get("snapshot"),
        "model": image.content.get("model"),
    }


def secrets_of(project: Project, wanted: Sequence[str]) -> dict[str, str]:
    """Ciphertext of the named secrets as they are now."""
    rows = Secret.objects.filter(project=project, name__in=list(wanted))
    return dict(rows.values_list("name", "ciphertext"))


def _record(
    principal: Principal,
    action: str,
    endpoint: Endpoint,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    audit.record(
        principal, f"endpoint.{action}", noun="endpoint", subject_uid=endpoint.uid,
        subject=endpoint.path, before=before, after=after, **endpoint.project.scope,
    )  # fmt: skip
    events.append(
        **endpoint.scope(), noun="endpoint", subject_uid=endpoint.uid,
        subject_version=endpoint.version, kind=action, actor=principal.name, data=after or {},
    )  # fmt: skip
