"""The files of builds in the bucket: sources, results and logs, a folder a build."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from collections.abc import Mapping
from typing import Any

from pipelines.builders.cloud_build.builds import folder
from pipelines.executors.base import Tree
from portal.cloud import clients
from portal.core.errors import PermanentError
from portal.core.storage import storage

ROLES = "roles/storage.objectAdmin on the builds' bucket"


class BuildFiles:
    """Raises PermanentError and TransientError in words."""

    def __init__(self, google: clients.Google, bucket: str) -> None:
        self.google = google
        self.bucket = bucket

    def upload_source(
        self, uid: str, request: Mapping[str, Any], snapshot: Tree, model: Tree | None
    ) -> None:
        """`source.tgz`: the tool's request, the snapshot as it is stored, the model's files."""
        with tempfile.TemporaryFile(prefix="hekaton-source-") as packed:
            with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as tar:
                body = json.dumps(request).encode()
                _add(tar, "request.json", io.BytesIO(body), len(body))
                _add_object(tar, "snapshot.tar.gz", snapshot.key)
                if model is not None:
                    _add_tree(tar, "model", model.key)
            packed.seek(0)
            with self._errors("upload the source of a build"):
                self._blob(uid, "source.tgz").upload_from_file(
                    packed,
                    checksum="crc32c",
                    timeout=self.google.timeout_s,
                    retry=clients.retry(5 * self.google.timeout_s),
                )

    def write_json(self, uid: str, name: str, value: Mapping[str, Any]) -> None:
        with self._errors("write a build's files"):
            self._blob(uid, name).upload_from_string(
                json.dumps(value), timeout=self.google.timeout_s
            )

    def read(self, uid: str, name: str) -> bytes | None:
        """The content, or None where there is none."""
        try:
            with self._errors("read a build's files"):
                data: bytes = self._blob(uid, name).download_as_bytes(
                    timeout=self.google.timeout_s, retry=clients.retry(self.google.timeout_s)
                )
            return data
        except PermanentError as error:
            if error.reason == "NotFound":
                return None
            raise

    def read_json(self, uid: str, name: str) -> dict[str, Any] | None:
        data = self.read(uid, name)
        found: dict[str, Any] | None = json.loads(data) if data else None
        return found

    def delete(self, uid: str) -> None:
        """Everything of one build. Idempotent."""
        with self._errors("delete a build's files"):
            bucket = clients.storage(self.google).bucket(self.bucket)
            bucket.delete_blobs(
                list(bucket.list_blobs(prefix=f"{folder(uid)}/", timeout=self.google.timeout_s)),
                on_error=lambda _blob: None,
                timeout=self.google.timeout_s,
            )

    def _blob(self, uid: str, name: str) -> Any:
        return clients.storage(self.google).bucket(self.bucket).blob(f"{folder(uid)}/{name}")

    def _errors(self, what: str) -> Any:
        return clients.errors(f"{what} in gs://{self.bucket}", roles=ROLES)


def _add_tree(tar: tarfile.TarFile, name: str, key: str) -> None:
    """The folder is there even where it is empty, which the tool then reports."""
    info = tarfile.TarInfo(name)
    info.type = tarfile.DIRTYPE
    info.mode = 0o755
    tar.addfile(info)
    for found in storage().list(key):
        relative = found.key.removeprefix(key).lstrip("/")
        with storage().open(found.key) as file:
            _add(tar, f"{name}/{relative}", file, found.size)


def _add_object(tar: tarfile.TarFile, name: str, key: str) -> None:
    with storage().open(key) as file:
        size = next(iter(storage().list(key))).size
        _add(tar, name, file, size)


def _add(tar: tarfile.TarFile, name: str, file: Any, size: int) -> None:
    info = tarfile.TarInfo(name)
    info.size = size
    tar.addfile(info, file)
