"""The configured builders, made when first asked for."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, cast

from django.conf import settings
from django.utils.module_loading import import_string

from pipelines.builders.base import Builder
from pipelines.executors.base import Capabilities
from portal.core.errors import PermanentError


@lru_cache(maxsize=16)
def builder(name: str | None = None) -> Builder:
    """The builder of this name (`PIPELINES["BUILDERS"]`), the default one without a name.

    Raises:
        PermanentError: there is none, its options are wrong, or its package is missing.
    """
    configured: dict[str, dict[str, Any]] = settings.PIPELINES["BUILDERS"]
    chosen = name or settings.PIPELINES["BUILDER"]
    if chosen not in configured:
        raise PermanentError(
            f"No builder is called {chosen!r}; there are: {', '.join(sorted(configured))}.",
            reason="UnknownBuilder",
        )
    options = dict(configured[chosen])
    try:
        kind = import_string(options.pop("class"))
    except ImportError as error:
        raise PermanentError(
            f"Builder {chosen!r} cannot be loaded: {error}", reason="PackageMissing"
        ) from error
    try:
        return cast(Builder, kind(name=chosen, **options))
    except (TypeError, ValueError) as error:
        raise PermanentError(
            f"Builder {chosen!r} has a wrong option: {error}", reason="BadOptions"
        ) from error


def all_capabilities() -> list[Capabilities]:
    """What every configured builder can do, or why it is unavailable."""
    found = []
    for name in settings.PIPELINES["BUILDERS"]:
        try:
            found.append(builder(name).capabilities())
        except PermanentError as error:
            found.append(Capabilities(name=name, unavailable=error.message))
    return found
