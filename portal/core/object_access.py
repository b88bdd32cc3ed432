"""Least-right access to the object store for code that runs elsewhere.

A grant is a signed token for one key prefix, some methods and a time. Whoever holds it may use
`/objects/<token>/<path below the prefix>` of the portal and nothing else. Where the store can
sign URLs itself (GCS, S3), the portal answers with a redirect to such a URL, so the bytes do not
pass through it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from django.core import signing

from portal.core import clock
from portal.core.errors import Forbidden

Method = Literal["GET", "PUT"]
SALT = "portal.object-access"


@dataclass(frozen=True)
class Grant:
    prefix: str
    methods: frozenset[str]

    def key(self, path: str) -> str:
        """The object key of a path below the prefix.

        Raises:
            Forbidden: the path tries to leave the prefix.
        """
        parts = path.split("/") if path else []
        if any(part in ("", ".", "..") for part in parts) or "\0" in path:
            raise Forbidden("That path is not below the granted prefix.", code="bad_object_path")
        return "/".join([self.prefix, *parts])


def issue(prefix: str, *, methods: tuple[Method, ...], valid_s: float) -> str:
    """A token for everything below `prefix`, for `valid_s` seconds from now."""
    expires = int(clock.now().timestamp() + valid_s)
    return signing.dumps([prefix, sorted(methods), expires], salt=SALT, compress=False)


def check(token: str, method: str) -> Grant:
    """The grant of a token that is genuine, alive and allows `method`.

    Raises:
        Forbidden: it is none of these; the message does not say which.
    """
    try:
        prefix, methods, expires = signing.loads(token, salt=SALT)
    except (signing.BadSignature, ValueError) as error:
        raise Forbidden("This link is not valid.", code="bad_object_token") from error
    if method not in methods or expires < clock.now().timestamp():
        raise Forbidden("This link is not valid any more.", code="bad_object_token")
    return Grant(prefix, frozenset(methods))
