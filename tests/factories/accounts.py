"""People and teams for tests: owner, maintainer, contributor, viewer, outsider."""

from __future__ import annotations

from itertools import count

from portal.accounts.models import Membership, Team, User
from portal.accounts.principals import Principal
from portal.accounts.services import tokens
from portal.projects.models import Project

_serial = count(1)


def make_user(name: str = "", *, operator: bool = False) -> User:
    name = name or f"user{next(_serial)}"
    return User.objects.create(username=name, email=f"{name}@example.org", is_operator=operator)


def make_team(slug: str = "") -> Team:
    slug = slug or f"team{next(_serial)}"
    return Team.objects.create(slug=slug, name=slug.title())


def make_member(team: Team, role: str, name: str = "") -> Principal:
    user = make_user(name)
    Membership.objects.create(team=team, user=user, role=role)
    return Principal(user=user, address="127.0.0.1")


def make_project(team: Team | None = None, slug: str = "", **fields: object) -> Project:
    slug = slug or f"project{next(_serial)}"
    return Project.objects.create(team=team or make_team(), slug=slug, name=slug, **fields)


def token_for(principal: Principal, scope: str = "admin") -> str:
    """The text of a personal token."""
    return tokens.create(principal=principal, name="test", scope=scope)[1]


def bearer(principal: Principal, scope: str = "admin") -> dict[str, str]:
    return {"HTTP_AUTHORIZATION": f"Bearer {token_for(principal, scope)}"}
