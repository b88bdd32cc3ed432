"""Layers that are made once for a content key and then found again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from pipelines.builders import image_contents
from pipelines.builders.local import documents, environments
from pipelines.builders.local.documents import PrepareReport
from pipelines.builders.oci.images import ImageLayer
from pipelines.builders.oci.layers import Entry, tree, write_layer
from pipelines.builders.oci.layout import Layout

NOT_IN_LAYER = frozenset({".lock", ".gitignore", "CACHEDIR.TAG", environments.RECORD})
NOT_IN_BIN = ("activate", "deactivate.bat", "pydoc.bat")


def cached_layer(
    home: Path,
    layout: Layout,
    *,
    role: str,
    key: str,
    created_by: str,
    entries: Callable[[], Iterable[Entry]],
) -> ImageLayer:
    """The layer for a content key: made once, then found by a small file beside the cache."""
    name = hashlib.sha256(f"{role}\0{key}".encode()).hexdigest()
    memory = home / "cache" / "layers" / f"{name}.json"
    try:
        known = json.loads(memory.read_text())
        if layout.has(known["digest"]):
            return ImageLayer(**known, created_by=created_by, role=role)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    print(f"Writing the {role} layer.", flush=True)
    with layout.new_blob() as target:
        made = write_layer(entries(), target)
        layout.adopt(target, made.digest)
    known = {"digest": made.digest, "diff_id": made.diff_id, "size_bytes": made.size_bytes}
    memory.parent.mkdir(parents=True, exist_ok=True)
    documents.write_json(known, memory)
    return ImageLayer(**known, created_by=created_by, role=role)


def environment_layer(
    home: Path, layout: Layout, environment: PrepareReport, python_home: str
) -> ImageLayer:
    folder = environments.environment_path(home, environment.key)
    return cached_layer(
        home,
        layout,
        role="environment",
        key=f"{environment.key}\0{python_home}",
        created_by="COPY env /opt/hekaton/env",
        entries=lambda: environment_entries(folder, environment.python, python_home),
    )


def environment_entries(folder: Path, python: str, python_home: str) -> Iterator[Entry]:
    """The environment as it works in a container: no bytecode, nothing of this machine."""
    minor = ".".join(python.split(".")[:2])
    prefix = image_contents.ENV.lstrip("/")
    replaced = {f"{prefix}/pyvenv.cfg", f"{prefix}/bin/python"}
    for entry in tree(folder, prefix, skip=_left_out):
        if entry.path not in replaced:
            yield entry
    yield Entry(f"{prefix}/bin/python", link=f"{python_home}/python{minor}")
    yield Entry(
        f"{prefix}/pyvenv.cfg",
        content=(
            f"home = {python_home}\nimplementation = CPython\nversion_info = {python}\n"
            "include-system-site-packages = false\nrelocatable = true\n"
        ).encode(),
    )


def _left_out(path: str) -> bool:
    name = path.rpartition("/")[2]
    return (
        name in ("__pycache__", "uv_cache.json", "uv_build.json")
        or path in NOT_IN_LAYER
        or (path.startswith("bin/") and name.startswith(NOT_IN_BIN))
    )
