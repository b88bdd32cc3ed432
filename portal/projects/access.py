"""What a principal may do in a project: the team's role, raised by the project's."""

from __future__ import annotations

from portal.accounts import roles
from portal.accounts.principals import Principal, require_role
from portal.core.errors import NotFound
from portal.projects.models import Project, ProjectMembership


def role_in(principal: Principal, project: Project) -> str | None:
    """The effective role, or None where the principal may not even see the project."""
    if principal.system:
        return roles.OWNER
    token = principal.token
    if token is not None and token.project_uid and token.project_uid != project.uid:
        return None
    held = [principal.team_roles.get(project.team_id)]
    if principal.user is not None:
        raised = ProjectMembership.objects.filter(project=project, user=principal.user).first()
        if raised is not None:
            held.append(roles.weakest(raised.role, principal.ceiling))
    if principal.is_operator:
        held.append(roles.OWNER)
    return roles.strongest(held)


def require(principal: Principal, action: str, project: Project) -> None:
    """Raise NotFound where the project may not be seen, Forbidden where the role is too weak."""
    role = role_in(principal, project)
    if role is None:
        raise NotFound("There is no such project, or you may not see it.")
    require_role(role, action)


def find(principal: Principal, key: str) -> Project:
    """The visible project of a uid or a `team/slug` path.

    Raises:
        NotFound: there is none that the principal may see.
    """
    rows = Project.objects.visible_to(principal).select_related("team")
    if "/" in key:
        team, _, slug = key.partition("/")
        found = rows.filter(team__slug=team, slug=slug).first()
    else:
        found = rows.filter(uid=key).first()
    if found is None:
        raise NotFound(f"There is no project {key}, or you may not see it.", field="project")
    return found  # type: ignore[no-any-return]
