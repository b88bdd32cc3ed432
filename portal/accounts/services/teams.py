"""Teams, members and invitations."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction

from contract.names import DNS_LABEL
from portal.accounts import audit, roles
from portal.accounts.models import Invitation, Membership, Team, User
from portal.accounts.principals import Principal
from portal.core import clock
from portal.core.errors import Conflict, InvalidInput

INVITATION_VALID = timedelta(days=14)
RESERVED = {"api", "admin", "assets", "auth", "e", "livez", "new", "objects", "readyz", "settings",
            "sign-in", "static", "system", "tokens", "audit", "compare", "search"}  # fmt: skip


def create(*, principal: Principal, slug: str, name: str = "") -> Team:
    """A new team with its maker as owner.

    Raises:
        InvalidInput: the slug is not a DNS label of at most 30, or is reserved.
        Conflict: the slug is taken.
    """
    if not DNS_LABEL.fullmatch(slug):
        raise InvalidInput(
            "A slug has lower-case letters, digits and dashes, at most 30.", field="slug"
        )
    if slug in RESERVED:
        raise InvalidInput(f"`{slug}` is an address of the portal itself.", field="slug")
    if Team.objects.filter(slug=slug).exists():
        raise Conflict(f"There is a team `{slug}` already.", code="slug_taken", field="slug")
    with transaction.atomic():
        team = Team.objects.create(slug=slug, name=name or slug)
        if principal.user is not None:
            Membership.objects.create(user=principal.user, team=team, role=roles.OWNER)
            principal.__dict__.pop("team_roles", None)
        audit.record(
            principal, "team.create", noun="team", subject_uid=team.uid, subject=slug,
            team_uid=team.uid,
        )  # fmt: skip
    return team


def set_role(*, principal: Principal, team: Team, user: User, role: str) -> Membership:
    """Add a member or change a role.

    Raises:
        Forbidden: the principal is not an owner.
        Conflict: the team would be left without an owner.
    """
    principal.require_team("team.members", team.pk)
    if role not in roles.ORDER:
        raise InvalidInput(f"A role is one of {', '.join(roles.ORDER)}.", field="role")
    with transaction.atomic():
        Team.objects.select_for_update().get(pk=team.pk)
        before = Membership.objects.filter(team=team, user=user).first()
        if before is not None and before.role == roles.OWNER and role != roles.OWNER:
            _keep_an_owner(team, user)
        membership, _ = Membership.objects.update_or_create(
            team=team, user=user, defaults={"role": role}
        )
        audit.record(
            principal,
            "team.role",
            noun="membership",
            subject_uid=membership.uid,
            subject=user.username,
            team_uid=team.uid,
            before={"role": before.role if before else None},
            after={"role": role},
        )
    return membership


def remove(*, principal: Principal, membership: Membership) -> None:
    """Take a member out; a person may always leave."""
    team = membership.team
    if principal.user is None or membership.user_id != principal.user.pk:
        principal.require_team("team.members", team.pk)
    with transaction.atomic():
        Team.objects.select_for_update().get(pk=team.pk)
        if membership.role == roles.OWNER:
            _keep_an_owner(team, membership.user)
        membership.delete()
        audit.record(
            principal, "team.remove", noun="membership", subject=membership.user.username,
            team_uid=team.uid, before={"role": membership.role},
        )  # fmt: skip


def invite(*, principal: Principal, team: Team, email: str, role: str) -> Invitation:
    """Promise a role to whoever signs in with this verified e-mail; the newest promise counts."""
    principal.require_team("team.members", team.pk)
    if role not in roles.ORDER:
        raise InvalidInput(f"A role is one of {', '.join(roles.ORDER)}.", field="role")
    with transaction.atomic():
        invitation, _ = Invitation.objects.update_or_create(
            team=team,
            email=email.lower(),
            defaults={
                "role": role,
                "invited_by": principal.user,
                "expires_at": clock.now() + INVITATION_VALID,
                "accepted_at": None,
            },
        )
        audit.record(
            principal, "team.invite", noun="invitation", subject_uid=invitation.uid,
            subject=email, team_uid=team.uid, after={"role": role},
        )  # fmt: skip
    return invitation


def accept_invitations(user: User, verified_email: str) -> None:
    """Turn live invitations for this verified e-mail into memberships (never weakening one)."""
    waiting = Invitation.objects.filter(
        email=verified_email.lower(), accepted_at=None, expires_at__gt=clock.now()
    )
    for invitation in waiting:
        with transaction.atomic():
            held = Membership.objects.filter(team=invitation.team, user=user).first()
            role = (
                roles.strongest([held.role if held else None, invitation.role]) or invitation.role
            )
            Membership.objects.update_or_create(
                team=invitation.team, user=user, defaults={"role": role}
            )
            Invitation.objects.filter(pk=invitation.pk).update(accepted_at=clock.now())


def _keep_an_owner(team: Team, leaving: User) -> None:
    others = Membership.objects.filter(team=team, role=roles.OWNER).exclude(user=leaving)
    if not others.exists():
        raise Conflict("A team needs an owner; make someone else owner first.", code="last_owner")
