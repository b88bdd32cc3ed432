"""The configured serving backends, made when first asked for."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, cast

from django.conf import settings
from django.utils.module_loading import import_string

from pipelines.executors.base import Capabilities
from portal.core.errors import PermanentError
from serving.backends.base import Backend


@lru_cache(maxsize=16)
def backend(name: str | None = None) -> Backend:
    """The backend of this name (`SERVING["BACKENDS"]`), the default one without a name.

    Raises:
        PermanentError: there is none, its options are wrong, or its package is missing.
    """
    configured: dict[str, dict[str, Any]] = settings.SERVING["BACKENDS"]
    chosen = name or settings.SERVING["BACKEND"]
    if chosen not in configured:
        raise PermanentError(
            f"No serving backend is called {chosen!r}; there are: {', '.join(sorted(configured))}.",
            reason="UnknownBackend",
        )
    options = dict(configured[chosen])
    try:
        kind = import_string(options.pop("class"))
    except ImportError as error:
        raise PermanentError(
            f"Serving backend {chosen!r} cannot be loaded: {error}", reason="PackageMissing"
        ) from error
    try:
        return cast(Backend, kind(name=chosen, **options))
    except (TypeError, ValueError) as error:
        raise PermanentError(
            f"Serving backend {chosen!r} has a wrong option: {error}", reason="BadOptions"
        ) from error


def all_capabilities() -> list[Capabilities]:
    """What every configured backend can do, or why it is unavailable."""
    found = []
    for name in settings.SERVING["BACKENDS"]:
        try:
            found.append(backend(name).capabilities())
        except PermanentError as error:
            found.append(Capabilities(name=name, unavailable=error.message))
    return found
