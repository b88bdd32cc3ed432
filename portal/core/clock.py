"""The one place that reads the time, so that tests can set it."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone


def now() -> datetime:
    """The current time, UTC, aware."""
    return timezone.now()
