"""The object store in a Google Cloud Storage bucket.

Uploads are streamed in chunks, resumed by the client library and checked with CRC32C by the
server; an object appears whole. `OBJECT_STORAGE = {"class": "portal.cloud.storage_gcs.GcsStorage",
"bucket": ..., "google": {...}}` with the keys of `portal.cloud.clients.Google`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from portal.cloud import clients
from portal.core.errors import NotFound, PermanentError
from portal.core.storage import ObjectInfo

ROLES = "roles/storage.objectAdmin on the bucket"
CHUNK = 8 << 20


class GcsStorage:
    def __init__(self, *, bucket: str, google: Mapping[str, Any], prefix: str = "") -> None:
        """`prefix` is a folder of the bucket, without slashes around it."""
        self.google = clients.read_google(google)
        self.bucket = bucket
        self.prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    def put(self, key: str, source: BinaryIO) -> int:
        counted = _Counted(source)
        with self._errors("store an object"):
            self._blob(key).upload_from_file(
                counted,
                content_type="application/octet-stream",
                checksum="crc32c",
                timeout=self.google.timeout_s,
                retry=clients.retry(5 * self.google.timeout_s),
            )
        return counted.size

    def open(self, key: str) -> BinaryIO:
        blob = self._blob(key)
        with self._found(key), self._errors("read an object"):
            blob.reload(timeout=self.google.timeout_s)
        return cast(BinaryIO, io.BufferedReader(_Reader(self, key, blob), CHUNK))

    def exists(self, key: str) -> bool:
        """Whether there is such an object or anything below `key/`."""
        with self._errors("look for an object"):
            if self._blob(key).exists(timeout=self.google.timeout_s):
                return True
        return next(self._below(key, limit=1), None) is not None

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        with self._errors("look for an object"):
            found = self._bucket().get_blob(self.prefix + _checked(prefix))
        if found is not None:
            yield ObjectInfo(prefix, found.size)
            return
        for blob in self._below(prefix):
            yield ObjectInfo(blob.name[len(self.prefix) :], blob.size)

    def delete(self, prefix: str) -> None:
        for name in [self.prefix + _checked(prefix), *(b.name for b in self._below(prefix))]:
            try:
                with self._errors("delete an object"):
                    self._bucket().blob(name).delete(timeout=self.google.timeout_s)
            except PermanentError as error:
                if error.reason != "NotFound":
                    raise

    def local_path(self, key: str) -> Path | None:
        return None

    def signed_url(self, key: str, *, method: str, valid_s: float) -> str | None:
        """A URL that allows one method on one object for a while, or None where the credentials
        cannot sign (emulators)."""
        if self.google.anonymous:
            return None
        with self._errors("sign a URL"):
            url: str = self._blob(key).generate_signed_url(
                version="v4", method=method, expiration=int(valid_s)
            )
        return url

    # --------------------------------------------------------------------------------------

    def _bucket(self) -> Any:
        return clients.storage(self.google).bucket(self.bucket)

    def _blob(self, key: str) -> Any:
        blob = self._bucket().blob(self.prefix + _checked(key))
        blob.chunk_size = CHUNK
        return blob

    def _below(self, prefix: str, limit: int | None = None) -> Iterator[Any]:
        with self._errors("list objects"):
            yield from clients.storage(self.google).list_blobs(
                self.bucket,
                prefix=f"{self.prefix}{_checked(prefix)}/",
                max_results=limit,
                timeout=self.google.timeout_s,
            )

    def _errors(self, what: str) -> Any:
        return clients.errors(f"{what} in the bucket {self.bucket}", roles=ROLES)

    def _found(self, key: str) -> Any:
        return _MissingAsNotFound(key)


class _MissingAsNotFound:
    def __init__(self, key: str) -> None:
        self.key = key

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, PermanentError) and error.reason == "NotFound":
            raise NotFound(f"No stored object {self.key}.", code="object_not_found") from error


class _Counted(io.RawIOBase):
    """Counts what is read, and says "not seekable" so that the upload is resumable by chunks."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self.size = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self.size += len(data)
        return data

    def tell(self) -> int:
        return self.size


class _Reader(io.RawIOBase):
    """Reads an object by ranges, all of one generation."""

    def __init__(self, storage: GcsStorage, key: str, blob: Any) -> None:
        self._storage, self._key, self._blob = storage, key, blob
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._blob.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self._blob.size - self._at)
        if wanted <= 0:
            return 0
        with self._storage._found(self._key), self._storage._errors("read an object"):
            data = self._blob.download_as_bytes(
                start=self._at,
                end=self._at + wanted - 1,
                if_generation_match=self._blob.generation,
                timeout=self._storage.google.timeout_s,
                retry=clients.retry(5 * self._storage.google.timeout_s),
                checksum=None,
            )
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _checked(key: str) -> str:
    parts = key.split("/")
    if not key or any(part in ("", ".", "..") for part in parts) or "\0" in key:
        raise ValueError(f"not a storage key: {key!r}")
    return key
