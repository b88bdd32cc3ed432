"""Every object store keeps the same promises: a folder, Google Cloud Storage, S3."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from portal.cloud.storage_gcs import GcsStorage
from portal.cloud.storage_s3 import S3Storage
from portal.core.errors import NotFound, PermanentError, TransientError
from portal.core.storage import FolderStorage, ObjectInfo, Storage
from tests.fakes.google.gcs import gcs


@pytest.fixture(scope="module")
def gcs_url() -> Iterator[str]:
    with gcs("bucket") as url:
        yield url


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()
    del os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]


@pytest.fixture(params=["folder", "gcs", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "folder":
        return FolderStorage(tmp_path)
    if request.param == "gcs":
        return _gcs(request.getfixturevalue("gcs_url"), prefix=f"/{tmp_path.name}/")
    url = request.getfixturevalue("s3_url")
    store = S3Storage(bucket="bucket", prefix=tmp_path.name, region="us-east-1", endpoint=url)
    store._client.create_bucket(Bucket="bucket")
    return store


def _gcs(url: str, bucket: str = "bucket", prefix: str = "") -> GcsStorage:
    google = {"project": "p", "anonymous": True, "endpoints": {"storage": url}, "timeout_s": 5}
    return GcsStorage(bucket=bucket, prefix=prefix, google=google)


def put(store: Storage, key: str, data: bytes) -> None:
    assert store.put(key, io.BytesIO(data)) == len(data)


def test_what_was_put_can_be_read(store: Storage) -> None:
    put(store, "a/b.txt", b"hello")
    assert store.open("a/b.txt").read() == b"hello"


def test_an_empty_object_is_an_object(store: Storage) -> None:
    put(store, "empty", b"")
    assert store.exists("empty")
    assert store.open("empty").read() == b""


def test_the_rest_of_a_source_is_stored(store: Storage) -> None:
    source = io.BytesIO(b"header;body")
    source.seek(7)
    assert store.put("rest", source) == 4
    assert store.open("rest").read() == b"body"


def test_putting_again_replaces(store: Storage) -> None:
    put(store, "x", b"one")
    put(store, "x", b"second")
    assert store.open("x").read() == b"second"


def test_large_objects_are_streamed_whole(store: Storage) -> None:
    data = os.urandom(20_000_003)
    put(store, "large", data)
    with store.open("large") as file:
        found = hashlib.sha256()
        while block := file.read(1 << 20):
            found.update(block)
    assert found.digest() == hashlib.sha256(data).digest()


def test_a_part_can_be_read(store: Storage) -> None:
    put(store, "x", bytes(range(100)))
    with store.open("x") as file:
        file.seek(40)
        assert file.read(3) == bytes([40, 41, 42])


def test_a_missing_object_is_not_found(store: Storage) -> None:
    with pytest.raises(NotFound) as caught:
        store.open("gone")
    assert caught.value.code == "object_not_found"
    assert not store.exists("gone")


def test_a_folder_exists_while_something_is_in_it(store: Storage) -> None:
    put(store, "folder/x", b"1")
    assert store.exists("folder")
    assert not store.exists("fold")


def test_listing_is_by_folder(store: Storage) -> None:
    for key in ("t/b", "t/a/1", "t/a/2", "tt/other"):
        put(store, key, b"12")
    found = sorted((info.key, info.size) for info in store.list("t"))
    assert found == [("t/a/1", 2), ("t/a/2", 2), ("t/b", 2)]
    assert list(store.list("t/b")) == [ObjectInfo("t/b", 2)]
    assert list(store.list("none")) == []


def test_deleting_takes_the_folder_and_nothing_beside_it(store: Storage) -> None:
    for key in ("d/1", "d/e/2", "dd"):
        put(store, key, b"x")
    store.delete("d")
    store.delete("d")
    assert not store.exists("d")
    assert store.exists("dd")


@pytest.mark.parametrize("key", ["", "/etc/passwd", "a/../b"])
def test_a_key_that_leaves_the_store_is_refused(store: Storage, key: str) -> None:
    with pytest.raises(ValueError, match="not a storage key"):
        store.put(key, io.BytesIO(b""))


def test_a_store_elsewhere_has_no_local_path(gcs_url: str) -> None:
    assert _gcs(gcs_url).local_path("x") is None


def test_a_missing_bucket_is_said(gcs_url: str) -> None:
    with pytest.raises(PermanentError, match="no-such-bucket"):
        put(_gcs(gcs_url, bucket="no-such-bucket"), "x", b"1")


def test_a_store_that_is_down_is_passing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    store = S3Storage(bucket="b", region="us-east-1", endpoint="http://127.0.0.1:9", timeout_s=1)
    with pytest.raises(TransientError, match="cannot be reached"):
        store.exists("x")
