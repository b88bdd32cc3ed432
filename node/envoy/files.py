"""Envoy's files: written whole, beside their place, and renamed into it, which is what it watches."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def put(path: Path, config: dict[str, Any]) -> bool:
    """Write the file unless it says so already. True when it was written."""
    text = json.dumps(config, separators=(",", ":"))
    try:
        if path.read_text() == text:
            return False
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(text)
    os.rename(fresh, path)
    return True


def rotate(path: Path, *, limit_bytes: int, keep: int) -> bool:
    """Move a log that grew past the limit aside, keeping the newest `keep`. True when it moved."""
    try:
        if path.stat().st_size < limit_bytes:
            return False
    except FileNotFoundError:
        return False
    for number in range(keep - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            os.replace(older, path.with_name(f"{path.name}.{number + 1}"))
    os.replace(path, path.with_name(f"{path.name}.1"))
    return True
