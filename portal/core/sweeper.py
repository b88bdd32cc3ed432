"""The scheduler's loop: calls every sweep, needs no broker, and outlives any of them failing."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from django.conf import settings
from django.db import close_old_connections
from django.utils.module_loading import import_string

log = logging.getLogger(__name__)
MAX_PAUSE_S = 60.0


class Sweeper:
    """One thread a sweep, so that a slow one delays no other. A failing sweep backs off."""

    def __init__(self, stopping: threading.Event) -> None:
        self.stopping = stopping

    def run(self) -> None:
        """Sweep until `stopping` is set."""
        threads = [
            threading.Thread(target=self._loop, args=(name, import_string(name)), name=name)
            for name in settings.PORTAL_SWEEPS
        ]
        threads.append(threading.Thread(target=self._follow_node, name="node-events"))
        for thread in threads:
            thread.daemon = True
            thread.start()
        self.stopping.wait()
        for thread in threads:
            thread.join(timeout=5)

    def _loop(self, name: str, sweep: Callable[[], None]) -> None:
        failures = 0
        while not self.stopping.is_set():
            began = time.monotonic()
            try:
                close_old_connections()
                sweep()
                failures = 0
            except Exception:
                failures += 1
                log.exception("sweep %s failed (%d in a row)", name, failures)
            pause = min(MAX_PAUSE_S, settings.SWEEP_S * 2 ** min(failures, 6))
            self.stopping.wait(max(0.1, pause - (time.monotonic() - began)))

    def _follow_node(self) -> None:
        """Wake what the node reports on, at once; what is missed the sweep finds."""
        from node.client import NodeClient, NodeUnreachable

        client = NodeClient(settings.RUNTIME / "node.sock")
        listeners = [import_string(name) for name in settings.PORTAL_NODE_EVENTS]
        epoch, position = None, None
        while not self.stopping.is_set():
            try:
                for event in client.events(position, epoch):
                    if self.stopping.is_set():
                        return
                    if "epoch" in event:
                        if event["epoch"] != epoch:
                            epoch, position = event["epoch"], event["seq"]
                        continue
                    if event:
                        position = event["seq"]
                        for listener in listeners:
                            close_old_connections()
                            listener(event["kind"], event["uid"], event["state"])
            except NodeUnreachable:
                self.stopping.wait(0.5)
            except Exception:
                log.exception("a node event could not be passed on")
                self.stopping.wait(1.0)
