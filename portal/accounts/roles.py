"""Roles and what each may do: the one rule set for browser, command line and API. Pure."""

from __future__ import annotations

from collections.abc import Iterable

VIEWER, CONTRIBUTOR, MAINTAINER, OWNER = "viewer", "contributor", "maintainer", "owner"
ORDER = (VIEWER, CONTRIBUTOR, MAINTAINER, OWNER)
CHOICES = [(role, role) for role in ORDER]

# The least role for each action.
ACTIONS: dict[str, str] = {
    "project.view": VIEWER,
    "endpoint.try": VIEWER,
    "run.submit": CONTRIBUTOR,
    "run.cancel_own": CONTRIBUTOR,
    "verification.create": CONTRIBUTOR,
    "data.push": CONTRIBUTOR,
    "run.cancel": MAINTAINER,
    "champion.promote": MAINTAINER,
    "endpoint.create": MAINTAINER,
    "endpoint.deploy": MAINTAINER,
    "endpoint.rollback": MAINTAINER,
    "endpoint.edit": MAINTAINER,
    "endpoint.delete": MAINTAINER,
    "key.manage": MAINTAINER,
    "secret.manage": MAINTAINER,
    "trigger.manage": MAINTAINER,
    "project.edit": MAINTAINER,
    "audit.view": MAINTAINER,
    "project.create": CONTRIBUTOR,
    "project.members": OWNER,
    "project.delete": OWNER,
    "team.members": OWNER,
    "team.edit": OWNER,
    "team.tokens": OWNER,
}

# What a token's scope may do at most, whoever holds it.
SCOPES: dict[str, str] = {
    "read": VIEWER,
    "submit": CONTRIBUTOR,
    "deploy": MAINTAINER,
    "admin": OWNER,
}


def rank(role: str | None) -> int:
    """-1 for no role."""
    return ORDER.index(role) if role in ORDER else -1


def strongest(roles: Iterable[str | None]) -> str | None:
    best = max((rank(role) for role in roles), default=-1)
    return ORDER[best] if best >= 0 else None


def weakest(one: str | None, other: str | None) -> str | None:
    least = min(rank(one), rank(other))
    return ORDER[least] if least >= 0 else None


def allows(role: str | None, action: str) -> bool:
    """Whether the role may do it. An unknown action is a fault of ours."""
    return rank(role) >= rank(ACTIONS[action])
