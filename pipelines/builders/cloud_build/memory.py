"""What earlier builds made, in the portal's object store, so that it is found at once."""

from __future__ import annotations

import hashlib
import io
import json
import time
from typing import Any

from node.documents import from_json, to_json
from pipelines.builders.cloud_build.options import Options
from pipelines.builders.local.documents import PrepareReport
from pipelines.builders.local.prepare import fixed_lock
from pipelines.builders.local.requirements import Requirements
from portal.core.errors import NotFound
from portal.core.storage import storage

FOLDER = "cloud-builds"


def remember(options: Options, *, requirements: str, python: str, report: PrepareReport) -> None:
    """`requirements` is the digest of what was resolved, or empty where a lock was given."""
    _put(_environment(options, report.lock, python), to_json(report))
    if requirements:
        _put(_lock(options, requirements, python), {"lock": report.lock, "at": time.time()})


def environment(options: Options, *, lock: str, python: str) -> PrepareReport | None:
    found = _get(_environment(options, lock, python))
    return from_json(PrepareReport, found) if found else None


def lock(options: Options, requirements: Requirements, python: str) -> str | None:
    """The lock of these requirements: their own, or one that was resolved not long ago."""
    fixed = fixed_lock(requirements)
    if fixed is not None:
        return fixed
    found = _get(_lock(options, requirements.digest, python))
    if found is None or time.time() - found["at"] > options.lock_max_age_s:
        return None
    return str(found["lock"])


def _environment(options: Options, lock: str, python: str) -> str:
    decided = [lock, python, options.builder_image, options.repository, options.python_home]
    return f"{FOLDER}/environments/{_name([*decided, sorted(options.bases.items())])}.json"


def _lock(options: Options, requirements: str, python: str) -> str:
    return f"{FOLDER}/locks/{_name([requirements, python, options.builder_image])}.json"


def _name(parts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _put(key: str, value: dict[str, Any]) -> None:
    storage().put(key, io.BytesIO(json.dumps(value).encode()))


def _get(key: str) -> dict[str, Any] | None:
    try:
        with storage().open(key) as file:
            found: dict[str, Any] = json.load(file)
            return found
    except (NotFound, ValueError):
        return None
