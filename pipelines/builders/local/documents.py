"""What the adapter asks of the tool and what the tool answers: JSON files.

Paths are absolute or relative to the tool's working folder. `home` is PORTAL_HOME. Reading and writing is `node.documents`.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from node.documents import from_json, to_json

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class RegistryTarget:
    """Where images go. `repository` has no tag: `registry.example:5000/acme/wine`.

    The password comes in the environment variable HEKATON_REGISTRY_PASSWORD, or from the service
    account of the build machine on Google Cloud (`metadata_token`).
    """

    repository: str
    username: str = ""
    plain_http: bool = False
    metadata_token: bool = False


@dataclass(frozen=True, kw_only=True)
class PrepareRequest:
    """With `push`, the environment is pushed as an image of its own on the base image."""

    uid: str
    home: str
    snapshot: str  # the canonical tar.gz
    snapshot_digest: str
    requirements: str | None
    python: str
    lock: str | None = None
    source_builds: Literal["confined", "always", "never"] = "confined"
    compile_bytecode: bool = True
    pythons: tuple[str, ...] = ()  # further interpreters, or folders of them
    bases: dict[str, str] = field(default_factory=dict)  # as in PackageRequest
    python_home: str = "/usr/local/bin"
    push: RegistryTarget | None = None


@dataclass(frozen=True, kw_only=True)
class PackageRequest:
    """`bases` maps a Python minor version ("3.11", or "*") to a base image: a registry reference
    or `oci:/path/of/a/layout`. Empty: the image is for the node only. `lock` and `python` (its
    exact version) are given where the environment may not be on this machine."""

    uid: str
    home: str
    environment_key: str
    snapshot: str
    snapshot_digest: str
    model: str | None
    model_digest: str | None
    serve_command: str
    requirements: str | None = None
    lock: str | None = None
    python: str = ""
    env: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    name: str = "image"  # the name in provenance: team/project
    provenance: dict[str, Any] = field(default_factory=dict)
    bases: dict[str, str] = field(default_factory=dict)
    python_home: str = "/usr/local/bin"  # folder of the base image's interpreter
    push: RegistryTarget | None = None


@dataclass(frozen=True, kw_only=True)
class PackageName:
    name: str
    version: str


@dataclass(frozen=True, kw_only=True)
class PrepareReport:
    """`image` is the pushed environment image (`repository@digest`), or empty."""

    key: str
    python: str
    lock: str
    packages: tuple[PackageName, ...]
    size_bytes: int
    image: str = ""


@dataclass(frozen=True, kw_only=True)
class LayerReport:
    role: str
    digest: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class PackageReport:
    """`sbom` and `provenance` are files beside the result, for the adapter to store."""

    digest: str
    reference: str
    local_only: bool
    size_bytes: int
    layers: tuple[LayerReport, ...]
    packages: tuple[PackageName, ...]
    dockerfile: str
    sbom: str = "sbom.spdx.json"
    provenance: str = "provenance.json"


@dataclass(frozen=True, kw_only=True)
class FaultReport:
    reason: str
    message: str
    platform: bool


def read(kind: type[T], path: Path) -> T:
    """Raises ValueError where the file is not such a document, OSError where it is not there."""
    return from_json(kind, json.loads(path.read_text()))


def write(document: Any, path: Path) -> None:
    """Write whole: a reader sees the old file or the new one."""
    write_json(to_json(document), path)


def write_json(value: Any, path: Path) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    partial.write_text(json.dumps(value, indent=1, sort_keys=True))
    os.replace(partial, path)
