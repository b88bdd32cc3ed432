"""Executors and builders on the status page."""

from __future__ import annotations

from django.conf import settings

from pipelines.builders.loader import builder
from pipelines.executors.loader import all_capabilities
from pipelines.models import Attempt, Run
from pipelines.states import RUN
from portal.core.errors import AdapterError
from portal.core.status import Part


def parts() -> list[Part]:
    found = [
        Part(
            f"executor {able.name}",
            "executor",
            able.unavailable is None,
            able.unavailable or able.isolation or "available",
        )
        for able in all_capabilities()
    ]
    for name in settings.PIPELINES["BUILDERS"]:
        try:
            able = builder(name).capabilities()
            ok, words = able.unavailable is None, able.unavailable or able.isolation
        except AdapterError as error:
            ok, words = False, error.message
        found.append(Part(f"builder {name}", "builder", ok, words or "available"))
    active = Run.objects.filter(status__in=RUN.active).count()
    waiting = Attempt.objects.filter(status="pending").count()
    found.append(Part("runs", "work", True, f"{active} active, {waiting} attempts waiting"))
    return found
