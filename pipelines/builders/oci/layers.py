"""Image layers as deterministic tar.gz files.

The same files give the same bytes: sorted names, times and owners zero, modes 0755 or 0644,
parent folders present, gzip header without time. `diff_id` is the digest of the tar, `digest`
of the compressed file.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
LEVEL = 1  # three times faster than the default for a tenth more bytes
BLOCK = 1 << 20


@dataclass(frozen=True)
class Entry:
    """One file or link of a layer. `path` is absolute in the image, without the leading slash.
    Exactly one of `source`, `content` and `link` is set."""

    path: str
    source: Path | None = None
    content: bytes | None = None
    link: str | None = None
    executable: bool = False


@dataclass(frozen=True)
class LayerFile:
    digest: str  # sha256:...
    diff_id: str  # sha256:...
    size_bytes: int


def tree(root: Path, prefix: str, *, skip: Callable[[str], bool] | None = None) -> Iterator[Entry]:
    """The files and links below `root`, to stand below `prefix` in the image.

    `skip` is asked with the path relative to `root`, for folders too. Links are kept as they
    are; what is neither file, folder nor link is left out.
    """
    for folder, folders, names in os.walk(root):
        relative = os.path.relpath(folder, root)
        base = "" if relative == "." else f"{relative}/"
        for name in [n for n in folders if os.path.islink(os.path.join(folder, n))]:
            folders.remove(name)
            names.append(name)
        if skip is not None:
            folders[:] = [name for name in folders if not skip(base + name)]
            names = [name for name in names if not skip(base + name)]
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            mode = path.lstat().st_mode
            target = f"{prefix}/{base}{name}"
            if stat.S_ISLNK(mode):
                yield Entry(target, link=os.readlink(path))
            elif stat.S_ISREG(mode):
                yield Entry(target, source=path, executable=bool(mode & 0o111))


def write_layer(entries: Iterable[Entry], target: Path) -> LayerFile:
    """Write the layer to `target`, streaming.

    Raises:
        OSError: a source cannot be read or the disk is full; `target` may hold a part.
    """
    ordered = sorted(entries, key=lambda entry: entry.path)
    with target.open("wb") as file:
        sink = _Compressed(file)
        with tarfile.open(
            fileobj=cast(IO[bytes], sink), mode="w|", format=tarfile.PAX_FORMAT, bufsize=BLOCK
        ) as tar:
            made: set[str] = set()
            for entry in ordered:
                for parent in _parents(entry.path):
                    if parent not in made:
                        made.add(parent)
                        tar.addfile(_info(parent, tarfile.DIRTYPE, executable=True))
                _add(tar, entry)
        sink.finish()
        file.flush()
        os.fsync(file.fileno())
    return LayerFile(sink.digest, sink.diff_id, sink.size)


def _add(tar: tarfile.TarFile, entry: Entry) -> None:
    if entry.link is not None:
        info = _info(entry.path, tarfile.SYMTYPE, executable=True)
        info.linkname = entry.link
        tar.addfile(info)
        return
    info = _info(entry.path, tarfile.REGTYPE, executable=entry.executable)
    if entry.content is not None:
        info.size = len(entry.content)
        tar.addfile(info, io.BytesIO(entry.content))
        return
    if entry.source is None:
        raise ValueError(f"{entry.path}: an entry needs a source, a content or a link")
    with entry.source.open("rb") as source:
        info.size = os.fstat(source.fileno()).st_size
        tar.addfile(info, source)


def _info(path: str, kind: bytes, *, executable: bool) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.type = kind
    info.mode = 0o755 if executable else 0o644
    return info


def _parents(path: str) -> list[str]:
    return [str(p) for p in reversed(PurePosixPath(path).parents) if str(p) != "."]


class _Compressed:
    """A write-only file: hashes what it gets, compresses it, hashes and stores that."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._plain = hashlib.sha256()
        self._packed = hashlib.sha256()
        self._compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, 31)
        self.size = 0

    def write(self, data: Any) -> int:
        self._plain.update(data)
        self._store(self._compressor.compress(data))
        return len(data)

    def finish(self) -> None:
        self._store(self._compressor.flush())

    @property
    def digest(self) -> str:
        return f"sha256:{self._packed.hexdigest()}"

    @property
    def diff_id(self) -> str:
        return f"sha256:{self._plain.hexdigest()}"

    def _store(self, data: bytes) -> None:
        self._packed.update(data)
        self.size += len(data)
        self._file.write(data)
