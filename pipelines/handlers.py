"""Steps that another app carries out: `verify` and `deploy`.

Handlers are named in `PIPELINES["STEP_HANDLERS"]`, so that pipelines never imports serving.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, Protocol, cast

from django.conf import settings
from django.utils.module_loading import import_string


@dataclass(frozen=True, kw_only=True)
class StepContext:
    """What a handler is told. `step_uid` is its idempotency key; `manifest` is
    `contract.manifest.Manifest.to_dict()`; `image_uid` names a `pipelines.models.Image`."""

    step_uid: str
    step_name: str
    kind: str
    run_id: int
    run_uid: str
    run_number: int
    project_id: int
    manifest: Mapping[str, Any]
    image_uid: str | None
    model_version_uid: str | None
    author: str


@dataclass(frozen=True, kw_only=True)
class StepObservation:
    """`data` is stored as the step's result and shown with it."""

    status: Literal["pending", "running", "succeeded", "failed", "crashed", "cancelled"]
    reason: str = ""
    message: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


class StepHandler(Protocol):
    def ensure(self, context: StepContext) -> None:
        """Begin, or find what was begun. Idempotent by `step_uid`; raises InvalidInput or
        Conflict where it can never work."""
        ...

    def observe(self, context: StepContext) -> StepObservation:
        """Look, without side effects."""
        ...

    def cancel(self, context: StepContext) -> None:
        """Ask for the end; `observe` says when it has come."""
        ...


@lru_cache(maxsize=8)
def handler(kind: str) -> StepHandler:
    return cast(StepHandler, import_string(settings.PIPELINES["STEP_HANDLERS"][kind])())
