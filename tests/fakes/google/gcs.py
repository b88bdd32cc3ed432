"""Google Cloud Storage on loopback: the gcp-storage-emulator, in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gcp_storage_emulator.server import create_server


@contextmanager
def gcs(*buckets: str) -> Iterator[str]:
    """The URL of a running emulator with these buckets."""
    server = create_server("127.0.0.1", 0, in_memory=True, default_bucket=buckets[0])
    server.start()
    try:
        for bucket in buckets[1:]:
            server._storage.create_bucket(bucket, {"name": bucket})
        yield f"http://127.0.0.1:{_port(server)}"
    finally:
        server.stop()


def _port(server: object) -> int:
    """The emulator binds in a thread of its own and tells nobody."""
    import time

    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        httpd = getattr(server._api, "_httpd", None)  # type: ignore[attr-defined]
        if httpd is not None:
            port: int = httpd.server_address[1]
            return port
        time.sleep(0.01)
    raise AssertionError("the storage emulator did not start")
