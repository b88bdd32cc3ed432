"""Logs as files: bounded, durable while they are written, readable at any time.

Standard library only. A log is a folder:

    000000.log ...   the first `head_bytes`, in chunks
    t00007.log ...   the last `tail_bytes`, in chunks; older ones are removed as new ones come
    index.json       counts, replaced whole: chunks, dropped bytes and lines, whether it is closed

Only whole chunks are dropped, so line numbers stay true: each chunk's entry knows the number of
its first line. Lines are numbered from 1. Text is UTF-8 with replacement. One writer, any
number of readers in other processes. The time of a line is when its block arrived.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

INDEX = "index.json"
HEAD_BYTES = 8 << 20
TAIL_BYTES = 8 << 20
CHUNK_BYTES = 1 << 20
INDEX_EVERY_S = 0.2
MAX_LINE = 65536
MASK = b"***"


@dataclass(frozen=True)
class LogLine:
    number: int
    at: float  # Unix seconds
    text: str


@dataclass(frozen=True)
class LogPage:
    """`next` is what to pass as `after` for the following page; `complete` is true when the log
    is closed and this page reaches its end."""

    lines: tuple[LogLine, ...]
    next: int
    complete: bool
    total_lines: int
    dropped_lines: int
    dropped_bytes: int


class LogWriter:
    """Appends bytes. Not thread-safe. `redact` values are replaced by `***`, also across blocks."""

    def __init__(
        self,
        folder: str,
        *,
        head_bytes: int = HEAD_BYTES,
        tail_bytes: int = TAIL_BYTES,
        chunk_bytes: int = CHUNK_BYTES,
        redact: tuple[str, ...] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        os.makedirs(folder, exist_ok=True)
        self.folder = folder
        self.head_bytes = head_bytes
        self.tail_chunks = max(1, tail_bytes // chunk_bytes)
        self.chunk_bytes = chunk_bytes
        self.secrets = sorted((s.encode() for s in redact if len(s) >= 4), key=len, reverse=True)
        self.longest = max((len(s) for s in self.secrets), default=1)
        self.clock = clock
        self.held = b""
        self.head = 0
        self.lines = 0  # newlines written so far
        self.serial = 0
        self.file: Any = None
        self.size = 0
        self.tail: list[dict[str, Any]] = []
        self.index: dict[str, Any] = {
            "chunks": [],
            "lines": 0,
            "dropped_bytes": 0,
            "dropped_lines": 0,
            "closed": False,
        }
        self.saved_at = 0.0
        self._save(force=True)

    def write(self, data: bytes) -> None:
        """Append; after return the bytes are with the operating system."""
        if self.secrets:
            data = self._redacted(data)
        self._append(data)
        self._save()

    def flush(self) -> None:
        """Bring the index up to date and let go of a held-back tail of a possible secret."""
        if self.held:
            held, self.held = self.held, b""
            self._append(held)
        self._save(force=True)

    def close(self) -> None:
        if self.index["closed"]:
            return
        if self.held:
            held, self.held = self.held, b""
            self._append(held)
        self.index["closed"] = True
        self._save(force=True)
        if self.file is not None:
            os.close(self.file)
            self.file = None

    def _redacted(self, data: bytes) -> bytes:
        data = self.held + data
        for secret in self.secrets:
            data = data.replace(secret, MASK)
        keep = 0
        for length in range(min(self.longest - 1, len(data)), 0, -1):
            ending = data[-length:]
            if any(secret.startswith(ending) for secret in self.secrets):
                keep = length
                break
        self.held = data[len(data) - keep :] if keep else b""
        return data[: len(data) - keep] if keep else data

    def _append(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            if self.file is None or self.size >= self.chunk_bytes:
                self._next_chunk()
            part = view[: self.chunk_bytes - self.size]
            if len(part) < len(view):
                # end the chunk at a line's end where there is one, so that lines stay whole
                cut = bytes(part).rfind(b"\n") + 1
                if cut or self.size:
                    part = part[:cut]
                if not part:
                    self.size = self.chunk_bytes
                    continue
            self._put(bytes(part))
            if len(part) < len(view):
                self.size = self.chunk_bytes
            view = view[len(part) :]

    def _put(self, part: bytes) -> None:
        rest = part
        while rest:
            rest = rest[os.write(self.file, rest) :]
        self.size += len(part)
        entry = self.index["chunks"][-1]
        entry["marks"].append([self.lines + 1, round(self.clock(), 3)])
        if len(entry["marks"]) > 256:
            entry["marks"] = entry["marks"][::2]
        self.lines += part.count(b"\n")
        entry["size"] += len(part)
        entry["lines"] = self.lines + 1 - entry["first"]
        self.index["lines"] = self.lines + (0 if part.endswith(b"\n") else 1)

    def _next_chunk(self) -> None:
        if self.file is not None:
            os.close(self.file)
        in_head = self.head < self.head_bytes
        name = f"{'' if in_head else 't'}{self.serial:0{6 if in_head else 5}d}.log"
        self.serial += 1
        entry = {"name": name, "first": self.lines + 1, "size": 0, "lines": 0, "marks": []}
        self.index["chunks"].append(entry)
        if in_head:
            self.head += self.chunk_bytes
        else:
            self.tail.append(entry)
            if len(self.tail) > self.tail_chunks:
                self._drop(self.tail.pop(0))
        self.file = os.open(
            os.path.join(self.folder, name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640
        )
        self.size = 0

    def _drop(self, entry: dict[str, Any]) -> None:
        self.index["chunks"].remove(entry)
        self.index["dropped_bytes"] += entry["size"]
        self.index["dropped_lines"] += entry["lines"]
        self._save(force=True)
        os.unlink(os.path.join(self.folder, entry["name"]))

    def _save(self, force: bool = False) -> None:
        now = time.monotonic()
        if not force and now - self.saved_at < INDEX_EVERY_S:
            return
        self.saved_at = now
        path = os.path.join(self.folder, INDEX)
        with open(path + ".new", "w") as file:
            json.dump(self.index, file, separators=(",", ":"))
        os.replace(path + ".new", path)


class Folder:
    """A log in a local folder, as `read` and the others want it."""

    def __init__(self, path: str) -> None:
        self.path = path

    def load(self, name: str) -> bytes | None:
        """The bytes of one file, or None where there is none."""
        try:
            with open(os.path.join(self.path, name), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None


def read(source: Any, *, after: int = 0, limit: int = 1000, search: str | None = None) -> LogPage:
    """Lines with a number above `after`, at most `limit`; with `search`, only those that contain
    it (case-insensitive). `source` has `load(name) -> bytes | None`, such as `Folder`."""
    index = _index(source)
    found: list[LogLine] = []
    needle = search.lower() if search else None
    reached = after
    for entry, text in _chunks(source, index, after):
        number = entry["first"]
        for line in text:
            if number > after:
                if len(found) >= limit:
                    return _page(index, found, reached, whole=False)
                reached = number
                if needle is None or needle in line.lower():
                    found.append(LogLine(number, _time_of(entry, number), line))
            number += 1
    return _page(index, found, reached, whole=True)


def tail(source: Any, count: int = 20) -> tuple[str, ...]:
    """The last `count` lines."""
    index = _index(source)
    lines: list[str] = []
    for entry in reversed(index["chunks"]):
        data = source.load(entry["name"])
        if data is not None:
            lines = _lines(data) + lines
        if len(lines) >= count:
            break
    return tuple(lines[-count:])


def raw(source: Any) -> Iterator[bytes]:
    """All kept bytes in order, with one line that says what was dropped in between."""
    index = _index(source)
    told = False
    for entry in index["chunks"]:
        if entry["name"].startswith("t") and index["dropped_bytes"] and not told:
            told = True
            yield (
                f"... {index['dropped_lines']} lines ({index['dropped_bytes']} bytes) "
                "were not kept ...\n"
            ).encode()
        yield source.load(entry["name"]) or b""


def _index(source: Any) -> dict[str, Any]:
    data = source.load(INDEX)
    empty = {"chunks": [], "lines": 0, "dropped_bytes": 0, "dropped_lines": 0, "closed": False}
    return json.loads(data) if data else empty


def _chunks(
    source: Any, index: dict[str, Any], after: int
) -> Iterator[tuple[dict[str, Any], list[str]]]:
    entries = index["chunks"]
    for i, entry in enumerate(entries):
        following = entries[i + 1]["first"] if i + 1 < len(entries) else None
        if following is not None and following <= after + 1:
            continue
        data = source.load(entry["name"])
        if data is not None:
            yield entry, _lines(data)


def _lines(data: bytes) -> list[str]:
    if not data:
        return []
    lines = data.decode("utf-8", "replace").split("\n")
    if lines[-1] == "":
        lines.pop()
    return [line.rstrip("\r")[:MAX_LINE] for line in lines]


def _time_of(entry: dict[str, Any], number: int) -> float:
    at = 0.0
    for first, when in entry["marks"]:
        if first > number and at:
            break
        at = when
    return at


def _page(index: dict[str, Any], found: list[LogLine], reached: int, whole: bool) -> LogPage:
    return LogPage(
        lines=tuple(found),
        next=reached,
        complete=bool(index["closed"] and whole),
        total_lines=index["lines"],
        dropped_lines=index["dropped_lines"],
        dropped_bytes=index["dropped_bytes"],
    )
