"""Production refuses an incomplete environment, all at once; a complete one serves."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography.fernet import Fernet

ROOT = Path(__file__).resolve().parents[3]
HOST = "portal.example.com"


def clean_environment(home: Path) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PORTAL_", "DATABASE_URL", "REDIS_URL", "DJANGO_", "TEST_"))
    }
    return kept | {
        "PORTAL_HOME": str(home),
        "PORTAL_PRODUCTION": "1",
        "DJANGO_SETTINGS_MODULE": "portal.settings",
    }


def complete_environment(home: Path, database: str, queue: str) -> dict[str, str]:
    key = home / "fernet.keys"
    key.write_bytes(Fernet.generate_key())
    secret = home / "secret"
    secret.write_text("x" * 50 + "\n")
    return clean_environment(home) | {
        "PORTAL_SECRET_KEY_FILE": str(secret),
        "PORTAL_SECRETS_KEY_FILE": str(key),
        "PORTAL_HOSTS": HOST,
        "PORTAL_URL": f"https://{HOST}",
        "DATABASE_URL": database,
        "REDIS_URL": queue,
        "PORTAL_OIDC_ENDPOINT": "https://id.example.com",
        "PORTAL_OIDC_CLIENT_ID": "portal",
        "PORTAL_OIDC_CLIENT_SECRET": "s",
    }


def manage(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "manage.py", *arguments],
        env=environment, cwd=ROOT, capture_output=True, text=True, timeout=150,
    )  # fmt: skip


@pytest.fixture
def redis_url() -> Iterator[str]:
    folder = Path(tempfile.mkdtemp(prefix="hk-redis-"))
    server = subprocess.Popen(
        ["redis-server", "--port", "0", "--unixsocket", str(folder / "r.sock"), "--save", ""],
        stdout=subprocess.DEVNULL, cwd=folder,
    )  # fmt: skip
    deadline = time.monotonic() + 15
    while not (folder / "r.sock").exists():
        assert time.monotonic() < deadline, "redis-server did not start"
        time.sleep(0.05)
    yield f"unix://{folder / 'r.sock'}"
    server.terminate()
    server.wait(timeout=10)
    shutil.rmtree(folder, ignore_errors=True)


def test_missing_secrets_and_debug_are_named_all_at_once(tmp_path: Path) -> None:
    refused = manage(clean_environment(tmp_path) | {"PORTAL_DEBUG": "1"}, "check")
    assert refused.returncode != 0
    for name in ("PORTAL_SECRET_KEY", "PORTAL_HOSTS", "DATABASE_URL", "REDIS_URL",
                 "PORTAL_SECRETS_KEY_FILE", "PORTAL_DEBUG", "No sign-in"):  # fmt: skip
        assert name in refused.stderr


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"PORTAL_DEBUG": "yes"}, "PORTAL_DEBUG is on"),
        ({"PORTAL_HOSTS": ""}, "PORTAL_HOSTS is missing"),
        ({"PORTAL_SECRET_KEY_FILE": "/nonexistent"}, "cannot be read"),
        ({"PORTAL_OIDC_CLIENT_SECRET": ""}, "PORTAL_OIDC_CLIENT_SECRET is missing"),
    ],
)
def test_one_mistake_in_a_complete_environment_stops_the_start(
    tmp_path: Path, change: dict[str, str], words: str
) -> None:
    environment = complete_environment(
        tmp_path, "mysql://u:p@db.example.com/portal", "redis://queue.example.com/0"
    )
    refused = manage(environment | change, "check")
    assert refused.returncode != 0
    assert words in refused.stderr


@pytest.mark.mariadb
@pytest.mark.redis_server
def test_complete_environment_migrates_and_serves(
    tmp_path: Path, mariadb: str, redis_url: str
) -> None:
    environment = complete_environment(tmp_path, mariadb, redis_url)
    migrated = manage(environment, "migrate", "--no-input", "-v", "0")
    assert migrated.returncode == 0, migrated.stderr
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (tmp_path / "web.log").open("wb")
    web = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "portal.asgi:application", "--port", str(port),
         "--lifespan", "off"],
        env=environment, cwd=ROOT, stdout=log, stderr=log,
    )  # fmt: skip
    try:
        headers = {"Host": HOST, "X-Forwarded-Proto": "https"}
        answer = wait_for(f"http://127.0.0.1:{port}/readyz", headers, web)
        assert answer.status_code == 200, answer.text
        assert not any(
            part.startswith(("database", "queue")) for part in answer.json()["unavailable"]
        )
        page = httpx.get(f"http://127.0.0.1:{port}/", headers=headers)
        assert "Secure" in page.headers["set-cookie"]
        assert "max-age" in page.headers["strict-transport-security"]
        other = httpx.get(f"http://127.0.0.1:{port}/", headers=headers | {"Host": "evil.test"})
        assert other.status_code == 400
    finally:
        web.terminate()
        web.wait(timeout=20)


def wait_for(url: str, headers: dict[str, str], web: subprocess.Popen[bytes]) -> httpx.Response:
    deadline = time.monotonic() + 60
    while True:
        try:
            return httpx.get(url, headers=headers, timeout=10)
        except httpx.TransportError:
            assert web.poll() is None, "the web process ended"
            assert time.monotonic() < deadline, "the web process does not answer"
            time.sleep(0.1)
