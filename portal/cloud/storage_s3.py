"""The object store in an S3 bucket, or in anything that speaks S3.

Uploads are streamed in parts with CRC32 checksums; an object appears whole.
`OBJECT_STORAGE = {"class": "portal.cloud.storage_s3.S3Storage", "bucket": ...}`. Credentials come
from the usual chain (environment, profile, instance or pod identity).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, cast

from portal.core.errors import NotFound, PermanentError, TransientError
from portal.core.storage import ObjectInfo

BLOCK = 8 << 20
MISSING = frozenset({"404", "NoSuchKey", "NotFound"})
DENIED = frozenset({"403", "AccessDenied", "Forbidden", "InvalidAccessKeyId",
                    "SignatureDoesNotMatch", "ExpiredToken"})  # fmt: skip
PASSING = frozenset({"SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout",
                     "Throttling", "500", "502", "503", "504"})  # fmt: skip


class S3Storage:
    def __init__(
        self,
        *,
        bucket: str,
        prefix: str = "",
        region: str = "",
        endpoint: str = "",
        timeout_s: float = 30.0,
    ) -> None:
        """`endpoint` is for stores other than Amazon's. `prefix` is a folder of the bucket."""
        self.bucket = bucket
        self.prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self.region = region
        self.endpoint = endpoint
        self.timeout_s = timeout_s

    def put(self, key: str, source: BinaryIO) -> int:
        counted = _Counted(source)
        with self._errors("store an object", key):
            self._client.upload_fileobj(
                counted, self.bucket, self._name(key), ExtraArgs={"ChecksumAlgorithm": "CRC32"}
            )
        return counted.size

    def open(self, key: str) -> BinaryIO:
        with self._errors("read an object", key):
            head = self._client.head_object(Bucket=self.bucket, Key=self._name(key))
        reader = _Reader(self, key, size=head["ContentLength"], etag=head["ETag"])
        return cast(BinaryIO, io.BufferedReader(reader, BLOCK))

    def exists(self, key: str) -> bool:
        """Whether there is such an object or anything below `key/`."""
        return self._size(key) is not None or next(self._below(key, most=1), None) is not None

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        size = self._size(prefix)
        if size is not None:
            yield ObjectInfo(prefix, size)
            return
        for name, size in self._below(prefix):
            yield ObjectInfo(name[len(self.prefix) :], size)

    def delete(self, prefix: str) -> None:
        names = [self._name(prefix), *(name for name, _ in self._below(prefix))]
        for start in range(0, len(names), 1000):
            part = [{"Key": name} for name in names[start : start + 1000]]
            with self._errors("delete objects", prefix):
                answer = self._client.delete_objects(
                    Bucket=self.bucket, Delete={"Objects": part, "Quiet": True}
                )
            for failed in answer.get("Errors", []):
                raise TransientError(
                    f"The bucket {self.bucket} did not delete {failed['Key']}: {failed['Message']}"
                )

    def local_path(self, key: str) -> Path | None:
        return None

    def signed_url(self, key: str, *, method: str, valid_s: float) -> str | None:
        """A URL that allows one method (GET or PUT) on one object for a while."""
        with self._errors("sign a URL", key):
            url: str = self._client.generate_presigned_url(
                {"GET": "get_object", "PUT": "put_object"}[method],
                Params={"Bucket": self.bucket, "Key": self._name(key)},
                ExpiresIn=int(valid_s),
            )
        return url

    # --------------------------------------------------------------------------------------

    @cached_property
    def _client(self) -> Any:
        try:
            import boto3
            from botocore.config import Config
        except ImportError as error:
            raise PermanentError(
                "S3 storage needs the package boto3: install hekatoncheir[s3].",
                reason="PackageMissing",
            ) from error
        config = Config(
            connect_timeout=5,
            read_timeout=self.timeout_s,
            retries={"mode": "standard", "max_attempts": 5},
        )
        return boto3.client(
            "s3",
            region_name=self.region or None,
            endpoint_url=self.endpoint or None,
            config=config,
        )

    def _name(self, key: str) -> str:
        parts = key.split("/")
        if not key or any(part in ("", ".", "..") for part in parts) or "\0" in key:
            raise ValueError(f"not a storage key: {key!r}")
        return self.prefix + key

    def _size(self, key: str) -> int | None:
        try:
            with self._errors("look for an object", key):
                head = self._client.head_object(Bucket=self.bucket, Key=self._name(key))
        except NotFound:
            return None
        size: int = head["ContentLength"]
        return size

    def _below(self, prefix: str, most: int = 1000) -> Iterator[tuple[str, int]]:
        pages = self._client.get_paginator("list_objects_v2")
        with self._errors("list objects", prefix):
            for page in pages.paginate(
                Bucket=self.bucket,
                Prefix=f"{self._name(prefix)}/",
                PaginationConfig={"PageSize": most},
            ):
                for entry in page.get("Contents", []):
                    yield entry["Key"], entry["Size"]

    @contextmanager
    def _errors(self, what: str, key: str) -> Iterator[None]:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

        try:
            yield
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in MISSING:
                raise NotFound(f"No stored object {key}.", code="object_not_found") from error
            if code in DENIED:
                raise PermanentError(
                    f"The bucket {self.bucket} does not allow the portal to {what}: {error}. It "
                    "needs GetObject, PutObject, DeleteObject and ListBucket.",
                    reason="PermissionDenied",
                ) from error
            kind = TransientError if code in PASSING else PermanentError
            raise kind(f"The bucket {self.bucket}: cannot {what}: {error}") from error
        except NoCredentialsError as error:
            raise PermanentError(
                f"There are no AWS credentials, so the portal cannot {what}.",
                reason="NoCredentials",
            ) from error
        except (BotoCoreError, Boto3Error) as error:
            raise TransientError(
                f"The object store cannot be reached: cannot {what}: {error}"
            ) from error


class _Counted(io.RawIOBase):
    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self.size = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self.size += len(data)
        return data


class _Reader(io.RawIOBase):
    """Reads an object by ranges, all of one version of it (its ETag)."""

    def __init__(self, storage: S3Storage, key: str, *, size: int, etag: str) -> None:
        self._storage, self._key, self._size, self._etag = storage, key, size, etag
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self._size - self._at)
        if wanted <= 0:
            return 0
        storage = self._storage
        with storage._errors("read an object", self._key):
            answer = storage._client.get_object(
                Bucket=storage.bucket,
                Key=storage._name(self._key),
                Range=f"bytes={self._at}-{self._at + wanted - 1}",
                IfMatch=self._etag,
            )
            data = answer["Body"].read()
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
