"""The object store: where snapshots, data, outputs and logs live.

Keys are POSIX paths without a leading slash. `FolderStorage` is the embedded default; cloud
stores implement the same protocol. Objects are written whole (a reader never sees half of one).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from django.conf import settings
from django.utils.module_loading import import_string

from portal.core.errors import NotFound


@dataclass(frozen=True)
class ObjectInfo:
    key: str
    size: int


class Storage(Protocol):
    """Raises NotFound (code `object_not_found`) for a missing key, TransientError when down."""

    def put(self, key: str, source: BinaryIO) -> int:
        """Store the rest of `source` under `key`, streaming; returns the size in bytes."""
        ...

    def open(self, key: str) -> BinaryIO: ...

    def exists(self, key: str) -> bool: ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]: ...

    def delete(self, prefix: str) -> None:
        """Delete the object `prefix` and everything below `prefix/`. Idempotent."""
        ...

    def local_path(self, key: str) -> Path | None:
        """Where the object or folder is on this machine, or None if it is elsewhere."""
        ...


class FolderStorage:
    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def put(self, key: str, source: BinaryIO) -> int:
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with _written_whole(path) as file:
            shutil.copyfileobj(source, file, 1024 * 1024)
            return file.tell()

    def open(self, key: str) -> BinaryIO:
        try:
            return self._path(key).open("rb")
        except (FileNotFoundError, IsADirectoryError) as error:
            raise NotFound(f"No stored object {key}.", code="object_not_found") from error

    def exists(self, key: str) -> bool:
        return self._path(key).exists()

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        start = self._path(prefix)
        if start.is_file():
            yield ObjectInfo(prefix, start.stat().st_size)
            return
        for folder, folders, names in os.walk(start):
            folders.sort()
            for name in sorted(names):
                path = Path(folder, name)
                yield ObjectInfo(path.relative_to(self.root).as_posix(), path.stat().st_size)

    def delete(self, prefix: str) -> None:
        path = self._path(prefix)
        if path.is_dir():
            shutil.rmtree(path, onerror=_make_writable_and_retry)
        else:
            path.unlink(missing_ok=True)

    def local_path(self, key: str) -> Path | None:
        return self._path(key)

    def _path(self, key: str) -> Path:
        parts = PurePosixPath(key).parts
        if not parts or parts[0] == "/" or ".." in parts or "\0" in key:
            raise ValueError(f"not a storage key: {key!r}")
        return self.root.joinpath(*parts)


@lru_cache(maxsize=1)
def storage() -> Storage:
    """The configured store (`OBJECT_STORAGE = {"class": ..., options}`)."""
    options = dict(settings.OBJECT_STORAGE)
    made: Storage = import_string(options.pop("class"))(**options)
    return made


@contextmanager
def _written_whole(path: Path) -> Iterator[BinaryIO]:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".part-")
    try:
        with os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _make_writable_and_retry(function: object, path: str, _error: object) -> None:
    parent = os.path.dirname(path)
    os.chmod(parent, 0o700)
    if os.path.isdir(path) and not os.path.islink(path):
        os.chmod(path, 0o700)
        shutil.rmtree(path, onerror=_make_writable_and_retry)
    else:
        os.unlink(path)
