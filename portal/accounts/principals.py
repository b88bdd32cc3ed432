"""Who is asking: a person in a browser, a person's token, or a team's service account."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from portal.accounts import roles
from portal.accounts.models import ApiToken, User
from portal.core.errors import Forbidden


@dataclass(eq=False)
class Principal:
    """Everything that authorisation looks at. `address` is for the audit log.

    `is_authenticated` and `is_active` are what Django REST framework asks of a user.
    """

    user: User | None = None
    token: ApiToken | None = None
    address: str = ""
    system: bool = False  # the platform itself: triggers, the example of `make up`

    is_authenticated = True
    is_active = True

    @property
    def name(self) -> str:
        if self.system:
            return "platform"
        if self.user is not None:
            return f"user:{self.user.username}"
        assert self.token is not None
        return f"service:{self.token.name}"

    @property
    def pk(self) -> str:
        """What rate limits and idempotency keys are counted by."""
        return f"token:{self.token.prefix}" if self.token else self.name

    @property
    def ceiling(self) -> str:
        """The most that the credential allows, whatever the person may do."""
        return roles.OWNER if self.token is None else roles.SCOPES[self.token.scope]

    @property
    def is_operator(self) -> bool:
        return self.system or bool(
            self.user and self.user.is_operator and self.ceiling == roles.OWNER
        )

    @cached_property
    def team_roles(self) -> dict[int, str]:
        """Role by team id, within the ceiling."""
        if self.user is not None:
            found = dict(self.user.memberships.values_list("team_id", "role"))
        elif self.token is not None and self.token.team_id:
            found = {self.token.team_id: self.token.role}
        else:
            found = {}
        return {
            team: role
            for team, held in found.items()
            if (role := roles.weakest(held, self.ceiling)) is not None
        }

    def role_in_team(self, team_id: int) -> str | None:
        if self.system:
            return roles.OWNER
        if self.token is not None and self.token.project_uid:
            return None  # limited to one project: the team itself is out of reach
        return self.team_roles.get(team_id)

    def require_team(self, action: str, team_id: int) -> None:
        """Raise Forbidden unless the role in the team allows the action."""
        _require(self.role_in_team(team_id), action)


def _require(role: str | None, action: str) -> None:
    if not roles.allows(role, action):
        needed = roles.ACTIONS[action]
        raise Forbidden(
            f"This needs the role {needed}; yours is {role or 'none'}.", code="role_too_weak"
        )


def require_role(role: str | None, action: str) -> None:
    """Raise Forbidden unless `role` allows `action`."""
    _require(role, action)


SYSTEM = Principal(system=True)
