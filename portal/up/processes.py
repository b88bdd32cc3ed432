"""Starting, watching, logging and ending the portal's own processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

COLOURS = {"queue": 35, "node": 36, "web": 34, "worker": 32, "scheduler": 33, "up": 1}
LOG_BYTES = 8 << 20
BACKOFF_FIRST_S, BACKOFF_MAX_S = 0.5, 30.0
STEADY_S = 10.0


class Output:
    """One coloured log on the terminal and one rotated file a process."""

    def __init__(self, folder: Path, stream: IO[str] = sys.stdout) -> None:
        self.folder = folder
        self.stream = stream
        self.colour = stream.isatty() and not os.environ.get("NO_COLOR")
        self.lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)

    def say(self, text: str) -> None:
        """A line of our own, without a prefix."""
        with self.lock:
            print(text, file=self.stream, flush=True)

    def line(self, name: str, text: str) -> None:
        prefix = f"{name:>9} | "
        if self.colour:
            prefix = f"\x1b[{COLOURS.get(name, 0)}m{prefix}\x1b[0m"
        with self.lock:
            print(prefix + text, file=self.stream, flush=True)

    def drain(self, name: str, pipe: IO[bytes]) -> None:
        """Copy a process's output until it ends."""
        path = self.folder / f"{name}.log"
        file = path.open("ab")
        for raw in pipe:
            file.write(raw)
            file.flush()
            if file.tell() > LOG_BYTES:
                file.close()
                os.replace(path, path.with_suffix(".log.1"))
                file = path.open("ab")
            self.line(name, raw.decode("utf-8", "replace").rstrip())
        file.close()


@dataclass
class Service:
    """One supervised process. `stop_s` is how long it may take to end politely."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    stop_s: float = 10.0
    stop_signal: int = signal.SIGTERM
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    failures: int = 0
    restart_at: float = 0.0
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self, output: Output) -> None:
        self.process = subprocess.Popen(
            list(self.argv),
            env=dict(self.env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.started_at = time.monotonic()
        assert self.process.stdout is not None
        thread = threading.Thread(
            target=output.drain, args=(self.name, self.process.stdout), daemon=True
        )
        thread.start()
        self.threads = [thread]

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def watch(self, output: Output) -> None:
        """Restart it with back-off when it has ended."""
        if self.running:
            if time.monotonic() - self.started_at > STEADY_S:
                self.failures = 0
            return
        now = time.monotonic()
        if self.process is not None:
            code = self.process.returncode
            pause = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2**self.failures)
            self.failures += 1
            self.restart_at = now + pause
            self.process = None
            output.line(
                "up", f"{self.name} ended ({_words(code)}); starting it again in {pause:g} s"
            )
        if now >= self.restart_at:
            self.start(output)

    def ask_to_stop(self, number: int | None = None) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number or self.stop_signal)

    def wait_stopped(self, seconds: float) -> bool:
        if self.process is None:
            return True
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def _words(code: int) -> str:
    if code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"
