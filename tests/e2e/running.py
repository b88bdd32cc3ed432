"""The whole portal as users start it, on free ports and a home of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from node.config import runtime_folder

ROOT = Path(__file__).resolve().parents[2]
HEKATON = Path(sys.executable).parent / "hekaton"


@dataclass
class Portal:
    """A running portal and an operator's token."""

    url: str
    gateway: str
    home: Path
    token: str
    process: subprocess.Popen[bytes]
    env: dict[str, str]
    log: Path

    def api(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        return httpx.request(
            method, f"{self.url}/api/v1{path}", headers=headers, timeout=60, **options
        )

    def get(self, path: str) -> Any:
        answer = self.api("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def cli(self, *words: str, cwd: Path = ROOT, code: int = 0) -> str:
        """Run `hekaton`; its standard output."""
        done = subprocess.run(
            [str(HEKATON), *words],
            cwd=cwd,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def pids(self, part: str) -> list[int]:
        """The portal's own processes whose command holds `part`."""
        mark = f"HEKATON_UP_HOME={self.home}".encode()
        queue = str(runtime_folder(self.home) / "valkey.sock")
        found = []
        for name in os.listdir("/proc"):
            if not name.isdigit():
                continue
            try:
                environ = Path("/proc", name, "environ").read_bytes()
                command = Path("/proc", name, "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if (
                part in command
                and "portal.up" not in command
                and (mark in environ or queue in command)
            ):
                found.append(int(name))
        return found

    def kill(self, part: str) -> None:
        pids = self.pids(part)
        assert pids, f"no process {part}"
        for pid in pids:
            os.kill(pid, signal.SIGKILL)

    def wait_run(self, uid: str, seconds: float = 300) -> dict[str, Any]:
        run: dict[str, Any] = wait_until(
            lambda: self.try_get(f"/runs/{uid}"),
            lambda r: r is not None and r["status"] not in ("pending", "running", "cancelling"),
            seconds,
        )
        return run

    def try_get(self, path: str) -> Any:
        """The JSON at `path`, or None while the web process is away."""
        try:
            answer = self.api("GET", path)
        except httpx.HTTPError:
            return None
        return answer.json() if answer.status_code == 200 else None


def wait_until(look: Any, holds: Any, seconds: float = 60) -> Any:
    """Look again until it holds; what was seen."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if holds(seen):
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"it did not come true: {json.dumps(seen, default=str)[:3000]}")
        time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_portal(home: Path, *, example: bool = False) -> Portal:
    port, gateway = free_port(), free_port()
    env = {
        **{
            k: v for k, v in os.environ.items() if not k.startswith(("PORTAL_", "DJANGO_", "TEST_"))
        },
        "PORTAL_HOME": str(home),
        "PORTAL_PORT": str(port),
        "PORTAL_GATEWAY_PORT": str(gateway),
        "DJANGO_SETTINGS_MODULE": "portal.settings",
        "XDG_CONFIG_HOME": str(home / "config"),
        "NO_COLOR": "1",
    }
    for name in ("REDIS_URL", "DATABASE_URL"):
        env.pop(name, None)
    home.mkdir(parents=True, exist_ok=True)
    log = home / "up.log"
    words = [] if example else ["--no-example"]
    process = subprocess.Popen(
        [sys.executable, "-m", "portal.up", *words], cwd=ROOT, env=env, stdout=log.open("ab"),
        stderr=subprocess.STDOUT,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        if process.poll() is not None:
            raise AssertionError(log.read_text())
        return "is ready at" in log.read_text()

    wait_until(ready, bool, 120)
    token = subprocess.run(
        [sys.executable, "manage.py", "shell", "-v0", "-c", MAKE_TOKEN], cwd=ROOT, env=env,
        check=True, capture_output=True, text=True,
    ).stdout.strip().splitlines()[-1]  # fmt: skip
    env |= {"HEKATON_SERVER": url, "HEKATON_TOKEN": token}
    return Portal(url, f"http://127.0.0.1:{gateway}", home, token, process, env, log)


MAKE_TOKEN = (
    "from portal.accounts.models import User; from portal.accounts.principals import Principal; "
    "from portal.accounts.services import tokens; "
    "print(tokens.create(principal=Principal(user=User.objects.first()), name='e2e', scope='admin')[1])"
)


def stop_portal(portal: Portal) -> None:
    portal.process.send_signal(signal.SIGINT)
    try:
        portal.process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        portal.process.kill()
        raise AssertionError("Ctrl-C did not stop the portal within a minute") from None
