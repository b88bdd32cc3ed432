"""`manage.py scheduler`: the loop that makes sure nothing is ever stuck."""

from __future__ import annotations

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand

from portal.core.sweeper import Sweeper


class Command(BaseCommand):
    help = "Sweep every unfinished row, and wake what the node reports on. Needs no broker."

    def handle(self, *args: Any, **options: Any) -> None:
        stopping = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
        self.stderr.write("I scheduler: sweeping")
        Sweeper(stopping).run()
