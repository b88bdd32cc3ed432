"""The configured executors, made when first asked for."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, cast

from django.conf import settings
from django.utils.module_loading import import_string

from pipelines.executors.base import Capabilities, Executor
from portal.core.errors import PermanentError


@lru_cache(maxsize=16)
def executor(name: str | None = None) -> Executor:
    """The executor of this name (`PIPELINES["EXECUTORS"]`), the default one without a name.

    Raises:
        PermanentError: there is none, its options are wrong, or its package is missing.
    """
    configured: dict[str, dict[str, Any]] = settings.PIPELINES["EXECUTORS"]
    chosen = name or settings.PIPELINES["EXECUTOR"]
    if chosen not in configured:
        raise PermanentError(
            f"No executor is called {chosen!r}; there are: {', '.join(sorted(configured))}.",
            reason="UnknownExecutor",
        )
    options = dict(configured[chosen])
    try:
        kind = import_string(options.pop("class"))
    except ImportError as error:
        raise PermanentError(
            f"Executor {chosen!r} cannot be loaded: {error}", reason="PackageMissing"
        ) from error
    try:
        return cast(Executor, kind(name=chosen, **options))
    except (TypeError, ValueError) as error:
        raise PermanentError(
            f"Executor {chosen!r} has a wrong option: {error}", reason="BadOptions"
        ) from error


def all_capabilities() -> list[Capabilities]:
    """What every configured executor can do, or why it is unavailable."""
    found = []
    for name in settings.PIPELINES["EXECUTORS"]:
        try:
            found.append(executor(name).capabilities())
        except PermanentError as error:
            found.append(Capabilities(name=name, unavailable=error.message))
    return found
