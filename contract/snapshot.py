"""Content-addressed snapshots of a folder.

The digest is SHA-256 over one line a file, sorted by path: `<x|-> <sha256> <size> <path>\\n`.
It depends on contents and the executable bit only; not on times, owners or how it was packed.
Archives are tar.gz in canonical order with times zero. Reading an archive trusts nothing.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import stat
import tarfile
import unicodedata
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

import pathspec

BUILT_IN_IGNORES = (
    ".git/",
    ".hg/",
    ".svn/",
    ".venv/",
    "venv/",
    "__pycache__/",
    "*.py[co]",
    "node_modules/",
    ".hekaton/",
    ".ipynb_checkpoints/",
    ".mypy_cache/",
    ".pytest_cache/",
    ".ruff_cache/",
    ".DS_Store",
)
IGNORE_FILES = (".hekatonignore", ".gitignore")  # the first that is there counts
BLOCK = 1 << 20


class SnapshotError(Exception):
    """A folder or archive that cannot be a snapshot; `entry` names the culprit."""

    def __init__(self, code: str, message: str, entry: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.entry = entry


@dataclass(frozen=True)
class Limits:
    """What an archive may hold at most."""

    total_bytes: int = 1 << 30
    file_bytes: int = 1 << 30
    files: int = 20_000
    name_bytes: int = 255
    path_bytes: int = 1024
    depth: int = 64


@dataclass(frozen=True)
class File:
    path: str
    size: int
    sha256: str
    executable: bool


@dataclass(frozen=True)
class Snapshot:
    digest: str
    files: tuple[File, ...]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def paths(self) -> set[str]:
        return {file.path for file in self.files}


def digest_of(files: Iterable[File]) -> str:
    """The digest of a set of files, lower-case hex."""
    hashed = hashlib.sha256()
    for file in sorted(files, key=lambda f: f.path):
        mark = "x" if file.executable else "-"
        hashed.update(f"{mark} {file.sha256} {file.size} {file.path}\n".encode())
    return hashed.hexdigest()


def scan(folder: Path, limits: Limits = Limits()) -> Snapshot:
    """The snapshot of a folder on this machine, ignore rules applied.

    Links to files inside the folder are followed; links that leave it are refused.

    Raises:
        SnapshotError: nothing to submit, too large, or something that is not a file.
    """
    files: list[File] = []
    total = 0
    for path, relative in _walk(folder):
        check_path(relative, limits)
        size = path.stat().st_size
        total += size
        _check_amounts(len(files) + 1, size, total, relative, limits)
        files.append(File(relative, size, _hash(path), os.access(path, os.X_OK)))
    if not files:
        raise SnapshotError("empty", "The folder has no files to submit.")
    files.sort(key=lambda file: file.path)
    return Snapshot(digest_of(files), tuple(files))


def write_archive(folder: Path, snapshot: Snapshot, target: BinaryIO) -> None:
    """Pack the snapshot's files, canonically: the same snapshot gives the same bytes."""
    with (
        gzip.GzipFile(filename="", fileobj=target, mode="wb", compresslevel=6, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for file in snapshot.files:
            entry = tarfile.TarInfo(file.path)
            entry.size = file.size
            entry.mode = 0o755 if file.executable else 0o644
            with (folder / file.path).open("rb") as source:
                tar.addfile(entry, source)


def read_archive(
    source: IO[bytes],
    folder: Path,
    limits: Limits = Limits(),
) -> Snapshot:
    """Unpack a tar or tar.gz stream into the empty `folder` and return what it holds.

    Nothing outside `folder` is touched whatever the archive says. On an error the folder may
    hold a part; the caller throws it away.

    Raises:
        SnapshotError: with a code and, where there is one, the entry's name.
    """
    budget = limits.total_bytes + limits.files * 3 * tarfile.BLOCKSIZE + tarfile.RECORDSIZE
    files: dict[str, File] = {}
    total = 0
    try:
        with tarfile.open(fileobj=_Bounded(_plain(source), budget), mode="r|") as tar:
            for entry in tar:
                name = _entry_name(entry)
                if entry.isdir():
                    if name:
                        check_path(name, limits)
                    continue
                if not entry.isfile():
                    raise SnapshotError(_kind_code(entry), _kind_words(entry), entry.name)
                check_path(name, limits)
                if name in files:
                    raise SnapshotError("duplicate_entry", f"`{name}` is there twice.", name)
                total += entry.size
                _check_amounts(len(files) + 1, entry.size, total, name, limits)
                content = tar.extractfile(entry)
                if content is None:
                    raise SnapshotError("bad_entry", f"`{name}` cannot be read.", name)
                files[name] = _write(folder, name, content, bool(entry.mode & 0o111))
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError) as error:
        raise SnapshotError("bad_archive", f"This is not a whole tar archive: {error}") from error
    if not files:
        raise SnapshotError("empty", "The archive has no files.")
    found = tuple(sorted(files.values(), key=lambda file: file.path))
    return Snapshot(digest_of(found), found)


def check_path(path: str, limits: Limits) -> None:
    """Refuse names that could leave the folder or that not every system can hold.

    Raises:
        SnapshotError: it does.
    """
    try:
        encoded = path.encode("utf-8")
    except UnicodeEncodeError as error:
        shown = path.encode("utf-8", "replace").decode()
        raise SnapshotError("bad_name", f"`{shown}` is not valid UTF-8.", shown) from error
    parts = path.split("/")
    if path.startswith("/") or ".." in parts or "" in parts or "." in parts or "\\" in path:
        raise SnapshotError("path_traversal", f"`{path}` does not stay in the folder.", path)
    if any(unicodedata.category(c) == "Cc" for c in path):
        raise SnapshotError("bad_name", f"{path!r} has control characters.", path)
    if len(encoded) > limits.path_bytes or len(parts) > limits.depth:
        raise SnapshotError("name_too_long", f"The path `{path[:80]}...` is too long.", path)
    if any(len(part.encode()) > limits.name_bytes for part in parts):
        raise SnapshotError("name_too_long", f"A name in `{path[:80]}...` is too long.", path)


def _check_amounts(count: int, size: int, total: int, name: str, limits: Limits) -> None:
    if count > limits.files:
        raise SnapshotError("too_many_files", f"There are more than {limits.files} files.")
    if size > limits.file_bytes:
        raise SnapshotError("file_too_large", f"`{name}` is over {limits.file_bytes} bytes.", name)
    if total > limits.total_bytes:
        raise SnapshotError(
            "too_large",
            f"The files are over {limits.total_bytes} bytes together; put data into a dataset.",
            name,
        )


def _walk(folder: Path) -> Iterator[tuple[Path, str]]:
    root = folder.resolve()
    ignored = pathspec.PathSpec.from_lines("gitignore", _ignore_lines(root))
    for current, folders, names in os.walk(root):
        here = Path(current)
        folders[:] = sorted(
            name
            for name in folders
            if not ignored.match_file((here / name).relative_to(root).as_posix() + "/")
        )
        for name in folders:
            if (here / name).is_symlink():
                _inside(here / name, root)
                raise SnapshotError(
                    "linked_folder",
                    "A linked folder cannot be submitted; copy it or ignore it.",
                    (here / name).relative_to(root).as_posix(),
                )
        for name in sorted(names):
            path = here / name
            relative = path.relative_to(root).as_posix()
            if ignored.match_file(relative):
                continue
            if path.is_symlink():
                _inside(path, root)
            if not stat.S_ISREG(path.stat().st_mode):
                raise SnapshotError("not_a_file", f"`{relative}` is not a plain file.", relative)
            yield path, relative


def _inside(path: Path, root: Path) -> None:
    target = path.resolve()
    if not target.is_relative_to(root) or not target.exists():
        name = path.relative_to(root).as_posix()
        raise SnapshotError("link_leaves", f"The link `{name}` leads out of the folder.", name)


def _ignore_lines(root: Path) -> list[str]:
    for name in IGNORE_FILES:
        file = root / name
        if file.is_file():
            return [*BUILT_IN_IGNORES, *file.read_text("utf-8", "replace").splitlines()]
    return list(BUILT_IN_IGNORES)


def _plain(source: IO[bytes]) -> IO[bytes]:
    """The tar stream behind gzip where there is gzip."""
    buffered = io.BufferedReader(_Raw(source), BLOCK)  # type: ignore[type-var]
    if buffered.peek(2)[:2] == b"\x1f\x8b":
        return gzip.GzipFile(fileobj=buffered, mode="rb")  # type: ignore[return-value]
    return buffered


class _Raw(io.RawIOBase):
    def __init__(self, source: IO[bytes]) -> None:
        self.source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        data = self.source.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _Bounded(io.RawIOBase):
    """Stops a decompression bomb: no more than `budget` bytes come out."""

    def __init__(self, source: IO[bytes], budget: int) -> None:
        self.source = source
        self.left = budget

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self.source.read(min(size, BLOCK) if size >= 0 else BLOCK)
        self.left -= len(data)
        if self.left < 0:
            raise SnapshotError("too_large", "The archive unpacks to more than is allowed.")
        return data


def _entry_name(entry: tarfile.TarInfo) -> str:
    name = entry.name
    while name.startswith("./"):
        name = name[2:]
    return "" if name in (".", "") else name.rstrip("/")


def _kind_code(entry: tarfile.TarInfo) -> str:
    return "link" if entry.issym() or entry.islnk() else "not_a_file"


def _kind_words(entry: tarfile.TarInfo) -> str:
    kind = "a link" if entry.issym() or entry.islnk() else "neither a file nor a folder"
    return f"`{entry.name}` is {kind}; only plain files can be submitted."


def _write(folder: Path, name: str, content: IO[bytes], executable: bool) -> File:
    path = folder.joinpath(*PurePosixPath(name).parts)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(
            path,
            os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW,
            0o755 if executable else 0o644,
        )
    except (FileExistsError, NotADirectoryError) as error:
        raise SnapshotError(
            "duplicate_entry", f"`{name}` is both a file and a folder.", name
        ) from error
    hashed = hashlib.sha256()
    size = 0
    with os.fdopen(handle, "wb") as file:
        while data := content.read(BLOCK):
            hashed.update(data)
            size += len(data)
            file.write(data)
    return File(name, size, hashed.hexdigest(), executable)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
