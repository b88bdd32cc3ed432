"""What every test stands on: servers that are real, personas, and loud skips."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

MARIADB = os.environ.get("HK_TEST_DATABASE") == "mariadb"
NEEDS = {
    "mariadb": "mariadbd",
    "browser": "chromium",
    "redis_server": "redis-server",
    "registry": "docker-registry",
}


def pytest_configure(config: pytest.Config) -> None:
    """With HK_TEST_DATABASE=mariadb the whole session runs on a private MariaDB."""
    # A shell's background job ignores Ctrl-C, and so would every process that the tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if MARIADB and "TEST_DATABASE_URL" not in os.environ:
        import tempfile

        folder = Path(tempfile.mkdtemp(prefix="hk-db-"))
        server = start_mariadb(folder)
        config.add_cleanup(server.terminate)
        os.environ["TEST_DATABASE_URL"] = mariadb_url(folder)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A missing program skips, loudly; in CI it fails."""
    for marker, program in NEEDS.items():
        if item.get_closest_marker(marker) and not shutil.which(program):
            words = f"needs {program}, which is not installed"
            if os.environ.get("CI"):
                pytest.fail(words, pytrace=False)
            pytest.skip(words)


def start_mariadb(folder: Path) -> subprocess.Popen[bytes]:
    """A private server on a socket in `folder`, with an empty database `portal`."""
    data, sock = folder / "data", folder / "s.sock"
    user = ["--user=root"] if os.geteuid() == 0 else []
    subprocess.run(
        ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--skip-test-db",
         "--auth-root-authentication-method=normal", "--skip-name-resolve", *user],
        check=True, capture_output=True,
    )  # fmt: skip
    server = subprocess.Popen(
        ["mariadbd", "--no-defaults", f"--datadir={data}", f"--socket={sock}",
         f"--pid-file={folder / 'pid'}", "--skip-networking", *user,
         "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=64M",
         "--innodb-log-file-size=16M", "--performance-schema=off",
         "--character-set-server=utf8mb4"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    command = ["mariadb", "--no-defaults", f"--socket={sock}", "-uroot", "-e",
               "CREATE DATABASE IF NOT EXISTS portal CHARACTER SET utf8mb4"]  # fmt: skip
    deadline = time.monotonic() + 30
    while subprocess.run(command, capture_output=True).returncode:
        if time.monotonic() > deadline or server.poll() is not None:
            raise RuntimeError("MariaDB did not start")
        time.sleep(0.1)
    return server


def mariadb_url(folder: Path) -> str:
    return f"mysql://root@localhost/portal?unix_socket={folder / 's.sock'}"


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a private MariaDB."""
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="hk-db-"))
    server = start_mariadb(folder)
    yield mariadb_url(folder)
    server.terminate()
    server.wait(timeout=30)
    shutil.rmtree(folder, ignore_errors=True)
