"""A build's log in the bucket, mirrored into the portal's log store."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path

from contract import logs
from portal.core.errors import NotFound
from portal.core.storage import storage


class Stored:
    """A log in the object store, as `contract.logs` reads it."""

    def __init__(self, key: str) -> None:
        self.key = key

    def load(self, name: str) -> bytes | None:
        try:
            with storage().open(f"{self.key}/{name}") as file:
                return file.read()
        except NotFound:
            return None


def mirror(text: bytes, log_key: str, *, closed: bool) -> None:
    """Store the whole log text. Repeating it with the same text writes nothing."""
    index = json.loads(Stored(log_key).load(logs.INDEX) or b"{}")
    stored = sum(chunk["size"] for chunk in index.get("chunks", []))
    if stored + index.get("dropped_bytes", 0) >= len(text) and index.get("closed") in (
        True,
        closed,
    ):
        return
    with tempfile.TemporaryDirectory(prefix="hekaton-log-") as scratch:
        writer = logs.LogWriter(scratch)
        writer.write(text)
        if closed:
            writer.close()
        else:
            writer.flush()
        # The index names the chunks, so it goes last.
        for path in sorted(Path(scratch).iterdir(), key=lambda p: p.name == logs.INDEX):
            storage().put(f"{log_key}/{path.name}", io.BytesIO(path.read_bytes()))
