"""A real node in a home of its own, and what serving tests need around it."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import socket
import subprocess
import sys
import tarfile
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from node.client import NodeClient, NodeError
from node.config import runtime_folder
from pipelines.executors.base import EnvironmentRef, Tree
from serving import keys
from serving.backends.base import ImageSpec

ROOT = Path(__file__).resolve().parents[2]
SERVER = ROOT / "tests" / "fakes" / "model_server.py"
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
T = TypeVar("T")


def wait_for(look: Callable[[], T], what: str, seconds: float = 20.0, pause: float = 0.02) -> T:
    """The first truthy answer of `look`; fails with `what` and the last answer otherwise."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s (last: {found!r})"
        time.sleep(pause)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class LocalNode:
    """`python -m node` with serving, on a free gateway port."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_port()
        self.client = NodeClient(runtime_folder(home) / "node.sock")
        self.ring = keys.load_or_create(home / "keys" / keys.KEY_FILE)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def gateway(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        with (self.home / "node.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "node", "--home", str(self.home),
                 "--gateway-port", str(self.port), "--node-id", "test-node"],
                cwd=ROOT, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        wait_for(self._answers, "the node answers")

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.home / "node.log").read_text()
        try:
            return bool(self.client.info()["envoy"]["running"])
        except NodeError:
            return False

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> None:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)

    def envoy_pid(self) -> int:
        return int(self.client.info()["envoy"]["pid"])

    def image(self) -> ImageSpec:
        """The test server as an image: a bare environment and a snapshot of one file."""
        environment = self.home / "envs" / "bare"
        if not environment.exists():
            venv.create(environment, symlinks=True, with_pip=False)
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            info = tarfile.TarInfo("serve.py")
            data = SERVER.read_bytes()
            info.size, info.mode = len(data), 0o644
            archive.addfile(info, io.BytesIO(data))
        digest = hashlib.sha256(SERVER.read_bytes()).hexdigest()
        key = f"snapshots/{digest}.tar.gz"
        path = self.home / "objects" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(packed.getvalue())
        return ImageSpec(
            digest=f"sha256:{digest}",
            reference=f"local@sha256:{digest}",
            environment=EnvironmentRef(key="bare", python=PYTHON),
            snapshot=Tree(key=key, digest=digest),
        )

    def token(self, endpoint_uid: str, key_id: str) -> str:
        return self.ring.issue(endpoint_uid, key_id)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
