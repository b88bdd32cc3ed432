"""Typed readers of the environment. Every name also works as `<NAME>_FILE`, a file to read.

Readers collect problems instead of raising, so that a start with five mistakes names all five.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

TRUE, FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


class ConfigurationError(Exception):
    """The environment is wrong; the message lists every problem, a line each."""


@dataclass
class Environment:
    problems: list[str] = field(default_factory=list)

    def text(self, name: str, default: str = "") -> str:
        value = os.environ.get(name)
        path = os.environ.get(f"{name}_FILE")
        if value is not None and path:
            self.problems.append(f"{name} and {name}_FILE are both set; keep one.")
        if path:
            try:
                return Path(path).read_text().strip()
            except OSError as error:
                self.problems.append(f"{name}_FILE={path} cannot be read: {error.strerror}.")
        return default if value is None else value

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.text(name).strip().lower()
        if not value:
            return default
        if value not in TRUE | FALSE:
            self.problems.append(f"{name}={value} is neither true nor false.")
        return value in TRUE

    def integer(self, name: str, default: int) -> int:
        value = self.text(name).strip()
        try:
            return int(value) if value else default
        except ValueError:
            self.problems.append(f"{name}={value} is not a whole number.")
            return default

    def listing(self, name: str, default: tuple[str, ...] = ()) -> list[str]:
        value = self.text(name)
        return [item.strip() for item in value.split(",") if item.strip()] or list(default)

    def required(self, name: str, why: str) -> str:
        value = self.text(name)
        if not value:
            self.problems.append(f"{name} is missing: {why}.")
        return value

    def check(self) -> None:
        """Raise ConfigurationError with everything that was found."""
        if self.problems:
            lines = "\n".join(f"  - {problem}" for problem in self.problems)
            raise ConfigurationError(f"The portal cannot start with this configuration:\n{lines}")


def database(url: str, problems: list[str]) -> dict[str, Any]:
    """Django's DATABASES entry for `sqlite:///path` or `mysql://user:password@host:port/name`.

    `mysql://...?unix_socket=/path` connects by a socket.
    """
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": unquote(parts.path),
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; "
                "PRAGMA mmap_size=134217728; PRAGMA journal_size_limit=27103364;",
            },
        }
    if parts.scheme in ("mysql", "mariadb"):
        _mysql_driver(problems)
        options: dict[str, Any] = {
            "charset": "utf8mb4",
            "isolation_level": "read committed",
            "connect_timeout": 10,
            "init_command": "SET sql_mode='STRICT_TRANS_TABLES', innodb_strict_mode=1",
        }
        options |= dict(parse_qsl(parts.query))
        return {
            "ENGINE": "django.db.backends.mysql",
            "NAME": unquote(parts.path.lstrip("/")),
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
            "HOST": options.pop("unix_socket", None) or parts.hostname or "",
            "PORT": str(parts.port or ""),
            "CONN_MAX_AGE": 60,
            "CONN_HEALTH_CHECKS": True,
            "OPTIONS": options,
            "TEST": {"CHARSET": "utf8mb4", "COLLATION": "utf8mb4_bin"},
        }
    problems.append(f"DATABASE_URL begins with {parts.scheme or 'nothing'}: use sqlite or mysql.")
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}


def _mysql_driver(problems: list[str]) -> None:
    try:
        import MySQLdb  # type: ignore[import-untyped]  # noqa: F401
    except ImportError:
        try:
            import pymysql
        except ImportError:
            problems.append(
                "DATABASE_URL asks for MySQL, but no driver is installed: install "
                "hekatoncheir[mysql] (mysqlclient, needs a compiler) or hekatoncheir[mysql-pure]."
            )
        else:
            pymysql.install_as_MySQLdb()


def backends_file(path: str, problems: list[str]) -> dict[str, Any]:
    """The operator's YAML file of executors, builders, backends and storage (docs/operations.md).

    Keys: executor, executors, builder, builders, backend, backends, storage.
    """
    if not path:
        return {}
    import yaml

    known = {"executor", "executors", "builder", "builders", "backend", "backends", "storage"}
    try:
        found = yaml.safe_load(Path(path).read_text()) or {}
    except (OSError, yaml.YAMLError) as error:
        problems.append(f"PORTAL_BACKENDS_FILE={path} cannot be read: {error}")
        return {}
    if not isinstance(found, dict) or set(found) - known:
        problems.append(f"PORTAL_BACKENDS_FILE={path}: keys are {', '.join(sorted(known))}.")
        return {}
    return found
