"""Copies of everything that cannot be made again: database, keys, objects and images.

A backup is a folder: `backup.json`, `database.sqlite3` or `database.sql`, `keys/`, `objects/`,
`images/`. The database is copied first: objects are written before the rows that name them, so
every row's object is in the copy. The portal may go on working while a backup is made.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from portal import VERSION
from portal.core.clock import now
from portal.core.storage import FolderStorage, storage

FORMAT = 1
DUMP_TIMEOUT_S = 4 * 3600
MANIFEST = "backup.json"


class BackupError(Exception):
    """One sentence that says what is wrong and what to do."""


def back_up(target: Path) -> dict[str, Any]:
    """Write a backup to `target`, which must not exist; returns the manifest.

    A backup that fails half-way leaves only `<target>.partial`.

    Raises:
        BackupError: the target is taken, or the database's dump program is missing or fails.
    """
    if target.exists():
        raise BackupError(f"{target} exists already; name a folder that does not.")
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o700, parents=True)
    dump = partial / _dump_name()
    _dump(dump)
    (partial / "keys").mkdir(mode=0o700)
    for path in _key_files():
        if path.is_file():
            shutil.copy2(path, partial / "keys" / path.name)
    for name, folder in _trees().items():
        _copy_missing(folder, partial / name)
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "made_at": now().isoformat(),
        "database": {"vendor": connection.vendor, "file": dump.name, "sha256": _sha256(dump)},
        "migrations": _migrations(),
        "trees": sorted(_trees()),
    }
    (partial / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
    os.replace(partial, target)
    return manifest


def restore(source: Path, *, force: bool = False) -> dict[str, Any]:
    """Put a backup back, with the portal stopped; returns its manifest.

    Objects that are there already stay. Key files that differ are kept as `*.before-restore`.

    Raises:
        BackupError: not a whole backup, another kind of database, or (without `force`) this
            installation has accounts, which the backup would replace.
    """
    try:
        manifest: dict[str, Any] = json.loads((source / MANIFEST).read_text())
    except (OSError, ValueError) as error:
        raise BackupError(f"{source} is not a backup: {MANIFEST} cannot be read.") from error
    if manifest["format"] != FORMAT:
        raise BackupError(f"This backup's format is {manifest['format']}; {FORMAT} is understood.")
    database = manifest["database"]
    if database["vendor"] != connection.vendor:
        raise BackupError(
            f"The backup is of {database['vendor']}, this portal uses {connection.vendor}; "
            "set DATABASE_URL to the same kind of database."
        )
    dump = source / database["file"]
    if _sha256(dump) != database["sha256"]:
        raise BackupError(f"{dump} is damaged: its digest is not the one in {MANIFEST}.")
    if not force and _has_accounts():
        raise BackupError("This portal has accounts already; --force replaces everything.")
    for name, folder in _trees().items():
        if (source / name).is_dir():
            _copy_missing(source / name, folder)
    for path in _key_files():
        _restore_key(source / "keys" / path.name, path)
    _load(dump)
    return manifest


def _trees() -> dict[str, Path]:
    """Folders of this machine that belong to a backup. Objects in a bucket are not copied."""
    trees = {"images": settings.HOME / "images"}
    store = storage()
    if isinstance(store, FolderStorage):
        trees["objects"] = Path(store.root)
    return {name: folder for name, folder in trees.items() if name == "objects" or folder.is_dir()}


def _key_files() -> list[Path]:
    return [
        Path(settings.SECRETS_KEY_FILE),
        Path(settings.ENDPOINT_KEY_FILE),
        settings.HOME / "keys" / "django-secret",
    ]


def _restore_key(saved: Path, path: Path) -> None:
    if not saved.is_file():
        return
    if path.is_file() and path.read_bytes() == saved.read_bytes():
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.is_file():
        os.replace(path, path.with_name(path.name + ".before-restore"))
    shutil.copy2(saved, path)


def _copy_missing(source: Path, target: Path) -> None:
    """Copy files that the target lacks. One that vanishes meanwhile was no longer needed."""
    target.mkdir(parents=True, exist_ok=True)
    for folder, _, names in os.walk(source):
        into = target / Path(folder).relative_to(source)
        into.mkdir(parents=True, exist_ok=True)
        for name in names:
            path = into / name
            if os.path.lexists(path):
                continue
            unfinished = into / f".{name}.restoring"
            try:
                shutil.copy2(Path(folder, name), unfinished, follow_symlinks=False)
            except FileNotFoundError:
                continue
            os.replace(unfinished, path)


def _migrations() -> list[str]:
    applied = MigrationRecorder(connection).applied_migrations()
    return sorted(f"{app}.{name}" for app, name in applied)


def _has_accounts() -> bool:
    if "accounts_user" not in connection.introspection.table_names():
        return False
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM accounts_user LIMIT 1")
        return cursor.fetchone() is not None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _dump_name() -> str:
    return "database.sqlite3" if connection.vendor == "sqlite" else "database.sql"


def _dump(target: Path) -> None:
    if connection.vendor == "sqlite":
        _copy_sqlite(Path(settings.DATABASES["default"]["NAME"]), target)
        return
    with _client_options() as options, target.open("wb") as file:
        _run(
            [_program("mariadb-dump", "mysqldump"), f"--defaults-extra-file={options}",
             "--single-transaction", "--quick", "--hex-blob", "--no-tablespaces",
             "--default-character-set=utf8mb4",
             settings.DATABASES["default"]["NAME"]],
            stdout=file,
        )  # fmt: skip


def _load(dump: Path) -> None:
    connection.close()
    if connection.vendor == "sqlite":
        _copy_sqlite(dump, Path(settings.DATABASES["default"]["NAME"]))
        return
    with _client_options() as options, dump.open("rb") as file:
        _run(
            [_program("mariadb", "mysql"), f"--defaults-extra-file={options}",
             "--default-character-set=utf8mb4", settings.DATABASES["default"]["NAME"]],
            stdin=file,
        )  # fmt: skip


def _copy_sqlite(source: Path, target: Path) -> None:
    """SQLite's online backup: a consistent copy also while others write."""
    with (
        closing(sqlite3.connect(source, timeout=20)) as given,
        closing(sqlite3.connect(target, timeout=20)) as taken,
    ):
        given.backup(taken)


@contextmanager
def _client_options() -> Iterator[Path]:
    """An option file of mode 0600: passwords do not belong on a command line."""
    database = settings.DATABASES["default"]
    host = str(database["HOST"] or "localhost")
    values = {
        "user": database["USER"],
        "password": database["PASSWORD"],
        "port": database["PORT"],
        "socket" if host.startswith("/") else "host": host,
    }
    with tempfile.TemporaryDirectory(prefix="hekaton-dump-") as folder:
        path = Path(folder, "client.cnf")
        path.touch(mode=0o600)
        lines = [f'{name}="{_escaped(str(value))}"' for name, value in values.items() if value]
        path.write_text("[client]\n" + "\n".join(lines) + "\n")
        yield path


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def _program(*names: str) -> str:
    for name in names:
        found = shutil.which(name)
        if found:
            return found
    raise BackupError(f"Neither {' nor '.join(names)} is installed; install mariadb-client.")


def _run(argv: list[str], **streams: Any) -> None:
    done = subprocess.run(
        argv, stderr=subprocess.PIPE, timeout=DUMP_TIMEOUT_S, check=False, **streams
    )
    if done.returncode:
        words = done.stderr.decode("utf-8", "replace").strip()
        raise BackupError(f"{Path(argv[0]).name} failed: {words}")
