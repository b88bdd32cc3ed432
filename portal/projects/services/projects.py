"""Making and changing projects, their members and secrets."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F

from contract import names
from portal.accounts import audit, roles
from portal.accounts.models import Team, User
from portal.accounts.principals import Principal
from portal.core import clock, crypto, events, transitions
from portal.core.errors import Conflict, InvalidInput
from portal.projects import access
from portal.projects.models import Project, ProjectMembership, Secret

EDITABLE = ("name", "description", "metric", "direction", "champion_mode", "retrain_on_data")
RESERVED = {"settings", "members", "new", "tokens", "audit"}
MAX_SECRET = 65_536


def create(*, principal: Principal, team: Team, slug: str, **fields: Any) -> Project:
    """A new project.

    Raises:
        InvalidInput: the slug is not a DNS label of at most 30.
        Conflict: the team has a project of this slug.
        Forbidden: the role in the team is too weak.
    """
    principal.require_team("project.create", team.pk)
    if not names.DNS_LABEL.fullmatch(slug) or slug in RESERVED:
        raise InvalidInput(
            "A slug has lower-case letters, digits and dashes, at most 30.", field="slug"
        )
    try:
        with transaction.atomic():
            project = Project.objects.create(
                team=team, slug=slug, name=fields.pop("name", "") or slug, **fields
            )
            _record(principal, "project.create", project, after={"slug": slug})
    except IntegrityError as error:
        raise Conflict(
            f"The team has a project `{slug}` already.", code="slug_taken", field="slug"
        ) from error
    return project  # type: ignore[no-any-return]


def edit(
    *, principal: Principal, project: Project, expected_version: int | None, **fields: Any
) -> Project:
    """Change settings. Raises Conflict when `expected_version` is not the current one."""
    access.require(principal, "project.edit", project)
    changed = {k: v for k, v in fields.items() if k in EDITABLE and getattr(project, k) != v}
    if not changed:
        return project
    before = {k: getattr(project, k) for k in changed}
    with transaction.atomic():
        transitions.edit(project, expected_version=expected_version, **changed)
        _record(principal, "project.edit", project, before=before, after=changed)
    return project


def archive(*, principal: Principal, project: Project) -> None:
    """Put a project away: it is listed no more and takes no submissions; nothing is deleted."""
    access.require(principal, "project.delete", project)
    with transaction.atomic():
        transitions.edit(project, archived_at=clock.now())
        _record(principal, "project.archive", project)


def next_number(project: Project, counter: str) -> int:
    """The next `#number` of a project; call inside a transaction. Safe under concurrency: the
    update locks the row."""
    Project.objects.filter(pk=project.pk).update(**{counter: F(counter) + 1})
    return int(Project.objects.values_list(counter, flat=True).get(pk=project.pk))


def set_member(
    *, principal: Principal, project: Project, user: User, role: str
) -> ProjectMembership:
    """Raise a person's role in this project."""
    access.require(principal, "project.members", project)
    if role not in roles.ORDER:
        raise InvalidInput(f"A role is one of {', '.join(roles.ORDER)}.", field="role")
    with transaction.atomic():
        membership, _ = ProjectMembership.objects.update_or_create(
            project=project, user=user, defaults={"role": role}
        )
        _record(principal, "project.role", project, after={"user": user.username, "role": role})
    return membership


def remove_member(*, principal: Principal, membership: ProjectMembership) -> None:
    project = membership.project
    access.require(principal, "project.members", project)
    with transaction.atomic():
        membership.delete()
        _record(principal, "project.role", project, before={"user": membership.user.username})


def set_secret(*, principal: Principal, project: Project, name: str, value: str) -> Secret:
    """Create or replace a secret. Running attempts keep what they were started with.

    Raises:
        InvalidInput: not a variable name, a name of the platform, empty or over 64 KiB.
    """
    access.require(principal, "secret.manage", project)
    if not names.VARIABLE.fullmatch(name) or len(name) > 100:
        raise InvalidInput("A name has letters, digits and `_`, at most 100.", field="name")
    if names.reserved_variable(name):
        raise InvalidInput(f"`{name}` is set by the platform itself.", field="name")
    if not value or len(value.encode()) > MAX_SECRET or "\0" in value:
        raise InvalidInput("A value has 1 to 65,536 bytes of text.", field="value")
    ciphertext = crypto.encrypt(value)
    with transaction.atomic():
        secret = Secret.objects.select_for_update().filter(project=project, name=name).first()
        if secret is None:
            secret = Secret.objects.create(
                project=project, name=name, ciphertext=ciphertext, changed_by=principal.name
            )
        else:
            transitions.edit(secret, ciphertext=ciphertext, changed_by=principal.name)
        _record(principal, "secret.set", project, after={"name": name})
    return secret  # type: ignore[no-any-return]


def delete_secret(*, principal: Principal, secret: Secret) -> None:
    access.require(principal, "secret.manage", secret.project)
    with transaction.atomic():
        secret.delete()
        _record(principal, "secret.delete", secret.project, before={"name": secret.name})


def _record(
    principal: Principal,
    action: str,
    project: Project,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    audit.record(
        principal,
        action,
        noun="project",
        subject_uid=project.uid,
        subject=project.path,
        before=before,
        after=after,
        **project.scope,
    )
    events.append(
        topic=f"project:{project.uid}",
        noun="project",
        subject_uid=project.uid,
        subject_version=project.version,
        kind=action.partition(".")[2],
        actor=principal.name,
        **project.scope,
    )
