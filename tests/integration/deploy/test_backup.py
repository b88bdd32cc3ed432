"""Back up, wipe, restore: data, objects and a secret are readable again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
FILL = """
import io
from tests.factories import accounts
from portal.core.storage import storage
from portal.projects.services import projects
team = accounts.make_team("acme")
owner = accounts.make_member(team, "owner", "zoë")
project = accounts.make_project(team, "wine")
projects.set_secret(principal=owner, project=project, name="API_KEY", value="pässword 🍷")
storage().put("datasets/v1/a.csv", io.BytesIO(b"a,b"))
"""
READ = """
from portal.accounts.models import User
from portal.core import crypto
from portal.core.storage import storage
from portal.projects.models import Secret
print(User.objects.get().username, crypto.decrypt(Secret.objects.get().ciphertext),
      storage().open("datasets/v1/a.csv").read().decode())
"""


class Installation:
    def __init__(self, home: Path, database: str = "") -> None:
        self.home = home
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PORTAL_", "DATABASE_URL", "REDIS_URL", "DJANGO_"))
        } | {"PORTAL_HOME": str(home), "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
        if database:
            self.environment["DATABASE_URL"] = database

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, ROOT / "manage.py", *arguments],
            env=self.environment, cwd=ROOT, capture_output=True, text=True, timeout=120,
        )  # fmt: skip

    def must(self, *arguments: str) -> str:
        done = self.manage(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout


def back_up_wipe_restore(installation: Installation, backup: Path, wipe_database: str) -> None:
    installation.must("migrate", "-v", "0")
    installation.must("shell", "-c", FILL)
    installation.must("backup", str(backup))

    refused = installation.manage("restore", str(backup))
    assert refused.returncode != 0
    assert "has accounts already" in refused.stderr

    if wipe_database:
        installation.must("shell", "-c", wipe_database)
    shutil.rmtree(installation.home)
    assert "Restored" in installation.must("restore", str(backup))
    assert "zoë pässword 🍷 a,b" in installation.must("shell", "-c", READ)


def test_sqlite_installation_comes_back(tmp_path: Path) -> None:
    backup = tmp_path / "copy"
    installation = Installation(tmp_path / "home")
    back_up_wipe_restore(installation, backup, "")
    assert backup.stat().st_mode & 0o077 == 0

    taken = installation.manage("backup", str(backup))
    assert taken.returncode != 0
    assert "exists already" in taken.stderr

    with (backup / "database.sqlite3").open("ab") as file:
        file.write(b"x")
    damaged = installation.manage("restore", "--force", str(backup))
    assert damaged.returncode != 0
    assert "is damaged" in damaged.stderr
    assert "zoë" in installation.must("shell", "-c", READ)


@pytest.mark.mariadb
def test_mariadb_installation_comes_back(tmp_path: Path, mariadb: str) -> None:
    installation = Installation(tmp_path / "home", mariadb)
    wipe = (
        "from django.db import connection\n"
        "with connection.cursor() as c: c.execute('DROP DATABASE portal'); "
        "c.execute('CREATE DATABASE portal CHARACTER SET utf8mb4')"
    )
    back_up_wipe_restore(installation, tmp_path / "copy", wipe)


def test_something_else_is_not_restored(tmp_path: Path) -> None:
    refused = Installation(tmp_path / "home").manage("restore", str(tmp_path))
    assert refused.returncode != 0
    assert "is not a backup" in refused.stderr
