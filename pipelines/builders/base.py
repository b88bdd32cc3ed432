"""What every builder must do: make images in two phases.

`prepare` resolves the requirements to a lock and makes the environment (with the code, the
image in which remote steps run); `package` adds the model's files and makes the image that is
verified and served. Both are attempts: started under a saved uid, observed, cancelled and
logged like any other. `tests/conformance/builders.py` is the suite each implementation passes.

Image layout: /opt/hekaton/{env,code,model}; entry point `/bin/sh -c "<serve command>"`;
labels `io.hekaton.*`. Same inputs, same digest (wheel-only locks).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pipelines.executors.base import Capabilities, EnvironmentRef, Handle, Observation, Tree


@dataclass(frozen=True, kw_only=True)
class PrepareSpec:
    """`lock` is the resolved lock when it is known already; then nothing is resolved again.
    `requirements` is the path of the requirements file inside the snapshot, or None."""

    uid: str
    project_uid: str
    run_uid: str
    snapshot: Tree
    requirements: str | None
    python: str  # a version ("3.11") or specifier (">=3.11")
    lock: str | None
    timeout_s: float
    log_key: str


@dataclass(frozen=True, kw_only=True)
class Package:
    name: str
    version: str


@dataclass(frozen=True, kw_only=True)
class PrepareResult:
    environment: EnvironmentRef
    lock: str
    packages: tuple[Package, ...]
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class PackageSpec:
    uid: str
    project_uid: str
    run_uid: str
    team: str
    project: str
    environment: EnvironmentRef
    lock: str
    snapshot: Tree
    model: Tree | None
    serve_command: str
    requirements: str | None = None  # as in PrepareSpec, to name it in messages
    env: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)  # deterministic ones only
    provenance: Mapping[str, Any] = field(default_factory=dict)  # kept beside the image
    timeout_s: float = 1800.0
    log_key: str


@dataclass(frozen=True, kw_only=True)
class Layer:
    role: str  # "base" | "environment" | "code" | "model"
    digest: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class ImageRef:
    """`digest` is `sha256:...` of the manifest and the identity of what is verified and served.
    `reference` is what a runtime pulls (`registry/name@sha256:...`); `local_only` is true where
    no base image was configured, so that only the node can run it."""

    digest: str
    reference: str
    local_only: bool
    size_bytes: int
    layers: tuple[Layer, ...]
    packages: tuple[Package, ...]
    dockerfile: str
    sbom_key: str  # object store key of the SPDX 2.3 JSON
    provenance_key: str  # object store key of the in-toto SLSA v1 provenance


class Builder(Protocol):
    name: str

    def capabilities(self) -> Capabilities: ...

    def find_environment(self, spec: PrepareSpec) -> PrepareResult | None:
        """The environment for this spec if it is there already, at once and without network."""
        ...

    def start_prepare(self, spec: PrepareSpec) -> Handle: ...

    def start_package(self, spec: PackageSpec) -> Handle: ...

    def observe(self, handle: Handle) -> Observation:
        """As `Executor.observe`; a user's fault (unresolvable requirement, missing serve file)
        has `exit.platform` False and a message that names the cause."""
        ...

    def cancel(self, handle: Handle) -> None: ...

    def prepared(self, handle: Handle) -> PrepareResult:
        """The result of a prepare that exited with 0."""
        ...

    def packaged(self, handle: Handle) -> ImageRef:
        """The result of a package that exited with 0."""
        ...

    def forget(self, handle: Handle) -> None: ...
