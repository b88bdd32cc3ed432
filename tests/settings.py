"""Settings of the tests: a home of their own, SQLite unless TEST_DATABASE_URL says otherwise."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

_home = os.environ.get("TEST_PORTAL_HOME") or tempfile.mkdtemp(prefix="hk-test-")
os.environ["PORTAL_HOME"] = _home
os.environ["PORTAL_RATE_LIMIT"] = "1000000/min"
os.environ.setdefault("PORTAL_LOG_LEVEL", "WARNING")
for _name in ("PORTAL_PRODUCTION", "PORTAL_DEBUG", "REDIS_URL", "DATABASE_URL"):
    os.environ.pop(_name, None)
if os.environ.get("TEST_DATABASE_URL"):
    os.environ["DATABASE_URL"] = os.environ["TEST_DATABASE_URL"]

from portal.settings import *  # noqa: E402, F403
from portal.settings import DATABASES, HOME  # noqa: E402

TESTING = True
REDIS_URL = "unix:///nonexistent/valkey.sock"
CELERY_BROKER_URL = "redis+socket:///nonexistent/valkey.sock"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["TEST"] = {"NAME": str(Path(HOME) / "test.sqlite3")}
