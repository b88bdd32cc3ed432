"""Writing the audit log."""

from __future__ import annotations

from typing import Any

from portal.accounts.models import AuditEvent
from portal.accounts.principals import Principal

HIDDEN = {"secret", "token", "password", "value", "ciphertext"}


def record(
    principal: Principal,
    action: str,
    *,
    noun: str,
    subject_uid: str = "",
    subject: str = "",
    team_uid: str = "",
    project_uid: str = "",
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Append to the audit log in the current transaction; secret values never get in."""
    AuditEvent.objects.create(
        actor=principal.name,
        token_prefix=principal.token.prefix if principal.token else "",
        address=principal.address,
        action=action,
        noun=noun,
        subject_uid=subject_uid,
        subject=subject[:200],
        team_uid=team_uid,
        project_uid=project_uid,
        before=_clean(before),
        after=_clean(after),
    )


def _clean(data: dict[str, Any] | None) -> dict[str, Any]:
    return {k: ("***" if k in HIDDEN else v) for k, v in (data or {}).items()}
