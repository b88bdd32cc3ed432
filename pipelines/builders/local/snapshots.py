"""Reading members of a stored snapshot (canonical tar.gz) without unpacking it."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pipelines.builders.faults import PlatformFault

Snapshot = Path | Callable[[], BinaryIO]  # a file, or how to open it
LARGEST_TEXT = 16 * 1024**2


@contextmanager
def opened(snapshot: Snapshot) -> Iterator[tarfile.TarFile]:
    """The snapshot's tar, for one pass in order.

    Raises:
        PlatformFault: it is missing or damaged; submit checked it, so the store is to blame.
    """
    try:
        with (
            snapshot.open("rb") if isinstance(snapshot, Path) else snapshot() as packed,
            tarfile.open(fileobj=packed, mode="r|gz") as tar,
        ):
            yield tar
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        if getattr(error, "errno", None) is not None and not isinstance(error, FileNotFoundError):
            raise
        raise PlatformFault(
            "SnapshotUnreadable", f"The stored snapshot cannot be read: {error}"
        ) from error


class SnapshotFiles:
    """The names in a snapshot, and the text of the files that building looks at."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._texts: dict[str, bytes] = {}
        self._names: frozenset[str] | None = None

    @property
    def names(self) -> frozenset[str]:
        """Files (and links) by POSIX path."""
        if self._names is None:
            with opened(self._snapshot) as tar:
                self._names = frozenset(clean(m.name) for m in tar if not m.isdir())
        return self._names

    def read(self, path: str) -> bytes | None:
        """The content of a regular file, or None where there is none (or it is over 16 MiB)."""
        wanted = clean(path)
        if wanted not in self._texts:
            with opened(self._snapshot) as tar:
                for member in tar:
                    if clean(member.name) == wanted and member.isreg():
                        file = tar.extractfile(member)
                        if file is not None and member.size <= LARGEST_TEXT:
                            self._texts[wanted] = file.read()
                        break
        return self._texts.get(wanted)


def clean(name: str) -> str:
    return name.removeprefix("./").rstrip("/")
