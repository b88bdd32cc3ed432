"""Sending wake-ups: after commit, best effort, at most 200 ms, errors swallowed.

With the broker down `delay()` would block and raise; the sweep finds the row anyway.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from django.db import transaction

log = logging.getLogger(__name__)
QUIET_S = 2.0
_quiet_until = 0.0


def wake(task: Any, *args: Any) -> None:
    """Enqueue `task(*args)` once the current transaction has committed."""
    transaction.on_commit(lambda: send(task, *args))


def send(task: Any, *args: Any) -> None:
    """Enqueue now; after a failure stay quiet for a while so that nobody waits again."""
    global _quiet_until
    if time.monotonic() < _quiet_until:
        return
    try:
        task.apply_async(args=args, retry=False, ignore_result=True)
    except Exception as error:  # whatever the broker's client raises, the row is safe
        _quiet_until = time.monotonic() + QUIET_S
        log.warning("wake-ups are off for %.0f s: %s", QUIET_S, error)
