"""Everything that can go wrong, as types with an exit code and the next thing to do.

HekatonError
  Unreachable     no answer from the portal                     (1)
  PlatformError   it answered 5xx or nonsense                    (1)
  UsageError      wrong arguments, files or documents            (2)
  Invalid         the portal refused the request, with problems  (2)
  AuthError       401, 403, or no token                          (6)
  NotFound        404                                            (7)
  Conflict        409, 412                                       (7)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from contract.problems import Problem
from hekaton_cli.exits import Exit


class HekatonError(Exception):
    """`hint` says what to do next; `code` is stable."""

    exit = Exit.PLATFORM
    code = "error"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        code: str = "",
        problems: Sequence[Problem] = (),
        status: int = 0,
        file: Path | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code or type(self).code
        self.problems = tuple(problems)
        self.status = status
        self.file = file  # that `problems` are about

    def to_dict(self) -> dict[str, Any]:
        return {
            "error": self.code,
            "message": self.message,
            "hint": self.hint,
            "exit_code": int(self.exit),
            "problems": [problem.to_dict() for problem in self.problems],
        }


class Unreachable(HekatonError):
    code = "unreachable"


class PlatformError(HekatonError):
    code = "platform_error"


class UsageError(HekatonError):
    exit = Exit.USAGE
    code = "usage"


class Invalid(HekatonError):
    exit = Exit.USAGE
    code = "invalid_input"


class AuthError(HekatonError):
    exit = Exit.AUTH
    code = "not_authenticated"


class NotFound(HekatonError):
    exit = Exit.STATE
    code = "not_found"


class Conflict(HekatonError):
    exit = Exit.STATE
    code = "conflict"


def from_answer(status: int, body: object, server: str) -> HekatonError:
    """The error for an answer of 400 and above; `body` is its problem+json where it is one."""
    known: Mapping[str, Any] = body if isinstance(body, dict) else {}
    message = str(known.get("detail") or known.get("title") or f"The portal answered {status}.")
    field = known.get("field")
    listed = known.get("problems")
    problems = [_problem(item) for item in listed or () if isinstance(item, dict)]
    if field and not problems:
        message = f"{field}: {message}"
    kind, hint = _KINDS.get(status, (PlatformError if status >= 500 else Invalid, ""))
    return kind(
        message,
        hint=hint.format(server=server),
        code=str(known.get("code") or ""),
        problems=problems,
        status=status,
    )


_KINDS: dict[int, tuple[type[HekatonError], str]] = {
    401: (AuthError, "Sign in again: `hekaton login {server}`."),
    403: (AuthError, "`hekaton whoami` shows your roles; ask a maintainer or owner of the team."),
    404: (NotFound, "Check the name; what you may not see looks the same as what is not there."),
    409: (Conflict, ""),
    412: (Conflict, "Somebody changed it meanwhile. Look at it again and repeat the command."),
    429: (PlatformError, "Too many requests; wait a moment."),
    503: (PlatformError, "Try again in a moment; `hekaton status` shows which part is down."),
}


def _problem(item: Mapping[str, Any]) -> Problem:
    return Problem(
        code=str(item.get("code", "")),
        path=str(item.get("field", "")),
        message=str(item.get("message", "")),
        line=int(item.get("line") or 0),
        column=int(item.get("column") or 0),
        hint=str(item.get("hint") or ""),
    )
