"""An OCI image layout on disk: blobs by digest and one index.

Blobs are written beside their place and renamed into it, so a reader never sees half of one and
two writers of the same blob do no harm. The index changes under a lock file, by rename.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"


@dataclass(frozen=True)
class Descriptor:
    media_type: str
    digest: str
    size_bytes: int
    annotations: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "mediaType": self.media_type,
            "digest": self.digest,
            "size": self.size_bytes,
        }
        if self.annotations:
            found["annotations"] = dict(sorted(self.annotations.items()))
        return found

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Descriptor:
        return cls(
            str(data.get("mediaType", MANIFEST)),
            str(data["digest"]),
            int(data["size"]),
            data.get("annotations") or {},
        )


class Layout:
    """The layout below `root`, made when it is first written to."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def blob(self, digest: str) -> Path:
        """Where the blob of a digest is or would be.

        Raises:
            ValueError: not a SHA-256 digest.
        """
        algorithm, _, value = digest.partition(":")
        if algorithm != "sha256" or len(value) != 64 or set(value) - set("0123456789abcdef"):
            raise ValueError(f"not a digest: {digest!r}")
        return self.root / "blobs" / "sha256" / value

    def has(self, digest: str) -> bool:
        return self.blob(digest).is_file()

    def read(self, digest: str) -> bytes:
        return self.blob(digest).read_bytes()

    def read_json(self, digest: str) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self.read(digest))
        return loaded

    @contextmanager
    def new_blob(self) -> Iterator[Path]:
        """A path on the same file system to write a blob to; hand it to `adopt` inside."""
        self._make()
        handle, name = tempfile.mkstemp(dir=self.root / "blobs" / "sha256", prefix=".part-")
        os.close(handle)
        try:
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)

    def adopt(self, written: Path, digest: str) -> None:
        """Give a finished file of `new_blob` its place. The caller vouches for the digest."""
        os.chmod(written, 0o644)
        os.replace(written, self.blob(digest))

    def add(self, data: bytes, media_type: str) -> Descriptor:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if not self.has(digest):
            with self.new_blob() as path:
                path.write_bytes(data)
                self.adopt(path, digest)
        return Descriptor(media_type, digest, len(data))

    def images(self) -> list[Descriptor]:
        try:
            index = json.loads((self.root / "index.json").read_text())
        except FileNotFoundError:
            return []
        return [Descriptor.from_json(entry) for entry in index.get("manifests", [])]

    def list_image(self, image: Descriptor) -> None:
        """Put an image into the index; a second time changes nothing."""
        self._make()
        with self._locked():
            kept = [known for known in self.images() if known.digest != image.digest]
            self._write_index([*kept, image])

    @contextmanager
    def building(self) -> Iterator[None]:
        """Hold this while blobs are added that no listed image uses yet; `prune` waits."""
        self._make()
        with self._locked(".building", fcntl.LOCK_SH):
            yield

    def prune(self, keep: Iterable[str]) -> int:
        """Drop every image whose manifest digest is not in `keep`, and the blobs that only they
        used. Returns the bytes freed. Waits for builds into the same layout."""
        self._make()
        with self._locked(".building"):
            return self._prune(set(keep))

    def _prune(self, kept: set[str]) -> int:
        with self._locked():
            images = [image for image in self.images() if image.digest in kept]
            self._write_index(images)
            used = {digest for image in images for digest in self._uses(image.digest)}
        freed = 0
        for path in (self.root / "blobs" / "sha256").glob("*"):
            if f"sha256:{path.name}" not in used:
                with contextlib.suppress(FileNotFoundError):
                    freed += path.stat().st_size
                    path.unlink()
        return freed

    def _uses(self, digest: str) -> list[str]:
        manifest = self.read_json(digest)
        parts = [manifest["config"], *manifest.get("layers", [])]
        return [digest, *(part["digest"] for part in parts)]

    def _make(self) -> None:
        (self.root / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
        marker = self.root / "oci-layout"
        if not marker.exists():
            _write_whole(marker, {"imageLayoutVersion": "1.0.0"})

    @contextmanager
    def _locked(self, name: str = ".lock", how: int = fcntl.LOCK_EX) -> Iterator[None]:
        """Held by the kernel for this process: a killed one cannot keep it."""
        with (self.root / name).open("a") as file:
            fcntl.flock(file, how)
            yield

    def _write_index(self, images: list[Descriptor]) -> None:
        entries = [image.to_json() for image in sorted(images, key=lambda i: i.digest)]
        _write_whole(
            self.root / "index.json",
            {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries},
        )


def _write_whole(path: Path, value: Any) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".part-")
    with os.fdopen(handle, "w") as file:
        json.dump(value, file, indent=1)
    os.chmod(name, 0o644)
    os.replace(name, path)
