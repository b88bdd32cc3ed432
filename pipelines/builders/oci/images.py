"""Image configurations and manifests as canonical JSON. Pure but for writing them as blobs."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.builders.oci.layers import LAYER
from pipelines.builders.oci.layout import CONFIG, MANIFEST, Descriptor, Layout

ROLE = "io.hekaton.layer"
EPOCH = "1970-01-01T00:00:00Z"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True)
class ImageLayer:
    """A layer in order; `created_by` is what `docker history` shows."""

    digest: str
    diff_id: str
    size_bytes: int
    created_by: str
    media_type: str = LAYER
    role: str = ""  # kept as an annotation, so that the layer can be found again


@dataclass(frozen=True)
class Base:
    """What an image stands on; the default is nothing at all."""

    layers: tuple[ImageLayer, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    architecture: str = ""
    os: str = "linux"
    reference: str = ""
    digest: str = ""


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """What a container of the image does."""

    entrypoint: Sequence[str]
    cmd: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    working_dir: str = "/"
    user: str = ""
    ports: Sequence[int] = ()


def machine() -> str:
    """This machine in OCI's words ("amd64")."""
    return ARCHITECTURES.get(platform.machine(), platform.machine())


def configuration(base: Base, layers: Sequence[ImageLayer], runtime: Runtime) -> dict[str, Any]:
    every = [*base.layers, *layers]
    config: dict[str, Any] = {
        "Entrypoint": list(runtime.entrypoint),
        "Env": [f"{name}={value}" for name, value in {**base.env, **runtime.env}.items()],
        "Labels": dict(sorted(runtime.labels.items())),
        "WorkingDir": runtime.working_dir,
    }
    if runtime.cmd:
        config["Cmd"] = list(runtime.cmd)
    if runtime.user:
        config["User"] = runtime.user
    if runtime.ports:
        config["ExposedPorts"] = {f"{port}/tcp": {} for port in runtime.ports}
    return {
        "architecture": base.architecture or machine(),
        "os": base.os,
        "created": EPOCH,
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in every]},
        "history": [{"created": EPOCH, "created_by": layer.created_by} for layer in every],
    }


def write_image(
    layout: Layout,
    *,
    base: Base,
    layers: Sequence[ImageLayer],
    runtime: Runtime,
    annotations: Mapping[str, str],
) -> Descriptor:
    """Write configuration and manifest, list the image, and return its descriptor.

    The layers' blobs are in the layout already.
    """
    config = layout.add(canonical(configuration(base, layers, runtime)), CONFIG)
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.to_json(),
        "layers": [
            Descriptor(
                layer.media_type,
                layer.digest,
                layer.size_bytes,
                {ROLE: layer.role} if layer.role else {},
            ).to_json()
            for layer in [*base.layers, *layers]
        ],
    }
    if annotations:
        manifest["annotations"] = dict(sorted(annotations.items()))
    image = layout.add(canonical(manifest), MANIFEST)
    layout.list_image(image)
    return image


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
