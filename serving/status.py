"""Serving backends on the status page."""

from __future__ import annotations

from django.conf import settings

from portal.core.errors import AdapterError
from portal.core.status import Part
from serving.backends.loader import backend


def parts() -> list[Part]:
    found = []
    for name in settings.SERVING["BACKENDS"]:
        try:
            able = backend(name).capabilities()
            ok, words = able.unavailable is None, able.unavailable or able.isolation
        except AdapterError as error:
            ok, words = False, error.message
        found.append(Part(f"backend {name}", "backend", ok, words or "available"))
    return found
